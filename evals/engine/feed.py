"""The algo's side of the tape: where the next packet ends, and what it changes in the book that the algo sees.

The exchange has worked out what each row does to the best 20 levels; here that is done to the copy in the algo's
memory, or with self-impact to a mirror from which that copy is composed (`evals.engine.impact`). Only what the host
itself keeps (best prices, number of levels) is ever used by the host again.
"""

from __future__ import annotations

from evals.engine.impact import compose
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import CLEARED, INSERTED, NEVER, REMOVED, Record
from evals.engine.tables import change_at, packet_at, set_word
from evals.engine.vectors import close_level, open_level
from evals.wasm.abi import BOOK_LEVELS

_LEVEL_BYTES = 16
_SIDE_BYTES = BOOK_LEVELS * _LEVEL_BYTES
_COUNTS_WORD = 4 * BOOK_LEVELS
UNKNOWN, BACKWARD = -1, -2
"""The time of a packet whose end lies in rows that have not been handed over yet, of one that came before the last."""


@inlined
def find_packet(asset: Record) -> None:
    """Find the end of the next packet and when it is received; leaves UNKNOWN if more rows are needed."""
    stream = asset.packets
    if stream.at < stream.end:
        packet = packet_at(stream.rows, stream.at)
        stream.at += 1
        asset.packet_row = packet.row
        asset.packet_ns = _in_order(asset, packet.receive_ns)
        # It ends the one that the chunk before left open; its own chunk's open one comes after all others.
        if asset.packet_open_row < packet.row:
            asset.packet_open_ns = 0
    elif asset.packets_end == 0:
        asset.packet_ns = UNKNOWN
        return
    elif asset.packet_open_ns > 0:
        asset.packet_row = asset.packet_open_row
        asset.packet_ns = _in_order(asset, asset.packet_open_ns)
        asset.packet_open_ns = 0
    else:
        asset.packet_ns = NEVER
        return
    asset.packets_seen += 1


@kernel
def _in_order(asset: Record, received_ns: int) -> int:
    """Return when a packet is received; BACKWARD if that is before the packet that was seen last, chunks ago or not."""
    return received_ns if received_ns >= asset.seen_ns else BACKWARD


@inlined
def see_packet(sim: Record, asset: Record, symbol_id: int) -> None:
    """Bring the algo's book of an asset up to the end of the packet."""
    book = sim.words + asset.book_word * 8
    shown = book if asset.mirror == 0 else asset.mirror
    mask, last_row, head = asset.changes_room - 1, asset.packet_row, asset.changes_head
    while head < asset.changes_tail:
        change = change_at(asset.changes, head & mask)
        if change.row > last_row:
            break
        show_change(shown, change)
        asset.seen_levels[change.side] = change.levels
        asset.best_px_1e9[change.side] = change.best_px_1e9
        if change.change == CLEARED:
            for side in range(2):
                asset.seen_levels[side] = 0
                asset.best_px_1e9[side] = 0
        head += 1
    asset.changes_head = head
    counts = asset.seen_levels[0] | (asset.seen_levels[1] << 8) if asset.mirror == 0 else compose(sim, asset, book)
    set_word(book, _COUNTS_WORD, counts | (symbol_id << 16))
    set_word(book, _COUNTS_WORD + 1, sim.run.now_ns)
    asset.seen_ns = sim.run.now_ns


@kernel
def show_change(book: int, change: Record) -> None:
    """Apply a change of the best levels to those at an address, bids before asks."""
    kind, d, side = change.change, change.depth, change.side
    if kind == CLEARED:
        for word in range(_COUNTS_WORD):
            set_word(book, word, 0)
        return
    levels = book + side * _SIDE_BYTES
    here = levels + d * _LEVEL_BYTES
    if kind == REMOVED:
        close_level(levels, d)
        end = levels + (change.levels - 1 if change.tail_px_1e9 > 0 else change.levels) * _LEVEL_BYTES
        set_word(end, 0, change.tail_px_1e9)
        set_word(end, 1, change.tail_sz_1e8)
        return
    if kind == INSERTED:
        open_level(levels, d)
        set_word(here, 0, change.px_1e9)
    set_word(here, 1, change.sz_1e8)


@inlined
def seen_mid(asset: Record) -> int:
    """Return the mid of the book that the algo sees; 0 if a side is empty."""
    if asset.best_px_1e9[0] == 0 or asset.best_px_1e9[1] == 0:
        return 0
    return (asset.best_px_1e9[0] + asset.best_px_1e9[1]) // 2
