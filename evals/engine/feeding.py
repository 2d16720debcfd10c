"""Hands the rows of a tape to its three readers, chunk by chunk: the algo's, and the exchange's of levels and trades.

The readers go at their own pace over the same chunks; a chunk is let go when all are past it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from evals.engine import entries
from evals.engine.layout import BOOK_ROWS, LOCAL_ROWS, TAPE, TRADE_ROWS, Int64s
from evals.engine.rows import happened_ns
from evals.market.source import Columns, TapeSource

_READERS: Final = {BOOK_ROWS: "book_rows", TRADE_ROWS: "trade_rows", LOCAL_ROWS: "local_rows"}
_COLUMNS: Final = ("exchange_ns", "receive_ns", "px_1e9", "sz_1e8", "kind", "flags")
"""The columns in the order of :data:`evals.engine.layout.TAPE`."""

_FIRST_COLUMN: Final = (TAPE.names or ()).index("exchange")


class Feed:
    """The tape of one asset on its way into the record of that asset."""

    def __init__(self, asset: Any, source: TapeSource) -> None:
        self._asset = asset
        self._address = _address_of(asset)
        self._source: Iterator[Columns] | None = iter(source.chunks())
        self._chunks: dict[int, tuple[Int64s, Columns]] = {}
        self._next = dict.fromkeys(_READERS, 0)
        self._tapes = {reader: _words_of(asset, name) for reader, name in _READERS.items()}
        self.exhausted = False
        """Whether every reader has had the last chunk."""
        self.rows = 0
        """Rows read so far."""
        self.first_ns, self.last_ns = 0, 0
        """When the first row and the last one so far were received."""
        self.happened_ns = 0
        """When the first row happened at the exchange."""

    def start(self) -> None:
        """Give every reader its first chunk."""
        for reader in _READERS:
            self.hand_over(reader)

    def hand_over(self, reader: int) -> None:
        """Give a reader the next chunk, or tell it that there is none."""
        number = self._next[reader]
        if number not in self._chunks:
            self._read(number)
        if number in self._chunks:
            self._next[reader] = number + 1
            words, _ = self._chunks[number]
            tape = self._tapes[reader]
            tape[:3] = words[:3]
            tape[_FIRST_COLUMN:] = words[3:]
            # A reader still looks at the end of the chunk before the one it is given next.
            for old in [n for n in self._chunks if n + 1 < min(self._next.values())]:
                del self._chunks[old]
        else:
            self._asset[_READERS[reader]]["exhausted"] = 1
            self.exhausted = all(self._asset[name]["exhausted"] for name in _READERS.values())
        entries.hand_over(self._address, reader)

    def _read(self, number: int) -> None:
        columns = None if self._source is None else next(self._source, None)
        if columns is None:
            self._source = None
            return
        self._chunks[number] = (self._described(columns), columns)
        if self.rows == 0:
            self.first_ns = int(columns.receive_ns[0])
            self.happened_ns = happened_ns(int(columns.exchange_ns[0]), self.first_ns)
        self.last_ns = int(columns.receive_ns[-1])
        self.rows += len(columns)

    def _described(self, columns: Columns) -> Int64s:
        """Return what a reader needs to know of a chunk: next row, end, first row, address and step of each column."""
        words = [0, len(columns), self.rows]
        for name in _COLUMNS:
            values = getattr(columns, name)
            words += [values.ctypes.data, values.strides[0]]
        return np.array(words, np.int64)


def _words_of(asset: Any, name: str) -> Int64s:
    """Return a reader's record as words: writing twelve fields one by one takes longer than the rows of a chunk."""
    return np.ctypeslib.as_array((ctypes.c_int64 * (TAPE.itemsize // 8)).from_address(_address_of(asset[name])))


def _address_of(record: Any) -> int:
    return int(record.__array_interface__["data"][0])
