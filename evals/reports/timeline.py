"""Charts over time: price with own quotes and fills, equity, drawdown, inventory; and two equities against each other.

With several symbols each of the most traded ones has a price chart; equity is that of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evals.engine.layout import FILL_REASONS
from evals.reports.series import MOST_POINTS, column, extremes
from evals.reports.vega import BAD, BARE, BUY, DATED, GOOD, PRICE, SELL, SHADES, SOFT, ZERO, colours, line, stacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_SYMBOLS: Final = 4
"""Symbols that have a price chart."""


def shown_symbols(fills: NDArray[Any], assets: Sequence[str]) -> list[str]:
    """Return the symbols that get a chart, by name; ``assets`` is the symbol of each asset."""
    symbols = sorted(set(assets))
    if len(symbols) <= MOST_SYMBOLS:
        return symbols
    traded = [assets[asset] for asset in column(fills, "asset").tolist()]
    return sorted(sorted(symbols, key=traded.count, reverse=True)[:MOST_SYMBOLS])


def price_equity_inventory(
    equity: NDArray[Any], fills: NDArray[Any], quotes: NDArray[Any], assets: Sequence[str]
) -> dict[str, Any]:
    """Return price charts with quotes and fills, equity, drawdown and inventory, zoomed together."""
    symbols = sorted(set(assets))
    shown = shown_symbols(fills, assets)
    by_symbol = {symbols[i]: equity[column(equity, "symbol") == i] for i in range(len(symbols))}
    views = []
    for symbol in shown:
        own = [asset for asset, name in enumerate(assets) if name == symbol]
        price = _price_view(
            by_symbol[symbol],
            fills[np.isin(column(fills, "asset"), own)],
            quotes[np.isin(column(quotes, "asset"), own)],
            f"{symbol} price" if len(symbols) > 1 else "Price",
            MOST_POINTS // len(shown),
        )
        views.append({"height": 260 if len(shown) == 1 else 180, "encoding": BARE, **price})
    times, values = total_equity(equity)
    curve = _points(times, values, "eq")
    views.append({"height": 120, "encoding": BARE, "layer": [ZERO, line("eq", "Equity", GOOD, curve)]})
    below = _points(times, drawdown(values), "dd")
    area = line("dd", "Drawdown", BAD, below)
    area["mark"] |= {"type": "area", "line": {"color": BAD, "strokeWidth": 1}, "opacity": 0.3}
    views.append({"height": 70, "encoding": BARE, "layer": [ZERO, area]})
    held = {name: by_symbol[name] for name in shown}
    views.append({"height": 100, "encoding": DATED, "layer": [ZERO, _inventory_layer(held)]})
    return stacked(views)


def total_equity(equity: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return times in ns and the equity x 10^9 of all symbols together: each sample has a row of every symbol."""
    symbols = column(equity, "symbol")
    parts = [equity[symbols == symbol] for symbol in np.unique(symbols)]
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    samples = min(len(part) for part in parts)
    return parts[0]["exchange_ns"][:samples], np.sum([part["equity_1e9"][:samples] for part in parts], axis=0)


def drawdown(equity_1e9: NDArray[Any]) -> NDArray[Any]:
    """Return how far equity lies below its highest value so far, which is at least the start's 0."""
    if not len(equity_1e9):
        return equity_1e9
    return equity_1e9 - np.maximum(np.maximum.accumulate(equity_1e9), 0)


def equities(curves: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the equities of several runs in one chart, by name; EQUITY_LOG each."""
    return stacked([_equities_view(curves, DATED)])


def against(
    curves: Mapping[str, NDArray[Any]],
    at_ns: NDArray[Any],
    differences_1e9: NDArray[Any],
    ends_1e9: tuple[float, float] | None,
    marks: Sequence[tuple[int, str]] = (),
) -> dict[str, Any]:
    """Return equities in one chart and their cumulative difference below.

    ``ends_1e9`` is the interval of the whole difference: it stands as a bar at the end. ``marks`` are moments with
    their names, such as halts.
    """
    total = np.cumsum(differences_1e9)
    values = _points(at_ns, total, "diff")
    layers = [ZERO, line("diff", "Difference", PRICE, values)]
    if ends_1e9 is not None and len(at_ns):
        end = {"t": int(at_ns[-1]) / 1e6, "low": ends_1e9[0] / 1e9, "high": ends_1e9[1] / 1e9}
        layers.append(
            {
                "data": {"values": [end]},
                "mark": {"type": "errorbar", "ticks": True, "rule": {"strokeWidth": 2}, "color": BUY},
                "encoding": {
                    "y": {"field": "low", "type": "quantitative", "title": "Difference"},
                    "y2": {"field": "high"},
                },
            }
        )
    views = [_equities_view(curves, BARE)] if curves else []
    views.append({"height": 130, "encoding": DATED, "layer": layers})
    if marks:
        for view in views:
            view["layer"].append(_marks(marks))
    return stacked(views)


def fills_by_state(
    equity: NDArray[Any], groups: Mapping[str, NDArray[Any]], shades: Mapping[str, str]
) -> dict[str, Any]:
    """Return the mid price with fills on it, coloured by the name of their group."""
    samples = equity[equity["mid_1e9"] > 0]
    mids = _points(samples["exchange_ns"], samples["mid_1e9"], "mid")
    values = [
        {
            "t": int(row["exchange_ns"]) / 1e6,
            "px": int(row["px_1e9"]) / 1e9,
            "qty": int(row["qty_1e8"]) / 1e8,
            "side": "buy" if row["side"] > 0 else "sell",
            "of": name,
        }
        for name, rows in groups.items()
        for row in rows
    ]
    shape = {"domain": ["buy", "sell"], "range": ["triangle-up", "triangle-down"]}
    markers = {
        "data": {"values": values},
        "mark": {"type": "point", "filled": True, "size": 46, "opacity": 0.85},
        "encoding": {
            "y": {"field": "px", "type": "quantitative"},
            "color": colours(tuple(groups), tuple(shades[name] for name in groups)),
            "shape": {"field": "side", "type": "nominal", "legend": None, "scale": shape},
            "tooltip": [
                {"field": "t", "type": "temporal", "title": "time", "timeUnit": "utchoursminutessecondsmilliseconds"},
                {"field": "of", "title": "fill"},
                {"field": "side", "title": "side"},
                {"field": "px", "type": "quantitative", "title": "price", "format": ",.2f"},
                {"field": "qty", "type": "quantitative", "title": "size"},
            ],
        },
    }
    return stacked(
        [{"height": 220, "encoding": DATED, "layer": [line("mid", "Price", PRICE, mids, padding=8), markers]}]
    )


def _equities_view(curves: Mapping[str, NDArray[Any]], encoding: dict[str, Any]) -> dict[str, Any]:
    values = []
    for name, equity in curves.items():
        times, eq = total_equity(equity)
        values += [point | {"of": name} for point in _points(times, eq, "eq", MOST_POINTS // len(curves))]
    return {
        "height": 180,
        "encoding": encoding,
        "layer": [ZERO, line("eq", "Equity", colours(tuple(curves)), values)],
    }


def _marks(marks: Sequence[tuple[int, str]]) -> dict[str, Any]:
    return {
        "data": {"values": [{"t": at_ns / 1e6, "what": what} for at_ns, what in marks]},
        "mark": {"type": "rule", "color": BAD, "strokeDash": [4, 3], "strokeWidth": 1.2},
        "encoding": {
            "tooltip": [
                {"field": "t", "type": "temporal", "title": "time", "timeUnit": "utchoursminutesseconds"},
                {"field": "what", "title": "event"},
            ]
        },
    }


def _points(times: NDArray[Any], values_1e9: NDArray[Any], name: str, most: int = MOST_POINTS) -> list[dict[str, Any]]:
    return [{"t": int(times[row]) / 1e6, name: int(values_1e9[row]) / 1e9} for row in extremes(values_1e9, most)]


def _price_view(
    samples: NDArray[Any], fills: NDArray[Any], quotes: NDArray[Any], title: str, points: int
) -> dict[str, Any]:
    samples = samples[samples["mid_1e9"] > 0]
    samples = samples[extremes(samples["mid_1e9"], points)]
    mids = [{"t": int(row["exchange_ns"]) / 1e6, "mid": int(row["mid_1e9"]) / 1e9} for row in samples]
    executions = [
        {
            "t": int(row["exchange_ns"]) / 1e6,
            "px": int(row["px_1e9"]) / 1e9,
            "qty": int(row["qty_1e8"]) / 1e8,
            "side": "buy" if row["side"] > 0 else "sell",
            "fee": int(row["fee_1e9"]) / 1e9,
            "why": FILL_REASONS[row["reason"]].replace("_", " "),
            "ahead": int(row["queue_ahead_1e8"]) / 1e8,
        }
        for row in fills
    ]
    resting = [
        {
            "t": int(row["arrived_ns"]) / 1e6,
            "end": int(row["done_ns"]) / 1e6,
            "px": int(row["px_1e9"]) / 1e9,
            "side": "buy" if row["side"] > 0 else "sell",
        }
        for row in quotes
    ]
    sides = {"domain": ["buy", "sell"], "range": [BUY, SELL]}
    side = {"field": "side", "type": "nominal", "legend": None}
    own_quotes = {
        "data": {"values": resting},
        "mark": {"type": "rule", "opacity": 0.35, "strokeWidth": 1},
        "encoding": {
            "x2": {"field": "end"},
            "y": {"field": "px", "type": "quantitative"},
            "color": {**side, "scale": sides},
        },
    }
    markers = {
        "data": {"values": executions},
        "mark": {"type": "point", "filled": True, "size": 46, "opacity": 0.85},
        "encoding": {
            "y": {"field": "px", "type": "quantitative"},
            "color": {**side, "scale": sides},
            "shape": {**side, "scale": {"domain": sides["domain"], "range": ["triangle-up", "triangle-down"]}},
            "tooltip": [
                {"field": "t", "type": "temporal", "title": "time", "timeUnit": "utchoursminutessecondsmilliseconds"},
                {"field": "side", "title": "side"},
                {"field": "px", "type": "quantitative", "title": "price", "format": ",.2f"},
                {"field": "qty", "type": "quantitative", "title": "size"},
                {"field": "fee", "type": "quantitative", "title": "fee", "format": ",.4f"},
                {"field": "why", "title": "reason"},
                {"field": "ahead", "type": "quantitative", "title": "queue ahead", "format": ",.4f"},
            ],
        },
    }
    return {"layer": [own_quotes, line("mid", title, PRICE, mids, padding=8), markers]}


def _inventory_layer(held: dict[str, NDArray[Any]]) -> dict[str, Any]:
    points = [
        {"t": int(rows["exchange_ns"][row]) / 1e6, "pos": int(rows["position_1e8"][row]) / 1e8, "of": symbol}
        for symbol, rows in held.items()
        for row in extremes(rows["position_1e8"], MOST_POINTS // len(held))
    ]
    colour: str | dict[str, Any] = SHADES[0]
    if len(held) > 1:
        legend = {"orient": "bottom", "title": None, "labelColor": SOFT}
        colour = colours(tuple(held)) | {"legend": legend}
    else:
        points = [{"t": point["t"], "pos": point["pos"]} for point in points]
    return line("pos", "Inventory", colour, points, step=True)
