"""How sure a ratio of two sums is: circular block bootstrap, studentised.

Blocks of neighbouring rows are drawn anew with replacement (Politis and Romano 1992, "A Circular Block-Resampling
Procedure for Stationary Data"), each draw measured in units of its own standard error (Götze and Künsch 1996,
"Second-order correctness of the blockwise bootstrap for stationary observations"). The interval reaches equally far to
both sides: as far as the more spread side of the draws asks. That is wider than a percentile interval by some per cent
and keeps its level where differences are rare, come in bursts or have heavy tails; see docs/statistics.md.

A mean is the ratio whose denominators are 1. A shortfall in basis points is a cost over a notional.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numba as nb
import numpy as np
from numpy.typing import NDArray

from evals.statistics.blocks import memory_of
from evals.statistics.tails import Side

LEAST_ROWS: Final = 30
"""With fewer rows nothing is said."""

LEAST_DEVIATIONS: Final = 10
"""Nor with fewer rows that differ from nothing: nine of a kind come by chance once in 512 times."""

LEAST_BLOCKS: Final = 10
"""Nor where the series remembers for so long that it holds fewer blocks: they would not show how sums of them vary."""

_MOST_CELLS: Final = 4096
"""Longer series are joined, neighbours to cells, to no more than this: the blocks are then blocks of cells."""

_STARTS_AT_A_TIME: Final = 4_000_000
_ROUNDING: Final = 1e-12
"""Deviations that are smaller, of the largest numerator, are rounding."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """A ratio of sums and how far its draws lay from it."""

    ratio: float
    standard_error: float
    block_length: int
    """In rows."""
    draws: int
    sides: tuple[Side, ...]
    """How far the draws lay below and above the ratio; none without any spread."""

    def interval(self, side: float) -> tuple[float, float] | tuple[None, None]:
        """Return the ends of the interval that misses the truth with this probability on each side; see `reach`."""
        reach = self.reach(side)
        return (None, None) if reach is None else (self.ratio - reach, self.ratio + reach)

    def reach(self, side: float) -> float | None:
        """Return how far the interval reaches that misses the truth with this probability on each side.

        It is None where so few rows deviate that draws without any spread come up more often than that.
        """
        errors = max((each.distance(side) for each in self.sides), default=0.0)
        return errors * self.standard_error if math.isfinite(errors) else None


def resample(
    numerators: NDArray[np.int64], denominators: NDArray[np.int64], *, draws: int, seed: int
) -> Resampled | None:
    """Draw the ratio of two sums anew; rows stand in the order of time. None where there is too little to tell.

    Equal arguments give equal draws: they come from PCG64 with this seed.

    Raises:
        ValueError: if the lengths differ or a denominator is negative.

    """
    if len(numerators) != len(denominators) or bool((denominators < 0).any()):
        raise ValueError("Numerators and denominators come in pairs, and no denominator is negative.")
    total = float(denominators.sum(dtype=np.float64))
    if len(numerators) < LEAST_ROWS or total == 0:
        return None
    size = -(-len(numerators) // _MOST_CELLS)
    above, below = _joined(numerators, size), _joined(denominators, size)
    ratio = float(above.sum()) / total
    deviations = above - ratio * below
    if np.abs(deviations).max() <= _ROUNDING * np.abs(above).max():
        return Resampled(ratio, 0.0, size, 0, ())
    if np.count_nonzero(numerators) < LEAST_DEVIATIONS:
        return None
    cells = len(deviations)
    memory = memory_of(deviations)
    wanted, most = max(1, math.ceil(memory.block_length)), cells // LEAST_BLOCKS
    if wanted > most and memory.long_run_variance > memory.variance:
        return None
    # Where neighbours make up for each other, shorter blocks err on the safe side: they see more variance.
    length = min(wanted, most)
    blocks = cells // length
    sums = _block_sums(deviations, length)
    # Blocks see no dependence beyond their ends, the window does: the larger of both variances counts.
    variance = max(float(np.mean(sums**2)) / length * blocks / (blocks - 1), memory.long_run_variance)
    weights = _block_sums(below, length)
    distances = _distances(sums, weights, blocks, draws, seed)
    distances.sort()
    return Resampled(
        ratio=ratio,
        standard_error=math.sqrt(variance / cells) / (total / cells),
        block_length=length * size,
        draws=draws,
        sides=(Side(-distances[::-1], -sums, weights, blocks), Side(distances, sums, weights, blocks)),
    )


def _joined(values: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    return np.add.reduceat(values.astype(np.float64), np.arange(0, len(values), size))


def _block_sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the sum of each block: one begins at every row, and after the last row comes the first."""
    sums = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values[:length])))))
    return np.asarray(sums[length : length + len(values)] - sums[: len(values)], np.float64)


def _distances(
    deviations: NDArray[np.float64], weights: NDArray[np.float64], blocks: int, draws: int, seed: int
) -> NDArray[np.float64]:
    random = np.random.Generator(np.random.PCG64(seed))
    found = np.empty(draws)
    step = max(1, _STARTS_AT_A_TIME // blocks)
    for begin in range(0, draws, step):
        part = found[begin : begin + step]
        starts = random.integers(0, len(deviations), size=(len(part), blocks), dtype=np.uint16)
        _studentise(starts, deviations, weights, part)
    return found


@nb.njit(cache=True)
def _studentise(
    starts: NDArray[np.uint16],
    deviations: NDArray[np.float64],
    weights: NDArray[np.float64],
    found: NDArray[np.float64],
) -> None:
    """Write the distance of each draw from the ratio, in its own standard errors."""
    draws, blocks = starts.shape
    for draw in range(draws):
        d, w, dd, dw, ww = 0.0, 0.0, 0.0, 0.0, 0.0
        for start in starts[draw]:
            deviation, weight = deviations[start], weights[start]
            d += deviation
            w += weight
            dd += deviation * deviation
            dw += deviation * weight
            ww += weight * weight
        if w <= 0:
            found[draw] = np.inf  # a draw without any denominator says nothing
            continue
        moved = d / w
        spread = (dd - 2 * moved * dw + moved * moved * ww) * blocks / (blocks - 1)
        if spread <= 1e-12 * dd:
            found[draw] = 0.0 if d == 0 else np.copysign(np.inf, d)
        else:
            found[draw] = d / np.sqrt(spread)
