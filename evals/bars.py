"""Bars in plain HTML for a report: how the profit adds up, and how wide the band over queue models is."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Final

from evals.labels import METRICS

Metrics = Mapping[str, int | float | None]
Format = Callable[[float | None, int], str]

_SPLIT: Final = (
    ("spread_pnl_1e9", "Spread", 1),
    ("inventory_pnl_1e9", "Inventory", 1),
    ("fees_1e9", "Fees", -1),
)


def profit_split(metrics: Metrics, shown: Format) -> str:
    """Return a waterfall from spread over inventory and fees to the net; empty where a part is not known."""
    steps = []
    at: float = 0
    for name, label, sign in _SPLIT:
        value = metrics.get(name)
        if value is None:
            return ""
        steps.append((label, sign * value, at, at + sign * value))
        at += sign * value
    steps.append(("Net", at, 0.0, at))
    low = min(0.0, *(min(start, stop) for _, _, start, stop in steps))
    high = max(0.0, *(max(start, stop) for _, _, start, stop in steps))
    rows = "".join(
        f'<tr><td class="name">{label}</td><td class="value">{shown(value, 9)}</td>'
        f'<td class="track">{_bar(low, high, start, stop, _shade(value))}</td></tr>'
        for label, value, start, stop in steps
    )
    return f'<table class="bars split"><tbody>{rows}</tbody></table>'


def _shade(value: float) -> str:
    return "gain" if value > 0 else "loss" if value else "none"


def band_table(metrics: Metrics, shown: Format) -> str:
    """Return a table of the band over queue models with a mark at this run's own value; empty without a band."""
    names = [name for name in METRICS if f"band_{name}_low" in metrics and f"band_{name}_high" in metrics]
    rows = []
    for name in names:
        meaning = METRICS[name]
        low, here, high = metrics[f"band_{name}_low"], metrics.get(name), metrics[f"band_{name}_high"]
        unit = f' <span class="unit">{html.escape(meaning.unit)}</span>' if meaning.unit else ""
        values = "".join(f'<td class="value">{shown(value, meaning.scale)}</td>' for value in (low, here, high))
        track = ""
        if low is not None and high is not None:
            ends = [0, low, high] if here is None else [0, low, high, here]
            track = _bar(min(ends), max(ends), low, high, "range", here)
        rows.append(
            f'<tr><td class="name">{html.escape(meaning.label)}{unit}</td>{values}<td class="track">{track}</td></tr>'
        )
    if not rows:
        return ""
    head = "".join(f'<th class="value">{title}</th>' for title in ("Lowest", "This run", "Highest"))
    return (
        f'<table class="bars band"><thead><tr><th class="name">Metric</th>{head}<th class="track"></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _bar(low: float, high: float, start: float, stop: float, css: str, mark: float | None = None) -> str:
    """Return a bar from start to stop on an axis from low to high, with a line at zero."""
    width = (high - low) or 1

    def at(value: float) -> float:
        return 100 * (value - low) / width

    left, right = sorted((at(start), at(stop)))
    tick = "" if mark is None else f'<b style="left:{at(mark):.2f}%"></b>'
    return (
        f'<div class="bar" aria-hidden="true"><i class="{css}" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        f'<u style="left:{at(0):.2f}%"></u>{tick}</div>'
    )
