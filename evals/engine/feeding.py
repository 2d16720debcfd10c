"""Hands the rows of a tape to its three readers, chunk by chunk: the algo's, and the exchange's of levels and trades.

Each goes through its stream of them (`evals.engine.streams`) at its own pace. A chunk is let go when all are past it,
and its tables serve another.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from evals.engine import entries
from evals.engine.layout import (
    CHUNK,
    LEVELS,
    NEVER,
    PACKET,
    PACKETS,
    PADDING_ROWS,
    PIECE_ROWS,
    ROW,
    TAPE,
    TRADES,
    Int64s,
)
from evals.engine.streams import LATEST_NS, happened_ns
from evals.market.source import Columns, TapeSource

_COLUMNS: Final = ("exchange_ns", "receive_ns", "px_1e9", "sz_1e8", "kind", "flags")
"""The columns in the order of :data:`evals.engine.layout.TAPE`."""

_TAPE_WORDS: Final = TAPE.itemsize // 8
_LAST_NS: Final = (TAPE.names or ()).index("last_ns")


class _Chunk:
    """Rows with their trades and packets picked out; its tables serve one chunk after the other.

    It reads and writes its record as words: to set thirty fields one by one would take as long as to split the rows.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._trades = np.zeros(rows, ROW)
        self._packets = np.zeros(rows, PACKET)
        self._tables = [table.ctypes.data for table in (self._trades, self._packets)]
        self._words = np.zeros(CHUNK.itemsize // 8, np.int64)
        self._columns: Columns | None = None

    def split(self, columns: Columns, first_row: int, trade_ns: int, packet: int) -> tuple[int, int]:
        """Split rows; take when the last trade before them happened and the number of packets, return such."""
        self._columns = columns
        columns_at: list[int] = []
        for name in _COLUMNS:
            values = getattr(columns, name)
            columns_at += (values.__array_interface__["data"][0], values.strides[0])
        self._words[:] = [0, len(columns), first_row, 0, *columns_at, *self._tables, 0, 0, trade_ns, packet, 0]
        entries.split(int(self._words.ctypes.data))
        *_, trades, packets, trade_ns, packet, open_ns = self._words.tolist()
        self.tape = self._words[:_TAPE_WORDS]
        self.trades = [self._tables[0], 0, trades, max(trade_ns, int(self.tape[_LAST_NS]) - LATEST_NS)]
        self.packets = [self._tables[1], 0, packets, 0]
        self.open = (open_ns, first_row + len(columns) - 1) if open_ns else None
        return trade_ns, packet

    def let_go(self) -> None:
        """Forget the rows."""
        self._columns = None


class Feed:
    """The tape of one asset on its way into the record of that asset."""

    def __init__(self, asset: Any, source: TapeSource) -> None:
        self._asset = asset
        self._address = _address_of(asset)
        self._words = {name: _words_of(asset[name]) for name in ("tape", "trades", "packets", "heard")}
        self._levels = np.zeros(PIECE_ROWS + PADDING_ROWS, ROW)
        asset["levels"]["rows"] = self._levels.ctypes.data
        self._source: Iterator[Columns] | None = iter(source.chunks())
        self._chunks: dict[int, _Chunk] = {}
        self._free: list[_Chunk] = []
        self._next = dict.fromkeys((LEVELS, TRADES, PACKETS), 0)
        self._ended: set[int] = set()
        self._trade_ns = self._packet = 0
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
            self._show(reader, self._chunks[number])
            for old in [n for n in self._chunks if n + 1 < min(self._next.values())]:
                self._free.append(self._chunks.pop(old))
                self._free[-1].let_go()
        else:
            self._ended.add(reader)
            self._show_end(reader)
        entries.hand_over(self._address, reader)

    def _show(self, reader: int, chunk: _Chunk) -> None:
        if reader == LEVELS:
            self._words["tape"][:] = chunk.tape
        elif reader == TRADES:
            self._words["trades"][:] = chunk.trades
        else:
            self._words["packets"][:] = chunk.packets
            self._words["heard"][:] = chunk.trades
            if chunk.open:
                self._asset["packet_open_ns"], self._asset["packet_open_row"] = chunk.open

    def _show_end(self, reader: int) -> None:
        if reader == PACKETS:
            self._asset["packets_end"] = 1
        else:
            self._asset["levels" if reader == LEVELS else "trades"]["after_ns"] = NEVER

    def _read(self, number: int) -> None:
        columns = None if self._source is None else next(self._source, None)
        if columns is None:
            self._source = None
            return
        if self.rows == 0:
            self.first_ns = int(columns.receive_ns[0])
            self.happened_ns = happened_ns(int(columns.exchange_ns[0]), self.first_ns)
        chunk = self._free.pop() if self._free else _Chunk(len(columns))
        if chunk.rows < len(columns):
            chunk = _Chunk(len(columns))
        self._trade_ns, self._packet = chunk.split(columns, self.rows, self._trade_ns, self._packet)
        self._chunks[number] = chunk
        self.last_ns = int(columns.receive_ns[-1])
        self.rows += len(columns)


def _words_of(record: Any) -> Int64s:
    """Return a record as words."""
    return np.ctypeslib.as_array((ctypes.c_int64 * (record.dtype.itemsize // 8)).from_address(_address_of(record)))


def _address_of(record: Any) -> int:
    return int(record.__array_interface__["data"][0])
