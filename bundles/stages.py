"""The stages of the three ladders, as data."""

from __future__ import annotations

from typing import Final

STAGES: Final[dict[str, tuple[str, ...]]] = {
    "edge": ("research", "replay", "shadow", "live", "scaled"),
    "sor": ("research", "replay", "sandbox", "live", "scaled"),
    "assignment": ("research", "replay", "sandbox", "live", "scaled"),
}
"""By target, from where every bundle starts to where it may go."""
