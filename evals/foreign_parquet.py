"""Parquet files that somebody else wrote: bounded before anything is decoded, refused by name, never trusted.

A few bytes of parquet can stand for any number of rows or any length of text. What a file says of itself is therefore
checked first; only then is it read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from bundles.errors import InvalidInputError, NotFoundError

LARGEST_UNPACKED_BYTES: Final = 1 << 30
"""Of one file, by what it says of itself."""


@dataclass(frozen=True)
class Remedies:
    """What to do about a file that cannot be read, as sentences for whoever gave it."""

    no_file: str
    unreadable: str
    damaged: str
    too_large: str


def content_of(path: Path, most_bytes: int, remedies: Remedies, name: str | None = None) -> bytes:
    """Return the bytes of a file; ``name`` stands for it in errors.

    Raises:
        NotFoundError: if it cannot be read.
        InvalidInputError: if it is no file, or larger.

    """
    name = name or str(path)
    try:
        # A pipe would be waited for as long as nobody writes to it.
        if path.exists() and not path.is_file():
            raise InvalidInputError(f"{name} is no file. {remedies.no_file}")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise NotFoundError(f"{name} cannot be read ({error.strerror}). {remedies.unreadable}") from error
    if len(content) > most_bytes:
        raise InvalidInputError(f"{name} has more than {most_bytes:,} bytes. {remedies.too_large}")
    return content


def table_of(content: bytes, name: str, remedies: Remedies, *, check: Callable[[pa.Schema, int], None]) -> pa.Table:
    """Read a whole file; ``name`` stands for it in errors.

    ``check`` refuses columns and a number of rows that are not wanted, before any are read. Columns of text are read as
    codes into their dictionaries: a small file may repeat a long text in millions of rows.

    Raises:
        InvalidInputError: if it is damaged, or unpacks to more than LARGEST_UNPACKED_BYTES.

    """
    with damage_named(name, remedies):
        file = _opened(content)
        schema, metadata = file.schema_arrow, file.metadata
        unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    check(schema, metadata.num_rows)
    if unpacked > LARGEST_UNPACKED_BYTES:
        raise InvalidInputError(f"{name} unpacks to {unpacked:,} bytes. {remedies.too_large}")
    texts = [each.name for each in schema if pa.types.is_string(each.type) or pa.types.is_large_string(each.type)]
    with damage_named(name, remedies):
        table: pa.Table = _opened(content, texts).read(use_threads=False)
        table.validate(full=True)
    return table


@contextmanager
def damage_named(name: str, remedies: Remedies) -> Iterator[None]:
    """Say which file is damaged, whatever pyarrow makes of it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidInputError(f"{name} is not a readable parquet file ({why}). {remedies.damaged}") from error


def _opened(content: bytes, texts: Sequence[str] = ()) -> pq.ParquetFile:
    return pq.ParquetFile(
        pa.BufferReader(content), page_checksum_verification=True, pre_buffer=False, read_dictionary=list(texts)
    )
