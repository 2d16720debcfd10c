"""Tapes survive the disk unchanged, and a file that is not a tape is refused by name."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evals.errors import TapeError
from evals.market.book import Book
from evals.market.parquet import TapeFile, encode
from evals.market.schema import (
    ASK,
    BID,
    CLEAR,
    LAST_OF_PACKET,
    METADATA_KEY,
    SNAPSHOT,
    TAPE_DTYPE,
    TAPE_SCHEMA,
    Events,
    TapeInfo,
)
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape, TapeFiles, decode, gathered, read_tape, write_tape

DAY_NS = 86_400 * 10**9
MakeTape = Callable[..., Tape]


@st.composite
def some_events(draw: st.DrawFn) -> Events:
    """Any events that the schema allows, over some days."""
    count = draw(st.integers(1, 60))
    numbers = st.integers(-(2**62), 2**62)
    events: Events = np.empty(count, TAPE_DTYPE)
    events["exchange_ns"] = draw(hnp.arrays(np.int64, count, elements=numbers))
    events["receive_ns"] = np.sort(draw(hnp.arrays(np.int64, count, elements=st.integers(-DAY_NS, 3 * DAY_NS))))
    events["kind"] = draw(hnp.arrays(np.uint8, count, elements=st.integers(1, 5)))
    events["px_1e9"] = draw(hnp.arrays(np.int64, count, elements=st.integers(1, 2**63 - 1)))
    events["sz_1e8"] = draw(hnp.arrays(np.int64, count, elements=st.integers(0, 2**63 - 1)))
    events["flags"] = draw(hnp.arrays(np.uint8, count, elements=st.integers(0, 3)))
    events["flags"][-1] |= LAST_OF_PACKET
    return events


@pytest.fixture(scope="module")
def content() -> bytes:
    tape = synthetic_tape(1, duration_s=5)
    return encode(tape.events, tape.info)


@given(events=some_events())
def test_a_tape_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, info: TapeInfo, events: Events
) -> None:
    root = tmp_path_factory.mktemp("root")
    files = write_tape(root, Tape(events, info))
    back = read_tape(files)
    assert back.info == info
    assert (back.events == events).all()
    assert [path.parent.name for path in files] == sorted(path.parent.name for path in files)
    assert {path.read_bytes() for path in files} == {
        path.read_bytes() for path in write_tape(tmp_path_factory.mktemp("again"), back)
    }


@given(events=some_events(), chunk_rows=st.integers(1, 61))
def test_files_read_in_chunks_give_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, info: TapeInfo, events: Events, chunk_rows: int
) -> None:
    source = TapeFiles(write_tape(tmp_path_factory.mktemp("root"), Tape(events, info)))
    for _ in range(2):
        chunks = list(source.chunks(chunk_rows))
        assert max(map(len, chunks)) <= chunk_rows
        assert (gathered(info, chunks, source.most_rows).events == events).all()
    assert source.info == info


@given(events=some_events(), chunk_rows=st.integers(1, 61), data=st.data())
def test_the_same_fault_is_found_in_chunks_of_any_size(
    info: TapeInfo, events: Events, chunk_rows: int, data: st.DataObject
) -> None:
    wrong = {"receive_ns": -(2**63), "kind": 6, "px_1e9": -1, "sz_1e8": -1, "flags": 0}
    for name in data.draw(st.lists(st.sampled_from(sorted(wrong)), min_size=1, max_size=3)):
        events[name][data.draw(st.integers(0, len(events) - 1))] = wrong[name]
    opening = data.draw(st.integers(0, len(events) + 1))
    nulls = data.draw(st.lists(st.integers(0, len(events) - 1), max_size=2))
    table = table_of(Tape(events, info.model_copy(update={"opening_rows": opening})))
    mask = np.isin(np.arange(len(events)), nulls)
    table = table.set_column(4, "sz_1e8", pa.array(events["sz_1e8"].copy(), mask=mask))
    content = parquet(table)

    def found(rows: int) -> str:
        try:
            list(TapeFile(pa.BufferReader(content), "own.parquet").chunks(rows))
        except TapeError as error:
            return str(error)
        return ""

    assert found(chunk_rows) == found(1000)


def test_every_day_can_be_replayed_alone(tmp_path: Path) -> None:
    whole = synthetic_tape(7, duration_s=20, start_ns=20_000 * DAY_NS - 10 * 10**9)
    first, second = write_tape(tmp_path, whole)
    assert [path.parent.name for path in (first, second)] == ["date=2024-10-03", "date=2024-10-04"]
    alone, before, together = Book(), Book(), Book()
    day = read_tape([second])
    opening = day.events[: day.info.opening_rows]
    alone.apply(opening)
    before.apply(read_tape([first]).events)
    assert (alone.bids(), alone.asks()) == (before.bids(), before.asks())
    assert (opening["receive_ns"] // DAY_NS == 20_000).all()
    assert opening["flags"].tolist() == [SNAPSHOT] * (len(opening) - 1) + [SNAPSHOT | LAST_OF_PACKET]
    alone.apply(day.events[day.info.opening_rows :])
    together.apply(whole.events)
    assert (alone.bids(), alone.asks()) == (together.bids(), together.asks())
    assert (read_tape([first, second]).events == whole.events).all()


def test_the_opening_of_a_day_stays_where_the_day_before_is_missing(tmp_path: Path) -> None:
    whole = synthetic_tape(7, duration_s=2 * 86_400 + 20, packets_per_s=1, start_ns=20_000 * DAY_NS - 10 * 10**9)
    files = write_tape(tmp_path, whole)
    joined, last = read_tape([files[0], files[-1]]), read_tape(files[-1:])
    assert len(joined.events) == len(read_tape(files[:1]).events) + len(last.events)
    again = write_tape(tmp_path / "again", last)
    assert again[0].read_bytes() == files[-1].read_bytes()


def test_writing_again_changes_nothing_and_other_data_is_not_overwritten(tmp_path: Path) -> None:
    tape = synthetic_tape(1, duration_s=2)
    (path,) = write_tape(tmp_path, tape)
    stamp = path.stat().st_mtime_ns
    assert write_tape(tmp_path, tape) == [path]
    assert path.stat().st_mtime_ns == stamp
    other = synthetic_tape(2, duration_s=2)
    with pytest.raises(TapeError, match="already holds other data"):
        write_tape(tmp_path, other)
    assert (read_tape([path]).events == tape.events).all()
    write_tape(tmp_path, other, overwrite=True)
    assert (read_tape([path]).events == other.events).all()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_nothing_is_written_if_one_day_is_taken(tmp_path: Path) -> None:
    tape = synthetic_tape(1, duration_s=20, start_ns=20_000 * DAY_NS - 10 * 10**9)
    first, second = write_tape(tmp_path, tape)
    first.unlink()
    second.write_bytes(b"other")
    with pytest.raises(TapeError, match="2024-10-04"):
        write_tape(tmp_path, tape)
    assert not first.exists()


@given(data=st.data())
def test_a_truncated_file_is_refused(content: bytes, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(TapeError, match=r"day\.parquet"):
        decode(content[:kept], "day.parquet")


@given(data=st.data())
def test_a_damaged_file_is_a_tape_error_or_a_tape(content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(TapeError):
        decode(bytes(damaged), "day.parquet")


@given(data=st.data())
def test_damaged_values_are_refused(content: bytes, data: st.DataObject) -> None:
    column = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(data.draw(st.integers(0, 4)))
    start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    # The end of the last page, or of the dictionary.
    ends = [start + column.total_compressed_size, *([column.data_page_offset] if column.has_dictionary_page else [])]
    end = data.draw(st.sampled_from(ends))
    damaged = bytearray(content)
    damaged[data.draw(st.integers(end - 20, end - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TapeError, match=r"day\.parquet is truncated or damaged"):
        decode(bytes(damaged), "day.parquet")


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def table_of(tape: Tape) -> pa.Table:
    columns = [pa.array(np.ascontiguousarray(tape.events[name])) for name in TAPE_SCHEMA.names]
    metadata = {METADATA_KEY: tape.info.canonical()}
    return pa.table(columns, names=TAPE_SCHEMA.names).replace_schema_metadata(metadata)


def test_files_of_other_writers_are_tapes(make_tape: MakeTape) -> None:
    tape = make_tape([(1, BID, 5, 1), (2, ASK, 6, 1)])
    table = table_of(tape).select(TAPE_SCHEMA.names[::-1])
    assert (decode(parquet(table), "own.parquet").events == tape.events).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda table: table.drop_columns("sz_1e8"), "sz_1e8"),
        (lambda table: table.append_column("venue", pa.array(["v", "v"])), "venue"),
        (lambda table: table.append_column("kind", table["kind"]), "kind"),
        (lambda table: table.set_column(3, "px_1e9", pa.array([5.0, 6.0])), "px_1e9.*double"),
        (lambda table: table.set_column(5, "flags", pa.array([1, None], pa.uint8())), "flags.*1 nulls"),
        (lambda table: table.replace_schema_metadata(None), "sequence.tape"),
        (lambda table: table.replace_schema_metadata({METADATA_KEY: b"{"}), "sequence.tape"),
        (lambda table: table.replace_schema_metadata({METADATA_KEY: b'{"importer":"x"}'}), "instrument"),
        (lambda table: table.slice(0, 0), "no rows"),
    ],
)
def test_a_file_that_is_no_tape_is_refused_naming_the_fault(
    make_tape: MakeTape, change: Callable[[pa.Table], pa.Table], named: str
) -> None:
    table = table_of(make_tape([(1, BID, 5, 1), (2, ASK, 6, 1)]))
    with pytest.raises(TapeError, match=rf"own\.parquet.*{named}"):
        decode(parquet(change(table)), "own.parquet")


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("receive_ns", 0, r"backward at row 1 \(1970-01-01T00:00:00\.000000000Z\)"),
        ("kind", 0, "unknown kind at row 1"),
        ("kind", 6, "unknown kind at row 1"),
        ("px_1e9", 0, "px_1e9 is not positive at row 1"),
        ("sz_1e8", -1, "sz_1e8 is negative at row 1"),
    ],
)
def test_rows_against_the_rules_are_refused_naming_the_place(
    tmp_path: Path, make_tape: MakeTape, column: str, value: int, fault: str
) -> None:
    tape = make_tape([(1, CLEAR, 0, 0), (2, BID, 5, 1), (3, ASK, 6, 1)])
    tape.events[column][1] = value
    with pytest.raises(TapeError, match=fault):
        decode(parquet(table_of(tape)), "own.parquet")
    with pytest.raises(TapeError, match=fault):
        write_tape(tmp_path, tape)
    assert not list(tmp_path.iterdir())


def test_a_tape_never_ends_within_a_packet(make_tape: MakeTape) -> None:
    tape = make_tape([(1, BID, 5, 1)])
    tape.events["flags"] = 0
    with pytest.raises(TapeError, match="does not end a packet"):
        decode(parquet(table_of(tape)), "own.parquet")


def test_files_must_be_in_order_and_of_one_instrument(tmp_path: Path, make_tape: MakeTape) -> None:
    early = write_tape(tmp_path / "early", make_tape([(1, BID, 5, 1)]))
    late = write_tape(tmp_path / "late", make_tape([(2, BID, 5, 1)]))
    with pytest.raises(TapeError, match=r"early.*before .*late.* ends"):
        read_tape([*late, *early])
    other = write_tape(tmp_path / "other", synthetic_tape(1, duration_s=1))
    with pytest.raises(TapeError, match="another instrument"):
        read_tape([*early, *other])
    with pytest.raises(TapeError, match="cannot be read"):
        read_tape([tmp_path / "absent.parquet"])
    with pytest.raises(TapeError, match="Name at least one"):
        read_tape([])


def test_feed_counts_of_several_imports_add_up(tmp_path: Path, make_tape: MakeTape) -> None:
    def written(name: str, at: int, count: int) -> list[Path]:
        tape = make_tape([(at, BID, 5, 1), (at + DAY_NS, BID, 5, 2)])
        feed = tape.info.model_copy(update={"feed": {"sequence_breaks": count}})
        return write_tape(tmp_path / name, Tape(tape.events, feed))

    files = [*written("one", 1, 2), *written("two", 2 * DAY_NS, 3)]
    assert len(files) == 4
    assert read_tape(files).info.feed == {"sequence_breaks": 5}
