"""How times are told: moments in UTC, spans in the unit that one would say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

HOUR_NS: Final = 3_600 * 10**9


def utc(at_ns: int) -> str:
    """Return a moment such as ``2026-11-22T17:06:58Z``."""
    return datetime.fromtimestamp(at_ns // 10**9, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lasting(span_ns: int) -> str:
    """Return a span such as ``12 min``, ``3.5 h`` or ``4 d``; no less than a minute."""
    hours = max(span_ns, 0) / HOUR_NS
    if hours < 1:
        return f"{max(round(hours * 60), 1)} min"
    return f"{hours:.1f}".removesuffix(".0") + " h" if hours <= 72 else f"{hours / 24:.0f} d"
