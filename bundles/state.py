"""What has become of a bundle: the state that follows from its history, entry by entry.

A bundle stands where ordinary promotions brought it (its *earned* stage), or higher for the hours that a broken glass
lasts. Whatever moves a bundle ends the requests that were open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from bundles.approvals import Approval
from bundles.canonical import Digest, Int64, Part
from bundles.entries import (
    Approved,
    Attested,
    Authored,
    Demoted,
    Denied,
    Evaluated,
    LedgerEntry,
    Promoted,
    Quarantined,
    Registered,
    Released,
    Requested,
    Reviewed,
)
from bundles.errors import IntegrityError, NotFoundError
from bundles.evidence import EvaluationKind
from bundles.people import same_person
from bundles.stages import STAGES
from bundles.statements import PromotionStatement
from bundles.times import in_utc


@dataclass(frozen=True, slots=True)
class Execution:
    """A runner's word that an evaluation's inputs give a result."""

    seq: int
    at_ns: int
    evaluation: str
    kind: EvaluationKind | None
    """None for an attestation: only the first record says what was executed."""
    record: str
    result: str
    runner: str
    signature: str
    stage: str
    """Where the bundle stood then."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a promotion (``prm_…``), and what people said to it."""

    id: str
    seq: int
    at_ns: int
    requested_by: str
    statement: PromotionStatement
    notes: str
    approvals: tuple[Approval, ...] = ()
    denial: Approval | None = None
    ended: str = ""
    """How it ended; empty while it is open."""


@dataclass(frozen=True, slots=True)
class RecordedPromotion:
    """A move up that was made."""

    seq: int
    at_ns: int
    request: Request
    from_stage: str
    governance: int

    @property
    def stage(self) -> str:
        """Where the bundle went."""
        return self.request.statement.stage


@dataclass(frozen=True, slots=True)
class Review:
    """What one reviewer said of a broken glass."""

    seq: int
    at_ns: int
    verdict: Literal["ratify", "demote"]
    approval: Approval
    governance: int


@dataclass(frozen=True, slots=True)
class Glass:
    """One breaking of the glass: what it lends, until when, and who looked at it afterwards."""

    promotion: RecordedPromotion
    until_ns: int
    reviews_needed: int
    reviews: tuple[Review, ...] = ()
    lifted: bool = False

    @property
    def is_debt(self) -> bool:
        """Tell whether reviews are still owed."""
        return len(self.reviews) < self.reviews_needed

    def lends_at(self, now_ns: int) -> bool:
        """Tell whether the bundle stands higher because of it."""
        return not self.lifted and now_ns < self.until_ns


class Lent(Part):
    """A stage that a broken glass lends for a while."""

    stage: str
    until_ns: Int64


class Standing(Part):
    """What lists show of a bundle; kept beside its ledger's head."""

    target: str
    strategy: str
    wasm: Digest | None
    earned: str
    lent: tuple[Lent, ...] = ()
    debt: bool = False
    quarantined: bool = False
    requests: tuple[str, ...] = ()
    """Open requests, by id; time or a change of policy may have ended them."""

    def stage_at(self, now_ns: int) -> str:
        """Return where the bundle stands."""
        lent = (each.stage for each in self.lent if now_ns < each.until_ns)
        return max([self.earned, *lent], key=STAGES[self.target].index)

    def lent_until_ns(self, now_ns: int) -> int | None:
        """Return until when a broken glass lends the bundle its stage; None where it stands on its own."""
        stage = self.stage_at(now_ns)
        until = (each.until_ns for each in self.lent if each.stage == stage != self.earned and now_ns < each.until_ns)
        return max(until, default=None)

    def remarks(self, now_ns: int) -> tuple[str, ...]:
        """Say what is out of the ordinary, in words that stand out in lists and reports."""
        until_ns = self.lent_until_ns(now_ns)
        until = "" if until_ns is None else f"BREAK-GLASS until {in_utc(until_ns)}"
        owed = "REVIEW OWED" if self.debt else ""
        return tuple(filter(None, ("QUARANTINED" if self.quarantined else "", until, owed)))


@dataclass(frozen=True, slots=True)
class BundleState:
    """What has become of a bundle."""

    bundle: str
    manifest: str
    target: str
    strategy: str
    wasm: str | None
    author: str
    last: LedgerEntry
    """The last entry of the history."""
    author_signature: str = ""
    """By which the author's name is known to be no other's; empty while it was only typed."""
    earned: str = "research"
    earned_at_ns: int = 0
    evaluated: tuple[Execution, ...] = ()
    attested: tuple[Execution, ...] = ()
    requests: tuple[Request, ...] = ()
    promotions: tuple[RecordedPromotion, ...] = ()
    glasses: tuple[Glass, ...] = ()
    quarantined_by: LedgerEntry | None = None
    """The entry that began the quarantine, while it lasts."""
    last_move: int = 1
    """The entry that last moved the bundle, or began or ended what may move it."""

    @property
    def entries(self) -> int:
        """How many entries the history has."""
        return self.last.seq

    @property
    def at_ns(self) -> int:
        """The time of the last entry."""
        return self.last.at_ns

    @property
    def quarantine(self) -> int | None:
        """The number of the entry that began the quarantine, while it lasts."""
        return self.quarantined_by.seq if self.quarantined_by else None

    def stage_at(self, now_ns: int) -> str:
        """Return where the bundle stands: its earned stage, or what a broken glass lends it."""
        lent = [glass.promotion.stage for glass in self.glasses if glass.lends_at(now_ns)]
        order = STAGES[self.target]
        return max([self.earned, *lent], key=order.index)

    def find(self, evaluation: str) -> Execution | None:
        """Return the latest mention of an evaluation."""
        return next((each for each in reversed(self.evaluated) if each.evaluation == evaluation), None)

    def latest(self, kind: str) -> Execution | None:
        """Return the evaluation of a kind that counts: the last one."""
        return next((each for each in reversed(self.evaluated) if each.kind == kind), None)

    def executions_of(self, evaluation: str) -> tuple[Execution, ...]:
        """Return everything that runners said of an evaluation."""
        return tuple(each for each in (*self.evaluated, *self.attested) if each.evaluation == evaluation)

    def request(self, request_id: str) -> Request:
        """Return a request by its whole id."""
        for each in self.requests:
            if each.id == request_id:
                return each
        raise NotFoundError(f"Bundle {self.bundle} has no request {request_id}. List them: sequence requests --all")

    @property
    def open_requests(self) -> tuple[Request, ...]:
        """The requests that nothing in the history ended."""
        return tuple(each for each in self.requests if not each.ended)

    @property
    def debts(self) -> tuple[Glass, ...]:
        """The broken glasses that still owe reviews."""
        return tuple(glass for glass in self.glasses if glass.is_debt)

    def standing(self) -> Standing:
        """Return what lists show."""
        return Standing(
            target=self.target,
            strategy=self.strategy,
            wasm=self.wasm,
            earned=self.earned,
            lent=tuple(
                Lent(stage=glass.promotion.stage, until_ns=glass.until_ns)
                for glass in self.glasses
                if not glass.lifted and glass.until_ns > self.at_ns
            ),
            debt=bool(self.debts),
            quarantined=self.quarantine is not None,
            requests=tuple(each.id for each in self.open_requests),
        )


def fold(entries: Iterable[LedgerEntry]) -> BundleState:
    """Return the state that follows from a history.

    Raises:
        IntegrityError: the history cannot have come about.

    """
    state: BundleState | None = None
    for entry in entries:
        state = after(state, entry)
    if state is None:
        raise IntegrityError("An empty history has no state. Register the bundle first.")
    return state


def after(state: BundleState | None, entry: LedgerEntry) -> BundleState:
    """Return the state after one more entry.

    Raises:
        IntegrityError: the entry cannot follow.

    """
    body = entry.body
    if state is None:
        if not isinstance(body, Registered):
            raise _impossible(entry, f"begins the history with {entry.kind}, not with registered")
        return BundleState(
            bundle=entry.ledger,
            manifest=body.manifest,
            target=body.target,
            strategy=body.strategy,
            wasm=body.wasm,
            author=entry.actor,
            last=entry,
            earned_at_ns=entry.at_ns,
        )
    step = _STEPS.get(type(body))
    if step is None:
        raise _impossible(entry, f"is of kind {entry.kind}, which does not belong there")
    return replace(step(state, entry, body), last=entry)


def _authored(state: BundleState, entry: LedgerEntry, body: Authored) -> BundleState:
    if same_person(entry.actor) != same_person(state.author):
        raise _impossible(entry, f"is signed by {entry.actor}, who is not the author")
    return replace(state, author_signature=body.signature)


def _evaluated(state: BundleState, entry: LedgerEntry, body: Evaluated) -> BundleState:
    return replace(state, evaluated=(*state.evaluated, _execution(state, entry, body, body.evaluation_kind)))


def _attested(state: BundleState, entry: LedgerEntry, body: Attested) -> BundleState:
    return replace(state, attested=(*state.attested, _execution(state, entry, body, None)))


def _execution(
    state: BundleState, entry: LedgerEntry, body: Evaluated | Attested, kind: EvaluationKind | None
) -> Execution:
    return Execution(
        seq=entry.seq,
        at_ns=entry.at_ns,
        evaluation=body.evaluation,
        kind=kind,
        record=body.record,
        result=body.result,
        runner=entry.actor,
        signature=body.signature,
        stage=state.stage_at(entry.at_ns),
    )


def _requested(state: BundleState, entry: LedgerEntry, body: Requested) -> BundleState:
    asked = body.statement
    if (asked.bundle, asked.entry, asked.follows) != (state.manifest, entry.seq, entry.previous):
        raise _impossible(entry, "asks for another bundle, or at another place")
    request = Request(body.statement.request_id, entry.seq, entry.at_ns, entry.actor, body.statement, body.notes)
    return replace(state, requests=(*state.requests, request))


def _approved(state: BundleState, entry: LedgerEntry, body: Approved) -> BundleState:
    request = _open_request(state, entry, body.request)
    return _with_request(state, replace(request, approvals=(*request.approvals, body.approval)))


def _denied(state: BundleState, entry: LedgerEntry, body: Denied) -> BundleState:
    request = _open_request(state, entry, body.request)
    said = body.approval
    ended = f"denied by {said.approver}" + (f": {said.notes}" if said.notes else "")
    return _with_request(state, replace(request, ended=ended, denial=said))


def _promoted(state: BundleState, entry: LedgerEntry, body: Promoted) -> BundleState:
    request = _open_request(state, entry, body.request)
    statement = request.statement
    if (body.from_stage, body.stage) != (state.earned, statement.stage) or statement.target != state.target:
        raise _impossible(
            entry, f"promotes from {body.from_stage} to {body.stage}, while the bundle had earned {state.earned}"
        )
    promotion = RecordedPromotion(
        entry.seq, entry.at_ns, replace(request, ended="promoted"), body.from_stage, body.governance
    )
    state = _with_request(_moved(state, entry, kept=request.id), promotion.request)
    state = replace(state, promotions=(*state.promotions, promotion))
    if not statement.break_glass or statement.glass_s is None:
        return replace(state, earned=body.stage, earned_at_ns=entry.at_ns)
    glass = Glass(promotion, entry.at_ns + statement.glass_s * 10**9, body.reviews)
    return replace(state, glasses=(*state.glasses, glass))


def _demoted(state: BundleState, entry: LedgerEntry, body: Demoted) -> BundleState:
    order = STAGES[state.target]
    if not {body.from_stage, body.stage} <= set(order) or order.index(body.stage) >= order.index(body.from_stage):
        raise _impossible(entry, f"demotes from {body.from_stage} to {body.stage}, which is not down")
    top = order.index(body.stage)
    glasses = tuple(
        replace(glass, lifted=True) if order.index(glass.promotion.stage) > top else glass for glass in state.glasses
    )
    state = replace(_moved(state, entry), glasses=glasses)
    if order.index(state.earned) > top:
        state = replace(state, earned=body.stage, earned_at_ns=entry.at_ns)
    return state


def _quarantined(state: BundleState, entry: LedgerEntry, _body: Quarantined) -> BundleState:
    if state.quarantine is not None:
        raise _impossible(entry, "quarantines the bundle a second time")
    return replace(_moved(state, entry), quarantined_by=entry)


def _released(state: BundleState, entry: LedgerEntry, body: Released) -> BundleState:
    if state.quarantined_by is None or body.quarantine != state.quarantined_by.digest():
        raise _impossible(entry, "releases from a quarantine that is not in force")
    return replace(state, quarantined_by=None)


def _reviewed(state: BundleState, entry: LedgerEntry, body: Reviewed) -> BundleState:
    review = Review(entry.seq, entry.at_ns, body.verdict, body.approval, body.governance)
    if body.request not in {glass.promotion.request.id for glass in state.glasses}:
        raise _impossible(entry, f"reviews {body.request}, by which no glass was broken")
    glasses = tuple(
        replace(glass, reviews=(*glass.reviews, review), lifted=glass.lifted or body.verdict == "demote")
        if glass.promotion.request.id == body.request
        else glass
        for glass in state.glasses
    )
    lifts = body.verdict == "demote"
    return replace(_moved(state, entry) if lifts else state, glasses=glasses)


def _moved(state: BundleState, entry: LedgerEntry, kept: str = "") -> BundleState:
    """Void the requests that were made before the bundle moved, except one."""
    void = f"void: entry {entry.seq} ({entry.kind}) came between"
    requests = tuple(
        replace(each, ended=void) if not each.ended and each.id != kept else each for each in state.requests
    )
    return replace(state, requests=requests, last_move=entry.seq)


def _open_request(state: BundleState, entry: LedgerEntry, request_id: str) -> Request:
    found = next((each for each in state.requests if each.id == request_id), None)
    if found is None or found.ended:
        raise _impossible(entry, f"answers {request_id}, which {found.ended if found else 'was never asked'}")
    return found


def _with_request(state: BundleState, request: Request) -> BundleState:
    return replace(state, requests=tuple(request if each.seq == request.seq else each for each in state.requests))


def _impossible(entry: LedgerEntry, problem: str) -> IntegrityError:
    return IntegrityError(
        f"ledger/{entry.ledger}/{entry.seq:08d}.json: the entry {problem}. Restore the ledger from a backup."
    )


_STEPS: Final[dict[type[Part], Callable[[BundleState, LedgerEntry, Any], BundleState]]] = {
    Authored: _authored,
    Evaluated: _evaluated,
    Attested: _attested,
    Requested: _requested,
    Approved: _approved,
    Denied: _denied,
    Promoted: _promoted,
    Demoted: _demoted,
    Quarantined: _quarantined,
    Released: _released,
    Reviewed: _reviewed,
}
