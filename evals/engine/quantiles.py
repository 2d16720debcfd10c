"""The quantiles of a lognormal distribution as integers, the same on every machine thanks to decimal arithmetic."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np

from evals.engine.latency import ONE, QUANTILES
from evals.engine.layout import Int64s

_DIGITS: Final = 30


@cache
def lognormal(sigma_ppm: int) -> Int64s:
    """Return QUANTILES factors on the median, in units of 1/ONE, for a standard deviation of the logarithm.

    The k-th is exp(sigma z) at the normal quantile z of (k + 1/2) / QUANTILES. z comes from floating point and is
    rounded to ten decimals, far coarser than any library's error, the exponential from decimal arithmetic.
    """
    with localcontext() as context:
        context.prec = _DIGITS
        sigma = Decimal(sigma_ppm) / 1_000_000
        half = [
            Decimal(round(NormalDist().inv_cdf((k + 0.5) / QUANTILES) * 10**10)) / 10**10
            for k in range(QUANTILES // 2, QUANTILES)
        ]
        above = [(sigma * z).exp() for z in half]
        factors = [1 / factor for factor in reversed(above)] + above
        return np.array([int(factor * ONE) for factor in factors], np.int64)
