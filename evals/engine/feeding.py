"""Hands the rows of a tape to its three readers, chunk by chunk: the algo's, and the exchange's of levels and trades.

The readers go at their own pace over the same chunks; a chunk is let go when all are past it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from evals.engine import loop
from evals.engine.layout import BOOK_ROWS, LOCAL_ROWS, TRADE_ROWS
from evals.engine.rows import happened_ns
from evals.market.source import Columns, TapeSource

_READERS: Final = {BOOK_ROWS: "book_rows", TRADE_ROWS: "trade_rows", LOCAL_ROWS: "local_rows"}
_COLUMNS: Final = {
    "exchange": "exchange_ns",
    "receive": "receive_ns",
    "px": "px_1e9",
    "sz": "sz_1e8",
    "kind": "kind",
    "flags": "flags",
}


class Feed:
    """The tape of one asset on its way into the record of that asset."""

    def __init__(self, asset: Any, source: TapeSource) -> None:
        self._asset = asset
        self._source: Iterator[Columns] | None = iter(source.chunks())
        self._chunks: dict[int, tuple[int, Columns]] = {}
        self._next = dict.fromkeys(_READERS, 0)
        self.rows = 0
        """Rows read so far."""
        self.first_ns, self.last_ns = 0, 0
        """When the first row and the last one so far were received."""
        self.happened_ns = 0
        """When the first row happened at the exchange."""

    @property
    def exhausted(self) -> bool:
        """Whether every reader has had the last chunk."""
        return all(self._asset[name]["exhausted"] for name in _READERS.values())

    def start(self) -> None:
        """Give every reader its first chunk."""
        for reader in _READERS:
            self.hand_over(reader)

    def hand_over(self, reader: int) -> None:
        """Give a reader the next chunk, or tell it that there is none."""
        number = self._next[reader]
        if number not in self._chunks:
            self._read(number)
        tape = self._asset[_READERS[reader]]
        if number in self._chunks:
            self._next[reader] = number + 1
            tape["first_row"], columns = self._chunks[number]
            tape["at"], tape["end"] = 0, len(columns)
            for field, name in _COLUMNS.items():
                values = getattr(columns, name)
                tape[field]["at"], tape[field]["step"] = values.ctypes.data, values.strides[0]
            # A reader still looks at the end of the chunk before the one it is given next.
            for old in [n for n in self._chunks if n + 1 < min(self._next.values())]:
                del self._chunks[old]
        else:
            tape["exhausted"] = 1
        loop.hand_over(self._asset, reader)

    def _read(self, number: int) -> None:
        columns = None if self._source is None else next(self._source, None)
        if columns is None:
            self._source = None
            return
        self._chunks[number] = (self.rows, columns)
        if self.rows == 0:
            self.first_ns = int(columns.receive_ns[0])
            self.happened_ns = happened_ns(int(columns.exchange_ns[0]), self.first_ns)
        self.last_ns = int(columns.receive_ns[-1])
        self.rows += len(columns)
