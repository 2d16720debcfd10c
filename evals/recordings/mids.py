"""The mid of a tape at any times, in one light pass: what positions are marked to and markouts are taken on.

The rules are the engine's, so that what really happened and its replay twin are measured alike: a level happened at its
``exchange_ns``, but not after it was received nor more than 10 s before, and levels do not overtake one another; the
mid is the integer mean of the best prices after each level, and stays what it was while a side is empty.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evals.engine.streams import LATEST_NS
from evals.market.book import room_for_one, set_level
from evals.market.schema import ASK, BID, CLEAR, LAST_OF_PACKET
from evals.market.source import Columns, TapeSource

Int64s = NDArray[np.int64]

_LATEST_NS: Final = LATEST_NS

# Slots of the state between chunks.
_BIDS, _ASKS, _LEVEL_NS, _MID, _ANSWERED = range(5)


class MidPass:
    """One pass over a tape that answers what the mid was at times in ascending order.

    The rows of a time have all happened when its mid is taken; 0 before the first mid.
    """

    def __init__(self, times_ns: Int64s) -> None:
        self._times_ns = times_ns
        self._state = np.zeros(5, np.int64)
        self._sides = [np.empty(64, np.int64) for _ in range(4)]
        self.mids_1e9 = np.zeros(len(times_ns), np.int64)

    def take(self, chunk: Columns) -> None:
        """Go on over the rows that follow."""
        self._sides = list(
            _advance(
                np.ascontiguousarray(chunk.exchange_ns),
                np.ascontiguousarray(chunk.receive_ns),
                np.ascontiguousarray(chunk.px_1e9),
                np.ascontiguousarray(chunk.sz_1e8),
                np.ascontiguousarray(chunk.kind),
                self._times_ns,
                self.mids_1e9,
                self._state,
                *self._sides,
            )
        )

    def finish(self) -> Int64s:
        """Return the mids at all times; those after the last row have the last mid."""
        self.mids_1e9[self._state[_ANSWERED] :] = self._state[_MID]
        return self.mids_1e9


def mids_at(tape: TapeSource, times_ns: Int64s) -> Int64s:
    """Return the mid at each time, in any order of times."""
    order = np.argsort(times_ns, kind="stable")
    walk = MidPass(np.ascontiguousarray(times_ns[order]))
    for chunk in tape.chunks():
        walk.take(chunk)
    mids: Int64s = np.empty(len(times_ns), np.int64)
    mids[order] = walk.finish()
    return mids


class Span(NamedTuple):
    """What a tape spans: first row received, first row happened, last received; rows and packets."""

    received_ns: int
    first_ns: int
    last_ns: int
    rows: int
    packets: int


def span_of(tape: TapeSource) -> Span:
    """Return what a tape spans; it must not be empty."""
    received_ns = first_ns = last_ns = rows = packets = 0
    for chunk in tape.chunks():
        if rows == 0:
            received_ns = int(chunk.receive_ns[0])
            first_ns = min(max(int(chunk.exchange_ns[0]), received_ns - _LATEST_NS), received_ns)
        last_ns = int(chunk.receive_ns[-1])
        rows += len(chunk)
        packets += int(np.count_nonzero(chunk.flags & LAST_OF_PACKET))
    return Span(received_ns, first_ns, last_ns, rows, packets)


@njit(cache=True)
def _advance(
    exchange_ns: Int64s,
    receive_ns: Int64s,
    px_1e9: Int64s,
    sz_1e8: Int64s,
    kinds: NDArray[np.uint8],
    times_ns: Int64s,
    mids_1e9: Int64s,
    state: Int64s,
    bid_keys: Int64s,
    bid_sizes: Int64s,
    ask_keys: Int64s,
    ask_sizes: Int64s,
) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    bids, asks, level_ns, mid, answered = state[0], state[1], state[2], state[3], state[4]
    for i in range(len(kinds)):
        kind = kinds[i]
        if kind not in (BID, ASK, CLEAR):
            continue
        happened = min(max(exchange_ns[i], receive_ns[i] - _LATEST_NS), receive_ns[i])
        level_ns = max(level_ns, happened)
        while answered < len(times_ns) and times_ns[answered] < level_ns:
            mids_1e9[answered] = mid
            answered += 1
        if kind == BID:
            bid_keys = room_for_one(bid_keys, bids)
            bid_sizes = room_for_one(bid_sizes, bids)
            bids = set_level(bid_keys, bid_sizes, bids, px_1e9[i], sz_1e8[i])
        elif kind == ASK:
            ask_keys = room_for_one(ask_keys, asks)
            ask_sizes = room_for_one(ask_sizes, asks)
            asks = set_level(ask_keys, ask_sizes, asks, -px_1e9[i], sz_1e8[i])
        else:
            bids = 0
            asks = 0
        if bids > 0 and asks > 0:
            mid = (bid_keys[bids - 1] - ask_keys[asks - 1]) // 2
    state[0], state[1], state[2], state[3], state[4] = bids, asks, level_ns, mid, answered
    return bid_keys, bid_sizes, ask_keys, ask_sizes
