"""How figures read in reports: metrics by name, times, intervals, and the reason for a verdict in one sentence."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from evals.labels import format_metric, meaning_of
from evals.reports.tables import UNKNOWN, Metrics

if TYPE_CHECKING:
    from bundles.judging import Judgement

_MOST_DIGITS: Final = 9
_SPANS: Final = (("d", 86_400 * 10**9), ("h", 3_600 * 10**9), ("min", 60 * 10**9), ("s", 10**9), ("ms", 10**6))


def shown(metrics: Metrics, name: str) -> str:
    """Return a metric as people read it, without its unit."""
    return format_metric(metrics.get(name), meaning_of(name).scale)


def titled(name: str) -> str:
    """Return a metric's label with its unit."""
    meaning = meaning_of(name)
    is_said = not meaning.unit or meaning.label.lower().startswith(meaning.unit)
    return meaning.label if is_said else f"{meaning.label}, {meaning.unit}"


def figure(value: float | None, digits: int | None = None) -> str:
    """Return a plain number with so many digits behind the point, without which small ones have three that tell."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    text = f"{value:,.{digits_of(value) if digits is None else digits}f}"
    return text.lstrip("-") if not text.strip("-0.,") else text


def signed(value: float | None, digits: int | None = None) -> str:
    """Return a difference: with its sign, zero without one."""
    text = figure(value, digits)
    return f"+{text}" if value is not None and text.strip("0.,") and not text.startswith(("-", UNKNOWN)) else text


def digits_of(*values: float) -> int:
    """Return how many digits behind the point tell figures of this size: two, or three that are not leading zeros."""
    largest = max(map(abs, values))
    exponent = int(f"{largest:.2e}".partition("e")[2])
    return 2 if exponent >= 0 else min(2 - exponent, _MOST_DIGITS)


def money(value_1e9: float) -> str:
    """Return an amount of money x 10^9 in its unit."""
    return format_metric(value_1e9, 9)


def share(part: float, whole: float) -> str:
    """Return a part of a whole in percent."""
    return f"{100 * part / whole:.1f} %" if whole else UNKNOWN


def interval(low: float | None, high: float | None) -> str:
    """Return the two ends of an interval."""
    if low is None or high is None:
        return UNKNOWN
    digits = digits_of(low, high)
    return f"{signed(low, digits)} to {signed(high, digits)}"


def span(duration_ns: float | None) -> str:
    """Return a duration in the unit that people would use."""
    if duration_ns is None:
        return UNKNOWN
    for unit, size in _SPANS:
        if duration_ns >= size:
            return f"{duration_ns / size:.3g} {unit}"
    return f"{duration_ns / 1_000:.3g} µs" if duration_ns >= 1_000 else f"{duration_ns:.0f} ns"


def utc(time_ns: int) -> str:
    """Return a time to the second."""
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def why(judged: Judgement | None) -> str:
    """Say what a verdict rests on, and in a further sentence what each other stage says."""
    if judged is None:
        return "No gate rule judged this evaluation."
    also = (f"Also {each.reasoned}." for each in judged.others)
    return " ".join((*_reasons(judged), *also))


def _reasons(judged: Judgement) -> list[str]:
    deciding = [check for check in judged.checks if not check.dry_run]
    if judged.verdict == "pass":
        return [f"All {len(deciding)} conditions of {judged.stage} are met."]
    failing = [check.text for check in deciding if check.ok is False]
    unknown = [check.text for check in deciding if check.ok is None]
    # A rule that does not hold fails; what leaves a verdict open can only be how much was seen.
    begins = "Too little was seen" if judged.verdict == "inconclusive" else "Not met"
    asked = f" for {judged.stage}" if judged.stage else ""
    parts = [f"{begins}{asked}: {'; '.join(failing)}."] if failing else []
    return [*parts, *([f"Cannot be told: {'; '.join(unknown)}."] if unknown else [])]
