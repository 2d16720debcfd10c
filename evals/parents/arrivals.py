"""What one venue's book showed when each parent order arrived: the rows received until then, and nothing later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evals.errors import TapeError
from evals.market.book import Levels, room_for_one, set_level
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, Instrument
from evals.market.source import Columns, TapeSource
from evals.parents.orders import ParentOrders

_Side: TypeAlias = tuple[Levels, Levels, int]
"""Keys and sizes of a side as `evals.market.book` sorts them (the best last), and how many."""
_Number = TypeVar("_Number", bound=np.integer[Any])

_UPDATED, _BIDS, _ASKS, _MOST_BIDS, _MOST_ASKS, _PACKETS = range(6)
"""Slots of the state: receive time of the last row of the book; size of each side now, and the most it ever was."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One venue at the arrivals of parent orders; arrays by row of these."""

    instrument: Instrument
    first_ns: int
    last_ns: int
    rows: int
    packets: int
    """The tape: first and last receive time, rows, packets."""
    bid_1e9: NDArray[np.int64]
    ask_1e9: NDArray[np.int64]
    """Best prices, 0 where a side is empty."""
    updated_ns: NDArray[np.int64]
    """When the last row of the book was received; 0 where none was."""
    depth_1e8: NDArray[np.int64]
    """All that the side which the order takes from showed."""
    levels: tuple[tuple[tuple[int, int], ...], ...]
    """(price, size) of that side, best first, as far down as the order's quantity reaches."""
    most_bids_1e8: int
    most_asks_1e8: int
    """The most that a side showed at any moment of the tape."""

    def live(self, parents: ParentOrders, max_age_ns: int) -> NDArray[np.bool_]:
        """Tell where the book has both sides and was updated at most so long before the arrival."""
        age_ns = parents.rows["arrival_ns"] - self.updated_ns
        live: NDArray[np.bool_] = (self.bid_1e9 > 0) & (self.ask_1e9 > 0) & (age_ns <= max_age_ns)
        return live


def seen_at_arrival(parents: ParentOrders, tape: TapeSource) -> Seen:
    """Walk a tape once and note its book at every arrival: after all rows received at that moment or before.

    Raises:
        TapeError: if the tape is empty, or for whatever is wrong with it.

    """
    notes = _Notes(parents)
    first_ns, last_ns, rows = 0, 0, 0
    for chunk in tape.chunks():
        first_ns = first_ns if rows else int(chunk.receive_ns[0])
        last_ns = int(chunk.receive_ns[-1])
        rows += len(chunk)
        notes.take(chunk)
    if not rows:
        raise TapeError(
            f"The tape of {tape.info.instrument.venue} {tape.info.instrument.symbol} is empty. Choose a window that "
            "holds data."
        )
    notes.finish()
    bids, asks = notes.most
    return Seen(
        instrument=tape.info.instrument,
        first_ns=first_ns,
        last_ns=last_ns,
        rows=rows,
        packets=notes.packets,
        bid_1e9=notes.bid_1e9,
        ask_1e9=notes.ask_1e9,
        updated_ns=notes.updated_ns,
        depth_1e8=notes.depth_1e8,
        levels=tuple(notes.levels),
        most_bids_1e8=bids,
        most_asks_1e8=asks,
    )


class _Notes:
    """A walk in progress."""

    def __init__(self, parents: ParentOrders) -> None:
        self._orders = list(
            zip(*(parents.rows[name].tolist() for name in ("arrival_ns", "side", "qty_1e8")), strict=True)
        )
        self._next = 0
        self._bids: _Side = (np.empty(64, np.int64), np.empty(64, np.int64), 0)
        self._asks: _Side = (np.empty(64, np.int64), np.empty(64, np.int64), 0)
        self._state = np.zeros(6, np.int64)
        self.bid_1e9, self.ask_1e9, self.updated_ns, self.depth_1e8 = np.zeros((4, len(parents)), np.int64)
        self.levels: list[tuple[tuple[int, int], ...]] = []

    @property
    def most(self) -> tuple[int, int]:
        return int(self._state[_MOST_BIDS]), int(self._state[_MOST_ASKS])

    @property
    def packets(self) -> int:
        return int(self._state[_PACKETS])

    def take(self, chunk: Columns) -> None:
        columns = (
            _as_kernel_reads(chunk.receive_ns),
            _as_kernel_reads(chunk.px_1e9),
            _as_kernel_reads(chunk.sz_1e8),
            _as_kernel_reads(chunk.kind),
            _as_kernel_reads(chunk.flags),
        )
        row, last_ns = 0, int(chunk.receive_ns[-1])
        # At an arrival within the chunk nothing more of that moment can come; one at its end waits for the next chunk.
        while self._next < len(self._orders) and self._orders[self._next][0] < last_ns:
            row = self._move(columns, row, self._orders[self._next][0])
            self._note()
        self._move(columns, row, last_ns)

    def finish(self) -> None:
        while self._next < len(self._orders):
            self._note()

    def _move(self, columns: tuple[NDArray[Any], ...], row: int, until_ns: int) -> int:
        row, bid_px, bid_sz, bids, ask_px, ask_sz, asks = _move(
            columns, row, until_ns, *self._bids, *self._asks, self._state
        )
        self._bids, self._asks = (bid_px, bid_sz, bids), (ask_px, ask_sz, asks)
        return row

    def _note(self) -> None:
        at = self._next
        _, side, qty = self._orders[at]
        (bid_px, _, bids), (ask_px, _, asks) = self._bids, self._asks
        self.bid_1e9[at] = bid_px[bids - 1] if bids else 0
        self.ask_1e9[at] = -ask_px[asks - 1] if asks else 0
        self.updated_ns[at] = self._state[_UPDATED]
        self.depth_1e8[at] = self._state[_ASKS if side > 0 else _BIDS]
        self.levels.append(_reached(*(self._asks if side > 0 else self._bids), side, qty))
        self._next += 1


def _reached(keys: Levels, sizes: Levels, count: int, side: int, qty: int) -> tuple[tuple[int, int], ...]:
    """Return the best levels, down to the one at which a quantity is reached."""
    levels, left = [], qty
    for at in range(count - 1, -1, -1):
        levels.append((-side * int(keys[at]), int(sizes[at])))
        left -= int(sizes[at])
        if left <= 0:
            break
    return tuple(levels)


def _as_kernel_reads(column: NDArray[_Number]) -> NDArray[_Number]:
    """Return a contiguous array that cannot be written to, so that the kernel is compiled for one kind of array."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


@njit(cache=True)
def _move(
    columns: tuple[NDArray[Any], ...],
    row: int,
    until_ns: int,
    bid_px: Levels,
    bid_sz: Levels,
    bids: int,
    ask_px: Levels,
    ask_sz: Levels,
    asks: int,
    state: NDArray[np.int64],
) -> tuple[int, Levels, Levels, int, Levels, Levels, int]:
    """Apply rows received until a moment; return the first row that was not, and the book."""
    receive_ns, px_1e9, sz_1e8, kinds, flags = columns
    while row < len(kinds) and receive_ns[row] <= until_ns:
        kind = kinds[row]
        state[_PACKETS] += (flags[row] & LAST_OF_PACKET) != 0
        if kind not in (BUY_TRADE, SELL_TRADE):
            state[_UPDATED] = receive_ns[row]
        if kind == BID:
            bid_px = room_for_one(bid_px, bids)
            bid_sz = room_for_one(bid_sz, bids)
            state[_BIDS] += sz_1e8[row] - _size_at(bid_px, bid_sz, bids, px_1e9[row])
            bids = set_level(bid_px, bid_sz, bids, px_1e9[row], sz_1e8[row])
        elif kind == ASK:
            ask_px = room_for_one(ask_px, asks)
            ask_sz = room_for_one(ask_sz, asks)
            state[_ASKS] += sz_1e8[row] - _size_at(ask_px, ask_sz, asks, -px_1e9[row])
            asks = set_level(ask_px, ask_sz, asks, -px_1e9[row], sz_1e8[row])
        elif kind == CLEAR:
            bids = 0
            asks = 0
            state[_BIDS] = 0
            state[_ASKS] = 0
        state[_MOST_BIDS] = max(state[_MOST_BIDS], state[_BIDS])
        state[_MOST_ASKS] = max(state[_MOST_ASKS], state[_ASKS])
        row += 1
    return row, bid_px, bid_sz, bids, ask_px, ask_sz, asks


@njit(cache=True)
def _size_at(keys: Levels, sizes: Levels, count: int, key: int) -> int:
    """Return the size of a level, 0 where there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return sizes[low] if low < count and keys[low] == key else 0
