"""Charts that are not over time: curves by horizon, distributions, and costs of two ways against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evals.reports.vega import BAD, BUY, SHADES, SOFT, ZERO, axis, colours, quantity, single

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS: Final = 36
"""Bars of a histogram."""

_HEADROOM: Final = 1.35
"""How much higher than its bars a histogram is that names values above them."""

_MIDDLE: Final = (0.5, 99.5)
"""Percentiles between which a histogram's bars lie; what is beyond counts in the first and the last."""


def curves(lines: Mapping[str, Sequence[float | None]], places: Sequence[str], title: str) -> dict[str, Any]:
    """Return a curve for each name over places that stand at equal distances; None is left out."""
    values = [
        {"x": place, "y": value, "of": name}
        for name, series in lines.items()
        for place, value in zip(places, series, strict=True)
        if value is not None
    ]
    encoding = {
        "x": {"field": "x", "type": "ordinal", "sort": list(places), "axis": {"title": None, "labelAngle": 0}},
        "y": quantity("y", title),
        "color": colours(tuple(lines)),
        "tooltip": [
            {"field": "of", "title": "of"},
            {"field": "x", "title": "at"},
            {"field": "y", "type": "quantitative", "title": title, "format": ",.3f"},
        ],
    }
    drawn = {
        "data": {"values": values},
        "mark": {"type": "line", "strokeWidth": 1.8, "point": {"size": 36}},
        "encoding": encoding,
    }
    return single({"layer": [ZERO, drawn]}, 200)


def distribution(
    series: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
    x_title: str,
    y_title: str,
    marks: Sequence[tuple[str, float | None]] = (),
) -> dict[str, Any]:
    """Return the histogram of each series of (values, weights), as shares of its weight, over common bins.

    ``marks`` are values with names, such as quantiles; they stand as lines, with names one below the other so that
    near ones do not cover each other. The bins reach as far as they do.
    """
    everything = np.concatenate([values for values, _ in series.values()])
    named = [value for _, value in marks if value is not None]
    ends = np.percentile(everything, _MIDDLE)
    low, high = min([float(ends[0]), *named]), max([float(ends[1]), *named])
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    bars: list[dict[str, Any]] = []
    for name, (values, weights) in series.items():
        counts, _ = np.histogram(np.clip(values, low, high), edges, weights=weights.astype(np.float64))
        total = counts.sum() or 1.0
        bars += [
            {"from": float(edges[i]), "to": float(edges[i + 1]), "y": 100 * float(counts[i] / total), "of": name}
            for i in range(BINS)
            if counts[i] > 0
        ]
    several = len(series) > 1
    highest = max((bar["y"] for bar in bars), default=1.0)
    room = {"domainMax": highest * _HEADROOM} if marks else {}
    drawn = {
        "data": {"values": bars},
        "mark": {"type": "bar", "opacity": 0.5 if several else 0.75, "binSpacing": 1},
        "encoding": {
            "x": {
                "field": "from",
                "bin": {"binned": True},
                "type": "quantitative",
                "scale": {"domain": [low, high], "nice": True},
                "axis": {"title": x_title, "tickCount": 6, "labelOverlap": True},
            },
            "x2": {"field": "to"},
            "y": {"field": "y", "type": "quantitative", "stack": None, "scale": room, "axis": axis(y_title)},
            "color": colours(tuple(series)) if several else {"value": SHADES[0]},
            "tooltip": [
                {"field": "from", "type": "quantitative", "title": "from", "format": ",.3f"},
                {"field": "to", "type": "quantitative", "title": "to", "format": ",.3f"},
                {"field": "y", "type": "quantitative", "title": y_title, "format": ".2f"},
            ],
        },
    }
    layers = [drawn, *_named_lines(marks, (low + high) / 2)]
    return single({"layer": layers}, 220)


def _named_lines(marks: Sequence[tuple[str, float | None]], middle: float) -> list[dict[str, Any]]:
    place = {"x": {"field": "at", "type": "quantitative"}}
    layers: list[dict[str, Any]] = []
    for row, (name, value) in enumerate(marks):
        if value is None:
            continue
        right = value > middle
        data = {"values": [{"at": value, "name": name}]}
        dashed = {"type": "rule", "color": BAD, "strokeDash": [3, 2], "strokeWidth": 1.2}
        words = {
            "type": "text",
            "align": "right" if right else "left",
            "dx": -4 if right else 4,
            "dy": 7 + 13 * row,
            "fontSize": 11,
            "color": SOFT,
        }
        layers.append({"data": data, "mark": dashed, "encoding": place})
        layers.append(
            {"data": data, "mark": words, "encoding": {**place, "y": {"value": 0}, "text": {"field": "name"}}}
        )
    return layers


def scatter(
    points: Sequence[tuple[float, float, str]], names: Sequence[str], x_title: str, y_title: str
) -> dict[str, Any]:
    """Return points of (x, y, name) with the diagonal on which both cost the same, on axes of one scale."""
    ends = np.array([[x, y] for x, y, _ in points])
    low, high = (float(end) for end in np.percentile(ends, _MIDDLE))
    margin = (high - low) * 0.05 or 1.0
    low, high = low - margin, high + margin
    scale = {"domain": [low, high], "nice": False, "zero": False}
    shape = {"domain": list(names), "range": ["circle", "diamond", "square", "cross"][: len(names)]}
    x_axis = {"title": x_title, "tickCount": 6, "labelOverlap": True}
    drawn = {
        "data": {"values": [{"x": x, "y": y, "of": name} for x, y, name in points]},
        "mark": {"type": "point", "filled": True, "size": 26, "opacity": 0.6, "clip": True},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "scale": scale, "axis": x_axis},
            "y": {"field": "y", "type": "quantitative", "scale": scale, "axis": axis(y_title)},
            "color": colours(tuple(names)),
            "shape": {"field": "of", "type": "nominal", "scale": shape, "legend": None},
            "tooltip": [
                {"field": "of", "title": "sent to"},
                {"field": "x", "type": "quantitative", "title": x_title, "format": ",.2f"},
                {"field": "y", "type": "quantitative", "title": y_title, "format": ",.2f"},
            ],
        },
    }
    diagonal = {
        "data": {"values": [{"x": low, "y": low}, {"x": high, "y": high}]},
        "mark": {"type": "line", "color": SOFT, "strokeDash": [4, 3], "strokeWidth": 1},
        "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
    }
    return single({"layer": [drawn, diagonal]}, 300)


def steps(counts: Sequence[tuple[str, float]], x_title: str, y_title: str) -> dict[str, Any]:
    """Return bars over named classes that stand in an order, such as decades of time."""
    drawn = {
        "data": {"values": [{"x": name, "y": value} for name, value in counts]},
        "mark": {"type": "bar", "color": BUY, "opacity": 0.75},
        "encoding": {
            "x": {
                "field": "x",
                "type": "ordinal",
                "sort": [name for name, _ in counts],
                "axis": {"title": x_title, "labelAngle": 0, "labelOverlap": True},
            },
            "y": {"field": "y", "type": "quantitative", "axis": axis(y_title)},
            "tooltip": [
                {"field": "x", "title": x_title},
                {"field": "y", "type": "quantitative", "title": y_title, "format": ",.1f"},
            ],
        },
    }
    return single({"layer": [drawn]}, 150)
