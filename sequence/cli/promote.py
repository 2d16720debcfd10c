"""`sequence bundle promote`: ask for a promotion and, with an approver, approve it at once."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from sequence.cli.ids import BUNDLE, EVALUATION
from sequence.cli.layout import wrapped
from sequence.cli.session import Command, Session, pass_session
from sequence.cli.signing import key_at_hand, telling_how_to_sign

if TYPE_CHECKING:
    from bundles.promotion import Outcome, Wish

_TARGETS: Final = ("edge", "sor", "assignment")
_STAGES: Final = ("research", "replay", "shadow", "sandbox", "live", "scaled")


@click.command(cls=Command)
@click.option("--bundle", "bundle_id", required=True, type=BUNDLE, help="Bundle ID to promote")
@click.option("--target", required=True, type=click.Choice(_TARGETS), help="The bundle's ladder")
@click.option("--stage", required=True, type=click.Choice(_STAGES), help="Target stage")
@click.option(
    "--eval-run",
    "evaluations",
    multiple=True,
    type=EVALUATION,
    help="Evaluation that justifies the promotion (required unless --break-glass; repeatable)",
)
@click.option("--approver", default="", help="Who is approving; without, the request stays open for: sequence approve")
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign the approval with this OpenSSH key [default where one is asked for: the first usual one in ~/.ssh that "
    "the roster lists]",
)
@click.option("--break-glass", is_flag=True, help="Emergency bypass: skips ladder order, evaluations and quorum")
@click.option(
    "--hours", type=click.IntRange(1, 24), help="How long a broken glass lasts [default: as the policy says, 4]"
)
@click.option("--notes", default="", help="Reason or context for the promotion")
@pass_session
def promote(
    session: Session,
    bundle_id: str,
    target: str,
    stage: str,
    evaluations: tuple[str, ...],
    approver: str,
    key: Path | None,
    break_glass: bool,
    hours: int | None,
    notes: str,
) -> None:
    """Move a bundle through the deployment ladder; exit 3 lists every condition that is not met.

    Opens a request, which is promoted as soon as it has all the approvals that the policy asks for.
    """
    from bundles.errors import RefusedError
    from bundles.promotion import Wish, ask

    if key is not None and not approver.strip():
        raise click.UsageError("--key signs as somebody: give --approver too.")
    if hours is not None and not break_glass:
        raise click.UsageError("--hours says how long a broken glass lasts: it goes with --break-glass.")
    wish = Wish(bundle_id, target, stage, evaluations, break_glass, hours, notes)
    now_ns, person = time.time_ns(), approver.strip()
    if break_glass and not person:
        outcome = _without_approver(session, wish, now_ns)
    else:
        outcome = ask(session.catalog, wish, requested_by=session.settings.user, now_ns=now_ns)
    if person and outcome.decision != "promoted":
        outcome = _approved_at_once(session, outcome, person, key, notes, now_ns)
    _show(session, outcome)
    if outcome.decision == "promoted" and break_glass:
        from sequence.cli.skipped import evaluate_skipped

        evaluate_skipped(session, outcome.bundle)
    if outcome.decision != "promoted":
        raise click.exceptions.Exit(RefusedError.exit_code)


def _without_approver(session: Session, wish: Wish, now_ns: int) -> Outcome:
    """Refuse to break the glass in nobody's name, and say what else is missing."""
    from bundles.promotion import Outcome, check

    decision = check(session.catalog, wish, now_ns=now_ns)
    others = decision.unmet if decision.decision == "refused" else ()
    bundle_id = session.catalog.resolve_bundle(wish.bundle)
    return Outcome(
        decision="refused",
        bundle=bundle_id,
        stage=session.catalog.ledger.state(bundle_id).stage_at(now_ns),
        unmet=("breaking the glass needs an approver; give --approver", *others),
        request=None,
        ledger_seq=None,
        checks=decision.checks,
        statement=decision.statement,
    )


def _approved_at_once(
    session: Session, outcome: Outcome, person: str, key: Path | None, notes: str, now_ns: int
) -> Outcome:
    """Bring the approver's word to an open request; what was refused anyway is told what else keeps that word out."""
    from bundles.approvals import approval_problems, word_of
    from bundles.errors import RefusedError
    from bundles.governance import in_force
    from bundles.promotion import answer
    from bundles.quorum import approval_rule
    from bundles.statements import PROMOTION

    governance, state = in_force(session.catalog), session.catalog.ledger.state(outcome.bundle)
    rule, roster = approval_rule(governance.policy, state.target, outcome.statement), governance.roster
    if key is None and rule is not None and rule.signed:
        key = key_at_hand(roster, person, PROMOTION, now_ns)
    if outcome.request is None:
        if rule is None:
            return outcome
        typed = word_of(person, outcome.statement, at_ns=now_ns, notes=notes)
        problems = approval_problems(
            typed,
            statement=outcome.statement,
            roster=roster,
            author=state.author,
            signers=rule.model_copy(update={"signed": rule.signed and key is None}),
            at_ns=now_ns,
        )
        return replace(outcome, unmet=(*outcome.unmet, *problems))
    word = word_of(person, outcome.statement, at_ns=now_ns, notes=notes, key=key)
    try:
        with telling_how_to_sign(roster, person, rule, signed=word.kind == "signed"):
            return answer(session.catalog, outcome.request, "approve", word, now_ns=now_ns)
    except RefusedError as error:
        return replace(outcome, decision="refused", unmet=(*error.unmet, *outcome.unmet))


def _show(session: Session, outcome: Outcome) -> None:
    session.emit(
        {
            "decision": outcome.decision,
            "stage": outcome.stage,
            "unmet": list(outcome.unmet),
            "ledger_seq": outcome.ledger_seq,
            "request": outcome.request,
            "statement": outcome.statement.canonical().decode() if outcome.request else None,
            "checks": [{"text": each.text, "ok": each.ok, "dry_run": each.dry_run} for each in outcome.checks],
        },
        [
            f"Bundle ID: {outcome.bundle}",
            f"Decision: {outcome.decision}",
            f"Stage: {outcome.stage}",
            *(line for condition in outcome.unmet for line in wrapped(f"Unmet: {condition}")),
            *([] if outcome.ledger_seq is None else [f"Ledger entry: {outcome.ledger_seq}"]),
            *([] if outcome.request is None else [f"Request: {outcome.request}"]),
        ],
    )
    if outcome.decision != "promoted" and outcome.request:
        stays = "The request stays open" if outcome.decision == "refused" else "The request waits"
        session.say(f"{stays}. To approve: sequence approve {outcome.request}")
