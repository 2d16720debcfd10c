"""Whose answers a request needs, whose count, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from bundles.approvals import Approval, approval_problems
from bundles.governance import Governance
from bundles.policy import ApprovalRule, Policy, Signers
from bundles.proposals import Proposal
from bundles.state import BundleState, Request
from bundles.statements import PromotionStatement


def approval_rule(policy: Policy, target: str, asked: Proposal | PromotionStatement) -> ApprovalRule | None:
    """Return whose approval a move on a ladder needs; None where the ladder has no such stage."""
    if asked.break_glass:
        return ApprovalRule(count=1, roles=policy.break_glass.roles, signed=policy.break_glass.signed)
    rule = policy.rule(target, asked.stage)
    return rule.approvals if rule else None


def answer_problems(
    state: BundleState,
    request: Request,
    decision: Literal["approve", "deny"],
    approval: Approval,
    governance: Governance,
    at_ns: int,
) -> Iterator[str]:
    """Say everything that keeps somebody's answer to a request from counting; nothing if it does."""
    asked = approval_rule(governance.policy, state.target, request.statement)
    if asked is None:
        return
    # To stop something needs no role, and is nobody's privilege; but what was signed must be this.
    yield from approval_problems(
        approval,
        statement=request.statement.saying(decision),
        roster=governance.roster,
        author=state.author if decision == "approve" else "",
        signers=asked if decision == "approve" else Signers(roles=(), signed=asked.signed),
        at_ns=at_ns,
    )


def missing_approvals(
    proposal: Proposal,
    request: Request | None,
    state: BundleState,
    governance: Governance,
    asked: ApprovalRule | None,
    now_ns: int,
) -> Iterator[str]:
    """Say whose approval is missing, and which word does not hold, unless there are enough without it."""
    if asked is None:
        return
    people: dict[str, frozenset[str]] = {}
    void: list[str] = []
    for asked_of, approval in ((request, each) for each in request.approvals) if request else ():
        problems = list(answer_problems(state, asked_of, "approve", approval, governance, now_ns))
        void += problems
        if not problems:
            people[approval.person] = governance.roster.roles_of(approval.approver)
    how = "signed approval" if asked.signed else "approval"
    short = []
    if len(people) < asked.count:
        whose = f" by {' or '.join(asked.roles)}" if asked.roles else " by someone other than the author"
        short.append(
            f"{len(people)} of {asked.count} {how}{'s' * (asked.count > 1)}{whose}; ask {asked.count - len(people)} "
            f"more to approve, as policy {governance.policy.name} wants for "
            + ("breaking the glass" if proposal.break_glass else f"stage {proposal.stage}")
        )
    for role, least in asked.at_least.items():
        held = sum(role in roles for roles in people.values())
        if held < least:
            short.append(f"{held} of {least} {how}{'s' * (least > 1)} by {role}; ask somebody who holds that role")
    if short:
        yield from (*void, *short)
