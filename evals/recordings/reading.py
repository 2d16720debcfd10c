"""Recordings read from a folder or from a store: verified byte by byte, refused by name, never trusted.

A file comes from an edge, so it may hold anything. Sizes are bounded before something is read, types are exact, and
what is said of a row in two places must agree. What is malformed is refused here; what is merely missing is a gap, see
`evals.recordings.gaps`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
from pydantic import Field, TypeAdapter

from bundles.canonical import digest_of, read_document
from bundles.errors import IntegrityError, InvalidInputError
from evals import foreign_parquet
from evals.recordings.schema import (
    DOCUMENT_NAME,
    DTYPES,
    LARGEST_DOCUMENT_BYTES,
    LARGEST_PART_BYTES,
    SCHEMAS,
    EdgeRecording,
    PartFile,
    PolicyRecording,
    RecordingDocument,
    Stream,
)
from evals.recordings.values import LARGEST, Rows, check_details, check_values, refuse

PARENTS_NAME: Final = "parents.parquet"

_REMEDIES: Final = foreign_parquet.Remedies(
    no_file="Copy the whole recording from the edge.",
    unreadable="Copy the whole recording from the edge.",
    damaged="Copy it again from the edge.",
    too_large="Rotate recordings before they are so large.",
)

_DOCUMENT: TypeAdapter[EdgeRecording | PolicyRecording] = TypeAdapter(
    Annotated[EdgeRecording | PolicyRecording, Field(discriminator="kind")]
)


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording whose files are what its document names and whose rows can be what they say."""

    document: RecordingDocument
    rows: dict[str, Rows]
    """The streams by name, rows of DTYPES."""
    details: dict[int, str]
    """Text of events by row, where there is one."""
    parents: bytes | None = None
    """The file of parent orders, of a policy's recording."""


def read_folder(folder: Path) -> tuple[Recording, dict[str, bytes]]:
    """Read a recording from a folder; return it with the bytes of all its files by name.

    Files that the document does not name, such as the rest of a write that was cut off, are left alone.

    Raises:
        NotFoundError: if the document or a file that it names is missing.
        IntegrityError: if a file's bytes are not those that the document names.
        InvalidInputError: for whatever is malformed, by file, column and row.

    """
    files = {DOCUMENT_NAME: _content(folder / DOCUMENT_NAME, LARGEST_DOCUMENT_BYTES)}
    document = read_header(files[DOCUMENT_NAME], str(folder / DOCUMENT_NAME))

    def fetch(name: str, digest: str) -> bytes:
        files[name] = _content(folder / name, LARGEST_PART_BYTES)
        if digest_of(files[name]) != digest:
            raise IntegrityError(
                f"{folder / name} is not the file that {DOCUMENT_NAME} names: {digest_of(files[name])} instead of "
                f"{digest}. Copy the recording again from the edge."
            )
        return files[name]

    return read_recording(document, fetch), files


def read_header(content: bytes, name: str) -> RecordingDocument:
    """Read the document of a recording; ``name`` stands for it in errors.

    Raises:
        InvalidInputError: naming every field that does not fit.

    """
    return read_document(_DOCUMENT, content, name)


def read_recording(document: RecordingDocument, fetch: Callable[[str, str], bytes]) -> Recording:
    """Read all streams of a recording; ``fetch`` gives the bytes of a file by name and digest.

    Raises:
        InvalidInputError: for whatever is malformed, by file, column and row.

    """
    rows: dict[str, Rows] = {}
    details: dict[int, str] = {}
    for name, stream in document.streams.items():
        pieces = [np.empty(0, DTYPES[name])]
        for part in stream.parts:
            table = _table(fetch(part.name, part.digest), name, part)
            if name == "events":
                _take_details(table, part.name, sum(map(len, pieces)), details)
            pieces.append(_rows(table, name))
        rows[name] = np.concatenate(pieces)
        _check_numbers(name, stream, rows[name])
        check_values(document, name, rows[name])
    if isinstance(document, PolicyRecording):
        return Recording(document, rows, details, fetch(PARENTS_NAME, document.parents))
    _check_start(document)
    return Recording(document, rows, details)


def _content(path: Path, largest_bytes: int) -> bytes:
    return foreign_parquet.content_of(path, largest_bytes, _REMEDIES, f"{path} of the recording")


def _table(content: bytes, stream: str, part: PartFile) -> pa.Table:
    name, schema = part.name, SCHEMAS[stream]

    def check(found: pa.Schema, rows: int) -> None:
        if not found.equals(schema, check_metadata=False):
            raise InvalidInputError(
                f"{name} has the columns {_columns(found)}. The stream {stream} has {_columns(schema)}, none of them "
                "null."
            )
        if rows != part.rows:
            raise InvalidInputError(f"{name} holds {rows} rows, {DOCUMENT_NAME} says {part.rows}.")

    table = foreign_parquet.table_of(content, name, _REMEDIES, check=check)
    if table.num_rows != part.rows or any(column.null_count for column in table.columns):
        raise InvalidInputError(f"{name} holds nulls, or other rows than it says. Copy it again from the edge.")
    seq = table["seq"].to_numpy()
    if (int(seq[0]), int(seq[-1])) != (part.first_seq, part.last_seq):
        raise InvalidInputError(
            f"{name} holds the rows {seq[0]} to {seq[-1]}, {DOCUMENT_NAME} says {part.first_seq} to {part.last_seq}."
        )
    return table


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _rows(table: pa.Table, stream: str) -> Rows:
    rows = np.empty(table.num_rows, DTYPES[stream])
    for column in rows.dtype.names or ():
        rows[column] = table[column].to_numpy()
    return rows


def _take_details(table: pa.Table, name: str, first_row: int, details: dict[int, str]) -> None:
    row = first_row
    for chunk in table["detail"].chunks:
        with foreign_parquet.damage_named(name, _REMEDIES):
            texts: list[str] = chunk.dictionary.to_pylist()
        codes = chunk.indices.to_numpy()
        check_details(name, texts)
        for at in np.flatnonzero(np.array([bool(text) for text in texts], np.bool_)[codes]) if texts else ():
            details[row + int(at)] = texts[codes[at]]
        row += len(chunk)


def _check_numbers(name: str, stream: Stream, rows: Rows) -> None:
    """Numbers grow, within what the document says."""
    seq = rows["seq"]
    refuse(name, rows[1:], seq[1:] <= seq[:-1], "seq does not grow. Every row has the number after the last one's")
    if len(rows) and (seq[0] < stream.first_seq or seq[-1] > stream.last_seq):
        raise InvalidInputError(
            f"{name} holds the rows {seq[0]} to {seq[-1]}, {DOCUMENT_NAME} says {stream.first_seq} to "
            f"{stream.last_seq}."
        )


def _check_start(document: EdgeRecording) -> None:
    for field in ("start_position_1e8", "start_cash_1e9"):
        value: Any = getattr(document, field)
        if abs(value) >= LARGEST:
            raise InvalidInputError(f"{DOCUMENT_NAME}: {field} {value} is out of range. Check the account's state.")
