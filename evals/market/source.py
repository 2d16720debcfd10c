"""A tape as a stream of chunks: whoever reads one so needs memory for a chunk, however long the tape is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from evals.market.schema import TAPE_DTYPE, Events, TapeInfo

CHUNK_ROWS: Final = 1 << 16
"""Rows of a chunk unless the caller asks for another number: 2.2 MB."""


@dataclass(frozen=True, eq=False, slots=True)
class Columns:
    """Rows of a tape, column by column: one-dimensional arrays of one length, at least one row, of any stride.

    They may be views of memory that cannot be written to.

    Raises:
        ValueError: for arrays of another type or of different lengths. Kernels index them unchecked.

    """

    exchange_ns: NDArray[np.int64]
    receive_ns: NDArray[np.int64]
    px_1e9: NDArray[np.int64]
    sz_1e8: NDArray[np.int64]
    kind: NDArray[np.uint8]
    flags: NDArray[np.uint8]

    def __post_init__(self) -> None:
        for field in fields(self):
            column = getattr(self, field.name)
            if column.dtype != TAPE_DTYPE[field.name] or column.shape != self.kind.shape or not column.size:
                raise ValueError(f"{field.name} is {column.dtype} of shape {column.shape}, kind of {self.kind.shape}.")

    @classmethod
    def of(cls, events: Events) -> Columns:
        """Return views of at least one event."""
        return cls(*(events[field.name] for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.kind)

    def cut(self, start: int, stop: int) -> Columns:
        """Return views of the rows from ``start`` to before ``stop``, at least one."""
        return Columns(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def write_to(self, events: Events) -> None:
        """Write the rows over as many events."""
        for field in fields(self):
            events[field.name] = getattr(self, field.name)


class TapeSource(Protocol):
    """Market data of one symbol on one venue, read as often as one likes.

    Rows are in receive order over all chunks. A packet may go on in the next chunk; the last row of all ends one.
    """

    @property
    def info(self) -> TapeInfo:
        """What the tape says about itself."""

    def chunks(self) -> Iterator[Columns]:
        """Read from the beginning.

        Raises:
            LadderError: while reading, for whatever is wrong with the data; no rows beyond the fault are yielded.

        """
