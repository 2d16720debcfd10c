"""Collect the rows of an import, packet by packet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from evals.errors import TapeError
from evals.market.schema import LAST_OF_PACKET, TAPE_DTYPE, Events

Row: TypeAlias = tuple[int, int, int]
"""kind, px_1e9, sz_1e8."""


class PacketWriter:
    """Rows in receive order; every packet ends with its last-flag set."""

    def __init__(self) -> None:
        self._exchange_ns: list[int] = []
        self._receive_ns: list[int] = []
        self._lengths: list[int] = []
        self._packet_flags: list[int] = []
        self._rows: list[Row] = []

    def add(self, exchange_ns: int, receive_ns: int, rows: Iterable[Row], flags: int = 0) -> None:
        """Add one packet; a packet without rows is nothing."""
        before = len(self._rows)
        self._rows.extend(rows)
        if len(self._rows) > before:
            self._exchange_ns.append(exchange_ns)
            self._receive_ns.append(receive_ns)
            self._lengths.append(len(self._rows) - before)
            self._packet_flags.append(flags)

    def events(self, shift_ns: int) -> Events:
        """Return the rows as tape events, with ``shift_ns`` added to every receive time.

        Raises:
            TapeError: for a price or size that does not fit into 64 bits.

        """
        events = np.empty(len(self._rows), TAPE_DTYPE)
        try:
            rows = np.array(self._rows, np.int64).reshape(-1, 3)
        except OverflowError as error:
            px, sz = max((row[1:] for row in self._rows), key=max)
            raise TapeError(
                f"A price or size is too large for a tape: px_1e9 {px}, sz_1e8 {sz} do not fit into 64 bits. "
                "Remove the order from the capture."
            ) from error
        events["kind"], events["px_1e9"], events["sz_1e8"] = rows.T
        lengths = np.array(self._lengths, np.int64)
        events["exchange_ns"] = np.repeat(np.array(self._exchange_ns, np.int64), lengths)
        events["receive_ns"] = np.repeat(np.array(self._receive_ns, np.int64), lengths) + shift_ns
        events["flags"] = np.repeat(np.array(self._packet_flags, np.uint8), lengths)
        events["flags"][np.cumsum(lengths) - 1] |= LAST_OF_PACKET
        return events
