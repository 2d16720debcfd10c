"""The parquet file of parent orders: the columns of PARENT and `parent_id`, and what the file says about itself.

Any parquet file with these columns is one. Whole numbers of any width are taken; where a writer could not add the
metadata, the reader is told the symbol. Equal orders and metadata give equal bytes under one version of pyarrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from bundles.canonical import Document, read_document
from bundles.errors import InvalidInputError
from bundles.manifests import Name
from evals import foreign_parquet
from evals.foreign_parquet import Remedies
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.rules import LONGEST_ID, check_parents

METADATA_KEY: Final = b"sequence.parents"
"""Key of the parquet file's metadata that holds a :class:`ParentsInfo` as canonical JSON."""

ID: Final = "parent_id"
_NUMBERS: Final[tuple[str, ...]] = PARENT.names or ()
COLUMNS: Final = (ID, *_NUMBERS)
"""The columns of a file."""

LARGEST_BYTES: Final = 256 << 20
MOST_ROWS: Final = 1 << 22

_REMEDIES: Final = Remedies(
    no_file="Name the parquet file of the parent orders.",
    unreadable="Check the path of the parent orders.",
    damaged="Write it again, or import a CSV file with `sequence data parents import`.",
    too_large="Cut it into several files.",
)

_SCHEMA: Final = pa.schema(
    [
        pa.field(ID, pa.string(), nullable=False),
        *(pa.field(name, pa.from_numpy_dtype(PARENT[name]), nullable=False) for name in _NUMBERS),
    ]
)


class ParentsInfo(Document):
    """What a file of parent orders says about itself."""

    schema_version: Literal[1] = 1
    symbol: Name
    importer: str
    importer_version: str


def write_parents(parents: ParentOrders, *, importer: str, importer_version: str = "1") -> bytes:
    """Return the parquet file of some parent orders.

    Raises:
        InvalidInputError: for orders that :func:`read_parents` would refuse.

    """
    info = read_document(
        ParentsInfo,
        {"symbol": parents.symbol, "importer": importer, "importer_version": importer_version},
        "The parent orders' metadata",
    )
    check_parents(parents, "The parent orders")
    arrays = [pa.array(parents.ids, pa.string())]
    arrays += [pa.array(np.ascontiguousarray(parents.rows[name])) for name in _NUMBERS]
    table = pa.table(arrays, schema=_SCHEMA.with_metadata({METADATA_KEY: info.canonical()}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, version="2.6", compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_parents(source: bytes | Path, *, symbol: str | None = None, name: str | None = None) -> ParentOrders:
    """Read parent orders; ``name`` stands for the bytes in errors.

    ``symbol`` is what the orders must be in; a file without metadata says nothing of it, and needs to be told.

    Raises:
        NotFoundError: if there is no such file.
        InvalidInputError: if it is damaged or too large, lacks a column or has another, if a type, the metadata or the
            symbol is another, or a row breaks a rule of `evals.parents.rules`.

    """
    content = source if isinstance(source, bytes) else content_of(source)
    where = name or ("The file of parent orders" if isinstance(source, bytes) else str(source))
    table = _table(content, where)
    held = _symbol(table.schema.metadata or {}, symbol, where)
    rows: np.ndarray[Any, np.dtype[np.void]] = np.zeros(table.num_rows, PARENT)
    for column in _NUMBERS:
        rows[column] = _numbers(table[column], column, where)
    if table[ID].null_count:
        raise InvalidInputError(f"{where}: {ID} has {table[ID].null_count} nulls. Fill or drop those rows.")
    parents = ParentOrders(held, _ids(table[ID], where), rows)
    check_parents(parents, where)
    return parents


def content_of(path: Path) -> bytes:
    """Return the bytes of a file; NotFoundError if it cannot be read, InvalidInputError if it is too large."""
    return foreign_parquet.content_of(path, LARGEST_BYTES, _REMEDIES)


def _table(content: bytes, where: str) -> pa.Table:
    """Read a table whose columns are right, once it is known how much there is to read."""

    def check(schema: pa.Schema, rows: int) -> None:
        _check_columns(schema, where)
        if rows > MOST_ROWS:
            raise InvalidInputError(f"{where} holds {rows:,} rows; at most {MOST_ROWS:,} are read. Cut it.")

    return foreign_parquet.table_of(content, where, _REMEDIES, check=check)


def _ids(column: pa.ChunkedArray, where: str) -> tuple[str, ...]:
    row = 0
    for chunk in column.chunks:
        lengths = np.append(pa.compute.binary_length(chunk.dictionary).to_numpy(zero_copy_only=False), 0)
        of_rows = lengths[chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        if (of_rows > LONGEST_ID).any():
            at = int(np.argmax(of_rows > LONGEST_ID))
            raise InvalidInputError(
                f"{where}: row {row + at + 1}: {ID} has {of_rows[at]:,} bytes; at most {LONGEST_ID} are allowed."
            )
        row += len(chunk)
    with foreign_parquet.damage_named(where, _REMEDIES):
        return tuple(column.to_pylist())


def _check_columns(schema: pa.Schema, where: str) -> None:
    for column in COLUMNS:
        if schema.names.count(column) != 1:
            raise InvalidInputError(
                f"{where} has no single column {column!r}. Parent orders have exactly {', '.join(COLUMNS)}; other "
                "forms are read by `sequence data parents import`."
            )
        found = schema.field(column).type
        if pa.types.is_dictionary(found):
            found = found.value_type
        if column == ID:
            fits, wanted = pa.types.is_string(found) or pa.types.is_large_string(found), "a string"
        else:
            fits, wanted = pa.types.is_integer(found), "a whole number"
        if not fits:
            raise InvalidInputError(f"{where}: column {column!r} is {found}, it must be {wanted}. Cast it.")
    for extra in schema.names:
        if extra not in COLUMNS:
            raise InvalidInputError(
                f"{where} has a column {extra!r} that parent orders do not have. Drop it and write the file again."
            )


def _symbol(metadata: Mapping[bytes, bytes], wanted: str | None, where: str) -> str:
    key = METADATA_KEY.decode()
    if METADATA_KEY not in metadata:
        if wanted is None:
            raise InvalidInputError(
                f"{where} has no metadata key {key!r}, so that nothing says which symbol it is in. Tell the symbol, or "
                "write the metadata."
            )
        return read_document(
            ParentsInfo, {"symbol": wanted, "importer": "", "importer_version": ""}, "The symbol that was told"
        ).symbol
    held = read_document(ParentsInfo, metadata[METADATA_KEY], f"{where}: metadata {key!r}").symbol
    if wanted is not None and held != wanted:
        raise InvalidInputError(f"{where} holds parent orders in {held}, not in {wanted}. Give those in {wanted}.")
    return held


def _numbers(column: pa.ChunkedArray, name: str, where: str) -> np.ndarray[Any, Any]:
    if column.null_count:
        raise InvalidInputError(f"{where}: {name} has {column.null_count} nulls. Fill or drop those rows.")
    try:
        cast: np.ndarray[Any, Any] = pa.compute.cast(column, _SCHEMA.field(name).type).to_numpy()
    except pa.ArrowInvalid as error:
        raise InvalidInputError(f"{where}: {name} holds a number out of range ({error}). Check its unit.") from error
    return cast
