"""The part of a tape that a deployment lived through, as a tape of its own that begins with the book as it was."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evals.market.book import Book
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, SNAPSHOT, TAPE_DTYPE, Events
from evals.market.source import Columns, TapeSource


class WindowTape:
    """The packets of a source that were received from ``start_ns`` to ``end_ns``, both included.

    If there are packets before, it opens with a packet that restates the book they left, received with the first of
    the window: an algo that starts in the middle of a day is shown the book first, too. A book that was never known
    whole is not restated.
    """

    def __init__(self, source: TapeSource, start_ns: int, end_ns: int) -> None:
        self._source = source
        self._start_ns = start_ns
        self._end_ns = end_ns
        self.info = source.info

    def chunks(self) -> Iterator[Columns]:
        """Read from the beginning of the window."""
        before = _Before()
        started = False
        rest = np.empty(0, TAPE_DTYPE)
        for chunk in self._source.chunks():
            events = np.empty(len(rest) + len(chunk), TAPE_DTYPE)
            events[: len(rest)] = rest
            chunk.write_to(events[len(rest) :])
            # A packet counts by its last row, and stays whole.
            ends = np.flatnonzero(events["flags"] & LAST_OF_PACKET)
            rest = events[ends[-1] + 1 :] if len(ends) else events
            received = events["receive_ns"][ends]
            first = int(np.searchsorted(received, self._start_ns, "left"))
            last = int(np.searchsorted(received, self._end_ns, "right"))
            start = int(ends[first - 1]) + 1 if first else 0
            stop = int(ends[last - 1]) + 1 if last else 0
            if not started:
                before.take(events[:start])
            if stop > start:
                chosen = events[start:stop]
                if not started:
                    chosen = np.concatenate([before.opening(int(chosen["receive_ns"][0])), chosen])
                    started = True
                yield Columns.of(chosen)
            if last < len(ends):
                return


class _Before:
    """The book that the packets before the window left."""

    def __init__(self) -> None:
        self._book = Book()
        self._known = False
        self._exchange_ns = 0

    def take(self, events: Events) -> None:
        levels = events[(events["kind"] != BUY_TRADE) & (events["kind"] != SELL_TRADE)]
        if len(levels):
            self._book.apply(levels)
            self._known = self._known or bool((levels["kind"] == CLEAR).any())
            self._exchange_ns = max(self._exchange_ns, int(levels["exchange_ns"].max()))

    def opening(self, receive_ns: int) -> Events:
        if not self._known:
            return np.empty(0, TAPE_DTYPE)
        levels = [(*each, BID) for each in self._book.bids()] + [(*each, ASK) for each in self._book.asks()]
        opening = np.empty(1 + len(levels), TAPE_DTYPE)
        opening["px_1e9"], opening["sz_1e8"], opening["kind"] = np.array([(0, 0, CLEAR), *levels], np.int64).T
        opening["exchange_ns"] = min(self._exchange_ns, receive_ns)
        opening["receive_ns"] = receive_ns
        opening["flags"] = SNAPSHOT
        opening["flags"][-1] |= LAST_OF_PACKET
        return opening
