"""What a reviewer asks of a record: what changed, when, who made it, who approved it, on which evidence.

Commission Delegated Regulation (EU) 2017/589 (RTS 6), Article 5(7), asks a firm to record any material change to its
trading algorithms so that it can tell when the change was made, who made it, who approved it, and its nature.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from bundles.approvals import Approval
from bundles.canonical import Int64, Part
from bundles.catalog import Catalog
from bundles.entries import (
    GOVERNANCE_LEDGER,
    Demoted,
    Denied,
    GlassBroken,
    LedgerEntry,
    PolicySet,
    Promoted,
    Quarantined,
    Registered,
    Released,
    Reviewed,
    RosterSet,
)
from bundles.gates import evaluate_gate
from bundles.governance import Governance
from bundles.signatures import signer_of
from bundles.state import BundleState
from bundles.statements import GovernanceStatement, ReleaseStatement, ReviewStatement, Statement
from bundles.times import in_utc_to_the_us
from bundles.verification import Verifier


class Word(Part):
    """One person's approval, denial, release or review."""

    person: str
    roles: tuple[str, ...]
    """As the roster of the time gives them."""
    key: str
    """The fingerprint of the key that signed; empty where the name was only typed."""
    at: str
    notes: str


class Evidence(Part):
    """One evaluation that a promotion rests on."""

    evaluation: str
    kind: str
    verdict: str
    checks: tuple[str, ...]
    metrics: dict[str, int | float | str | None]
    runners: tuple[str, ...]


class Change(Part):
    """One line of the review."""

    at: str
    ledger: str
    entry: int
    what: str
    made_by: str
    """The author of the bundle; for policies and rosters who put them into force."""
    recorded_by: str
    approved_by: tuple[Word, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    request: str = ""
    policy: str = ""
    roster: str = ""
    break_glass: str = ""
    notes: str = ""


class Subject(Part):
    """A bundle under review."""

    bundle: str
    author: str
    registered: str
    stage: str
    remarks: tuple[str, ...]
    """What is out of the ordinary: a quarantine, a broken glass, a review that is owed."""
    manifest: dict[str, JsonValue]
    research: dict[str, str]
    """The artifacts that it cites, with their notes."""


class Power(Part):
    """Who may do what under the policy in force."""

    action: str
    who: str
    people: tuple[str, ...]


class Review(Part):
    """Everything that a reviewer is shown."""

    at_ns: Int64
    policy: str
    roster: str
    subjects: tuple[Subject, ...]
    changes: tuple[Change, ...]
    powers: tuple[Power, ...]


def review_of(catalog: Catalog, verifier: Verifier, bundle_ids: Iterable[str], *, now_ns: int) -> Review:
    """Tell the story of some bundles, and of policy and roster, from ledgers that verify."""
    governance = verifier.governance()
    subjects, changes = [], list(_governance_changes(verifier))
    for bundle_id in bundle_ids:
        history = verifier.history(bundle_id)
        state = verifier.state(history)
        manifest = catalog.manifest(state.manifest)
        subjects.append(
            Subject(
                bundle=bundle_id,
                author=state.author,
                registered=in_utc_to_the_us(history[0].at_ns),
                stage=state.stage_at(now_ns),
                remarks=state.standing().remarks(now_ns),
                manifest=manifest.model_dump(mode="json"),
                research={name: catalog.artifact(name).note for name in manifest.artifacts},
            )
        )
        changes += _Teller(verifier, state).changes(history)
    return Review(
        at_ns=now_ns,
        policy=_policy(governance),
        roster=governance.roster.digest(),
        subjects=tuple(subjects),
        changes=tuple(sorted(changes, key=lambda each: (each.at, each.ledger, each.entry))),
        powers=tuple(powers(governance)),
    )


def powers(governance: Governance) -> Iterator[Power]:
    """Say who may halt, and who may do what else."""
    policy, roster = governance.policy, governance.roster

    def holders(roles: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for role in roles for name in roster.people_with(role)))

    anyone = "any one operator of the store, at once and without approval"
    yield Power(action="demote, roll back or quarantine a bundle", who=anyone, people=())
    for action, count, rule in (
        ("end a quarantine", 1, policy.release),
        ("break the glass", 1, policy.break_glass),
        ("review a broken glass (ratify or demote)", policy.break_glass.reviews.count, policy.break_glass.reviews),
        ("change policy or roster", policy.governance.count, policy.governance),
    ):
        how = "with a signature" if rule.signed else "by name"
        who = f"{count} of the roles {', '.join(rule.roles)}" if rule.roles else f"{count}, anybody but the author"
        yield Power(action=action, who=f"{who}, {how}", people=holders(rule.roles))


def _governance_changes(verifier: Verifier) -> Iterator[Change]:
    for entry in verifier.history(GOVERNANCE_LEDGER):
        body = entry.body
        if isinstance(body, PolicySet | RosterSet):
            before, now = verifier.governance(entry.seq - 1), verifier.governance(entry.seq)
            what = f"policy {_policy(now)} put into force"
            if isinstance(body, RosterSet):
                people = (f"{name} ({', '.join(roles)})" for name, roles in now.roster.roles.items())
                what = f"roster put into force: {', '.join(people)}"
            document = body.policy if isinstance(body, PolicySet) else body.roster
            statement = GovernanceStatement(
                sets="policy" if isinstance(body, PolicySet) else "roster",
                document=document,
                entry=entry.seq,
                follows=entry.previous,
            )
            yield Change(
                at=in_utc_to_the_us(entry.at_ns),
                ledger=entry.ledger,
                entry=entry.seq,
                what=what,
                made_by=entry.actor,
                recorded_by=entry.actor,
                approved_by=tuple(_word(each, statement, before) for each in body.approvals),
                policy=_policy(now),
                roster=now.roster.digest(),
            )
        elif isinstance(body, GlassBroken):
            yield Change(
                at=in_utc_to_the_us(entry.at_ns),
                ledger=entry.ledger,
                entry=entry.seq,
                what=f"glass broken for {body.bundle}, to {body.stage}",
                made_by=entry.actor,
                recorded_by=entry.actor,
                request=body.request,
            )


class _Teller:
    """Tells one bundle's history."""

    def __init__(self, verifier: Verifier, state: BundleState) -> None:
        self._verifier = verifier
        self._state = state

    def changes(self, history: Iterable[LedgerEntry]) -> Iterator[Change]:
        """Yield what changed; evaluations and open requests change nothing."""
        for entry in history:
            change = self._change(entry)
            if change is not None:
                yield change

    def _change(self, entry: LedgerEntry) -> Change | None:
        body, state = entry.body, self._state
        if isinstance(body, Registered):
            return self._made(entry, f"registered: {body.target} bundle, strategy {body.strategy}")
        if isinstance(body, Promoted):
            return self._promoted(entry, body)
        if isinstance(body, Denied):
            statement = state.request(body.request).statement
            return self._made(
                entry,
                f"promotion to {statement.stage} denied",
                approved_by=(
                    _word(body.approval, statement.saying("deny"), self._verifier.governance(body.governance)),
                ),
                request=body.request,
            )
        if isinstance(body, Demoted):
            why = f" because of {body.evaluation}" if body.evaluation else ""
            return self._made(entry, f"demoted: {body.from_stage} to {body.stage}{why}", notes=body.notes)
        if isinstance(body, Quarantined):
            return self._made(entry, "quarantined", notes=body.notes)
        if isinstance(body, Released):
            word = ReleaseStatement(bundle=state.manifest, quarantine=body.quarantine)
            return self._decided(entry, "released from quarantine", body.governance, (body.approval, word))
        if isinstance(body, Reviewed):
            review = ReviewStatement(bundle=state.manifest, request=body.request, verdict=body.verdict)
            what = f"broken glass reviewed: {body.verdict}"
            return self._decided(entry, what, body.governance, (body.approval, review), body.request)
        return None

    def _promoted(self, entry: LedgerEntry, body: Promoted) -> Change:
        promotion = next(each for each in self._state.promotions if each.seq == entry.seq)
        request, governance = promotion.request, self._verifier.governance(body.governance)
        statement = request.statement
        glass = ""
        if statement.break_glass and statement.glass_s is not None:
            until = entry.at_ns + statement.glass_s * 10**9
            glass = f"glass broken until {in_utc_to_the_us(until)[:19]} UTC; {body.reviews} reviews asked for"
        return self._made(
            entry,
            f"promoted: {body.from_stage} to {body.stage}",
            approved_by=tuple(_word(each, statement, governance) for each in request.approvals),
            evidence=tuple(self._evidence(statement.stage, governance, statement.evaluations)),
            request=body.request,
            policy=_policy(governance),
            roster=governance.roster.digest(),
            break_glass=glass,
            notes=request.notes,
        )

    def _evidence(self, stage: str, governance: Governance, names: Iterable[str]) -> Iterator[Evidence]:
        rule = governance.policy.rule(self._state.target, stage)
        for name, record in self._verifier.records(tuple(names)).items():
            gate = evaluate_gate(rule, record) if rule else None
            yield Evidence(
                evaluation=name,
                kind=record.inputs.kind,
                verdict=gate.verdict if gate else "",
                checks=tuple(
                    f"{ {True: 'holds', False: 'fails', None: 'unknown'}[check.ok] }: {check.text}"
                    + (" (shown only)" if check.dry_run else "")
                    for check in (gate.checks if gate else ())
                ),
                metrics=record.model_dump(mode="json")["metrics"],
                runners=tuple(dict.fromkeys(each.runner for each in self._state.executions_of(name))),
            )

    def _decided(
        self, entry: LedgerEntry, what: str, governance: int, word: tuple[Approval, Statement], request: str = ""
    ) -> Change:
        then = self._verifier.governance(governance)
        return self._made(
            entry,
            what,
            approved_by=(_word(*word, then),),
            request=request,
            policy=_policy(then),
            roster=then.roster.digest(),
            notes=word[0].notes,
        )

    def _made(self, entry: LedgerEntry, what: str, **more: object) -> Change:
        return Change.model_validate(
            {
                "at": in_utc_to_the_us(entry.at_ns),
                "ledger": entry.ledger,
                "entry": entry.seq,
                "what": what,
                "made_by": self._state.author,
                "recorded_by": entry.actor,
                **more,
            }
        )


def _word(approval: Approval, statement: Statement, governance: Governance) -> Word:
    signed = approval.kind == "signed"
    used = signer_of(statement.canonical(), approval.signature, statement.namespace) if signed else None
    return Word(
        person=approval.approver,
        roles=tuple(sorted(governance.roster.roles_of(approval.approver))),
        key=used.fingerprint if used else "",
        at=in_utc_to_the_us(approval.at_ns),
        notes=approval.notes,
    )


def _policy(governance: Governance) -> str:
    return f"{governance.policy.name} ({governance.policy.digest()})"
