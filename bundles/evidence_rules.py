"""What evidence a stage asks for: its kind, verdict, age and market, and that nothing later has revoked it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bundles.evidence import Evaluation, EvaluationInputs
from bundles.gates import GateResult, evaluate_gate
from bundles.governance import Governance
from bundles.policy import StageRule
from bundles.proposals import Proposal
from bundles.state import BundleState
from bundles.vouching import standing_evidence

_DAY_NS: Final = 86_400 * 10**9


def evidence_problems(
    proposal: Proposal,
    state: BundleState,
    records: Mapping[str, Evaluation],
    rule: StageRule | None,
    gates: Mapping[str, GateResult],
    now_ns: int,
) -> Iterator[str]:
    """Say why the evaluations that a proposal names are no evidence for its stage."""
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
        wrong_look = look_problem(record.inputs, state) or _unsaid_look(record.inputs, rule)
        if wrong_look:
            yield wrong_look
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
        yield (
            f"evaluation {name} is inconclusive: {'; '.join(filter(None, (failed, unknown)))}; "
            "evaluate on more data, under the settings that the stage asks for"
        )


def look_problem(inputs: EvaluationInputs, state: BundleState) -> str:
    """Say why an evaluation claims too much for the look at its bundle that it is; empty if it does not.

    Each further evaluation of a kind is one more chance of a lucky window, so its bounds must be wider. An evaluation
    whose inputs name a ``look`` must not name an earlier one than its place in the ledger; one that names none makes no
    such claim, and is no evidence where a stage judges bounds. Running the same inputs again is no further look.
    """
    if "look" not in inputs.settings:
        return ""
    of_kind = (each for each in state.evaluated if each.kind == inputs.kind)
    recorded = list(dict.fromkeys(each.evaluation for each in of_kind))
    place = 1 + (recorded.index(inputs.eval_id) if inputs.eval_id in recorded else len(recorded))
    look = inputs.settings["look"]
    if isinstance(look, int) and not isinstance(look, bool) and look >= place:
        return ""
    return (
        f"evaluation {inputs.eval_id} calls itself look {look} at bundle {state.bundle}, but by the {inputs.kind} "
        f"evaluations in the ledger it is look {place}, so its bounds are too narrow; run the {inputs.kind} evaluation "
        "again, which counts anew, and name that one"
    )


def _unsaid_look(inputs: EvaluationInputs, rule: StageRule) -> str:
    """Say why an evaluation that does not tell which look it is has no bounds that a stage could judge; else empty."""
    judged = ", ".join(each.judged for each in rule.rules if each.bound and not each.dry_run)
    if not judged or "look" in inputs.settings:
        return ""
    return (
        f"evaluation {inputs.eval_id} does not say which look at its bundle it is, so nobody knows how wide its bounds "
        f"must be ({judged}); run the {inputs.kind} evaluation again, which counts anew, and name that one"
    )


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


def revocations(
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
