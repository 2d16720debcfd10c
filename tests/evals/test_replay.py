"""Determinism and the way from a bundle and a dataset to a recorded evaluation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundles.catalog import Catalog
from bundles.compile import compile_edge
from bundles.errors import InvalidInputError, RefusedError
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.runners import Runner
from bundles.store import open_store
from evals.evaluation import attest_evaluation, verify_evaluation
from evals.market.datasets import build_dataset
from evals.market.synthetic import synthetic_tape
from evals.market.tape import read_tape, write_tape
from evals.replay import ReplaySettings, engine_fingerprint, evaluate_replay, run_replay
from evals.wasm import inspect_module

CONFIG = MmConfig(quote_size_1e8=10_000_000, min_spread_bps=1, max_position_1e8=10**9)
RISK = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)
NOW_NS = 1_700_000_000_000_000_000

AGAIN = """
import sys
from pathlib import Path
from evals.market.tape import read_tape
from evals.replay import run_replay
from bundles.mm_types import MmConfig, MmRiskLimits
wasm, *tape = map(Path, sys.argv[1:])
config = MmConfig(quote_size_1e8=10_000_000, min_spread_bps=1, max_position_1e8=10**9)
risk = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)
print(run_replay(wasm.read_bytes(), read_tape(tape), config=config, risk=risk).result_digest)
"""


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_tape(root, synthetic_tape(7))
    return root


@pytest.fixture
def files(data_root: Path) -> list[Path]:
    return sorted(data_root.rglob("*.parquet"))


@pytest.fixture
def registered(tmp_path: Path, data_root: Path, compiled_algo: Callable[[str], bytes]) -> tuple[Catalog, str, str]:
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    catalog.register_artifact("art_research", {"notes.md": b"why"})
    wasm = compiled_algo("maker")
    manifest = compile_edge(
        wasm, sdk_abi=inspect_module(wasm).abi, artifact="art_research", risk_limits=RISK, config=CONFIG
    )
    bundle = catalog.register_bundle(manifest, author="quant", blobs=[wasm], now_ns=NOW_NS)
    info = synthetic_tape(7).info.instrument
    dataset = catalog.register_dataset(build_dataset(data_root, info.venue, info.symbol))
    return catalog, bundle, dataset


def test_the_same_inputs_give_the_same_digest_anywhere(
    tmp_path: Path, files: list[Path], compiled_algo: Callable[[str], bytes]
) -> None:
    wasm = compiled_algo("maker")
    tape = read_tape(files)
    first = run_replay(wasm, tape, config=CONFIG, risk=RISK)
    again = run_replay(wasm, tape, config=CONFIG, risk=RISK)
    assert first.metrics["fills"], "a run that does nothing proves nothing"
    assert again.result_digest == first.result_digest
    (tmp_path / "maker.wasm").write_bytes(wasm)
    for seed in ("0", "4711"):
        other = subprocess.run(
            [sys.executable, "-c", AGAIN, str(tmp_path / "maker.wasm"), *map(str, files)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout.strip() == first.result_digest


def test_a_slice_of_the_loop_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, files: list[Path], compiled_algo: Callable[[str], bytes]
) -> None:
    tape = read_tape(files)
    whole = run_replay(compiled_algo("maker"), tape, config=CONFIG, risk=RISK)
    monkeypatch.setattr("evals.engine.simulation.STEPS_PER_SLICE", 17)
    monkeypatch.setattr("evals.replay._TELL_EVERY_S", 0.0)
    seen: list[str] = []
    sliced = run_replay(compiled_algo("maker"), tape, config=CONFIG, risk=RISK, progress=seen.append)
    assert sliced.result_digest == whole.result_digest
    assert seen


@pytest.mark.parametrize(
    "changed", [{"place_entry_ns": 5_000_000}, {"place_response_ns": 7_000_000}, {"equity_interval_ns": 500_000_000}]
)
def test_settings_are_part_of_the_result(
    files: list[Path], compiled_algo: Callable[[str], bytes], changed: dict[str, Any]
) -> None:
    wasm, tape = compiled_algo("maker"), read_tape(files)
    digests = {
        run_replay(wasm, tape, config=CONFIG, risk=RISK, settings=ReplaySettings(**s)).result_digest
        for s in ({}, changed)
    }
    assert len(digests) == 2


def test_profit_is_spread_and_inventory_less_fees(files: list[Path], compiled_algo: Callable[[str], bytes]) -> None:
    metrics = run_replay(compiled_algo("maker"), read_tape(files), config=CONFIG, risk=RISK).metrics
    net, fees = metrics["net_pnl_1e9"], metrics["fees_1e9"]
    spread, inventory = metrics["spread_pnl_1e9"], metrics["inventory_pnl_1e9"]
    assert isinstance(net, int)
    assert isinstance(fees, int)
    assert isinstance(spread, int)
    assert isinstance(inventory, int)
    assert net == spread + inventory - fees


def test_an_evaluation_is_recorded_once_and_verified(registered: tuple[Catalog, str, str], data_root: Path) -> None:
    catalog, bundle, dataset = registered
    arguments: dict[str, Any] = {"bundle": bundle, "dataset": dataset, "data_root": data_root, "runner": Runner("ci")}
    said: list[str] = []
    first = evaluate_replay(catalog, **arguments, now_ns=NOW_NS + 1, progress=said.append)
    assert first.status == "completed"
    assert first.inputs.engine == engine_fingerprint()
    assert said
    said.clear()
    assert evaluate_replay(catalog, **arguments, now_ns=NOW_NS + 2, progress=said.append) == first
    assert not said, "the record is returned, nothing runs"
    assert evaluate_replay(catalog, **arguments, now_ns=NOW_NS + 3, force=True) == first
    assert len([e for e in catalog.evaluations(bundle) if e.eval_id == first.eval_id]) >= 1
    same = (True, first.result_digest, first.result_digest)
    assert verify_evaluation(catalog, first.eval_id, data_root) == same
    for _ in range(2):
        assert attest_evaluation(catalog, first.eval_id, data_root, runner=Runner("other"), now_ns=NOW_NS + 4) == same
    assert [each.runner for each in catalog.ledger.state(bundle).attested] == ["other"]
    for name in ("fills", "orders", "equity"):
        assert catalog.blob(first.outputs[name].digest)[:4] == b"PAR1"


def test_another_seed_is_another_evaluation(registered: tuple[Catalog, str, str], data_root: Path) -> None:
    catalog, bundle, dataset = registered
    ids = {
        evaluate_replay(
            catalog, bundle=bundle, dataset=dataset, data_root=data_root, seed=seed, runner=Runner("ci"), now_ns=NOW_NS
        ).eval_id
        for seed in (1, 2)
    }
    assert len(ids) == 2


def test_a_bundle_without_an_algo_is_refused(registered: tuple[Catalog, str, str], data_root: Path) -> None:
    from bundles.manifests import AssignmentBundle

    catalog, _, dataset = registered
    other = catalog.register_bundle(AssignmentBundle(artifact="art_research"), author="quant", now_ns=NOW_NS)
    with pytest.raises((InvalidInputError, RefusedError), match="only edge bundles"):
        evaluate_replay(catalog, bundle=other, dataset=dataset, data_root=data_root, runner=Runner("ci"), now_ns=NOW_NS)
