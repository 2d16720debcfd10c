"""What an algo says to the outside, kept where the host functions write it: log lines, and messages to its peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evals.engine.layout import Int64s, Records
from evals.wasm import native

LOG_TRAP: Final = "host_log_impl: the text lies outside the memory or is longer than 1 MiB"
"""What the log function traps with."""

_LOG_LEVELS: Final = ("trace", "debug", "info", "warn", "error")
_MESSAGE: Final = np.dtype(
    [("sent_ns", "<i8"), ("receiver", "<i8"), ("length", "<i8"), ("text", "<i8", native.OUTBOX_ROW_WORDS - 3)]
)
_COUNTS: Final = {
    "sent": native.SENT,
    "too_long": native.TOO_LONG,
    "out_of_range": native.OUT_OF_RANGE,
    "unknown_receiver": native.UNKNOWN_RECEIVER,
    "flood": native.FLOOD,
}


@dataclass(frozen=True)
class LogLine:
    """One line that the algo logged; text beyond 256 bytes is cut."""

    at_ns: int
    level: str
    text: str


class Outgoing:
    """Log lines (the first 64 and the last 1,024 of a run) and messages on their way; layout in `native`."""

    def __init__(self) -> None:
        self.words: Int64s = np.zeros(native.LOG_WORDS, np.int64)

    @property
    def line_count(self) -> int:
        """How many lines the algo logged, those that were let go included."""
        return int(self.words[native.LOG_COUNT])

    def lines(self) -> tuple[LogLine, ...]:
        """Return the lines that were kept, oldest first."""
        count = self.line_count
        first_of_last = max(native.LOG_FIRST_LINES, count - native.LOG_LAST_LINES)
        numbers = [*range(min(count, native.LOG_FIRST_LINES)), *range(first_of_last, count)]
        return tuple(self._line(native.log_line(number)) for number in numbers)

    def _line(self, at: int) -> LogLine:
        words = self.words[at : at + native.LOG_LINE_WORDS]
        level, length = int(words[1]) & 0xFF, int(words[1]) >> 8
        text = words[2:].tobytes()[: min(length, native.LOG_TEXT_BYTES)].decode("utf-8", "replace")
        return LogLine(int(words[0]), _LOG_LEVELS[min(level, len(_LOG_LEVELS) - 1)], text)

    def connect(self, peers: Sequence[int], latency_ns: int) -> None:
        """Accept messages to peers from now on, as many as the ring holds within one latency."""
        self.words[native.PEER_COUNT] = len(peers)
        self.words[native.PEERS : native.PEERS + len(peers)] = np.array(peers, np.uint64).view(np.int64)
        self.words[native.MESH_LATENCY] = latency_ns

    def take_messages(self) -> Records:
        """Return the messages since the last time: ``sent_ns``, ``receiver``, ``length`` and ``text``."""
        count = int(self.words[native.SENT])
        slots = np.arange(int(self.words[native.TAKEN]), count) % native.OUTBOX_ROOM
        self.words[native.TAKEN] = count
        messages: Records = self.words[native.OUTBOX :].view(_MESSAGE)[slots]
        return messages

    def counts(self) -> dict[str, int]:
        """Return how many messages were sent, and how many dropped and why."""
        return {name: int(self.words[at]) for name, at in _COUNTS.items()}
