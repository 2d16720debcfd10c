"""Sums and products over arrays of 64-bit integers that may pass 64 bits themselves, without losing a digit."""

from __future__ import annotations

import numpy as np

from evals.engine.layout import Int64s

_ONE_1E8 = 100_000_000


def total(values: Int64s) -> int:
    """Return the sum; for less than 2^31 values."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def dot(left: Int64s, right: Int64s) -> int:
    """Return the sum of the products, splitting the wider factor in halves until nothing can pass 64 bits."""
    if len(left) == 0:
        return 0
    left_bits, right_bits = _bits(left), _bits(right)
    if left_bits + right_bits + len(left).bit_length() < 64:
        return int(np.dot(left, right))
    if left_bits > right_bits:
        left, right, right_bits = right, left, left_bits
    half = right_bits // 2
    return (dot(left, right >> half) << half) + dot(left, right & ((1 << half) - 1))


def times_1e8(left: Int64s, right: Int64s | int) -> Int64s:
    """Return floor(left * right / 10^8) of each pair >= 0, as the engine computes it; each result must fit."""
    left_whole, left_part = np.divmod(left, _ONE_1E8)
    right_whole, right_part = np.divmod(right, _ONE_1E8)
    whole = left_whole * right_whole * _ONE_1E8 + left_whole * right_part + left_part * right_whole
    product: Int64s = whole + left_part * right_part // _ONE_1E8
    return product


def _bits(values: Int64s) -> int:
    return max(int(values.max()).bit_length(), int(values.min()).bit_length())
