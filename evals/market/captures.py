"""Open capture files, plain or gzip, and say which file and line is damaged."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from evals.errors import TapeError

_DAMAGE = (OSError, EOFError, zlib.error)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a capture with their numbers, from 1.

    Raises:
        TapeError: if the file cannot be read to its end.

    """
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, 1):
                yield number, line
    except _DAMAGE as error:
        raise TapeError(
            f"{path} cannot be read after line {number} ({error}). Copy it again from where it was captured."
        ) from error


def json_document(path: Path) -> Any:
    """Return the one JSON document of a file.

    Raises:
        TapeError: if the file cannot be read or is not JSON.

    """
    try:
        with _open(path) as file:
            return json.loads(file.read())
    except (*_DAMAGE, ValueError, RecursionError) as error:
        raise TapeError(f"{path} is not a readable JSON document ({error}). Copy it again from its source.") from error


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
