"""`sequence data register`: days that somebody else wrote below the data root become a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command


@pytest.fixture
def made(sequence: Command) -> list[str]:
    """Return the datasets of two days of one symbol, each of its own."""
    made = []
    for day in ("2026-01-01", "2026-01-02"):
        command = ("data", "synthesize", "--duration", "20", "--rate", "5", "--start", day)
        made.append(str(sequence.json(*command)["dataset"]))
    return made


def test_days_are_registered_together_or_one_by_one(sequence: Command, made: list[str]) -> None:
    one = sequence.json("data", "register", "synthetic/BTC-USD", "--start", "2026-01-02")
    assert one["dataset"] == made[1], "the same days are the same dataset, whoever registers them"
    both = sequence.json("data", "register", "synthetic/BTC-USD")
    assert len(both["files"]) == 2
    assert both["events"] > one["events"] > 0
    assert f"Dataset: {both['dataset']}" in sequence("data", "register", "synthetic/BTC-USD").stdout
    assert both["dataset"] in {each["dataset"] for each in sequence.json("data", "list")["datasets"]}


def test_what_is_not_there_is_named(sequence: Command, made: list[str]) -> None:
    assert made
    assert "No tape of kraken/ETH lies below" in sequence("data", "register", "kraken/ETH", exit_code=4).stderr
    days = ("data", "register", "synthetic/BTC-USD", "--start", "2030-01-01", "--end", "2030-01-02")
    assert "2026-01-01 to 2026-01-02" in sequence(*days, exit_code=4).stderr, "what is there is told"
    backwards = sequence(*days[:-1], "2029-01-01", exit_code=2)
    assert "--end 2029-01-01 lies before --start 2030-01-01" in backwards.stderr
    assert "write the venue, a slash and the symbol" in sequence("data", "register", "kraken", exit_code=2).stderr
