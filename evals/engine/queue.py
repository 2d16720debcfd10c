"""Queue position, risk-averse: only trades at our price move us forward, and a shrinking level only as far as it must.

Everything displayed when an order arrives stands ahead of it. A trade at its price takes from what stands ahead and
fills the order with the excess. A level that shrinks clamps what stands ahead to its new size; so a trade and the
decrease that it causes are not counted twice, and cancellations are assumed to happen behind us until the level is
too small for that. Own orders at one price queue behind each other.
"""

from __future__ import annotations

from evals.engine.books import size_at
from evals.engine.kernel import kernel
from evals.engine.layout import BUY, CROSSED_BOOK, QUEUE_FRONT, SELL, TRADE_THROUGH, Record
from evals.engine.orders import fill
from evals.engine.tables import level_at, slot_at


@kernel
def best_own_through(sim: Record, side: int, px_1e9: int, or_equal: int) -> int:
    """Return the slot of our best order of a side that a price reaches (first come first among equals); -1 if none.

    A price reaches bids above it and asks below it; with ``or_equal`` also those at it.
    """
    sign = 1 - 2 * side
    bound = px_1e9 * sign + (0 if or_equal else 1)
    found, found_key = -1, 0
    for i in range(sim.run.resting):
        slot = sim.resting[i]
        if slot_at(sim, slot).side == side:
            key = slot_at(sim, slot).ex_px_1e9 * sign
            if key >= bound and (found < 0 or key > found_key):
                found, found_key = slot, key
    return found


@kernel
def on_trade(sim: Record, aggressor: int, px_1e9: int, sz_1e8: int) -> None:
    """Let a trade of the tape reach our orders on the side it took from."""
    side = SELL if aggressor == BUY else BUY
    budget = _trade_through(sim, side, px_1e9, sz_1e8)
    own_filled, i = 0, 0
    while i < sim.run.resting:
        index = sim.resting[i]
        slot = slot_at(sim, index)
        i += 1
        if slot.side != side or slot.ex_px_1e9 != px_1e9:
            continue
        ahead = slot.queue_ahead_1e8
        slot.queue_ahead_1e8 = ahead - min(ahead, budget - own_filled)
        qty = min(budget - own_filled - ahead, slot.ex_qty_1e8 - slot.ex_filled_1e8)
        if qty > 0:
            own_filled += qty
            fill(sim, index, px_1e9, qty, QUEUE_FRONT, ahead)
            i -= 0 if slot.resting else 1


@kernel
def _trade_through(sim: Record, side: int, px_1e9: int, sz_1e8: int) -> int:
    """Fill our orders at better prices than the trade's, best first, up to its size; return what is left of it."""
    while sz_1e8 > 0:
        index = best_own_through(sim, side, px_1e9, 0)
        if index < 0:
            break
        slot = slot_at(sim, index)
        qty = min(sz_1e8, slot.ex_qty_1e8 - slot.ex_filled_1e8)
        sz_1e8 -= qty
        fill(sim, index, slot.ex_px_1e9, qty, TRADE_THROUGH, slot.queue_ahead_1e8)
    return sz_1e8


@kernel
def on_level(sim: Record, side: int, px_1e9: int, sz_1e8: int, at: int) -> None:
    """Let a level of the tape (already in the book at index ``at``) reach our orders.

    Ours at that price see what stands ahead clamped. Ours on the other side that the level reaches are filled at
    their own price, up to its size: in the recorded market such a level can only stand because nothing like our order
    did.
    """
    for i in range(sim.run.resting):
        slot = slot_at(sim, sim.resting[i])
        if slot.side == side and slot.ex_px_1e9 == px_1e9:
            slot.queue_ahead_1e8 = min(slot.queue_ahead_1e8, sz_1e8)
    while sz_1e8 > 0:
        index = best_own_through(sim, 1 - side, px_1e9, 1)
        if index < 0:
            break
        slot = slot_at(sim, index)
        qty = min(sz_1e8, slot.ex_qty_1e8 - slot.ex_filled_1e8)
        sz_1e8 -= qty
        level_at(sim.book, side, at).taken_1e8 += qty
        fill(sim, index, slot.ex_px_1e9, qty, CROSSED_BOOK, slot.queue_ahead_1e8)


@kernel
def queue_behind(sim: Record, side: int, px_1e9: int) -> int:
    """Return what stands ahead of an order that joins a price now: what is displayed, but not less than ahead of ours.

    They differ after the tape cleared its book: our earlier order there keeps its place, the new one is behind it.
    """
    ahead = size_at(sim.book, side, px_1e9)
    for i in range(sim.run.resting):
        slot = slot_at(sim, sim.resting[i])
        if slot.side == side and slot.ex_px_1e9 == px_1e9:
            ahead = max(ahead, slot.queue_ahead_1e8)
    return ahead
