"""Read and write tapes: parquet files in a hive layout, split by UTC day, checked on the way in and on the way out.

The bytes of a file depend on its events, its metadata and the version of pyarrow, and on nothing else: no clock, no
host, no path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from evals.errors import TapeError
from evals.market.days import continues, same_import, split_by_day
from evals.market.source import CHUNK_ROWS, Columns
from evals.market.schema import BID, CLEAR, LAST_OF_PACKET, METADATA_KEY, TAPE_DTYPE, TAPE_SCHEMA, Events, TapeInfo

ROW_GROUP_ROWS: Final = 1 << 20
PART_NAME: Final = "part-00000.parquet"

Column = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Tape:
    """Market data of one symbol on one venue, in receive order."""

    events: Events
    info: TapeInfo

    def chunks(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[Columns]:
        """Yield the rows as views, without copying them; see :class:`evals.market.source.TapeSource`."""
        for start in range(0, len(self.events), chunk_rows):
            yield Columns.of(self.events[start : start + chunk_rows])


def utc(ns: int) -> str:
    """Print nanoseconds since the epoch as ``2024-08-08T23:54:14.206652067Z``."""
    return f"{np.datetime64(ns, 'ns')}Z"


def write_tape(root: Path, tape: Tape, *, overwrite: bool = False) -> list[Path]:
    """Write a tape below a data root, one file per UTC day of ``receive_ns``, and return the files in order.

    A packet stays whole, on the day of its last row. Every day can be replayed alone: it begins with the book that the
    day before ended with, which :func:`read_tape` leaves out again where it joins the two. A file that is there already
    with the same bytes is left alone.

    Raises:
        TapeError: for events that :func:`read_tape` would refuse, or a file there already that holds other data (unless
            ``overwrite``). Nothing is written then.

    """
    check_events(_columns_of(tape.events), "The tape")
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
    """Read tape files and join them in the order given.

    The result's info is the first file's, with the ``feed`` counts of every import among them added up.

    Raises:
        TapeError: for a file that is missing, truncated or not a tape, for files of different instruments, and for one
            that begins before its predecessor ends. The message names the file.

    """
    return join_tapes([(str(path), decode(content_of(path), str(path))) for path in paths])


def join_tapes(named: Sequence[tuple[str, Tape]]) -> Tape:
    """Join tapes, each with the name that errors use for it, in the order given."""
    if not named:
        raise TapeError("No tape files were given. Name at least one parquet file.")
    first_name, first = named[0]
    for (earlier_name, earlier), (name, tape) in pairwise(named):
        if tape.info.instrument != first.info.instrument:
            raise TapeError(
                f"{name} describes another instrument (or other fees) than {first_name}. "
                "Read them as two tapes, or import them again with the same instrument facts."
            )
        ends, begins = int(earlier.events["receive_ns"][-1]), int(tape.events["receive_ns"][0])
        if begins < ends:
            raise TapeError(
                f"{name} begins at {utc(begins)}, before {earlier_name} ends ({utc(ends)}). "
                "Give the files in time order; if they overlap, remove the duplicate."
            )
    if len(named) == 1:
        return first
    feed: dict[str, int] = {}
    imports: list[TapeInfo] = []
    for _, tape in named:
        if not any(same_import(tape.info, other) for other in imports):
            imports.append(tape.info)
            for key, count in tape.info.feed.items():
                feed[key] = feed.get(key, 0) + count
    parts = [first.events]
    for (_, earlier), (_, tape) in pairwise(named):
        follows = continues(earlier.events, earlier.info, tape.info)
        parts.append(tape.events[tape.info.opening_rows :] if follows else tape.events)
    return Tape(np.concatenate(parts), first.info.model_copy(update={"feed": feed}))


def encode(events: Events, info: TapeInfo) -> bytes:
    """Return the parquet file of some events: zstd, fixed row groups, page checksums, no time stamp."""
    columns = [pa.array(np.ascontiguousarray(events[name])) for name in TAPE_SCHEMA.names]
    table = pa.table(columns, schema=TAPE_SCHEMA.with_metadata({METADATA_KEY: info.canonical()}))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        compression="zstd",
        compression_level=3,
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=False,
        column_encoding={"exchange_ns": "DELTA_BINARY_PACKED", "receive_ns": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode(content: bytes, name: str) -> Tape:
    """Turn the bytes of a parquet file into a tape; ``name`` stands for it in errors.

    Raises:
        TapeError: if they are not a tape.

    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        metadata: Mapping[bytes, bytes] = file.metadata.metadata or {}
        _check_schema(file.schema_arrow, name)
        info = _info_of(metadata, name)
        table = file.read(use_threads=False)
        table.validate(full=True)
        columns = {field: _column(table, field, name) for field in TAPE_SCHEMA.names}
    except TapeError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TapeError(
            f"{name} is truncated or damaged ({reason}). Copy it again from its source, or import the capture again."
        ) from error
    check_events(columns, name)
    events = np.empty(len(columns["kind"]), TAPE_DTYPE)
    for field, column in columns.items():
        events[field] = column
    opening = info.opening_rows
    if opening and (opening >= len(events) or not events["flags"][opening - 1] & LAST_OF_PACKET):
        raise TapeError(f"{name}: metadata opening_rows ({opening}) does not end a packet. Import the capture again.")
    return Tape(events, info)


def check_events(columns: Mapping[str, Column], name: str) -> None:
    """Refuse columns that break the rules every reader relies on.

    Raises:
        TapeError: naming the first offending row and its time.

    """
    receive, kind, px, sz, flags = (columns[key] for key in ("receive_ns", "kind", "px_1e9", "sz_1e8", "flags"))
    if not kind.size:
        raise TapeError(f"{name} holds no rows. Check the capture, then import it again.")

    def refuse_first(bad: NDArray[np.bool_], what: str, remedy: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            raise TapeError(f"{name}: {what} at row {row} ({utc(int(receive[row]))}). {remedy}")

    backward = np.zeros(receive.size, np.bool_)
    backward[1:] = receive[1:] < receive[:-1]
    refuse_first(backward, "receive_ns goes backward", "Sort the rows in the order they were received.")
    refuse_first((kind < BID) | (kind > CLEAR), "unknown kind", "kind is 1 to 5; see evals/market/schema.py.")
    refuse_first(
        (px <= 0) & (kind != CLEAR), "px_1e9 is not positive", "Prices are integers of 10^-9; only a clear has none."
    )
    refuse_first(sz < 0, "sz_1e8 is negative", "Sizes are absolute integers of 10^-8; 0 removes a level.")
    if not flags[-1] & LAST_OF_PACKET:
        raise TapeError(
            f"{name}: the last row ({utc(int(receive[-1]))}) does not end a packet. "
            "Set bit 1 of flags on the last row of every message; a file never ends within one."
        )


def _columns_of(events: Events) -> dict[str, Column]:
    if events.dtype != TAPE_DTYPE or events.ndim != 1:
        raise TapeError(
            f"The tape's events are {events.dtype} of {events.ndim} dimensions. Use one dimension of TAPE_DTYPE."
        )
    return {name: events[name] for name in TAPE_SCHEMA.names}


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
    try:
        return path.read_bytes()
    except OSError as error:
        raise TapeError(
            f"{path} cannot be read ({error.strerror}). Check the path, or import the capture again."
        ) from error


def _check_schema(schema: pa.Schema, name: str) -> None:
    for field in TAPE_SCHEMA:
        if schema.names.count(field.name) != 1:
            raise TapeError(
                f"{name} has no single column {field.name!r}. A tape has exactly {', '.join(TAPE_SCHEMA.names)}."
            )
        found = schema.field(field.name).type
        if found != field.type:
            raise TapeError(
                f"{name}: column {field.name!r} is {found}, a tape needs {field.type}. Cast it and write it again."
            )
    for extra in schema.names:
        if extra not in TAPE_SCHEMA.names:
            raise TapeError(
                f"{name} has a column {extra!r} that a tape does not have. Drop it and write the file again."
            )


def _info_of(metadata: Mapping[bytes, bytes], name: str) -> TapeInfo:
    key = METADATA_KEY.decode()
    if METADATA_KEY not in metadata:
        raise TapeError(
            f"{name} has no metadata key {key!r}. Write it with the instrument's facts (TapeInfo, as JSON)."
        )
    try:
        return TapeInfo.model_validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the document"
        raise TapeError(
            f"{name}: metadata {key!r} is not a TapeInfo: {place}: {fault['msg']}. Correct it and write the file again."
        ) from error


def _column(table: pa.Table, field: str, name: str) -> Column:
    column = table.column(field)
    if column.null_count:
        raise TapeError(f"{name}: column {field!r} has {column.null_count} nulls. Fill or drop those rows.")
    values: Column = column.to_numpy()
    return values
