"""Is a candidate better than an incumbent: the differences of both, interval by interval, over the same market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals.metrics.exact import total
from evals.statistics.bootstrap import Resampled, resample
from evals.statistics.levels import DRAWS, PERCENTS, side_level

JUDGED_PERCENT: Final = 95
"""The confidence with which a comparison takes sides."""

_MISSED: Final = 0.1
"""A detectable difference is overlooked with this probability."""


@dataclass(frozen=True)
class Paired:
    """What a series of paired differences comes to."""

    total_1e9: int
    intervals: int
    look: int
    capital_1e9: int
    resampled: Resampled | None
    """None where all is zero, or there is too little to tell."""

    @property
    def comparison(self) -> int | None:
        """Return 1 if the candidate is better, -1 if it is worse, 0 if the two are not told apart.

        None if there is too little to tell, which is not the same as equal.
        """
        lower, upper = self._bounds_1e9(JUDGED_PERCENT)
        if lower is None or upper is None:
            return None
        return int(lower > 0) - int(upper < 0)

    @property
    def block_length(self) -> int | None:
        """Return the length of the bootstrap's blocks in intervals; None if nothing was drawn."""
        return self.resampled.block_length if self.resampled and self.resampled.draws else None

    @property
    def draws(self) -> int:
        """Return how many times the bootstrap drew."""
        return self.resampled.draws if self.resampled else 0

    @property
    def detectable_1e9(self) -> float | None:
        """Return the difference that would be told from nothing 9 times in 10, at this look."""
        if self.resampled is None:
            return None
        told, missed = self.resampled.reach(side_level(JUDGED_PERCENT, self.look)), self.resampled.reach(_MISSED)
        return None if told is None or missed is None else (told + missed) * self.intervals

    def metrics(self, name: str) -> dict[str, int | float | None]:
        """Return the figures under a name such as ``pnl_diff``; basis points are those of the capital."""
        found: dict[str, int | float | None] = {
            f"{name}_1e9": self.total_1e9,
            f"{name}_bps": self._bps(self.total_1e9),
        }
        for percent in PERCENTS:
            lower, upper = self._bounds_1e9(percent)
            found |= {f"{name}_bps_lower{percent}": self._bps(lower), f"{name}_bps_upper{percent}": self._bps(upper)}
        stem = name.rpartition("_")[2]
        return found | {
            f"detectable_{stem}_bps": self._bps(self.detectable_1e9),
            "block_length": self.block_length,
            "bootstrap_draws": self.draws,
            "look": self.look,
        }

    def _bounds_1e9(self, percent: int) -> tuple[float | None, float | None]:
        reach = self.resampled.reach(side_level(percent, self.look)) if self.resampled else None
        if reach is None:
            return None, None
        return self.total_1e9 - reach * self.intervals, self.total_1e9 + reach * self.intervals

    def _bps(self, money_1e9: float | None) -> float | None:
        return None if money_1e9 is None else money_1e9 / self.capital_1e9 * 1e4


def compare_paired(differences_1e9: NDArray[np.int64], *, capital_1e9: int, look: int, seed: int) -> Paired:
    """Compare by the differences candidate - incumbent of equal intervals, in the order of time.

    The bounds hold over all looks so far; see `levels`. Differences that are all zero are exactly nothing, however few
    they are.

    Raises:
        ValueError: if the capital is not positive or the look is before the first.

    """
    if capital_1e9 <= 0:
        raise ValueError(f"The capital must be positive; it is {capital_1e9}.")
    side_level(JUDGED_PERCENT, look)
    count = len(differences_1e9)
    if count and not differences_1e9.any():
        return Paired(0, count, look, capital_1e9, Resampled(0.0, 0.0, 1, 0, ()))
    ones = np.ones(count, np.int64)
    resampled = resample(differences_1e9, ones, draws=DRAWS, seed=seed)
    return Paired(total(differences_1e9), count, look, capital_1e9, resampled)
