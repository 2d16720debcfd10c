"""A dataset is exactly the files it was built from, or an error."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.errors import IntegrityError, NotFoundError
from evals.errors import TapeError
from evals.market.captures import json_document
from evals.market.datasets import build_dataset, build_dataset_with_report, list_symbols, load_dataset, open_dataset
from evals.market.parquet import ROW_GROUP_ROWS, encode
from evals.market.schema import ASK, BID, CLEAR, LAST_OF_PACKET
from evals.market.source import Columns
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape, gathered, read_tape, write_tape
from evals.market.validation import validate

DAY_NS = 86_400 * 10**9


@pytest.fixture
def three_days(tmp_path: Path) -> Tape:
    tape = synthetic_tape(1, duration_s=2 * 86_400, packets_per_s=1, start_ns=20_000 * DAY_NS + DAY_NS // 2)
    write_tape(tmp_path, tape)
    return tape


def test_days_are_chosen_with_both_ends(tmp_path: Path, three_days: Tape) -> None:
    whole = build_dataset(tmp_path, "synthetic", "BTC-USD")
    assert [part.key.split("/")[2] for part in whole.partitions] == [f"date=2024-10-0{day}" for day in (4, 5, 6)]
    assert (load_dataset(tmp_path, whole).events == three_days.events).all()
    assert whole.validation["rows"] == len(three_days.events)
    second = build_dataset(tmp_path, "synthetic", "BTC-USD", date(2024, 10, 5), date(2024, 10, 5))
    assert second.partitions == whole.partitions[1:2]
    assert build_dataset(tmp_path, "synthetic", "BTC-USD", start=date(2024, 10, 5)).partitions == whole.partitions[1:]
    assert build_dataset(tmp_path, "synthetic", "BTC-USD", end=date(2024, 10, 5)).partitions == whole.partitions[:2]
    (listing,) = list_symbols(tmp_path)
    assert (listing.venue, listing.symbol, listing.span) == ("synthetic", "BTC-USD", "2024-10-04 to 2024-10-06")


def test_the_id_depends_on_the_content_only(tmp_path: Path) -> None:
    for name in ("here", "there"):
        write_tape(tmp_path / name, synthetic_tape(1, duration_s=2))
    here, there = (build_dataset(tmp_path / name, "synthetic", "BTC-USD") for name in ("here", "there"))
    assert here.dataset_id == there.dataset_id


@pytest.mark.parametrize(
    ("venue", "symbol", "start"),
    [("kraken", "BTC-USD", None), ("synthetic", "../x", None), ("synthetic", "BTC-USD", 2025)],
)
def test_nothing_found_lists_what_there_is(
    tmp_path: Path, three_days: Tape, venue: str, symbol: str, start: int | None
) -> None:
    with pytest.raises(NotFoundError, match=r"synthetic BTC-USD \(2024-10-04 to 2024-10-06\)"):
        build_dataset(tmp_path, venue, symbol, None if start is None else date(start, 1, 1))


def test_an_empty_root_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no tapes at all"):
        build_dataset(tmp_path / "absent", "synthetic", "BTC-USD")


@settings(max_examples=25)
@given(midnights=st.lists(st.integers(1, 190), max_size=4), chunk_rows=st.integers(1, 200), gap=st.booleans())
def test_a_dataset_in_chunks_is_the_dataset(
    tmp_path_factory: pytest.TempPathFactory, midnights: list[int], chunk_rows: int, gap: bool
) -> None:
    root = tmp_path_factory.mktemp("root")
    tape = synthetic_tape(1, duration_s=4, packets_per_s=50, start_ns=20_000 * DAY_NS)
    ends = tape.events["flags"] & LAST_OF_PACKET != 0
    packet = np.append(0, np.cumsum(ends)[:-1])
    later = np.searchsorted(np.sort(midnights), packet, side="right") * DAY_NS
    tape.events["receive_ns"] += later
    tape.events["exchange_ns"] += later
    files = write_tape(root, tape)
    if gap and len(files) > 2:
        files.pop(1).unlink()
    dataset, report = build_dataset_with_report(root, "synthetic", "BTC-USD")
    whole = read_tape(files)
    source = open_dataset(root, dataset, chunk_rows)
    assert source.info == whole.info
    for _ in range(2):
        chunks = list(source.chunks())
        assert max(map(len, chunks)) <= chunk_rows
        assert (gathered(source.info, chunks, len(whole.events)).events == whole.events).all()
    assert (load_dataset(root, dataset).events == whole.events).all()
    assert report == validate(whole) == validate(source)


def test_a_forged_day_is_refused_before_its_first_row(tmp_path: Path, three_days: Tape) -> None:
    dataset = build_dataset(tmp_path, "synthetic", "BTC-USD")
    source = open_dataset(tmp_path, dataset, 1000)
    third = tmp_path / dataset.partitions[2].key
    content = bytearray(third.read_bytes())
    content[100] ^= 1
    third.write_bytes(content)
    begins = dataset.partitions[2].first_ns
    for forged in (source, open_dataset(tmp_path, dataset, 1000)):  # changed after it was opened, or before
        read: list[Columns] = []
        with pytest.raises(IntegrityError, match=r"2024-10-06.*is not the file that dataset data_"):
            read.extend(forged.chunks())
        assert dataset.partitions[1].last_ns == read[-1].receive_ns[-1] < begins


def test_a_forged_footer_is_no_damage_but_a_forgery(tmp_path: Path) -> None:
    (path,) = write_tape(tmp_path, synthetic_tape(1, duration_s=2))
    dataset = build_dataset(tmp_path, "synthetic", "BTC-USD")
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"PAR?")
    with pytest.raises(IntegrityError, match="is not the file"):
        open_dataset(tmp_path, dataset)
    # A sound tape of the same size under the same name, put back only after the dataset was opened.
    forged = content.replace(b'"importer":"synthetic"', b'"importer":"Synthetic"')
    assert forged != content
    path.write_bytes(forged)
    source = open_dataset(tmp_path, dataset)
    with pytest.raises(IntegrityError, match="is not the file"):
        next(source.chunks())
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="was another file when dataset data_"):
        next(source.chunks())


def test_a_file_written_to_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    (path,) = write_tape(tmp_path, synthetic_tape(1, duration_s=60))
    dataset = build_dataset(tmp_path, "synthetic", "BTC-USD")
    chunks = open_dataset(tmp_path, dataset, 10).chunks()
    next(chunks)
    os.utime(path, ns=(0, 0))
    with pytest.raises(IntegrityError, match="was changed while it was read"):
        list(chunks)


def test_a_file_replaced_while_it_is_read_does_no_harm(tmp_path: Path) -> None:
    tape = synthetic_tape(1, duration_s=60)
    write_tape(tmp_path, tape)
    dataset = build_dataset(tmp_path, "synthetic", "BTC-USD")
    chunks = open_dataset(tmp_path, dataset, 10).chunks()
    first = next(chunks)
    write_tape(tmp_path, synthetic_tape(2, duration_s=60), overwrite=True)
    assert len(first) + sum(map(len, chunks)) == len(tape.events)


def test_a_key_out_of_the_root_is_not_even_opened(tmp_path: Path) -> None:
    write_tape(tmp_path / "root", synthetic_tape(1, duration_s=2))
    dataset = build_dataset(tmp_path / "root", "synthetic", "BTC-USD")
    outside = dataset.partitions[0].model_copy(update={"key": "../secret"})
    with pytest.raises(IntegrityError, match="outside the data root"):
        open_dataset(tmp_path / "root", dataset.model_copy(update={"partitions": (outside,)}))


def test_ten_times_the_rows_take_the_same_memory(tmp_path: Path) -> None:
    once = synthetic_tape(1, duration_s=330, packets_per_s=1000)
    assert len(once.events) > 1.5 * ROW_GROUP_ROWS  # both lengths come to where two row groups are held
    span = int(once.events["receive_ns"][-1] - once.events["receive_ns"][0])
    streaming, building = [], []
    for times in (1, 10):
        events = np.tile(once.events, times)
        later = np.repeat(np.arange(times) * span, len(once.events))
        events["receive_ns"] += later
        events["exchange_ns"] += later
        write_tape(tmp_path / str(times), Tape(events, once.info))
        del events, later
        tracemalloc.start()
        dataset = build_dataset(tmp_path / str(times), "synthetic", "BTC-USD")
        building.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
        arrow = 0
        for _ in open_dataset(tmp_path / str(times), dataset).chunks():
            arrow = max(arrow, pa.total_allocated_bytes())
        streaming.append(tracemalloc.get_traced_memory()[1] + arrow)
        tracemalloc.stop()
    assert building[1] < 1.1 * building[0]
    assert streaming[1] < 1.1 * streaming[0] < 1.1 * 16 * 2**20


@pytest.mark.parametrize("change", ["flip", "truncate", "append"])
def test_a_changed_file_is_not_loaded(tmp_path: Path, change: str) -> None:
    (path,) = write_tape(tmp_path, synthetic_tape(1, duration_s=2))
    dataset = build_dataset(tmp_path, "synthetic", "BTC-USD")
    content = path.read_bytes()
    flipped = bytes([content[100] ^ 1])
    path.write_bytes(
        {"flip": content[:100] + flipped + content[101:], "truncate": content[:-1], "append": content + b"x"}[change]
    )
    with pytest.raises(IntegrityError, match=r"part-00000\.parquet is not the file that dataset data_"):
        load_dataset(tmp_path, dataset)
    path.unlink()
    with pytest.raises(NotFoundError, match=r"part-00000\.parquet"):
        load_dataset(tmp_path, dataset)


def test_a_key_never_leads_out_of_the_root(tmp_path: Path) -> None:
    write_tape(tmp_path / "root", synthetic_tape(1, duration_s=2))
    dataset = build_dataset(tmp_path / "root", "synthetic", "BTC-USD")
    outside = dataset.partitions[0].model_copy(update={"key": "../secret"})
    with pytest.raises(IntegrityError, match="outside the data root"):
        load_dataset(tmp_path / "root", dataset.model_copy(update={"partitions": (outside,)}))


def test_a_crossed_or_truncated_tape_becomes_no_dataset(tmp_path: Path, make_tape: Callable[..., Tape]) -> None:
    (path,) = write_tape(tmp_path, make_tape([(1, CLEAR, 0, 0), (1, BID, 6, 1), (1, ASK, 5, 1)]))
    with pytest.raises(TapeError, match=r"test BTC-USD .*crossed.* row 2 "):
        build_dataset(tmp_path, "test", "BTC-USD")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TapeError, match=r"part-00000\.parquet is truncated"):
        build_dataset(tmp_path, "test", "BTC-USD")


def test_files_in_the_wrong_folder_are_refused(tmp_path: Path) -> None:
    tape = synthetic_tape(1, duration_s=2)
    folder = tmp_path / "venue=kraken" / "symbol=BTC-USD" / "date=2026-01-01"
    folder.mkdir(parents=True)
    (folder / "own.parquet").write_bytes(encode(tape.events, tape.info))
    with pytest.raises(TapeError, match="holds synthetic BTC-USD, but lies under kraken BTC-USD"):
        build_dataset(tmp_path, "kraken", "BTC-USD")
    folder.rename(folder.with_name("date=yesterday"))
    with pytest.raises(TapeError, match="not a UTC day"):
        list_symbols(tmp_path)


def test_a_file_under_another_day_is_refused(tmp_path: Path) -> None:
    (path,) = write_tape(tmp_path, synthetic_tape(1, duration_s=2, start_ns=20_000 * DAY_NS))
    sound = build_dataset(tmp_path, "synthetic", "BTC-USD")
    wrong = path.parent.with_name("date=2030-01-01")
    path.parent.rename(wrong)
    expected = r"date=2030-01-01.*under the UTC day 2030-01-01, but its rows are of 2024-10-04\."
    with pytest.raises(TapeError, match=expected):
        build_dataset(tmp_path, "synthetic", "BTC-USD")
    moved = sound.partitions[0].model_copy(update={"key": sound.partitions[0].key.replace("2024-10-04", "2030-01-01")})
    with pytest.raises(TapeError, match=expected):
        load_dataset(tmp_path, sound.model_copy(update={"partitions": (moved,)}))


def test_rows_of_another_day_are_refused(tmp_path: Path) -> None:
    tape = synthetic_tape(1, duration_s=4, start_ns=20_001 * DAY_NS - 2 * 10**9)
    first, second = write_tape(tmp_path, tape)
    second.unlink()
    second.parent.rmdir()
    first.write_bytes(encode(tape.events, tape.info))
    with pytest.raises(TapeError, match=r"its rows are of 2024-10-04 to 2024-10-05\."):
        build_dataset(tmp_path, "synthetic", "BTC-USD")


def test_a_folder_in_place_of_a_tape_is_refused(tmp_path: Path) -> None:
    tape = synthetic_tape(1, duration_s=2)
    (path,) = write_tape(tmp_path, tape)
    path.unlink()
    path.mkdir()
    for attempt in (lambda: build_dataset(tmp_path, "synthetic", "BTC-USD"), lambda: write_tape(tmp_path, tape)):
        with pytest.raises(TapeError, match="cannot be read"):
            attempt()


def test_json_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(TapeError, match=r"deep\.json is not a readable JSON"):
        json_document(tmp_path / "deep.json")
