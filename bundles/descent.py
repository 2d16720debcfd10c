"""Down the ladder: demote, roll back, quarantine, release, and what a later failing evaluation does.

Taking risk away needs one operator and a reason; nothing else is asked. Ending a quarantine puts risk back, so it needs
whoever the policy names.

The same words by the same person again, while nothing else moved the bundle, find the entry that is there: that is what
a rerun after a crash does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bundles.approvals import Approval, approval_problems, word_of
from bundles.catalog import Catalog
from bundles.debts import review_problems
from bundles.entries import Body, Demoted, LedgerEntry, Quarantined, Released, Reviewed
from bundles.errors import IntegrityError, InvalidInputError, RefusedError
from bundles.gates import evaluate_gate
from bundles.people import read_note, same_person
from bundles.stages import STAGES
from bundles.state import BundleState, Glass, fold
from bundles.statements import ReleaseStatement, ReviewStatement
from bundles.verification import Verifier
from bundles.vouching import standing_evidence


@dataclass(frozen=True, slots=True)
class Change:
    """What was recorded, or found recorded; ``ledger_seq`` is None where nothing had to be."""

    bundle: str
    stage_before: str
    stage: str
    ledger_seq: int | None


def demote(catalog: Catalog, bundle: str, *, stage: str, notes: str, operator: str, now_ns: int) -> Change:
    """Move a bundle down to a stage.

    Raises:
        RefusedError: the bundle stands there already, or lower, or its ladder has no such stage.

    """

    def body(state: BundleState, now: str) -> Body:
        order = STAGES[state.target]
        if stage not in order:
            raise RefusedError(f"The {state.target} ladder has no stage {stage}; it is {' → '.join(order)}.")
        if order.index(stage) >= order.index(now):
            raise RefusedError(
                f"Bundle {state.bundle} stands at {now}; {stage} is not below that. Nothing was changed."
            )
        return Demoted(from_stage=now, stage=stage, notes=_reason(notes))

    def is_done(state: BundleState, entry: LedgerEntry) -> bool:
        return _is_last_move(state, entry, notes, stage)

    return _change(catalog, bundle, body, operator, now_ns, is_done=is_done)


def roll_back(catalog: Catalog, bundle: str, *, notes: str, operator: str, now_ns: int) -> Change:
    """Undo a bundle's last promotion: back to the stage that it came from, and out of what a broken glass lends it.

    Raises:
        RefusedError: the bundle stands at research.

    """

    def body(state: BundleState, now: str) -> Body:
        order = STAGES[state.target]
        below = [each.from_stage for each in reversed(state.promotions) if each.stage == now]
        if now == order[0] or not below:
            raise RefusedError(f"Bundle {state.bundle} stands at {now}; there is no promotion to undo.")
        return Demoted(from_stage=now, stage=below[0], notes=_reason(notes))

    def is_done(state: BundleState, entry: LedgerEntry) -> bool:
        last = state.promotions[-1] if state.promotions else None
        undoes = isinstance(entry.body, Demoted) and last is not None and entry.body.from_stage == last.stage
        return undoes and _is_last_move(state, entry, notes)

    return _change(catalog, bundle, body, operator, now_ns, is_done=is_done)


def quarantine(catalog: Catalog, bundle: str, *, notes: str, operator: str, now_ns: int) -> Change:
    """Stop a bundle from going anywhere and void its open requests; doing it again changes nothing."""

    def body(state: BundleState, _now: str) -> Body | None:
        return None if state.quarantine is not None else Quarantined(notes=_reason(notes))

    return _change(catalog, bundle, body, operator, now_ns)


def release_statement(catalog: Catalog, bundle: str) -> ReleaseStatement:
    """Return what is signed to end a bundle's quarantine."""
    state = Verifier(catalog).state(catalog.ledger.history(catalog.resolve_bundle(bundle)))
    return _release_statement(state)


def release(
    catalog: Catalog, bundle: str, *, notes: str, operator: str, key: Path | None, signature: str = "", now_ns: int
) -> Change:
    """End a quarantine.

    Raises:
        RefusedError: there is none, or the policy asks for somebody else's word.

    """
    verifier = Verifier(catalog)

    def body(state: BundleState, _now: str) -> Body:
        statement, governance = _release_statement(state), verifier.governance()
        word = word_of(operator, statement, at_ns=now_ns, notes=notes, key=key, signature=signature)
        problems = tuple(
            approval_problems(
                word,
                statement=statement,
                roster=governance.roster,
                author=state.author,
                signers=governance.policy.release,
                at_ns=max(now_ns, state.at_ns),
            )
        )
        if problems:
            raise RefusedError(f"Bundle {state.bundle} stays in quarantine:", problems)
        return Released(quarantine=statement.quarantine, approval=word, governance=governance.entries)

    def is_done(state: BundleState, entry: LedgerEntry) -> bool:
        is_mine = isinstance(entry.body, Released) and entry.body.approval.notes == notes
        return state.quarantine is None and is_mine

    return _change(catalog, bundle, body, operator, now_ns, verifier, is_done=is_done)


def review_statement(catalog: Catalog, bundle: str, verdict: Literal["ratify", "demote"]) -> ReviewStatement:
    """Return what a reviewer signs about the oldest broken glass that owes reviews."""
    state = Verifier(catalog).state(catalog.ledger.history(catalog.resolve_bundle(bundle)))
    return _review_statement(state, _owing(state), verdict)


def review(
    catalog: Catalog,
    bundle: str,
    *,
    verdict: Literal["ratify", "demote"],
    notes: str,
    reviewer: str,
    key: Path | None,
    signature: str = "",
    now_ns: int,
) -> Change:
    """Record what somebody says afterwards of a broken glass; ``demote`` takes the lent stage away at once.

    Raises:
        RefusedError: no glass owes reviews, or this reviewer's word does not count.

    """
    verifier = Verifier(catalog)

    def body(state: BundleState, _now: str) -> Body:
        glass, governance = _owing(state), verifier.governance()
        statement = _review_statement(state, glass, verdict)
        word: Approval = word_of(reviewer, statement, at_ns=now_ns, notes=notes, key=key, signature=signature)
        problems = tuple(review_problems(state, glass, verdict, word, governance, max(now_ns, state.at_ns)))
        if problems:
            raise RefusedError(f"The review of {reviewer} does not count:", problems)
        return Reviewed(request=statement.request, verdict=verdict, approval=word, governance=governance.entries)

    def is_done(state: BundleState, entry: LedgerEntry) -> bool:
        owing = state.debts[0].promotion.request.id if state.debts else None
        said = entry.body
        return (
            isinstance(said, Reviewed)
            and (said.verdict, said.approval.notes) == (verdict, notes)
            and owing in {None, said.request}
        )

    return _change(catalog, bundle, body, reviewer, now_ns, verifier, is_done=is_done)


def demote_on_failure(catalog: Catalog, bundle: str, *, now_ns: int) -> Change | None:
    """Do what the policy says when the latest evaluation of a kind fails a stage that the bundle has climbed.

    Asked after every evaluation; a bundle that need not move stays, and the result is None.
    """
    verifier = Verifier(catalog)
    bundle_id = catalog.resolve_bundle(bundle)
    state = verifier.state(catalog.ledger.history(bundle_id))
    found = _failed_stage(verifier, state, now_ns)
    if found is None:
        return None
    stage, evaluation, reasons = found
    order = STAGES[state.target]

    def body(_state: BundleState, now: str) -> Body | None:
        if order.index(now) < order.index(stage):
            return None  # somebody was faster
        return Demoted(
            from_stage=now,
            stage=order[order.index(stage) - 1],
            evaluation=evaluation,
            notes=f"does not hold: {reasons}",
        )

    return _change(catalog, bundle_id, body, "policy", now_ns, verifier)


def _failed_stage(verifier: Verifier, state: BundleState, now_ns: int) -> tuple[str, str, str] | None:
    """Return the lowest stage that a later failing evaluation takes away, that evaluation, and what does not hold."""
    governance, order, now = verifier.governance(), STAGES[state.target], state.stage_at(now_ns)
    for stage in order[1 : order.index(now) + 1]:
        rule = governance.policy.rule(state.target, stage)
        if rule is None or not rule.demote_on_failure:
            continue
        for latest in standing_evidence(state, rule, governance, now_ns):
            record = verifier.records([latest.evaluation]).get(latest.evaluation)
            if record is None or latest.seq < state.last_move:
                continue
            gate = evaluate_gate(rule, record)
            if gate.verdict == "fail":
                failed = (check.text for check in gate.checks if check.ok is False and not check.dry_run)
                return stage, latest.evaluation, "; ".join(failed)
    return None


def _change(
    catalog: Catalog,
    bundle: str,
    body: Callable[[BundleState, str], Body | None],
    operator: str,
    now_ns: int,
    verifier: Verifier | None = None,
    *,
    is_done: Callable[[BundleState, LedgerEntry], bool] = lambda _state, _entry: False,
) -> Change:
    """Append what ``body`` makes of state and stage, unless ``is_done`` knows an entry of this operator for it."""
    if not operator.strip():
        raise InvalidInputError("Name who does it.")
    bundle_id = catalog.resolve_bundle(bundle)

    def draft(history: Sequence[LedgerEntry]) -> tuple[tuple[int | None, BundleState], Body | None]:
        # Down goes even a bundle whose evidence was lost or whose record was tampered with.
        state = verifier.state(history) if verifier else fold(history)
        mine = (each for each in reversed(history) if same_person(each.actor) == same_person(operator))
        done = next((each.seq for each in mine if is_done(state, each)), None)
        return (done, state), body(state, state.stage_at(max(now_ns, state.at_ns))) if done is None else None

    append = catalog.ledger.append if verifier else catalog.ledger.append_regardless
    (done, state), seq = append(bundle_id, actor=operator, at_ns=now_ns, draft=draft)
    before = state.stage_at(max(now_ns, state.at_ns))
    return Change(bundle_id, before, _stage_after(catalog, state, now_ns), done or seq)


def _stage_after(catalog: Catalog, before: BundleState, now_ns: int) -> str:
    """Return where the bundle stands now; of a ledger that does not verify, what its head was made to show."""
    try:
        state = catalog.ledger.state(before.bundle)
    except IntegrityError:
        standing = catalog.ledger.standing(before.bundle)
        return standing.stage_at(now_ns) if standing else before.earned
    return state.stage_at(max(now_ns, state.at_ns))


def _is_last_move(state: BundleState, entry: LedgerEntry, notes: str, stage: str | None = None) -> bool:
    """Tell whether an entry is the bundle's last move, down, for this reason."""
    body = entry.body
    return (
        isinstance(body, Demoted)
        and entry.seq == state.last_move
        and body.notes == read_note(notes)
        and stage in {None, body.stage}
    )


def _reason(notes: str) -> str:
    if not notes.strip():
        raise InvalidInputError("Say why: give notes, which the record keeps.")
    return read_note(notes)


def _release_statement(state: BundleState) -> ReleaseStatement:
    if state.quarantined_by is None:
        raise RefusedError(f"Bundle {state.bundle} is in no quarantine. Nothing was changed.")
    return ReleaseStatement(bundle=state.manifest, quarantine=state.quarantined_by.digest())


def _owing(state: BundleState) -> Glass:
    if not state.debts:
        raise RefusedError(f"No broken glass of bundle {state.bundle} owes a review. Nothing was changed.")
    return state.debts[0]


def _review_statement(state: BundleState, glass: Glass, verdict: Literal["ratify", "demote"]) -> ReviewStatement:
    return ReviewStatement(bundle=state.manifest, request=glass.promotion.request.id, verdict=verdict)
