"""The walk over a tape that validation's figures are taken on: every row once, in order, chunk by chunk."""

from __future__ import annotations

from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evals.market.levels import (
    ASKS,
    BIDS,
    EPOCH,
    GONE,
    HEAPED,
    IN_HEAP,
    LIVE,
    THERE,
    USED,
    Levels,
    drop_first,
    no_levels,
    push,
    slot_of,
    with_room,
)
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, SNAPSHOT
from evals.market.source import Columns

OFF_MARKET_BPS: Final = 100
"""A trade further than this outside the best bid and ask is off the market."""

_FIGURES: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            "rows",
            "packets",
            "trades",
            "zero_size_trades",
            "snapshots",
            "book_rows",
            "starts_without_snapshot",
            "negative_latency",
            "backward_receive_clock",
            "backward_exchange_clock",
            "gaps",
            "crossed_books",
            "locked_books",
            "trades_off_book",
            "trades_off_market",
            "bid_levels_max",
            "ask_levels_max",
            # The first (or longest) of these: row, time and the prices of the book, 0 where a side is empty.
            "backward_receive_row",
            "backward_receive_at_ns",
            "backward_exchange_row",
            "backward_exchange_at_ns",
            "longest_gap_ns",
            "longest_gap_ends_ns",
            "crossed_row",
            "crossed_at_ns",
            "crossed_bid_1e9",
            "crossed_ask_1e9",
            "off_market_row",
            "off_market_at_ns",
            "off_market_px_1e9",
            "off_market_bid_1e9",
            "off_market_ask_1e9",
            # Where the walk stands.
            "receive_ns",
            "packet_ns",
            "book_ns",
            "trade_ns",
        )
    ]
)

_Columns: TypeAlias = tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]
]
_Number = TypeVar("_Number", bound=np.integer[Any])

Figures: TypeAlias = NDArray[np.void]
"""One record of the figures above."""


class Walk:
    """A walk in progress."""

    def __init__(self, gap_ns: int) -> None:
        self._figures: Figures = np.zeros(1, _FIGURES)
        self._gap_ns = gap_ns
        self._levels = no_levels()

    def take(self, chunk: Columns) -> None:
        """Walk over the rows that follow."""
        columns = (
            _as_kernel_reads(chunk.exchange_ns),
            _as_kernel_reads(chunk.receive_ns),
            _as_kernel_reads(chunk.px_1e9),
            _as_kernel_reads(chunk.sz_1e8),
            _as_kernel_reads(chunk.kind),
            _as_kernel_reads(chunk.flags),
        )
        row = _walk(0, columns, self._figures, self._gap_ns, self._levels)
        while row < len(chunk):
            self._levels = with_room(self._levels)
            row = _walk(row, columns, self._figures, self._gap_ns, self._levels)

    def figures(self) -> dict[str, int]:
        """Return the figures of all rows so far."""
        return dict(zip(_FIGURES.fields or {}, self._figures[0].item(), strict=True))


def _as_kernel_reads(column: NDArray[_Number]) -> NDArray[_Number]:
    """Return a contiguous array that cannot be written to, so that the kernel is compiled for one kind of array."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


@njit(cache=True)
def _walk(start: int, columns: _Columns, figures: Figures, gap_ns: int, levels: Levels) -> int:
    """Walk on from row ``start``; return the row before which the levels need room, or the number of rows.

    Room is made outside, and the book is moved in here rather than in functions: otherwise Numba counts references to
    the arrays for every row, which takes three times as long as all the rest.
    """
    exchange_ns, receive_ns, px_1e9, sz_1e8, kinds, flags = columns
    keys, marks, heap, counts = levels
    found = figures[0]
    for i in range(start, len(kinds)):
        if counts[BIDS, USED] == heap.shape[1] or counts[ASKS, USED] == heap.shape[1]:
            return i
        kind, px, received, exchanged = kinds[i], px_1e9[i], receive_ns[i], exchange_ns[i]
        row = found["rows"]
        if row == 0:
            found["packet_ns"] = received
        elif received < found["receive_ns"]:
            if found["backward_receive_clock"] == 0:
                found["backward_receive_row"], found["backward_receive_at_ns"] = row, received
            found["backward_receive_clock"] += 1
        found["rows"] = row + 1
        found["receive_ns"] = received
        found["negative_latency"] += received < exchanged

        # The exchange's clock, for the book and for the trades apart.
        is_trade = kind in (BUY_TRADE, SELL_TRADE)
        if is_trade:
            backward = found["trades"] > 0 and exchanged < found["trade_ns"]
            found["trade_ns"] = exchanged
            found["trades"] += 1
            found["zero_size_trades"] += sz_1e8[i] == 0
        else:
            backward = found["book_rows"] > 0 and exchanged < found["book_ns"]
            found["book_ns"] = exchanged
            found["starts_without_snapshot"] += found["book_rows"] == 0 and kind != CLEAR
            found["book_rows"] += 1
        if backward:
            if found["backward_exchange_clock"] == 0:
                found["backward_exchange_row"], found["backward_exchange_at_ns"] = row, exchanged
            found["backward_exchange_clock"] += 1

        if kind in (BID, ASK):
            side = BIDS if kind == BID else ASKS
            key = -px if kind == BID else px
            epoch = counts[side, EPOCH]
            slot = slot_of(keys, marks, side, epoch, key)
            known = marks[side, slot] >> 2 == epoch
            state = marks[side, slot] & 3 if known else GONE
            if sz_1e8[i] > 0:
                keys[side, slot] = key
                marks[side, slot] = epoch << 2 | THERE
                counts[side, USED] += not known
                counts[side, LIVE] += state != THERE
                if state == GONE:
                    push(heap, side, counts[side, HEAPED], key)
                    counts[side, HEAPED] += 1
                found["bid_levels_max"] = max(found["bid_levels_max"], counts[BIDS, LIVE])
                found["ask_levels_max"] = max(found["ask_levels_max"], counts[ASKS, LIVE])
            elif state == THERE:
                marks[side, slot] = epoch << 2 | IN_HEAP
                counts[side, LIVE] -= 1
        elif kind == CLEAR:
            found["snapshots"] += flags[i] & SNAPSHOT != 0
            for side in range(2):
                counts[side, EPOCH] += 1
                counts[side, USED] = 0
                counts[side, HEAPED] = 0
                counts[side, LIVE] = 0

        last = flags[i] & LAST_OF_PACKET != 0
        if is_trade or last:
            for side in range(2):
                epoch = counts[side, EPOCH]
                while counts[side, HEAPED] > 0:
                    slot = slot_of(keys, marks, side, epoch, heap[side, 0])
                    if marks[side, slot] == epoch << 2 | THERE:
                        break
                    marks[side, slot] = epoch << 2 | GONE
                    counts[side, HEAPED] -= 1
                    drop_first(heap, side, counts[side, HEAPED])
            bid = -heap[BIDS, 0] if counts[BIDS, LIVE] else 0
            ask = heap[ASKS, 0] if counts[ASKS, LIVE] else 0
            if is_trade:
                below = bid - px if counts[BIDS, LIVE] and px < bid else 0
                above = px - ask if counts[ASKS, LIVE] and px > ask else 0
                found["trades_off_book"] += below > 0 or above > 0
                if below > _bps_of(bid) or above > _bps_of(ask):
                    if found["trades_off_market"] == 0:
                        found["off_market_row"], found["off_market_at_ns"] = row, received
                        found["off_market_px_1e9"] = px
                        found["off_market_bid_1e9"], found["off_market_ask_1e9"] = bid, ask
                    found["trades_off_market"] += 1
            if last:
                if counts[BIDS, LIVE] and counts[ASKS, LIVE] and bid >= ask:
                    if found["crossed_books"] == 0:
                        found["crossed_row"], found["crossed_at_ns"] = row, received
                        found["crossed_bid_1e9"], found["crossed_ask_1e9"] = bid, ask
                    found["crossed_books"] += 1
                    found["locked_books"] += bid == ask
                silence = received - found["packet_ns"]
                found["gaps"] += silence > gap_ns
                if silence > found["longest_gap_ns"]:
                    found["longest_gap_ns"], found["longest_gap_ends_ns"] = silence, received
                found["packet_ns"] = received
                found["packets"] += 1
    return len(kinds)


@njit(cache=True)
def _bps_of(px: int) -> int:
    """Return how far a price may be off: rounded down, which for whole numbers is the same limit; never overflows."""
    return px // 10_000 * OFF_MARKET_BPS + px % 10_000 * OFF_MARKET_BPS // 10_000
