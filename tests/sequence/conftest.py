"""A command with its own home, store and data root, and a tiny algo that needs no Rust."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from click.testing import CliRunner, Result

from bundles.catalog import Catalog
from bundles.evidence import Coverage, Dataset, EngineFingerprint, Evaluation, EvaluationInputs, Partition
from bundles.runners import Runner
from bundles.store import open_store
from sequence.cli import main
from tests.easiest import easiest_settings

ROOT = Path(__file__).resolve().parents[2]

SILENT_ALGO = """
(module
  (memory (export "memory") 17)
  (global $__stack_pointer (mut i32) (i32.const 1048576))
  (func (export "algo_on_book") (param i32 i32) (result i32) (i32.const 1048576))
  (func (export "algo_on_fill") (param i32 i32))
  (func (export "algo_on_reject") (param i32))
  (func (export "algo_on_shutdown") (param i32) (result i32) (i32.const 1048576))
  (func (export "algo_alloc") (param i32) (result i32) (i32.const 1052672)))
"""
"""Never acts: its list of actions is the zeroed page above the stack."""

DIGEST = "sha256:" + "0" * 64
HOUR_NS = 3_600 * 10**9
GOOD: dict[str, int | float | None] = {
    "traps": 0,
    "risk_breaches": 0,
    "max_drawdown_pct": 0.1,
    "fuel_p99": 500,
    "order_to_trade": 20.0,
    "return_bps": 0.5,
    "fills": 40,
    "quote_uptime": 0.9,
    "markout_1s_bps": 0.1,
}


@dataclass
class Command:
    """Runs `sequence` in one folder, in this process or in a new one."""

    folder: Path
    environ: dict[str, str]
    runner: CliRunner = field(default_factory=CliRunner)

    def __call__(self, *arguments: str | Path, exit_code: int = 0) -> Result:
        result = self.runner.invoke(
            main, [str(each) for each in arguments], env=dict(self.environ), prog_name="sequence"
        )
        assert result.exit_code == exit_code, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        return result

    def json(self, *arguments: str | Path, exit_code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", exit_code=exit_code).stdout)

    def promotion(self, bundle: str, *more: str | Path, stage: str = "replay", approver: str = "") -> list[str | Path]:
        """The arguments of a promotion of an edge bundle."""
        base = ["bundle", "promote", "--bundle", bundle, "--target", "edge", "--stage", stage]
        return [*base, *(["--approver", approver] if approver else []), *more]

    def process(
        self, *arguments: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sequence", *map(str, arguments)],
            cwd=cwd or self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **self.environ, **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, folder_name in (("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")):
        monkeypatch.setenv(name, os.environ.get(name, str(Path.home() / folder_name)))
    environ = {
        "HOME": str(tmp_path / "home"),
        "SEQUENCE_STORE": str(tmp_path / "store"),
        "SEQUENCE_DATA": str(tmp_path / "data"),
        "SEQUENCE_USER": "quant@firm",
        "SEQUENCE_RUNNER_KEY": str(tmp_path / "runner_key"),
    }
    for name in (
        "SEQUENCE_RUNNER",
        "SSH_AUTH_SOCK",
        "SEQUENCE_S3_ENDPOINT",
        "SEQUENCE_COORDINATOR_URL",
        "SEQUENCE_API_KEY",
        "PREFECT_API_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Command(folder, environ)


@pytest.fixture(scope="session")
def silent_wasm() -> bytes:
    return bytes(wasmtime.wat2wasm(SILENT_ALGO))


@pytest.fixture
def algo(sequence: Command, silent_wasm: bytes) -> Path:
    path = sequence.folder / "algo.wasm"
    path.write_bytes(silent_wasm)
    return path


@pytest.fixture
def artifact(sequence: Command) -> str:
    notes = sequence.folder / "NOTES.md"
    notes.write_text("what we found\n")
    sequence("artifact", "register", "art_abc123", notes)
    return "art_abc123"


@pytest.fixture
def bundle(sequence: Command, algo: Path, artifact: str) -> str:
    compiled = sequence.json("bundle", "compile-edge", "--wasm", algo, "--artifact", artifact)
    return str(compiled["bundle_id"])


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., str]:
    """Records an evaluation that passes stage replay, unless other metrics are given."""

    def record(bundle: str, **metrics: float) -> str:
        catalog = Catalog(open_store((tmp_path / "store").as_uri()))
        part = Partition(key="x.parquet", digest=DIGEST, size_bytes=1, rows=1, first_ns=0, last_ns=HOUR_NS)
        dataset = Dataset(venue="v", symbol="s", partitions=(part,), validation={})
        catalog.register_dataset(dataset)
        evaluation = Evaluation(
            inputs=EvaluationInputs(
                kind="replay",
                bundle=catalog.bundle(bundle).digest(),
                datasets=(dataset.digest(),),
                settings=easiest_settings("replay") | {"of": sorted(metrics.items()).__repr__()},
                seed=42,
                engine=EngineFingerprint(name="hand", version="1", source=DIGEST, runtime={}),
            ),
            status="completed",
            result_digest=DIGEST,
            coverage=Coverage(first_ns=0, last_ns=HOUR_NS, events=100_000, packets=50_000),
            metrics={**GOOD, **metrics},
            outputs={},
            validation={},
        )
        return catalog.record_evaluation(evaluation, [], runner=Runner("tests"), now_ns=time.time_ns())

    return record


@dataclass
class Firm:
    """People with OpenSSH keys and roles, in force as the roster, under a policy that wants two signatures."""

    folder: Path
    policy: Path

    def key(self, name: str) -> Path:
        return self.folder / name

    def owns(self, name: str, home: Path) -> None:
        """Put somebody's key where people keep theirs."""
        for ending in ("", ".pub"):
            kept = home / ".ssh" / f"id_ed25519{ending}"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.folder / f"{name}{ending}", kept)
            kept.chmod(0o600)

    def sign(self, name: str, statement: str, namespace: str = "sequence-promotion") -> str:
        """The signature that somebody makes elsewhere."""
        signing = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(self.key(name))]
        return subprocess.run(signing, input=statement, check=True, capture_output=True, text=True).stdout


ROLES = {
    "jane": "risk, governance",
    "tom": "trading",
    "otto": "break-glass",
    "olga": "operator",
    "quant": "risk",
    "nobody": "",
}


@pytest.fixture
def firm(sequence: Command, tmp_path: Path) -> Firm:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs OpenSSH's ssh-keygen")
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ROLES:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    listed = {name: roles for name, roles in ROLES.items() if roles}
    (folder / "allowed_signers").write_text(
        "".join(f"{name}@firm {(folder / name).with_suffix('.pub').read_text()}" for name in listed)
    )
    (folder / "roles.yaml").write_text(
        "roles:\n" + "".join(f"  {name}@firm: [{roles}]\n" for name, roles in listed.items())
    )
    shipped = (ROOT / "bundles" / "policies" / "default.yaml").read_text()
    strict = "approvals: {count: 2, roles: [risk, trading], at_least: {risk: 1, trading: 1}, signed: true}"
    policy = folder / "policy.yaml"
    policy.write_text(shipped.replace("approvals: {count: 1, roles: [], signed: false}", strict, 1))
    sequence("policy", "set", policy)
    sequence("policy", "roster", folder / "allowed_signers", "--roles", folder / "roles.yaml")
    return Firm(folder, policy)
