"""The pass: rows of all tapes and events of all runs in the order of time.

At equal times the order is: rows as they happened, by venue; rows as they were received; children that arrive; ends;
slices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evals.engine.arithmetic import exceeds_bps, muldiv
from evals.market import schema
from evals.market.walk import OFF_MARKET_BPS
from evals.routing.kernels.books import ASKS, BIDS, Books, best_of, market_mid, set_level
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.events import ARRIVAL, BEFORE, END, SLICE, drop_event, kind_of, push_event, run_of
from evals.routing.kernels.queueing import may_matter, on_level, on_trade
from evals.routing.kernels.router import on_arrival, on_end, on_slice
from evals.routing.kernels.state import (
    ENDED,
    EVENTS,
    FILLS,
    FIRST_STAMP,
    HALF_BITS,
    HALF_MASK,
    HAPPENED,
    HELD,
    MID,
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

_FOREVER = 2**63 - 1
_UNKNOWN = -1
_BID, _ASK, _BUY_TRADE, _CLEAR = schema.BID, schema.ASK, schema.BUY_TRADE, schema.CLEAR

DONE = -1
WANTS_ROOM = -2
"""What the pass returns besides the venue that it wants rows of."""


@kernel
def start(store: Store) -> None:
    """Put the first event of every run on the heap."""
    for run in range(len(store.runs)):
        each = store.runs[run]
        if each.participation_ppm > 0:
            push_event(store, each.arrival_ns - each.pace_ns, BEFORE, run, 0, run)
        else:
            push_event(store, each.arrival_ns, SLICE, run, 0, run)


@kernel
def advance(store: Store, rules: Rules, feeds: Feeds, rows_margin: int, taken_margin: int) -> int:
    """Go on until rows of a venue (which is returned) or room are wanted, or everything is done."""
    totals, places = store.totals, feeds.places
    venues = len(places)
    while True:
        for venue in range(venues):
            short = places[venue, HAPPENED] >= places[venue, HELD] or places[venue, RECEIVED] >= places[venue, HELD]
            if short and places[venue, ENDED] == 0:
                return venue
        if _is_full(store, rows_margin, taken_margin):
            return WANTS_ROOM
        row_ns, of, received = _next_row(feeds, rules.sandbox != 0)
        event_ns = store.event_ns[0] if totals[EVENTS] > 0 else _FOREVER
        if of < 0 and totals[EVENTS] == 0:
            return DONE
        if of >= 0 and row_ns <= event_ns:
            if received:
                _receive(store, feeds, of, row_ns)
                if rules.sandbox == 0:
                    places[of, HAPPENED] = places[of, RECEIVED]
                    _happen(store, rules, feeds, of, row_ns, places[of, RECEIVED] - 1)
            else:
                places[of, HAPPENED] += 1
                _happen(store, rules, feeds, of, row_ns, places[of, HAPPENED] - 1)
            continue
        key, subject = store.event_key[0], store.event_of[0]
        drop_event(store)
        _integrate(store, rules, event_ns)
        _on_event(store, rules, feeds, kind_of(key), run_of(key), subject)


@kernel
def _is_full(store: Store, rows_margin: int, taken_margin: int) -> bool:
    totals = store.totals
    if totals[FILLS] + rows_margin > len(store.fills) or totals[TAKEN_FREE] < taken_margin:
        return True
    if totals[PENDING_FREE] < len(store.venues):
        return True
    room = store.real.keys.shape[2]
    for venue in range(len(store.venues)):
        for side in range(2):
            if store.real.counts[venue, side] >= room or store.seen.counts[venue, side] >= room:
                return True
            if store.resting_count[venue, side] >= store.resting.shape[2]:
                return True
    return False


@kernel
def _next_row(feeds: Feeds, sandbox: bool) -> tuple[int, int, bool]:
    """Return time and venue (-1: none) of the next row, and whether it is one that is received."""
    places = feeds.places
    at_ns, of, received = _FOREVER, -1, False
    if sandbox:
        for venue in range(len(places)):
            row = places[venue, HAPPENED]
            if row < places[venue, HELD] and feeds.exchange_ns[venue, row] < at_ns:
                at_ns, of = feeds.exchange_ns[venue, row], venue
    for venue in range(len(places)):
        row = places[venue, RECEIVED]
        if row < places[venue, HELD] and feeds.receive_ns[venue, row] < at_ns:
            at_ns, of, received = feeds.receive_ns[venue, row], venue, True
    return at_ns, of, received


@kernel
def _on_event(store: Store, rules: Rules, feeds: Feeds, kind: int, run: int, subject: int) -> None:
    if kind == ARRIVAL:
        on_arrival(store, rules, subject)
    elif kind == END:
        on_end(store, rules, run)
    elif kind == BEFORE:
        store.runs[run].volume_seen_1e8 = store.totals[VOLUME_SEEN]
        push_event(store, store.runs[run].arrival_ns, SLICE, run, 0, run)
    else:
        on_slice(store, rules, feeds, run)


@kernel
def _receive(store: Store, feeds: Feeds, venue: int, now_ns: int) -> None:
    """Let the router see a row."""
    row = feeds.places[venue, RECEIVED]
    feeds.places[venue, RECEIVED] += 1
    kind, px_1e9, sz_1e8 = feeds.kind[venue, row], feeds.px_1e9[venue, row], feeds.sz_1e8[venue, row]
    seen = store.seen
    if kind in (_BID, _ASK):
        set_level(seen, venue, kind - _BID, px_1e9, sz_1e8, feeds.places[venue, FIRST_STAMP] + row)
    elif kind == _CLEAR:
        seen.counts[venue, BIDS] = 0
        seen.counts[venue, ASKS] = 0
    elif not _is_off_market(seen, venue, px_1e9):
        store.totals[VOLUME_SEEN] += sz_1e8
    seen.heard_ns[venue] = now_ns


@kernel
def _happen(store: Store, rules: Rules, feeds: Feeds, venue: int, now_ns: int, row: int) -> None:
    """Let a row happen; in a replay, where there is one book, the router's own has it already."""
    _integrate(store, rules, now_ns)
    kind, px_1e9, sz_1e8 = feeds.kind[venue, row], feeds.px_1e9[venue, row], feeds.sz_1e8[venue, row]
    real, totals = store.real, store.totals
    if kind in (_BID, _ASK):
        totals[MID] = _UNKNOWN
        if rules.sandbox != 0:
            stamp = feeds.places[venue, FIRST_STAMP] + row
            before_1e8 = set_level(real, venue, kind - _BID, px_1e9, sz_1e8, stamp)
            if may_matter(store, venue):
                on_level(store, rules, venue, kind - _BID, px_1e9, sz_1e8, before_1e8, stamp)
    elif kind == _CLEAR:
        totals[MID] = _UNKNOWN
        real.counts[venue, BIDS] = 0
        real.counts[venue, ASKS] = 0
    elif not _is_off_market(real, venue, px_1e9):
        totals[VOLUME] += sz_1e8
        _add(totals, VALUE_HIGH, VALUE_LOW, px_1e9, sz_1e8)
        if rules.sandbox != 0 and may_matter(store, venue):
            on_trade(store, rules, venue, kind == _BUY_TRADE, px_1e9, sz_1e8)
    real.heard_ns[venue] = now_ns


@kernel
def _is_off_market(books: Books, venue: int, px_1e9: int) -> bool:
    """Return whether a trade printed so far out that it can only be an exchange's bookkeeping."""
    bid, ask = best_of(books, venue, BIDS), best_of(books, venue, ASKS)
    return (bid > 0 and exceeds_bps(bid - px_1e9, bid, OFF_MARKET_BPS)) or (
        ask > 0 and exceeds_bps(px_1e9 - ask, ask, OFF_MARKET_BPS)
    )


@kernel
def _integrate(store: Store, rules: Rules, now_ns: int) -> None:
    """Add the market's mid over the time since the last row or event."""
    totals = store.totals
    elapsed_ns = now_ns - totals[NOW]
    if elapsed_ns <= 0:
        return
    if totals[MID] == _UNKNOWN:
        totals[MID] = market_mid(store.real, totals[NOW], rules.market_age_ns)
    if totals[MID] > 0:
        totals[TIME] += elapsed_ns
        _add(totals, MIDS_HIGH, MIDS_LOW, totals[MID], elapsed_ns)
    totals[NOW] = now_ns


@kernel
def _add(totals: NDArray[np.int64], high: int, low: int, a: int, b: int) -> None:
    """Add a product of 128 bits to a sum in two halves."""
    totals[high] += muldiv(a, b, HALF_MASK + 1)
    totals[low] += a * b & HALF_MASK
    totals[high] += totals[low] >> HALF_BITS
    totals[low] &= HALF_MASK
