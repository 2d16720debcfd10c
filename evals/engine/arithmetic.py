"""Exact integer arithmetic for prices, sizes, money and fees.

price (10^9) times size (10^8) passes 64 bits at once, so every product is taken apart or carried in 128 bits.
Rounding: values of positions and trades are rounded towards zero, fees upwards (a fee is never understated, a rebate
never overstated).
"""

from __future__ import annotations

import numpy as np

from evals.engine.kernel import kernel
from evals.engine.layout import Record

_ONE_1E8 = 100_000_000
_LARGEST = 2**63 - 1
_EXACT = 2.0**51
_SMALL_DIVISOR = 2**60
_BPS = 10_000
_SMALL = 2**49
"""Times 10^4, this fits into a word."""


@kernel
def times_1e8(a: int, b: int) -> int:
    """Return floor(a * b / 10^8) for a, b >= 0 without leaving 64 bits; the result itself must fit."""
    a_whole, a_part = a // _ONE_1E8, a % _ONE_1E8
    b_whole, b_part = b // _ONE_1E8, b % _ONE_1E8
    return a_whole * b_whole * _ONE_1E8 + a_whole * b_part + a_part * b_whole + a_part * b_part // _ONE_1E8


@kernel
def muldiv(a: int, b: int, c: int) -> int:
    """Return floor(a * b / c) for a, b >= 0 and c > 0, exactly; 2^63 - 1 if it does not fit."""
    estimate = np.float64(a) * np.float64(b) / np.float64(c)
    if estimate < _EXACT and c < _SMALL_DIVISOR:
        # The estimate is off by two at most, so what it leaves of the product fits into a word, whatever overflows.
        quotient = np.int64(estimate)
        rest = a * b - quotient * c
        while rest < 0:
            quotient -= 1
            rest += c
        while rest >= c:
            quotient += 1
            rest -= c
        return quotient  # type: ignore[return-value]
    return _long_muldiv(a, b, c)


@kernel
def _long_muldiv(a: int, b: int, c: int) -> int:
    """Divide a product of 128 bits, bit by bit."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a_low, a_high = np.uint64(a) & mask, np.uint64(a) >> half
    b_low, b_high = np.uint64(b) & mask, np.uint64(b) >> half
    low = a_low * b_low
    middle = a_high * b_low + (low >> half)
    carry = a_low * b_high + (middle & mask)
    high = a_high * b_high + (middle >> half) + (carry >> half)
    low = (carry << half) | (low & mask)
    divisor = np.uint64(c)
    if high >= divisor:
        return _LARGEST
    rest, quotient = high, np.uint64(0)
    one, top = np.uint64(1), np.uint64(63)
    for _ in range(64):
        rest = (rest << one) | (low >> top)
        low = low << one
        quotient = quotient << one
        if rest >= divisor:
            rest = rest - divisor
            quotient = quotient | one
    if quotient > np.uint64(_LARGEST):
        return _LARGEST
    return np.int64(quotient)  # type: ignore[return-value]


@kernel
def exceeds_bps(distance: int, px_1e9: int, bps: int) -> bool:
    """Return whether a distance is more than so many 10^-4 of a price > 0."""
    if distance < _SMALL and px_1e9 < _SMALL and bps <= _BPS:
        return distance > 0 and distance * _BPS > px_1e9 * bps
    return distance > muldiv(px_1e9, bps, _BPS)


@kernel
def value(rules: Record, px_1e9: int, qty_1e8: int) -> int:
    """Return what a long position of ``qty_1e8`` >= 0 is worth at a price, in 10^-9 of the settlement currency.

    A linear contract settles in quote currency: qty * size * px. An inverse one settles in base currency, where the
    same position is worth -qty * size / px: it gains as the price rises, from below.
    """
    if px_1e9 <= 0:
        return 0
    if rules.inverse:
        return -muldiv(qty_1e8, rules.contract_size_1e8 * 100, px_1e9)
    if rules.contract_size_1e8 == _ONE_1E8:
        return times_1e8(px_1e9, qty_1e8)
    return times_1e8(px_1e9, muldiv(qty_1e8, rules.contract_size_1e8, _ONE_1E8))


@kernel
def position_value(rules: Record, px_1e9: int, position_1e8: int) -> int:
    """Return what a position, long or short, is worth at a price."""
    if position_1e8 < 0:
        return -value(rules, px_1e9, -position_1e8)
    return value(rules, px_1e9, position_1e8)


@kernel
def quote_notional(rules: Record, px_1e9: int, qty_1e8: int) -> int:
    """Return the size of an order in quote currency (10^-9), saturating: what notional limits are about."""
    contracts = qty_1e8 if rules.contract_size_1e8 == _ONE_1E8 else muldiv(qty_1e8, rules.contract_size_1e8, _ONE_1E8)
    if rules.inverse:
        return muldiv(contracts, 10, 1)
    return muldiv(px_1e9, contracts, _ONE_1E8)


@kernel
def fee(traded_1e9: int, ppm: int) -> int:
    """Return ceil(traded * ppm / 10^6) for traded >= 0; negative for a rebate."""
    whole, part = traded_1e9 // 1_000_000, traded_1e9 % 1_000_000
    return whole * ppm - (-part * ppm) // 1_000_000
