"""The importer: what people have, exactly, or the line and the column of what is wrong."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.errors import InvalidInputError, NotFoundError
from evals.parents.fields import read_time
from evals.parents.importing import import_parents

DESK = """client_order_id,symbol,time,side,qty,limit_price,horizon_ms,participation_limit_bps,urgency
b-2,BTC-USD,2026-01-01T00:00:01.000000001Z,BUY,0.1,60000.25,5000,500,high
a-1,BTC-USD,2026-01-01T01:00:01+01:00,sell,12.00000001,,,,
"""
PLATFORM = """client_request_id,client_order_id,side,symbol,qty_1e8,constraints.max_price_1e9,constraints.urgency,\
constraints.horizon_ms,constraints.participation_limit_bps,arrival_ns
r1,b-2,BUY,BTC-USD,10000000,60000250000000,high,5000,500,1767225601000000001
r2,a-1,SELL,BTC-USD,1200000001,,,,,1767225601000000000
"""
FIRST = (1_767_225_601_000_000_000, 1_200_000_001, 0, 0, 0, -1, 1)
SECOND = (1_767_225_601_000_000_001, 10_000_000, 60_000_250_000_000, 5_000_000_000, 50_000, 1, 2)


def test_a_desk_s_csv_is_read_exactly_and_sorted() -> None:
    parents = import_parents(DESK.encode(), name="orders.csv")
    assert parents.symbol == "BTC-USD"
    assert parents.ids == ("a-1", "b-2")
    assert parents.rows.tolist() == [FIRST, SECOND]


def test_the_platform_s_fields_are_read() -> None:
    parents = import_parents(PLATFORM.encode())
    assert parents.ids == ("a-1", "b-2")
    assert parents.rows.tolist() == [FIRST, SECOND]


def test_the_platform_s_nested_constraints_in_parquet_are_read(tmp_path: Path) -> None:
    constraints = {
        "max_price_1e9": 60_000_250_000_000,
        "urgency": "high",
        "horizon_ms": 5000,
        "participation_limit_bps": 500,
    }
    rows: list[dict[str, Any]] = [
        {
            "client_order_id": "b-2",
            "side": "BUY",
            "symbol": "BTC-USD",
            "qty_1e8": 10_000_000,
            "constraints": constraints,
        },
        {"client_order_id": "a-1", "side": "SELL", "symbol": "BTC-USD", "qty_1e8": 1_200_000_001, "constraints": None},
    ]
    for row, moment in zip(rows, (SECOND[0], FIRST[0]), strict=True):
        row["time"] = pd.Timestamp(moment, tz="UTC")
    path = tmp_path / "orders.parquet"
    pq.write_table(
        pa.Table.from_pylist(
            rows,
            pa.schema(
                [
                    ("client_order_id", pa.string()),
                    ("side", pa.string()),
                    ("symbol", pa.string()),
                    ("qty_1e8", pa.int64()),
                    (
                        "constraints",
                        pa.struct(
                            [
                                ("max_price_1e9", pa.int64()),
                                ("urgency", pa.string()),
                                ("horizon_ms", pa.int64()),
                                ("participation_limit_bps", pa.int64()),
                            ]
                        ),
                    ),
                    ("time", pa.timestamp("ns", "UTC")),
                ]
            ),
        ),
        path,
    )
    assert import_parents(path).rows.tolist() == [FIRST, SECOND]


def test_a_float_is_the_decimal_that_it_was_written_from() -> None:
    table = pd.DataFrame(
        {"id": ["a"], "time": ["2026-01-01T00:00:00Z"], "side": ["BUY"], "qty": [0.1], "limit_price": [1e-5]}
    )
    parents = import_parents(as_parquet(table), symbol="BTC-USD")
    assert (int(parents.rows["qty_1e8"][0]), int(parents.rows["limit_px_1e9"][0])) == (10**7, 10**4)
    table["qty"] = [0.1 + 0.2]
    with pytest.raises(InvalidInputError, match=r"row 1, column qty: '0.30000000000000004' is not a plain decimal"):
        import_parents(as_parquet(table), symbol="BTC-USD")


def as_parquet(table: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(table), sink)
    return bytes(sink.getvalue())


@given(st.decimals(min_value="0.00000001", max_value=9_000_000, places=8))
def test_quantities_are_exact(qty: Decimal) -> None:
    text = f"id,time,side,qty\na,2026-01-01T00:00:00Z,BUY,{qty:f}\n"
    assert int(import_parents(text.encode(), symbol="X").rows["qty_1e8"][0]) == Fraction(qty) * 10**8


@given(st.integers(31_536_000 * 10**9, 2**62))
def test_times_are_exact(ns: int) -> None:
    assert read_time(f"{np.datetime64(ns, 'ns')}Z") == ns


def lines(*rows: str, header: str = "id,time,side,qty,limit_price,horizon_ms,urgency") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


GOOD = "a,2026-01-01T00:00:00Z,BUY,1,,,"

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "orders.csv is empty"),
    "no orders": (lines(), "holds no parent orders"),
    "not UTF-8": (b"id,time\n\xff,1\n", "line 2: not UTF-8"),
    "open quote": (lines(GOOD, '"b,2026'), "unexpected end of data"),
    "short line": (lines(GOOD, "b,2026-01-01T00:00:00Z,BUY"), "line 3: has 3 cells, the header has 7"),
    "no time zone": (
        lines("a,2026-01-01T00:00:00,BUY,1,,,"),
        "line 2, column time: '2026-01-01T00:00:00' has no time zone",
    ),
    "no such day": (lines("a,2026-02-30T00:00:00Z,BUY,1,,,"), "line 2, column time: .* no day or time"),
    "seconds": (lines("a,1767225600,BUY,1,,,"), "line 2, column time: '1767225600' is neither"),
    "side": (lines("a,2026-01-01T00:00:00Z,LONG,1,,,"), "line 2, column side: 'LONG' is none of buy"),
    "sign": (lines("a,2026-01-01T00:00:00Z,BUY,-1,,,"), "line 2, column qty: '-1' is not a plain decimal"),
    "exponent": (lines("a,2026-01-01T00:00:00Z,BUY,1e3,,,"), "line 2, column qty: '1e3'"),
    "NaN": (lines("a,2026-01-01T00:00:00Z,BUY,NaN,,,"), "line 2, column qty: 'NaN'"),
    "thousands": (lines('a,2026-01-01T00:00:00Z,BUY,"1,000",,,'), "line 2, column qty: '1,000'"),
    "too fine": (lines("a,2026-01-01T00:00:00Z,BUY,0.000000001,,,"), "line 2, column qty: .* at most 8 decimals"),
    "zero": (lines("a,2026-01-01T00:00:00Z,BUY,0,,,"), r"qty_1e8 is 0; it must be more than 0"),
    "no qty": (lines("a,2026-01-01T00:00:00Z,BUY,,,,"), "line 2, column qty: is empty"),
    "huge": (lines("a,2026-01-01T00:00:00Z,BUY,99999999999999,,,"), "line 2: qty_1e8 is .*, beyond 64 bits"),
    "limit": (lines("a,2026-01-01T00:00:00Z,BUY,1,about 5,,"), "line 2, column limit_price: 'about 5'"),
    "horizon": (lines("a,2026-01-01T00:00:00Z,BUY,1,,1.5,"), "line 2, column horizon_ms: '1.5' is not a whole number"),
    "urgency": (lines("a,2026-01-01T00:00:00Z,BUY,1,,,asap"), "line 2, column urgency: 'asap' is none of low"),
    "twice": (lines(GOOD, GOOD), "line 3, column id: a stands in line 2 already"),
    "id": (lines("a b,2026-01-01T00:00:00Z,BUY,1,,,"), "line 2, column id: 'a b' is not 1 to 64"),
    "unknown column": (lines(header="id,time,side,qty,max_slippage_bps"), "'max_slippage_bps' that says nothing here"),
    "no column": (lines(header="id,time,side"), "no column for qty"),
    "no id": (lines(header="time,side,qty"), "no column of ids"),
    "two of one kind": (lines(header="id,time,side,qty,qty_1e8"), "qty, qty_1e8 say the same"),
    "one twice": (lines(header="id,time,side,qty,QTY"), "two columns 'qty'"),
    "two symbols": (
        lines("a,2026-01-01T00:00:00Z,BUY,1,ETH-USD", header="id,time,side,qty,symbol"),
        "line 2, column symbol: 'ETH-USD' is not BTC-USD",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_with_line_and_column(case: str) -> None:
    content, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=message):
        import_parents(content, symbol="BTC-USD", name="orders.csv")


def test_a_symbol_must_come_from_somewhere() -> None:
    with pytest.raises(InvalidInputError, match="--symbol"):
        import_parents(lines(GOOD))


def test_columns_are_left_out_only_when_told() -> None:
    text = lines("a,2026-01-01T00:00:00Z,BUY,1,done", header="id,time,side,qty,status")
    with pytest.raises(InvalidInputError, match="--ignore status"):
        import_parents(text, symbol="X")
    assert import_parents(text, symbol="X", ignore=["status"]).ids == ("a",)
    with pytest.raises(InvalidInputError, match="no column 'stauts' to leave out"):
        import_parents(text, symbol="X", ignore=["stauts"])


def test_a_quoted_cell_over_two_lines_keeps_the_numbers_of_lines() -> None:
    text = lines(
        'a,2026-01-01T00:00:00Z,BUY,1,"two\nlines"', "b,2026-01-01T00:00:00Z,BUY,x,", header="id,time,side,qty,note"
    )
    with pytest.raises(InvalidInputError, match="line 4, column qty"):
        import_parents(text, symbol="X", ignore=["note"])


def test_parquet_that_stands_for_too_much_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"arrival_ns": [1, 2, 3], "side": ["buy"] * 3, "qty": ["1"] * 3})
    with monkeypatch.context() as small:
        small.setattr("evals.parents.importing.MOST_ROWS", 2)
        with pytest.raises(InvalidInputError, match="holds 3 rows; at most 2 are read"):
            import_parents(as_parquet(table), symbol="X")
    monkeypatch.setattr("evals.foreign_parquet.LARGEST_UNPACKED_BYTES", 10)
    with pytest.raises(InvalidInputError, match="unpacks to"):
        import_parents(as_parquet(table), symbol="X")


def test_times_of_parquet_without_a_zone_are_refused() -> None:
    table = pd.DataFrame({"id": ["a"], "time": [pd.Timestamp("2026-01-01")], "side": ["BUY"], "qty": ["1"]})
    with pytest.raises(InvalidInputError, match="column time: the times have no time zone"):
        import_parents(as_parquet(table), symbol="X")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        import_parents(tmp_path / "nowhere.csv")
