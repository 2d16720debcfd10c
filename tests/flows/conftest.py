"""One temporary Prefect server for all tests of flows, and a store with hand-made bundles and evaluations."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundles.approvals import Roster
from bundles.canonical import digest_of
from bundles.catalog import Catalog
from bundles.compile import compile_edge
from bundles.evidence import Coverage, Dataset, EngineFingerprint, Evaluation, EvaluationInputs, Partition
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.store import open_store

WASM = b"\0asm\1\0\0\0"
START_NS = 1_700_000_000 * 10**9
HOUR_NS = 3_600 * 10**9
PASSING = {
    "traps": 0,
    "risk_breaches": 0,
    "max_drawdown_pct": 0.1,
    "fuel_p99": 3_000,
    "order_to_trade": 10,
    "return_bps": 1.5,
    "fills": 40,
    "quote_uptime": 0.9,
    "markout_1s_bps": 0.2,
    "net_pnl_1e9": 12_340_000_000,
}


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run Prefect's server for the session, in a home of its own and away from any server of the user."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


class Ladder:
    """A store of its own, and what is put into it by hand."""

    author = "quant@example.com"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = f"file://{folder / 'store'}"
        self.catalog = Catalog(open_store(self.store))

    def bundle(self, *, levels: int = 1) -> str:
        """Register a bundle; another number of levels makes another bundle."""
        self.catalog.register_artifact("art_sample", {"notes.md": b"sample"})
        manifest = compile_edge(
            WASM, sdk_abi="0.4.0", artifact="art_sample", risk_limits=MmRiskLimits(), config=MmConfig(num_levels=levels)
        )
        return self.catalog.register_bundle(manifest, author=self.author, blobs=[WASM], now_ns=time.time_ns())

    def dataset(self) -> Dataset:
        """Register a dataset whose files nobody reads."""
        part = Partition(
            key="venue=v/symbol=s/date=2023-11-14/tape.parquet",
            digest=digest_of(b"tape"),
            size_bytes=4,
            rows=1,
            first_ns=START_NS,
            last_ns=START_NS + HOUR_NS,
        )
        dataset = Dataset(venue="v", symbol="s", partitions=(part,), validation={"gaps": 0})
        self.catalog.register_dataset(dataset)
        return dataset

    def evaluated(self, bundle: str, **worse: float) -> Evaluation:
        """Record an evaluation that passes the default gate, unless some metrics are given worse."""
        evaluation = Evaluation(
            inputs=EvaluationInputs(
                kind="replay",
                bundle=self.catalog.bundle(bundle).digest(),
                datasets=(self.dataset().digest(),),
                settings={},
                seed=42,
                engine=EngineFingerprint(name="by-hand", version="1", source=digest_of(b""), runtime={}),
            ),
            status="completed",
            result_digest=digest_of(b"result"),
            coverage=Coverage(first_ns=START_NS, last_ns=START_NS + HOUR_NS, events=50_000, packets=20_000),
            metrics=PASSING | worse,
            outputs={},
            validation={"gaps": 0},
        )
        self.catalog.record_evaluation(evaluation, [], runner="ci", now_ns=time.time_ns())
        return evaluation

    def signer(self, name: str) -> Path:
        """Make an SSH key for somebody and put it on the roster."""
        key = self.folder / f"key_{len(list(self.folder.iterdir()))}"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        before = self.catalog.roster().allowed_signers
        public = key.with_suffix(".pub").read_text()
        self.catalog.install_roster(Roster(allowed_signers=f"{before}{name} {public}"))
        return key

    def stage(self, bundle: str) -> str:
        """Return where a bundle stands."""
        return self.catalog.ledger.state(bundle).stage


@pytest.fixture
def ladder(tmp_path: Path) -> Ladder:
    """Return an empty store and ways to fill it."""
    return Ladder(tmp_path)
