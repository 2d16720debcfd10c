"""Check and promote: fetch what the ladder needs from the store, verified, and record what it decides.

Nothing is decided while bytes that the bundle or a named evaluation rests on are lost or changed, and nothing is
written unless the bundle moves.

Promoting again to the stage where a bundle already is, on the same evidence, is what a rerun after a crash does: it
finds the entry that was written and returns it. Nothing is recorded twice, whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bundles.approvals import Approval, Roster, Statement
from bundles.canonical import short_id
from bundles.catalog import Catalog
from bundles.entries import BundleState, LedgerEntry, Promoted, fold
from bundles.errors import AmbiguousIdError, IntegrityError, InvalidInputError, NotFoundError
from bundles.evidence import Evaluation
from bundles.gates import Check, GateResult, evaluate_gate
from bundles.grounds import verify_grounds
from bundles.ladder import Decision, Proposal, decide, statement_of
from bundles.ledger import entry_key
from bundles.people import read_note, read_person
from bundles.policy import Policy
from bundles.stages import STAGES


@dataclass(frozen=True, slots=True)
class Promotion:
    """What came of asking for a promotion; ``stage`` is where the bundle is now."""

    decision: Literal["promoted", "refused", "pending"]
    stage: str
    unmet: tuple[str, ...]
    ledger_seq: int | None
    checks: tuple[Check, ...]


def check(
    catalog: Catalog,
    *,
    bundle: str,
    target: str,
    stage: str,
    evaluations: Sequence[str],
    approvals: Sequence[Approval] = (),
    break_glass: bool = False,
    notes: str = "",
    now_ns: int,
) -> Decision:
    """Decide as `promote` would, and write nothing."""
    proposal = _proposal(catalog, bundle, target, stage, evaluations, approvals, break_glass, notes)
    state = verified_state(catalog, proposal.bundle)
    _verify_grounds(catalog, proposal)
    return _decide(catalog, proposal, state, catalog.policy(), catalog.roster(), now_ns)


def statement_for(
    catalog: Catalog,
    *,
    bundle: str,
    target: str,
    stage: str,
    evaluations: Sequence[str],
    break_glass: bool = False,
) -> Statement:
    """Return what approvers of a promotion agree to, and sign."""
    proposal = _proposal(catalog, bundle, target, stage, evaluations, (), break_glass, "")
    return statement_of(proposal, records=_records(catalog, proposal.evaluations), policy=catalog.policy())


def promote(
    catalog: Catalog,
    *,
    bundle: str,
    target: str,
    stage: str,
    evaluations: Sequence[str],
    approvals: Sequence[Approval] = (),
    break_glass: bool = False,
    notes: str = "",
    now_ns: int,
    requested_by: str,
) -> Promotion:
    """Move a bundle to a stage if the ladder allows it, and record that.

    Raises:
        NotFoundError: no such bundle.
        IntegrityError: something that the decision rests on does not verify.

    """
    if not requested_by.strip():
        raise InvalidInputError("A promotion names who asks for it. Give a name.")
    requested_by = read_person(requested_by)
    proposal = _proposal(catalog, bundle, target, stage, evaluations, approvals, break_glass, notes)
    verified_state(catalog, proposal.bundle)
    _verify_grounds(catalog, proposal)
    policy, roster = catalog.policy(), catalog.roster()
    stage_before = ""

    def decide_on(state: BundleState) -> tuple[Decision, Promoted | None]:
        nonlocal stage_before
        stage_before = state.stage
        decision = _decide(catalog, proposal, state, policy, roster, now_ns)
        if decision.decision != "promoted" or decision.repeats:
            return decision, None
        catalog.put_blob(roster.canonical())
        catalog.keep_policy(policy)
        body = Promoted(
            from_stage=state.stage,
            statement=decision.statement,
            approvals=proposal.approvals,
            roster=roster.digest(),
            notes=proposal.notes,
        )
        return decision, body

    decision, seq = catalog.ledger.promote(proposal.bundle, decide_on, actor=requested_by, at_ns=now_ns)
    return Promotion(
        decision=decision.decision,
        stage=stage if decision.decision == "promoted" else stage_before,
        unmet=decision.unmet,
        ledger_seq=seq,
        checks=decision.checks,
    )


def judge(catalog: Catalog, evaluation: Evaluation) -> GateResult:
    """Judge an evaluation by the current policy, for the first stage of its bundle's ladder that takes its kind."""
    manifest = catalog.bundle(short_id("bun", evaluation.inputs.bundle))
    policy = catalog.policy()
    for stage in STAGES[manifest.kind]:
        rule = policy.rule(manifest.kind, stage)
        if rule is not None and rule.evidence == evaluation.inputs.kind:
            return evaluate_gate(rule, evaluation)
    nowhere = f"no stage of the {manifest.kind} ladder takes {evaluation.inputs.kind} evaluations under {policy.name}"
    return GateResult("inconclusive", (Check(nowhere, None),))


def promotion_problems(catalog: Catalog, entries: Sequence[LedgerEntry]) -> list[str]:
    """Take every promotion of a history again, on the history, policy and roster of its time; list what does not hold.

    This is what finds an entry that something other than `promote` wrote.
    """
    problems = []
    for at, entry in enumerate(entries):
        body = entry.body
        if not isinstance(body, Promoted):
            continue
        where, bundle_id = entry_key(entry.bundle, entry.seq), entry.bundle
        try:
            state = fold(entries[:at])
            manifest = catalog.bundle(bundle_id)
            said = body.statement
            proposal = Proposal(
                bundle=bundle_id,
                manifest=manifest.digest(),
                bundle_kind=manifest.kind,
                target=said.target,
                stage=said.stage,
                evaluations=said.evaluations,
                approvals=body.approvals,
                break_glass=said.break_glass,
                notes=body.notes,
            )
            policy, roster = catalog.read(said.policy, Policy), catalog.read(body.roster, Roster)
            decision = _decide(catalog, proposal, state, policy, roster, entry.at_ns)
        except (IntegrityError, NotFoundError) as error:
            problems.append(f"{where}: what the promotion rests on cannot be verified: {error}")
            continue
        if decision.decision != "promoted" or decision.repeats:
            problems.append(
                f"{where}: the ladder does not allow this promotion: {'; '.join(decision.unmet) or 'it repeats one'}"
            )
        elif decision.statement != said:
            problems.append(f"{where}: the promotion states another verdict than its evaluations give")
    return problems


def verified_state(catalog: Catalog, bundle_id: str) -> BundleState:
    """Return a bundle's state after taking every promotion in its ledger again.

    Raises:
        IntegrityError: naming each entry that does not hold.

    """
    entries = catalog.ledger.history(bundle_id)
    if not entries:
        raise NotFoundError(f"Bundle {bundle_id} has no history. Register it again.")
    if problems := promotion_problems(catalog, entries):
        raise IntegrityError(
            "\n".join([*problems, f"Restore the ledger of {bundle_id} from a backup; run `audit verify`."])
        )
    return fold(entries)


def _proposal(
    catalog: Catalog,
    bundle: str,
    target: str,
    stage: str,
    evaluations: Sequence[str],
    approvals: Sequence[Approval],
    break_glass: bool,
    notes: str,
) -> Proposal:
    manifest = catalog.bundle(bundle)
    return Proposal(
        bundle=manifest.bundle_id,
        manifest=manifest.digest(),
        bundle_kind=manifest.kind,
        target=target,
        stage=stage,
        evaluations=tuple(dict.fromkeys(_whole_id(catalog, name) for name in evaluations if name.strip())),
        approvals=tuple(approvals),
        break_glass=break_glass,
        notes=read_note(notes),
    )


def _whole_id(catalog: Catalog, evaluation: str) -> str:
    """Return the whole id of an evaluation; one that does not exist stays as written, for the ladder to refuse."""
    try:
        return catalog.resolve_evaluation(evaluation)
    except AmbiguousIdError:
        raise
    except (NotFoundError, InvalidInputError):
        return evaluation


def _decide(
    catalog: Catalog, proposal: Proposal, state: BundleState, policy: Policy, roster: Roster, now_ns: int
) -> Decision:
    cited = [name for promotion in state.promotions for name in promotion.body.statement.evaluations]
    kinds = {
        rule.evidence for each in STAGES[proposal.bundle_kind] if (rule := policy.rule(proposal.bundle_kind, each))
    }
    latest = [found.evaluation for kind in sorted(kinds) if (found := state.latest(kind))]
    records = _records(catalog, {*proposal.evaluations, *cited, *latest})
    return decide(proposal, state=state, records=records, policy=policy, roster=roster, now_ns=now_ns)


def _verify_grounds(catalog: Catalog, proposal: Proposal) -> None:
    records = _records(catalog, dict.fromkeys(proposal.evaluations))
    verify_grounds(catalog, catalog.bundle(proposal.bundle), records.values())


def _records(catalog: Catalog, names: Iterable[str]) -> dict[str, Evaluation]:
    """Return the evaluations that exist, their bytes verified."""
    found = {}
    for name in names:
        try:
            found[name] = catalog.evaluation(name)
        except (NotFoundError, InvalidInputError):
            continue
    return found
