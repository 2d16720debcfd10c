"""`sequence backtest`, `eval` and `data`: one result digest everywhere, clear refusals, on a short synthetic market."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Command

DAYS = ("--start", "2026-01-01", "--end", "2026-01-01")


@pytest.fixture
def dataset(sequence: Command) -> str:
    made = sequence.json("data", "synthesize", "--duration", "60", "--rate", "50")
    assert made["venue"] == "synthetic"
    return str(made["dataset"])


@pytest.fixture
def bundle(sequence: Command, algo: Path, artifact: str) -> str:
    return str(sequence.json("bundle", "compile-edge", "--wasm", algo, "--artifact", artifact)["bundle_id"])


def test_one_digest_across_runs_processes_hash_seeds_and_folders(
    sequence: Command, dataset: str, bundle: str, tmp_path: Path
) -> None:
    first = sequence.json("backtest", "BTC-USD", *DAYS, "--bundle", bundle[:10])
    assert {"eval_id", "verdict", "result_digest", "metrics", "dataset"} <= set(first)
    assert (first["dataset"], first["verdict"]) == (dataset, "inconclusive")
    assert sequence.json("backtest", "--dataset", dataset[:11], "--bundle", bundle) == first
    done = sequence.process(
        "backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--force", "--json",
        cwd=tmp_path, environ={"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == first
    verified = sequence.json("eval", "verify", first["eval_id"][:11])
    assert verified["same"] is True
    assert verified["result_digest"] == first["result_digest"]
    richer = sequence.json("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--capital", "5000", "--seed", "1")
    assert richer["eval_id"] != first["eval_id"]


def test_evaluations_are_listed_shown_and_reported(sequence: Command, dataset: str, bundle: str) -> None:
    made = sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--report", "report.html").stdout
    assert f"Dataset: {dataset}" in made
    assert f"Report: {sequence.folder / 'report.html'}" in made
    (listed,) = sequence.json("eval", "list", "--bundle", bundle)
    assert (listed["bundle_id"], listed["kind"], listed["verdict"]) == (bundle, "replay", "inconclusive")
    assert listed["eval_id"] in (sequence.folder / "report.html").read_text(encoding="utf-8")
    shown = sequence("eval", "show", listed["eval_id"]).stdout
    assert "FAILS: duration_s" in shown
    assert "  fuel_p99: " in shown
    assert sequence.json("eval", "show", listed["eval_id"])["record"]["status"] == "completed"


def test_a_changed_tape_does_not_verify(sequence: Command, dataset: str, bundle: str, tmp_path: Path) -> None:
    evaluation = sequence.json("backtest", "--dataset", dataset, "--bundle", bundle)["eval_id"]
    tape = next((tmp_path / "data").rglob("*.parquet"))
    content = bytearray(tape.read_bytes())
    content[len(content) // 2] ^= 1
    tape.write_bytes(content)
    assert str(tape.name) in sequence("eval", "verify", evaluation, exit_code=7).stderr
    sequence("data", "validate", dataset, exit_code=7)
    tape.write_bytes(content[: len(content) // 2])
    assert tape.name in sequence("data", "validate", tape, exit_code=5).stderr


def test_data_is_listed_and_validated(sequence: Command, dataset: str, tmp_path: Path) -> None:
    listed = sequence.json("data", "list")
    assert listed["tapes"] == [
        {"venue": "synthetic", "symbol": "BTC-USD", "days": "2026-01-01 to 2026-01-01", "files": 1}
    ]
    assert [each["dataset"] for each in listed["datasets"]] == [dataset]
    assert sequence.json("data", "validate", dataset)["refuse"] == []
    assert sequence.json("data", "validate", tmp_path / "data")["refuse"] == []
    sequence("data", "validate", tmp_path / "nowhere", exit_code=4)


def test_the_venue_must_be_clear(sequence: Command, dataset: str, bundle: str, tmp_path: Path) -> None:
    missing = sequence("backtest", "ETH-USD", *DAYS, "--bundle", bundle, exit_code=4)
    assert "synthetic BTC-USD 2026-01-01 to 2026-01-01" in missing.stderr
    sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--venue", "kraken", exit_code=4)
    shutil.copytree(tmp_path / "data" / "venue=synthetic", tmp_path / "data" / "venue=copy")
    several = sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, exit_code=2)
    assert "--venue copy" in several.stderr
    sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--venue", "kraken, synthetic")


def test_a_trial_is_not_recorded(sequence: Command, dataset: str, silent_wasm: bytes) -> None:
    release = sequence.folder / "target" / "wasm32-unknown-unknown" / "release"
    (sequence.folder / "Cargo.toml").touch()
    assert "--skip-build" in sequence("backtest", "BTC-USD", *DAYS, "--skip-build", exit_code=4).stderr
    release.mkdir(parents=True)
    (release / "algo.wasm").write_bytes(silent_wasm)
    trial = sequence("backtest", "BTC-USD", *DAYS, "--skip-build", "--json")
    document = json.loads(trial.stdout)
    assert (document["eval_id"], document["verdict"], document["dataset"]) == (None, None, dataset)
    assert document["metrics"]["callbacks"] > 0
    assert "cannot justify a promotion" in trial.stderr
    assert sequence.json("eval", "list") == []
    sequence("backtest", "BTC-USD", *DAYS, "--skip-build", "--report", "r.html", exit_code=2)
