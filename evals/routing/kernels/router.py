"""The router: what a run does when one of its events comes."""

from __future__ import annotations

from evals.engine.arithmetic import muldiv
from evals.routing.kernels.books import best_of, is_live, market_mid, place_of
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.displacement import displacement
from evals.routing.kernels.events import ARRIVAL, END, SLICE, push_event
from evals.routing.kernels.filling import fill, forget_taken, note_taken, side_taken, taken_at, write_row
from evals.routing.kernels.money import MILLION, drawn, mixed, whole_root
from evals.routing.kernels.oracle import least_cost
from evals.routing.kernels.queueing import cancel_resting, rest
from evals.routing.kernels.state import (
    FIRST_STAMP,
    MIDS_HIGH,
    MIDS_LOW,
    NOW,
    PENDING_FREE,
    RECEIVED,
    TAKEN_FREE,
    TIME,
    VALUE_HIGH,
    VALUE_LOW,
    VOLUME,
    VOLUME_SEEN,
    Feeds,
    Rules,
    Store,
)
from evals.routing.kernels.sweep import DEPTH, sweep
from evals.routing.layout import REJECTED, TAKEN, UNFILLED

_REJECTION = 1
_PARTIAL = 2
_SHARE = 3
_BURST = 4
STALE = 5
"""What is drawn."""


@kernel
def on_slice(store: Store, rules: Rules, feeds: Feeds, run: int) -> None:
    """Decide a slice, and send or take what it decides."""
    each, now_ns = store.runs[run], store.totals[NOW]
    of = each.next_slice
    if of == 0:
        each.time_from, each.volume_from = store.totals[TIME], store.totals[VOLUME]
        each.mids_high_from, each.mids_low_from = store.totals[MIDS_HIGH], store.totals[MIDS_LOW]
        each.value_high_from, each.value_low_from = store.totals[VALUE_HIGH], store.totals[VALUE_LOW]
        for venue in range(len(store.venues)):
            each.live_venues += 1 if is_live(store.seen, venue, now_ns, rules.max_book_age_ns) else 0
    if rules.sandbox != 0:
        cancel_resting(store, run)
    # Decisions rest on the market that was seen; what they cost is measured by the one that there was.
    if each.seen_mid_1e9 == 0:
        each.seen_mid_1e9 = market_mid(store.seen, now_ns, rules.market_age_ns)
    if each.mid_1e9 == 0:
        each.mid_1e9 = market_mid(store.real, now_ns, rules.market_age_ns)
    if each.mid_1e9 == 0:
        each.mid_1e9 = each.seen_mid_1e9
    want_1e8 = store.targets[each.parent, of]
    if each.participation_ppm > 0:
        volume_1e8 = store.totals[VOLUME_SEEN]
        each.allowance_1e8 += muldiv(volume_1e8 - each.volume_seen_1e8, each.participation_ppm, MILLION)
        each.volume_seen_1e8 = volume_1e8
        want_1e8 = min(want_1e8, each.allowance_1e8)
    want_1e8 -= each.filled_1e8 + each.committed_1e8
    if want_1e8 > 0 and each.mid_1e9 > 0:  # if no mid was seen, no venue is live
        _decide(store, rules, feeds, run, want_1e8)
        if rules.sandbox != 0:
            _send(store, rules, run, of)
        else:
            _take_at_once(store, rules, run, of)
    each.next_slice += 1
    if each.next_slice < each.slices:
        at_ns = each.arrival_ns + muldiv(each.horizon_ns, each.next_slice, each.slices)
        push_event(store, at_ns, SLICE, run, 0, run)
    else:
        push_event(store, each.arrival_ns + each.horizon_ns, END, run, 0, run)


@kernel
def on_end(store: Store, rules: Rules, run: int) -> None:
    """End a run; children that are still on their way are waited for."""
    each = store.runs[run]
    each.time_to, each.volume_to = store.totals[TIME], store.totals[VOLUME]
    each.mids_high_to, each.mids_low_to = store.totals[MIDS_HIGH], store.totals[MIDS_LOW]
    each.value_high_to, each.value_low_to = store.totals[VALUE_HIGH], store.totals[VALUE_LOW]
    if rules.sandbox != 0:
        cancel_resting(store, run)
    each.over = 1
    _finish(store, rules, run)


@kernel
def _finish(store: Store, rules: Rules, run: int) -> None:
    each = store.runs[run]
    if each.over != 0 and each.on_its_way == 0:
        each.end_mid_1e9 = market_mid(store.real, store.totals[NOW], rules.market_age_ns)
        if each.end_mid_1e9 == 0:
            each.end_mid_1e9 = each.mid_1e9
        forget_taken(store, run)


@kernel
def _decide(store: Store, rules: Rules, feeds: Feeds, run: int, want_1e8: int) -> None:
    """Lay out what the live venues offer to this run, and sweep it."""
    each, offers, now_ns = store.runs[run], store.offers, store.totals[NOW]
    for venue in range(len(offers.venues)):
        offers.venues[venue].usable = 0
        offers.venues[venue].levels = 0
        if store.venues[venue].usable == 0 or (each.allowed >= 0 and each.allowed != venue):
            continue
        if not is_live(store.seen, venue, now_ns, rules.max_book_age_ns):
            each.stale_venues += 1
            continue
        offers.venues[venue].usable = 1
        _lay_out(store, feeds, run, venue)
        _price_venue(store, rules, run, venue)
    limit_1e9 = each.limit_1e9
    if limit_1e9 > 0:
        limit_1e9 = max(limit_1e9 - each.side * displacement(rules, store.runs, run, now_ns), 1)
    sweep(offers, each.side, each.seen_mid_1e9, want_1e8, limit_1e9)


@kernel
def _lay_out(store: Store, feeds: Feeds, run: int, venue: int) -> None:
    """Copy a venue's best levels, less what the run took of them."""
    offers, seen = store.offers, store.seen
    each = store.runs[run]
    side = side_taken(each.side)
    sign = -each.side
    count = seen.counts[venue, side]
    levels = min(count, DEPTH)
    depth_1e8 = 0
    for level in range(levels):
        at = count - 1 - level
        offers.px_1e9[venue, level] = seen.keys[venue, side, at] * sign
        offers.left_1e8[venue, level] = seen.sizes[venue, side, at]
        depth_1e8 += seen.sizes[venue, side, at]
    offers.venues[venue].levels = levels
    offers.venues[venue].depth_1e8 = depth_1e8
    before, at = -1, each.taken_first
    while at >= 0:
        gone = store.taken[at]
        after = gone.next
        keep = True
        if gone.venue == venue:
            key = gone.px_1e9 * sign
            place = place_of(seen, venue, side, key)
            if place < count and seen.keys[venue, side, place] == key:
                keep = seen.stamps[venue, side, place] <= gone.stamp
                level = count - 1 - place
                if keep and level < levels:
                    offers.left_1e8[venue, level] = max(offers.left_1e8[venue, level] - gone.qty_1e8, 0)
            else:
                # A level that the router has not seen yet stays taken until it has seen it and what followed.
                keep = gone.stamp >= feeds.places[venue, FIRST_STAMP] + feeds.places[venue, RECEIVED]
        if keep:
            before = at
        else:
            if before >= 0:
                store.taken[before].next = after
            else:
                each.taken_first = after
            store.taken_free[store.totals[TAKEN_FREE]] = at
            store.totals[TAKEN_FREE] += 1
        at = after


@kernel
def _price_venue(store: Store, rules: Rules, run: int, venue: int) -> None:
    """Work out what a unit costs at a venue beyond the price of its level, by the run's version."""
    each, of, offers = store.runs[run], store.venues[venue], store.offers
    latency_ns, reject_ppm = of.latency_ns, of.reject_ppm
    if each.version == 3:
        weight = rules.prior_orders + of.tries
        latency_ns = (latency_ns * rules.prior_orders + of.delays_ns) // weight
        reject_ppm = (reject_ppm * rules.prior_orders + of.rejects * MILLION) // weight
    # In thousandths of a ppm: the root of ns is a thousand times that of ms.
    thousandths = of.latency_risk * whole_root(latency_ns)
    age_ns = store.totals[NOW] - store.seen.heard_ns[venue]
    thousandths += muldiv(of.freshness, age_ns, MILLION)
    offers.venues[venue].venue_impact_1e9 = 0
    if each.version >= 2:
        thousandths += of.adverse * 1_000 + reject_ppm * of.reject_cost // 1_000
        offers.venues[venue].venue_impact_1e9 = muldiv(each.seen_mid_1e9, of.venue_impact, MILLION)
    offers.venues[venue].fixed_1e9 = muldiv(each.seen_mid_1e9, thousandths, 1_000 * MILLION)
    offers.venues[venue].fee_ppm = of.fee_ppm


@kernel
def _take_at_once(store: Store, rules: Rules, run: int, of: int) -> None:
    """Fill what was decided, at the prices that were seen."""
    each, offers, now_ns = store.runs[run], store.offers, store.totals[NOW]
    side = side_taken(each.side)
    filled_1e8 = 0
    for venue in range(len(offers.venues)):
        if offers.venues[venue].usable == 0 or offers.venues[venue].allocated_1e8 == 0:
            continue
        each.children += 1
        if each.observed != 0:
            store.venues[venue].tries += 1
            store.venues[venue].delays_ns += store.venues[venue].latency_ns
        filled_1e8 += offers.venues[venue].allocated_1e8
        touch_1e9, count = best_of(store.seen, venue, side), store.seen.counts[venue, side]
        for level in range(offers.venues[venue].levels):
            qty_1e8, px_1e9 = offers.took_1e8[venue, level], offers.px_1e9[venue, level]
            if qty_1e8 > 0:
                ppm = store.venues[venue].taker_fee_ppm
                fill(store, rules, run, of, venue, now_ns, px_1e9, qty_1e8, touch_1e9, ppm, TAKEN)
                note_taken(store, run, venue, px_1e9, qty_1e8, store.seen.stamps[venue, side, count - 1 - level])
    _compare_with_least(store, run, filled_1e8)


@kernel
def _compare_with_least(store: Store, run: int, qty_1e8: int) -> None:
    """Add what the oracle would have paid now for what was taken now."""
    each = store.runs[run]
    if qty_1e8 > 0 and each.observed != 0:
        venues = store.venues
        each.least_1e9 += least_cost(store.real, venues, store.oracle_at, each.side, qty_1e8)


@kernel
def _send(store: Store, rules: Rules, run: int, of: int) -> None:
    """Send a child to each venue that was allocated something, limited to the worst price decided there."""
    each, offers, now_ns = store.runs[run], store.offers, store.totals[NOW]
    for venue in range(len(offers.venues)):
        if offers.venues[venue].usable == 0 or offers.venues[venue].allocated_1e8 == 0:
            continue
        worst_1e9 = 0
        for level in range(offers.venues[venue].levels):
            if offers.took_1e8[venue, level] > 0:
                worst_1e9 = offers.px_1e9[venue, level]
        store.totals[PENDING_FREE] -= 1
        child = store.pending_free[store.totals[PENDING_FREE]]
        sent = store.pending[child]
        sent.run, sent.slice, sent.venue, sent.sent_ns = run, of, venue, now_ns
        sent.limit_1e9, sent.qty_1e8 = worst_1e9, offers.venues[venue].allocated_1e8
        latency_ns = store.venues[venue].true_latency_ns
        stretch = now_ns // rules.burst_ns
        if drawn(rules.seed, _BURST, store.venues[venue].key, stretch, MILLION) < rules.burst_ppm:
            latency_ns *= rules.burst_factor
        each.children += 1
        each.on_its_way += 1
        each.committed_1e8 += sent.qty_1e8
        push_event(store, now_ns + latency_ns, ARRIVAL, run, venue, child)


@kernel
def on_arrival(store: Store, rules: Rules, child: int) -> None:
    """Let a child come to its venue: rejected, or it takes what it finds up to its limit, and its rest rests."""
    sent, now_ns = store.pending[child], store.totals[NOW]
    run, venue, of = sent.run, sent.venue, sent.slice
    qty_1e8, limit_1e9, sent_ns = sent.qty_1e8, sent.limit_1e9, sent.sent_ns
    store.pending_free[store.totals[PENDING_FREE]] = child
    store.totals[PENDING_FREE] += 1
    each = store.runs[run]
    each.on_its_way -= 1
    each.committed_1e8 -= qty_1e8
    whom = mixed(each.identity, store.venues[venue].key)
    rejected = drawn(rules.seed, _REJECTION, whom, of, MILLION) < rules.reject_ppm
    if each.observed != 0:
        store.venues[venue].tries += 1
        store.venues[venue].delays_ns += now_ns - sent_ns
        store.venues[venue].rejects += 1 if rejected else 0
    if rejected:
        each.rejects += 1
        write_row(store, run, of, venue, sent_ns, limit_1e9, 0, 0, REJECTED)
        _finish(store, rules, run)
        return
    most_1e8, lot = qty_1e8, store.offers.venues[venue].lot_1e8
    cut = drawn(rules.seed, _PARTIAL, whom, of, MILLION) < rules.partial_ppm
    if cut:
        share_ppm = 1 + drawn(rules.seed, _SHARE, whom, of, MILLION - 1)
        most_1e8 = muldiv(qty_1e8, share_ppm, MILLION) // lot * lot
    got_1e8 = _take_real(store, rules, run, of, venue, limit_1e9, most_1e8, sent_ns)
    _compare_with_least(store, run, got_1e8)
    left_1e8 = qty_1e8 - got_1e8
    if left_1e8 > 0:
        if not cut and each.over == 0 and store.resting_at[run, venue] < 0:
            rest(store, run, of, venue, limit_1e9, left_1e8, qty_1e8, sent_ns)
        elif got_1e8 > 0:
            each.partial_fills += 1
        else:
            write_row(store, run, of, venue, sent_ns, limit_1e9, 0, 0, UNFILLED)
    _finish(store, rules, run)


@kernel
def _take_real(
    store: Store, rules: Rules, run: int, of: int, venue: int, limit_1e9: int, most_1e8: int, sent_ns: int
) -> int:
    """Take from the venue's book as it stands there; return how much."""
    each, real = store.runs[run], store.real
    side, lot = side_taken(each.side), store.offers.venues[venue].lot_1e8
    touch_1e9, left_1e8 = best_of(real, venue, side), most_1e8
    at = real.counts[venue, side] - 1
    while at >= 0 and left_1e8 >= lot:
        px_1e9 = real.keys[venue, side, at] * -each.side
        if each.side * (px_1e9 - limit_1e9) > 0:
            break
        stamp = real.stamps[venue, side, at]
        there_1e8 = max(real.sizes[venue, side, at] - taken_at(store, run, venue, px_1e9, stamp), 0)
        qty_1e8 = min(there_1e8, left_1e8) // lot * lot
        if qty_1e8 > 0:
            ppm = store.venues[venue].taker_fee_ppm
            fill(store, rules, run, of, venue, sent_ns, px_1e9, qty_1e8, touch_1e9, ppm, TAKEN)
            note_taken(store, run, venue, px_1e9, qty_1e8, stamp)
            left_1e8 -= qty_1e8
        at -= 1
    return most_1e8 - left_1e8
