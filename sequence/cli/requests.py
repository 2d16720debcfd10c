"""`sequence requests`: what waits for whom."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import click

from bundles.times import in_utc
from sequence.cli.entries import asked_for
from sequence.cli.layout import wrapped
from sequence.cli.session import Command, Session, pass_session
from sequence.cli.times import HOUR_NS, lasting

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.governance import Governance
    from bundles.ladder import Decision
    from bundles.policy import ApprovalRule
    from bundles.state import BundleState, Request

Status: TypeAlias = Literal["waiting", "ready", "blocked", "void", "ended"]

_STATUS: Final[dict[str, Status]] = {"pending": "waiting", "promoted": "ready", "refused": "blocked"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it stands at a moment; ``decision`` is None for one that has ended."""

    request: Request
    state: BundleState
    governance: Governance
    decision: Decision | None
    now_ns: int

    @property
    def status(self) -> Status:
        """Waiting for people or runners, ready, blocked by something else, void or ended."""
        if self.decision is None:
            return "ended"
        if self.now_ns >= self.expires_ns or not self.request.statement.asks_the_same(self.decision.statement):
            return "void"
        return _STATUS[self.decision.decision]

    @property
    def rule(self) -> ApprovalRule | None:
        """Whose approvals the policy in force asks for."""
        from bundles.quorum import approval_rule

        return approval_rule(self.governance.policy, self.state.target, self.request.statement)

    @property
    def expires_ns(self) -> int:
        """When the request's time is over."""
        return self.request.at_ns + (self.rule.valid_hours if self.rule else 0) * HOUR_NS

    @property
    def given(self) -> tuple[str, ...]:
        """The people whose approvals count now."""
        from bundles.quorum import answer_problems

        counted = {
            each.person: each.approver
            for each in self.request.approvals
            if not list(answer_problems(self.state, self.request, "approve", each, self.governance, self.now_ns))
        }
        return tuple(counted.values())

    @property
    def missing_roles(self) -> tuple[str, ...]:
        """The roles of which somebody must still approve; those that the policy takes where any of them will do."""
        rule, roster = self.rule, self.governance.roster
        if rule is None:
            return ()
        held = [roster.roles_of(name) for name in self.given]
        named = tuple(role for role, least in rule.at_least.items() if sum(role in roles for roles in held) < least)
        return named or (rule.roles if len(self.given) < rule.count else ())

    def waits_for(self, person: str) -> bool:
        """Tell whether somebody's approval would bring the request further."""
        from bundles.approvals import Approval, approval_problems
        from bundles.people import same_person

        rule, roster, who = self.rule, self.governance.roster, same_person(person)
        if self.status != "waiting" or rule is None or who in {same_person(name) for name in self.given}:
            return False
        wanted = len(self.given) < rule.count or roster.roles_of(person) & set(self.missing_roles)
        return bool(wanted) and not list(
            approval_problems(
                Approval(approver=person, at_ns=self.now_ns),
                statement=self.request.statement,
                roster=roster,
                author=self.state.author,
                signers=rule.model_copy(update={"signed": False}),
                at_ns=self.now_ns,
            )
        )

    def document(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        statement, decision = self.request.statement, self.decision
        return {
            "request": self.request.id,
            "status": self.status,
            "ended": self.request.ended,
            "bundle_id": self.state.bundle,
            "target": statement.target,
            "from_stage": self.state.stage_at(self.now_ns),
            "stage": statement.stage,
            "evaluations": list(statement.evaluations),
            "break_glass": statement.break_glass,
            "requested_by": self.request.requested_by,
            "requested_at": in_utc(self.request.at_ns),
            "expires_at": in_utc(self.expires_ns),
            "notes": self.request.notes,
            "approvals_given": list(self.given),
            "approvals_needed": self.rule.count if self.rule else 0,
            "missing_roles": list(self.missing_roles),
            "missing_runners": list(decision.waits_for_runners) if decision else [],
            "unmet": list(decision.unmet) if decision else [],
            "statement": statement.canonical().decode(),
            "denial": statement.saying("deny").canonical().decode(),
        }

    def lines(self) -> list[str]:
        """Return what the terminal shows."""
        request, statement, decision = self.request, self.request.statement, self.decision
        age = lasting(self.now_ns - request.at_ns)
        needed = self.rule.count if self.rule else 0
        said = [
            f"Request: {request.id}",
            f"  Bundle: {self.state.bundle}, from {self.state.stage_at(self.now_ns)}",
            f"  To: {asked_for(statement)}",
            f"  Asked: by {request.requested_by} {age} ago" + (f": {request.notes}" if request.notes else ""),
        ]
        if decision is None:
            return [*said, f"  Ended: {request.ended}"]
        if self.status == "void":
            return [*said, "  Void: its time is over, or evidence, verdict or policy changed; ask again"]
        given = f" ({', '.join(self.given)})" if self.given else ""
        said += [
            f"  Expires: in {lasting(self.expires_ns - self.now_ns)}",
            f"  Approvals: {len(self.given)}/{needed}{given}",
        ]
        if self.missing_roles or len(self.given) < needed:
            said.append(f"  Missing: {', '.join(self.missing_roles) or f'anyone but {self.state.author}'}")
        said += [f"  Missing runners: {name}" for name in decision.waits_for_runners]
        if self.status == "blocked":
            said += [f"  Blocked: {condition}" for condition in decision.unmet]
        if self.status == "ready":
            said.append("  Ready: give the same `sequence bundle promote` again")
        return said


def look_at(catalog: Catalog, request_id: str, now_ns: int) -> Asked:
    """Return one request as it stands."""
    from bundles.verification import Verifier

    statement = catalog.request(request_id)
    verifier = Verifier(catalog)
    state = verifier.state(catalog.ledger.history(catalog.bundle_of(statement)))
    return _asked(catalog, state, state.request(statement.request_id), verifier.governance(), now_ns)


def _asked(catalog: Catalog, state: BundleState, request: Request, governance: Governance, now_ns: int) -> Asked:
    from bundles.promotion import Wish, check

    statement, decision = request.statement, None
    if not request.ended:
        wish = Wish(
            bundle=state.bundle,
            target=statement.target,
            stage=statement.stage,
            evaluations=statement.evaluations,
            break_glass=statement.break_glass,
            glass_hours=statement.glass_s // 3_600 if statement.glass_s else None,
            notes=request.notes,
        )
        decision = check(catalog, wish, now_ns=now_ns)
    return Asked(request, state, governance, decision, now_ns)


def _find(catalog: Catalog, problems: list[str], *, ended: bool, now_ns: int) -> Iterator[Asked]:
    """Yield the requests of all bundles; a bundle whose record does not verify is told and hides no other."""
    from bundles.errors import IntegrityError
    from bundles.verification import Verifier
    from sequence.cli.standings import standings

    verifier = Verifier(catalog)
    for bundle_id, standing in standings(catalog):
        if not ended and not standing.requests:
            continue
        try:
            state = verifier.state(catalog.ledger.history(bundle_id))
            for request in state.requests:
                if ended or not request.ended:
                    yield _asked(catalog, state, request, verifier.governance(), now_ns)
        except IntegrityError as error:
            problems.append(str(error))


@click.command(cls=Command)
@click.option("--all", "ended", is_flag=True, help="Also those that have ended or are void")
@click.option("--for", "person", metavar="NAME", help="Only what waits for this person's approval")
@pass_session
def requests(session: Session, ended: bool, person: str | None) -> None:
    """List the open requests for promotion: what waits for whom, and for how long yet."""
    problems: list[str] = []
    found = _find(session.catalog, problems, ended=ended, now_ns=time.time_ns())
    shown = sorted(
        (
            each
            for each in found
            if (ended or each.status not in {"void", "ended"}) and (person is None or each.waits_for(person))
        ),
        key=lambda each: (each.request.at_ns, each.request.id),
    )
    lines = [part for each in shown for line in each.lines() for part in wrapped(line)]
    session.emit([each.document() for each in shown], lines or ["No request waits."])
    if problems:
        from bundles.errors import IntegrityError

        for problem in problems:
            session.say(f"Error: {problem}")
        raise click.exceptions.Exit(IntegrityError.exit_code)
