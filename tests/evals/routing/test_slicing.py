"""Slicing: how much by when, and that a curve of volume knows only the days before."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.errors import InvalidInputError
from evals.market.schema import ASK, BID, BUY_TRADE, SELL_TRADE
from evals.market.tape import Tape
from evals.routing.settings import FaultPlan, RoutingSettings
from evals.routing.slicing import slice_counts, targets_of
from evals.routing.survey import DAY_NS, survey
from tests.evals.routing.desk import COIN, S, book_rows, model_of, parents_of, tape_of
from tests.evals.routing.test_replay import run

H = 3600 * S
END = (60 * S, BID, 98, 1)


def filled(found: Any) -> dict[int, float]:
    """Return what each slice filled."""
    total: dict[int, float] = {}
    for row in found.children:
        total[int(row["slice"])] = total.get(int(row["slice"]), 0) + int(row["qty_1e8"]) / COIN
    return total


def test_twap_is_even_and_the_last_takes_the_rest() -> None:
    tape = tape_of("one", [*book_rows({99: 500}, {100: 500}), END])
    found = run([tape], parents_of({"qty": 0.01, "horizon": 10 * S}), settings=RoutingSettings(slices=3))
    assert filled(found) == {0: 0.003, 1: 0.003, 2: 0.004}
    assert found.parents["filled_1e8"][0] == COIN // 100


def test_what_a_slice_could_not_fill_rolls_over() -> None:
    rows = [*book_rows({99: 5}, {100: 1}), (5 * S, ASK, 100, 9), END]
    found = run([tape_of("one", rows)], parents_of({"qty": 4, "horizon": 8 * S}), settings=RoutingSettings(slices=2))
    assert filled(found) == {0: 1, 1: 3}


def test_immediate_is_one_slice() -> None:
    tape = tape_of("one", [*book_rows({99: 500}, {100: 500}), END])
    found = run([tape], parents_of({"qty": 2, "horizon": 10 * S}), slicing="immediate")
    assert filled(found) == {0: 2}
    assert found.parents["slices"][0] == 1


def test_pov_takes_its_share_of_what_traded_before_and_leaves_the_rest() -> None:
    rows = [
        *book_rows({99: 500}, {100: 500}),
        (S // 2, SELL_TRADE, 99, 10),  # before the interval that the first slice looks back over
        (9 * S, SELL_TRADE, 99, 10),
        (12 * S, BUY_TRADE, 100, 20),
        (20 * S, BUY_TRADE, 100, 40),  # at the moment of the third slice: seen
        (25 * S, BUY_TRADE, 100, 80),
        END,
    ]
    order = {"qty": 50, "at": 10 * S, "horizon": 15 * S, "participation_ppm": 100_000}
    found = run([tape_of("one", rows)], parents_of(order), slicing="pov", settings=RoutingSettings(slices=3))
    assert filled(found) == {0: 1, 1: 2, 2: 4}
    own = RoutingSettings(slices=3, participation_ppm=50_000)
    order["participation_ppm"] = 0
    assert filled(run([tape_of("one", rows)], parents_of(order), slicing="pov", settings=own)) == {0: 0.5, 1: 1, 2: 2}


def test_a_parent_s_participation_holds_under_twap_too() -> None:
    rows = [*book_rows({99: 500}, {100: 500}), (9 * S, SELL_TRADE, 99, 10), (12 * S, BUY_TRADE, 100, 2), END]
    order = {"qty": 20, "at": 10 * S, "horizon": 20 * S, "participation_ppm": 500_000}
    found = run([tape_of("one", rows)], parents_of(order), settings=RoutingSettings(slices=2))
    assert filled(found) == {0: 5, 1: 1}


def two_days() -> list[Tape]:
    """Yesterday three quarters of the volume came in the second hour; today all of it in the first."""
    rows = [
        *book_rows({99: 500}, {100: 500}),
        (H // 2, BUY_TRADE, 100, 10),
        (H + H // 2, BUY_TRADE, 100, 30),
        (DAY_NS, BID, 99, 400),
        (DAY_NS + H // 4, BUY_TRADE, 100, 999),
        (DAY_NS + 3 * H, BID, 99, 500),
    ]
    return [tape_of("one", rows)]


def test_vwap_follows_the_curve_of_earlier_days() -> None:
    order = parents_of({"qty": 4, "at": DAY_NS + 60 * S, "horizon": 2 * H - 60 * S})
    settings = RoutingSettings(slices=2, curve_bin_s=3600, market_age_ns=3_600 * S)
    order.rows["arrival_ns"] -= 60 * S
    order.rows["horizon_ns"] += 60 * S
    assert filled(run(two_days(), order, slicing="vwap", settings=settings)) == {0: 1, 1: 3}


def test_scrambling_the_day_itself_changes_no_curve() -> None:
    [tape] = two_days()
    order = parents_of({"qty": 4, "at": DAY_NS, "horizon": 2 * H}, {"qty": 4, "at": DAY_NS + H, "horizon": H})
    settings = RoutingSettings(slices=9, curve_bin_s=900)
    counts = slice_counts(order, "vwap", settings)
    scrambled = Tape(tape.events.copy(), tape.info)
    today = scrambled.events["receive_ns"] // DAY_NS == int(order.rows["arrival_ns"][0]) // DAY_NS
    scrambled.events["sz_1e8"][today] *= 7
    one, other = (targets_of(order, "vwap", counts, survey([each], 900)) for each in (tape, scrambled))
    assert (one == other).all()
    scrambled.events["sz_1e8"][:] *= np.arange(1, 1 + len(today))
    assert (one != targets_of(order, "vwap", counts, survey([scrambled], 900))).any()


def test_where_nothing_traded_time_counts() -> None:
    order = parents_of({"qty": 4, "at": DAY_NS + 2 * H, "horizon": H})
    settings, old = RoutingSettings(slices=2, market_age_ns=3 * H), model_of("one", max_book_age_ns=3 * H)
    assert filled(run(two_days(), order, slicing="vwap", settings=settings, model=old)) == {0: 2, 1: 2}


@given(
    volumes=st.lists(st.integers(0, 50), min_size=24, max_size=24),
    start=st.integers(0, 24 * 3600 - 1),
    length=st.integers(1, 100_000),
    slices=st.integers(1, 12),
)
def test_targets_are_the_curve_s_shares(volumes: list[int], start: int, length: int, slices: int) -> None:
    rows = [*book_rows({99: 5}, {100: 5})]
    rows += [(hour * H + 1, BUY_TRADE, 100, size) for hour, size in enumerate(volumes) if size]
    rows += [(3 * DAY_NS, BID, 99, 5)]
    order = parents_of({"qty": 1, "at": DAY_NS + start * S, "horizon": length * S})
    settings = RoutingSettings(slices=slices, interval_ns=S // 1000, curve_bin_s=3600)
    counts = slice_counts(order, "vwap", settings)
    [targets] = targets_of(order, "vwap", counts, survey([tape_of("one", rows)], 3600))

    def until(seconds: Fraction) -> Fraction:
        days, rest = divmod(seconds, 86_400)
        hour, within = divmod(rest, 3600)
        return int(days) * sum(volumes) + sum(volumes[: int(hour)]) + volumes[int(hour)] * within / 3600

    whole = until(Fraction(start + length)) - until(Fraction(start))
    for k, target in enumerate(targets.tolist(), 1):
        share = Fraction(k, slices)
        if whole:
            share = (until(start + length * share) - until(Fraction(start))) / whole
        # A curve is in whole units of 10^-8, so a short piece of it is as coarse as it is small.
        assert abs(target - share * COIN) <= 2 + (2 * COIN / (whole * COIN) if whole else 0)


def test_vwap_without_an_earlier_day_is_refused_by_name() -> None:
    orders = parents_of({"qty": 1, "at": S, "horizon": H}, {"qty": 1, "at": DAY_NS, "horizon": H})
    with pytest.raises(InvalidInputError, match=r"1 parents arrive on or before it, first order-0.*earlier.*twap"):
        run(two_days(), orders, slicing="vwap", faults=FaultPlan())


def test_an_unknown_policy_is_refused_with_the_list() -> None:
    with pytest.raises(InvalidInputError, match=r"'close'.*vwap, twap, pov, immediate"):
        run(two_days(), parents_of({"qty": 1}), slicing="close")
