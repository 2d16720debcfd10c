"""Figures over parent orders: bounds of costs per notional, and quantiles in which a large order weighs more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evals.statistics.bootstrap import resample
from evals.statistics.levels import DRAWS, PERCENTS, side_level


def ratio_bounds(
    numerators: NDArray[np.int64], denominators: NDArray[np.int64], *, seed: int, look: int = 1
) -> dict[str, float | None]:
    """Return bounds in basis points of sum(numerators) / sum(denominators): ``lower90`` to ``upper99``.

    Rows stand in the order of arrival. The bounds hold over all looks so far; None where there is too little to tell.

    Raises:
        ValueError: if the lengths differ, a denominator is negative or the look is before the first.

    """
    side_level(PERCENTS[0], look)
    found = resample(numerators, denominators, draws=DRAWS, seed=seed)
    bounds: dict[str, float | None] = {}
    for percent in PERCENTS:
        lower, upper = found.interval(side_level(percent, look)) if found else (None, None)
        bounds[f"lower{percent}"] = None if lower is None else lower * 1e4
        bounds[f"upper{percent}"] = None if upper is None else upper * 1e4
    return bounds


def weighted_quantiles(
    values_bps: NDArray[np.float64], weights: NDArray[np.float64] | NDArray[np.int64], percents: Sequence[int]
) -> dict[int, float | None]:
    """Return by percent the smallest value below or at which that share of all weight lies; None without any weight.

    This is the inverse of the weighted distribution function: always a value that occurred, never one in between.

    Raises:
        ValueError: if the lengths differ or a weight is negative.

    """
    if len(values_bps) != len(weights) or bool((weights < 0).any()):
        raise ValueError("Values and weights come in pairs, and no weight is negative.")
    order = np.argsort(values_bps, kind="stable")
    shares = np.cumsum(weights[order].astype(np.float64))
    if len(shares) == 0 or shares[-1] == 0:
        return dict.fromkeys(percents)
    # Multiplied out, so that integer weights are compared exactly.
    places = {percent: int(np.searchsorted(shares * 100, percent * shares[-1])) for percent in percents}
    # A value without weight is no answer; only at 0 % could it come first.
    first = int(np.searchsorted(shares, 0, side="right"))
    return {percent: float(values_bps[order[max(place, first)]]) for percent, place in places.items()}
