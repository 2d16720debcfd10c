"""Hands the rows of a tape to its three readers, chunk by chunk: the algo's, and the exchange's of levels and trades.

The readers (`evals.engine.streams`) go at their own pace over the same chunks; a chunk is let go when all are past it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from evals.engine import entries
from evals.engine.layout import (
    LEVELS,
    NEVER,
    PACKET,
    PACKETS,
    PADDING_ROWS,
    PIECE_ROWS,
    ROW,
    TRADES,
    Int64s,
)
from evals.engine.streams import happened_ns
from evals.market.source import Columns, TapeSource

_COLUMNS: Final = ("exchange_ns", "receive_ns", "px_1e9", "sz_1e8", "kind", "flags")
"""The columns in the order of :data:`evals.engine.layout.TAPE`."""

_READERS: Final = {LEVELS: "levels", TRADES: "trades", PACKETS: "packets"}
_ROWS: Final = {"levels": ROW, "trades": ROW, "packets": PACKET, "heard": ROW}
"""What the tables of the readers consist of."""


class Feed:
    """The tape of one asset on its way into the record of that asset."""

    def __init__(self, asset: Any, source: TapeSource) -> None:
        self._asset = asset
        self._address = _address_of(asset)
        self._tables = {name: np.zeros(PIECE_ROWS + PADDING_ROWS, dtype) for name, dtype in _ROWS.items()}
        for name, table in self._tables.items():
            asset[name]["rows"] = table.ctypes.data
        self._tapes = {reader: _words_of(asset[name]["tape"]) for reader, name in _READERS.items()}
        self._source: Iterator[Columns] | None = iter(source.chunks())
        self._chunks: dict[int, tuple[list[int], Columns]] = {}
        self._next = dict.fromkeys(_READERS, 0)
        self._ended: set[int] = set()
        self.rows = 0
        """Rows read so far."""
        self.first_ns, self.last_ns = 0, 0
        """When the first row and the last one so far were received."""
        self.happened_ns = 0
        """When the first row happened at the exchange."""

    @property
    def exhausted(self) -> bool:
        """Whether every reader has had the last chunk."""
        return len(self._ended) == len(self._next)

    def start(self) -> None:
        """Give every reader its first chunk."""
        for reader in self._next:
            self.hand_over(reader)

    def hand_over(self, reader: int) -> None:
        """Give a reader the next chunk, or tell it that there is none."""
        number = self._next[reader]
        if number not in self._chunks:
            self._read(number)
        if number in self._chunks:
            self._next[reader] = number + 1
            self._tapes[reader][:] = self._chunks[number][0]
            for old in [n for n in self._chunks if n + 1 < min(self._next.values())]:
                del self._chunks[old]
        else:
            self._ended.add(reader)
            self._show_end(reader)
        entries.hand_over(self._address, reader)

    def _show_end(self, reader: int) -> None:
        if reader == PACKETS:
            self._asset["packets_end"] = 1
        else:
            self._asset[_READERS[reader]]["after_ns"] = NEVER

    def _read(self, number: int) -> None:
        columns = None if self._source is None else next(self._source, None)
        if columns is None:
            self._source = None
            return
        if self.rows == 0:
            self.first_ns = int(columns.receive_ns[0])
            self.happened_ns = happened_ns(int(columns.exchange_ns[0]), self.first_ns)
        self._chunks[number] = (_described(columns, self.rows), columns)
        self.last_ns = int(columns.receive_ns[-1])
        self.rows += len(columns)


def _described(columns: Columns, first_row: int) -> list[int]:
    """Return a chunk as the words of TAPE: to set its fields one by one would take longer than to read its rows."""
    words = [0, len(columns), first_row, int(columns.receive_ns[-1])]
    for name in _COLUMNS:
        values = getattr(columns, name)
        words += (values.__array_interface__["data"][0], values.strides[0])
    return words


def _words_of(record: Any) -> Int64s:
    """Return a record as words."""
    return np.ctypeslib.as_array((ctypes.c_int64 * (record.dtype.itemsize // 8)).from_address(_address_of(record)))


def _address_of(record: Any) -> int:
    return int(record.__array_interface__["data"][0])
