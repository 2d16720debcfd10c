"""Whether a bundle may enter a stage: one pure function, and every condition that is not met is listed.

Trust rules:

* The kind of a bundle names its ladder; a bundle climbs no other.
* Stages are entered one by one, counted from the stage that the bundle has earned; what a broken glass lends does not
  count. Being there already is refused, unless the same evidence is brought again: then the promotion that was made is
  named, and nothing new is recorded. Where the policy asks for it, a bundle must have stood below for a while.
* A stage is entered on evaluations of this very bundle, named by the request, recorded in its ledger and of the kind
  that the stage asks for.
* The latest evaluation of a kind counts: an earlier pass is revoked by what came after, also for the stages already
  climbed. What no runner vouches for can revoke, but not make up for a failure.
* A verdict is derived here from metrics and rules. Fail and inconclusive both stop; so does evidence that is too old.
* Evidence counts by the runners that executed it. Where the policy asks for listed runners, or the roster names any,
  only what a listed runner signed counts; a listed runner that came to another result stops everything. Fewer runners
  than the policy asks for leave a request pending.
* Where the policy asks for a later window, the market that was seen must begin after the end of one that was evidence
  already.
* A request is opened at one entry of the ledger, and an approval holds for that request only: for its bundle, stage,
  evaluations, verdict and policy. A move, a denial or time ends it; another policy or verdict asks for another request.
* Where the policy asks for it, the author has signed the bundle: whoever registers one in another's name and approves
  it in the own gets no further.
* Approvers differ from each other and from the author. A word that does not hold, because the key was revoked or the
  role taken away, does not count; the others still do.
* `pending` means that nothing is missing but approvals, or runners.
* A quarantine stops everything. So does, for ordinary promotions, a broken glass of the same algo that owes reviews.
* Breaking the glass takes one approver whom the policy allows and a reason, and ends after hours. It skips order, soak,
  evaluations, quorum and debts, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bundles.canonical import Digest, Document, Part
from bundles.entries import LedgerEntry
from bundles.evidence import Evaluation
from bundles.evidence_rules import evidence_problems, revocations
from bundles.gates import Check, evaluate_gate
from bundles.governance import Governance
from bundles.policy import ApprovalRule, Policy, StageRule
from bundles.proposals import Proposal
from bundles.quorum import approval_rule, missing_approvals
from bundles.stages import STAGES
from bundles.state import BundleState, RecordedPromotion, Request
from bundles.statements import PromotionStatement
from bundles.vouching import author_problems, missing_runners, runner_problems

__all__ = ["STAGES", "Decision", "decide"]

_HOUR_NS: Final = 3_600 * 10**9


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why.

    ``statement`` is what approvers agree to. ``request`` is the open request for it, where there is one; without one
    the statement names the entry that would open it. ``repeats`` is the entry that records this promotion already.
    """

    decision: Literal["promoted", "refused", "pending"]
    unmet: tuple[str, ...]
    checks: tuple[Check, ...]
    statement: PromotionStatement
    request: Request | None = None
    repeats: int | None = None
    waits_for_runners: tuple[str, ...] = ()
    """The evaluations that too few runners have executed."""


class _JudgedEvaluation(Part):
    evaluation: str
    record: Digest
    verdict: str


class _Verdict(Document):
    kind: Literal["verdict"] = "verdict"
    evaluations: tuple[_JudgedEvaluation, ...]


def decide(
    proposal: Proposal,
    *,
    state: BundleState,
    records: Mapping[str, Evaluation],
    governance: Governance,
    debts: tuple[str, ...],
    now_ns: int,
) -> Decision:
    """Decide whether a bundle may enter a stage.

    ``records`` holds, by id, the evaluations that the proposal names, the standing evidence of each stage, and those
    that earlier promotions rest on; one that is not there counts as missing. ``debts`` names the broken glasses of the
    same algo that owe reviews.
    """
    policy = governance.policy
    rule = policy.rule(proposal.bundle_kind, proposal.stage)
    statement = _statement(proposal, records, policy, last=state.last)
    asked = approval_rule(policy, proposal.bundle_kind, proposal)
    request = _open_request(state, statement, asked, now_ns)
    if request:
        statement = request.statement
    gates = (
        {name: evaluate_gate(rule, records[name]) for name in statement.evaluations if name in records} if rule else {}
    )

    unmet = list(_place_problems(proposal))
    repeated = _same_promotion(proposal, state, now_ns) if not unmet else None
    unmet += _order_problems(proposal, state, rule, now_ns)
    unmet += _quarantine_problems(state)
    waiting: dict[str, str] = {}
    if proposal.break_glass:
        unmet += _glass_problems(proposal, policy)
    else:
        unmet += debts
        unmet += evidence_problems(proposal, state, records, rule, gates, now_ns)
        unmet += author_problems(state, governance, rule, now_ns)
        unmet += runner_problems(proposal, state, records, governance, rule, now_ns)
        waiting = dict(missing_runners(proposal, state, governance, rule, now_ns))
        unmet += revocations(proposal, state, records, governance, now_ns)
    missing = [*waiting.values(), *missing_approvals(proposal, request, state, governance, asked, now_ns)]
    decision: Literal["promoted", "refused", "pending"] = (
        "refused" if unmet else "pending" if missing or not request else "promoted"
    )
    unmet += missing
    if repeated:
        decision, unmet, waiting = "promoted", [], {}
    return Decision(
        decision=decision,
        unmet=tuple(unmet),
        checks=tuple(check for gate in gates.values() for check in gate.checks),
        statement=statement,
        request=request,
        repeats=repeated.seq if repeated else None,
        waits_for_runners=tuple(waiting),
    )


def _statement(
    proposal: Proposal, records: Mapping[str, Evaluation], policy: Policy, last: LedgerEntry
) -> PromotionStatement:
    return PromotionStatement(
        bundle=proposal.manifest,
        target=proposal.target,
        stage=proposal.stage,
        evaluations=tuple(sorted(set(proposal.evaluations))),
        verdict=_verdict_digest(proposal, records, policy),
        policy=policy.digest(),
        entry=last.seq + 1,
        follows=last.digest(),
        break_glass=proposal.break_glass,
        glass_s=proposal.glass_s,
    )


def _open_request(
    state: BundleState, statement: PromotionStatement, asked: ApprovalRule | None, now_ns: int
) -> Request | None:
    """Return the open request that asks for exactly this, unless its time is over."""
    valid_ns = (asked.valid_hours if asked else 0) * _HOUR_NS
    return next(
        (
            each
            for each in state.open_requests
            if each.statement.asks_the_same(statement) and now_ns < each.at_ns + valid_ns
        ),
        None,
    )


def _verdict_digest(proposal: Proposal, records: Mapping[str, Evaluation], policy: Policy) -> str:
    """Digest the verdicts; with the records' digests and the policy's they fix every figure and every rule."""
    rule = policy.rule(proposal.bundle_kind, proposal.stage)
    judged = tuple(
        _JudgedEvaluation(
            evaluation=name, record=records[name].digest(), verdict=evaluate_gate(rule, records[name]).verdict
        )
        for name in sorted(set(proposal.evaluations))
        if rule and name in records
    )
    return _Verdict(evaluations=judged).digest()


def _same_promotion(proposal: Proposal, state: BundleState, now_ns: int) -> RecordedPromotion | None:
    """Return the bundle's last move if it is this promotion on the same evidence: what a rerun after a crash finds."""
    if not state.promotions or state.last_move != state.promotions[-1].seq:
        return None
    last = state.promotions[-1]
    if any(glass.promotion.seq == last.seq and not glass.lends_at(now_ns) for glass in state.glasses):
        return None
    known = last.request.statement
    same = (known.stage, known.evaluations, known.break_glass, known.glass_s) == (
        proposal.stage,
        tuple(sorted(set(proposal.evaluations))),
        proposal.break_glass,
        proposal.glass_s,
    )
    return last if same else None


def _place_problems(proposal: Proposal) -> Iterator[str]:
    kind, stages = proposal.bundle_kind, STAGES[proposal.bundle_kind]
    if proposal.target not in STAGES:
        yield f"target {proposal.target!r} is unknown; the ladders are {', '.join(STAGES)}, and this bundle's is {kind}"
    elif proposal.target != kind:
        yield (
            f"bundle {proposal.bundle} is of kind {kind} and cannot climb the {proposal.target} ladder; use "
            f"target {kind}"
        )
    if proposal.stage not in stages:
        others = [target for target, theirs in STAGES.items() if proposal.stage in theirs]
        elsewhere = f"exists on the ladder of {' and '.join(others)} only" if others else "is unknown"
        yield f"stage {proposal.stage!r} {elsewhere}; the {kind} ladder is {' → '.join(stages)}"


def _order_problems(proposal: Proposal, state: BundleState, rule: StageRule | None, now_ns: int) -> Iterator[str]:
    stages = STAGES[proposal.bundle_kind]
    if proposal.stage not in stages:
        return
    stage = state.stage_at(now_ns) if proposal.break_glass else state.earned
    now, wanted = stages.index(stage), stages.index(proposal.stage)
    if wanted == now:
        yield f"bundle {proposal.bundle} is at stage {stage} already{_next(stages, now)}"
    elif wanted < now:
        yield (
            f"bundle {proposal.bundle} is at stage {stage}, above {proposal.stage}; a promotion only "
            f"goes up{_next(stages, now)}"
        )
    elif proposal.break_glass:
        return
    elif wanted > now + 1:
        yield (
            f"stages cannot be skipped: bundle {proposal.bundle} is at {stage} and {proposal.stage} comes after "
            f"{stages[wanted - 1]}; promote it to {stages[now + 1]} next"
        )
    elif rule and (stood_h := (now_ns - state.earned_at_ns) / _HOUR_NS) < rule.soak_hours:
        yield (
            f"bundle {proposal.bundle} has stood at {stage} for {stood_h:.1f} h; stage {proposal.stage} asks for "
            f"{rule.soak_hours} h: wait {rule.soak_hours - stood_h:.1f} h"
        )


def _quarantine_problems(state: BundleState) -> Iterator[str]:
    if state.quarantine is not None:
        yield (
            f"bundle {state.bundle} is in quarantine since entry {state.quarantine} of its ledger; release it first: "
            f"sequence bundle release {state.bundle}"
        )


def _glass_problems(proposal: Proposal, policy: Policy) -> Iterator[str]:
    if not proposal.notes.strip():
        yield "breaking the glass needs notes; say why"
    most_h = policy.break_glass.max_hours
    if proposal.glass_s is None or proposal.glass_s > most_h * 3_600:
        yield f"a broken glass lasts from a moment to {most_h} h under policy {policy.name}; give its hours"


def _next(stages: tuple[str, ...], now: int) -> str:
    return f"; the next stage is {stages[now + 1]}" if now + 1 < len(stages) else "; there is no stage above it"
