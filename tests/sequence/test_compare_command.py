"""`sequence eval compare`: two evaluations on a terminal, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sequence.conftest import Command


@pytest.fixture
def other(sequence: Command, bundle: str, algo: Path, artifact: str) -> str:
    compiled = sequence.json("bundle", "compile-edge", "--wasm", algo, "--artifact", artifact, "--strategy", "other")
    return str(compiled["bundle_id"])


def test_a_table_of_80_columns_shows_both_and_the_difference(
    sequence: Command, bundle: str, other: str, evaluate: Callable[..., str]
) -> None:
    a, b = evaluate(bundle), evaluate(other, fills=55, return_bps=-1.25)
    lines = sequence("eval", "compare", a, b).stdout.splitlines()
    assert lines[0] == f"A: {a}, passes replay"
    assert any(line.split() == ["Fills", "40", "55", "+15"] for line in lines)
    assert any(line.split() == ["Return", "0.5000", "-1.2500", "-1.7500", "bps"] for line in lines)
    assert "Different settings: of." in lines
    assert max(map(len, lines)) <= 80
    assert not any("WARNING" in line for line in lines)


def test_bundles_stand_for_their_latest_evaluations(
    sequence: Command, bundle: str, other: str, evaluate: Callable[..., str]
) -> None:
    evaluate(bundle)
    a, b = evaluate(bundle, fills=41), evaluate(other)
    found = sequence.json("eval", "compare", bundle, other)
    assert (found["a"]["eval_id"], found["b"]["eval_id"]) == (a, b)
    assert found["kind"] == "replay"
    assert found["same_data"]
    assert found["metrics"]["fills"] == {"a": 41, "b": 40}


def test_a_page_is_written_where_it_is_asked_for(
    sequence: Command, bundle: str, other: str, evaluate: Callable[..., str]
) -> None:
    a, b = evaluate(bundle), evaluate(other)
    made = sequence("eval", "compare", a, b, "--report", "two.html").stdout
    assert f"Report: {sequence.folder / 'two.html'}" in made
    page = (sequence.folder / "two.html").read_text(encoding="utf-8")
    assert a in page
    assert b in page
    assert sequence("eval", "compare", a, b, "--report", "gone/two.html", exit_code=2).stdout == ""


def test_what_cannot_be_compared_is_refused(
    sequence: Command, bundle: str, other: str, evaluate: Callable[..., str]
) -> None:
    a = evaluate(bundle)
    assert "the same evaluation" in sequence("eval", "compare", a, a, exit_code=5).stderr
    assert f"{other} has none" in sequence("eval", "compare", a, other, exit_code=4).stderr
