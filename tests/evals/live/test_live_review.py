"""A deployment against its twin: what is the same, what is worse, what cannot be told."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bundles.errors import IntegrityError, InvalidInputError, NotFoundError
from bundles.evidence import Evaluation
from bundles.policy import CoverageRule, Rule, StageRule, default_policy
from bundles.gates import evaluate_gate
from bundles.runners import Runner
from evals.engine.settings import ReplaySettings
from evals.evaluation import attest_evaluation, verify_evaluation
from evals.live_review import evaluate_live_review
from evals.recordings import schema
from evals.recordings.window import WindowTape
from evals.replay import run_replay
from tests.evals.live.conftest import CAPITAL_1E9, CONFIG, NOW_NS, RISK, SETTINGS, Deployed, columns_of, write

EXACT = (
    "net_pnl_1e9",
    "fees_1e9",
    "fills",
    "maker_fills",
    "volume_notional_1e9",
    "max_drawdown_1e9",
    "max_drawdown_pct",
    "sharpe",
    "markout_100ms_bps",
    "markout_1s_bps",
    "markout_10s_bps",
    "order_to_trade",
    "risk_breaches",
    "max_abs_position_1e8",
)


def reviewed(deployed: Deployed, folder: Path, **changed: Any) -> Evaluation:
    arguments: dict[str, Any] = {
        "bundle": deployed.bundle,
        "recording": folder,
        "dataset": deployed.dataset,
        "data_root": deployed.data_root,
        "runner": Runner("ci"),
        "now_ns": NOW_NS,
    }
    return evaluate_live_review(deployed.catalog, **arguments | changed)


def output(deployed: Deployed, evaluation: Evaluation, name: str) -> Any:
    return pq.read_table(io.BytesIO(deployed.catalog.blob(evaluation.outputs[name].digest)))


def test_a_twin_that_is_recorded_is_its_own_twin(
    deployed: Deployed, streams: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    found = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest))
    metrics = found.metrics
    for name in ("pnl_drift_1e9", "pnl_drift_bps", "pnl_drift_bps_lower95", "pnl_drift_bps_upper95", "comparison"):
        assert metrics[name] == 0, name
    assert metrics["fill_match"] == 1
    assert metrics["slippage_bps"] == metrics["markout_drift_1s_bps"] == 0
    assert metrics["unmatched_fills"] == metrics["unmatched_twin_fills"] == metrics["recording_gaps"] == 0
    for name in EXACT:
        assert metrics[name] == deployed.twin.metrics[name] == metrics[f"twin_{name}"], name
    equity = output(deployed, found, "equity").to_pandas()
    twin = output(deployed, found, "twin_equity").to_pandas()
    for column in ("exchange_ns", "cash_1e9", "position_1e8", "mid_1e9", "equity_1e9", "fees_1e9"):
        assert (equity[column] == twin[column]).all(), column
    assert found.status == "completed"
    print(metrics)
