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
from typing import Literal

from bundles.approvals import Approval, approval_problems, signature_problem
from bundles.canonical import Digest, Document, Part
from bundles.evidence import Evaluation
from bundles.gates import Check, GateResult, evaluate_gate
from bundles.governance import Governance
from bundles.people import same_person
from bundles.policy import ApprovalRule, Policy, Signers, StageRule
from bundles.runners import is_listed
from bundles.stages import STAGES
from bundles.state import BundleState, Execution, RecordedPromotion, Request
from bundles.statements import AuthorStatement, EvaluationStatement, PromotionStatement

__all__ = ["STAGES", "Decision", "Proposal", "answer_problems", "approval_rule", "decide", "standing_evidence"]

_HOUR_NS = 3_600 * 10**9
_DAY_NS = 24 * _HOUR_NS


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is asked for: a bundle (id, digest of its manifest, kind), where to, on which evidence."""

    bundle: str
    manifest: str
    bundle_kind: str
    target: str
    stage: str
    evaluations: tuple[str, ...]
    break_glass: bool = False
    glass_s: int | None = None
    notes: str = ""


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
    statement = _statement(proposal, records, policy, entry=state.entries + 1)
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
        unmet += _evidence_problems(proposal, state, records, rule, gates, now_ns)
        unmet += _author_problems(state, governance, rule, now_ns)
        unmet += _runner_problems(proposal, state, records, governance, rule, now_ns)
        waiting = dict(_missing_runners(proposal, state, governance, rule, now_ns))
        unmet += _revocations(proposal, state, records, governance, now_ns)
    missing = [*waiting.values(), *_missing_approvals(proposal, request, state, governance, asked, now_ns)]
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


def _statement(proposal: Proposal, records: Mapping[str, Evaluation], policy: Policy, entry: int) -> PromotionStatement:
    return PromotionStatement(
        bundle=proposal.manifest,
        target=proposal.target,
        stage=proposal.stage,
        evaluations=tuple(sorted(set(proposal.evaluations))),
        verdict=_verdict_digest(proposal, records, policy),
        policy=policy.digest(),
        entry=entry,
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
    cited = {name for promotion in state.promotions for name in promotion.request.statement.evaluations}
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
    proposal: Proposal,
    state: BundleState,
    records: Mapping[str, Evaluation],
    governance: Governance,
    now_ns: int,
) -> Iterator[str]:
    """List the stages already climbed whose evidence has failed since."""
    asked = governance.policy.rule(proposal.bundle_kind, proposal.stage)
    for promotion in state.promotions:
        stage = promotion.stage
        rule = governance.policy.rule(proposal.bundle_kind, stage)
        if rule is None:
            continue
        for latest in standing_evidence(state, rule, governance, now_ns):
            if latest.evaluation not in records or latest.seq < promotion.seq:
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


def standing_evidence(
    state: BundleState, rule: StageRule, governance: Governance, now_ns: int
) -> tuple[Execution, ...]:
    """Return the latest evaluation for a stage and, if no runner whose word counts made it, the latest that one made.

    Anybody may bring a failure to notice; only what counts as evidence makes up for one.
    """
    latest = state.latest(rule.evidence)
    if latest is None:
        return ()
    listed = _wants_listed(rule, governance)
    vouched = next(
        (
            each
            for each in reversed(state.evaluated)
            if each.kind == rule.evidence
            and _vouching(state, each.evaluation, governance, listed=listed, now_ns=now_ns)[0]
        ),
        None,
    )
    return (latest,) if vouched in {None, latest} else (latest, vouched)


def _author_problems(state: BundleState, governance: Governance, rule: StageRule | None, now_ns: int) -> Iterator[str]:
    """Say why it is not known who made the bundle, where the policy wants to know."""
    if rule is None or not rule.signed_author:
        return
    problem = f"{state.author} has not signed the bundle as its author"
    if state.author_signature:
        statement = AuthorStatement(bundle=state.manifest)
        found = signature_problem(statement, state.author_signature, state.author, governance.roster, now_ns)
        if found is None:
            return
        problem = f"the author is not known for certain: {found}"
    yield f"{problem}; let the author sign it: sequence bundle sign {state.bundle}"


def _runner_problems(
    proposal: Proposal,
    state: BundleState,
    records: Mapping[str, Evaluation],
    governance: Governance,
    rule: StageRule | None,
    now_ns: int,
) -> Iterator[str]:
    """Say which evaluations nobody vouches for whom the policy takes, or runners disagree about."""
    for name in proposal.evaluations if rule else ():
        entry = state.find(name)
        if rule is None or entry is None or name not in records:
            continue  # said already
        listed = _wants_listed(rule, governance)
        said, reasons = _vouching(state, name, governance, listed=listed, now_ns=now_ns)
        if other := [each for each in said if (each.record, each.result) != (entry.record, entry.result)]:
            yield (
                f"runner {other[0].runner} came to another result of evaluation {name} than {entry.runner}; find out "
                "why before trusting either"
            )
        elif not said:
            yield (
                f"evaluation {name} is not vouched for: {'; '.join(reasons)}; have a listed runner execute it: "
                f"sequence eval verify {name} --attest"
            )


def _missing_runners(
    proposal: Proposal, state: BundleState, governance: Governance, rule: StageRule | None, now_ns: int
) -> Iterator[tuple[str, str]]:
    """Yield the evaluations that too few runners have executed, with what is missing."""
    for name in proposal.evaluations if rule else ():
        if rule is None or state.find(name) is None:
            continue
        said, _ = _vouching(state, name, governance, listed=_wants_listed(rule, governance), now_ns=now_ns)
        runners = sorted({same_person(each.runner) for each in said})
        if runners and len(runners) < rule.runners.count:
            yield (
                name,
                f"evaluation {name} was executed by {len(runners)} of {rule.runners.count} runners "
                f"({', '.join(runners)}); have another one execute it: sequence eval verify {name} --attest",
            )


def _wants_listed(rule: StageRule, governance: Governance) -> bool:
    return rule.runners.listed or bool(governance.roster.people_with("runner"))


def _vouching(
    state: BundleState, evaluation: str, governance: Governance, *, listed: bool, now_ns: int
) -> tuple[list[Execution], list[str]]:
    """Return what runners whose word counts said of an evaluation, and why the word of the others does not."""
    said, reasons = [], []
    for each in state.executions_of(evaluation):
        problem = _runner_problem(state, each, governance, now_ns) if listed else None
        if problem is None:
            said.append(each)
        else:
            reasons.append(problem)
    return said, reasons


def _runner_problem(state: BundleState, said: Execution, governance: Governance, now_ns: int) -> str | None:
    if not is_listed(governance.roster, said.runner):
        return f"{said.runner} is not a runner of the roster"
    if not said.signature:
        return f"the record of {said.runner} is not signed"
    statement = EvaluationStatement(
        bundle=state.manifest, evaluation=said.evaluation, record=said.record, result=said.result
    )
    return signature_problem(statement, said.signature, said.runner, governance.roster, now_ns)


def _missing_approvals(
    proposal: Proposal,
    request: Request | None,
    state: BundleState,
    governance: Governance,
    asked: ApprovalRule | None,
    now_ns: int,
) -> Iterator[str]:
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
