"""The charts of a report as one Vega-Lite specification: price with own fills, equity and inventory over one time axis.

With several symbols each of the most traded ones has a price chart; equity is that of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evals.engine.layout import FILL_REASONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_POINTS: Final = 4_000
"""Points that the lines of one chart keep; longer series keep the extremes of equal stretches of time."""

MOST_SYMBOLS: Final = 4
"""Symbols that have a price chart."""

_SHADES: Final = ("var(--buy)", "var(--sell)", "var(--good)", "var(--price)")


def shown_symbols(fills: NDArray[Any], assets: Sequence[str]) -> list[str]:
    """Return the symbols that get a chart, by name; ``assets`` is the symbol of each asset."""
    symbols = sorted(set(assets))
    if len(symbols) <= MOST_SYMBOLS:
        return symbols
    traded = [assets[asset] for asset in _column(fills, "asset").tolist()]
    return sorted(sorted(symbols, key=traded.count, reverse=True)[:MOST_SYMBOLS])


def specification(
    equity: NDArray[Any], fills: NDArray[Any], quotes: NDArray[Any], assets: Sequence[str]
) -> dict[str, Any]:
    """Return the Vega-Lite specification of all charts, zoomed together; see :func:`shown_symbols`."""
    symbols = sorted(set(assets))
    shown = shown_symbols(fills, assets)
    by_symbol = {symbols[i]: equity[_column(equity, "symbol") == i] for i in range(len(symbols))}
    views = []
    for symbol in shown:
        own = [asset for asset, name in enumerate(assets) if name == symbol]
        price = _price_view(
            by_symbol[symbol],
            fills[np.isin(_column(fills, "asset"), own)],
            quotes[np.isin(_column(quotes, "asset"), own)],
            f"{symbol} price" if len(symbols) > 1 else "Price",
            MOST_POINTS // len(shown),
        )
        views.append({"height": 260 if len(shown) == 1 else 180, "encoding": _BARE, **price})
    line = _line("eq", "Equity", "var(--good)")
    views.append({"height": 130, "encoding": _BARE, "layer": [_ZERO, line | {"data": {"values": _curve(by_symbol)}}]})
    held = {name: by_symbol[name] for name in shown}
    views.append({"height": 110, "encoding": _DATED, "layer": [_ZERO, _inventory_layer(held)]})
    for view in views:
        view["layer"][1]["params"] = [_ZOOM]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "background": "transparent",
        "spacing": 14,
        "vconcat": views,
        "resolve": {"scale": {"x": "shared", "color": "independent"}, "legend": {"color": "independent"}},
        "config": {
            "view": {"stroke": None},
            "axis": {
                "labelColor": "var(--soft)",
                "titleColor": "var(--soft)",
                "titleFontWeight": "normal",
                "gridColor": "var(--grid)",
                "domainColor": "var(--line)",
                "tickColor": "var(--line)",
            },
        },
    }


_TIME_AXIS: Final = {"field": "t", "type": "temporal", "scale": {"type": "utc"}}
_BARE: Final = {"x": {**_TIME_AXIS, "axis": {"labels": False, "ticks": False, "title": None, "domain": False}}}
_DATED: Final = {"x": {**_TIME_AXIS, "axis": {"title": None, "format": "%H:%M:%S", "labelOverlap": True}}}
_ZOOM: Final = {
    "name": "zoom",
    "select": {"type": "interval", "encodings": ["x"], "zoom": "wheel![event.altKey]"},
    "bind": "scales",
}
_ZERO: Final = {
    "data": {"values": [{}]},
    "mark": {"type": "rule", "color": "var(--line)"},
    "encoding": {"y": {"datum": 0}, "x": None},
}


def _column(rows: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a column that logs of older engines lack; they had one asset."""
    return rows[name] if name in (rows.dtype.names or ()) else np.zeros(len(rows), np.int32)


def _line(field: str, title: str, colour: str | dict[str, Any], *, step: bool = False) -> dict[str, Any]:
    mark: dict[str, Any] = {"type": "line", "strokeWidth": 1.4, **({"interpolate": "step-after"} if step else {})}
    axis = {"title": title, "minExtent": 52, "maxExtent": 52, "tickCount": 5}
    encoding: dict[str, Any] = {
        "y": {"field": field, "type": "quantitative", "scale": {"zero": False}, "axis": axis},
    }
    if isinstance(colour, str):
        mark["color"] = colour
    else:
        encoding["color"] = colour
    return {"mark": mark, "encoding": encoding}


def _price_view(
    samples: NDArray[Any], fills: NDArray[Any], quotes: NDArray[Any], title: str, points: int
) -> dict[str, Any]:
    samples = samples[samples["mid_1e9"] > 0]
    samples = samples[_extremes(samples["mid_1e9"], points)]
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
    colours = {"domain": ["buy", "sell"], "range": ["var(--buy)", "var(--sell)"]}
    side = {"field": "side", "type": "nominal", "legend": None}
    own_quotes = {
        "data": {"values": resting},
        "mark": {"type": "rule", "opacity": 0.35, "strokeWidth": 1},
        "encoding": {
            "x2": {"field": "end"},
            "y": {"field": "px", "type": "quantitative"},
            "color": {**side, "scale": colours},
        },
    }
    markers = {
        "data": {"values": executions},
        "mark": {"type": "point", "filled": True, "size": 46, "opacity": 0.85},
        "encoding": {
            "y": {"field": "px", "type": "quantitative"},
            "color": {**side, "scale": colours},
            "shape": {**side, "scale": {"domain": colours["domain"], "range": ["triangle-up", "triangle-down"]}},
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
    return {"layer": [own_quotes, _line("mid", title, "var(--price)") | {"data": {"values": mids}}, markers]}


def _curve(by_symbol: dict[str, NDArray[Any]]) -> list[dict[str, float]]:
    """Return the equity of all symbols together: each sample has a row of every symbol."""
    samples = next(iter(by_symbol.values()))
    equity = np.sum([rows["equity_1e9"] for rows in by_symbol.values()], axis=0)
    return [
        {"t": int(samples["exchange_ns"][row]) / 1e6, "eq": int(equity[row]) / 1e9}
        for row in _extremes(equity, MOST_POINTS)
    ]


def _inventory_layer(held: dict[str, NDArray[Any]]) -> dict[str, Any]:
    points = [
        {"t": int(rows["exchange_ns"][row]) / 1e6, "pos": int(rows["position_1e8"][row]) / 1e8, "of": symbol}
        for symbol, rows in held.items()
        for row in _extremes(rows["position_1e8"], MOST_POINTS // len(held))
    ]
    colour: str | dict[str, Any] = _SHADES[0]
    if len(held) > 1:
        scale = {"domain": list(held), "range": list(_SHADES[: len(held)])}
        legend = {"orient": "bottom", "title": None, "labelColor": "var(--soft)"}
        colour = {"field": "of", "type": "nominal", "scale": scale, "legend": legend}
    else:
        points = [{"t": point["t"], "pos": point["pos"]} for point in points]
    return _line("pos", "Inventory", colour, step=True) | {"data": {"values": points}}


def _extremes(values: NDArray[Any], most: int) -> list[int]:
    """Return the rows to draw: both ends, and the lowest and highest value of equal stretches."""
    if len(values) <= most:
        return list(range(len(values)))
    edges = np.linspace(0, len(values), most // 2, dtype=np.int64)
    keep = {0, len(values) - 1}
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        keep.update((int(start + stretch.argmin()), int(start + stretch.argmax())))
    return sorted(keep)
