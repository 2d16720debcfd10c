"""A tape that is still being written: partitions are picked up as they appear below a data root, at their own pace.

A partition is complete when it appears under its final name (`evals.market.tape.write_tape` renames a finished file).
What was consumed is a dataset like any other. Data that come late or not at all end the tape there, with the reason.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bundles.errors import InvalidInputError, NotFoundError
from bundles.evidence import Dataset, Partition
from evals.errors import TapeError
from evals.market.joining import joined_chunks, joined_info
from evals.market.parquet import TapeFile
from evals.market.partitions import digest_of_file, of_its_day, unchanged
from evals.market.rules import utc
from evals.market.tape import opened
from evals.market.validation import Validator

if TYPE_CHECKING:
    from evals.market.schema import TapeInfo
    from evals.market.source import Columns


@dataclass(frozen=True, kw_only=True)
class FollowRules:
    """Which part of a feed is followed, and how long its data may keep one waiting.

    The window holds the partitions whose first row was received in [from_ns, until_ns). Silences longer than
    ``max_gap_s``, also at the window's beginning and end, are missing data. Raises InvalidInputError for an empty
    window or times that are not positive.
    """

    from_ns: int
    until_ns: int
    timeout_s: float = 300.0
    """How long to wait for the next partition."""
    max_gap_s: float = 60.0
    poll_s: float = 1.0
    """How often to look for partitions."""

    def __post_init__(self) -> None:
        if self.until_ns <= self.from_ns:
            raise InvalidInputError(
                f"The window from {utc(self.from_ns)} until {utc(self.until_ns)} is empty. Let it end after it begins."
            )
        for name in ("timeout_s", "max_gap_s", "poll_s"):
            if getattr(self, name) <= 0:
                raise InvalidInputError(f"{name} is {getattr(self, name)}; give a positive number of seconds.")


class FollowedTape:
    """The tape of one symbol on one venue as it grows, as a source that is read once.

    ``fault`` says why it ended before its time, and is empty if it did not. Tapes that are followed together share
    ``ended``: the fault of one ends all.
    """

    def __init__(
        self, root: Path, venue: str, symbol: str, rules: FollowRules, ended: threading.Event | None = None
    ) -> None:
        self.fault = ""
        self._root, self._venue, self._symbol = root, venue, symbol
        self._rules = rules
        self._ended = ended or threading.Event()
        self._first_day = f"date={datetime.fromtimestamp(rules.from_ns // 10**9, UTC).date()}"
        self._begins: dict[Path, int] = {}
        self._consumed: dict[Path, None] = {}
        self._partitions: list[Partition] = []
        self._infos: list[tuple[str, TapeInfo]] = []
        self._last_ns = rules.from_ns
        self._validator = Validator()
        self._first: Path | None = None
        self._reading: Iterator[Columns] | None = None

    @property
    def info(self) -> TapeInfo:
        """What the tape says about itself; the counts of all imports are known when it has ended."""
        return joined_info(self._infos)

    def wait(self) -> bool:
        """Wait for the first partition; False if it does not come."""
        self._first = self._next()
        if self._first is None:
            return False
        with opened(self._first) as file:
            self._infos.append((str(self._first), TapeFile(file, str(self._first)).info))
        return True

    def chunks(self) -> Iterator[Columns]:
        """Read until the window ends or data are missing, once; waits for what has not been written yet.

        Raises:
            TapeError, IntegrityError: as reading a dataset does.

        """
        self._reading = self._reading or self._joined()
        return self._reading

    def finish(self) -> None:
        """Read the partition that was begun to its end, and wait for no further one: a run may end before its tape."""
        self.abandon()
        for _ in self.chunks():
            pass

    def _joined(self) -> Iterator[Columns]:
        for chunk in joined_chunks(self._files()):
            self._validator.take(chunk)
            yield chunk

    def dataset(self) -> Dataset | None:
        """Return what was consumed as a dataset; None if that is nothing, or no tape because data are missing.

        Raises:
            TapeError: if validation refuses the tape, although it is whole.

        """
        if not self._partitions:
            return None
        report = self._validator.report(self.info)
        if self.fault and report.refuse:
            return None
        report.raise_if_refused(f"{self._venue} {self._symbol} in {self._root}")
        return Dataset(
            venue=self._venue,
            symbol=self._symbol,
            partitions=tuple(self._partitions),
            validation=report.summary,
        )

    def abandon(self) -> None:
        """Wait for nothing any more, here and in the tapes that are followed together; from any thread."""
        self._ended.set()

    def _files(self) -> Iterator[tuple[str, TapeInfo, Iterator[Columns]]]:
        self._infos.clear()
        path, self._first = self._first or self._next(), None
        while path is not None:
            with opened(path) as file, unchanged(file, path):
                size_bytes, digest = digest_of_file(file)
                tape_file = TapeFile(file, str(path))
                self._check_folders(path, tape_file.info)
                self._infos.append((str(path), tape_file.info))
                chunks = of_its_day(path, tape_file.info.opening_rows, tape_file.chunks())
                yield str(path), tape_file.info, self._noted(chunks)
            self._consumed[path] = None
            self._partitions.append(
                Partition(
                    key=path.relative_to(self._root).as_posix(),
                    digest=digest,
                    size_bytes=size_bytes,
                    rows=tape_file.rows,
                    first_ns=self._begins[path],
                    last_ns=self._last_ns,
                )
            )
            path = self._next()

    def _noted(self, chunks: Iterator[Columns]) -> Iterator[Columns]:
        """Pass chunks on and look for silences: a partition may lack rows, too."""
        for chunk in chunks:
            silences = np.diff(chunk.receive_ns, prepend=self._last_ns)
            longest = int(silences.argmax())
            if int(silences[longest]) > self._gap_ns:
                self._end(f"has a gap of {silences[longest] / 1e9:.1f} s before {utc(int(chunk.receive_ns[longest]))}")
            self._last_ns = int(chunk.receive_ns[-1])
            yield chunk

    @property
    def _gap_ns(self) -> int:
        return round(self._rules.max_gap_s * 1e9)

    @property
    def _is_whole(self) -> bool:
        """Whether what was consumed reaches the end of the window, but for a silence that is allowed."""
        return bool(self._partitions) and self._last_ns + self._gap_ns >= self._rules.until_ns

    def _next(self) -> Path | None:
        """Wait for the next partition; None where the tape ends."""
        deadline = time.monotonic() + self._rules.timeout_s
        while not self._ended.is_set():
            new = self._new()
            inside = [each for each in new if each[1] < self._rules.until_ns]
            late = [each for each in inside if self._consumed and self._is_late(*each)]
            if late:
                path, first_ns = late[0]
                self._end(
                    f"got {path.name} late: it begins at {utc(first_ns)}, before {utc(self._last_ns)} was consumed"
                )
            elif inside and inside[0][1] - self._last_ns <= self._gap_ns:
                return inside[0][0]
            elif self._last_ns >= self._rules.until_ns or (len(new) > len(inside) and self._is_whole and not inside):
                return None
            elif time.monotonic() >= deadline:
                if inside or not self._is_whole:
                    self._end(self._what_is_missing(inside))
                return None
            else:
                self._ended.wait(self._rules.poll_s)
        return None

    def _is_late(self, path: Path, first_ns: int) -> bool:
        return first_ns < self._last_ns or path < next(reversed(self._consumed))

    def _what_is_missing(self, inside: Sequence[tuple[Path, int]]) -> str:
        since = f"since {utc(self._last_ns)}" if self._consumed else f"from {utc(self._rules.from_ns)} on"
        if inside:
            return f"has nothing {since}, but {inside[0][0].name} begins at {utc(inside[0][1])}"
        return f"has nothing new {since} after {self._rules.timeout_s:g} s of waiting"

    def _end(self, reason: str) -> None:
        """End the tape, and those that are followed with it, after the partition that is being read."""
        self.fault = self.fault or f"{self._venue} {self._symbol} {reason}."
        self._ended.set()

    def _new(self) -> list[tuple[Path, int]]:
        """Return the partitions from the window's beginning on that were not consumed, as a dataset has them in order.

        Each comes with the time of its first row.
        """
        folder = self._root / f"venue={self._venue}" / f"symbol={self._symbol}"
        listed = sorted(
            path
            for day in folder.glob("date=*")
            if day.name >= self._first_day
            for path in day.glob("*.parquet")
            if not path.name.startswith(".") and path not in self._consumed
        )
        for path in listed:
            if path not in self._begins:
                self._begins[path] = _first_ns(path)
        return [(path, self._begins[path]) for path in listed if self._begins[path] >= self._rules.from_ns]

    def _check_folders(self, path: Path, info: TapeInfo) -> None:
        held = info.instrument.venue, info.instrument.symbol
        if held != (self._venue, self._symbol):
            raise TapeError(
                f"{path} says that it holds {' '.join(held)}, but lies under {self._venue} {self._symbol}. "
                "Let the recorder write it to its own folder."
            )


def follow(root: Path, tapes: Sequence[tuple[str, str]], rules: FollowRules) -> list[FollowedTape]:
    """Return the tapes of symbols, each given as (venue, symbol), as they grow together.

    Raises:
        NotFoundError: if there is no data root.
        InvalidInputError: if no tape is named.

    """
    if not root.is_dir():
        raise NotFoundError(f"There is no data root {root} to follow. Create it, or set SEQUENCE_DATA.")
    if not tapes:
        raise InvalidInputError("No tape is named. Name at least one venue and symbol to follow.")
    ended = threading.Event()
    return [FollowedTape(root, venue, symbol, rules, ended) for venue, symbol in tapes]


def _first_ns(path: Path) -> int:
    with opened(path) as file:
        chunk = next(TapeFile(file, str(path)).chunks(1), None)
    if chunk is None:
        raise TapeError(f"{path} has no rows. Let the recorder write a partition only when it has something to hold.")
    return int(chunk.receive_ns[0])
