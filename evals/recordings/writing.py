"""The recorder that runs beside a deployment: rows in, whole files out.

A file appears under its name only when it is complete, and the document that names it is replaced after it. The
document is there from the beginning. What a crash cuts off is missing from it, in all streams from the same moment on,
so the reader sees a recording without a stop and not half a file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bundles.canonical import digest_of
from bundles.errors import InvalidInputError, NameTakenError
from evals.recordings.reading import PARENTS_NAME
from evals.recordings.schema import (
    DOCUMENT_NAME,
    DTYPES,
    EDGE_STREAMS,
    LARGEST_PART_ROWS,
    MOST_PARTS,
    MOST_ROWS,
    POLICY_STREAMS,
    SCHEMAS,
    EdgeRecording,
    PartFile,
    PolicyRecording,
    RecordingDocument,
    Stream,
    StreamName,
)
from evals.recordings.values import Rows, check_details, check_values

_ROTATE_ROWS = 1 << 18
"""Rows of a stream that are kept in memory at most."""


class Recorder:
    """Writes one recording into a folder of its own.

    Rows of ``append`` and ``extend`` lie in memory until :meth:`rotate`, which runs by itself when they get many; how
    often it is called in between is how much a crash may cost. Not for several threads
    at once. Use :meth:`edge` or :meth:`policy` to begin.
    """

    def __init__(self, folder: Path, document: RecordingDocument) -> None:
        self._folder = folder
        self._document = document
        self._waiting: dict[StreamName, list[dict[str, pa.Array]]] = {name: [] for name in document.streams}
        self._waiting_rows = dict.fromkeys(document.streams, 0)
        self._last: dict[StreamName, Rows] = {name: np.empty(0, DTYPES[name]) for name in document.streams}
        self._closed = False

    @classmethod
    def edge(cls, folder: Path, **header: Any) -> Self:
        """Begin the recording of an algo; ``header`` are the fields of EdgeRecording but its streams.

        Raises:
            NameTakenError: if the folder holds a recording already.
            pydantic.ValidationError: for a header that does not fit.

        """
        empty = Stream(first_seq=1, last_seq=0, parts=())
        recorder = cls._begin(folder, EdgeRecording(**header, streams=dict.fromkeys(EDGE_STREAMS, empty)))
        recorder.rotate()
        return recorder

    @classmethod
    def policy(cls, folder: Path, *, parents: bytes, **header: Any) -> Self:
        """Begin the recording of a routing or assignment policy; ``parents`` is the file of its parent orders.

        Raises:
            NameTakenError: if the folder holds a recording already.
            pydantic.ValidationError: for a header that does not fit.

        """
        empty = Stream(first_seq=1, last_seq=0, parts=())
        streams = dict.fromkeys(POLICY_STREAMS, empty)
        document = PolicyRecording(**header, parents=digest_of(parents), streams=streams)
        recorder = cls._begin(folder, document)
        _write_atomically(folder / PARENTS_NAME, parents)
        recorder.rotate()
        return recorder

    @classmethod
    def _begin(cls, folder: Path, document: RecordingDocument) -> Self:
        if (folder / DOCUMENT_NAME).exists():
            raise NameTakenError(f"{folder} holds a recording already. Record into a folder of its own.")
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, document)

    def append(self, stream: StreamName, **row: Any) -> None:
        """Record one row; every column but ``seq``, which counts by itself (``detail`` may be left out)."""
        self.extend(stream, {name: [value] for name, value in row.items()})

    def extend(self, stream: StreamName, columns: Mapping[str, Sequence[Any]]) -> None:
        """Record many rows, column by column, as they are now: all of them if this returns.

        Raises:
            InvalidInputError: for other columns than the stream's, of different lengths or with values that these
                cannot hold or nobody would read, or for more rows than a recording may have; none of them is recorded.
            OSError: if it is time to rotate and that cannot be written; it may be tried again.

        """
        if self._closed:
            raise InvalidInputError(f"The recording in {self._folder} is closed. Begin another one.")
        wanted = set(SCHEMAS[stream].names) - {"seq"}
        rows = len(next(iter(columns.values()), ()))
        given = dict(columns) if "detail" in columns or "detail" not in wanted else {**columns, "detail": [""] * rows}
        if set(given) != wanted or any(len(values) != rows for values in given.values()):
            raise InvalidInputError(
                f"A row of {stream} has {', '.join(sorted(wanted))}, all of one length; "
                f"given were {', '.join(sorted(given))}."
            )
        if self._document.streams[stream].last_seq + self._waiting_rows[stream] + rows > MOST_ROWS:
            raise InvalidInputError(
                f"{self._folder} would hold more than {MOST_ROWS:,} rows of {stream}. Close it and begin another one."
            )
        arrays = {name: _array(stream, name, values) for name, values in given.items()}
        last = self._checked(stream, arrays, rows)
        for start in range(0, rows, LARGEST_PART_ROWS):
            piece = {name: values[start : start + LARGEST_PART_ROWS] for name, values in arrays.items()}
            count = min(LARGEST_PART_ROWS, rows - start)
            # Before a row is taken, so that whoever is told of an error knows that it was not.
            if self._waiting_rows[stream] >= _ROTATE_ROWS or self._waiting_rows[stream] + count > LARGEST_PART_ROWS:
                self.rotate()
            self._waiting[stream].append(piece)
            self._waiting_rows[stream] += count
        self._last[stream] = last

    def _checked(self, stream: StreamName, arrays: Mapping[str, pa.Array], count: int) -> Rows:
        """Refuse what the reader would refuse, which would spoil the whole recording; return the last row."""
        before = self._last[stream]
        rows = np.concatenate((before, np.zeros(count, DTYPES[stream])))
        new, seq = rows[len(before) :], self._document.streams[stream].last_seq + self._waiting_rows[stream]
        new["seq"] = np.arange(seq + 1, seq + 1 + count)
        for name in set(rows.dtype.names or ()) - {"seq"}:
            new[name] = arrays[name].to_numpy()
        check_values(self._document, stream, rows)
        if "detail" in arrays:
            check_details(stream, arrays["detail"].to_pylist())
        return rows[-1:]

    def rotate(self) -> None:
        """Write what waits to files and name them in the document, which is durable when this returns.

        Raises:
            InvalidInputError: if only :meth:`close` may still write a file of a stream; what waits goes on to.
            OSError: if it cannot be written; it may be tried again.

        """
        for name, stream in self._document.streams.items():
            if self._waiting_rows[name] and len(stream.parts) >= MOST_PARTS - 1:
                raise InvalidInputError(
                    f"{self._folder} holds {len(stream.parts):,} files of {name}; at most {MOST_PARTS:,} are read. "
                    "Close it and begin another one, or rotate more seldom."
                )
        self._write()

    def close(self) -> None:
        """Write the rest; nothing can be recorded after."""
        if not self._closed:
            self._write()
        self._closed = True

    def _write(self) -> None:
        streams = dict(self._document.streams)
        for name, pieces in self._waiting.items():
            if self._waiting_rows[name]:
                streams[name] = self._write_part(name, streams[name], pieces)
        document = self._document.model_copy(update={"streams": streams})
        _write_atomically(self._folder / DOCUMENT_NAME, document.canonical())
        self._document = document
        for name in self._waiting:
            self._waiting[name].clear()
            self._waiting_rows[name] = 0

    def _write_part(self, name: StreamName, stream: Stream, pieces: list[dict[str, pa.Array]]) -> Stream:
        schema, first, rows = SCHEMAS[name], stream.last_seq + 1, self._waiting_rows[name]
        arrays = [pa.array(np.arange(first, first + rows), pa.int64())]
        arrays += [pa.concat_arrays([piece[field.name] for piece in pieces]) for field in schema if field.name != "seq"]
        content = encoded(name, pa.table(arrays, schema=schema))
        part = PartFile(
            name=f"{name}-{len(stream.parts) + 1:06}.parquet",
            digest=digest_of(content),
            size_bytes=len(content),
            rows=rows,
            first_seq=first,
            last_seq=first + rows - 1,
        )
        _write_atomically(self._folder / part.name, content)
        return Stream(first_seq=stream.first_seq, last_seq=part.last_seq, parts=(*stream.parts, part))


def _array(stream: str, name: str, values: Sequence[Any]) -> pa.Array:
    """Return a column of its own, so that what the caller does with the values later changes no row."""
    kind = SCHEMAS[stream].field(name).type
    try:
        own = np.array(values, object if kind == pa.string() else None)
        array = pa.array(own, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise InvalidInputError(f"The {name} of {stream} cannot be recorded: {error}. Check its unit.") from error
    if array.null_count:
        raise InvalidInputError(f"The {name} of {stream} cannot be null. Give every column of a row.")
    if len(own) and kind != pa.string() and own.dtype.kind not in "iu":
        raise InvalidInputError(f"The {name} of {stream} must be whole numbers, not {own.dtype}. Check its unit.")
    return array


def encoded(name: str, table: pa.Table) -> bytes:
    """Return the parquet file of some rows of a stream: the same rows give the same bytes."""
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        SCHEMAS[name],
        compression="zstd",
        version="2.6",
        use_dictionary=[field.name for field in SCHEMAS[name] if field.name not in {"seq", "at_ns"}],
        column_encoding={"seq": "DELTA_BINARY_PACKED", "at_ns": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _write_atomically(path: Path, content: bytes) -> None:
    """Leave either the whole file or what was there; durable when this returns."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
