"""What an evaluation comes to, as people are shown it: one verdict for each stage whose rules judge it.

Several stages of a ladder can take evaluations of one kind under different rules: a bundle at *live* can fail them
while it would pass those of *shadow*. So a verdict is never told without its stage.

First stands the stage that the bundle held when the evaluation was recorded, which the evaluation could take away; if
that takes another kind, the next one above, which it helps to reach; else the highest one below. The others follow, in
the order of the ladder. Of an evaluation that no ledger holds nobody knows where its bundle stood: the lowest is first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from bundles.catalog import Catalog
from bundles.evidence import Evaluation
from bundles.gates import Check, Verdict, evaluate_gate
from bundles.governance import in_force
from bundles.policy import Policy, StageRule
from bundles.stages import STAGES

_TOLD = {"pass": "passes", "fail": "fails", "inconclusive": "inconclusive for"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of the stage that stands first with its checks, and those of the ``others``."""

    verdict: Verdict
    checks: tuple[Check, ...]
    stage: str = ""
    """Whose rules judged; empty where no stage takes such evaluations."""
    rule: StageRule | None = None
    others: tuple[Judgement, ...] = ()

    @property
    def told(self) -> str:
        """The verdict with its stage, such as ``fails live``."""
        return f"{_TOLD[self.verdict]} {self.stage}" if self.stage else self.verdict

    @property
    def unmet(self) -> tuple[str, ...]:
        """The conditions that do not hold or cannot be told; those of a dry run do not count."""
        return tuple(check.text for check in self.checks if check.ok is not True and not check.dry_run)

    @property
    def reasoned(self) -> str:
        """The verdict with its stage and all that is unmet."""
        return ": ".join(filter(None, (self.told, "; ".join(self.unmet))))


def judge(catalog: Catalog, evaluation: Evaluation) -> Judgement:
    """Judge an evaluation by the policy in force.

    Raises:
        IntegrityError: the ledger of its bundle, or that of governance, does not verify.

    """
    return judge_each(catalog, [evaluation])[0]


def judge_each(catalog: Catalog, evaluations: Iterable[Evaluation]) -> list[Judgement]:
    """Judge evaluations by the policy in force; each ledger is read once."""
    policy, state_of = in_force(catalog).policy, cache(catalog.ledger.state)
    found = []
    for evaluation in evaluations:
        state = state_of(catalog.bundle_of(evaluation))
        recorded = state.find(evaluation.eval_id)
        found.append(judged_at(recorded.stage if recorded else None, evaluation, policy, state.target))
    return found


def judged_at(stood: str | None, evaluation: Evaluation, policy: Policy, target: str) -> Judgement:
    """Judge an evaluation of a bundle on the ladder ``target`` that stood at some stage when it was recorded."""
    order, kind = STAGES[target], evaluation.inputs.kind
    found = []
    for stage in order:
        rule = policy.rule(target, stage)
        if rule is not None and rule.evidence == kind:
            gate = evaluate_gate(rule, evaluation)
            found.append(Judgement(gate.verdict, gate.checks, stage, rule))
    if not found:
        nowhere = f"no stage of the {target} ladder takes {kind} evaluations under {policy.name}"
        return Judgement("inconclusive", (Check(nowhere, None),))
    ahead = order[order.index(stood) :] if stood else order
    first = next((each for each in found if each.stage in ahead), found[-1])
    return replace(first, others=tuple(each for each in found if each is not first))
