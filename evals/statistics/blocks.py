"""How long a series remembers: the block length of a circular bootstrap, chosen from the data.

The rule is that of Politis and White (2004), "Automatic Block-Length Selection for the Dependent Bootstrap",
Econometric Reviews 23, with the constants of Patton, Politis and White (2009), "Correction to ...", Econometric
Reviews 28. What the papers leave open is as in Patton's program, which the package `arch` follows too: the cut-off is
the first lag from which on five autocorrelations in a row are small, and a block is at most min(3 sqrt(n), n / 3) long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SMALL: Final = 2.0
"""An autocorrelation below this many times sqrt(log10(n) / n) is small."""


@dataclass(frozen=True)
class Memory:
    """How a stationary series depends on its past."""

    variance: float
    block_length: float
    """The length of the blocks that estimates the variance of the mean with the least expected squared error."""
    long_run_variance: float
    """n times the variance of the mean of n values: the autocovariances under a flat-top window (Politis and Romano
    1995, "Bias-Corrected Nonparametric Spectral Estimation"). It may come out negative."""


def memory_of(values: NDArray[np.float64]) -> Memory:
    """Return how a series depends on its past; one without any variance remembers nothing."""
    n = len(values)
    longest = math.ceil(min(3 * math.sqrt(n), n / 3))
    in_a_row = max(5, math.ceil(math.sqrt(math.log10(n))))
    last = min(math.ceil(math.sqrt(n)) + in_a_row, n - 1)
    centred = values - values.mean()
    covariances = np.array([centred[lag:] @ centred[: n - lag] for lag in range(last + 1)]) / n
    if covariances[0] == 0:
        return Memory(0.0, 1.0, 0.0)
    is_small = np.abs(covariances / covariances[0]) < _SMALL * math.sqrt(math.log10(n) / n)
    runs = (lag for lag in range(1, last - in_a_row + 2) if is_small[lag : lag + in_a_row].all())
    window = min(2 * next(runs, last), last)
    lags = np.arange(1, window + 1)
    weights = np.minimum(1.0, 2 * (1 - lags / window)) * covariances[1 : window + 1]
    variance = float(covariances[0] + 2 * weights.sum())
    slope = float(2 * (lags * weights).sum())
    if variance == 0:
        return Memory(float(covariances[0]), float(longest), 0.0)
    length = (2 * slope**2 / (4 / 3 * variance**2) * n) ** (1 / 3)
    return Memory(float(covariances[0]), min(length, float(longest)), variance)
