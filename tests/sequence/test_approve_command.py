"""`sequence approve`, `requests`, and the ways down: signed with real keys, refused where a word does not count."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Command, Firm

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def request_id(sequence: Command, bundle: str, firm: Firm, evaluate: Callable[..., str]) -> str:
    """A request for stage replay, which wants one signature by risk and one by trading."""
    asked = sequence.json(*sequence.promotion(bundle, "--eval-run", evaluate(bundle), "--notes", "please"), exit_code=3)
    return str(asked["request"])


def unmet(sequence: Command, *arguments: str | Path) -> str:
    return "\n".join(sequence.json("approve", *arguments, exit_code=3)["error"]["unmet"])


def test_two_people_sign_and_the_bundle_moves(
    sequence: Command, firm: Firm, bundle: str, request_id: str, tmp_path: Path
) -> None:
    (waiting,) = sequence.json("requests")
    assert (waiting["request"], waiting["bundle_id"], waiting["status"]) == (request_id, bundle, "waiting")
    assert (waiting["from_stage"], waiting["stage"], waiting["notes"]) == ("research", "replay", "please")
    assert (waiting["approvals_given"], waiting["approvals_needed"]) == ([], 2)
    assert waiting["missing_roles"] == ["risk", "trading"]
    for name, found in (("jane", 1), ("tom", 1), ("olga", 0), ("otto", 0), ("quant", 0), ("nobody", 0)):
        assert len(sequence.json("requests", "--for", f"{name}@firm")) == found, name

    first = sequence.process(
        "approve", request_id[:11], "--approver", "jane@firm", "--key", firm.key("jane"), "--notes", "sound"
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[:4] == [
        f"Request: {request_id}",
        "Answer: approved by jane@firm (signed)",
        f"Bundle ID: {bundle}",
        "Decision: pending",
    ]
    assert "Asked by quant@firm: please" in first.stderr
    assert "ok: max_drawdown_pct 0.1 <= 2" in first.stderr
    assert f"Statement: {waiting['statement']}" in first.stderr
    lines = sequence("requests").stdout
    assert "Approvals: 1/2 (jane@firm)" in lines
    assert "Missing: trading" in lines
    assert sequence.json("requests", "--for", "jane@firm") == []

    firm.owns("tom", tmp_path / "home")
    last = sequence.json("approve", request_id, "--approver", "Tom@Firm")
    assert (last["signed"], last["decision"], last["stage"], last["unmet"]) == (True, "promoted", "replay", [])
    assert sequence.json("requests") == []
    assert "Ended: promoted" in sequence("requests", "--all").stdout
    assert "approved by jane@firm (signed), Tom@Firm (signed): please" in sequence("bundle", "history", bundle).stdout
    assert "Verdict: verifies" in sequence("audit", "verify").stdout


def test_one_person_counts_once(sequence: Command, firm: Firm, request_id: str) -> None:
    for name in ("jane@firm", "JANE@firm", "Jane <jane@firm>"):
        given = sequence.json("approve", request_id, "--approver", name, "--key", firm.key("jane"))
        assert given["decision"] == "pending"
    assert sequence.json("requests")[0]["approvals_given"] == ["jane@firm"]


def test_words_that_do_not_count_change_nothing(sequence: Command, firm: Firm, request_id: str, bundle: str) -> None:
    before = len(sequence.json("bundle", "history", bundle))
    own = unmet(sequence, request_id, "--key", firm.key("quant"))
    assert "quant@firm is the author" in own
    assert "is not in the roster" in unmet(sequence, request_id, "--approver", "jane@firm", "--key", firm.key("nobody"))
    assert "under another name" in unmet(sequence, request_id, "--approver", "jane@firm", "--key", firm.key("tom"))
    assert "none of the roles" in unmet(sequence, request_id, "--approver", "olga@firm", "--key", firm.key("olga"))
    typed = unmet(sequence, request_id, "--approver", "jane@firm")
    assert "is typed, the policy asks for a signature" in typed
    assert "--key PATH" in typed
    assert "lists no key of eve@firm" in unmet(sequence, request_id, "--approver", "eve@firm")
    assert len(sequence.json("bundle", "history", bundle)) == before
    assert sequence.json("requests")[0]["approvals_given"] == []


def test_a_denial_ends_the_request(sequence: Command, firm: Firm, request_id: str, bundle: str) -> None:
    denied = sequence(
        "approve", request_id, "--deny", "--notes", "too soon", "--approver", "tom@firm", "--key", firm.key("tom")
    )
    assert "Answer: denied by tom@firm (signed)" in denied.stdout
    assert "has ended: denied by tom@firm: too soon" in denied.stdout
    assert '"decision":"deny"' in denied.stderr
    assert sequence("requests").stdout == "No request waits.\n"
    (ended,) = sequence.json("requests", "--all")
    assert (ended["status"], ended["ended"]) == ("ended", "denied by tom@firm: too soon")
    assert "has ended" in unmet(sequence, request_id, "--approver", "jane@firm", "--key", firm.key("jane"))
    assert f"{request_id}: tom@firm (signed): too soon" in sequence("bundle", "history", bundle).stdout


def test_another_policy_voids_a_request_and_a_failure_blocks_it(
    sequence: Command, firm: Firm, bundle: str, request_id: str, evaluate: Callable[..., str]
) -> None:
    evaluate(bundle, max_drawdown_pct=50.0)
    (blocked,) = sequence.json("requests")
    assert blocked["status"] == "blocked"
    assert "Blocked: eval_" in sequence("requests").stdout
    sequence("approve", request_id, "--approver", "jane@firm", "--key", firm.key("jane"), exit_code=3)
    firm.policy.write_text(firm.policy.read_text().replace("name: default", "name: ours"))
    sequence("policy", "set", firm.policy, "--approver", "jane@firm", "--key", firm.key("jane"))
    assert sequence.json("requests") == []
    (void,) = sequence.json("requests", "--all")
    assert (void["request"], void["status"]) == (request_id, "void")
    assert "Void: " in sequence("requests", "--all").stdout


def test_a_signature_made_elsewhere_is_taken(sequence: Command, firm: Firm, request_id: str, tmp_path: Path) -> None:
    (waiting,) = sequence.json("requests")
    file = tmp_path / "signature"
    file.write_text(firm.sign("jane", waiting["denial"]))
    jane = (request_id, "--approver", "jane@firm", "--signature", file)
    assert "does not verify" in unmet(sequence, *jane)
    file.write_text(firm.sign("jane", waiting["statement"]))
    assert sequence.json("approve", *jane)["signed"] is True
    file.write_text(" \n")
    assert "is empty" in sequence("approve", *jane, exit_code=5).stderr
    sequence("approve", *jane, "--key", firm.key("jane"), exit_code=2)


def test_a_key_that_an_agent_serves_signs(sequence: Command, firm: Firm, request_id: str, tmp_path: Path) -> None:
    firm.owns("tom", tmp_path / "home")
    mine = tmp_path / "home" / ".ssh" / "id_ed25519"
    approve = f"{sys.executable} -m sequence approve {request_id} --approver tom@firm"
    done = subprocess.run(
        ["ssh-agent", "sh", "-c", f"ssh-add -q {mine} && rm {mine} && exec {approve}"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **sequence.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Answer: approved by tom@firm (signed)" in done.stdout, done.stderr


def test_a_typed_approval_counts_where_the_policy_takes_one(
    sequence: Command, bundle: str, evaluate: Callable[..., str]
) -> None:
    asked = sequence.json(*sequence.promotion(bundle, "--eval-run", evaluate(bundle)), exit_code=3)
    assert "Missing: anyone but quant@firm" in sequence("requests").stdout
    given = sequence.json("approve", asked["request"], "--approver", "jane@firm")
    assert (given["signed"], given["decision"], given["flow_runs_resumed"]) == (False, "promoted", 0)
    sequence("approve", "prm_0123456789abcdef", exit_code=4)


def test_a_flow_that_waits_is_resumed_and_prefect_may_be_away(
    sequence: Command, bundle: str, evaluate: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    answering = ModuleType("flows.answering")

    def resume(request_id: str, **answer: str) -> int:
        told.append((request_id, answer))
        if len(told) > 1:
            raise OSError("connection refused")
        return 1

    answering.resume_waiting_runs = resume  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flows.answering", answering)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    asked = sequence.json(*sequence.promotion(bundle, "--eval-run", evaluate(bundle)), exit_code=3)
    answer = ("approve", asked["request"], "--approver", "jane@firm", "--notes", "sound")
    assert "Flow runs resumed: 1" in sequence(*answer).stdout
    said = {"decision": "approve", "approver": "jane@firm", "notes": "sound", "signature": ""}
    assert told == [(asked["request"], said)]
    again = sequence(*answer)
    assert "Decision: promoted" in again.stdout
    assert "The answer is recorded, but Prefect at http://127.0.0.1:9/api was not told" in again.stderr


def test_requests_complete_in_the_shell(sequence: Command, bundle: str, evaluate: Callable[..., str]) -> None:
    asked = sequence.json(*sequence.promotion(bundle, "--eval-run", evaluate(bundle)), exit_code=3)
    environ = {"_SEQUENCE_COMPLETE": "bash_complete", "COMP_WORDS": "sequence approve prm_", "COMP_CWORD": "2"}
    assert sequence.process(environ=environ).stdout.split() == [f"plain,{asked['request']}"]


def test_a_broken_glass_is_reviewed_by_two_others(sequence: Command, firm: Firm, bundle: str) -> None:
    glass = ("--break-glass", "--notes", "fire", "--key", firm.key("otto"))
    sequence(*sequence.promotion(bundle, *glass, stage="live", approver="otto@firm"))
    assert sequence.json("bundle", "show", bundle)["debts"]

    def review(name: str, verdict: str, exit_code: int = 0) -> Any:
        return sequence.json(
            "bundle", "review", bundle, "--verdict", verdict, "--notes", "looked", "--approver", f"{name}@firm",
            "--key", firm.key(name), exit_code=exit_code,
        )  # fmt: skip

    assert "broke the glass" in "\n".join(review("otto", "ratify", 3)["error"]["unmet"])
    assert (review("jane", "ratify")["reviews"], sequence.json("bundle", "show", bundle)["stage"]) == (1, "live")
    assert review("jane", "ratify")["reviews"] == 1, "the same word again finds the entry"
    last = review("tom", "demote")
    assert (last["stage_before"], last["stage"], last["reviews"], last["reviews_needed"]) == ("live", "research", 2, 2)
    assert review("tom", "demote")["ledger_seq"] == last["ledger_seq"]
    shown = sequence.json("bundle", "show", bundle)
    assert (shown["debts"], shown["broken_glass_until"]) == ([], None)
    assert (
        "owes a review"
        in sequence("bundle", "review", bundle, "--verdict", "ratify", "--notes", "x", exit_code=3).stderr
    )


def test_the_author_signs_the_bundle(sequence: Command, firm: Firm, bundle: str, tmp_path: Path) -> None:
    assert "--key PATH" in sequence("bundle", "sign", bundle, exit_code=3).stderr
    assert "under another name" in sequence("bundle", "sign", bundle, "--key", firm.key("jane"), exit_code=3).stderr
    firm.owns("quant", tmp_path / "home")
    assert sequence.json("bundle", "sign", bundle)["ledger_seq"] == 2
    assert sequence.json("bundle", "sign", bundle)["ledger_seq"] is None
    assert "Author: quant@firm (signed)" in sequence("bundle", "show", bundle).stdout
    assert "authored quant@firm the author signed the bundle" in sequence("bundle", "history", bundle).stdout


def test_down_the_ladder_takes_one_operator_and_a_reason(
    sequence: Command, bundle: str, evaluate: Callable[..., str]
) -> None:
    sequence(*sequence.promotion(bundle, "--eval-run", evaluate(bundle), approver="jane@firm"))
    assert (
        "is not below" in sequence("bundle", "demote", bundle, "--stage", "replay", "--notes", "x", exit_code=3).stderr
    )
    sequence("bundle", "demote", bundle, "--stage", "research", "--notes", " ", exit_code=5)
    down = sequence.json("bundle", "demote", bundle, "--stage", "research", "--notes", "slow")
    assert down == {"bundle_id": bundle, "stage_before": "replay", "stage": "research", "ledger_seq": 6}
    sequence("bundle", "rollback", bundle, "--notes", "x", exit_code=3)
    sequence(*sequence.promotion(bundle, "--eval-run", evaluate(bundle), approver="jane@firm"))
    assert "Stage: research (was replay)" in sequence("bundle", "rollback", bundle, "--notes", "again").stdout
    history = sequence("bundle", "history", bundle).stdout
    assert "demoted quant@firm replay to research: slow" in history


def test_quarantine_voids_requests_until_a_release(sequence: Command, firm: Firm, bundle: str, request_id: str) -> None:
    assert sequence.json("bundle", "quarantine", bundle, "--notes", "odd fills")["ledger_seq"]
    assert "Nothing had to be changed." in sequence("bundle", "quarantine", bundle, "--notes", "again").stdout
    assert sequence("bundle", "list", "--all").stdout.endswith(" research QUARANTINED\n")
    assert "QUARANTINED: since entry" in sequence("bundle", "show", bundle).stdout
    assert sequence.json("requests") == []
    release = ("bundle", "release", bundle, "--notes", "explained", "--approver", "olga@firm")
    assert "--key PATH" in sequence(*release, exit_code=3).stderr
    assert sequence.json(*release, "--key", firm.key("olga"))["ledger_seq"]
    assert sequence.json("bundle", "show", bundle)["quarantined_since"] is None
    assert "released olga@firm the quarantine of entry" in sequence("bundle", "history", bundle).stdout
    assert "Verdict: verifies" in sequence("audit", "verify").stdout


def test_a_record_that_was_tampered_with_shows(
    sequence: Command, bundle: str, evaluate: Callable[..., str], tmp_path: Path
) -> None:
    sequence(*sequence.promotion(bundle, "--eval-run", evaluate(bundle), approver="jane@firm"))
    shutil.rmtree(tmp_path / "store" / "refs" / "evaluations")
    assert "does not allow this promotion" in sequence("requests", "--all", exit_code=7).stderr
    shown = sequence.json("bundle", "show", bundle, exit_code=7)
    assert shown["stage"] == "replay"
    assert any("does not allow this promotion" in problem for problem in shown["problems"])
