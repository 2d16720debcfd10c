"""`sequence data parents`: from a table, or from nothing but a tape, to checked parent orders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evals.parents.parquet import read_parents

if TYPE_CHECKING:
    from conftest import Command

CSV = """client_order_id,time,side,qty,limit_price,horizon_ms
b,2026-01-01T00:00:10Z,SELL,0.5,,1000
a,2026-01-01T00:00:05Z,BUY,1.25,60000.5,1000
"""


@pytest.fixture
def dataset(sequence: Command) -> str:
    return str(sequence.json("data", "synthesize", "--duration", "60", "--seed", "1")["dataset"])


@pytest.fixture
def table(sequence: Command) -> Path:
    path = sequence.folder / "orders.csv"
    path.write_text(CSV)
    return path


def test_a_table_is_imported_checked_and_shown(sequence: Command, dataset: str, table: Path) -> None:
    out = sequence.folder / "kept" / "parents.parquet"
    made = sequence.json("data", "parents", "import", table, "--symbol", "BTC-USD", "--out", out)
    assert made == {
        "file": str(out),
        "symbol": "BTC-USD",
        "parents": 2,
        "buys": 1,
        "sells": 1,
        "first_ns": 1_767_225_605 * 10**9,
        "last_ns": 1_767_225_610 * 10**9,
        "qty_least_1e8": 50_000_000,
        "qty_median_1e8": 50_000_000,
        "qty_largest_1e8": 125_000_000,
        "qty_total_1e8": 175_000_000,
        "with_limit": 1,
        "with_participation": 0,
    }
    assert sequence.json("data", "parents", "show", out) == made
    assert "Orders: 2 (1 to buy, 1 to sell)" in sequence("data", "parents", "show", out).stdout
    report = sequence.json("data", "parents", "check", out, dataset)
    assert report["summary"]["parents"] == 2
    assert report["refuse"] == []
    assert "outside tape" in sequence("data", "parents", "check", out, dataset).stdout


def test_importing_again_changes_nothing_and_other_orders_are_not_overwritten(sequence: Command, table: Path) -> None:
    out = sequence.folder / "parents.parquet"
    arguments = ["data", "parents", "import", table, "--symbol", "BTC-USD", "--out", out]
    sequence(*arguments)
    first = out.read_bytes()
    sequence(*arguments)
    assert out.read_bytes() == first
    table.write_text(CSV.replace("1.25", "1.26"))
    assert "holds other orders already" in sequence(*arguments, exit_code=5).stderr
    assert out.read_bytes() == first


def test_a_mistake_is_named_with_line_and_column(sequence: Command, table: Path) -> None:
    out = sequence.folder / "parents.parquet"
    table.write_text(CSV.replace("1.25", "much"))
    arguments = ["data", "parents", "import", table, "--symbol", "BTC-USD", "--out", out]
    assert "orders.csv, line 3, column qty: 'much'" in sequence.json(*arguments, exit_code=5)["error"]["message"]
    assert not out.exists()
    table.write_text(CSV.replace("horizon_ms", "note"))
    assert "--ignore note" in sequence(*arguments, exit_code=5).stderr
    sequence(*arguments, "--ignore", "note")
    assert len(read_parents(out)) == 2


def test_orders_outside_the_tape_are_refused(sequence: Command, dataset: str, table: Path) -> None:
    out = sequence.folder / "parents.parquet"
    table.write_text(CSV.replace("00:00:10Z", "00:02:00Z"))
    sequence("data", "parents", "import", table, "--symbol", "BTC-USD", "--out", out)
    report = sequence.json("data", "parents", "check", out, dataset, exit_code=5)
    assert "the first is b, 2026-01-01T00:02:00" in report["refuse"][0]


def test_orders_of_another_symbol_are_refused(sequence: Command, dataset: str, table: Path) -> None:
    out = sequence.folder / "parents.parquet"
    sequence("data", "parents", "import", table, "--symbol", "ETH-USD", "--out", out)
    assert "in ETH-USD, the tape of synthetic is of BTC-USD" in sequence(
        "data", "parents", "check", out, dataset, exit_code=5
    ).stderr.replace("\n  ", " ")


def test_generated_orders_are_the_same_for_the_same_seed(sequence: Command, dataset: str) -> None:
    generate = ["data", "parents", "generate", dataset, "--count", "200", "--horizon-ms", "5000"]
    outs = [sequence.folder / f"{name}.parquet" for name in "abc"]
    made = sequence.json(*generate, "--out", outs[0])
    sequence(*generate, "--out", outs[1])
    sequence(*generate, "--seed", "7", "--out", outs[2])
    assert outs[0].read_bytes() == outs[1].read_bytes() != outs[2].read_bytes()
    assert made["parents"] == made["closeness"]["parents"] == 200
    assert sequence.json("data", "parents", "check", outs[0], dataset)["summary"]["ending_after_tape"] == 0


def test_what_is_measured_ends_where_it_is_told_to(sequence: Command, dataset: str) -> None:
    out = sequence.folder / "parents.parquet"
    generate = ["data", "parents", "generate", dataset, "--count", "50", "--horizon-ms", "0", "--out", out]
    made = sequence.json(*generate, "--until", "2026-01-01T00:00:30Z")
    assert made["last_ns"] < 1_767_225_630 * 10**9
    assert "has no time zone" in sequence(*generate, "--until", "2026-01-01T00:00:30", exit_code=2).stderr
