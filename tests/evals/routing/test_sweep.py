"""The sweep takes the cheapest next level first, and keeps to lots, minimums and limits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.routing.kernels.sweep import no_offers, sweep
from tests.evals.routing.plain import Offer, plain_sweep

MID = 1_000_000


def swept(offers: Sequence[Offer | None], side: int, qty: int, limit: int = 0) -> list[dict[int, int]]:
    """Run the kernel on the same offers."""
    room = no_offers(len(offers))
    for venue, offer in enumerate(offers):
        if offer is None:
            continue
        into = room.venues[venue]
        into["usable"], into["levels"] = 1, len(offer.levels)
        for level, (px, size) in enumerate(offer.levels):
            room.px_1e9[venue, level], room.left_1e8[venue, level] = px, size
        into["depth_1e8"] = sum(size for _, size in offer.levels)
        into["fixed_1e9"], into["fee_ppm"], into["venue_impact_1e9"] = offer.fixed, offer.fee_ppm, offer.impact
        into["lot_1e8"], into["min_qty_1e8"], into["min_notional_1e9"] = offer.lot, offer.min_qty, offer.min_notional
    total = sweep(room, side, MID, qty, limit)
    took = [
        {
            int(room.px_1e9[venue, level]): int(room.took_1e8[venue, level])
            for level in range(room.venues["levels"][venue])
            if room.took_1e8[venue, level]
        }
        for venue in range(len(offers))
    ]
    assert total == sum(sum(each.values()) for each in took)
    return took


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[Offer | None], int, int, int]:
    side = draw(st.sampled_from([1, -1]))
    offers: list[Offer | None] = []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 9)) == 0:
            offers.append(None)
            continue
        steps = sorted(draw(st.sets(st.integers(-3, 12), max_size=8)))
        levels = [(MID + side * step * 100, draw(st.integers(0, 30))) for step in steps]
        offers.append(
            Offer(
                levels,
                lot=draw(st.sampled_from([1, 2, 5])),
                fixed=draw(st.sampled_from([0, 0, 50, 100])),
                fee_ppm=draw(st.sampled_from([0, 0, -50, 100, 333])),
                impact=draw(st.sampled_from([0, 0, 500])),
                min_qty=draw(st.sampled_from([0, 0, 8])),
                min_notional=draw(st.sampled_from([0, 0, 1])),
            )
        )
    qty = draw(st.integers(1, 150))
    limit = draw(st.sampled_from([0, 0, MID + side * 300]))
    return offers, side, qty, limit


@given(markets())
def test_is_the_plain_one(market: tuple[list[Offer | None], int, int, int]) -> None:
    offers, side, qty, limit = market
    assert swept(offers, side, qty, limit) == plain_sweep(offers, side, qty, limit)


@given(markets())
def test_keeps_to_lots_minimums_limits_and_what_is_there(market: tuple[list[Offer | None], int, int, int]) -> None:
    offers, side, qty, limit = market
    took = swept(offers, side, qty, limit)
    assert sum(sum(each.values()) for each in took) <= qty
    for offer, each in zip(offers, took, strict=True):
        if offer is None:
            assert not each
            continue
        shown = dict(offer.levels)
        for px, size in each.items():
            assert 0 < size <= shown[px]
            assert size % offer.lot == 0
            assert not limit or side * (px - limit) <= 0
        total = sum(each.values())
        assert total == 0 or total >= offer.min_qty


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    venues=st.integers(2, 4),
    qty=st.integers(1, 400),
    side=st.sampled_from([1, -1]),
)
def test_identical_venues_are_taken_alike(sizes: list[int], venues: int, qty: int, side: int) -> None:
    levels = [(MID + side * 100 * step, size) for step, size in enumerate(sizes)]
    took = swept([Offer(levels)] * venues, side, qty)
    assert sum(sum(each.values()) for each in took) == min(qty, venues * sum(sizes))
    for px, _ in levels:
        shares = [each.get(px, 0) for each in took]
        # In proportion to equal sizes: no two differ by more than what the rounding left.
        assert max(shares) - min(shares) < venues
        assert shares == sorted(shares, reverse=True), "what the rounding left goes to the first venues"


def test_the_last_level_is_shared_by_its_depth() -> None:
    offers = [Offer([(MID, 30), (MID + 100, 10)]), Offer([(MID, 10), (MID + 100, 50)])]
    assert swept(offers, 1, 20) == [{MID: 15}, {MID: 5}]
    assert swept(offers, 1, 52) == [{MID: 30, MID + 100: 2}, {MID: 10, MID + 100: 10}]


def test_a_venue_below_its_minimum_is_dropped_and_its_part_offered_to_the_others() -> None:
    offers = [Offer([(MID, 100)]), Offer([(MID - 100, 3)], min_qty=5)]
    assert swept(offers, 1, 50) == [{MID: 50}, {}]


def test_of_two_below_their_minimum_the_smaller_goes_and_the_other_may_stay() -> None:
    offers = [Offer([(MID, 20)], min_qty=8), Offer([(MID, 10)], min_qty=8)]
    assert swept(offers, 1, 10) == [{MID: 10}, {}]


def test_fees_decide_between_equal_prices() -> None:
    offers = [Offer([(MID, 5)], fee_ppm=100), Offer([(MID, 5)], fee_ppm=99)]
    assert swept(offers, 1, 5) == [{}, {MID: 5}]
    assert swept(offers, -1, 5) == [{}, {MID: 5}]


def test_venue_impact_turns_to_the_other_venue_as_depth_goes() -> None:
    deep = Offer([(MID, 10), (MID + 100, 10)], impact=400)
    assert swept([deep, Offer([(MID + 150, 10)])], 1, 15) == [{MID: 10}, {MID + 150: 5}]
    deep.impact = 0
    assert swept([deep, Offer([(MID + 150, 10)])], 1, 15) == [{MID: 10, MID + 100: 5}, {}]


@pytest.mark.parametrize("side", [1, -1])
def test_no_level_beyond_the_limit(side: int) -> None:
    levels = [(MID + side * 100 * step, 5) for step in range(4)]
    assert swept([Offer(levels)], side, 100, MID + side * 100) == [{MID: 5, MID + side * 100: 5}]
