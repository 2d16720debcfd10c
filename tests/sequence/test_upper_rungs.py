"""`sequence eval shadow|replay|sandbox` on a small synthetic market of three venues, as people type it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sequence.demo.bundles import ASSIGNMENT_MODEL, IMPACT_MODEL, ROUTING_MODEL
from tests.sequence.conftest import Command

VENUES = "alpha,beta,gamma"


@pytest.fixture
def datasets(sequence: Command) -> list[str]:
    made = sequence.json("data", "synthesize", "--venues", VENUES, "--duration", "120")
    return [each["dataset"] for each in made]


@pytest.fixture
def parents(sequence: Command, datasets: list[str]) -> Path:
    path = sequence.folder / "orders.parquet"
    sequence("data", "parents", "generate", datasets[0], "--count", "40", "--horizon-ms", "20000", "--out", path)
    return path


def artifact_of(sequence: Command, name: str, file: str, model: dict[str, Any]) -> str:
    path = sequence.folder / file
    path.write_text(json.dumps(model))
    sequence("artifact", "register", name, path)
    return name


@pytest.fixture
def routing(sequence: Command) -> str:
    artifact_of(sequence, "art_demo_routing", "routing-model.json", ROUTING_MODEL)
    artifact_of(sequence, "art_demo_impact", "impact-model.json", IMPACT_MODEL)
    return str(sequence.json("bundle", "compile-sor", *_MODELS, "--slicing-policy", "twap")["bundle_id"])


_MODELS = ("--routing-model", "art_demo_routing", "--impact-model", "art_demo_impact")


@pytest.fixture
def assignment(sequence: Command, routing: str) -> str:
    artifact_of(sequence, "art_demo_assignment", "assignment-model.json", ASSIGNMENT_MODEL)
    compiled = sequence.json(
        "bundle", "compile-assignment", "--artifact", "art_demo_assignment", "--sor-threshold", str(20 * 10**12)
    )
    return str(compiled["bundle_id"])


def given(datasets: list[str], parents: Path) -> list[str | Path]:
    return [*(part for each in datasets for part in ("--dataset", each)), "--parents", parents]


def test_an_algo_in_shadow_against_nobody(sequence: Command, bundle: str, datasets: list[str]) -> None:
    shown = sequence("eval", "shadow", "--bundle", bundle, "--dataset", datasets[0], "--incumbent", "flat")
    assert "Verdict: fails shadow" in shown.stdout, "an algo that does nothing is no better than nobody"
    found = sequence.json("eval", "shadow", "--bundle", bundle, "--dataset", datasets[0], "--incumbent", "flat")
    assert found["kind"] == "shadow"
    assert found["metrics"]["pnl_diff_1e9"] == "0"
    assert found["eval_id"] in shown.stdout
    again = sequence.json("eval", "verify", found["eval_id"])
    assert again["same"]


def test_following_needs_an_end_and_a_feed(sequence: Command, bundle: str, datasets: list[str]) -> None:
    wrong = sequence("eval", "shadow", "--bundle", bundle, "--follow", "alpha/BTC-USD", exit_code=2)
    assert "--until" in wrong.stderr
    wrong = sequence(
        "eval", "shadow", "--bundle", bundle, "--follow", "alpha", "--until", "2026-01-01T00:00", exit_code=2
    )
    assert "write the venue, a slash and the symbol" in wrong.stderr


@pytest.mark.parametrize("kind", ["replay", "sandbox"])
def test_policies_execute_orders_and_are_compared(
    sequence: Command, routing: str, assignment: str, datasets: list[str], parents: Path, kind: str
) -> None:
    orders = given(datasets, parents)
    report = sequence.folder / "report.html"
    routed = sequence.json("eval", kind, "--bundle", routing, *orders, "--report", report)
    assert routed["kind"] == kind
    assert routed["metrics"]["parents"] == 40
    assert routed["metrics"]["savings_vs_oracle_bps"] <= 0
    assert "Implementation shortfall" in report.read_text(encoding="utf-8")
    assigned = sequence.json("eval", kind, "--bundle", assignment, *orders)
    assert assigned["metrics"]["regret_bps"] >= 0
    assert assigned["metrics"]["sent_to_edge"] + assigned["metrics"]["sent_to_sor"] == 40
    for found in (routed, assigned):
        assert sequence.json("eval", "verify", found["eval_id"])["same"]
    for line in sequence("eval", kind, "--bundle", routing, *orders).stdout.splitlines():
        assert len(line) <= 80 or line.startswith("Result digest"), line
    other = sequence.json("eval", kind, "--bundle", routing, *orders, "--seed", "7")
    assert sequence("eval", "compare", routed["eval_id"], other["eval_id"]).stdout


def test_algos_are_not_given_orders(sequence: Command, bundle: str, datasets: list[str], parents: Path) -> None:
    refused = sequence("eval", "sandbox", "--bundle", bundle, *given(datasets, parents), exit_code=5)
    assert "parent orders are executed by policies" in " ".join(refused.stderr.split())


def test_settings_and_faults_are_read_from_yaml(
    sequence: Command, routing: str, datasets: list[str], parents: Path
) -> None:
    settings, faults = sequence.folder / "settings.yaml", sequence.folder / "faults.yaml"
    settings.write_text("slices: 3\n")
    faults.write_text("reject_ppm: 1000000\n")
    orders = given(datasets, parents)
    found = sequence.json("eval", "sandbox", "--bundle", routing, *orders, "--settings", settings, "--faults", faults)
    assert found["metrics"]["rejects"] > 0
    assert found["metrics"]["fill_ratio"] == 0
    faults.write_text("reject: 1\n")
    refused = sequence("eval", "sandbox", "--bundle", routing, *orders, "--faults", faults, exit_code=5)
    assert "faults.yaml" in refused.stderr
    assert "reject" in refused.stderr


def test_a_model_that_does_not_fit_is_refused_when_it_is_compiled(sequence: Command) -> None:
    artifact_of(sequence, "art_demo_impact", "impact-model.json", IMPACT_MODEL)
    venue = {name: value for name, value in ROUTING_MODEL["venues"][0].items() if name != "freshness_ppm_per_s"}
    artifact_of(sequence, "art_demo_routing", "routing-model.json", ROUTING_MODEL | {"venues": [venue]})
    refused = sequence("bundle", "compile-sor", *_MODELS, exit_code=5)
    told = " ".join(refused.stderr.split())
    assert "routing-model.json of artifact art_demo_routing" in told
    assert "venues.0.freshness_ppm_per_s" in told


def test_a_bundle_without_models_is_registered_with_a_warning(sequence: Command, artifact: str) -> None:
    done = sequence("bundle", "compile-sor", "--routing-model", artifact, "--impact-model", artifact)
    assert "Bundle ID: bun_" in done.stdout
    assert "never evaluated" in " ".join(done.stderr.split())


def test_thresholds_out_of_order_are_refused(sequence: Command, artifact: str) -> None:
    wrong = ("--edge-threshold", "2000", "--sor-threshold", "1000")
    refused = sequence("bundle", "compile-assignment", "--artifact", artifact, *wrong, exit_code=5)
    assert "edge threshold 2000 lies above the SOR threshold 1000" in " ".join(refused.stderr.split())
