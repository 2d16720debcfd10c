"""A trace of latencies: CSV and parquet say the same, and what is not one is refused by name."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bundles.errors import InvalidInputError
from evals.latency_trace import format_trace, parse_trace

HEAD = "at_ns,entry_ns,response_ns\n"
ROWS = [(10, 1, 2), (10, 3, 4), (1_700_000_000_000_000_123, 5, 0)]


def test_what_is_kept_reads_back_the_same() -> None:
    trace = np.array(ROWS, np.int64)
    kept = format_trace(trace)
    assert kept.decode() == HEAD + "10,1,2\n10,3,4\n1700000000000000123,5,0\n"
    assert parse_trace(kept, "it").tolist() == trace.tolist()
    sink = io.BytesIO()
    columns = (pa.array(column) for column in zip(*ROWS, strict=True))
    pq.write_table(pa.table(dict(zip(("at_ns", "entry_ns", "response_ns"), columns, strict=True))), sink)
    assert format_trace(parse_trace(sink.getvalue(), "it")) == kept


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "neither parquet nor CSV"),
        ("PAR1 not really", "neither parquet nor CSV"),
        (HEAD, "whole number|no rows"),
        ("at_ns,entry_ns\n1,2\n", "has the columns at_ns, entry_ns"),
        (HEAD + "1,2,3\n2,x,3\n", "entry_ns is not a whole number"),
        (HEAD + "1,2,3\n2,,3\n", "entry_ns is not a whole number"),
        (HEAD + "1,2.5,3\n", "entry_ns is not a whole number"),
        (HEAD + "2,1,1\n3,1,1\n1,1,1\n", "row 3 is earlier"),
        (HEAD + "1,-1,1\n", "below 0"),
        (HEAD + "1,1,3600000000000\n", "an hour"),
        (HEAD + "1,2,3,4\n", "neither parquet nor CSV"),
    ],
)
def test_what_is_no_trace_is_refused(content: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"^it.*({why})"):
        parse_trace(content.encode(), "it")
