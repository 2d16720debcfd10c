"""Money is rounded against us, the oracle's for it; draws are even and always the same."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evals.routing.kernels.money import (
    decayed,
    drawn,
    fee_of,
    least_fee_of,
    least_paid,
    paid,
    share_down,
    share_up,
    whole_root,
)

PRICES = st.integers(1, 10**15)
SIZES = st.integers(0, 10**12)
SIDES = st.sampled_from([1, -1])
FEES = st.integers(-100_000, 100_000)


@given(SIDES, PRICES, SIZES, FEES)
def test_values_and_fees_bracket_the_exact_ones(side: int, px: int, qty: int, ppm: int) -> None:
    exact = Fraction(px * qty, 10**8)
    assert paid(side, px, qty) == math.ceil(side * exact)
    assert least_paid(side, px, qty) == math.floor(side * exact)
    fee = exact * ppm / 10**6
    assert least_fee_of(px, qty, ppm) <= fee <= fee_of(px, qty, ppm)
    assert fee_of(px, qty, ppm) - least_fee_of(px, qty, ppm) <= 2


@given(st.integers(0, 2**60), st.integers(-(10**6), 10**6))
def test_shares_are_rounded_the_way_they_say(amount: int, ppm: int) -> None:
    assert share_down(amount, ppm) == amount * ppm // 10**6
    assert share_up(amount, ppm) == -(-amount * ppm // 10**6)


@given(st.one_of(st.integers(0, 2**62), st.integers(0, 2**31).map(lambda x: x * x), st.integers(0, 100)))
def test_roots_are_whole_and_exact(x: int) -> None:
    assert whole_root(x) == math.isqrt(x)
    assert whole_root(max(x - 1, 0)) == math.isqrt(max(x - 1, 0))


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**13))
def test_decay_halves_with_each_half_life_and_never_strays_far(amount: int, elapsed: int, half: int) -> None:
    left = decayed(amount, elapsed, half)
    exact = amount * 0.5 ** (elapsed / half)
    # A straight line between two halvings lies at most 6.2 % above the curve.
    assert exact * 0.999_999 - 2 <= left <= exact * 1.0615 + 2
    assert decayed(amount, 3 * half, half) in (amount // 8, 0)
    assert decayed(amount, elapsed, 0) == amount


def test_draws_are_even_and_depend_on_every_word() -> None:
    draws = np.array([drawn(7, 1, at, 3, 1_000) for at in range(20_000)])
    counts = np.bincount(draws, minlength=1_000)
    assert draws.min() >= 0
    assert draws.max() < 1_000
    # Chi-squared with 999 degrees of freedom lies below 1,150 with probability 0.999.
    assert ((counts - 20) ** 2 / 20).sum() < 1_150
    words = (7, 1, 5, 3)
    changed = [tuple(word + (at == n) for n, word in enumerate(words)) for at in range(4)]
    assert len({drawn(*each, 2**31 - 1) for each in [words, *changed]}) == 5
