"""Exact arithmetic and accounting against Python's integers and fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.engine import layout
from evals.engine.accounting import average_entry, book_fill, equity, unrealized
from evals.engine.arithmetic import fee, muldiv, times_1e8
from evals.engine.gateway import fuel_bucket, fuel_of_bucket

INT64 = st.integers(0, 2**63 - 1)


@given(a=INT64, b=INT64, c=st.integers(1, 2**63 - 1))
def test_muldiv_is_exact_or_saturates(a: int, b: int, c: int) -> None:
    assert muldiv(a, b, c) == min(a * b // c, 2**63 - 1)


@given(a=st.integers(0, 10**18), b=st.integers(0, 10**17))
def test_times_1e8_is_exact(a: int, b: int) -> None:
    if a * b // 10**8 < 2**63:
        assert times_1e8(a, b) == a * b // 10**8


@given(traded=st.integers(0, 2**62), ppm=st.integers(-10_000, 10_000))
def test_a_fee_is_never_understated(traded: int, ppm: int) -> None:
    assert fee(traded, ppm) == -(-traded * ppm // 10**6)


@given(fuel=INT64)
def test_a_fuel_bucket_begins_just_below_its_counts(fuel: int) -> None:
    least = fuel_of_bucket(fuel_bucket(fuel))
    assert least <= fuel
    assert fuel - least <= (0 if fuel < 2**14 else fuel // 2**13)


TRADES = st.lists(
    st.tuples(st.sampled_from((1, -1)), st.integers(1, 10**14), st.integers(1, 10**11), st.integers(-(10**9), 10**9)),
    min_size=1,
    max_size=30,
)


def rules_of(*, inverse: bool) -> Any:
    rules = np.zeros(1, layout.RULES)[0]
    rules["inverse"] = inverse
    rules["contract_size_1e8"] = 10**10 if inverse else 10**8
    return rules


@settings(deadline=None)
@given(trades=TRADES, inverse=st.booleans(), mid=st.integers(1, 10**14))
def test_accounts_agree_with_fractions(trades: list[tuple[int, int, int, int]], inverse: bool, mid: int) -> None:
    rules = rules_of(inverse=inverse)
    account = np.zeros(1, layout.ACCOUNT)[0]
    cash = Fraction(0)
    position = fees = 0

    def worth(px: int, qty: int) -> Fraction:
        return Fraction(-qty * 10**10 * 100, px) if inverse else Fraction(px * qty, 10**8)

    scale = max(px for _, px, _, _ in trades)
    largest = sum(abs(worth(min(px for _, px, _, _ in trades) if inverse else scale, qty)) for _, _, qty, _ in trades)
    if largest * 4 > 2**62 or abs(worth(mid, sum(qty for _, _, qty, _ in trades))) > 2**62:
        return
    for side, px, qty, fee_1e9 in trades:
        book_fill(account, rules, side, px, qty, fee_1e9)
        cash -= side * worth(px, qty) + fee_1e9
        position += side * qty
        fees += fee_1e9
    n = len(trades)
    assert account["position_1e8"] == position
    assert account["fees_1e9"] == fees
    assert abs(account["cash_1e9"] - cash) <= n
    assert abs(equity(account, rules, mid) - cash - worth(mid, position)) <= n + 1
    # What is realised and what is not add up to the equity, to the last unit.
    assert account["realized_1e9"] + unrealized(account, rules, mid) == equity(account, rules, mid)
    if position == 0:
        assert account["cost_1e9"] == 0
        assert average_entry(account, rules) == 0


def test_the_average_entry_is_the_weighted_mean_of_the_open_position() -> None:
    rules, account = rules_of(inverse=False), np.zeros(1, layout.ACCOUNT)[0]
    for side, px, qty in ((1, 100, 2), (1, 103, 1), (-1, 150, 1)):
        book_fill(account, rules, side, px * 10**9, qty * 10**8, 0)
    assert average_entry(account, rules) == 101 * 10**9
    assert account["realized_1e9"] == 49 * 10**9
    book_fill(account, rules, -1, 90 * 10**9, 5 * 10**8, 0)
    assert average_entry(account, rules) == 90 * 10**9, "turned short: the entry is that of the new side"
    assert account["position_1e8"] == -3 * 10**8
