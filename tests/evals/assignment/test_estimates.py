"""The estimates: the example of the document to the last unit, and a slow walk over every unit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bundles.assignment import AssignmentModel
from evals.assigning.completion import completed
from evals.assigning.estimates import Level, situations, walk
from evals.assigning.rule import Reason, Thresholds, decide
from evals.market.schema import Instrument
from evals.parents.arrivals import Seen
from evals.parents.orders import PARENT, ParentOrders

PX, SZ = 10**9, 10**8
S = 10**9


def seen(venue: str, bid: float, asks: list[tuple[float, float]], updated_ns: int = 10 * S) -> Seen:
    """A venue at one arrival of a buyer; prices and sizes in units."""
    levels = tuple((round(px * PX), round(size * SZ)) for px, size in asks)
    return Seen(
        instrument=Instrument(venue=venue, symbol="BTC-USD", tick_size_1e9=10**7, lot_size_1e8=10**7),
        first_ns=0,
        last_ns=100 * S,
        rows=1,
        packets=1,
        bid_1e9=np.array([round(bid * PX)]),
        ask_1e9=np.array([levels[0][0] if levels else 0]),
        updated_ns=np.array([updated_ns]),
        depth_1e8=np.array([sum(size for _, size in levels)]),
        levels=(levels,),
        most_bids_1e8=0,
        most_asks_1e8=0,
    )


def order(qty: float, limit: float = 0, side: int = 1) -> ParentOrders:
    row = (10 * S, round(qty * SZ), round(limit * PX), 0, 0, side, 1)
    return ParentOrders("BTC-USD", ("p",), np.array([row], PARENT))


def model(**fields: int) -> AssignmentModel:
    return AssignmentModel(
        edge_venue="alpha",
        edge_latency_ns=0,
        max_venue_age_ns=fields.pop("max_venue_age_ns", S),
        routing_model="art_r",
        impact_model="art_i",
        slicing_policy="immediate",
        **fields,  # type: ignore[arg-type]
    )


ALPHA = seen("alpha", 99.90, [(100.00, 1), (100.10, 2)])
BETA = seen("beta", 99.88, [(100.02, 1.5), (100.20, 5)])
FEES = {"alpha": 500, "beta": 300}
POLICY = Thresholds(edge_1e9=200 * 10**9, sor_1e9=1_000 * 10**9, min_venues=2)


def test_the_example_of_the_document() -> None:
    """`docs/assignment.md`, to the last unit."""
    known = situations(order(2.5), [ALPHA, BETA], model(), FEES)[0]
    assert known.notional_1e9 == 249_875_000_000
    assert known.live_venues == 2
    assert known.edge is not None
    assert (known.edge.filled_1e8, known.edge.cost_1e9) == (250_000_000, 400_075_000)
    assert (known.sor.filled_1e8, known.sor.cost_1e9) == (250_000_000, 250_009_000)
    assert decide(known, POLICY) is Reason.BAND_SOR_CHEAPER


def test_the_margin_of_the_document() -> None:
    reasons = [
        decide(situations(order(2.5), [ALPHA, BETA], model(sor_margin_ppm=ppm), FEES)[0], POLICY) for ppm in (600, 601)
    ]
    assert reasons == [Reason.BAND_SOR_CHEAPER, Reason.BAND_EDGE_CHEAPER]


def test_an_order_that_the_home_venue_serves_best_is_a_tie() -> None:
    known = situations(order(1), [ALPHA, BETA], model(), FEES | {"beta": 800})[0]
    assert known.edge == known.sor
    assert decide(known, Thresholds(1, 10**15, 2)) is Reason.BAND_TIE


def test_a_venue_is_live_to_the_last_nanosecond_of_its_age() -> None:
    for age, live in ((S - 1, 2), (S, 2), (S + 1, 1)):
        late = seen("beta", 99.88, [(100.02, 1.5)], updated_ns=10 * S - age)
        assert situations(order(1), [ALPHA, late], model(), FEES)[0].live_venues == live


def test_a_venue_with_one_side_is_not_live_and_does_not_count_for_the_mid() -> None:
    known = situations(order(1), [ALPHA, seen("beta", 0, [(90.0, 5)]), seen("gamma", 150, [])], model(), FEES)[0]
    assert (known.live_venues, known.notional_1e9) == (1, 99_950_000_000)


def test_a_home_venue_that_is_not_live_has_no_estimate() -> None:
    late = seen("alpha", 99.90, [(100.00, 1)], updated_ns=0)
    known = situations(order(1), [late, BETA], model(), FEES)[0]
    assert known.edge is None
    assert known.sor.filled_1e8 == SZ
    assert decide(known, Thresholds(1, 10**15, 1)) is Reason.BAND_EDGE_NOT_LIVE


def test_without_a_live_venue_nothing_is_known() -> None:
    known = situations(order(1), [seen("alpha", 0, [])], model(), FEES)[0]
    assert (known.notional_1e9, known.live_venues, known.edge, known.sor.filled_1e8) == (0, 0, None, 0)


def test_levels_beyond_the_limit_are_not_taken() -> None:
    known = situations(order(5, limit=100.02), [ALPHA, BETA], model(), FEES)[0]
    assert known.edge is not None
    assert (known.edge.filled_1e8, known.sor.filled_1e8) == (SZ, 250_000_000)


LEVELS = st.lists(st.builds(Level, st.integers(1, 30), st.integers(1, 6), st.integers(-50_000, 50_000)), max_size=6)


@given(LEVELS, st.sampled_from([1, -1]), st.integers(1, 30), st.integers(0, 30), st.integers(1, 30))
def test_a_walk_is_the_cheapest_choice_of_single_units(
    levels: list[Level], side: int, qty: int, limit: int, mid: int
) -> None:
    units = sorted(
        side * (each.px_1e9 - mid) + Fraction(each.px_1e9 * each.fee_ppm, 10**6)
        for each in levels
        for _ in range(each.sz_1e8)
        if not limit or side * (each.px_1e9 - limit) <= 0
    )[:qty]
    found = walk(levels, side=side, qty_1e8=qty, limit_1e9=limit, mid_1e9=mid)
    assert found.filled_1e8 == len(units)
    assert Fraction(found.cost_1e23, 10**6) == sum(units)


@given(LEVELS, LEVELS, st.sampled_from([1, -1]), st.integers(1, 30))
def test_more_books_never_fill_less_nor_cost_more(home: list[Level], other: list[Level], side: int, qty: int) -> None:
    one, both = (walk(each, side=side, qty_1e8=qty, limit_1e9=0, mid_1e9=15) for each in (home, home + other))
    assert both.filled_1e8 >= one.filled_1e8
    if both.filled_1e8 == one.filled_1e8:
        assert both.cost_1e23 <= one.cost_1e23


@given(LEVELS, st.sampled_from([1, -1]), st.integers(1, 40), st.integers(0, 30), st.integers(1, 30))
def test_a_rest_is_completed_unit_by_unit(levels: list[Level], side: int, rest: int, limit: int, mid: int) -> None:
    units = sorted(
        side * (each.px_1e9 - mid) + Fraction(each.px_1e9 * each.fee_ppm, 10**6)
        for each in levels
        for _ in range(each.sz_1e8)
        if not limit or side * (each.px_1e9 - limit) <= 0
    )
    charged = [*units[:rest], *([units[-1]] * (rest - len(units)) if units else [])]
    found = completed(levels, side=side, rest_1e8=rest, limit_1e9=limit, mid_1e9=mid)
    assert Fraction(found.cost_1e23, 10**6) == sum(charged)
    assert found.filled_1e8 == (rest if units else 0)
