"""How likely a Sharpe ratio is more than luck: probabilistic and deflated Sharpe ratio, minimum track record length.

Sharpe ratios here are those of one observation, not annualised, unless it is said. The probabilistic Sharpe ratio and
the minimum track record length are those of Bailey and López de Prado (2012), "The Sharpe Ratio Efficient Frontier",
Journal of Risk 15; the deflated one is that of Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal
of Portfolio Management 40. All of them rest on the variance of an estimated Sharpe ratio in Mertens (2002), "Comments
on the correct variance of estimated Sharpe ratios in Lo (2002) when returns are IID".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals.statistics.blocks import memory_of
from evals.statistics.bootstrap import LEAST_DEVIATIONS, LEAST_ROWS
from evals.statistics.trials import Trials

YEAR_NS: Final = 365 * 86_400 * 10**9
CONFIDENCE: Final = 0.95
"""With which a minimum track record tells a Sharpe ratio from its benchmark."""

_NORMAL: Final = NormalDist()
_EULER: Final = 0.5772156649015329


@dataclass(frozen=True)
class Moments:
    """The shape of some observations that are taken for independent."""

    observations: int
    sharpe: float
    """Mean over standard deviation (n - 1)."""
    skewness: float
    kurtosis: float
    """3 for a normal distribution."""

    @property
    def sharpe_spread(self) -> float:
        """Return the variance of the estimated Sharpe ratio times n - 1 (Mertens 2002)."""
        # By |skewness| <= sqrt(kurtosis - 1) this is not negative; rounding could make it so.
        return max(0.0, 1 - self.skewness * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2)


def moments_of(values: NDArray[np.float64]) -> Moments | None:
    """Return the shape of some observations; None without variance or with fewer than two."""
    n = len(values)
    if n < 2:
        return None
    centred = values - values.mean()
    variance = float(np.mean(centred**2))
    if variance <= (1e-12 * float(np.abs(values).max())) ** 2:
        return None
    return Moments(
        observations=n,
        sharpe=float(values.mean()) / math.sqrt(variance * n / (n - 1)),
        skewness=float(np.mean(centred**3)) / variance**1.5,
        kurtosis=float(np.mean(centred**4)) / variance**2,
    )


def probabilistic_sharpe(moments: Moments, benchmark: float = 0.0) -> float | None:
    """Return the probability that the true Sharpe ratio lies above a benchmark; None where it cannot be told."""
    if moments.observations < 2 or moments.sharpe_spread == 0:
        return None
    distance = (moments.sharpe - benchmark) * math.sqrt(moments.observations - 1)
    return _NORMAL.cdf(distance / math.sqrt(moments.sharpe_spread))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of some worthless trials is expected to show.

    ``variance`` is that of the trials' Sharpe ratios. A single trial was not chosen: it is expected to show 0.
    """
    if trials < 2:
        return 0.0
    best = (1 - _EULER) * _NORMAL.inv_cdf(1 - 1 / trials) + _EULER * _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * best


def deflated_sharpe(moments: Moments, *, trials: int, variance: float) -> float | None:
    """Return the probability that the true Sharpe ratio lies above what the best of the trials shows by luck."""
    return probabilistic_sharpe(moments, expected_best_sharpe(trials, variance))


def minimum_track_length(moments: Moments, benchmark: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
    """Return how many observations tell this Sharpe ratio from a benchmark; None if it is not above it."""
    if moments.sharpe <= benchmark:
        return None
    return 1 + moments.sharpe_spread * (_NORMAL.inv_cdf(confidence) / (moments.sharpe - benchmark)) ** 2


def sharpe_metrics(
    changes_1e9: NDArray[np.int64], *, interval_ns: int, trials: Trials
) -> dict[str, int | float | None]:
    """Return ``probabilistic_sharpe``, ``deflated_sharpe``, ``trials`` and ``min_track_s`` of changes of equity.

    The formulas take observations for independent, which changes from second to second are not. So they are summed up
    over blocks as long as the series remembers, and the sums are the observations: the highest frequency at which the
    assumption is fair, as Bailey and López de Prado (2012) advise.
    """
    figures: dict[str, int | float | None] = {
        "probabilistic_sharpe": None,
        "deflated_sharpe": None,
        "trials": trials.count,
        "min_track_s": None,
    }
    if np.count_nonzero(changes_1e9) < LEAST_DEVIATIONS:
        return figures
    values = changes_1e9.astype(np.float64)
    length = max(1, math.ceil(memory_of(values).block_length))
    count = len(values) // length
    # An incomplete block would be another kind of observation; the oldest changes are left out for it.
    moments = moments_of(values[len(values) - count * length :].reshape(count, length).sum(axis=1))
    if moments is None or count < LEAST_ROWS:
        return figures
    observation_ns = length * interval_ns
    if trials.sharpe_variance is None:
        # Trials of which no Sharpe ratios are known differ at least as much as estimates of one and the same do.
        variance = moments.sharpe_spread / (count - 1)
    else:
        variance = trials.sharpe_variance * observation_ns / YEAR_NS
    least = minimum_track_length(moments)
    return figures | {
        "probabilistic_sharpe": probabilistic_sharpe(moments),
        "deflated_sharpe": deflated_sharpe(moments, trials=trials.count, variance=variance),
        "min_track_s": None if least is None else least * observation_ns / 1e9,
    }
