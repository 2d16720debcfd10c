"""The ladder as a pure function: a sound proposal is promoted, any defect is named and stops it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.approvals import Approval, Roster, Statement
from bundles.canonical import digest_of
from bundles.entries import BundleState, Promoted, RecordedEvaluation, RecordedPromotion
from bundles.evidence import Coverage, Evaluation
from bundles.ladder import Decision, Proposal, decide, statement_of
from bundles.policy import Policy, default_policy
from bundles.stages import STAGES
from tests.bundles.conftest import (
    AUTHOR,
    DAY_NS,
    NOW_NS,
    OTTO,
    RITA,
    ROSTER,
    STRANGER,
    TOM,
    Person,
    bundle_of,
    evaluation_of,
)

STEPS = [(target, stage) for target, stages in STAGES.items() for stage in stages[1:]]


@dataclass
class Case:
    """Everything that `decide` reads, for a bundle that may enter a stage; tests break parts of it."""

    target: str
    stage: str

    def __post_init__(self) -> None:
        self.policy: Policy = default_policy()
        self.roster: Roster = ROSTER
        self.bundle = bundle_of(self.target)
        stages = STAGES[self.target]
        self.at = stages[stages.index(self.stage) - 1]
        self.now_ns = NOW_NS
        self.approvers: list[Person] = [RITA, TOM]
        self.typed: list[Person] = []
        self.extra_approvals: list[Approval] = []
        self.changed: dict[str, Any] = {}
        self.records: dict[str, Evaluation] = {}
        self.ledger: list[RecordedEvaluation] = []
        self.promotions: list[RecordedPromotion] = []
        for number, below in enumerate(stages[1 : stages.index(self.stage)]):
            self.climb(below, self.record(self.rule(below).evidence, number=number, day=number))
        self.named = [self.record(self.rule(self.stage).evidence, number=9, day=9)]

    def rule(self, stage: str):
        rule = self.policy.rule(self.target, stage)
        assert rule
        return rule

    def record(self, kind: str, *, at_ns: int = NOW_NS, **facts: Any) -> str:
        evaluation = evaluation_of(facts.pop("bundle", self.bundle), kind, **facts)
        self.records[evaluation.eval_id] = evaluation
        seq = len(self.ledger) + len(self.promotions) + 2
        self.ledger.append(
            RecordedEvaluation(seq, at_ns, evaluation.eval_id, evaluation.inputs.kind, evaluation.digest())
        )
        return evaluation.eval_id

    def climb(self, stage: str, *evaluations: str, break_glass: bool = False) -> None:
        statement = Statement(
            bundle=self.bundle.digest(),
            target=self.target,
            stage=stage,
            evaluations=tuple(sorted(evaluations)),
            verdict=digest_of(b""),
            policy=self.policy.digest(),
            break_glass=break_glass,
        )
        body = Promoted(from_stage="", statement=statement, approvals=(), roster=ROSTER.digest(), notes="")
        seq = len(self.ledger) + len(self.promotions) + 2
        self.promotions.append(RecordedPromotion(seq, NOW_NS, body))

    def decide(self) -> Decision:
        state = BundleState(
            bundle=self.bundle.bundle_id,
            manifest=self.bundle.digest(),
            author=AUTHOR.name,
            stage=self.at,
            evaluated=tuple(self.ledger),
            promotions=tuple(self.promotions),
        )
        proposal = Proposal(
            bundle=self.bundle.bundle_id,
            manifest=self.bundle.digest(),
            bundle_kind=self.target,
            target=self.target,
            stage=self.stage,
            evaluations=tuple(self.named),
        )
        proposal = replace(proposal, **self.changed)
        statement = statement_of(proposal, records=self.records, policy=self.policy)
        approvals = [each.approve(statement) for each in self.approvers]
        approvals += [each.approve(statement, signed=False) for each in self.typed]
        proposal = replace(proposal, approvals=(*approvals, *self.extra_approvals))
        return decide(
            proposal, state=state, records=self.records, policy=self.policy, roster=self.roster, now_ns=self.now_ns
        )


@pytest.mark.parametrize(("target", "stage"), STEPS)
def test_a_sound_proposal_is_promoted(target: str, stage: str) -> None:
    decision = Case(target, stage).decide()
    assert (decision.decision, decision.unmet, decision.repeats) == ("promoted", (), None)
    assert decision.policy == default_policy().digest()
    assert decision.checks


def no_evaluation(case: Case) -> str:
    case.named = []
    return "no evaluation is named"


def unknown_evaluation(case: Case) -> str:
    case.named = [*case.named, "eval_0123456789abcdef"]
    return "eval_0123456789abcdef is not in the store"


def evaluation_of_another_bundle(case: Case) -> str:
    other = evaluation_of(bundle_of(case.target, 1), case.rule(case.stage).evidence, number=77)
    case.records[other.eval_id] = other
    case.named = [*case.named, other.eval_id]
    return f"{other.eval_id} judges another bundle"


def evaluation_outside_the_ledger(case: Case) -> str:
    stray = evaluation_of(case.bundle, case.rule(case.stage).evidence, number=78)
    case.records[stray.eval_id] = stray
    case.named = [*case.named, stray.eval_id]
    return f"{stray.eval_id} is not in the ledger"


def evaluation_of_another_kind(case: Case) -> str:
    kind = "live-review" if case.rule(case.stage).evidence != "live-review" else "replay"
    name = case.record(kind, number=79, day=20)
    case.named = [*case.named, name]
    return f"{name} is a {kind} evaluation"


def failed_evaluation(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=80, day=21, metrics={"risk_breaches": 3})
    case.named = [*case.named, name]
    return "risk_breaches 3 == 0"


def broken_evaluation(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=81, day=22, status="failed", status_detail="trap in init")
    case.named = [*case.named, name]
    return "run failed: trap in init"


def inconclusive_evaluation(case: Case) -> str:
    short = Coverage(first_ns=30 * DAY_NS, last_ns=30 * DAY_NS + 10**9, events=5, packets=5)
    name = case.record(case.rule(case.stage).evidence, number=82, coverage=short)
    case.named = [*case.named, name]
    return f"{name} is inconclusive"


def missing_metric(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=83, day=23, metrics={"return_bps": None})
    case.named = [*case.named, name]
    return "return_bps is missing"


def a_later_evaluation(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=84, day=24)
    return f"{name} (pass) is a later"


def old_evaluation(case: Case) -> str:
    case.ledger = [replace(each, at_ns=NOW_NS - 31 * DAY_NS) for each in case.ledger]
    return "31.0 days old"


def wrong_target(case: Case) -> str:
    case.changed["target"] = next(target for target in STAGES if target != case.target)
    return f"is of kind {case.target}"


def unknown_target(case: Case) -> str:
    case.changed["target"] = "router"
    return "target 'router' is unknown"


def author_approves(case: Case) -> str:
    case.approvers = [*case.approvers, AUTHOR]
    return "is the author of the bundle"


def somebody_approves_twice(case: Case) -> str:
    case.approvers = [*case.approvers, Person(f" {RITA.name.upper()}", key_of=RITA.name)]
    return "approves twice"


def approval_of_something_else(case: Case) -> str:
    other = Statement(
        bundle=case.bundle.digest(),
        target=case.target,
        stage="x",
        evaluations=(),
        verdict=digest_of(b""),
        policy=digest_of(b""),
    )
    case.extra_approvals.append(OTTO.approve(other))
    return f"the approval of {OTTO.name} is for another"


def forged_signature(case: Case) -> str:
    case.approvers = [*case.approvers, Person(OTTO.name, key_of=STRANGER.name)]
    return "with a key that the roster does not list"


def signer_who_is_not_on_file(case: Case) -> str:
    case.approvers = [*case.approvers, STRANGER]
    return f"{STRANGER.name} has no key in the roster"


DEFECTS: list[Callable[[Case], str]] = [
    no_evaluation,
    unknown_evaluation,
    evaluation_of_another_bundle,
    evaluation_outside_the_ledger,
    evaluation_of_another_kind,
    failed_evaluation,
    broken_evaluation,
    inconclusive_evaluation,
    missing_metric,
    a_later_evaluation,
    old_evaluation,
    wrong_target,
    unknown_target,
    author_approves,
    somebody_approves_twice,
    approval_of_something_else,
    forged_signature,
    signer_who_is_not_on_file,
]


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize(("target", "stage"), STEPS)
def test_one_defect_refuses_and_is_named(target: str, stage: str, defect: Callable[[Case], str]) -> None:
    case = Case(target, stage)
    wanted = defect(case)
    decision = case.decide()
    assert decision.decision == "refused"
    assert any(wanted in line for line in decision.unmet), decision.unmet


COMBINABLE = [each for each in DEFECTS if each not in {no_evaluation, a_later_evaluation, wrong_target}]


@given(step=st.sampled_from(STEPS), defects=st.sets(st.sampled_from(COMBINABLE), min_size=1))
@settings(deadline=None, max_examples=60)
def test_every_defect_is_named(step: tuple[str, str], defects: set[Callable[[Case], str]]) -> None:
    case = Case(*step)
    wanted = [defect(case) for defect in sorted(defects, key=DEFECTS.index)]
    decision = case.decide()
    assert decision.decision == "refused"
    for text in wanted:
        assert any(text in line for line in decision.unmet), (text, decision.unmet)


@pytest.mark.parametrize(("target", "stage"), STEPS)
def test_missing_approvals_alone_leave_it_pending(target: str, stage: str) -> None:
    case = Case(target, stage)
    count = case.rule(stage).approvals.count
    case.approvers = case.approvers[: count - 1]
    decision = case.decide()
    assert decision.decision == "pending"
    assert len(decision.unmet) == 1
    assert f"{count - 1} of {count}" in decision.unmet[0]


@pytest.mark.parametrize(("target", "stage"), STEPS)
def test_typed_names_count_only_where_no_signature_is_asked(target: str, stage: str) -> None:
    case = Case(target, stage)
    case.approvers, case.typed = [], [RITA, TOM]
    decision = case.decide()
    if case.rule(stage).approvals.signed:
        assert decision.decision == "refused"
        assert sum("is typed, the policy asks for a signature" in line for line in decision.unmet) == 2
    else:
        assert decision.decision == "promoted"


def test_a_role_that_is_asked_must_be_held() -> None:
    case = Case("edge", "live")
    case.approvers = [RITA, OTTO]
    decision = case.decide()
    assert decision.unmet == (
        f"{OTTO.name} holds none of the roles risk, trading; ask someone who does, or add the role to the roster",
    )


@pytest.mark.parametrize("target", list(STAGES))
def test_order(target: str) -> None:
    stages = STAGES[target]
    for at in stages:
        for wanted in stages:
            case = Case(target, wanted if wanted != "research" else "replay")
            case.at, case.promotions = at, []
            case.changed["stage"] = wanted
            unmet = " ".join(case.decide().unmet)
            step = stages.index(wanted) - stages.index(at)
            assert ("cannot be skipped" in unmet) == (step > 1)
            assert ("already" in unmet) == (step == 0)
            assert ("only goes up" in unmet) == (step < 0)
            if step > 1:
                assert f"promote it to {stages[stages.index(at) + 1]} next" in unmet


@pytest.mark.parametrize(
    ("target", "stage", "text"),
    [
        (
            "edge",
            "sandbox",
            "exists on the ladder of sor and assignment only; the edge ladder is research → replay → shadow",
        ),
        ("sor", "shadow", "exists on the ladder of edge only"),
        ("edge", "production", "is unknown; the edge ladder is"),
    ],
)
def test_a_stage_of_no_or_another_ladder(target: str, stage: str, text: str) -> None:
    case = Case(target, "replay")
    case.changed["stage"] = stage
    decision = case.decide()
    assert decision.decision == "refused"
    assert text in decision.unmet[0]


@pytest.mark.parametrize("day", [0, 1, 2])
def test_live_needs_a_market_that_the_earlier_evidence_has_not_seen(day: int) -> None:
    case = Case("edge", "live")
    case.named = [case.record("shadow", number=50, day=day)]
    decision = case.decide()
    assert decision.decision == ("promoted" if day > 1 else "refused")  # the evidence for shadow saw day 1
    if day <= 1:
        assert "later than, and apart from" in decision.unmet[0]


def test_after_break_glass_live_takes_two_windows() -> None:
    case = Case("edge", "live")
    case.promotions = []
    case.climb("shadow", break_glass=True)
    first = case.record("shadow", number=60, day=10)
    last = case.record("shadow", number=61, day=11)
    case.named = [last]
    assert "name two shadow evaluations" in case.decide().unmet[0]
    case.named = [first, last]
    assert case.decide().decision == "promoted"


def test_a_later_failure_revokes_stages_already_climbed() -> None:
    case = Case("edge", "shadow")
    failing = case.record("replay", number=70, metrics={"traps": 1})
    decision = case.decide()
    assert decision.decision == "refused"
    assert f"{failing} revokes stage replay" in decision.unmet[0]
    case.record("replay", number=71)
    assert case.decide().decision == "promoted"


def test_the_same_promotion_again_names_the_first() -> None:
    case = Case("edge", "shadow")
    case.climb("shadow", *case.named)
    case.at, case.approvers = "shadow", []
    decision = case.decide()
    assert (decision.decision, decision.repeats) == ("promoted", case.promotions[-1].seq)
    case.named = [case.record("shadow", number=90)]
    assert "already" in case.decide().unmet[0]


def test_breaking_the_glass_skips_order_evidence_and_quorum() -> None:
    case = Case("edge", "scaled")
    case.at, case.promotions, case.named, case.approvers = "research", [], [], [OTTO]
    case.changed = {"break_glass": True, "notes": "exchange outage"}
    decision = case.decide()
    assert (decision.decision, decision.unmet) == ("promoted", ())
    assert decision.statement.break_glass


@pytest.mark.parametrize(
    ("approvers", "typed", "notes", "texts"),
    [
        ([], [], "", ["needs an approver", "needs notes"]),
        ([OTTO], [], "  ", ["needs notes"]),
        ([], [], "why", ["needs an approver"]),
        ([RITA], [], "why", ["holds none of the roles break-glass"]),
        ([], [OTTO], "why", ["is typed"]),
        ([AUTHOR], [], "why", ["is the author", "holds none of the roles"]),
        ([], [AUTHOR], "", ["is the author", "is typed", "holds none of the roles", "needs notes"]),
    ],
)
def test_breaking_the_glass_needs_the_right_person_and_a_reason(approvers, typed, notes, texts) -> None:
    case = Case("edge", "live")
    case.named, case.approvers, case.typed = [], approvers, typed
    case.changed = {"break_glass": True, "notes": notes}
    decision = case.decide()
    assert decision.decision == "refused"
    assert len(decision.unmet) == len(texts)
    for text, line in zip(texts, decision.unmet, strict=True):
        assert text in line


def test_an_approval_for_the_ordinary_way_does_not_break_the_glass() -> None:
    case = Case("edge", "live")
    ordinary = case.decide().statement
    case.approvers, case.extra_approvals = [], [OTTO.approve(ordinary)]
    case.changed = {"break_glass": True, "notes": "why"}
    assert "is for another" in case.decide().unmet[0]


@pytest.mark.parametrize("changed", [{"target": "sor"}, {"stage": "sandbox"}])
def test_breaking_the_glass_leads_to_no_other_ladder(changed: dict[str, str]) -> None:
    case = Case("edge", "shadow")
    case.approvers = [OTTO]
    case.changed = {"break_glass": True, "notes": "why"} | changed
    assert case.decide().decision == "refused"
