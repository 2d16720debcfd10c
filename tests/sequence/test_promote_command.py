"""`sequence bundle promote`: decisions, exit codes, signatures, on evaluations made by hand."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bundles.catalog import Catalog
from bundles.evidence import Coverage, Dataset, EngineFingerprint, Evaluation, EvaluationInputs, Partition
from bundles.store import open_store

if TYPE_CHECKING:
    from conftest import Command

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


@pytest.fixture
def bundle(sequence: Command, algo: Path, artifact: str) -> str:
    compiled = sequence.json("bundle", "compile-edge", "--wasm", algo, "--artifact", artifact)
    return str(compiled["bundle_id"])


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., str]:
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
                settings={"of": sorted(metrics.items()).__repr__()},
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
        return catalog.record_evaluation(evaluation, [], runner="tests", now_ns=time.time_ns())

    return record


def promotion(bundle: str, *more: str, stage: str = "replay", approver: str = "jane@firm") -> list[str]:
    base = ["bundle", "promote", "--bundle", bundle, "--target", "edge", "--stage", stage]
    return [*base, *(["--approver", approver] if approver else []), *more]


def test_a_passing_evaluation_and_an_approver_promote(
    sequence: Command, bundle: str, evaluate: Callable[..., str]
) -> None:
    passing = evaluate(bundle)
    outcome = sequence.json(*promotion(bundle[:10], "--eval-run", passing[:11], "--notes", "Passed replay"))
    assert outcome == {"decision": "promoted", "stage": "replay", "unmet": [], "ledger_seq": 3}
    assert sequence.json(*promotion(bundle, "--eval-run", passing)) == outcome
    assert "Stage: replay" in sequence("bundle", "show", bundle).stdout
    history = sequence("bundle", "history", bundle).stdout
    assert "research to replay, approved by jane@firm (typed): Passed replay" in history
    assert sequence("bundle", "list", "--all").stdout.endswith(" replay\n")
    assert "Verdict: verifies" in sequence("audit", "verify").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no evaluation is named"),
        (["--eval-run", "eval_0123456789abcdef"], "is not in the store"),
        (["--break-glass", "--notes", ""], "notes"),
    ],
)
def test_refusals_exit_3_and_list_every_condition(
    sequence: Command, bundle: str, arguments: list[str], expected: str
) -> None:
    outcome = sequence.json(*promotion(bundle, *arguments), exit_code=3)
    assert outcome["decision"] == "refused"
    assert (outcome["stage"], outcome["ledger_seq"]) == ("research", None)
    assert any(expected in condition for condition in outcome["unmet"])
    lines = sequence(*promotion(bundle, *arguments), exit_code=3).stdout.splitlines()
    assert [line.removeprefix("Unmet: ") for line in lines if line.startswith("Unmet: ")] == outcome["unmet"]


def test_failed_foreign_and_skipping_promotions_are_refused(
    sequence: Command, bundle: str, evaluate: Callable[..., str], algo: Path
) -> None:
    other = sequence.json("bundle", "compile-edge", "--wasm", algo, "--artifact", "art_abc123", "--strategy", "x")
    foreign = evaluate(other["bundle_id"])
    failed = evaluate(bundle, max_drawdown_pct=50.0)

    def unmet(*arguments: str, **choices: Any) -> str:
        return "\n".join(sequence.json(*promotion(bundle, *arguments, **choices), exit_code=3)["unmet"])

    assert "max_drawdown_pct 50 <= 2" in unmet("--eval-run", failed)
    assert "judges another bundle" in unmet("--eval-run", foreign)
    both = unmet("--eval-run", foreign, "--eval-run", failed, stage="live", approver="quant@firm")
    assert "stages cannot be skipped" in both
    assert "judges another bundle" in both
    assert "is the author of the bundle" in both


def test_without_an_approver_nothing_moves(sequence: Command, bundle: str, evaluate: Callable[..., str]) -> None:
    outcome = sequence.json(*promotion(bundle, "--eval-run", evaluate(bundle), approver=""), exit_code=3)
    assert outcome["decision"] in {"pending", "refused"}
    assert outcome["unmet"]
    sequence.json(*promotion(bundle, "--break-glass", "--notes", "fire", approver=""), exit_code=3)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")
def test_a_signature_breaks_the_glass(sequence: Command, bundle: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    urgent = promotion(
        bundle, "--break-glass", "--notes", "the incumbent is losing money", "--key", str(key), stage="live"
    )
    assert any("roster" in each for each in sequence.json(*urgent, exit_code=3)["unmet"])
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"jane@firm {key.with_suffix('.pub').read_text()}")
    (tmp_path / "roles.yaml").write_text("roles: {jane@firm: [break-glass]}\n")
    installed = sequence.json("policy", "roster", signers, "--roles", tmp_path / "roles.yaml")
    assert installed["people"] == [{"person": "jane@firm", "roles": ["break-glass"]}]
    assert sequence.json(*urgent)["stage"] == "live"
    assert "with the glass broken, approved by jane@firm (signed)" in sequence("bundle", "history", bundle).stdout


def test_a_key_without_a_name_is_wrong_usage(sequence: Command, bundle: str, algo: Path) -> None:
    sequence(*promotion(bundle, "--key", str(algo), approver=""), exit_code=2)


def test_no_prefect_is_imported(sequence: Command, bundle: str, evaluate: Callable[..., str]) -> None:
    arguments = promotion(bundle, "--eval-run", evaluate(bundle))
    done = sequence.process(*arguments, environ={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "bundles" in imported
    assert not imported & {"prefect", "numba", "pandas", "boto3"}
