"""Read parent orders from the tables that people have: CSV or parquet, with the names that desks and the platform use.

Decimals are read digit by digit, never through a float's arithmetic; a float column of a parquet file is read as the
shortest decimal that means the same float, which is what it was written from. A column that is not known is refused
unless the caller says that it may be left out: leaving out a limit in silence would change every result.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from bundles.errors import InvalidInputError
from evals.foreign_parquet import Remedies, table_of
from evals.parents.fields import IDS, NUMBERS, SYMBOL, Column
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.parquet import MOST_ROWS, content_of
from evals.parents.rules import check_parents, is_id

IMPORTER: Final = "sequence data parents import"
IMPORTER_VERSION: Final = "1"

_PREFIX: Final = "constraints."
"""Where POST /v1/parent_orders keeps the limits of an order, flattened."""

_DEFAULTS: Final = {"limit_px_1e9": 0, "horizon_ns": 0, "participation_ppm": 0, "urgency": 1}
_REQUIRED: Final = {"arrival_ns": "time", "side": "side", "qty_1e8": "qty"}
_PARQUET: Final = b"PAR1"
_REMEDIES: Final = Remedies(
    no_file="Name the file of the orders.",
    unreadable="Check the path of the orders.",
    damaged="Copy it again from its source.",
    too_large="Cut it into several files.",
)
_Cells = tuple[int, list[str]]
"""The number of a line and its cells."""


def import_parents(
    source: bytes | Path, *, symbol: str | None = None, ignore: Sequence[str] = (), name: str | None = None
) -> ParentOrders:
    """Read parent orders of one symbol from CSV or parquet, sorted by arrival and id; ``name`` stands for bytes.

    The symbol is that of the table's own column; ``symbol`` tells it where there is none. Columns in ``ignore`` are
    left out. What is not given is: no limit, horizon 0, no limit of participation, urgency medium.

    Raises:
        NotFoundError: if there is no such file.
        InvalidInputError: naming line (CSV, from 1 with the header) or row (parquet, from 1) and column.

    """
    content = source if isinstance(source, bytes) else content_of(source)
    where = name or ("The table of parent orders" if isinstance(source, bytes) else str(source))
    if content.startswith(_PARQUET):
        header, rows = _parquet(content, where)
        return _Table(where, "row", header, ignore).read(rows, symbol)
    lines = _csv(content, where)
    try:
        _, header = next(lines)
    except StopIteration:
        raise InvalidInputError(f"{where} is empty. Give a header and a line for each parent order.") from None
    return _Table(where, "line", header, ignore).read(lines, symbol)


class _Table:
    """The columns of one table, and what each of them means."""

    def __init__(self, where: str, unit: str, header: Sequence[str], ignore: Sequence[str]) -> None:
        self._where, self._unit, self._header = where, unit, list(header)
        names = [each.strip().lower().removeprefix(_PREFIX) for each in header]
        twice = next((each for each in names if names.count(each) > 1), None)
        if twice is not None:
            raise InvalidInputError(f"{where} has two columns {twice!r}. Keep one.")
        left_out = {each.strip().lower().removeprefix(_PREFIX) for each in ignore}
        absent = sorted(left_out - set(names))
        if absent:
            raise InvalidInputError(f"{where} has no column {absent[0]!r} to leave out. Its columns: {_listed(names)}.")
        ids = [names.index(each) for each in IDS if each in names and each not in left_out]
        if not ids:
            raise InvalidInputError(f"{where} has no column of ids. Name one {_listed(IDS)}.")
        self._id = ids[0]
        self._symbol = names.index(SYMBOL) if SYMBOL in names and SYMBOL not in left_out else None
        self._numbers: dict[int, Column] = {}
        for at, each in enumerate(names):
            if each in left_out or each in IDS or each == SYMBOL:
                continue
            if each not in NUMBERS:
                raise InvalidInputError(
                    f"{where} has a column {header[at]!r} that says nothing here. Rename it to one of "
                    f"{_listed(NUMBERS)}, or leave it out with --ignore {header[at]}."
                )
            self._numbers[at] = NUMBERS[each]
        self._check_fields()

    def _check_fields(self) -> None:
        fields = [column.field for column in self._numbers.values()]
        for field in fields:
            if fields.count(field) > 1:
                both = [self._header[at] for at, column in self._numbers.items() if column.field == field]
                raise InvalidInputError(
                    f"{self._where}: the columns {_listed(both)} say the same of an order. Leave one out with --ignore."
                )
        for field, usual in _REQUIRED.items():
            if field not in fields:
                names = [each for each, column in NUMBERS.items() if column.field == field]
                raise InvalidInputError(
                    f"{self._where} has no column for {usual}. Name it {_listed(names)}. "
                    f"Its columns: {_listed(self._header)}."
                )

    def read(self, lines: Iterator[_Cells], symbol: str | None) -> ParentOrders:
        found: list[tuple[int, str, int, dict[str, int]]] = []
        first_of: dict[str, int] = {}
        held = symbol
        for number, cells in lines:
            if len(cells) != len(self._header):
                raise self._refused(number, None, f"has {len(cells)} cells, the header has {len(self._header)}")
            parent_id = self._id_of(number, cells)
            if parent_id in first_of:
                raise self._refused(
                    number, self._id, f"{parent_id} stands in {self._unit} {first_of[parent_id]} already"
                )
            first_of[parent_id] = number
            held = self._symbol_of(number, cells, held)
            values = {column.field: self._value(number, at, cells[at], column) for at, column in self._numbers.items()}
            found.append((values["arrival_ns"], parent_id, number, values))
        if held is None:
            raise InvalidInputError(
                f"{self._where} does not say which symbol its orders are in. Tell it with --symbol, or add a column."
            )
        found.sort(key=lambda each: each[:2])
        rows: np.ndarray[Any, np.dtype[np.void]] = np.zeros(len(found), PARENT)
        for field in PARENT.names or ():
            column = [values.get(field, _DEFAULTS.get(field, 0)) for _, _, _, values in found]
            for each, (_, _, number, _) in zip(column, found, strict=True):
                if each >= 2**63:
                    raise self._refused(number, None, f"{field} is {each}, beyond 64 bits; check the unit")
            rows[field] = column
        parents = ParentOrders(held, tuple(each[1] for each in found), rows)
        check_parents(parents, f"{self._where}, sorted by arrival")
        return parents

    def _id_of(self, number: int, cells: Sequence[str]) -> str:
        parent_id = cells[self._id].strip()
        if not is_id(parent_id):
            raise self._refused(
                number, self._id, f"{parent_id!a} is not 1 to 64 printable ASCII characters without spaces"
            )
        return parent_id

    def _symbol_of(self, number: int, cells: Sequence[str], held: str | None) -> str | None:
        if self._symbol is None:
            return held
        symbol = cells[self._symbol].strip()
        if held is not None and symbol != held:
            raise self._refused(number, self._symbol, f"{symbol!a} is not {held}; import one symbol at a time")
        return symbol

    def _value(self, number: int, at: int, cell: str, column: Column) -> int:
        text = cell.strip()
        if not text:
            if column.optional:
                return _DEFAULTS[column.field]
            raise self._refused(number, at, "is empty")
        try:
            return column.read(text)
        except ValueError as error:
            raise self._refused(number, at, f"{text[:64]!a} {error}") from None

    def _refused(self, number: int, at: int | None, reason: str) -> InvalidInputError:
        column = "" if at is None else f", column {self._header[at]}"
        return InvalidInputError(
            f"{self._where}, {self._unit} {number}{column}: {reason}. Correct it; nothing was imported."
        )


def _csv(content: bytes, where: str) -> Iterator[_Cells]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidInputError(f"{where}, line {line}: not UTF-8 text. Save the table as CSV in UTF-8.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for cells in reader:
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInputError(f"{where}, line {reader.line_num}: {error}. Correct the quotes there.") from error


def _parquet(content: bytes, where: str) -> tuple[list[str], Iterator[_Cells]]:
    def check(_schema: pa.Schema, rows: int) -> None:
        if rows > MOST_ROWS:
            raise InvalidInputError(f"{where} holds {rows:,} rows; at most {MOST_ROWS:,} are read. Cut it.")

    table = table_of(content, where, _REMEDIES, check=check)
    try:
        while any(pa.types.is_struct(field.type) for field in table.schema):
            table = table.flatten()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidInputError(
            f"{where} is a damaged parquet file ({str(error).splitlines()[0]}). Copy it again from its source."
        ) from error
    columns = [_as_text(table, at, where) for at in range(table.num_columns)]
    return list(table.column_names), ((row, list(cells)) for row, cells in enumerate(zip(*columns, strict=True), 1))


def _as_text(table: pa.Table, at: int, where: str) -> list[str]:
    """Return the cells of a column as a CSV file would hold them; an empty one for a null."""
    kind, name = table.schema.field(at).type, table.column_names[at]
    column = table.column(at)
    if pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise InvalidInputError(
                f"{where}, column {name}: the times have no time zone. Localise them (UTC), or store whole ns."
            )
        # Through ns, since Python's own times end at the microsecond.
        column = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
    elif pa.types.is_dictionary(kind):
        # A text that repeats stays one.
        column = [
            None if code is None else values[code]
            for chunk in column.chunks
            for values in [chunk.dictionary.to_pylist()]
            for code in chunk.indices.to_pylist()
        ]
    cells = column if isinstance(column, list) else column.to_pylist()
    return ["" if each is None else _float_text(each) if isinstance(each, float) else str(each) for each in cells]


def _float_text(value: float) -> str:
    """Return the shortest decimal that is this float; whole numbers without a point."""
    text = repr(value)
    return text.removesuffix(".0") if "e" not in text else np.format_float_positional(value, trim="-")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
