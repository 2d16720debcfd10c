"""The sweep: a greedy walk over the levels of all venues, the cheapest next level first, from a heap of venues.

It is no solver: what a level costs does not look at what comes after it. It needs none where costs only rise with each
further level of a venue, which they do here.

Levels that cost the same are taken alike: all of each while the order needs them all; the last of them shared in
proportion to their sizes, each share rounded down to the venue's lot, and what the rounding left given to the first
venues in order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.engine.arithmetic import muldiv, times_1e8
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.money import share_up

DEPTH = 64
"""Levels of a side that the router looks at."""

_Int64s = NDArray[np.int64]


OFFER = np.dtype(
    [
        (name, "<i8")
        for name in (
            "usable",
            "levels",
            "depth_1e8",  # what the venue displays on all these levels
            "fixed_1e9",  # what a unit costs there beyond price, fee and venue impact
            "fee_ppm",
            "venue_impact_1e9",  # what a unit would cost more if the whole depth had been taken
            "lot_1e8",
            "min_qty_1e8",
            "min_notional_1e9",
            "allocated_1e8",
            "next_level",
        )
    ]
)
"""What a venue offers, and what the sweep makes of it."""


class Offers(NamedTuple):
    """What all venues offer; arrays by venue, of (venue, level), and the heap."""

    venues: NDArray[np.void]
    """Rows of OFFER."""
    px_1e9: _Int64s
    left_1e8: _Int64s
    """What may be taken of a level."""
    took_1e8: _Int64s
    """What the sweep took of it."""
    heap_costs: _Int64s
    heap_venues: _Int64s
    tied: _Int64s


def no_offers(venues: int) -> Offers:
    """Return room for the offers of so many venues."""
    levels = [np.zeros((venues, DEPTH), np.int64) for _ in range(3)]
    places = [np.zeros(venues, np.int64) for _ in range(3)]
    return Offers(np.zeros(venues, OFFER), levels[0], levels[1], levels[2], places[0], places[1], places[2])


@kernel
def level_cost(offers: Offers, side: int, mid_1e9: int, venue: int, level: int) -> int:
    """Return what a unit is thought to cost at a level, in price units against the mid."""
    px_1e9 = offers.px_1e9[venue, level]
    cost = side * (px_1e9 - mid_1e9) + share_up(px_1e9, offers.venues[venue].fee_ppm) + offers.venues[venue].fixed_1e9
    if offers.venues[venue].venue_impact_1e9 > 0:
        cost += muldiv(
            offers.venues[venue].venue_impact_1e9, offers.venues[venue].allocated_1e8, offers.venues[venue].depth_1e8
        )
    return cost


@kernel
def sweep(offers: Offers, side: int, mid_1e9: int, qty_1e8: int, limit_1e9: int) -> int:
    """Allocate up to a quantity, no level worse than the limit (0: none); return what was allocated.

    A venue whose allocation lies below its minimum is dropped, the smallest first (among equals the last venue), and
    what it had is offered to the others.
    """
    while True:
        left = _pour(offers, side, mid_1e9, qty_1e8, limit_1e9)
        drop, least = -1, 0
        for venue in range(len(offers.venues)):
            allocated = offers.venues[venue].allocated_1e8
            if allocated > 0 and _below_minimum(offers, venue) and (drop < 0 or allocated <= least):
                drop, least = venue, allocated
        if drop < 0:
            return qty_1e8 - left
        offers.venues[drop].usable = 0


@kernel
def _below_minimum(offers: Offers, venue: int) -> bool:
    if offers.venues[venue].allocated_1e8 < offers.venues[venue].min_qty_1e8:
        return True
    notional = 0
    for level in range(offers.venues[venue].levels):
        notional += times_1e8(offers.px_1e9[venue, level], offers.took_1e8[venue, level])
    return notional < offers.venues[venue].min_notional_1e9


@kernel
def _pour(offers: Offers, side: int, mid_1e9: int, qty_1e8: int, limit_1e9: int) -> int:
    """Allocate over the usable venues; return what is left."""
    count = 0
    for venue in range(len(offers.venues)):
        offers.venues[venue].allocated_1e8 = 0
        offers.venues[venue].next_level = 0
        for level in range(offers.venues[venue].levels):
            offers.took_1e8[venue, level] = 0
        if offers.venues[venue].usable != 0:
            count = _push(offers, count, side, mid_1e9, venue, limit_1e9)
    left = qty_1e8
    while left > 0 and count > 0:
        cost, tied, total = offers.heap_costs[0], 0, 0
        while count > 0 and offers.heap_costs[0] == cost:
            venue = offers.heap_venues[0]
            count = _pop(offers, count)
            offers.tied[tied] = venue
            tied += 1
            total += _offered(offers, venue)
        if total <= left:
            left -= total
            for i in range(tied):
                venue = offers.tied[i]
                _take(offers, venue, _offered(offers, venue))
                offers.venues[venue].next_level += 1
                count = _push(offers, count, side, mid_1e9, venue, limit_1e9)
            continue
        asked = left
        for i in range(tied):
            venue = offers.tied[i]
            lot = offers.venues[venue].lot_1e8
            share = muldiv(asked, _offered(offers, venue), total) // lot * lot
            _take(offers, venue, share)
            left -= share
        for i in range(tied):
            venue = offers.tied[i]
            lot = offers.venues[venue].lot_1e8
            more = min(_offered(offers, venue), left) // lot * lot
            _take(offers, venue, more)
            left -= more
        # What is left is less than the lots of these; another venue may have smaller ones.
    return left


@kernel
def _offered(offers: Offers, venue: int) -> int:
    """Return what is still to be had of a venue's next level, in whole lots."""
    level = offers.venues[venue].next_level
    lot = offers.venues[venue].lot_1e8
    return (offers.left_1e8[venue, level] - offers.took_1e8[venue, level]) // lot * lot


@kernel
def _take(offers: Offers, venue: int, qty_1e8: int) -> None:
    offers.took_1e8[venue, offers.venues[venue].next_level] += qty_1e8
    offers.venues[venue].allocated_1e8 += qty_1e8


@kernel
def _push(offers: Offers, count: int, side: int, mid_1e9: int, venue: int, limit_1e9: int) -> int:
    """Put a venue's next level on the heap, if it has one within the limit; return the size of the heap."""
    level = offers.venues[venue].next_level
    while level < offers.venues[venue].levels and offers.left_1e8[venue, level] < offers.venues[venue].lot_1e8:
        level += 1
    offers.venues[venue].next_level = level
    if level >= offers.venues[venue].levels:
        return count
    if limit_1e9 > 0 and side * (offers.px_1e9[venue, level] - limit_1e9) > 0:
        return count
    cost = level_cost(offers, side, mid_1e9, venue, level)
    costs, venues = offers.heap_costs, offers.heap_venues
    at = count
    while at > 0:
        up = (at - 1) >> 1
        if costs[up] < cost or (costs[up] == cost and venues[up] < venue):
            break
        costs[at], venues[at] = costs[up], venues[up]
        at = up
    costs[at], venues[at] = cost, venue
    return count + 1


@kernel
def _pop(offers: Offers, count: int) -> int:
    """Take the first off the heap; return the size of the heap."""
    costs, venues = offers.heap_costs, offers.heap_venues
    last = count - 1
    cost, venue = costs[last], venues[last]
    at = 0
    while 2 * at + 1 < last:
        child = 2 * at + 1
        right = child + 1
        if right < last and (
            costs[right] < costs[child] or (costs[right] == costs[child] and venues[right] < venues[child])
        ):
            child = right
        if cost < costs[child] or (cost == costs[child] and venue < venues[child]):
            break
        costs[at], venues[at] = costs[child], venues[child]
        at = child
    costs[at], venues[at] = cost, venue
    return last
