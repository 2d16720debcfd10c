"""Recordings made of replays: what a deployment would leave behind if it did exactly what its twin does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.catalog import Catalog
from bundles.compile import compile_edge
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.store import open_store
from evals.engine.layout import TAKER
from evals.engine.settings import ReplaySettings
from evals.market.datasets import build_dataset
from evals.market.source import TapeSource
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape, write_tape
from evals.recordings import schema
from evals.recordings.writing import Recorder
from evals.replay import ReplayResult, run_replay
from evals.wasm import inspect_module

CONFIG = MmConfig(quote_size_1e8=10_000_000, min_spread_bps=1, max_position_1e8=10**9)
RISK = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)
NOW_NS = 1_700_000_000_000_000_000
CAPITAL_1E9 = 100_000 * 10**9
SETTINGS = ReplaySettings(queue_band=False)
DURATION_S = 120


@dataclass(frozen=True, eq=False)
class Deployed:
    """A registered bundle, its market, and the replay that recordings are made of."""

    catalog: Catalog
    bundle: str
    dataset: str
    data_root: Path
    tape: Tape
    wasm: bytes
    twin: ReplayResult

    @property
    def digest(self) -> str:
        return self.catalog.bundle(self.bundle).digest()


def columns_of(result: ReplayResult, tape: TapeSource) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Return the streams of a recording that shows what a replay did, heartbeats included, without ``seq``."""
    sent = result.orders
    fills = result.fills
    received = np.concatenate([chunk.receive_ns for chunk in tape.chunks()])
    first, last = int(received[0]), int(received[-1])
    beats = np.arange(first + 10**9, last, 10**9)
    return {
        "actions": {"at_ns": sent["decided_ns"]}
        | {name: sent[name] for name in ("order_id", "kind", "side", "order_type", "px_1e9", "qty_1e8", "reject_code")},
        "fills": {"at_ns": fills["exchange_ns"], "is_maker": (fills["reason"] != TAKER).astype(np.int8)}
        | {name: fills[name] for name in ("order_id", "px_1e9", "qty_1e8", "side", "fee_1e9")},
        "events": {
            "at_ns": np.concatenate([[first], beats, [last]]),
            "kind": np.array([schema.START, *[schema.HEARTBEAT] * len(beats), schema.STOP], np.int8),
            "value": np.zeros(len(beats) + 2, np.int64),
            "detail": np.array([""] * (len(beats) + 2), object),
        },
    }


def write(folder: Path, streams: Mapping[str, Mapping[str, Any]], bundle: str, **header: Any) -> Path:
    """Write a recording; ``header`` overrides what it says of the deployment."""
    facts: dict[str, Any] = {
        "deployment": "dep_test",
        "bundle": bundle,
        "symbol": "BTC-USD",
        "venue": "synthetic",
        "capital_1e9": CAPITAL_1E9,
        "start_position_1e8": 0,
        "start_cash_1e9": 0,
    }
    recorder = Recorder.edge(folder, **facts | header)
    for name, columns in streams.items():
        recorder.extend(name, columns)  # type: ignore[arg-type]
    recorder.close()
    return folder


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, compiled_algo: Callable[[str], bytes]) -> Deployed:
    """Return a bundle of the maker, deployed on a synthetic market."""
    root = tmp_path_factory.mktemp("live")
    tape = synthetic_tape(7, duration_s=DURATION_S)
    write_tape(root / "data", tape)
    catalog = Catalog(open_store((root / "store").as_uri()))
    catalog.register_artifact("art_research", {"notes.md": b"why"})
    wasm = compiled_algo("maker")
    manifest = compile_edge(
        wasm, sdk_abi=inspect_module(wasm).abi, artifact="art_research", risk_limits=RISK, config=CONFIG
    )
    bundle = catalog.register_bundle(manifest, author="quant", blobs=[wasm], now_ns=NOW_NS)
    dataset = catalog.register_dataset(build_dataset(root / "data", "synthetic", "BTC-USD"))
    twin = run_replay(wasm, tape, config=CONFIG, risk=RISK, settings=SETTINGS)
    assert twin.metrics["fills"], "a deployment that does nothing proves nothing"
    return Deployed(catalog, bundle, dataset, root / "data", tape, wasm, twin)


@pytest.fixture
def streams(deployed: Deployed) -> dict[str, dict[str, Any]]:
    """Return the streams of a recording that is the twin itself; each test may change its copy."""
    found = columns_of(deployed.twin, deployed.tape)
    return {name: {column: values.copy() for column, values in columns.items()} for name, columns in found.items()}
