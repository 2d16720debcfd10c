"""What a fill does to its run: its row, what it cost and why, what it took from the book, what it will move."""

from __future__ import annotations

from evals.routing.kernels.books import ASKS, BIDS, Books, market_mid, place_of
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.displacement import displacement, note_fill
from evals.routing.kernels.money import fee_of, paid
from evals.routing.kernels.state import FILLS, NOW, TAKEN_FREE, Rules, Store


@kernel
def mid_for(store: Store, rules: Rules, run: int) -> int:
    """Return the market's mid now; where there is none, what the run found on arrival."""
    mid_1e9 = market_mid(store.real, store.totals[NOW], rules.market_age_ns)
    return mid_1e9 if mid_1e9 > 0 else store.runs[run].mid_1e9


@kernel
def write_row(
    store: Store, run: int, of: int, venue: int, sent_ns: int, px_1e9: int, qty_1e8: int, touch_1e9: int, reason: int
) -> int:
    """Write a row of CHILD_FILL but for what it cost; return its index, -1 for a run that leaves none."""
    each = store.runs[run]
    if each.observed == 0:
        return -1
    at = store.totals[FILLS]
    store.totals[FILLS] += 1
    row = store.fills[at]
    row.sent_ns, row.filled_ns = sent_ns, store.totals[NOW]
    row.px_1e9, row.qty_1e8, row.touch_1e9 = px_1e9, qty_1e8, touch_1e9
    row.parent, row.slice, row.venue, row.reason = each.parent, of, venue, reason
    row.fee_1e9, row.mid_1e9, row.impact_1e9 = 0, 0, 0
    return at


@kernel
def fill(
    store: Store,
    rules: Rules,
    run: int,
    of: int,
    venue: int,
    sent_ns: int,
    px_1e9: int,
    qty_1e8: int,
    touch_1e9: int,
    fee_ppm: int,
    reason: int,
) -> int:
    """Fill so much of a run's child at a price; return what it cost with its fee, without what the model charges."""
    each = store.runs[run]
    side, now_ns = each.side, store.totals[NOW]
    mid_1e9 = mid_for(store, rules, run)
    charge_1e9 = paid(1, displacement(rules, store.runs, run, now_ns), qty_1e8)
    fee_1e9 = fee_of(px_1e9, qty_1e8, fee_ppm)
    cost_1e9, at_touch_1e9 = paid(side, px_1e9, qty_1e8), paid(side, touch_1e9, qty_1e8)
    at_mid_1e9 = paid(side, mid_1e9, qty_1e8)
    each.filled_1e8 += qty_1e8
    each.paid_1e9 += cost_1e9
    each.paid_mid_1e9 += at_mid_1e9
    each.spread_1e9 += at_touch_1e9 - at_mid_1e9
    each.impact_1e9 += cost_1e9 - at_touch_1e9 + charge_1e9
    each.fees_1e9 += fee_1e9
    note_fill(rules, store.runs, run, now_ns, qty_1e8)
    at = write_row(store, run, of, venue, sent_ns, px_1e9, qty_1e8, touch_1e9, reason)
    if at >= 0:
        row = store.fills[at]
        row.fee_1e9, row.mid_1e9, row.impact_1e9 = fee_1e9, mid_1e9, charge_1e9
    return cost_1e9 + fee_1e9


@kernel
def note_taken(store: Store, run: int, venue: int, px_1e9: int, qty_1e8: int, stamp: int) -> None:
    """Note that a run took from a level: until the tape sets it again, so much of it is gone."""
    taken, at = store.taken, store.runs[run].taken_first
    while at >= 0:
        each = taken[at]
        if each.venue == venue and each.px_1e9 == px_1e9:
            each.qty_1e8 = qty_1e8 + (each.qty_1e8 if each.stamp >= stamp else 0)
            each.stamp = stamp
            return
        at = each.next
    store.totals[TAKEN_FREE] -= 1
    new = store.taken_free[store.totals[TAKEN_FREE]]
    each = taken[new]
    each.venue, each.px_1e9, each.qty_1e8, each.stamp = venue, px_1e9, qty_1e8, stamp
    each.next = store.runs[run].taken_first
    store.runs[run].taken_first = new


@kernel
def taken_at(store: Store, run: int, venue: int, px_1e9: int, stamp: int) -> int:
    """Return what a run took of a level that was last set by row ``stamp``."""
    at = store.runs[run].taken_first
    while at >= 0:
        each = store.taken[at]
        if each.venue == venue and each.px_1e9 == px_1e9:
            return each.qty_1e8 if each.stamp >= stamp else 0
        at = each.next
    return 0


@kernel
def forget_taken(store: Store, run: int) -> None:
    """Give back the places of what a run took."""
    at = store.runs[run].taken_first
    while at >= 0:
        store.taken_free[store.totals[TAKEN_FREE]] = at
        store.totals[TAKEN_FREE] += 1
        at = store.taken[at].next
    store.runs[run].taken_first = -1


@kernel
def stamp_at(books: Books, venue: int, side: int, px_1e9: int) -> int:
    """Return the row that last set a level; -1 without such a level."""
    key = px_1e9 if side == BIDS else -px_1e9
    at = place_of(books, venue, side, key)
    if at < books.counts[venue, side] and books.keys[venue, side, at] == key:
        return books.stamps[venue, side, at]
    return -1


@kernel
def side_taken(side: int) -> int:
    """Return the side of the book that an order takes from."""
    return ASKS if side > 0 else BIDS
