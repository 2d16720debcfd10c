"""How far draws lie that are too rare to be seen: the tail of a studentised block bootstrap, by large deviations.

A draw lies far out when it happens to hold its blocks in other shares than equal ones. Shares that diverge by D (in the
sense of Kullback and Leibler) from equal ones come up with a probability of about exp(-blocks * D), and among all that
diverge by no more than D one choice moves the ratio by the most standard errors. So a miss as rare as that of a normal
variable at z, whose probability falls as exp(-z^2 / 2), lies as far out as shares can reach that diverge by
z^2 / (2 * blocks). This is the large deviation principle for self-normalised sums (Shao 1997, "Self-normalized large
deviations", Annals of Probability 25); Daniels and Young (1991), "Saddlepoint approximation for the studentized mean,
with an application to the bootstrap", Biometrika 78, replaced draws by the same exponentially tilted shares.

The principle gives the shape and not the last per cents. So it only says how much farther a rare draw lies than one
that was seen often enough: the draws themselves set the scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Final

import numba as nb
import numpy as np
from numpy.typing import NDArray

LEAST_RANK: Final = 5
"""A distance beyond which fewer draws lie is not read off them."""

_SCALE_RANKS: Final = (LEAST_RANK, 10, 25)
"""The draws that set the scale of the tail: of these the one that puts it farthest out."""

_HALVINGS: Final = 8
_TRIED_STEPS: Final = 3
_MOST_STEPS: Final = 200
_ROUNDING: Final = 1e-12
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, eq=False)
class Side:
    """How many standard errors draws lie from a ratio on one side of it."""

    distances: NDArray[np.float64]
    """Of at least 25 draws: ascending, negative on the other side."""
    deviations: NDArray[np.float64]
    """Of the blocks that are drawn: numerator less ratio times denominator, positive on this side."""
    weights: NDArray[np.float64]
    """Their denominators."""
    blocks: int
    """How many blocks a draw holds."""
    _known: dict[float, float] = field(default_factory=dict, init=False, repr=False)

    def distance(self, miss: float) -> float:
        """Return the distance that a draw exceeds with this probability, in standard errors.

        It is read off the draws where five of them lie beyond it, and extended from those otherwise. It never falls as
        the probability does. It is infinite where draws without any spread are more probable.
        """
        rank = math.floor((len(self.distances) + 1) * miss)
        if rank >= LEAST_RANK:
            return float(self.distances[-rank])
        seen = float(self.distances[-LEAST_RANK])
        if seen <= 0 or seen == math.inf:
            return seen
        farthest = self._farthest(miss)
        return farthest if farthest == math.inf else max(seen, self._scale * farthest)

    @cached_property
    def _scale(self) -> float:
        draws = len(self.distances)
        return max(float(self.distances[-rank]) / self._farthest(rank / (draws + 1)) for rank in _SCALE_RANKS)

    def _farthest(self, miss: float) -> float:
        """Return how far shares of the blocks reach that come up as rarely, in standard errors."""
        if miss not in self._known:
            divergence = _NORMAL.inv_cdf(miss) ** 2 / (2 * self.blocks)
            errors = _most_errors(self.deviations, self.weights, self._centres, divergence)
            self._known[miss] = float(errors) * math.sqrt(self.blocks - 1)
        return self._known[miss]

    @cached_property
    def _centres(self) -> NDArray[np.float64]:
        """Return values of blocks on this side: one that many may have, and the greatest one halved again and again."""
        ours = self.deviations[self.deviations > 0]
        return np.append(ours.max() / 2.0 ** np.arange(_HALVINGS), np.quantile(ours, 0.5, method="inverted_cdf"))


@nb.njit(cache=True, error_model="numpy")
def _most_errors(
    deviations: NDArray[np.float64], weights: NDArray[np.float64], centres: NDArray[np.float64], divergence: float
) -> float:
    """Return the greatest mean deviation, in standard deviations of a block, under shares that diverge by so much.

    There can be several hills. So the search goes some steps from each of some shares, the equal ones and those that
    prefer blocks around a value, and climbs on where it has come highest.
    """
    shares = np.empty(len(deviations))
    slopes = deviations.copy()
    best = _climb(deviations, weights, slopes, divergence, shares, _TRIED_STEPS, 1e-3)
    for centre in centres:
        tried = -((deviations - centre) ** 2)
        reached = _climb(deviations, weights, tried, divergence, shares, _TRIED_STEPS, 1e-3)
        if reached > best:
            best, slopes = reached, tried
    return _climb(deviations, weights, slopes, divergence, shares, _MOST_STEPS, 1e-8)


@nb.njit(cache=True, error_model="numpy")
def _climb(
    deviations: NDArray[np.float64],
    weights: NDArray[np.float64],
    slopes: NDArray[np.float64],
    divergence: float,
    shares: NDArray[np.float64],
    steps: int,
    tolerance: float,
) -> float:
    """Go to the shares that are best by the slopes, again and again, and leave the slopes that are found there.

    Where weights are equal no step goes down: mean - x * (standard deviation) is convex in the shares for each x > 0.
    """
    best = -np.inf
    for _ in range(steps):
        _bend(slopes, divergence, shares, tolerance / 10)
        reached = _errors(deviations, weights, shares)
        if reached == np.inf or reached - best <= tolerance * abs(reached):
            return max(best, reached)
        best = reached
        d, w = np.sum(shares * deviations), np.sum(shares * weights)
        left = deviations - d / w * weights
        variance, common = np.sum(shares * left * left), np.sum(shares * left * weights) / w
        slopes[:] = variance * deviations - d / 2 * (left * left - 2 * common * left)
    return best


@nb.njit(cache=True, error_model="numpy")
def _errors(deviations: NDArray[np.float64], weights: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    d, w = np.sum(shares * deviations), np.sum(shares * weights)
    if w <= 0:
        return np.inf  # as for a draw without any denominator
    left = deviations - d / w * weights
    variance = np.sum(shares * left * left)
    if variance <= _ROUNDING * np.sum(shares * deviations * deviations):
        return np.copysign(np.inf, d)
    return d / np.sqrt(variance)


@nb.njit(cache=True, error_model="numpy")
def _bend(slopes: NDArray[np.float64], divergence: float, shares: NDArray[np.float64], tolerance: float) -> None:
    """Write the shares, in proportion to exp(t * slope), that diverge from equal ones by so much."""
    slopes = slopes - slopes.max()
    span = -slopes.min()
    top = slopes >= -1e-9 * span
    if divergence >= np.log(len(slopes) / np.sum(top)):
        # Nothing but the steepest ones diverges by less.
        shares[:] = top / np.sum(top)
        return
    low, high, t = 0.0, np.inf, np.sqrt(2 * divergence) / np.std(slopes)
    for _ in range(100):
        total, first, second = 0.0, 0.0, 0.0
        for i, slope in enumerate(slopes):
            share = np.exp(t * slope)
            shares[i] = share
            total += share
            first += share * slope
            second += share * slope * slope
        mean = first / total
        miss = divergence - (t * mean - np.log(total / len(slopes)))
        if abs(miss) <= tolerance * divergence:
            break
        if miss > 0:
            low = t
        else:
            high = t
        t += miss / (t * (second / total - mean * mean))
        if not low < t < high:
            t = 2 * low if high == np.inf else (low + high) / 2
    shares /= total
