"""How spans of time are told: in the unit that one would say."""

from __future__ import annotations

from typing import Final

HOUR_NS: Final = 3_600 * 10**9


def lasting(span_ns: int) -> str:
    """Return a span such as ``12 min``, ``3.5 h`` or ``4 d``; no less than a minute."""
    hours = max(span_ns, 0) / HOUR_NS
    if hours < 1:
        return f"{max(round(hours * 60), 1)} min"
    return f"{hours:.1f}".removesuffix(".0") + " h" if hours <= 72 else f"{hours / 24:.0f} d"
