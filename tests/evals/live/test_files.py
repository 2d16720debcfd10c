"""Recordings as files: what goes in comes out, what is malformed is refused by name, a crash leaves them whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.canonical import digest_of
from bundles.errors import InvalidInputError, LadderError, NameTakenError
from evals.recordings.gaps import gaps_of, tell
from evals.recordings.reading import Recording, read_folder, read_header, read_recording
from evals.recordings.schema import DTYPES, EDGE_STREAMS, HEARTBEAT, SCHEMAS, START, STOP, EdgeRecording, StreamName
from evals.recordings.writing import Recorder

DIGEST = "sha256:" + "1" * 64
START_NS = 1_700_000_000 * 10**9
HEADER: dict[str, Any] = {
    "deployment": "dep_1",
    "bundle": DIGEST,
    "symbol": "BTC-USD",
    "venue": "kraken",
    "capital_1e9": 10**12,
    "start_position_1e8": 0,
    "start_cash_1e9": 0,
}
ACTION: dict[str, Any] = {
    "at_ns": START_NS,
    "order_id": 7,
    "kind": 0,
    "side": 1,
    "order_type": 0,
    "px_1e9": 10**9,
    "qty_1e8": 10**8,
    "reject_code": -1,
}
FILL: dict[str, Any] = {
    "at_ns": START_NS,
    "order_id": 7,
    "px_1e9": 10**9,
    "qty_1e8": 10**8,
    "side": 1,
    "fee_1e9": -5,
    "is_maker": 1,
}
EVENT: dict[str, Any] = {"at_ns": START_NS, "kind": START, "value": 0, "detail": "hello"}
ROWS: dict[StreamName, dict[str, Any]] = {"actions": ACTION, "fills": FILL, "events": EVENT}


def recorded(folder: Path, changes: dict[StreamName, dict[str, Any]] | None = None, **header: Any) -> Path:
    """Write a recording of one row a stream and a stop."""
    recorder = Recorder.edge(folder, **HEADER | header)
    for name, row in ROWS.items():
        recorder.append(name, **row | (changes or {}).get(name, {}))
    recorder.append("events", at_ns=START_NS + 1, kind=STOP, value=0)
    recorder.close()
    return folder


def replaced(folder: Path, stream: str, table: pa.Table, **said: Any) -> None:
    """Put another file in a stream's place, and let the document say so."""
    document = json.loads((folder / "recording.json").read_bytes())
    part = document["streams"][stream]["parts"][0]
    pq.write_table(table, folder / part["name"])
    content = (folder / part["name"]).read_bytes()
    part |= {"digest": digest_of(content), "size_bytes": len(content), "rows": table.num_rows} | said
    (folder / "recording.json").write_text(json.dumps(document))


int63 = st.integers(1, 2**40)
actions = st.fixed_dictionaries(
    {
        "order_id": st.integers(0, 2**64 - 1),
        "kind": st.integers(0, 3),
        "side": st.sampled_from([1, -1]),
        "order_type": st.integers(0, 4),
        "px_1e9": st.integers(-(2**63), 2**63 - 1),
        "qty_1e8": int63,
        "reject_code": st.integers(-1, 300),
    }
)
fills = st.fixed_dictionaries(
    {
        "order_id": st.integers(0, 2**64 - 1),
        "px_1e9": int63,
        "qty_1e8": st.integers(1, 2**20),
        "side": st.sampled_from([1, -1]),
        "fee_1e9": st.integers(-(2**40), 2**40),
        "is_maker": st.integers(0, 1),
    }
)
events = st.fixed_dictionaries(
    {
        "kind": st.integers(0, 9),
        "value": st.integers(-(2**63), 2**63 - 1),
        "detail": st.sampled_from(["", "halted by an operator", "naïve ☃", "x" * 256]),
    }
)


@given(
    rows=st.lists(st.tuples(st.sampled_from(EDGE_STREAMS), st.integers(0, 2), st.booleans()), max_size=60),
    data=st.data(),
)
@settings(max_examples=40)
def test_what_is_recorded_is_read_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[StreamName, int, bool]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("r")
    recorder = Recorder.edge(folder, **HEADER)
    wanted: dict[str, list[dict[str, Any]]] = {name: [] for name in EDGE_STREAMS}
    at_ns = START_NS
    for name, step, rotate in rows:
        at_ns += step
        row = data.draw({"actions": actions, "fills": fills, "events": events}[name])
        recorder.append(name, at_ns=at_ns, **row)
        wanted[name].append({"seq": len(wanted[name]) + 1, "at_ns": at_ns} | row)
        if rotate:
            recorder.rotate()
    recorder.close()
    found, files = read_folder(folder)
    for name in EDGE_STREAMS:
        assert list(found.rows[name].dtype.names or ()) == [each for each in SCHEMAS[name].names if each != "detail"]
        assert [
            dict(zip(found.rows[name].dtype.names or (), row.tolist(), strict=True)) for row in found.rows[name]
        ] == [{column: value for column, value in row.items() if column != "detail"} for row in wanted[name]]
    assert found.details == {i: row["detail"] for i, row in enumerate(wanted["events"]) if row["detail"]}
    assert set(files) == {path.name for path in folder.iterdir()}
    document = read_header(files["recording.json"], "it")
    again = read_recording(document, lambda name, _digest: files[name])
    assert all((again.rows[name] == found.rows[name]).all() for name in EDGE_STREAMS)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[EdgeRecording, dict[str, bytes]]:
    found, files = read_folder(recorded(tmp_path_factory.mktemp("sound") / "r"))
    assert isinstance(found.document, EdgeRecording)
    return found.document, files


@given(name=st.sampled_from(["actions", "fills", "events"]), data=st.data())
@settings(max_examples=300)
def test_damaged_files_are_refused_and_never_crash(
    sound: tuple[EdgeRecording, dict[str, bytes]], name: str, data: st.DataObject
) -> None:
    """Even where somebody made the document agree with them."""
    document, files = sound
    content = bytearray(files[f"{name}-000001.parquet"])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))

    def fetch(file: str, _digest: str) -> bytes:
        return bytes(content[:cut]) if file.startswith(name) else files[file]

    try:
        found = read_recording(document, fetch)
    except LadderError:
        return
    assert isinstance(found, Recording)
    assert all(found.rows[each].dtype == DTYPES[each] for each in EDGE_STREAMS)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_a_document_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_header(content, "recording.json")


@pytest.mark.parametrize(
    ("stream", "change", "told"),
    [
        ("actions", {"kind": 4}, "actions, row with seq 1: kind is none of"),
        ("actions", {"side": 2}, "side is neither"),
        ("actions", {"side": 0}, "an order that was taken has no side"),
        ("actions", {"order_type": 5}, "order_type is none of"),
        ("actions", {"qty_1e8": 0}, "an order that was taken has no quantity"),
        ("actions", {"reject_code": -2}, "reject_code is below -1"),
        ("actions", {"at_ns": 0}, "at_ns is no time"),
        ("fills", {"px_1e9": 0}, "fills, row with seq 1: px_1e9 is not positive"),
        ("fills", {"qty_1e8": -1}, "qty_1e8 is not positive"),
        ("fills", {"side": 0}, "side is neither 1 nor -1"),
        ("fills", {"is_maker": 2}, "is_maker is neither 0 nor 1"),
        ("fills", {"px_1e9": 2**62, "qty_1e8": 2**40}, "worth more than 64 bits"),
        ("fills", {"fee_1e9": -(2**63)}, "worth more than 64 bits"),
        ("fills", {"at_ns": 2**62}, "at_ns is no time"),
        ("events", {"kind": 10}, "events, row with seq 1: kind is none of 0 to 9"),
        ("events", {"at_ns": START_NS + 2}, "events, row with seq 2: at_ns goes back"),
        ("events", {"detail": "x" * 257}, "a detail has 257 bytes; at most 256 are allowed"),
    ],
)
def test_malformed_rows_are_refused_by_name(
    tmp_path: Path, stream: StreamName, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        recorded(tmp_path / "refused at once", {stream: change})
    folder = recorded(tmp_path / "made by others")
    table = pq.read_table(folder / f"{stream}-000001.parquet")
    for column, value in change.items():
        values = [value, *table[column].to_pylist()[1:]]
        table = changed(table, column, pa.array(values, SCHEMAS[stream].field(column).type))
    replaced(folder, stream, table)
    with pytest.raises(InvalidInputError, match=told):
        read_folder(folder)


def test_what_is_refused_leaves_the_recording_as_it_was(tmp_path: Path) -> None:
    recorder = Recorder.edge(tmp_path / "r", **HEADER)
    recorder.append("events", **EVENT | {"at_ns": START_NS + 9})
    recorder.rotate()
    for changed_row, told in (({"at_ns": START_NS}, "row with seq 2: at_ns goes back"), ({"kind": 10}, "kind is none")):
        with pytest.raises(InvalidInputError, match=told):
            recorder.append("events", **EVENT | {"at_ns": START_NS + 9} | changed_row)
    recorder.append("events", at_ns=START_NS + 9, kind=STOP, value=0)
    recorder.close()
    found, _ = read_folder(tmp_path / "r")
    assert found.rows["events"]["kind"].tolist() == [START, STOP]


def test_what_was_refused_may_be_any_nonsense(tmp_path: Path) -> None:
    refused = {"reject_code": 2, "side": 0, "order_type": -9, "qty_1e8": -5, "px_1e9": -1}
    found, _ = read_folder(recorded(tmp_path / "r", {"actions": refused}))
    assert found.rows["actions"]["order_type"].tolist() == [-9]


def changed(table: pa.Table, column: str, array: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(column), pa.field(column, array.type, nullable=False), array)


def test_types_are_exact_and_numbers_agree(tmp_path: Path) -> None:
    def told(stream: str, table: pa.Table, match: str, **said: Any) -> None:
        folder = recorded(tmp_path / str(len(list(tmp_path.iterdir()))))
        replaced(folder, stream, table, **said)
        with pytest.raises(InvalidInputError, match=match):
            read_folder(folder)

    folder = recorded(tmp_path / "sound")
    fill, event = (pq.read_table(folder / f"{name}-000001.parquet") for name in ("fills", "events"))
    told("fills", changed(fill, "px_1e9", pa.array([1], pa.int32())), "px_1e9 int32.*The stream fills has")
    told("fills", changed(fill, "px_1e9", pa.array([1.0])), "px_1e9 double")
    told("fills", changed(fill, "is_maker", pa.array([True])), "is_maker bool")
    told("fills", fill.drop(["fee_1e9"]), "fills-000001.parquet has the columns")
    told("fills", fill.append_column("more", pa.array([1])), "more int64")
    told("fills", fill.cast(pa.schema([field.with_nullable(True) for field in fill.schema])), "none of them null")
    told("fills", fill, "holds 1 rows, recording.json says 2", rows=2)
    told("fills", fill, "holds the rows 1 to 1, recording.json says 1 to 9", last_seq="9")
    told(
        "fills",
        changed(fill, "seq", pa.array([3])),
        "holds the rows 3 to 3, .* says 1 to 1",
        first_seq="3",
        last_seq="3",
    )
    told("events", changed(event, "seq", pa.array([1, 1])), "events, row with seq 1: seq does not grow", last_seq="1")
    told("events", changed(event, "detail", pa.array([b"a", b"b"])), "detail binary")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema_version": 2}, "schema_version"),
        ({"deployment": "bun_1"}, "deployment"),
        ({"capital_1e9": "0"}, "capital_1e9"),
        ({"capital_1e9": 1.5}, "capital_1e9"),
        ({"start_position_1e8": str(2**63)}, "start_position_1e8"),
        ({"start_position_1e8": str(2**62)}, "start_position_1e8 .* is out of range"),
        ({"more": 1}, "more: unknown field"),
        ({"streams": {}}, "the streams are ; they must be actions, fills, events"),
        ({"kind": "other"}, "kind"),
    ],
)
def test_a_malformed_document_is_refused_by_field(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    folder = recorded(tmp_path / "r")
    document = json.loads((folder / "recording.json").read_bytes())
    (folder / "recording.json").write_text(json.dumps(document | change))
    with pytest.raises(InvalidInputError, match=told):
        read_folder(folder)


@pytest.mark.parametrize(
    "name", ["../fills-000001.parquet", "/etc/passwd", "fills-1.parquet", "actions-000001.parquet"]
)
def test_a_part_cannot_name_another_file(tmp_path: Path, name: str) -> None:
    folder = recorded(tmp_path / "r")
    document = json.loads((folder / "recording.json").read_bytes())
    document["streams"]["fills"]["parts"][0]["name"] = name
    (folder / "recording.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInputError, match=r"parts|is no part of the stream fills"):
        read_folder(folder)


def test_sizes_are_bounded_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recorded(tmp_path / "r")
    monkeypatch.setattr("evals.recordings.reading.LARGEST_PART_BYTES", 100)
    with pytest.raises(InvalidInputError, match="more than 100 bytes"):
        read_folder(folder)
    monkeypatch.undo()
    monkeypatch.setattr("evals.foreign_parquet.LARGEST_UNPACKED_BYTES", 10)
    with pytest.raises(InvalidInputError, match="unpacks to"):
        read_folder(folder)


def test_a_long_text_that_repeats_is_read_once(tmp_path: Path) -> None:
    """A million rows of one text of 256 bytes are a quarter of a gigabyte if each is read by itself."""
    count = 1 << 20
    recorder = Recorder.edge(tmp_path / "r", **HEADER)
    recorder.append("events", **EVENT)
    recorder.close()
    codes = pa.array(np.zeros(count, np.int32))
    numbers = {"seq": np.arange(1, count + 1), "at_ns": np.full(count, START_NS), "value": np.zeros(count, np.int64)}
    columns = {
        **{name: pa.array(values) for name, values in numbers.items()},
        "kind": pa.array(np.full(count, HEARTBEAT, np.int8)),
        "detail": pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 256])),
    }
    names = SCHEMAS["events"].names
    fields = [pa.field(name, columns[name].type, nullable=False) for name in names]
    table = pa.Table.from_arrays([columns[name] for name in names], schema=pa.schema(fields))
    folder, before = tmp_path / "r", pa.total_allocated_bytes()
    pq.write_table(table, folder / "x.parquet", store_schema=False)
    content = (folder / "x.parquet").read_bytes()
    document = json.loads((folder / "recording.json").read_bytes())
    part = document["streams"]["events"]["parts"][0]
    part |= {"rows": count, "last_seq": str(count), "digest": digest_of(content), "size_bytes": len(content)}
    document["streams"]["events"]["last_seq"] = str(count)
    (folder / part["name"]).write_bytes(content)
    (folder / "recording.json").write_text(json.dumps(document))
    pa.default_memory_pool().release_unused()
    found, _ = read_folder(folder)
    assert len(found.details) == count
    texts = len(set(map(id, found.details.values())))
    assert texts < 100, "one for each chunk, not for each row"
    assert pa.total_allocated_bytes() - before < 100_000_000


def test_a_crash_leaves_what_was_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "r"
    recorder = Recorder.edge(folder, **HEADER)
    recorder.append("events", **EVENT)
    recorder.rotate()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    replace = Path.replace

    def failing_at(crash: int) -> Callable[[Path, Path], Path]:
        calls = iter(range(1, 10))

        def failing(self: Path, target: Path) -> Path:
            if next(calls) == crash:
                raise OSError("the power went")
            return replace(self, target)

        return failing

    for crash in (1, 2, 3):
        recorder = Recorder(folder, read_folder(folder)[0].document)
        recorder.append("actions", **ACTION)
        recorder.append("fills", **FILL)
        monkeypatch.setattr(Path, "replace", failing_at(crash))
        with pytest.raises(OSError, match="power"):
            recorder.rotate()
        monkeypatch.undo()
        found, files = read_folder(folder)
        assert {name: before[name] for name in files} == files
        assert "the last event is no stop" in tell(gaps_of(found))
    recorder.close()
    assert len(read_folder(folder)[0].rows["fills"]) == 1


def test_a_recording_is_begun_once_and_closed_once(tmp_path: Path) -> None:
    recorded(tmp_path / "r")
    with pytest.raises(NameTakenError, match="holds a recording already"):
        Recorder.edge(tmp_path / "r", **HEADER)
    recorder = Recorder.edge(tmp_path / "other", **HEADER)
    with pytest.raises(InvalidInputError, match="A row of fills has at_ns, fee_1e9"):
        recorder.append("fills", at_ns=START_NS)
    recorder.close()
    with pytest.raises(InvalidInputError, match="is closed"):
        recorder.append("fills", **FILL)


def test_rows_rotate_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.recordings.writing._ROTATE_ROWS", 10)
    recorder = Recorder.edge(tmp_path / "r", **HEADER)
    for _ in range(25):
        recorder.append("fills", **FILL)
    assert sorted(path.name for path in (tmp_path / "r").glob("fills*")) == [
        "fills-000001.parquet",
        "fills-000002.parquet",
    ]
    recorder.close()
    assert read_folder(tmp_path / "r")[0].rows["fills"]["seq"].tolist() == list(range(1, 26))


def test_a_sound_recording_has_no_gaps(tmp_path: Path) -> None:
    found, _ = read_folder(recorded(tmp_path / "r"))
    assert gaps_of(found) == []
    assert tell([]) == ""
