"""Recordings made of replays: what a deployment would leave behind if it did exactly what its twin does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bundles.canonical import digest_of
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
from evals.recordings.writing import Recorder, encoded
from evals.replay import ReplayResult, run_replay
from evals.wasm import inspect_module

CONFIG = MmConfig(quote_size_1e8=10_000_000, min_spread_bps=1, max_position_1e8=10**9)
RISK = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)
NOW_NS = 1_700_000_000_000_000_000
CAPITAL_1E9 = 100_000 * 10**9
SETTINGS = ReplaySettings(queue_band=False)
DURATION_S = 120

Streams: TypeAlias = dict[str, dict[str, Any]]
"""Columns of each stream of a recording, without ``seq``."""


@dataclass(frozen=True, eq=False)
class Market:
    """A tape below a data root, and the replay that recordings are made of."""

    root: Path
    tape: Tape
    wasm: bytes
    twin: ReplayResult


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


def columns_of(result: ReplayResult, tape: TapeSource) -> Streams:
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


def with_event(streams: Streams, second: int, kind: int, detail: str = "") -> Streams:
    """Return the streams with one more event, half a second after one of the heartbeats."""
    events = streams["events"]
    at = int(np.searchsorted(events["at_ns"], events["at_ns"][0] + second * 10**9 + 5 * 10**8))
    row = {"at_ns": int(events["at_ns"][0]) + second * 10**9 + 5 * 10**8, "kind": kind, "value": 0, "detail": detail}
    return {**streams, "events": {name: np.insert(values, at, row[name]) for name, values in events.items()}}


def without(columns: Mapping[str, Any], rows: int | slice) -> dict[str, Any]:
    """Return a stream that never had some rows."""
    return {name: np.delete(values, rows) for name, values in columns.items()}


def write(
    folder: Path,
    streams: Mapping[str, Mapping[str, Any]],
    bundle: str,
    *,
    holes: Mapping[str, str] | None = None,
    rotations: int = 1,
    **header: Any,
) -> Path:
    """Write a recording; ``header`` overrides what it says of the deployment, ``holes`` lose rows of a stream."""
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
    for turn in range(rotations):
        for name, columns in streams.items():
            rows = len(columns["at_ns"])
            cut = slice(rows * turn // rotations, rows * (turn + 1) // rotations)
            recorder.extend(name, {column: values[cut] for column, values in columns.items()})  # type: ignore[arg-type]
        recorder.rotate()
    recorder.close()
    for name, where in (holes or {}).items():
        lose_a_row(folder, name, where)
    return folder


def lose_a_row(folder: Path, stream: str, where: str) -> None:
    """Take the first, a middle or the last row out of a stream's only file, as if it had never been written."""
    document = json.loads((folder / "recording.json").read_bytes())
    part = document["streams"][stream]["parts"][0]
    table = pq.read_table(folder / part["name"])
    lost = {"first": 0, "middle": table.num_rows // 2, "last": table.num_rows - 1}[where]
    kept = pa.concat_tables([table.slice(0, lost), table.slice(lost + 1)]).combine_chunks()
    content = encoded(stream, kept)
    (folder / part["name"]).write_bytes(content)
    part |= {"digest": digest_of(content), "size_bytes": len(content), "rows": kept.num_rows}
    part |= {"first_seq": str(kept["seq"][0].as_py()), "last_seq": str(kept["seq"][-1].as_py())}
    (folder / "recording.json").write_text(json.dumps(document))


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory, compiled_algo: Callable[[str], bytes]) -> Market:
    """Return a synthetic market and what the maker does on it."""
    root = tmp_path_factory.mktemp("market")
    tape = synthetic_tape(7, duration_s=DURATION_S)
    write_tape(root, tape)
    wasm = compiled_algo("maker")
    twin = run_replay(wasm, tape, config=CONFIG, risk=RISK, settings=SETTINGS)
    assert twin.metrics["fills"], "a deployment that does nothing proves nothing"
    return Market(root, tape, wasm, twin)


@pytest.fixture
def deployed(tmp_path: Path, market: Market) -> Deployed:
    """Return a store in which a bundle of the maker and its market are registered."""
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    catalog.register_artifact("art_research", {"notes.md": b"why"})
    manifest = compile_edge(
        market.wasm,
        sdk_abi=inspect_module(market.wasm).abi,
        artifact="art_research",
        risk_limits=RISK,
        config=CONFIG,
    )
    bundle = catalog.register_bundle(manifest, author="quant", blobs=[market.wasm], now_ns=NOW_NS)
    dataset = catalog.register_dataset(build_dataset(market.root, "synthetic", "BTC-USD"))
    return Deployed(catalog, bundle, dataset, market.root, market.tape, market.wasm, market.twin)


@pytest.fixture
def streams(deployed: Deployed) -> Streams:
    """Return the streams of a recording that is the twin itself; each test may change its copy."""
    found = columns_of(deployed.twin, deployed.tape)
    return {name: {column: values.copy() for column, values in columns.items()} for name, columns in found.items()}
