"""What one metric says, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Meaning(NamedTuple):
    """What a metric says: group, label, the power of ten that its stored integer carries, unit and explanation."""

    group: str
    label: str
    scale: int
    unit: str
    text: str


def with_quantiles(means: Mapping[str, Meaning]) -> dict[str, Meaning]:
    """Return means over orders, each followed by its quantiles ``_p50``, ``_p75``, ``_p95`` and ``_p99``."""
    found: dict[str, Meaning] = {}
    for name, of in means.items():
        found[name] = of
        done = "saved" if name.startswith("savings") else "cost"
        for percent in (50, 75, 95, 99):
            text = f"{percent} % of the notional {done} at most this"
            found[f"{name}_p{percent}"] = Meaning(of.group, f"{of.label}, p{percent}", of.scale, of.unit, text)
    return found
