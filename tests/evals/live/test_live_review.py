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
from bundles.gates import GateResult, evaluate_gate
from bundles.policy import ApprovalRule, CoverageRule, Rule, StageRule
from bundles.runners import Runner
from evals.engine.settings import ReplaySettings
from evals.evaluation import attest_evaluation, verify_evaluation
from evals.live_review import evaluate_live_review, recording_of
from evals.market.synthetic import synthetic_tape
from evals.recordings import schema
from evals.recordings.window import WindowTape
from evals.replay import run_replay
from tests.evals.live.conftest import (
    CONFIG,
    DURATION_S,
    NOW_NS,
    RISK,
    SETTINGS,
    Deployed,
    Streams,
    columns_of,
    with_event,
    without,
    write,
)

SAME = (
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
TICK_1E9 = 5 * 10**8


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
    return pq.read_table(io.BytesIO(deployed.catalog.blob(evaluation.outputs[name].digest))).to_pandas()


def judged(evaluation: Evaluation, *rules: Rule) -> GateResult:
    stage = StageRule(
        evidence="live-review",
        coverage=CoverageRule(min_duration_s=1, min_events=1),
        max_age_days=7,
        rules=rules,
        approvals=ApprovalRule(count=1, signed=False),
    )
    return evaluate_gate(stage, evaluation)


def assert_no_drift(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics
    for name in ("pnl_drift_1e9", "pnl_drift_bps", "pnl_drift_bps_lower95", "pnl_drift_bps_upper99", "comparison"):
        assert metrics[name] == 0, name
    assert metrics["fill_match"] == 1
    for name in ("slippage_bps", "markout_drift_1s_bps", "unmatched_fills", "unmatched_twin_fills", "recording_gaps"):
        assert metrics[name] == 0, name
    for name in SAME:
        assert metrics[name] == metrics[f"twin_{name}"], name


def test_a_twin_that_is_recorded_has_no_drift(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    found = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest))
    assert found.status == "completed"
    assert found.status_detail == ""
    assert_no_drift(found)
    for name in SAME:
        assert found.metrics[name] == deployed.twin.metrics[name], name
    assert found.metrics["compared_intervals"] == DURATION_S
    assert found.metrics["fuel_p99"] == deployed.twin.metrics["fuel_p99"]
    assert found.metrics["quote_uptime"] == pytest.approx(deployed.twin.metrics["quote_uptime"], abs=1e-3)
    equity, twin = output(deployed, found, "equity"), output(deployed, found, "twin_equity")
    for column in ("exchange_ns", "cash_1e9", "position_1e8", "mid_1e9", "equity_1e9", "fees_1e9"):
        assert (equity[column] == twin[column]).all(), column
    fills, twin = output(deployed, found, "fills"), output(deployed, found, "twin_fills")
    for column in ("px_1e9", "qty_1e8", "position_1e8", "mid_100ms_1e9", "mid_1s_1e9", "mid_10s_1e9", "order_row"):
        assert (fills[column] == twin[column]).all(), column
    assert output(deployed, found, "events")["kind"].tolist() == [schema.START, schema.STOP]


def test_a_deployment_that_began_in_the_middle_of_a_day(deployed: Deployed, tmp_path: Path) -> None:
    received = deployed.tape.events["receive_ns"]
    window = WindowTape(deployed.tape, int(received[len(received) // 3]) + 1, int(received[len(received) // 2]))
    result = run_replay(deployed.wasm, window, config=CONFIG, risk=RISK, settings=SETTINGS)
    assert result.metrics["fills"]
    folder = write(tmp_path / "r", columns_of(result, window), deployed.digest)
    found = reviewed(deployed, folder)
    assert_no_drift(found)
    assert found.coverage == result.coverage
    assert found.metrics["net_pnl_1e9"] == result.metrics["net_pnl_1e9"]


def test_fills_that_are_a_tick_worse_are_found(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    fills = streams["fills"]
    fills["px_1e9"] = fills["px_1e9"] + fills["side"] * TICK_1E9
    metrics = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest)).metrics
    lost = int((fills["qty_1e8"] * TICK_1E9 // 10**8).sum())
    assert metrics["pnl_drift_1e9"] == -lost < 0
    assert metrics["comparison"] == -1
    upper = metrics["pnl_drift_bps_upper95"]
    assert upper is not None
    assert upper < 0
    assert metrics["fill_match"] == 1
    notional = float((deployed.twin.fills["px_1e9"].astype(float) * fills["qty_1e8"]).sum())
    assert metrics["slippage_bps"] == pytest.approx(TICK_1E9 * float(fills["qty_1e8"].sum()) / notional * 1e4)
    assert metrics["markout_drift_1s_bps"] < 0  # type: ignore[operator]


def test_fills_that_never_came_are_told(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    count = len(streams["fills"]["at_ns"])
    streams["fills"] = {name: values[: count // 2] for name, values in streams["fills"].items()}
    metrics = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest)).metrics
    assert metrics["fills"] == count // 2
    assert metrics["unmatched_fills"] == 0
    assert metrics["unmatched_twin_fills"] == count - count // 2
    qty = deployed.twin.fills["qty_1e8"]
    held = int(qty[: count // 2].sum())
    assert metrics["fill_match"] == pytest.approx(2 * held / (held + int(qty.sum())))


GAPS: dict[str, Callable[[Streams], Streams]] = {
    "no stop": lambda s: s | {"events": without(s["events"], -1)},
    "no start": lambda s: s | {"events": without(s["events"], 0)},
    "disconnect": lambda s: with_event(s, 50, schema.DISCONNECT),
    "silence": lambda s: s | {"events": without(s["events"], slice(40, 46))},
    "start again": lambda s: with_event(s, 50, schema.START),
    "stop in between": lambda s: with_event(s, 50, schema.STOP),
    "fill without action": lambda s: (
        s | {"actions": {n: v * 0 + 1 if n == "kind" else v for n, v in s["actions"].items()}}
    ),
}


def assert_inconclusive(found: Evaluation) -> None:
    assert found.status == "completed"
    assert found.metrics["recording_gaps"]
    resting = [
        name
        for name in found.metrics
        if not name.startswith(("twin_", "tape_")) and name not in {"recording_gaps", "fuel_p99"}
    ]
    assert {"net_pnl_1e9", "fills", "risk_breaches", "traps", "halts", "pnl_drift_bps_lower95"} <= set(resting)
    assert [name for name in resting if found.metrics[name] is not None] == []
    assert found.metrics["twin_net_pnl_1e9"] is not None
    rule = Rule(metric="pnl_drift_bps", op=">=", value=-1000, bound="lower95")
    for rules in ([rule], [Rule(metric="traps", op="==", value=0)], [Rule(metric="fills", op=">=", value=0)]):
        assert judged(found, *rules).verdict == "inconclusive"


@pytest.mark.parametrize("name", GAPS)
def test_a_recording_with_a_gap_is_inconclusive(
    deployed: Deployed, streams: Streams, tmp_path: Path, name: str
) -> None:
    found = reviewed(deployed, write(tmp_path / "r", GAPS[name](streams), deployed.digest))
    assert_inconclusive(found)
    assert "gap" in found.status_detail


@pytest.mark.parametrize("stream", schema.EDGE_STREAMS)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_recording_with_a_hole_is_inconclusive(
    deployed: Deployed, streams: Streams, tmp_path: Path, stream: str, where: str
) -> None:
    folder = write(tmp_path / "r", streams, deployed.digest, holes={stream: where})
    found = reviewed(deployed, folder)
    assert_inconclusive(found)
    assert f"{stream} lacks the rows" in found.status_detail


def test_a_trap_fails_whatever_else_is_known(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    for name, changed in (("whole", streams), ("gapped", GAPS["silence"](streams))):
        folder = write(tmp_path / name, with_event(changed, 10, schema.TRAP, "unreachable"), deployed.digest)
        found = reviewed(deployed, folder)
        assert found.status == "failed"
        assert "trapped 1 time" in found.status_detail
        assert found.metrics["traps"] == (1 if name == "whole" else None)
        assert judged(found, Rule(metric="fills", op=">=", value=0)).verdict == "fail"


def test_limits_and_halts_are_told_with_their_times(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    streams["actions"]["reject_code"][-3:] = (101, 2, -1)
    for at, kind, text in ((20, schema.HALT, "operator"), (24, schema.RESUME, ""), (30, schema.LIMIT_BREACH, "loss")):
        streams = with_event(streams, at, kind, text)
    found = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest))
    metrics = found.metrics
    assert (metrics["halts"], metrics["limit_breaches"], metrics["risk_breaches"]) == (1, 1, 2)
    assert metrics["rejects"] == 2
    events = output(deployed, found, "events")
    assert events["kind"].tolist() == [schema.START, schema.HALT, schema.RESUME, schema.LIMIT_BREACH, schema.STOP]
    assert events["detail"].tolist() == ["", "operator", "", "loss", ""]
    at_ns = events["at_ns"].tolist()
    assert metrics["halted_s"] == (at_ns[2] - at_ns[1]) / 1e9 > 0
    assert judged(found, Rule(metric="risk_breaches", op="==", value=0)).verdict == "fail"


def test_a_position_at_the_start_is_marked_and_not_compared(
    deployed: Deployed, streams: Streams, tmp_path: Path
) -> None:
    held = 123_000
    folder = write(tmp_path / "r", streams, deployed.digest, start_position_1e8=held, start_cash_1e9=-(10**12))
    found = reviewed(deployed, folder)
    book = deployed.tape.events
    snapshot = book[: int(np.flatnonzero(book["flags"] & 1)[0]) + 1]
    first = (
        int(snapshot["px_1e9"][snapshot["kind"] == 1].max()) + int(snapshot["px_1e9"][snapshot["kind"] == 2].min())
    ) // 2
    last = int(deployed.twin.equity["mid_1e9"][-1])
    own = int(deployed.twin.equity["position_1e8"][-1])
    cash = int(deployed.twin.equity["cash_1e9"][-1])
    sign = 1 if own + held >= 0 else -1
    assert found.metrics["net_pnl_1e9"] == cash - held * first // 10**8 + sign * (abs(own + held) * last // 10**8)
    assert found.metrics["final_position_1e8"] == own + held
    assert found.metrics["pnl_drift_1e9"] is None
    assert found.metrics["fill_match"] is None
    assert "began with a position" in found.status_detail


def test_another_configuration_is_not_compared(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    folder = write(tmp_path / "r", with_event(streams, 30, schema.CONFIG, "wider"), deployed.digest)
    found = reviewed(deployed, folder)
    assert found.metrics["config_changes"] == 1
    assert found.metrics["net_pnl_1e9"] == deployed.twin.metrics["net_pnl_1e9"]
    assert found.metrics["pnl_drift_1e9"] is None
    assert judged(found, Rule(metric="pnl_drift_bps", op=">=", value=-9, bound="lower95")).verdict == "inconclusive"


def test_a_review_is_recorded_once_and_verified(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    folder = write(tmp_path / "r", streams, deployed.digest, deployment="dep_twice")
    first = reviewed(deployed, folder)
    assert reviewed(deployed, folder) == first
    assert reviewed(deployed, folder, force=True) == first
    same = (True, first.result_digest, first.result_digest)
    assert verify_evaluation(deployed.catalog, first.eval_id, deployed.data_root) == same
    attested = attest_evaluation(
        deployed.catalog, first.eval_id, deployed.data_root, runner=Runner("other"), now_ns=NOW_NS
    )
    assert attested == same
    again = write(tmp_path / "again", streams, deployed.digest, deployment="dep_twice", rotations=5)
    other = reviewed(deployed, again)
    assert other.eval_id != first.eval_id
    assert other.result_digest == first.result_digest, "how a recording was cut into files is nothing that happened"
    assert other.metrics["look"] == first.metrics["look"] + 1  # type: ignore[operator]


def test_the_capital_is_the_recordings(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    folder = write(tmp_path / "r", streams, deployed.digest, capital_1e9=10**12)
    found = reviewed(deployed, folder, settings=ReplaySettings(capital_1e9=10**15))
    assert found.metrics["return_bps"] == found.metrics["twin_return_bps"]
    assert found.metrics["return_bps"] == pytest.approx(found.metrics["net_pnl_1e9"] / 10**12 * 10**4)


def test_what_does_not_go_together_is_refused_by_name(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    ledger = deployed.catalog.ledger.state(deployed.bundle).evaluated
    other = "sha256:" + "0" * 64
    with pytest.raises(InvalidInputError, match=f"recorded of bundle .*{other}"):
        reviewed(deployed, write(tmp_path / "bundle", streams, other))
    with pytest.raises(InvalidInputError, match="recorded on kraken BTC-USD; the datasets given are of synthetic BTC"):
        reviewed(deployed, write(tmp_path / "venue", streams, deployed.digest, venue="kraken"))
    with pytest.raises(InvalidInputError, match="recorded on synthetic ETH-USD"):
        reviewed(deployed, write(tmp_path / "symbol", streams, deployed.digest, symbol="ETH-USD"))
    folder = write(tmp_path / "twice", streams, deployed.digest)
    with pytest.raises(InvalidInputError, match="the datasets given are of synthetic BTC-USD, synthetic BTC-USD"):
        reviewed(deployed, folder, dataset=[deployed.dataset, deployed.dataset])
    late = {**streams, "events": {**streams["events"], "at_ns": streams["events"]["at_ns"] + 10**9}}
    with pytest.raises(InvalidInputError, match=r"covers only .* Give a dataset that covers the whole window"):
        reviewed(deployed, write(tmp_path / "late", late, deployed.digest))
    strange = {**streams, "fills": {**streams["fills"], "at_ns": streams["fills"]["at_ns"] + 3_600 * 10**9}}
    with pytest.raises(InvalidInputError, match=r"fills, row with seq .* outside of the window"):
        reviewed(deployed, write(tmp_path / "strange", strange, deployed.digest))
    with pytest.raises(NotFoundError, match=r"recording\.json of the recording cannot be read"):
        reviewed(deployed, tmp_path / "nowhere")
    assert deployed.catalog.ledger.state(deployed.bundle).evaluated == ledger


def test_tampered_files_are_refused(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    folder = write(tmp_path / "r", streams, deployed.digest)
    for path in sorted(folder.glob("*.parquet")):
        content = path.read_bytes()
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        with pytest.raises(IntegrityError, match=f"{path.name} is not the file that recording.json names"):
            reviewed(deployed, folder)
        path.unlink()
        with pytest.raises(NotFoundError, match=path.name):
            reviewed(deployed, folder)
        path.write_bytes(content)
    reviewed(deployed, folder)


def test_inputs_must_name_every_file(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    inputs = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest)).inputs
    swapped = {**inputs.settings, "recording_fills-000001": inputs.settings["recording_actions-000001"]}
    with pytest.raises(IntegrityError, match=r"do not name the recording's file fills-000001\.parquet"):
        recording_of(deployed.catalog, inputs.model_copy(update={"settings": swapped}))


def test_a_twin_that_breaks_fails_the_review(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    found = reviewed(
        deployed, write(tmp_path / "r", streams, deployed.digest), settings=ReplaySettings(fuel_per_callback=200)
    )
    assert found.status == "failed"
    assert found.metrics["twin_traps"] == 1
    assert found.metrics["traps"] == 0
    assert found.metrics["net_pnl_1e9"] == deployed.twin.metrics["net_pnl_1e9"], "what happened, happened"
    assert found.metrics["pnl_drift_1e9"] is None


def test_another_market_is_another_twin(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    """A deployment that saw another market than its tape shows drifts."""
    other = synthetic_tape(8, duration_s=DURATION_S)
    result = run_replay(deployed.wasm, other, config=CONFIG, risk=RISK, settings=SETTINGS)
    found = reviewed(
        deployed, write(tmp_path / "r", streams | {"fills": columns_of(result, other)["fills"]}, deployed.digest)
    )
    match = found.metrics["fill_match"]
    assert match is None or match < 0.5
