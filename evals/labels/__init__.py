"""What each metric says, for people: label, unit, explanation. How it is computed is in `evals.metrics`."""

from __future__ import annotations

import re
from typing import Final

from evals.labels import assignment, comparison, live, replay, routing
from evals.labels.meaning import Meaning

__all__ = ["METRICS", "Meaning", "format_metric", "meaning_of"]

METRICS: Final[dict[str, Meaning]] = (
    comparison.METRICS | live.METRICS | routing.METRICS | assignment.METRICS | replay.METRICS
)
"""Every metric in the order in which a report shows them: first what a kind of evaluation is about."""


_BOUND: Final = re.compile(r"(?P<end>lower|upper)(?P<percent>90|95|99)")
_QUANTILE: Final = re.compile(r"p(?P<percent>50|75|95|99)")


def meaning_of(name: str) -> Meaning:
    """Return what a metric says, by its prefix if it is one of a family, or at least its name."""
    if name in METRICS:
        return METRICS[name]
    figure, _, bound = name.rpartition("_")
    if figure in METRICS and (found := _BOUND.fullmatch(bound)):
        of = METRICS[figure]
        text = f"{found['end'].capitalize()} end of the {found['percent']} % confidence interval"
        return Meaning(of.group, f"{of.label}, {found['end']} {found['percent']} %", of.scale, of.unit, text)
    if figure in METRICS and (found := _QUANTILE.fullmatch(bound)):
        of = METRICS[figure]
        text = f"{found['percent']} % of the notional had at most this"
        return Meaning(of.group, f"{of.label}, {bound}", of.scale, of.unit, text)
    family, _, rest = name.partition("_")
    inner, _, end = rest.rpartition("_")
    if family == "rejects":
        return Meaning(
            "Rejects by code", rest.replace("_", " ").upper(), 0, "", "Refused with this code of the platform"
        )
    if family == "band" and inner in METRICS and end in {"low", "high"}:
        of = METRICS[inner]
        extreme = "lowest" if end == "low" else "highest"
        return Meaning("Queue models", f"{of.label}, {extreme}", of.scale, of.unit, "Over all queue models")
    if family == "band":
        return Meaning("Queue models", rest.replace("_", " ").capitalize(), 0, "", "Queue models that the band spans")
    if family == "tape":
        return Meaning("Tape", rest.replace("_", " ").capitalize(), 0, "", "From the validation of the dataset")
    return Meaning("Other", name, 0, "", "")


def format_metric(value: float | None, scale: int) -> str:
    """Return a metric as people read it: scaled from its stored integer, thousands apart, a dash where undefined."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, int) and scale == 0:
        return f"{value:,}"
    scaled = value / 10**scale
    if scale == 8:
        return f"{scaled:,.8f}".rstrip("0").rstrip(".")
    return f"{scaled:,.2f}" if abs(scaled) >= 10 else f"{scaled:,.4f}"
