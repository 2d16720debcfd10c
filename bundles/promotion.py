"""Ask for a promotion, answer a request, promote: what the ladder decides on the verified store is recorded.

Nothing is decided while bytes that the bundle or a named evaluation rests on are lost or changed. A request is opened
only if nothing but approvals or runners is missing, and whoever brings the last of these makes the promotion.

Asking again finds the open request, answering again finds the answer, and promoting again to the stage where a bundle
already is, on the same evidence, finds the entry that was written: that is what a rerun after a crash does. Nothing is
recorded twice, whoever asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bundles.approvals import Approval
from bundles.catalog import Catalog
from bundles.debts import record_glass
from bundles.entries import Approved, Body, Denied, LedgerEntry, Promoted, Requested
from bundles.errors import AmbiguousIdError, InvalidInputError, NotFoundError, RefusedError
from bundles.gates import Check
from bundles.governance import in_force
from bundles.grounds import verify_grounds
from bundles.incumbents import succession_problems
from bundles.ladder import Decision, decide
from bundles.ledger import entry_key, time_of_next
from bundles.people import read_note
from bundles.proposals import Proposal
from bundles.quorum import answer_problems
from bundles.state import BundleState, Request
from bundles.statements import PromotionStatement
from bundles.verification import CLOCK_TOLERANCE_NS, Verifier


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for; ids may be unique prefixes."""

    bundle: str
    target: str
    stage: str
    evaluations: tuple[str, ...] = ()
    break_glass: bool = False
    glass_hours: int | None = None
    """How long the stage lasts when the glass is broken; None: as long as the policy says."""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it; ``stage`` is where the bundle is now, ``request`` the open or last request (``prm_…``)."""

    decision: Literal["promoted", "refused", "pending"]
    bundle: str
    stage: str
    unmet: tuple[str, ...]
    request: str | None
    ledger_seq: int | None
    checks: tuple[Check, ...]
    statement: PromotionStatement
    waits_for_runners: tuple[str, ...] = ()


def check(catalog: Catalog, wish: Wish, *, now_ns: int) -> Decision:
    """Decide as `ask` would, and write nothing."""
    proposal = _proposal(catalog, wish)
    _verify_grounds(catalog, proposal)
    verifier = Verifier(catalog)
    return _decide(catalog, verifier, proposal, verifier.history(proposal.bundle), now_ns)[1]


def ask(catalog: Catalog, wish: Wish, *, requested_by: str, now_ns: int) -> Outcome:
    """Open a request for a promotion, or find the one that is open; promote at once if it has all it needs.

    Raises:
        NotFoundError: no such bundle.
        IntegrityError: something that the decision rests on does not verify.

    """
    if not requested_by.strip():
        raise InvalidInputError("A promotion names who asks for it. Give a name.")
    proposal = _proposal(catalog, wish)
    _verify_grounds(catalog, proposal)
    verifier = Verifier(catalog)

    def draft(history: Sequence[LedgerEntry]) -> tuple[tuple[BundleState, Decision], Body | None]:
        state, decision = _decide(catalog, verifier, proposal, history, now_ns)
        if decision.decision != "pending" or decision.request:
            return (state, decision), None
        catalog.keep_policy(verifier.governance().policy)
        return (state, decision), Requested(statement=decision.statement, notes=proposal.notes)

    (state, decision), _ = catalog.ledger.append(proposal.bundle, actor=requested_by, at_ns=now_ns, draft=draft)
    if decision.decision == "refused":
        return _outcome(proposal, state, decision, None, now_ns)
    if not decision.repeats:
        catalog.bind_request(decision.statement)
    return _complete(catalog, verifier, proposal, actor=requested_by, now_ns=now_ns)


def answer(
    catalog: Catalog, request_id: str, decision: Literal["approve", "deny"], approval: Approval, *, now_ns: int
) -> Outcome:
    """Record somebody's answer to a request; the approval that was missing makes the promotion.

    Raises:
        NotFoundError: no such request.
        RefusedError: the answer does not count, or the request has ended; nothing was recorded.
        IntegrityError: something that the decision rests on does not verify.

    """
    statement = catalog.request(request_id)
    proposal = _proposal_of(catalog, statement, "")
    _verify_grounds(catalog, proposal)
    verifier = Verifier(catalog)

    def draft(history: Sequence[LedgerEntry]) -> tuple[Request, Body | None]:
        state = verifier.state(history)
        request = state.request(statement.request_id)
        known = _is_known(state, request, approval) if decision == "approve" else _is_denied(history, request, approval)
        if known:
            return request, None
        problems = tuple(_answer_problems(catalog, verifier, history, request, decision, approval, now_ns))
        if problems:
            raise RefusedError(f"The answer of {approval.approver} to {request.id} does not count:", problems)
        body: type[Approved | Denied] = Approved if decision == "approve" else Denied
        governance = verifier.governance().entries
        return request, body(request=request.id, approval=approval, governance=governance)

    request, _ = catalog.ledger.append(proposal.bundle, actor=approval.approver, at_ns=now_ns, draft=draft)
    proposal = _proposal_of(catalog, statement, request.notes)
    if decision == "deny":
        state, decided = _decide(catalog, verifier, proposal, catalog.ledger.history(proposal.bundle), now_ns)
        return _outcome(proposal, state, decided, request.id, now_ns)
    return _complete(catalog, verifier, proposal, actor=request.requested_by, now_ns=now_ns, only=request.id)


def complete(catalog: Catalog, request_id: str, *, now_ns: int) -> Outcome:
    """Promote on a request if it has all it needs, and say how it stands otherwise."""
    statement = catalog.request(request_id)
    bundle_id = _proposal_of(catalog, statement, "").bundle
    verifier = Verifier(catalog)
    request = verifier.state(catalog.ledger.history(bundle_id)).request(statement.request_id)
    proposal = _proposal_of(catalog, statement, request.notes)
    _verify_grounds(catalog, proposal)
    return _complete(catalog, verifier, proposal, actor=request.requested_by, now_ns=now_ns, only=request.id)


def _complete(
    catalog: Catalog, verifier: Verifier, proposal: Proposal, *, actor: str, now_ns: int, only: str | None = None
) -> Outcome:
    """Write the promotion if everything is there; with ``only`` on that request and no other."""
    told = ""  # the request of which the governance ledger knows, with its head moved on

    def draft(history: Sequence[LedgerEntry]) -> tuple[tuple[BundleState, Decision, Request | None], Body | None]:
        state, decision = _decide(catalog, verifier, proposal, history, now_ns)
        request, governance = decision.request, verifier.governance()
        if decision.decision != "promoted" or decision.repeats or request is None or only not in {None, request.id}:
            return (state, decision, None), None
        if proposal.break_glass and told != request.id:
            return (state, decision, request), None
        body = Promoted(
            request=request.id,
            from_stage=state.earned,
            stage=proposal.stage,
            governance=governance.entries,
            reviews=governance.policy.break_glass.reviews.count if proposal.break_glass else 0,
        )
        return (state, decision, None), body

    while True:
        (state, decision, untold), seq = catalog.ledger.append(proposal.bundle, actor=actor, at_ns=now_ns, draft=draft)
        if untold is None:
            return _outcome(proposal, state, decision, only, now_ns, seq=seq)
        record_glass(catalog, proposal.bundle, untold, now_ns=now_ns)
        verifier, told = Verifier(catalog), untold.id


def _outcome(
    proposal: Proposal, state: BundleState, decision: Decision, only: str | None, now_ns: int, *, seq: int | None = None
) -> Outcome:
    """Say what came of it; with ``only`` of that request, which may be over."""
    made = seq or decision.repeats
    said: Literal["promoted", "refused", "pending"] = "promoted" if made else decision.decision
    unmet, request = decision.unmet, only or (decision.request.id if decision.request else None)
    if decision.repeats:
        request = next(each.request.id for each in state.promotions if each.seq == decision.repeats)
    elif only and not made and (over := _why_over(state.request(only), decision)):
        said, unmet = "refused", (over,)
    return Outcome(
        decision=said,
        bundle=proposal.bundle,
        stage=proposal.stage if made else state.stage_at(now_ns),
        unmet=unmet,
        request=request,
        ledger_seq=made,
        checks=decision.checks,
        statement=decision.statement,
        waits_for_runners=decision.waits_for_runners,
    )


def _why_over(request: Request, decision: Decision) -> str | None:
    """Say why no answer can complete a request any more; None while one can."""
    if request.ended:
        return f"{request.id} has ended: {request.ended}; ask for the promotion again"
    if decision.decision != "refused" and (decision.request is None or decision.request.id != request.id):
        return (
            f"{request.id} is void: its time is over, or evidence, verdict or policy changed since it was opened; "
            "ask for the promotion again"
        )
    return None


def _is_known(state: BundleState, request: Request, approval: Approval) -> bool:
    """Tell whether a rerun brings what is recorded, or the promotion is made: then nothing is left to approve."""
    made = state.promotions[-1] if state.promotions else None
    stands = made is not None and (made.request.id, made.seq) == (request.id, state.last_move)
    said = any(each.person == approval.person and each.kind == approval.kind for each in request.approvals)
    return stands or (said and not request.ended)


def _is_denied(history: Sequence[LedgerEntry], request: Request, approval: Approval) -> bool:
    """Tell whether this person's denial is what ended a request."""
    bodies = (entry.body for entry in history)
    denials = (body for body in bodies if isinstance(body, Denied) and body.request == request.id)
    return any(each.approval.person == approval.person for each in denials)


def _answer_problems(
    catalog: Catalog,
    verifier: Verifier,
    history: Sequence[LedgerEntry],
    request: Request,
    decision: Literal["approve", "deny"],
    approval: Approval,
    now_ns: int,
) -> Iterable[str]:
    proposal = _proposal_of(catalog, request.statement, request.notes)
    now_ns = time_of_next(history, now_ns)
    state, decided = _decide(catalog, verifier, proposal, history, now_ns)
    over = _why_over(request, decided)
    if request.ended:
        yield over or ""
        return
    yield from answer_problems(state, request, decision, approval, verifier.governance(), now_ns)
    if decision == "approve":
        yield from (over,) if over else decided.unmet if decided.decision == "refused" else ()


def _proposal(catalog: Catalog, wish: Wish) -> Proposal:
    manifest = catalog.bundle(wish.bundle)
    hours = wish.glass_hours
    if wish.break_glass and hours is None:
        hours = in_force(catalog).policy.break_glass.default_hours
    if hours is not None and not (wish.break_glass and 0 < hours <= 24):
        raise InvalidInputError("Hours are given from 1 to 24, for breaking the glass only. Correct them.")
    return Proposal(
        bundle=manifest.bundle_id,
        manifest=manifest.digest(),
        bundle_kind=manifest.kind,
        target=wish.target,
        stage=wish.stage,
        evaluations=tuple(dict.fromkeys(_whole_id(catalog, name) for name in wish.evaluations if name.strip())),
        break_glass=wish.break_glass,
        glass_s=hours * 3_600 if hours is not None else None,
        notes=read_note(wish.notes),
    )


def _proposal_of(catalog: Catalog, statement: PromotionStatement, notes: str) -> Proposal:
    manifest = catalog.bundle(catalog.bundle_of(statement))
    return Proposal(
        bundle=manifest.bundle_id,
        manifest=manifest.digest(),
        bundle_kind=manifest.kind,
        target=statement.target,
        stage=statement.stage,
        evaluations=statement.evaluations,
        break_glass=statement.break_glass,
        glass_s=statement.glass_s,
        notes=notes,
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
    catalog: Catalog, verifier: Verifier, proposal: Proposal, history: Sequence[LedgerEntry], now_ns: int
) -> tuple[BundleState, Decision]:
    """Decide on a history whose every entry holds, as of the time that an entry written now bears."""
    ahead_ns = time_of_next(history, now_ns) - now_ns
    now_ns = time_of_next(history, now_ns)
    state, governance = verifier.state(history), verifier.governance()
    records = verifier.records_for(state, governance, proposal.evaluations, now_ns)
    decision = decide(
        proposal,
        state=state,
        records=records,
        governance=governance,
        debts=() if proposal.break_glass else verifier.debts(proposal.bundle, governance),
        now_ns=now_ns,
    )
    if decision.repeats:
        return state, decision
    unmet: list[str] = []
    if ahead_ns > CLOCK_TOLERANCE_NS:
        last = entry_key(history[-1].ledger, history[-1].seq)
        unmet.append(
            f"{last} is dated {ahead_ns / 3_600e9:.1f} h from now, so waiting times would be over too soon; set the "
            "clock of this machine right, or if it is, wait"
        )
    if not proposal.break_glass:
        rule = governance.policy.rule(proposal.bundle_kind, proposal.stage)
        unmet += succession_problems(catalog, verifier, proposal, state, records, rule, now_ns=now_ns)
    if unmet:
        decision = replace(decision, decision="refused", unmet=(*unmet, *decision.unmet))
    return state, decision


def _verify_grounds(catalog: Catalog, proposal: Proposal) -> None:
    records = catalog.known_evaluations(dict.fromkeys(proposal.evaluations))
    verify_grounds(catalog, catalog.bundle(proposal.bundle), records.values())
