"""Whether a bundle may enter a stage: one pure function, and every condition that is not met is listed.

Trust rules:

* The kind of a bundle names its ladder; a bundle climbs no other.
* Stages are entered one by one. Being there already is refused, unless the same evidence is brought again: then the
  promotion that was made is named, and nothing new is recorded.
* A stage is entered on evaluations of this very bundle, named by the request, recorded in its ledger and of the kind
  that the stage asks for.
* The latest evaluation of a kind counts: an earlier pass is revoked by what came after, also for the stages already
  climbed.
* A verdict is derived here from metrics and rules. Fail and inconclusive both stop; so does evidence that is too old.
* Where the policy asks for a later window, the market that was seen must begin after the end of one that was evidence
  already.
* An approval holds for one statement: bundle, stage, evaluations, verdict and policy. Approvers differ from each other
  and from the author.
* Every approval that is brought must hold; one that does not is refused even if others would suffice.
* `pending` means that nothing is missing but approvals.
* Breaking the glass takes one approver whom the policy allows and a reason. It skips order, evaluations and quorum,
  nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bundles.approvals import Approval, Roster, Statement, approval_problems
from bundles.canonical import Digest, Document, Part
from bundles.entries import BundleState, RecordedPromotion
from bundles.evidence import Evaluation
from bundles.gates import Check, GateResult, evaluate_gate
from bundles.policy import Policy, StageRule
from bundles.stages import STAGES

__all__ = ["STAGES", "Decision", "Proposal", "decide", "statement_of"]

_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is asked for: a bundle (id, digest of its manifest, kind), where to, on which evidence, who agreed."""

    bundle: str
    manifest: str
    bundle_kind: str
    target: str
    stage: str
    evaluations: tuple[str, ...]
    approvals: tuple[Approval, ...] = ()
    break_glass: bool = False
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why.

    ``repeats`` is the ledger entry that already records this promotion, where there is one.
    """

    decision: Literal["promoted", "refused", "pending"]
    unmet: tuple[str, ...]
    checks: tuple[Check, ...]
    verdict: str
    policy: str
    statement: Statement
    repeats: int | None = None


class _JudgedEvaluation(Part):
    evaluation: str
    record: Digest
    verdict: str


class _Verdict(Document):
    kind: Literal["verdict"] = "verdict"
    evaluations: tuple[_JudgedEvaluation, ...]


def statement_of(proposal: Proposal, *, records: Mapping[str, Evaluation], policy: Policy) -> Statement:
    """Return what approvers of a proposal agree to."""
    named = tuple(sorted(set(proposal.evaluations)))
    return Statement(
        bundle=proposal.manifest,
        target=proposal.target,
        stage=proposal.stage,
        evaluations=named,
        verdict=_verdict_digest(proposal, records, policy),
        policy=policy.digest(),
        break_glass=proposal.break_glass,
    )


def decide(
    proposal: Proposal,
    *,
    state: BundleState,
    records: Mapping[str, Evaluation],
    policy: Policy,
    roster: Roster,
    now_ns: int,
) -> Decision:
    """Decide whether a bundle may enter a stage.

    ``records`` holds, by id, the evaluations that the proposal names, the latest of each kind in the ledger, and those
    that earlier promotions rest on; one that is not there counts as missing.
    """
    rule = policy.rule(proposal.bundle_kind, proposal.stage)
    statement = statement_of(proposal, records=records, policy=policy)
    gates = (
        {name: evaluate_gate(rule, records[name]) for name in statement.evaluations if name in records} if rule else {}
    )

    unmet = list(_place_problems(proposal))
    repeated = _same_promotion(proposal, state) if not unmet else None
    unmet += _order_problems(proposal, state)
    if not proposal.break_glass:
        unmet += _evidence_problems(proposal, state, records, rule, gates, now_ns)
        unmet += _revocations(proposal, state, records, policy)
    unmet += _approval_problems(proposal, state, statement, roster, policy, rule, now_ns)
    missing = list(_missing_approvals(proposal, policy, rule))
    decision: Literal["promoted", "refused", "pending"] = "refused" if unmet else "pending" if missing else "promoted"
    unmet += missing
    if repeated:
        decision, unmet = "promoted", []
    return Decision(
        decision=decision,
        unmet=tuple(unmet),
        checks=tuple(check for gate in gates.values() for check in gate.checks),
        verdict=statement.verdict,
        policy=statement.policy,
        statement=statement,
        repeats=repeated.seq if repeated else None,
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


def _same_promotion(proposal: Proposal, state: BundleState) -> RecordedPromotion | None:
    """Return the promotion to the present stage if it rests on the same evidence: what a rerun after a crash finds."""
    if not state.promotions or state.stage != proposal.stage:
        return None
    last = state.promotions[-1]
    known = last.body.statement
    same = known.evaluations == tuple(sorted(set(proposal.evaluations))) and known.break_glass == proposal.break_glass
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


def _order_problems(proposal: Proposal, state: BundleState) -> Iterator[str]:
    stages = STAGES[proposal.bundle_kind]
    if proposal.stage not in stages:
        return
    now, wanted = stages.index(state.stage), stages.index(proposal.stage)
    if wanted == now:
        yield f"bundle {proposal.bundle} is at stage {state.stage} already{_next(stages, now)}"
    elif wanted < now:
        yield (
            f"bundle {proposal.bundle} is at stage {state.stage}, above {proposal.stage}; a promotion only "
            f"goes up{_next(stages, now)}"
        )
    elif wanted > now + 1 and not proposal.break_glass:
        yield (
            f"stages cannot be skipped: bundle {proposal.bundle} is at {state.stage} and {proposal.stage} comes after "
            f"{stages[wanted - 1]}; promote it to {stages[now + 1]} next"
        )


def _next(stages: tuple[str, ...], now: int) -> str:
    return f"; the next stage is {stages[now + 1]}" if now + 1 < len(stages) else "; there is no stage above it"


def _evidence_problems(
    proposal: Proposal,
    state: BundleState,
    records: Mapping[str, Evaluation],
    rule: StageRule | None,
    gates: Mapping[str, GateResult],
    now_ns: int,
) -> Iterator[str]:
    wanted = rule.evidence if rule else None
    if not proposal.evaluations:
        kind = f"a passing {wanted}" if wanted else "a passing"
        yield f"no evaluation is named; run {kind} evaluation of bundle {proposal.bundle} and name it"
        return
    usable = False
    for name in dict.fromkeys(proposal.evaluations):
        record, entry = records.get(name), state.find(name)
        if record is None:
            yield f"evaluation {name} is not in the store; run it, or check the id"
            continue
        if record.inputs.bundle != proposal.manifest:
            yield (
                f"evaluation {name} judges another bundle ({record.inputs.bundle[:23]}…); name one of "
                f"bundle {proposal.bundle}"
            )
            continue
        if entry is None or entry.record != record.digest():
            yield (
                f"evaluation {name} is not in the ledger of bundle {proposal.bundle}; run the evaluation "
                "again to record it"
            )
            continue
        if rule is None:
            continue
        if record.inputs.kind != rule.evidence:
            yield (
                f"evaluation {name} is a {record.inputs.kind} evaluation; stage {proposal.stage} asks for "
                f"{rule.evidence}: "
                f"run and name a {rule.evidence} evaluation"
            )
            continue
        usable = True
        yield from _verdict_problems(name, gates[name])
        age_days = (now_ns - entry.at_ns) / _DAY_NS
        if age_days > rule.max_age_days:
            yield (
                f"evaluation {name} is {age_days:.1f} days old; stage {proposal.stage} accepts {rule.max_age_days}: "
                "run it again (with --force, as its inputs are the same)"
            )
    latest = state.latest(rule.evidence) if rule else None
    if rule is None or latest is None or not usable:
        return
    if latest.evaluation not in proposal.evaluations:
        found = f" ({evaluate_gate(rule, records[latest.evaluation]).verdict})" if latest.evaluation in records else ""
        yield (
            f"{latest.evaluation}{found} is a later {rule.evidence} evaluation and revokes the ones before it; "
            "name it, or run another"
        )
    elif rule.later_window:
        yield from _window_problems(proposal, state, records, rule, latest.evaluation)


def _verdict_problems(name: str, gate: GateResult) -> Iterator[str]:
    deciding = [check for check in gate.checks if not check.dry_run]
    failed = "; ".join(check.text for check in deciding if check.ok is False)
    unknown = "; ".join(check.text for check in deciding if check.ok is None)
    if gate.verdict == "fail":
        yield (
            f"evaluation {name} failed, this does not hold: {failed}; change the algo or its limits and "
            "evaluate the new bundle"
        )
    elif gate.verdict == "inconclusive":
        yield f"evaluation {name} is inconclusive: {'; '.join(filter(None, (failed, unknown)))}; evaluate on more data"


def _window_problems(
    proposal: Proposal, state: BundleState, records: Mapping[str, Evaluation], rule: StageRule, latest: str
) -> Iterator[str]:
    cited = {name for promotion in state.promotions for name in promotion.body.statement.evaluations}
    pool = [records[name] for name in sorted(cited | set(proposal.evaluations)) if name in records and name != latest]
    earlier = [each for each in pool if each.inputs.kind == rule.evidence and each.inputs.bundle == proposal.manifest]
    begins = records[latest].coverage.first_ns
    if not any(each.coverage.last_ns < begins for each in earlier):
        yield (
            f"evaluation {latest} must see a market later than, and apart from, the {rule.evidence} "
            "evaluation that was evidence before; "
            + (
                "run it on a later window"
                if cited
                else f"name two {rule.evidence} evaluations whose windows do not overlap"
            )
        )


def _revocations(
    proposal: Proposal, state: BundleState, records: Mapping[str, Evaluation], policy: Policy
) -> Iterator[str]:
    """List the stages already climbed whose evidence has failed since."""
    asked = policy.rule(proposal.bundle_kind, proposal.stage)
    for promotion in state.promotions:
        stage = promotion.body.statement.stage
        rule = policy.rule(proposal.bundle_kind, stage)
        latest = state.latest(rule.evidence) if rule else None
        if rule is None or latest is None or latest.evaluation not in records or latest.seq < promotion.seq:
            continue
        if asked and asked.evidence == rule.evidence and latest.evaluation in proposal.evaluations:
            continue  # judged by the stricter rules of the stage that is asked for
        gate = evaluate_gate(rule, records[latest.evaluation])
        if gate.verdict == "fail":
            failed = "; ".join(check.text for check in gate.checks if check.ok is False and not check.dry_run)
            yield (
                f"the later evaluation {latest.evaluation} revokes stage {stage}, this does not hold: {failed}; "
                f"evaluate a corrected bundle, or run a passing {rule.evidence} evaluation"
            )


def _approval_problems(
    proposal: Proposal,
    state: BundleState,
    statement: Statement,
    roster: Roster,
    policy: Policy,
    rule: StageRule | None,
    now_ns: int,
) -> Iterator[str]:
    asked = policy.break_glass if proposal.break_glass else rule.approvals if rule else None
    people: set[str] = set()
    for approval in proposal.approvals:
        yield from approval_problems(
            approval,
            statement=statement,
            roster=roster,
            author=state.author,
            roles=asked.roles if asked else (),
            signed=asked.signed if asked else False,
            at_ns=now_ns,
        )
        if approval.person in people:
            yield f"{approval.approver} approves twice; approvals come from different people"
        people.add(approval.person)
    if proposal.break_glass:
        if not proposal.approvals:
            yield "breaking the glass needs an approver; name one"
        if not proposal.notes.strip():
            yield "breaking the glass needs notes; say why"


def _missing_approvals(proposal: Proposal, policy: Policy, rule: StageRule | None) -> Iterator[str]:
    if rule is None or proposal.break_glass:
        return
    asked, given = rule.approvals, len({approval.person for approval in proposal.approvals})
    if given < asked.count:
        how = "signed approval" if asked.signed else "approval"
        whose = f" by {' or '.join(asked.roles)}" if asked.roles else " by someone other than the author"
        yield (
            f"{given} of {asked.count} {how}{'s' * (asked.count > 1)}{whose}; ask {asked.count - given} more "
            "to approve, "
            f"as policy {policy.name} wants for stage {proposal.stage}"
        )
