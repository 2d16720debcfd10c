"""`sequence backtest`, `eval` and `data`: one result digest everywhere, clear refusals, on a short synthetic market."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bundles.policy import load_policy
from bundles.signatures import make_key
from evals.engine.settings import LatencyModel, QueueModel
from evals.market.datasets import build_dataset
from evals.market.synthetic import DEFAULT_INSTRUMENT, synthetic_tape
from evals.market.tape import write_tape
from sequence.cli.models import LATENCY_MODELS, QUEUE_MODELS

if TYPE_CHECKING:
    from conftest import Command, Firm

DAYS = ("--start", "2026-01-01", "--end", "2026-01-01")


@pytest.fixture
def dataset(sequence: Command) -> str:
    made = sequence.json("data", "synthesize", "--duration", "60", "--rate", "50")
    assert made["venue"] == "synthetic"
    return str(made["dataset"])


def test_one_digest_across_runs_processes_hash_seeds_and_folders(
    sequence: Command, dataset: str, bundle: str, tmp_path: Path
) -> None:
    first = sequence.json("backtest", "BTC-USD", *DAYS, "--bundle", bundle[:10])
    assert {"eval_id", "verdict", "result_digest", "metrics", "dataset"} <= set(first)
    assert (first["dataset"], first["verdict"]) == (dataset, "inconclusive")
    assert sequence.json("backtest", "--dataset", dataset[:11], "--bundle", bundle) == first
    done = sequence.process(
        "backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--force", "--json",
        cwd=tmp_path, environ={"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == first
    verified = sequence.json("eval", "verify", first["eval_id"][:11])
    assert verified["same"] is True
    assert verified["result_digest"] == first["result_digest"]
    richer = sequence.json("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--capital", "5000", "--seed", "1")
    assert richer["eval_id"] != first["eval_id"]


def test_evaluations_are_listed_shown_and_reported(sequence: Command, dataset: str, bundle: str) -> None:
    made = sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--report", "report.html").stdout
    assert f"Dataset: {dataset}" in made
    assert f"Report: {sequence.folder / 'report.html'}" in made
    (listed,) = sequence.json("eval", "list", "--bundle", bundle)
    assert (listed["bundle_id"], listed["kind"], listed["verdict"]) == (bundle, "replay", "inconclusive")
    assert listed["eval_id"] in (sequence.folder / "report.html").read_text(encoding="utf-8")
    shown = sequence("eval", "show", listed["eval_id"]).stdout
    assert "FAILS: duration_s" in shown
    assert "  Fuel, p99 " in shown
    assert sequence.json("eval", "show", listed["eval_id"])["record"]["status"] == "completed"


def test_who_executed_an_evaluation_is_signed_and_shown(
    sequence: Command, dataset: str, bundle: str, firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("backtest", "--dataset", dataset, "--bundle", bundle)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        unsigned = sequence(*run)
    assert "What quant@firm executes is recorded unsigned: " in unsigned.stderr
    assert "ssh-keygen cannot be run" in unsigned.stderr
    evaluation = sequence.json(*run)["eval_id"]
    monkeypatch.setenv("SEQUENCE_RUNNER", "jane@firm")
    attested = sequence.json("eval", "verify", evaluation, "--attest")
    assert (attested["same"], attested["attested"]) == (True, {"runner": "jane@firm", "signed": True})
    assert "Attested: by jane@firm (signed)" in sequence("eval", "verify", evaluation, "--attest").stdout
    first, second = sequence.json("eval", "show", evaluation)["executions"]
    assert (first["runner"], first["signed"], first["listed"], first["same"]) == ("quant@firm", False, False, True)
    assert (second["runner"], second["signed"], second["listed"], second["same"]) == ("jane@firm", True, False, True)
    assert ", not on the roster, unsigned, the same result\n" in sequence("eval", "show", evaluation).stdout
    assert f"attested jane@firm {evaluation}: the same result, signed" in sequence("bundle", "history", bundle).stdout
    assert sequence.json("audit", "verify")["problems"] == []


def test_a_second_runner_completes_a_promotion_and_a_failing_run_demotes(
    sequence: Command, dataset: str, bundle: str, firm: Firm, tmp_path: Path
) -> None:
    def policy(**changed: Any) -> Path:
        document = load_policy(firm.policy).model_dump(mode="json")
        document["ladders"]["edge"]["replay"] |= {
            "coverage": {"min_duration_s": 30, "min_events": 100},
            "rules": [{"metric": "traps", "op": "==", "value": 0}],
            "runners": {"count": 2, "listed": True},
            "approvals": {"count": 1, "signed": False},
        } | changed
        (tmp_path / "easy.yaml").write_text(json.dumps(document))  # JSON is YAML
        return tmp_path / "easy.yaml"

    keys = {name: firm.key(key) for name, key in (("lab-1", "nobody"), ("lab-2", "spare"))}
    make_key(keys["lab-2"], "lab-2")
    with (firm.folder / "allowed_signers").open("a") as signers:
        signers.writelines(f"{name} {key.with_suffix('.pub').read_text()}" for name, key in keys.items())
    with (firm.folder / "roles.yaml").open("a") as roles:
        roles.writelines(f"  {name}: [runner]\n" for name in keys)
    jane = ("--approver", "jane@firm", "--key", firm.key("jane"))
    sequence("policy", "roster", firm.folder / "allowed_signers", "--roles", firm.folder / "roles.yaml", *jane)
    sequence("policy", "set", policy(), *jane)

    def runs_at(name: str) -> None:
        sequence.environ |= {"SEQUENCE_RUNNER": name, "SEQUENCE_RUNNER_KEY": str(keys[name])}

    runs_at("lab-1")
    run = ("backtest", "--dataset", dataset, "--bundle", bundle)
    evaluation = sequence.json(*run)["eval_id"]
    asked = sequence.json(*sequence.promotion(bundle, "--eval-run", evaluation, approver="jane@firm"), exit_code=3)
    assert asked["decision"] == "pending"
    (waiting,) = sequence.json("requests")
    assert (waiting["approvals_given"], waiting["missing_runners"]) == (["jane@firm"], [evaluation])
    assert f"Missing runners: {evaluation}" in sequence("requests").stdout
    runs_at("lab-2")
    attested = sequence.json("eval", "verify", evaluation, "--attest")
    assert attested["promoted"] == [{"bundle_id": bundle, "stage": "replay", "request": asked["request"]}]
    assert all(
        each["listed"] and not each["problem"] for each in sequence.json("eval", "show", evaluation)["executions"]
    )

    never = [{"metric": "callbacks", "op": "==", "value": 0}]
    sequence("policy", "set", policy(rules=never, demote_on_failure=True), *jane)
    failed = sequence(*run, "--seed", "7")
    assert f"{bundle} was at stage replay; the policy demotes it to research." in failed.stderr
    assert "demoted policy replay to research because of eval_" in sequence("bundle", "history", bundle).stdout


def test_breaking_the_glass_starts_what_was_skipped(
    sequence: Command, dataset: str, bundle: str, firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    glass = sequence.promotion(
        bundle, "--break-glass", "--notes", "fire", "--key", firm.key("otto"), stage="live", approver="otto@firm"
    )
    broken = sequence(*glass)
    recorded = sequence.json("eval", "list", "--bundle", bundle)
    assert [each["kind"] for each in recorded] == ["replay", "shadow"]
    assert f"Running what was skipped, on {dataset}" in broken.stderr
    for each in recorded:
        stage = each["verdicts"][0]["stage"]
        assert stage == {"replay": "replay", "shadow": "live"}[each["kind"]]
        told = {"pass": "passes", "fail": "fails", "inconclusive": "inconclusive for"}[each["verdict"]]
        assert f"Recorded {each['eval_id']} ({each['kind']}): {told} {stage}" in broken.stderr
    assert "Decision: promoted" in broken.stdout
    higher = sequence.promotion(
        bundle, "--break-glass", "--notes", "fire", "--key", firm.key("otto"), stage="scaled", approver="otto@firm"
    )

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("evals.replay.evaluate_replay", fail)
    assert f"Run it: sequence backtest --bundle {bundle} --dataset ID" in sequence(*higher).stderr


def test_a_changed_tape_does_not_verify(sequence: Command, dataset: str, bundle: str, tmp_path: Path) -> None:
    evaluation = sequence.json("backtest", "--dataset", dataset, "--bundle", bundle)["eval_id"]
    tape = next((tmp_path / "data").rglob("*.parquet"))
    content = bytearray(tape.read_bytes())
    content[len(content) // 2] ^= 1
    tape.write_bytes(content)
    assert str(tape.name) in sequence("eval", "verify", evaluation, exit_code=7).stderr
    sequence("data", "validate", dataset, exit_code=7)
    tape.write_bytes(content[: len(content) // 2])
    assert tape.name in sequence("data", "validate", tape, exit_code=5).stderr


def test_data_is_listed_and_validated(sequence: Command, dataset: str, tmp_path: Path) -> None:
    listed = sequence.json("data", "list")
    assert listed["tapes"] == [
        {"venue": "synthetic", "symbol": "BTC-USD", "days": "2026-01-01 to 2026-01-01", "files": 1}
    ]
    assert [each["dataset"] for each in listed["datasets"]] == [dataset]
    assert sequence.json("data", "validate", dataset)["refuse"] == []
    assert sequence.json("data", "validate", tmp_path / "data")["refuse"] == []
    sequence("data", "validate", tmp_path / "nowhere", exit_code=4)


def test_symbol_days_and_venues_choose_the_data(sequence: Command, dataset: str, bundle: str, tmp_path: Path) -> None:
    missing = sequence("backtest", "ETH-USD", *DAYS, "--bundle", bundle, exit_code=4)
    assert "synthetic BTC-USD 2026-01-01 to 2026-01-01" in missing.stderr
    sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--venue", "kraken", exit_code=4)
    shutil.copytree(tmp_path / "data" / "venue=synthetic", tmp_path / "data" / "venue=copy")
    assert "venue=copy" in sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, exit_code=5).stderr
    sequence("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--venue", "kraken, synthetic")
    later = ("--start", "2026-01-02", "--end", "2026-01-02")
    assert "2026-01-02" in sequence("backtest", "BTC-USD", *later, "--bundle", bundle, exit_code=4).stderr
    for wrong in ("BTC-USD,,ETH-USD", "BTC-USD,BTC-USD", ""):
        sequence("backtest", "--symbols", wrong, *DAYS, "--bundle", bundle, exit_code=2)


def test_several_symbols_and_venues_are_one_evaluation(sequence: Command, bundle: str, tmp_path: Path) -> None:
    names = {}
    for number, (symbol, venue) in enumerate((s, v) for s in ("BTC-USD", "ETH-USD") for v in ("kraken", "coinbase")):
        instrument = DEFAULT_INSTRUMENT.model_copy(update={"symbol": symbol, "venue": venue})
        tape = synthetic_tape(number, duration_s=30, packets_per_s=30, instrument=instrument)
        write_tape(tmp_path / "data", tape)
        names[symbol, venue] = build_dataset(tmp_path / "data", venue, symbol).dataset_id
    listed = ("backtest", "--symbols", "ETH-USD, BTC-USD", *DAYS, "--bundle", bundle)
    made = sequence.json(*listed, "--venue", "kraken,coinbase", "--report", "report.html")
    expected = [names[s, v] for s in ("ETH-USD", "BTC-USD") for v in ("kraken", "coinbase")]
    assert made["datasets"] == expected, "symbols as listed; the first venue is the home"
    again = sequence.json("backtest", "--bundle", bundle, *(word for name in expected for word in ("--dataset", name)))
    assert again["eval_id"] == made["eval_id"]
    assert sequence.json("eval", "verify", made["eval_id"])["same"] is True
    page = (sequence.folder / "report.html").read_text(encoding="utf-8")
    assert "BTC-USD (coinbase, kraken), ETH-USD (coinbase, kraken)" in page
    by_name = sequence.json(*listed)
    assert by_name["datasets"] == [names[s, v] for s in ("ETH-USD", "BTC-USD") for v in ("coinbase", "kraken")]
    assert by_name["eval_id"] != made["eval_id"]
    alone = sequence.json("backtest", "BTC-USD", *DAYS, "--bundle", bundle, "--venue", "kraken")
    assert alone["datasets"] == [names["BTC-USD", "kraken"]]


def settings_of(sequence: Command, document: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = sequence.json("eval", "show", document["eval_id"])["record"]["inputs"]["settings"]
    return settings


def test_flags_choose_how_the_market_is_simulated(sequence: Command, dataset: str, bundle: str) -> None:
    run = ("backtest", "--dataset", dataset, "--bundle", bundle)
    plain = settings_of(sequence, sequence.json(*run))
    chosen = settings_of(
        sequence,
        sequence.json(
            *run, "--queue-model", "log", "--latency-ms", "0.25", "--latency-model", "lognormal", "--no-partial-fills"
        ),
    )
    assert plain["partial_fills"] is True
    assert (chosen["queue_model"], chosen["latency_model"], chosen["partial_fills"]) == ("log", "lognormal", False)
    latencies = {name: value for name, value in chosen.items() if name.endswith(("_entry_ns", "_response_ns"))}
    assert len(latencies) == 6
    assert set(latencies.values()) == {"250000"}
    for wrong in (
        ("--queue-model", "lucky"),
        ("--latency-ms", "-1"),
        ("--latency-model", "recorded"),
        ("--latency-trace", "nowhere.csv"),
    ):
        sequence(*run, *wrong, exit_code=2)


def test_the_platforms_variables_are_read_and_flags_beat_them(
    sequence: Command, dataset: str, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("backtest", "--dataset", dataset, "--bundle", bundle)
    plain = sequence.json(*run)
    monkeypatch.setenv("MAKER_ADVERSE_SKIP_RATE", "0.25")
    monkeypatch.setenv("MAKER_ADVERSE_BIAS", "-1.5")
    assert sequence.json(*run)["eval_id"] == plain["eval_id"], "nothing is read while the model is off"
    monkeypatch.setenv("MAKER_ADVERSE_ENABLED", "true")
    monkeypatch.setenv("SELF_IMPACT_ENABLED", "1")
    read = settings_of(sequence, sequence.json(*run))
    assert (read["maker_adverse_enabled"], read["self_impact_enabled"]) == (True, True)
    assert read["maker_adverse_skip_rate_ppm"] == 250_000
    assert read["maker_adverse_penalty_k_ppm"] == 500_000
    assert read["maker_adverse_bias_ppm"] == -1_500_000
    assert sequence.json(*run, "--no-maker-adverse", "--no-self-impact")["eval_id"] == plain["eval_id"]
    for wrong in ("much", "2", "nan"):
        monkeypatch.setenv("MAKER_ADVERSE_SKIP_RATE", wrong)
        assert "MAKER_ADVERSE_SKIP_RATE" in sequence(*run, exit_code=2).stderr


def test_a_trace_of_latencies_is_evidence(sequence: Command, dataset: str, bundle: str, tmp_path: Path) -> None:
    rows = [(1_767_225_600_000_000_000, 100_000, 50_000), (1_767_225_700_000_000_000, 900_000, 50_000)]
    csv, parquet = sequence.folder / "trace.csv", sequence.folder / "trace.parquet"
    csv.write_text("at_ns,entry_ns,response_ns\r\n" + "".join(f"{a}, {b}, {c}\r\n" for a, b, c in rows))
    pq.write_table(
        pa.table(dict(zip(("at_ns", "entry_ns", "response_ns"), zip(*rows, strict=True), strict=True))), parquet
    )
    run = ("backtest", "--dataset", dataset, "--bundle", bundle)
    made = sequence.json(*run, "--latency-trace", csv)
    assert sequence.json(*run, "--latency-trace", parquet)["eval_id"] == made["eval_id"], "one digest in both forms"
    csv.unlink()
    assert sequence.json("eval", "verify", made["eval_id"])["same"] is True
    assert sequence.json("audit", "verify")["problems"] == []
    digest = settings_of(sequence, made)["latency_trace"].removeprefix("sha256:")
    kept = tmp_path / "store" / "cas" / "sha256" / digest[:2] / digest[2:]
    kept.write_bytes(kept.read_bytes().replace(b"900000", b"100000"))
    sequence("eval", "verify", made["eval_id"], exit_code=7)
    assert digest[2:] in sequence("audit", "verify", exit_code=7).stdout
    kept.unlink()
    promote = ("bundle", "promote", "--bundle", bundle, "--target", "edge", "--stage", "replay")
    refused = sequence(*promote, "--eval-run", made["eval_id"], "--approver", "rita@firm", exit_code=7)
    assert digest[2:] in refused.stderr
    sequence(*run, "--latency-trace", parquet, "--latency-ms", "1", exit_code=2)


def test_the_terminal_shows_what_matters_first_in_80_columns(sequence: Command, dataset: str, bundle: str) -> None:
    lines = sequence("backtest", "--dataset", dataset, "--bundle", bundle).stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("Metrics:"))
    assert "over 7 queue models" in lines[at]
    assert lines[at + 1].startswith("  Net P&L ")
    assert " to " in lines[at + 1]
    assert max(len(line) for line in lines[at:]) <= 80
    every = sequence("eval", "list").stdout
    shown = sequence("eval", "show", re.search(r"eval_[0-9a-f]{16}", every)[0]).stdout.splitlines()  # type: ignore[index]
    assert {"Profit:", "Fill quality:", "Compute:", "Tape:"} <= set(shown)
    assert max(len(line) for line in shown if not line.startswith(("Result", "Executed", "  FAILS", "  unknown"))) <= 80


def test_the_model_names_are_the_engines() -> None:
    assert get_args(QueueModel) == QUEUE_MODELS
    assert set(get_args(LatencyModel)) == set(LATENCY_MODELS)


def test_a_trial_is_not_recorded(sequence: Command, dataset: str, silent_wasm: bytes) -> None:
    release = sequence.folder / "target" / "wasm32-unknown-unknown" / "release"
    (sequence.folder / "Cargo.toml").touch()
    assert "--skip-build" in sequence("backtest", "BTC-USD", *DAYS, "--skip-build", exit_code=4).stderr
    release.mkdir(parents=True)
    (release / "algo.wasm").write_bytes(silent_wasm)
    trial = sequence("backtest", "BTC-USD", *DAYS, "--skip-build", "--json")
    document = json.loads(trial.stdout)
    assert (document["eval_id"], document["verdict"], document["dataset"]) == (None, None, dataset)
    assert document["metrics"]["callbacks"] > 0
    assert "cannot justify a promotion" in trial.stderr
    assert sequence.json("eval", "list") == []
    sequence("backtest", "BTC-USD", *DAYS, "--skip-build", "--report", "r.html", exit_code=2)
