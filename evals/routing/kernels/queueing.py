"""A sandbox's children at rest: what stands ahead of them, and what the tape lets them have.

The queue is the engine's risk-averse one: everything displayed at the price stood there before, and what cancels stood
behind, until the level is too small for that. A trade at the price takes what stands ahead first; one at a worse price
for its aggressor fills; and so does the other side of the book when it comes to the price, the adverse case.
"""

from __future__ import annotations

from evals.routing.kernels.books import ASKS, BIDS, place_of
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.filling import fill, note_taken, write_row
from evals.routing.kernels.oracle import NOT_ENOUGH, least_cost
from evals.routing.kernels.state import Rules, Store
from evals.routing.layout import CROSSED_BOOK, QUEUE_FRONT, TRADE_THROUGH, UNFILLED


@kernel
def rest(store: Store, run: int, of: int, venue: int, px_1e9: int, left_1e8: int, qty_1e8: int, sent_ns: int) -> None:
    """Leave the rest of a child at its limit, behind everything that is displayed there."""
    side = BIDS if store.runs[run].side > 0 else ASKS
    key = px_1e9 if side == BIDS else -px_1e9
    level = place_of(store.real, venue, side, key)
    ahead = 0
    if level < store.real.counts[venue, side] and store.real.keys[venue, side, level] == key:
        ahead = store.real.sizes[venue, side, level]
    at = store.resting_count[venue, side]
    store.resting_count[venue, side] += 1
    store.resting_at[run, venue] = at
    each = store.resting[venue, side, at]
    each.run, each.slice, each.px_1e9, each.left_1e8 = run, of, px_1e9, left_1e8
    each.ahead_1e8, each.sent_ns, each.qty_1e8 = ahead, sent_ns, qty_1e8
    store.runs[run].committed_1e8 += left_1e8


@kernel
def cancel_resting(store: Store, run: int) -> None:
    """Take a run's children off the books."""
    side = BIDS if store.runs[run].side > 0 else ASKS
    for venue in range(store.resting_at.shape[1]):
        at = store.resting_at[run, venue]
        if at >= 0:
            each = store.resting[venue, side, at]
            if each.left_1e8 == each.qty_1e8:
                write_row(store, run, each.slice, venue, each.sent_ns, each.px_1e9, 0, 0, UNFILLED)
            else:
                store.runs[run].partial_fills += 1
            _remove(store, venue, side, at)


@kernel
def _remove(store: Store, venue: int, side: int, at: int) -> None:
    gone = store.resting[venue, side, at]
    store.runs[gone.run].committed_1e8 -= gone.left_1e8
    store.resting_at[gone.run, venue] = -1
    store.resting_count[venue, side] -= 1
    last = store.resting_count[venue, side]
    if at < last:
        moved = store.resting[venue, side, last]
        gone.run, gone.slice, gone.px_1e9, gone.left_1e8 = moved.run, moved.slice, moved.px_1e9, moved.left_1e8
        gone.ahead_1e8, gone.sent_ns, gone.qty_1e8 = moved.ahead_1e8, moved.sent_ns, moved.qty_1e8
        store.resting_at[moved.run, venue] = at


@kernel
def reach(store: Store, rules: Rules, venue: int, side: int, at: int, reached_1e8: int, reason: int) -> int:
    """Fill up to so much of a child at rest; return how much it was."""
    each = store.resting[venue, side, at]
    lot = store.offers.venues[venue].lot_1e8
    qty_1e8 = min(reached_1e8 // lot * lot, each.left_1e8)
    if qty_1e8 <= 0:
        return 0
    run, px_1e9 = each.run, each.px_1e9
    cost_1e9 = fill(
        store,
        rules,
        run,
        each.slice,
        venue,
        each.sent_ns,
        px_1e9,
        qty_1e8,
        px_1e9,
        store.venues[venue].maker_fee_ppm,
        reason,
    )
    least_1e9 = NOT_ENOUGH
    if store.runs[run].observed != 0:
        least_1e9 = least_cost(store.real, store.venues, store.oracle_at, store.runs[run].side, qty_1e8)
    store.runs[run].least_1e9 += min(cost_1e9, least_1e9)
    store.runs[run].committed_1e8 -= qty_1e8
    each.left_1e8 -= qty_1e8
    if each.left_1e8 == 0:
        _remove(store, venue, side, at)
    return qty_1e8


@kernel
def on_trade(store: Store, rules: Rules, venue: int, buyer: bool, px_1e9: int, sz_1e8: int) -> None:
    """Let a trade reach the children on the side that it took from."""
    side = ASKS if buyer else BIDS
    sign = 1 if side == BIDS else -1
    at = store.resting_count[venue, side] - 1
    # From the last one on: a child that goes leaves its place to one that was looked at already.
    while at >= 0:
        each = store.resting[venue, side, at]
        beyond = (each.px_1e9 - px_1e9) * sign
        if beyond > 0:
            reach(store, rules, venue, side, at, sz_1e8, TRADE_THROUGH)
        elif beyond == 0:
            ahead = each.ahead_1e8
            each.ahead_1e8 = ahead - min(ahead, sz_1e8)
            reach(store, rules, venue, side, at, sz_1e8 - ahead, QUEUE_FRONT)
        at -= 1


@kernel
def on_level(
    store: Store, rules: Rules, venue: int, level_side: int, px_1e9: int, sz_1e8: int, before_1e8: int, stamp: int
) -> None:
    """Let a change of a level reach the children that wait at its price, and those that it comes to."""
    for at in range(store.resting_count[venue, level_side]):
        each = store.resting[venue, level_side, at]
        if each.px_1e9 == px_1e9:
            each.ahead_1e8 = min(each.ahead_1e8, sz_1e8)
    came_1e8 = sz_1e8 - before_1e8
    if came_1e8 <= 0:
        return
    side = ASKS if level_side == BIDS else BIDS
    sign = 1 if side == BIDS else -1
    at = store.resting_count[venue, side] - 1
    while at >= 0:
        each = store.resting[venue, side, at]
        if (each.px_1e9 - px_1e9) * sign >= 0:
            run = each.run
            qty_1e8 = reach(store, rules, venue, side, at, came_1e8, CROSSED_BOOK)
            if qty_1e8 > 0:
                note_taken(store, run, venue, px_1e9, qty_1e8, stamp)
        at -= 1


@kernel
def may_matter(store: Store, venue: int) -> bool:
    """Return whether anything rests at a venue."""
    return store.resting_count[venue, BIDS] + store.resting_count[venue, ASKS] > 0
