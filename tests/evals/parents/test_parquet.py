"""Parent orders in parquet: what is written is read, what is wrong is refused by name."""

from __future__ import annotations

from collections.abc import Callable
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
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.parquet import METADATA_KEY, read_parents, write_parents
from evals.parents.rules import LONGEST_HORIZON_NS

START_NS = 1_767_225_600 * 10**9


def orders(*rows: tuple[Any, ...], ids: tuple[str, ...] | None = None) -> ParentOrders:
    """Orders from (arrival, qty, limit, horizon, participation, side, urgency)."""
    return ParentOrders("BTC-USD", ids or tuple(f"p{row}" for row in range(len(rows))), np.array(list(rows), PARENT))


ONE = (START_NS, 10**8, 0, 10**9, 0, 1, 1)
TWO = (START_NS + 1, 2 * 10**8, 60_000 * 10**9, 0, 50_000, -1, 2)


def frame(*rows: tuple[Any, ...]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=list(PARENT.names or ()))
    made.insert(0, "parent_id", [f"p{row}" for row in range(len(rows))])
    return made


def as_parquet(table: pd.DataFrame | pa.Table, metadata: dict[bytes, bytes] | None = None) -> bytes:
    table = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table)
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return bytes(sink.getvalue())


ORDER = st.tuples(
    st.integers(START_NS, START_NS + 1000),
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, LONGEST_HORIZON_NS),
    st.integers(0, 10**6),
    st.sampled_from([1, -1]),
    st.integers(0, 2),
)


@given(st.lists(ORDER, min_size=1, max_size=20))
def test_what_is_written_is_read_and_written_again_the_same(rows: list[tuple[int, ...]]) -> None:
    rows.sort()
    ids = tuple(f"id-{row:03d}" for row in range(len(rows)))
    parents = orders(*rows, ids=ids)
    content = write_parents(parents, importer="test")
    again = read_parents(content)
    assert again.symbol == "BTC-USD"
    assert again.ids == ids
    assert again.rows.tobytes() == parents.rows.tobytes()
    assert write_parents(again, importer="test") == content


def test_a_file_of_pandas_is_read_when_the_symbol_is_told(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    frame(ONE, TWO).to_parquet(path)
    assert read_parents(path, symbol="BTC-USD").rows.tobytes() == orders(ONE, TWO).rows.tobytes()
    with pytest.raises(InvalidInputError, match=r"orders\.parquet has no metadata key 'sequence\.parents'"):
        read_parents(path)


def changed(**columns: Any) -> Callable[[], bytes]:
    return lambda: as_parquet(frame(ONE, TWO).assign(**columns))


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "not parquet": (lambda: b"parent_id,side", "not a readable parquet file"),
    "missing column": (lambda: as_parquet(frame(ONE).drop(columns="side")), "no single column 'side'"),
    "extra column": (changed(note="x"), "a column 'note'"),
    "float": (changed(qty_1e8=[1.5, 2.0]), "'qty_1e8' is double, it must be a whole number"),
    "ids that are numbers": (changed(parent_id=[1, 2]), "'parent_id' is int64, it must be a string"),
    "null": (
        lambda: as_parquet(
            pa.Table.from_pandas(frame(ONE, TWO).astype({"side": "Int64"}).assign(side=pd.array([1, None], "Int64")))
        ),
        "side has 1 nulls",
    ),
    "null id": (changed(parent_id=["a", None]), "parent_id has 1 nulls"),
    "out of range": (changed(side=[2**40, 1]), "side holds a number out of range"),
    "duplicate ids": (changed(parent_id=["same", "same"]), "same stand there more than once"),
    "empty id": (changed(parent_id=["", "b"]), "row 1: parent_id '' is not an id"),
    "id not ASCII": (changed(parent_id=["p1", "pé"]), r"row 2: parent_id 'p\\xe9' is not an id"),
    "id too long": (changed(parent_id=["a", "b" * 65]), "row 2: parent_id"),
    "no size": (changed(qty_1e8=[1, 0]), r"row 2 \(p1\): qty_1e8 is 0; it must be more than 0"),
    "negative size": (changed(qty_1e8=[-5, 1]), r"row 1 \(p0\): qty_1e8 is -5"),
    "bad side": (changed(side=[1, 0]), r"row 2 \(p1\): side is 0; it must be 1 \(buy\) or -1 \(sell\)"),
    "negative limit": (changed(limit_px_1e9=[0, -1]), r"row 2 \(p1\): limit_px_1e9 is -1"),
    "horizon": (changed(horizon_ns=[-1, 0]), "horizon_ns is -1"),
    "horizon too long": (changed(horizon_ns=[0, LONGEST_HORIZON_NS + 1]), "horizon_ns is"),
    "participation": (changed(participation_ppm=[0, 1_000_001]), "participation_ppm is 1000001"),
    "urgency": (changed(urgency=[3, 0]), "urgency is 3"),
    "arrival": (changed(arrival_ns=[0, 1]), "arrival_ns is 0"),
    "unsorted": (changed(arrival_ns=[START_NS + 2, START_NS + 1]), r"row 2 \(p1\) comes before the row above"),
    "ids unsorted": (
        changed(arrival_ns=[START_NS, START_NS], parent_id=["b", "a"]),
        r"row 2 \(a\) comes before the row above",
    ),
    "no rows": (lambda: as_parquet(frame(ONE).iloc[:0].astype({"parent_id": "string"})), "holds no parent orders"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_by_name(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=message):
        read_parents(make(), symbol="BTC-USD", name="orders.parquet")


def test_nobody_writes_what_cannot_be_read() -> None:
    with pytest.raises(InvalidInputError, match="stand there more than once"):
        write_parents(orders(ONE, TWO, ids=("x", "x")), importer="test")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (b'{"symbol": "BTC-USD", "importer": "x", "importer_version": "1", "schema_version": 2}', "schema_version"),
        (b'{"symbol": "BTC-USD", "importer": "x"}', "importer_version: required field is missing"),
        (b'{"symbol": "ETH-USD", "importer": "x", "importer_version": "1"}', "in ETH-USD, not in BTC-USD"),
        (b"not json", "is not JSON"),
    ],
)
def test_metadata_that_say_something_else_are_refused(metadata: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        read_parents(as_parquet(frame(ONE), {METADATA_KEY: metadata}), symbol="BTC-USD")


def test_a_damaged_page_is_found() -> None:
    content = bytearray(
        write_parents(
            orders(*[(START_NS + i, *ONE[1:]) for i in range(1000)], ids=tuple(f"{i:04d}" for i in range(1000))),
            importer="t",
        )
    )
    content[200] ^= 1
    with pytest.raises(InvalidInputError, match="not a readable parquet file"):
        read_parents(bytes(content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        read_parents(tmp_path / "nowhere.parquet")
