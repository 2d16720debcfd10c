"""A tape in memory, and the files it is written to: a hive layout, split by UTC day, checked in both directions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from evals.errors import TapeError
from evals.market.days import split_by_day
from evals.market.joining import joined_chunks, joined_info
from evals.market.parquet import TapeFile, encode
from evals.market.rules import RowRules
from evals.market.schema import TAPE_DTYPE, Events, TapeInfo
from evals.market.source import CHUNK_ROWS, Columns

PART_NAME: Final = "part-00000.parquet"


@dataclass(frozen=True, eq=False)
class Tape:
    """Market data of one symbol on one venue, in receive order."""

    events: Events
    info: TapeInfo

    def chunks(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[Columns]:
        """Yield views of the events, so that a tape in memory is a ``TapeSource`` like any other."""
        for start in range(0, len(self.events), chunk_rows):
            yield Columns.of(self.events[start : start + chunk_rows])


def write_tape(root: Path, tape: Tape, *, overwrite: bool = False) -> list[Path]:
    """Write a tape below a data root, one file per UTC day of ``receive_ns``, and return the files in order.

    A packet stays whole, on the day of its last row. Every day can be replayed alone: it begins with the book that the
    day before ended with, which :func:`read_tape` leaves out again where it joins the two. A file that is there already
    with the same bytes is left alone.

    Raises:
        TapeError: for events that :func:`read_tape` would refuse, or a file there already that holds other data (unless
            ``overwrite``). Nothing is written then.

    """
    _check(tape)
    folder = root / f"venue={tape.info.instrument.venue}" / f"symbol={tape.info.instrument.symbol}"
    files = {
        folder / f"date={day}" / PART_NAME: encode(events, info)
        for day, events, info in split_by_day(tape.events, tape.info)
    }
    missing = {path: content for path, content in files.items() if not path.exists() or content_of(path) != content}
    if not overwrite:
        for path in missing:
            if path.exists():
                raise TapeError(
                    f"{path} already holds other data. Import into another data root, or overwrite it knowingly: "
                    "datasets that cite the old file will no longer load."
                )
    for path, content in missing.items():
        _write_atomically(path, content)
    return list(files)


def read_tape(paths: Sequence[Path]) -> Tape:
    """Read tape files whole and join them in the order given; see :class:`TapeFiles`."""
    files = TapeFiles(paths)
    return gathered(files.info, files.chunks(), files.most_rows)


class TapeFiles:
    """Tape files, joined in the order given, as a source that holds one chunk at a time.

    The info is the first file's, with the ``feed`` counts of every import among them added up.

    Raises:
        TapeError: for a file that is missing, truncated or not a tape, and for files of different instruments. While
            reading also for a file that begins before its predecessor ends. The message names the file.

    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self.most_rows = 0
        """Rows of all files, with the openings that are left out where files join."""
        infos: list[tuple[str, TapeInfo]] = []
        for path in self._paths:
            with opened(path) as file:
                tape_file = TapeFile(file, str(path))
            infos.append((str(path), tape_file.info))
            self.most_rows += tape_file.rows
        self.info = joined_info(infos)

    def chunks(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[Columns]:
        """Read from the beginning, ``chunk_rows`` at a time at most."""
        return joined_chunks(self._files(chunk_rows))

    def _files(self, chunk_rows: int) -> Iterator[tuple[str, TapeInfo, Iterator[Columns]]]:
        for path in self._paths:
            with opened(path) as file:
                tape_file = TapeFile(file, str(path))
                yield str(path), tape_file.info, tape_file.chunks(chunk_rows)


def decode(content: bytes, name: str) -> Tape:
    """Turn the bytes of a parquet file into a tape; ``name`` stands for it in errors.

    Raises:
        TapeError: if they are not a tape.

    """
    file = TapeFile(pa.BufferReader(content), name)
    return gathered(file.info, file.chunks(), file.rows)


def gathered(info: TapeInfo, chunks: Iterable[Columns], most_rows: int) -> Tape:
    """Put chunks of at most so many rows together.

    Raises:
        TapeError: if there is no memory for them.

    """
    try:
        events: Events = np.empty(most_rows, TAPE_DTYPE)
    except (ValueError, MemoryError) as error:
        raise TapeError(
            f"A tape of {most_rows} rows is more than this machine's memory holds. Read fewer days, or in chunks."
        ) from error
    count = 0
    for chunk in chunks:
        chunk.write_to(events[count : count + len(chunk)])
        count += len(chunk)
    return Tape(events[:count], info)


def _check(tape: Tape) -> None:
    if tape.events.dtype != TAPE_DTYPE or tape.events.ndim != 1:
        raise TapeError(
            f"The tape's events are {tape.events.dtype} of {tape.events.ndim} dimensions. "
            "Use one dimension of TAPE_DTYPE."
        )
    rules = RowRules("The tape")
    for chunk in tape.chunks():
        rules.check(chunk)
    rules.end()


def _write_atomically(path: Path, content: bytes) -> None:
    """Leave either the whole file or no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def content_of(path: Path) -> bytes:
    """Return the bytes of a tape file.

    Raises:
        TapeError: if it cannot be read.

    """
    with opened(path) as file:
        return file.read()


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a tape file.

    Raises:
        TapeError: if it cannot be read, now or within the block.

    """
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise TapeError(
            f"{path} cannot be read ({error.strerror}). Check the path, or import the capture again."
        ) from error
