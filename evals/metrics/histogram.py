"""Quantiles in bounded memory: counts in fixed buckets that are exact for small values and narrow for large ones.

The idea is HdrHistogram's (Gil Tene): the same number of equal steps in every octave, so the relative error is bounded.
Buckets do not depend on the data, so counts add up to the same whatever order or pieces the values come in.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from evals.engine.layout import Int64s

_BITS: Final = 11
_EXACT: Final = 1 << _BITS
_STEPS: Final = _EXACT // 2
_BUCKETS: Final = _EXACT + (63 - _BITS) * _STEPS


def quantile_bucket(counts: Int64s, percent: int) -> int | None:
    """Return the first bucket with which the counts reach a percentage of all; None without counts."""
    reached = np.cumsum(counts)
    total = int(reached[-1])
    # ceil(total * percent / 100), without leaving integers
    return int(np.searchsorted(reached, -(-total * percent // 100))) if total else None


class Histogram:
    """Counts of values >= 0 that give any quantile: exact below 2,048, rounded down by less than 1/1024 above."""

    def __init__(self) -> None:
        self._counts: Int64s = np.zeros(_BUCKETS, np.int64)

    def add(self, values: Int64s) -> None:
        """Count values."""
        np.add.at(self._counts, _buckets(values), 1)

    def quantile(self, percent: int) -> int | None:
        """Return the least value that so many per cent of the values do not exceed; None without values."""
        bucket = quantile_bucket(self._counts, percent)
        return None if bucket is None else _least(bucket)


def _buckets(values: Int64s) -> Int64s:
    """Return the bucket of each value: itself below 2^11, then 2^10 steps an octave."""
    # Just below a power of two the float is that power, and one bit too many leads to the same bucket.
    bits = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(bits - _BITS, 0)
    buckets: Int64s = shift * _STEPS + (values >> shift)
    return buckets


def _least(bucket: int) -> int:
    """Return the least value of a bucket."""
    shift = max(bucket // _STEPS - 1, 0)
    return (bucket - shift * _STEPS) << shift
