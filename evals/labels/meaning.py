"""What one metric says, for people."""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """What a metric says: group, label, the power of ten that its stored integer carries, unit and explanation."""

    group: str
    label: str
    scale: int
    unit: str
    text: str
