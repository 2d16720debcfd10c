"""One file of a dataset: its bytes are digested first and read after, and its rows are of the day it lies under."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from io import BufferedReader
from pathlib import Path

from bundles.canonical import Digest
from bundles.errors import IntegrityError
from evals.errors import TapeError
from evals.market.days import packet_days
from evals.market.source import Columns


def digest_of_file(file: BufferedReader) -> tuple[int, Digest]:
    """Return size and digest of an open file, read from its beginning, and go back there."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    size_bytes = file.tell()
    file.seek(0)
    return size_bytes, f"sha256:{digest}"


@contextmanager
def unchanged(file: BufferedReader, path: Path) -> Iterator[None]:
    """Hold a file to what it was when the block began.

    The file is open, so that another one put in its place does no harm; only writing into it does.

    Raises:
        IntegrityError: at the end of the block, if the file was written to.

    """
    before = os.fstat(file.fileno())
    yield
    after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise IntegrityError(f"{path} was changed while it was read. Leave tape files alone, and run this again.")


def of_its_day(path: Path, opening_rows: int, chunks: Iterator[Columns]) -> Iterator[Columns]:
    """Yield a file's chunks as long as they are of the day whose folder it lies in: days are chosen by their folders.

    Raises:
        TapeError: before the first chunk that has a packet of another day.

    """
    day = day_of_folder(path.parent)
    row, first = 0, None
    for chunk in chunks:
        days = packet_days(chunk, max(0, opening_rows - row))
        row += len(chunk)
        if days is not None:
            first = first or days[0]
            if (first, days[1]) != (day, day):
                for rest in chunks:
                    days = packet_days(rest, max(0, opening_rows - row)) or days
                    row += len(rest)
                held = f"{first}" if first == days[1] else f"{first} to {days[1]}"
                raise TapeError(
                    f"{path} lies under the UTC day {day}, but its rows are of {held}. "
                    f"Move it to the folder date={first}, or import the capture again."
                )
        yield chunk


def day_of_folder(folder: Path) -> date:
    """Return the day of a folder ``date=<day>``.

    Raises:
        TapeError: if it is none.

    """
    try:
        return date.fromisoformat(folder.name.removeprefix("date="))
    except ValueError as error:
        raise TapeError(f"{folder} is not a UTC day. Name the folder date=YYYY-MM-DD.") from error
