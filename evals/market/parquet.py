"""The parquet file of a tape: written so that equal events give equal bytes, read chunk by chunk.

The bytes of a file depend on its events, its metadata and the version of pyarrow, and on nothing else: no clock, no
host, no path. Reading takes memory for a chunk and for two row groups as they are compressed (2 MB each), whatever the
size of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from evals.errors import TapeError
from evals.market.rules import RowRules
from evals.market.schema import METADATA_KEY, TAPE_SCHEMA, Events, TapeInfo
from evals.market.source import CHUNK_ROWS, Columns

ROW_GROUP_ROWS: Final = 1 << 18


def encode(events: Events, info: TapeInfo) -> bytes:
    """Return the parquet file of some events: fixed row groups, page checksums, no time stamp.

    Clocks are delta-encoded; prices, sizes, kinds and flags repeat and are looked up in dictionaries. With LZ4 this is
    about as small as plain values with zstd, and is decoded in half the time.
    """
    columns = [pa.array(np.ascontiguousarray(events[name])) for name in TAPE_SCHEMA.names]
    table = pa.table(columns, schema=TAPE_SCHEMA.with_metadata({METADATA_KEY: info.canonical()}))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        compression="lz4",
        row_group_size=ROW_GROUP_ROWS,
        use_dictionary=["px_1e9", "sz_1e8", "kind", "flags"],
        column_encoding={"exchange_ns": "DELTA_BINARY_PACKED", "receive_ns": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


class TapeFile:
    """One tape file that is open for reading; ``name`` stands for it in errors.

    Raises:
        TapeError: if it is not a parquet file with the columns and the metadata of a tape.

    """

    def __init__(self, file: BinaryIO | pa.BufferReader, name: str) -> None:
        self._name = name
        with _damage_named(name):
            # With pre_buffer pyarrow would read the whole file, compressed, before the first batch.
            self._file = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
            metadata: Mapping[bytes, bytes] = self._file.metadata.metadata or {}
            _check_schema(self._file.schema_arrow, name)
        self.info = _info_of(metadata, name)
        self.rows: int = self._file.metadata.num_rows

    def chunks(self, chunk_rows: int = CHUNK_ROWS) -> Iterator[Columns]:
        """Yield the rows in chunks of at most ``chunk_rows``, as views of pyarrow's memory.

        Raises:
            TapeError: for damage, nulls and the first row that breaks a rule of :class:`RowRules`.

        """
        rules = RowRules(self._name, self.info.opening_rows)
        with _damage_named(self._name):
            batches = self._file.iter_batches(batch_size=chunk_rows, use_threads=False)
        while (batch := self._next(batches)) is not None:
            if not batch.num_rows:
                continue
            nulls = {field: batch.column(field).null_count for field in TAPE_SCHEMA.names}
            if any(nulls.values()):
                self._refuse_nulls(rules, batch, batches)
            chunk = _columns(batch)
            rules.check(chunk)
            if rules.rows > self.rows:
                break
            yield chunk
        if rules.rows != self.rows:
            raise _damaged(self._name, f"it states {self.rows} rows and holds others")
        rules.end()

    def _next(self, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
        with _damage_named(self._name):
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)
            return batch

    def _refuse_nulls(self, rules: RowRules, batch: pa.RecordBatch, batches: Iterator[pa.RecordBatch]) -> None:
        """Refuse the column of the first null, unless a row before it breaks a rule."""
        firsts = {
            field: int(np.argmax(batch.column(field).is_null().to_numpy(zero_copy_only=False)))
            for field in TAPE_SCHEMA.names
            if batch.column(field).null_count
        }
        field = min(firsts, key=lambda name: firsts[name])
        if firsts[field]:
            rules.check(_columns(batch.slice(0, firsts[field])))
        count = batch.column(field).null_count
        while (batch := self._next(batches)) is not None:
            count += batch.column(field).null_count
        raise TapeError(f"{self._name}: column {field!r} has {count} nulls. Fill or drop those rows.")


def _columns(batch: pa.RecordBatch) -> Columns:
    return Columns(**{field.name: _values(batch.column(field.name), field.type) for field in TAPE_SCHEMA})


def _values(column: pa.Array, kind: pa.DataType) -> np.ndarray[Any, Any]:
    """Return a column without nulls as a view, as ``to_numpy`` does; but that imports pandas, for half a second."""
    values = np.frombuffer(column.buffers()[1], kind.to_pandas_dtype())
    return values[column.offset : column.offset + len(column)]


@contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Turn whatever pyarrow says of bytes that it cannot read into a TapeError."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise _damaged(name, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _damaged(name: str, reason: str) -> TapeError:
    return TapeError(
        f"{name} is truncated or damaged ({reason}). Copy it again from its source, or import the capture again."
    )


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
