"""What a run logs, row by row, kept in temporary files: memory is set by the run's pace, not by its length."""

from __future__ import annotations

import hashlib
import io
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, Any, Final, Protocol

import numpy as np

from evals.engine import layout
from evals.engine.layout import Records

_PIECE_ROWS: Final = 1 << 16
_IN_MEMORY_BYTES: Final = 8 << 20

DTYPES: Final = {"fills": layout.FILL_LOG, "orders": layout.ORDER_LOG, "equity": layout.EQUITY_LOG}
"""The logs of a run by name."""


class Listener(Protocol):
    """Somebody who wants to see log rows as they become final."""

    def add_fills(self, rows: Records) -> None:
        """Take some fills."""

    def add_orders(self, rows: Records) -> None:
        """Take some rows of the order log."""

    def add_equity(self, rows: Records) -> None:
        """Take some equity samples."""


class RowFile:
    """Rows of one log and their running SHA-256; what is too much for memory lies in a temporary file."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._file: IO[bytes] | None = None
        self._parts: list[bytes] = []
        self._bytes_in_parts = 0
        self._sha256 = hashlib.sha256()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, rows: Records) -> None:
        """Add rows at the end."""
        content = rows.tobytes()
        self._sha256.update(content)
        self._rows += len(rows)
        self._parts.append(content)
        self._bytes_in_parts += len(content)
        if self._bytes_in_parts > _IN_MEMORY_BYTES:
            self._write_parts()

    def _write_parts(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when this object goes
            weakref.finalize(self, self._file.close)
        self._file.seek(0, io.SEEK_END)
        self._file.writelines(self._parts)
        self._parts.clear()
        self._bytes_in_parts = 0

    def digest(self) -> bytes:
        """Return the SHA-256 of all rows so far."""
        return self._sha256.digest()

    def pieces(self) -> Iterator[Records]:
        """Yield the rows in pieces of bounded size."""
        at, size = 0, _PIECE_ROWS * self.dtype.itemsize
        while self._file is not None:
            self._file.seek(at)
            content = self._file.read(size)
            if not content:
                break
            at += len(content)
            yield np.frombuffer(content, self.dtype)
        if self._parts:
            yield np.frombuffer(b"".join(self._parts), self.dtype)

    def load(self) -> Records:
        """Return all rows at once."""
        return np.concatenate([np.zeros(0, self.dtype), *self.pieces()])


class RunLogs:
    """The logs of a run by name, and who listens to them."""

    def __init__(self, listener: Listener | None = None) -> None:
        self.files = {name: RowFile(dtype) for name, dtype in DTYPES.items()}
        self._listener = listener

    def add(self, name: str, rows: Records) -> None:
        """Take rows that will not change any more."""
        self.files[name].append(rows)
        if self._listener is not None:
            {
                "fills": self._listener.add_fills,
                "orders": self._listener.add_orders,
                "equity": self._listener.add_equity,
            }[name](rows)
