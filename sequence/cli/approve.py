"""`sequence approve`: read what is asked, sign the answer, record it, and wake the flow that waits for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import click

from sequence.cli.entries import asked_for
from sequence.cli.ids import REQUEST
from sequence.cli.layout import one_line, wrapped
from sequence.cli.requests import Asked, look_at
from sequence.cli.session import Command, Session, pass_session
from sequence.cli.signing import key_at_hand, read_signature, telling_how_to_sign
from sequence.verdicts import MARKS

if TYPE_CHECKING:
    from bundles.approvals import Approval
    from bundles.statements import PromotionStatement


@click.command(cls=Command)
@click.argument("request_id", metavar="PRM", type=REQUEST)
@click.option("--deny", is_flag=True, help="Say no: this ends the request")
@click.option("--notes", default="", help="Why")
@click.option("--approver", default="", help="Who answers [default: the user]")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign with this OpenSSH key [default: the first usual one in ~/.ssh that the roster lists]",
)
@click.option(
    "--signature", "signature_file", type=click.File(errors="replace"), help="A signature made elsewhere (- for stdin)"
)
@pass_session
def approve(
    session: Session,
    request_id: str,
    deny: bool,
    notes: str,
    approver: str,
    key: Path | None,
    signature_file: IO[str] | None,
) -> None:
    """Answer the request PRM: approve it, or deny it, with a signature of your OpenSSH key.

    The checklist, the reasons given and the statement to be signed are shown first. The approval that was missing makes
    the promotion. A Prefect flow that waits for this answer goes on with it.
    """
    from bundles.approvals import word_of
    from bundles.promotion import answer
    from bundles.statements import PROMOTION

    if key is not None and signature_file is not None:
        raise click.UsageError("--signature is a signature that was made; --key makes one. Give one of them.")
    now_ns, person = time.time_ns(), approver.strip() or session.settings.user
    decision: Literal["approve", "deny"] = "deny" if deny else "approve"
    asked = look_at(session.catalog, request_id, now_ns)
    statement, roster = asked.request.statement.saying(decision), asked.governance.roster
    for line in _what_is_agreed(asked, statement):
        session.say(one_line(line))
    signature = "" if signature_file is None else read_signature(signature_file)
    if key is None and not signature:
        key = key_at_hand(roster, person, PROMOTION, now_ns)
    word = word_of(person, statement, at_ns=now_ns, notes=notes, key=key, signature=signature)
    with telling_how_to_sign(roster, person, asked.rule, signed=word.kind == "signed"):
        outcome = answer(session.catalog, asked.request.id, decision, word, now_ns=now_ns)
    resumed = _resume_flows(session, asked.request.id, decision, word)
    done = "denied" if deny else "approved"
    session.emit(
        {
            "request": asked.request.id,
            "answer": decision,
            "approver": word.approver,
            "signed": word.kind == "signed",
            "bundle_id": outcome.bundle,
            "decision": outcome.decision,
            "stage": outcome.stage,
            "unmet": list(outcome.unmet),
            "ledger_seq": outcome.ledger_seq,
            "flow_runs_resumed": resumed,
        },
        [
            f"Request: {asked.request.id}",
            f"Answer: {done} by {word.approver} ({word.kind})",
            f"Bundle ID: {outcome.bundle}",
            f"Decision: {outcome.decision}",
            f"Stage: {outcome.stage}",
            *(line for condition in outcome.unmet for line in wrapped(f"Unmet: {condition}")),
            *([] if outcome.ledger_seq is None else [f"Ledger entry: {outcome.ledger_seq}"]),
            *([f"Flow runs resumed: {resumed}"] if resumed else []),
        ],
    )
    if outcome.decision == "promoted" and statement.break_glass and not resumed:  # a flow that was woken does it itself
        from sequence.cli.skipped import evaluate_skipped

        evaluate_skipped(session, outcome.bundle)
    if outcome.decision == "refused" and not deny:
        from bundles.errors import RefusedError

        raise click.exceptions.Exit(RefusedError.exit_code)


def _what_is_agreed(asked: Asked, statement: PromotionStatement) -> list[str]:
    request, decision = asked.request, asked.decision
    checks, unmet = (decision.checks, decision.unmet) if decision else ((), ())
    return [
        f"{request.id}: {asked.state.bundle} of {asked.state.author}, from {asked.state.stage_at(asked.now_ns)} to "
        f"{asked_for(statement)}",
        f"Asked by {request.requested_by}" + (f": {request.notes}" if request.notes else ""),
        *(f"  {MARKS[each.ok]}: {each.text}" + (" (dry run)" if each.dry_run else "") for each in checks),
        *(f"  missing: {condition}" for condition in unmet),
        f"Statement: {statement.canonical().decode()}",
    ]


def _resume_flows(session: Session, request_id: str, decision: Literal["approve", "deny"], word: Approval) -> int:
    """Hand a recorded answer to the flow runs that wait for it; return how many went on."""
    url = session.settings.prefect_api_url
    if not url:
        return 0
    session.progress(f"The answer is recorded; telling Prefect at {url}")
    try:
        from flows.answering import resume_waiting_runs

        return resume_waiting_runs(
            request_id, decision=decision, approver=word.approver, notes=word.notes, signature=word.signature
        )
    except Exception as error:  # noqa: BLE001 -- the answer is in the store, whatever Prefect says
        session.say(
            f"The answer is recorded, but Prefect at {url} was not told: {error}\nA flow that waits goes on when it is "
            "resumed in Prefect's UI."
        )
        return 0
