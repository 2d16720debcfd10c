"""Rows of several tapes on both clocks, a chunk of each at a time.

A row happened when the exchange says so, but not after it was received, nor more than 10 s before, nor before the row
ahead of it. In a packet trades come before levels. While a fault freezes the view of a venue, what is received waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.market.schema import BUY_TRADE, LAST_OF_PACKET, SELL_TRADE
from evals.market.source import Columns, TapeSource
from evals.routing.kernels.money import MILLION, drawn
from evals.routing.kernels.router import STALE
from evals.routing.kernels.state import ENDED, FIRST_STAMP, HAPPENED, HELD, RECEIVED, Feeds
from evals.routing.settings import FaultPlan

_EARLIEST_NS: Final = 10 * 10**9
_Int64s = NDArray[np.int64]


class _Rows(NamedTuple):
    exchange_ns: _Int64s
    receive_ns: _Int64s
    px_1e9: _Int64s
    sz_1e8: _Int64s
    kind: NDArray[np.uint8]


class Feeding:
    """Fills the kernel's rows from the tapes as they are used up."""

    def __init__(self, tapes: list[TapeSource], keys: list[int], seed: int, faults: FaultPlan | None) -> None:
        self._rows = [
            _packets(tape.chunks(), None if faults is None else _Frozen(key, seed, faults))
            for tape, key in zip(tapes, keys, strict=True)
        ]
        self.feeds = _room_for(len(tapes), 1)
        self.events = 0
        """Rows read so far."""
        for venue in range(len(tapes)):
            self.more(venue)

    def more(self, venue: int) -> None:
        """Add the next rows of a venue, or note that there are none."""
        rows = next(self._rows[venue], None)
        places = self.feeds.places[venue]
        if rows is None:
            places[ENDED] = 1
            return
        self.events += len(rows.kind)
        used, held = int(places[RECEIVED]), int(places[HELD])
        needed = held - used + len(rows.kind)
        if needed > self.feeds.kind.shape[1]:
            self._grow(needed)
            places = self.feeds.places[venue]
        for column, added in zip(_columns(self.feeds), rows, strict=True):
            column[venue, : held - used] = column[venue, used:held].copy()
            column[venue, held - used : needed] = added
        places[FIRST_STAMP] += used
        places[HAPPENED] -= used
        places[RECEIVED], places[HELD] = 0, needed

    def _grow(self, needed: int) -> None:
        old, self.feeds = self.feeds, _room_for(len(self.feeds.places), 2 * needed)
        for new, given in zip(_columns(self.feeds), _columns(old), strict=True):
            new[:, : given.shape[1]] = given
        self.feeds.places[:] = old.places


def _columns(feeds: Feeds) -> list[NDArray[Any]]:
    """Return what is held of each row, in the order of `_Rows`."""
    return [feeds.exchange_ns, feeds.receive_ns, feeds.px_1e9, feeds.sz_1e8, feeds.kind]


def _room_for(venues: int, rows: int) -> Feeds:
    int64s = [np.zeros((venues, rows), np.int64) for _ in range(4)]
    return Feeds(
        int64s[0],
        int64s[1],
        int64s[2],
        int64s[3],
        np.zeros((venues, rows), np.uint8),
        np.zeros((venues, FIRST_STAMP + 1), np.int64),
    )


def _packets(chunks: Iterator[Columns], frozen: _Frozen | None) -> Iterator[_Rows]:
    """Yield whole packets with both clocks made sound, so that it does not matter how the tape is cut into chunks."""
    waiting: list[Columns] = []
    happened_ns = -(2**62)
    for chunk in chunks:
        ends = np.flatnonzero(chunk.flags & LAST_OF_PACKET)
        if not len(ends):
            waiting.append(chunk)
            continue
        whole = int(ends[-1]) + 1
        rows = _made_sound([*waiting, chunk.cut(0, whole)], happened_ns, frozen)
        waiting = [chunk.cut(whole, len(chunk))] if whole < len(chunk) else []
        happened_ns = int(rows.exchange_ns[-1])
        yield rows


def _made_sound(pieces: list[Columns], happened_ns: int, frozen: _Frozen | None) -> _Rows:
    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(piece, name) for piece in pieces])

    kind, flags, receive_ns = column("kind"), column("flags"), column("receive_ns")
    exchange_ns = np.maximum(np.minimum(column("exchange_ns"), receive_ns), receive_ns - _EARLIEST_NS)
    packet = np.cumsum(np.append(0, (flags[:-1] & LAST_OF_PACKET) != 0))
    is_trade = (kind == BUY_TRADE) | (kind == SELL_TRADE)
    order = np.argsort(packet * 2 + ~is_trade, kind="stable")
    happened = np.maximum(np.maximum.accumulate(exchange_ns[order]), happened_ns)
    received = receive_ns if frozen is None else frozen.thawed(receive_ns)
    return _Rows(
        happened, np.maximum.accumulate(received[order]), column("px_1e9")[order], column("sz_1e8")[order], kind[order]
    )


class _Frozen:
    """The windows in which the router's view of one venue stands still."""

    def __init__(self, key: int, seed: int, faults: FaultPlan) -> None:
        self._key = key
        self._seed = seed
        self._ppm = faults.stale_ppm
        self._ns = faults.stale_ns

    def thawed(self, receive_ns: _Int64s) -> _Int64s:
        """Return when the router sees what was received at these times."""
        if self._ppm == 0:
            return receive_ns
        windows, where = np.unique(receive_ns // self._ns, return_inverse=True)
        ends = np.array([self._end(int(window)) for window in windows], np.int64)
        return np.maximum(receive_ns, ends[where])

    def _end(self, window: int) -> int:
        """Return when a frozen window, with those that follow, ends; 0 if it is not frozen."""
        first = window
        while drawn(self._seed, STALE, self._key, window, MILLION) < self._ppm and window - first < MILLION:
            window += 1
        return window * self._ns if window > first else 0
