"""Recorded latencies: a table of time, entry and response in ns, read from CSV or parquet, kept as CSV.

Both forms of the same figures have one digest, because what is kept is written anew: the header, then one row a line.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bundles.errors import InvalidInputError

if TYPE_CHECKING:
    from evals.engine.layout import Int64s

COLUMNS: Final = ("at_ns", "entry_ns", "response_ns")
_PARQUET: Final = b"PAR1"
_LONGEST_NS: Final = 3_600_000_000_000


def parse_trace(content: bytes, name: str) -> Int64s:
    """Return rows of (time, entry, response) in ns, in order of time; ``name`` stands for the content in errors.

    Raises:
        InvalidInputError: for other columns, values that are not whole numbers, times that go back, or latencies that
            are negative or an hour and longer.

    """
    table = _read(content, name)
    if tuple(table.column_names) != COLUMNS:
        raise InvalidInputError(
            f"{name} has the columns {', '.join(table.column_names)}. A trace of latencies has {', '.join(COLUMNS)}."
        )
    for column in COLUMNS:
        if table[column].null_count or not pa.types.is_integer(table[column].type):
            raise InvalidInputError(f"{name}: {column} is not a whole number of ns in every row.")
    if table.num_rows == 0:
        raise InvalidInputError(f"{name} has no rows: there is no latency to take from it.")
    trace = np.column_stack([table[column].to_numpy().astype(np.int64) for column in COLUMNS])
    backward = np.flatnonzero(trace[1:, 0] < trace[:-1, 0])
    if len(backward):
        raise InvalidInputError(f"{name}: row {backward[0] + 2} is earlier than the row above it. Sort it by at_ns.")
    if trace[:, 1:].min() < 0 or trace[:, 1:].max() >= _LONGEST_NS:
        raise InvalidInputError(f"{name} has latencies below 0 or of an hour and more. Latencies are in ns.")
    return trace


def format_trace(trace: Int64s) -> bytes:
    """Return a trace in the form in which it is kept."""
    lines = [",".join(COLUMNS), *(f"{at},{entry},{response}" for at, entry, response in trace.tolist())]
    return "\n".join([*lines, ""]).encode()


def _read(content: bytes, name: str) -> pa.Table:
    try:
        if content.startswith(_PARQUET):
            return pa.parquet.read_table(io.BytesIO(content))
        return pa.csv.read_csv(io.BytesIO(content))
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidInputError(
            f"{name} is neither parquet nor CSV with the columns {', '.join(COLUMNS)}: {error}"
        ) from error
