"""From a bundle, an incumbent and a dataset to a recorded evaluation, and back to the same digest."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bundles.catalog import Catalog
from bundles.entries import Quarantined
from bundles.errors import InvalidInputError, NotFoundError, RefusedError
from bundles.evidence import Evaluation
from bundles.manifests import AssignmentBundle
from bundles.runners import Runner
from evals.errors import TapeError
from evals.evaluation import attest_evaluation, verify_evaluation
from evals.replay import evaluate_replay
from evals.shadow import ShadowSettings, evaluate_shadow
from tests.evals.shadow.conftest import NOW_NS

Register = Callable[..., str]
Evaluate = Callable[..., Evaluation]


@pytest.fixture
def evaluate(catalog: Catalog, dataset: str, data_root: Path) -> Evaluate:
    def run(bundle: str, incumbent: str | None = None, *, at: int = 1, **given: Any) -> Evaluation:
        arguments: dict[str, Any] = {"dataset": dataset, "data_root": data_root, "runner": Runner("ci")}
        return evaluate_shadow(catalog, bundle=bundle, incumbent=incumbent, now_ns=NOW_NS + at, **arguments | given)

    return run


def test_a_candidate_that_is_the_incumbent_again_differs_in_nothing(register: Register, evaluate: Evaluate) -> None:
    found = evaluate(register(risk="v2"), register())
    metrics = found.metrics
    assert found.status == "completed"
    assert metrics["fills"], "a run that does nothing proves nothing"
    assert metrics["pnl_diff_1e9"] == metrics["pnl_diff_bps"] == metrics["comparison"] == 0
    assert {metrics[f"pnl_diff_bps_{end}{percent}"] for end in ("lower", "upper") for percent in (90, 95, 99)} == {0}
    assert metrics["action_agreement"] == metrics["inventory_overlap"] == 1
    assert metrics["incumbent_net_pnl_1e9"] == metrics["net_pnl_1e9"]


def test_two_that_differ_are_told_apart_by_every_figure(
    catalog: Catalog, register: Register, evaluate: Evaluate
) -> None:
    found = evaluate(register(min_spread_bps=2), register())
    metrics = found.metrics
    net, other = metrics["net_pnl_1e9"], metrics["incumbent_net_pnl_1e9"]
    assert isinstance(net, int)
    assert isinstance(other, int)
    assert metrics["pnl_diff_1e9"] == net - other != 0
    for name in ("action_agreement", "inventory_overlap"):
        share = metrics[name]
        assert share is not None
        assert 0 < share < 1
    rows = pq.read_table(io.BytesIO(catalog.blob(found.outputs["differences"].digest)))
    sums = [int(np.sum(rows[name].to_numpy())) for name in ("candidate_1e9", "incumbent_1e9")]
    assert sums == [net, other]
    assert rows.num_rows == metrics["compared_intervals"] == 300
    assert set(found.outputs) == {
        *("fills", "orders", "equity", "differences"),
        *("incumbent_fills", "incumbent_orders", "incumbent_equity"),
    }


def test_both_runs_are_replays(
    catalog: Catalog, register: Register, evaluate: Evaluate, dataset: str, data_root: Path
) -> None:
    """Whoever replays either bundle with the same settings gets the same files and figures."""
    candidate, incumbent = register(min_spread_bps=2), register()
    found = evaluate(candidate, incumbent)
    for bundle, prefix in ((candidate, ""), (incumbent, "incumbent_")):
        alone = evaluate_replay(
            catalog,
            bundle=bundle,
            dataset=dataset,
            data_root=data_root,
            settings=ShadowSettings(),
            runner=Runner("ci"),
            now_ns=NOW_NS,
        )
        assert {name: found.outputs[prefix + name] for name in alone.outputs} == alone.outputs
        told = [name for name in alone.metrics if prefix + name in found.metrics]
        assert len(told) >= 8
        assert {name: found.metrics[prefix + name] for name in told} == {name: alone.metrics[name] for name in told}


def test_without_an_incumbent_it_is_measured_against_doing_nothing(register: Register, evaluate: Evaluate) -> None:
    found = evaluate(register())
    metrics = found.metrics
    assert found.inputs.settings["incumbent"] == "flat"
    assert metrics["pnl_diff_1e9"] == metrics["net_pnl_1e9"] != 0
    assert metrics["incumbent_net_pnl_1e9"] == metrics["incumbent_fills"] == 0
    assert metrics["action_agreement"] == metrics["inventory_overlap"] == 0
    assert set(found.outputs) == {"fills", "orders", "equity", "differences"}
    assert metrics["tape_rows"] == found.validation["rows"]


def test_it_is_recorded_once_verified_and_attested(
    catalog: Catalog, register: Register, evaluate: Evaluate, data_root: Path
) -> None:
    candidate, incumbent = register(min_spread_bps=2), register()
    said: list[str] = []
    first = evaluate(candidate, incumbent, progress=said.append)
    assert said
    assert first.inputs.blobs == (catalog.bundle(incumbent).digest(),)
    said.clear()
    assert evaluate(candidate, incumbent, at=2, progress=said.append) == first
    assert not said, "the record is returned, nothing runs"
    other = evaluate(candidate, "flat", at=3)
    assert other.metrics["look"] == 2, "another incumbent is another look"
    assert evaluate(candidate, incumbent, at=4, force=True) == first, "also when the store holds more by now"
    same = (True, first.result_digest, first.result_digest)
    assert verify_evaluation(catalog, first.eval_id, data_root) == same
    assert attest_evaluation(catalog, first.eval_id, data_root, runner=Runner("other"), now_ns=NOW_NS + 5) == same


def test_other_seeds_and_settings_give_other_results(register: Register, evaluate: Evaluate) -> None:
    candidate, incumbent = register(min_spread_bps=2), register()
    digests = {
        evaluate(candidate, incumbent, **given).result_digest
        for given in ({}, {"seed": 43}, {"settings": ShadowSettings(latency_model="constant")})
    }
    assert len(digests) == 3


def test_recorded_latencies_are_taken(catalog: Catalog, register: Register, evaluate: Evaluate) -> None:
    trace = catalog.put_blob(b"at_ns,entry_ns,response_ns\n0,3000000,3000000\n").digest
    settings = {
        "recorded": ShadowSettings(latency_model="recorded", latency_trace=trace),
        "constant": ShadowSettings(
            latency_model="constant",
            **dict.fromkeys(
                [f"{action}_{way}_ns" for action in ("place", "cancel", "amend") for way in ("entry", "response")],
                3_000_000,
            ),
        ),
    }
    candidate, incumbent = register(min_spread_bps=2), register()
    found = {name: evaluate(candidate, incumbent, settings=each) for name, each in settings.items()}
    assert found["recorded"].result_digest == found["constant"].result_digest
    assert set(found["recorded"].inputs.blobs) == {trace, catalog.bundle(incumbent).digest()}


def test_the_band_is_that_of_the_candidate(register: Register, evaluate: Evaluate) -> None:
    metrics = evaluate(register(), settings=ShadowSettings(queue_band=True)).metrics
    assert metrics["band_models"] == 7
    low, high = metrics["band_net_pnl_1e9_low"], metrics["band_net_pnl_1e9_high"]
    assert isinstance(low, int)
    assert isinstance(high, int)
    net = metrics["net_pnl_1e9"]
    assert isinstance(net, int)
    assert low <= net <= high


def test_a_candidate_that_breaks_fails(
    catalog: Catalog, register: Register, evaluate: Evaluate, wat: Callable[..., bytes]
) -> None:
    broken = register(wat("unreachable"))
    found = evaluate(broken, register())
    assert found.status == "failed"
    assert "unreachable" in found.status_detail
    assert found.metrics["traps"] == 1
    assert found.metrics.get("comparison") is None
    assert evaluate(broken, register(), force=True, at=2) == found


def test_an_incumbent_that_breaks_says_nothing_of_the_candidate(
    catalog: Catalog, register: Register, evaluate: Evaluate, wat: Callable[..., bytes]
) -> None:
    candidate, broken = register(), register(wat("unreachable"))
    found = evaluate(candidate, broken)
    assert found.status == "interrupted"
    assert broken in found.status_detail
    assert found.metrics["traps"] == 0
    assert not catalog.evaluations(candidate), "it counts for nothing"


def test_bad_input_is_refused_by_name_before_anything_runs(
    catalog: Catalog, register: Register, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate, other = register(), register(risk="v2")
    policy = catalog.register_bundle(AssignmentBundle(artifact="art_research"), author="quant", now_ns=NOW_NS)
    catalog.ledger.append(other, actor="op", at_ns=NOW_NS, draft=lambda _: (None, Quarantined(notes="it misbehaved")))

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it ran")

    monkeypatch.setattr("evals.shadowing.beside.run_beside", never)
    with pytest.raises(InvalidInputError, match=f"{policy} is a bundle of kind assignment"):
        evaluate(policy, candidate)
    with pytest.raises(InvalidInputError, match=f"incumbent {policy} is a bundle of kind assignment"):
        evaluate(candidate, policy)
    with pytest.raises(NotFoundError, match="bun_0123456789abcdef"):
        evaluate(candidate, "bun_0123456789abcdef")
    with pytest.raises(RefusedError, match=f"incumbent {other} is in quarantine"):
        evaluate(candidate, other)
    with pytest.raises(InvalidInputError, match="No dataset is named"):
        evaluate(candidate, dataset=[])
    with pytest.raises(InvalidInputError, match="no trace of latencies"):
        evaluate(candidate, settings=ShadowSettings(latency_model="recorded"))
    nonsense = catalog.put_blob(b"when,how long\n").digest
    with pytest.raises(InvalidInputError, match=f"{nonsense} has the columns"):
        evaluate(candidate, settings=ShadowSettings(latency_model="recorded", latency_trace=nonsense))


def test_tapes_that_do_not_go_together_are_refused_before_anything_runs(
    register: Register, evaluate: Evaluate, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.shadowing.beside.run_beside", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises((InvalidInputError, TapeError), match="cannot tell apart"):
        evaluate(register(), dataset=[dataset, dataset])
