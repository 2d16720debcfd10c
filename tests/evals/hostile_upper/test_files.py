"""Files of parent orders under attack: small ones that unpack to a great deal, and text that is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bundles.errors import InvalidInputError
from evals import foreign_parquet
from evals.parents import parquet
from evals.parents.orders import PARENT
from evals.parents.parquet import content_of, read_parents
from evals.recordings.reading import read_folder

GOOD: dict[str, int] = {"arrival_ns": 1, "qty_1e8": 1, "side": 1}


def table_of(rows: int, ids: Any) -> pa.Table:
    """Return a table whose numbers are the same in every row."""
    columns = {"parent_id": ids}
    for name in PARENT.names or ():
        columns[name] = pa.array(np.full(rows, GOOD.get(name, 0), PARENT[name]))
    return pa.table(columns)


def written(table: pa.Table, times: int = 1, *, stored: bool = True) -> bytes:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=stored) as writer:
        for _ in range(times):
            writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def test_a_small_file_of_very_many_rows_is_refused_before_it_is_unpacked() -> None:
    rows = 1 << 18
    content = written(table_of(rows, pa.array(["p"] * rows)), times=40)
    assert len(content) < 1 << 20
    with pytest.raises(InvalidInputError, match=r"desk\.parquet holds 10,485,760 rows; at most 4,194,304"):
        read_parents(content, symbol="BTC-USD", name="desk.parquet")


def test_a_long_id_that_repeats_is_unpacked_once() -> None:
    rows, long = 1 << 18, "x" * (1 << 20)
    ids = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([long]))
    content = written(table_of(rows, ids), stored=False)
    assert len(content) < 1 << 20  # and 256 GiB of text
    with pytest.raises(InvalidInputError, match=r"desk\.parquet: row 1: parent_id has 1,048,576 bytes"):
        read_parents(content, symbol="BTC-USD", name="desk.parquet")


def test_what_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_parquet, "LARGEST_UNPACKED_BYTES", 1 << 10)
    content = written(table_of(1_000, pa.array([f"p{at}" for at in range(1_000)])))
    with pytest.raises(InvalidInputError, match="unpacks to"):
        read_parents(content, symbol="BTC-USD")


def test_a_file_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parquet, "LARGEST_BYTES", 1 << 10)
    path = tmp_path / "desk.parquet"
    path.write_bytes(b"PAR1" * 1_000)
    with pytest.raises(InvalidInputError, match=r"desk\.parquet has more than 1,024 bytes"):
        content_of(path)


def test_an_id_that_is_no_text_is_refused_by_name() -> None:
    offsets, data = np.array([0, 2], np.int32), b"\xff\xfe"
    ids = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    with pytest.raises(InvalidInputError, match=r"desk\.parquet"):
        read_parents(written(table_of(1, ids)), symbol="BTC-USD", name="desk.parquet")


def test_ids_in_a_dictionary_are_ids() -> None:
    ids = pa.array(["a", "b", "c"]).dictionary_encode()
    assert read_parents(written(table_of(3, ids)), symbol="BTC-USD").ids == ("a", "b", "c")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "recording.json")
    reads: tuple[Callable[[Path], object], ...] = (read_folder, lambda folder: content_of(folder / "recording.json"))
    for read in reads:
        with pytest.raises(InvalidInputError, match="is no file"):
            read(tmp_path)
