"""From a bundle, datasets and parent orders to a recorded evaluation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bundles.catalog import Catalog, ref_key
from bundles.compile import compile_assignment, compile_sor
from bundles.errors import IntegrityError, InvalidInputError, MalformedDocumentError
from bundles.runners import Runner
from bundles.store import open_store
from evals.evaluation import attest_evaluation, verify_evaluation
from evals.market.datasets import build_dataset
from evals.market.tape import write_tape
from evals.parents.parquet import write_parents
from evals.routing.evaluating import evaluate_routing
from evals.routing.figures import COSTS, SAVINGS
from evals.routing.settings import FaultPlan, RoutingSettings
from tests.evals.routing.desk import NO_IMPACT, model_of
from tests.evals.routing.test_replay import CHRISS, market, orders_for
from tests.evals.routing.test_replay import COSTS as COEFFICIENTS

NOW_NS = 1_700_000_000_000_000_000
VENUES = ("v0", "v1")


@pytest.fixture(scope="module")
def tapes() -> Any:
    return market(21, venues=2, duration_s=60)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory, tapes: Any) -> Path:
    root = tmp_path_factory.mktemp("data")
    for tape in tapes:
        write_tape(root, tape)
    return root


@pytest.fixture(scope="module")
def parents(tapes: Any) -> bytes:
    return write_parents(orders_for(tapes, 5, 300, largest=1_000), importer="test")


@pytest.fixture
def given(tmp_path: Path, data_root: Path, parents: bytes) -> dict[str, Any]:
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    model = model_of(*VENUES, version="V2", costs=dict.fromkeys(VENUES, COEFFICIENTS))
    catalog.register_artifact("art_routing", {"routing-model.json": model.canonical()})
    catalog.register_artifact("art_impact", {"impact-model.json": CHRISS.canonical()})
    manifest = compile_sor(routing_model="art_routing", impact_model="art_impact", slicing_policy="twap")
    return {
        "catalog": catalog,
        "bundle": catalog.register_bundle(manifest, author="quant", now_ns=NOW_NS),
        "dataset": [catalog.register_dataset(build_dataset(data_root, venue, "BTC-USD")) for venue in VENUES],
        "parents": parents,
        "data_root": data_root,
        "runner": Runner("ci"),
        "now_ns": NOW_NS + 1,
    }


@pytest.mark.parametrize("kind", ["replay", "sandbox"])
def test_is_recorded_verified_and_attested(given: dict[str, Any], kind: Any, data_root: Path) -> None:
    catalog = given["catalog"]
    evaluation = evaluate_routing(kind=kind, **given)
    assert evaluation.status == "completed"
    assert evaluate_routing(kind=kind, **given) == evaluation
    same, then, now = verify_evaluation(catalog, evaluation.eval_id, data_root)
    assert same
    assert then == now == evaluation.result_digest
    assert attest_evaluation(catalog, evaluation.eval_id, data_root, runner=Runner("other"), now_ns=NOW_NS + 9)[0]
    metrics: dict[str, Any] = dict(evaluation.metrics)
    assert metrics["parents"] == 300
    assert metrics["risk_breaches"] == 0
    assert 0.5 < metrics["fill_ratio"] <= 1
    assert metrics["savings_vs_oracle_bps"] <= 0
    assert metrics["savings_vs_oracle_bps_p99"] <= 0
    for name in (*COSTS, *SAVINGS):
        assert metrics[f"{name}_lower95"] <= metrics[name] <= metrics[f"{name}_upper95"]
    assert (metrics["rejects"] > 0) == (kind == "sandbox")
    table = pq.read_table(io.BytesIO(catalog.blob(evaluation.outputs["parents"].digest))).to_pydict()
    assert table["parent_id"][:2] == ["p0", "p1"]
    notional = sum(table["notional_1e9"])
    assert metrics["implementation_shortfall_bps"] == sum(table["shortfall_1e9"]) / notional * 1e4
    saved = np.array(table["best_venue_1e9"]) - np.array(table["shortfall_1e9"])
    assert metrics["savings_vs_best_venue_bps"] == sum(saved.tolist()) / notional * 1e4
    children = pq.read_table(io.BytesIO(catalog.blob(evaluation.outputs["children"].digest)))
    filled = sum(int(row["px_1e9"]) * int(row["qty_1e8"]) for row in children.to_pylist())
    assert metrics["volume_notional_1e9"] == filled // 10**8
    assert evaluation.coverage.events == evaluation.metrics["tape_rows"]
    assert evaluation.coverage.packets == evaluation.metrics["tape_packets"]


def test_costs_add_up_in_basis_points_too(given: dict[str, Any]) -> None:
    metrics: dict[str, Any] = dict(evaluate_routing(kind="sandbox", **given).metrics)
    parts = [metrics[name] for name in COSTS if name != "implementation_shortfall_bps"]
    assert sum(parts) == pytest.approx(metrics["implementation_shortfall_bps"], abs=1e-9)


def test_another_plan_is_another_evaluation_and_another_look(given: dict[str, Any]) -> None:
    usual = evaluate_routing(kind="sandbox", **given)
    rough = evaluate_routing(kind="sandbox", faults=FaultPlan(reject_ppm=500_000), **given)
    assert usual.eval_id != rough.eval_id
    assert usual.result_digest != rough.result_digest
    assert (usual.metrics["look"], rough.metrics["look"]) == (1, 2)
    split = RoutingSettings(control_version="V1", control_ppm=300_000)
    metrics = evaluate_routing(kind="replay", settings=split, **given).metrics
    assert metrics["parents_v1"] + metrics["parents_v2"] == 300  # type: ignore[operator]


def test_one_venue_is_its_own_best(given: dict[str, Any]) -> None:
    catalog = given["catalog"]
    catalog.register_artifact("art_one", {"routing-model.json": model_of("v0").canonical()})
    catalog.register_artifact("art_none", {"impact-model.json": NO_IMPACT.canonical()})
    manifest = compile_sor(routing_model="art_one", impact_model="art_none", slicing_policy="immediate")
    bundle = catalog.register_bundle(manifest, author="quant", now_ns=NOW_NS)
    alone = given | {"bundle": bundle, "dataset": given["dataset"][0]}
    for kind in ("replay", "sandbox"):
        metrics = evaluate_routing(kind=kind, **alone).metrics  # type: ignore[arg-type]
        assert metrics["savings_vs_best_venue_bps"] == 0


def test_a_model_that_another_took_the_name_of_is_missed(
    given: dict[str, Any], data_root: Path, tmp_path: Path
) -> None:
    catalog = given["catalog"]
    evaluation = evaluate_routing(kind="replay", **given)
    artifact = catalog.bundle(given["bundle"]).routing_model
    settings = evaluation.inputs.settings
    assert settings["routing_model"] == catalog.artifact(artifact).files["routing-model.json"].digest
    assert settings["routing_model"] in evaluation.inputs.blobs
    # Somebody with write access takes the reference away, and registers other coefficients under the name.
    (tmp_path / "store" / ref_key("artifacts", artifact)).unlink()
    catalog.register_artifact(artifact, {"routing-model.json": model_of(*VENUES).canonical()})
    with pytest.raises(IntegrityError, match="was made with the routing model"):
        verify_evaluation(catalog, evaluation.eval_id, data_root)
    assert evaluate_routing(kind="replay", **given).eval_id != evaluation.eval_id


def test_is_refused_before_anything_is_kept(given: dict[str, Any]) -> None:
    catalog = given["catalog"]

    def refused(match: str, error: type[Exception] = InvalidInputError, **changed: Any) -> None:
        with pytest.raises(error, match=match):
            evaluate_routing(**{"kind": "replay"} | given | changed)

    refused("A replay injects no faults", faults=FaultPlan())
    refused("knows venue v1, of which there is no tape", dataset=given["dataset"][:1])
    refused("two datasets", dataset=[given["dataset"][0]] * 2)
    refused("no tapes to route over", dataset=[])
    late = orders_for(market(21, venues=2, duration_s=60), 5, 3)
    late.rows["arrival_ns"] += 3600 * 10**9
    refused("3 of 3 parent orders .* p0", parents=write_parents(late, importer="test"))
    broken = b'{"version": "V2", "max_book_age_ns": "1", "venues": [{"venue": "v0", "latency_ns": NaN}]}'
    catalog.register_artifact("art_broken", {"routing-model.json": broken})
    manifest = compile_sor(routing_model="art_broken", impact_model="art_impact")
    bundle = catalog.register_bundle(manifest, author="quant", now_ns=NOW_NS)
    refused("routing-model.json of artifact art_broken contains NaN", MalformedDocumentError, bundle=bundle)
    by_curve = compile_sor(routing_model="art_routing", impact_model="art_impact")
    refused("vwap learns", bundle=catalog.register_bundle(by_curve, author="quant", now_ns=NOW_NS))
    other = catalog.register_bundle(compile_assignment(artifact="art_routing"), author="quant", now_ns=NOW_NS)
    refused("of kind assignment", bundle=other)
    assert catalog.evaluations() == []
