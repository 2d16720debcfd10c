"""What the charts of all reports have in common: axes, colours that follow the page's theme, lines, zero."""

from __future__ import annotations

from typing import Any, Final

BUY: Final = "var(--buy)"
SELL: Final = "var(--sell)"
GOOD: Final = "var(--good)"
BAD: Final = "var(--bad)"
PRICE: Final = "var(--price)"
SOFT: Final = "var(--soft)"
"""Variables of the page's style, which it replaces by the colours of the theme before it draws."""

SHADES: Final = (BUY, SELL, GOOD, PRICE)

_LINES: Final = frozenset({"line", "area"})

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
CONFIG: Final[dict[str, Any]] = {
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "titleFontWeight": "normal",
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
    },
    "text": {"color": SOFT},
}
_SCALE_UTC: Final = {"type": "utc"}
TIME: Final[dict[str, Any]] = {"field": "t", "type": "temporal", "scale": _SCALE_UTC}
BARE: Final = {"x": {**TIME, "axis": {"labels": False, "ticks": False, "title": None, "domain": False}}}
"""The time axis of a chart that stands above another."""
_FORMATS: Final = {
    "year": "%Y",
    "quarter": "%b %Y",
    "month": "%b %Y",
    "week": "%d %b",
    "day": "%d %b",
    "date": "%d %b",
    "hours": "%H:%M",
    "minutes": "%H:%M",
    "seconds": "%H:%M:%S",
    "milliseconds": "%H:%M:%S.%L",
}
DATED: Final = {"x": {**TIME, "axis": {"title": None, "format": _FORMATS, "labelOverlap": True, "labelSeparation": 8}}}
"""The time axis of the lowest chart."""
ZOOM: Final[dict[str, Any]] = {
    "name": "zoom",
    "select": {"type": "interval", "encodings": ["x"], "zoom": "wheel![event.altKey]"},
    "bind": "scales",
}
ZERO: Final[dict[str, Any]] = {
    "data": {"values": [{}]},
    "mark": {"type": "rule", "color": "var(--line)"},
    "encoding": {"y": {"datum": 0}, "x": None},
}


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return a vertical axis; all have one width, so that charts below each other line up."""
    return {"title": title, "minExtent": 52, "maxExtent": 52, "tickCount": 5, "labelLimit": 46, **more}


def quantity(field: str, title: str, *, zero: bool = False, **more: Any) -> dict[str, Any]:
    """Return the vertical encoding of a figure."""
    return {"field": field, "type": "quantitative", "scale": {"zero": zero}, "axis": axis(title, **more)}


def colours(names: tuple[str, ...], shades: tuple[str, ...] = SHADES) -> dict[str, Any]:
    """Return the colour encoding of the field ``of``; the page's own legend says which is which."""
    return {
        "field": "of",
        "type": "nominal",
        "scale": {"domain": list(names), "range": list(shades[: len(names)])},
        "legend": None,
    }


def line(
    field: str,
    title: str,
    colour: str | dict[str, Any],
    values: list[dict[str, Any]],
    *,
    step: bool = False,
    padding: int = 0,
) -> dict[str, Any]:
    """Return a line over time; ``colour`` is one, or the encoding of several; ``padding`` leaves room for marks."""
    mark: dict[str, Any] = {"type": "line", "strokeWidth": 1.4, **({"interpolate": "step-after"} if step else {})}
    encoding: dict[str, Any] = {"y": quantity(field, title)}
    encoding["y"]["scale"]["padding"] = padding
    if isinstance(colour, str):
        mark["color"] = colour
    else:
        encoding["color"] = colour
    return {"data": {"values": values}, "mark": mark, "encoding": encoding}


def stacked(views: list[dict[str, Any]]) -> dict[str, Any]:
    """Return charts below each other over one time axis, zoomed together; the line of each takes the zoom.

    Layers without data are left out (Vega complains of them), and charts whose line has none.
    """
    views = [view | {"layer": [layer for layer in view["layer"] if layer["data"]["values"]]} for view in views]
    lines = [next((each for each in view["layer"] if each["mark"]["type"] in _LINES), None) for view in views]
    views = [view for view, line in zip(views, lines, strict=True) if line is not None]
    for each in lines:
        if each is not None:
            each["params"] = [ZOOM]
    return {
        "$schema": SCHEMA,
        "background": "transparent",
        "spacing": 14,
        "vconcat": views,
        "resolve": {"scale": {"x": "shared", "color": "independent"}, "legend": {"color": "independent"}},
        "config": CONFIG,
    }


def single(spec: dict[str, Any], height: int) -> dict[str, Any]:
    """Return a chart that stands alone."""
    return {"$schema": SCHEMA, "background": "transparent", "height": height, "config": CONFIG, **spec}
