"""A dataset is exactly the files it was built from, or an error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from bundles.errors import IntegrityError, NotFoundError
from evals.errors import TapeError
from evals.market.captures import json_document
from evals.market.datasets import build_dataset, list_symbols, load_dataset
from evals.market.schema import ASK, BID, CLEAR
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape, encode, write_tape

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
