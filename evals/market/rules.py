"""The rules that every reader of a tape relies on, checked chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evals.errors import TapeError
from evals.market.schema import BID, CLEAR, LAST_OF_PACKET
from evals.market.source import Columns


def utc(ns: int) -> str:
    """Print nanoseconds since the epoch as ``2024-08-08T23:54:14.206652067Z``."""
    return f"{np.datetime64(ns, 'ns')}Z"


class RowRules:
    """The rules of one file. Which fault is reported does not depend on where the chunks are cut: it is the first."""

    def __init__(self, name: str, opening_rows: int = 0) -> None:
        self.rows = 0
        """Rows checked so far."""
        self._name = name
        self._opening_rows = opening_rows
        self._receive_ns = 0
        self._flags = 0

    def check(self, chunk: Columns) -> None:
        """Check the rows that follow those checked before.

        Raises:
            TapeError: naming the first row that breaks a rule, and its time.

        """
        faults = list(self._faults(chunk))
        if faults:
            raise TapeError(f"{self._name}: {min(faults, key=lambda fault: fault[0])[1]}")
        self.rows += len(chunk)
        self._receive_ns = int(chunk.receive_ns[-1])
        self._flags = int(chunk.flags[-1])

    def end(self) -> None:
        """Check that a file may end here.

        Raises:
            TapeError: if it is empty or breaks off within a packet.

        """
        if not self.rows:
            raise TapeError(f"{self._name} holds no rows. Check the capture, then import it again.")
        if not self._flags & LAST_OF_PACKET:
            raise TapeError(
                f"{self._name}: the last row ({utc(self._receive_ns)}) does not end a packet. "
                "Set bit 1 of flags on the last row of every message; a file never ends within one."
            )
        if self._opening_rows >= self.rows:
            raise TapeError(f"{self._name}: {self._bad_opening}")

    @property
    def _bad_opening(self) -> str:
        return f"metadata opening_rows ({self._opening_rows}) does not end a packet. Import the capture again."

    def _faults(self, chunk: Columns) -> Iterator[tuple[int, str]]:
        """Yield the first row in the chunk that breaks each rule, and what to say of it."""

        def first(bad: NDArray[np.bool_], what: str, remedy: str) -> Iterator[tuple[int, str]]:
            if bad.any():
                at = int(bad.argmax())
                yield at, f"{what} at row {self.rows + at} ({utc(int(chunk.receive_ns[at]))}). {remedy}"

        receive, kind = chunk.receive_ns, chunk.kind
        # Extremes are found faster than the rows they stand in, and sound chunks need no more. A clear has price 0.
        backward = "receive_ns goes backward", "Sort the rows in the order they were received."
        if self.rows and receive[0] < self._receive_ns:
            yield from first(np.ones(1, np.bool_), *backward)
        elif (receive[1:] < receive[:-1]).any():
            yield from first(np.append(False, receive[1:] < receive[:-1]), *backward)
        if kind.min() < BID or kind.max() > CLEAR:
            bad = (kind < BID) | (kind > CLEAR)
            yield from first(bad, "unknown kind", "kind is 1 to 5; see evals/market/schema.py.")
        if chunk.px_1e9.min() <= 0:
            bad = (chunk.px_1e9 <= 0) & (kind != CLEAR)
            yield from first(bad, "px_1e9 is not positive", "Prices are integers of 10^-9; only a clear has none.")
        if chunk.sz_1e8.min() < 0:
            yield from first(
                chunk.sz_1e8 < 0, "sz_1e8 is negative", "Sizes are absolute integers of 10^-8; 0 removes a level."
            )
        opening_end = self._opening_rows - 1 - self.rows
        if 0 <= opening_end < len(chunk) and not chunk.flags[opening_end] & LAST_OF_PACKET:
            yield opening_end, self._bad_opening
