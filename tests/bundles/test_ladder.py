"""The ladder as a pure function: a sound proposal is promoted, any defect is named and stops it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.approvals import Approval
from bundles.canonical import digest_of
from bundles.entries import (
    Approved,
    Attested,
    Authored,
    Body,
    Demoted,
    Denied,
    Evaluated,
    LedgerEntry,
    Promoted,
    Quarantined,
    Registered,
    Requested,
)
from bundles.evidence import Coverage, Evaluation
from bundles.governance import Governance
from bundles.ladder import Decision, decide
from bundles.policy import Policy, default_policy
from bundles.proposals import Proposal
from bundles.roster import Roster
from bundles.runners import Runner
from bundles.stages import STAGES
from bundles.state import BundleState, fold
from bundles.statements import AuthorStatement, EvaluationStatement, PromotionStatement
from tests.bundles.conftest import (
    AUTHOR,
    DAY_NS,
    FIRST,
    NOW_NS,
    OTTO,
    PEOPLE,
    RITA,
    ROSTER,
    SECOND,
    STRANGER,
    TOM,
    UNLISTED,
    Person,
    bundle_of,
    evaluation_of,
    roster_of,
)

STEPS = [(target, stage) for target, stages in STAGES.items() for stage in stages[1:]]
HOUR_NS = 3_600 * 10**9
LONG_AGO_NS = NOW_NS - 5 * DAY_NS


@dataclass
class Case:
    """Everything that `decide` reads, for a bundle that may enter a stage; tests break parts of it."""

    target: str
    stage: str

    def __post_init__(self) -> None:
        self.policy: Policy = default_policy()
        self.roster: Roster = ROSTER
        self.bundle = bundle_of(self.target)
        self.now_ns = NOW_NS
        self.asked_at_ns = NOW_NS
        self.answers: list[Callable[[PromotionStatement], Approval]] = [RITA.says, TOM.says]
        self.changed: dict[str, Any] = {}
        self.debts: tuple[str, ...] = ()
        self.records: dict[str, Evaluation] = {}
        self.bodies: list[tuple[int, str, Body]] = []
        self.add(
            Registered(
                manifest=self.bundle.digest(),
                target=self.target,
                strategy=self.bundle.label,
                wasm=self.bundle.wasm_digest,
            ),
            at_ns=LONG_AGO_NS,
            actor=AUTHOR.name,
        )
        signature = AUTHOR.sign(AuthorStatement(bundle=self.bundle.digest()).canonical())
        self.add(Authored(signature=signature), at_ns=LONG_AGO_NS, actor=AUTHOR.name)
        stages = STAGES[self.target]
        for number, below in enumerate(stages[1 : stages.index(self.stage)]):
            self.climb(below, self.record(self.rule(below).evidence, number=number, day=number, at_ns=LONG_AGO_NS))
        self.named = [self.record(self.rule(self.stage).evidence, number=9, day=9)]

    def rule(self, stage: str):
        rule = self.policy.rule(self.target, stage)
        assert rule
        return rule

    def add(self, body: Body, *, at_ns: int = NOW_NS, actor: str = "operator") -> int:
        self.bodies.append((at_ns, actor, body))
        return len(self.bodies)

    def record(
        self,
        kind: str,
        *,
        at_ns: int = NOW_NS,
        runner: Runner = FIRST,
        attested_by: Runner | None = SECOND,
        **facts: Any,
    ) -> str:
        evaluation = evaluation_of(facts.pop("bundle", self.bundle), kind, **facts)
        self.records[evaluation.eval_id] = evaluation
        said = EvaluationStatement(
            bundle=evaluation.inputs.bundle,
            evaluation=evaluation.eval_id,
            record=evaluation.digest(),
            result=evaluation.result_digest,
        )
        common = {"evaluation": said.evaluation, "record": said.record, "result": said.result}
        body = Evaluated(**common, evaluation_kind=evaluation.inputs.kind, signature=runner.sign(said))
        self.add(body, at_ns=at_ns, actor=runner.name)
        if attested_by:
            self.add(Attested(**common, signature=attested_by.sign(said)), at_ns=at_ns, actor=attested_by.name)
        return evaluation.eval_id

    def climb(self, stage: str, *evaluations: str, break_glass: bool = False, at_ns: int = LONG_AGO_NS) -> int:
        """Put a promotion into the history, as if everything for it had been there."""
        statement = PromotionStatement(
            bundle=self.bundle.digest(),
            target=self.target,
            stage=stage,
            evaluations=tuple(sorted(evaluations)),
            verdict=digest_of(b""),
            policy=self.policy.digest(),
            entry=len(self.bodies) + 1,
            follows=self.state().last.digest(),
            break_glass=break_glass,
            glass_s=4 * 3_600 if break_glass else None,
        )
        earned = self.state().earned
        self.add(Requested(statement=statement, notes=""), at_ns=at_ns)
        body = Promoted(request=statement.request_id, from_stage=earned, stage=stage, governance=1)
        return self.add(body, at_ns=at_ns)

    def state(self) -> BundleState:
        previous, entries = None, []
        for seq, (at_ns, actor, body) in enumerate(self.bodies, start=1):
            entry = LedgerEntry(
                seq=seq, ledger=self.bundle.bundle_id, at_ns=at_ns, actor=actor, previous=previous, body=body
            )
            previous = entry.digest()
            entries.append(entry)
        return fold(entries)

    def look(self) -> Decision:
        proposal = Proposal(
            bundle=self.bundle.bundle_id,
            manifest=self.bundle.digest(),
            bundle_kind=self.target,
            target=self.target,
            stage=self.stage,
            evaluations=tuple(self.named),
        )
        return decide(
            replace(proposal, **self.changed),
            state=self.state(),
            records=self.records,
            governance=Governance(1, self.policy, self.roster),
            debts=self.debts,
            now_ns=self.now_ns,
        )

    def ask(self) -> PromotionStatement:
        """Open the request, whatever the ladder says of it."""
        decision = self.look()
        if decision.request is None:
            self.add(Requested(statement=decision.statement, notes=""), at_ns=self.asked_at_ns)
        return decision.statement

    def decide(self) -> Decision:
        """Open the request, let people answer, and decide."""
        statement = self.ask()
        for answer in self.answers:
            self.add(Approved(request=statement.request_id, approval=answer(statement), governance=1))
        return self.look()


def typed(person: Person) -> Callable[[PromotionStatement], Approval]:
    return lambda statement: person.says(statement, signed=False)


def about(person: Person, **changed: Any) -> Callable[[PromotionStatement], Approval]:
    """A signature of somebody for another statement."""
    return lambda statement: person.says(statement.model_copy(update=changed))


@pytest.mark.parametrize(("target", "stage"), STEPS)
def test_a_sound_proposal_is_promoted(target: str, stage: str) -> None:
    decision = Case(target, stage).decide()
    assert (decision.decision, decision.unmet, decision.repeats) == ("promoted", (), None)
    assert decision.statement.policy == default_policy().digest()
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
    name = case.record(case.rule(case.stage).evidence, number=83, day=23, metrics={"risk_breaches": None})
    case.named = [*case.named, name]
    return "risk_breaches is missing"


def a_later_evaluation(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=84, day=24)
    return f"{name} (pass) is a later"


def old_evaluation(case: Case) -> str:
    case.now_ns = case.asked_at_ns = NOW_NS + 31 * DAY_NS
    return "31.0 days old"


def wrong_target(case: Case) -> str:
    case.changed["target"] = next(target for target in STAGES if target != case.target)
    return f"is of kind {case.target}"


def unknown_target(case: Case) -> str:
    case.changed["target"] = "router"
    return "target 'router' is unknown"


def unsigned_evaluation(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=85, day=25, runner=Runner(FIRST.name), attested_by=None)
    case.named = [*case.named, name]
    return f"{name} is not vouched for: the record of {FIRST.name} is not signed"


def evaluation_of_an_unlisted_runner(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=86, day=26, runner=UNLISTED, attested_by=None)
    case.named = [*case.named, name]
    return f"{name} is not vouched for: {UNLISTED.name} is not a runner"


def runners_who_disagree(case: Case) -> str:
    name = case.record(case.rule(case.stage).evidence, number=87, day=27, attested_by=None)
    case.named = [*case.named, name]
    said = EvaluationStatement(
        bundle=case.bundle.digest(),
        evaluation=name,
        record=case.records[name].digest(),
        result=digest_of(b"something else"),
    )
    fields = said.model_dump(include={"evaluation", "record", "result"})
    case.add(Attested(**fields, signature=SECOND.sign(said)), actor=SECOND.name)
    return f"runner {SECOND.name} came to another result of evaluation {name}"


def quarantine(case: Case) -> str:
    case.add(Quarantined(notes="odd quotes"))
    return "is in quarantine"


def review_owed(case: Case) -> str:
    case.debts = ("the glass was broken for another bundle of this algo",)
    return case.debts[0]


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
    unsigned_evaluation,
    evaluation_of_an_unlisted_runner,
    runners_who_disagree,
    quarantine,
    review_owed,
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
    asked = case.rule(stage).approvals
    case.answers = case.answers[: asked.count - 1]
    decision = case.decide()
    assert decision.decision == "pending"
    assert f"{asked.count - 1} of {asked.count}" in decision.unmet[0]
    assert len(decision.unmet) == 1 + ("trading" in asked.at_least)


BAD_ANSWERS: list[tuple[Callable[[PromotionStatement], Approval], str]] = [
    (AUTHOR.says, "is the author of the bundle"),
    (Person(OTTO.name, key_of=STRANGER.name).says, "key"),
    (STRANGER.says, STRANGER.name),
    (about(TOM, stage="research"), "does not verify"),
    (about(TOM, bundle=digest_of(b"another")), "does not verify"),
    (about(TOM, policy=digest_of(b"another")), "does not verify"),
    (about(TOM, verdict=digest_of(b"another")), "does not verify"),
    (about(TOM, evaluations=("eval_0123456789abcdef",)), "does not verify"),
    (about(TOM, entry=1), "does not verify"),
    (about(TOM, follows=digest_of(b"a store of rehearsals")), "does not verify"),
    (about(TOM, decision="deny"), "does not verify"),
    (about(TOM, break_glass=True, glass_s=3_600), "does not verify"),
]


@pytest.mark.parametrize("good", [0, 1])
@pytest.mark.parametrize(("bad", "reason"), BAD_ANSWERS)
@pytest.mark.parametrize(("target", "stage"), [("edge", "live"), ("sor", "live"), ("assignment", "scaled")])
def test_an_answer_that_does_not_hold_counts_for_nothing(
    target: str, stage: str, bad: Callable[[PromotionStatement], Approval], reason: str, good: int
) -> None:
    case = Case(target, stage)
    case.answers = [*[RITA.says][:good], bad]
    decision = case.decide()
    assert decision.decision == "pending"
    assert any(reason in line for line in decision.unmet), decision.unmet
    assert any(f"{good} of 2" in line for line in decision.unmet)


def test_an_answer_that_does_not_hold_stops_nobody_else() -> None:
    case = Case("edge", "live")
    case.answers = [*(bad for bad, _ in BAD_ANSWERS), *case.answers]
    assert case.decide().decision == "promoted"


def test_one_person_counts_once_however_the_name_is_written() -> None:
    case = Case("edge", "live")
    case.answers = [RITA.says, RITA.says, Person(f" {RITA.name.upper()}", key_of=RITA.name).says]
    decision = case.decide()
    assert decision.decision == "pending"
    assert "1 of 2" in decision.unmet[0]


def test_a_key_that_was_taken_off_the_roster_no_longer_speaks() -> None:
    case = Case("edge", "live")
    assert case.decide().decision == "promoted"
    case.roster = roster_of({name: roles for name, roles in PEOPLE.items() if name != TOM.name})
    decision = case.look()
    assert decision.decision == "pending"
    assert any(TOM.name in line for line in decision.unmet)


@pytest.mark.parametrize(("target", "stage"), STEPS)
def test_typed_names_count_only_where_no_signature_is_asked(target: str, stage: str) -> None:
    case = Case(target, stage)
    case.answers = [typed(RITA), typed(TOM)]
    decision = case.decide()
    if case.rule(stage).approvals.signed:
        assert decision.decision == "pending"
        assert sum("is typed, the policy asks for a signature" in line for line in decision.unmet) == 2
    else:
        assert decision.decision == "promoted"


@pytest.mark.parametrize(("second", "wanted"), [(OTTO, "holds none of the roles"), (Person("rose@example.com"), "")])
def test_the_roles_that_are_asked_must_be_held(second: Person, wanted: str) -> None:
    case = Case("edge", "live")
    case.roster = roster_of({**PEOPLE, "rose@example.com": ("risk",)})
    case.answers = [RITA.says, second.says]
    decision = case.decide()
    assert decision.decision == "pending"
    assert "0 of 1 signed approval by trading; ask somebody who holds that role" in decision.unmet
    assert not wanted or any(wanted in line for line in decision.unmet)


@pytest.mark.parametrize("stage", ["live", "scaled"])
def test_from_live_up_a_second_runner_is_waited_for(stage: str) -> None:
    case = Case("edge", stage)
    case.named = [case.record(case.rule(stage).evidence, number=30, day=30, attested_by=None)]
    decision = case.decide()
    assert (decision.decision, decision.waits_for_runners) == ("pending", (case.named[0],))
    assert "was executed by 1 of 2 runners" in decision.unmet[0]
    case.record(case.rule(stage).evidence, number=30, day=30, attested_by=FIRST)
    assert case.look().decision == "pending", "the same runner twice is one runner"
    case.named = [case.record(case.rule(stage).evidence, number=31, day=31)]
    assert case.decide().decision == "promoted"


def test_without_listed_runners_anybody_may_run_what_the_lower_stages_ask_for() -> None:
    case = Case("edge", "replay")
    case.named = [case.record("replay", number=40, runner=Runner("laptop"), attested_by=None)]
    assert case.decide().decision == "refused"
    case.roster = roster_of({name: roles for name, roles in PEOPLE.items() if roles != ("runner",)})
    assert case.look().decision == "promoted"
    higher = Case("edge", "live")
    higher.roster = case.roster
    assert "is not a runner of the roster" in " ".join(higher.decide().unmet)


@pytest.mark.parametrize("stage", ["shadow", "live", "scaled"])
def test_from_live_up_the_author_signs(stage: str) -> None:
    case = Case("edge", stage)
    case.roster = roster_of({name: roles for name, roles in PEOPLE.items() if name != AUTHOR.name})
    decision = case.decide()
    assert decision.decision == ("promoted" if stage == "shadow" else "refused")
    assert stage == "shadow" or "the author is not known for certain" in decision.unmet[0]


@pytest.mark.parametrize("hours", [71, 73])
def test_a_request_lapses(hours: int) -> None:
    case = Case("edge", "live")
    case.decide()
    case.now_ns += hours * HOUR_NS
    assert case.look().decision == ("promoted" if hours < 72 else "pending")


@pytest.mark.parametrize(
    "between",
    [
        lambda case, request: Denied(request=request, approval=RITA.says(case.look().statement), governance=1),
        lambda _case, _request: Demoted(from_stage="shadow", stage="replay", notes="why"),
        lambda _case, _request: Quarantined(notes="why"),
    ],
    ids=["denied", "demoted", "quarantined"],
)
def test_what_comes_between_ends_the_request(between: Callable[[Case, str], Body]) -> None:
    case = Case("edge", "live")
    statement = case.ask()
    case.add(between(case, statement.request_id))
    assert case.state().open_requests == ()
    decision = case.look()
    assert decision.request is None
    assert decision.statement.entry == statement.entry + 2


def test_another_policy_asks_for_another_request() -> None:
    case = Case("edge", "live")
    case.decide()
    case.policy = default_policy().model_copy(update={"name": "renamed"})
    decision = case.look()
    assert (decision.decision, decision.request) == ("pending", None)


def test_a_bundle_soaks_below_before_it_goes_up() -> None:
    case = Case("edge", "live")
    case.now_ns = LONG_AGO_NS + 23 * HOUR_NS
    decision = case.decide()
    assert decision.decision == "refused"
    assert "has stood at shadow for 23.0 h; stage live asks for 24 h: wait 1.0 h" in decision.unmet[0]
    case.now_ns += HOUR_NS
    assert case.look().decision == "promoted"


@pytest.mark.parametrize("target", list(STAGES))
def test_order(target: str) -> None:
    stages = STAGES[target]
    for at in stages:
        for wanted in stages:
            case = Case(target, "replay")
            for below in stages[1 : stages.index(at) + 1]:
                case.climb(below)
            case.changed["stage"] = wanted
            unmet = " ".join(case.look().unmet)
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


def with_look(case: Case, number: int, look: object, day: int = 0) -> str:
    """Record a shadow evaluation that calls itself this look; None leaves the name away."""
    inputs = evaluation_of(case.bundle, "shadow", number=number).inputs
    settings = inputs.settings | {"look": look}
    if look is None:
        del settings["look"]
    inputs = inputs.model_copy(update={"settings": settings})
    return case.record("shadow", number=number, day=day, inputs=inputs)


@pytest.mark.parametrize("look", [1, 0, -2, "2", 1.5, True, None])
def test_an_evaluation_must_not_claim_an_earlier_look_than_it_is(look: object) -> None:
    case = Case("edge", "shadow")  # it comes with one shadow evaluation
    case.named = [with_look(case, 20, look)]
    (problem,) = case.decide().unmet
    if look is None:
        assert problem.startswith(f"evaluation {case.named[0]} does not say which look at its bundle it is")
        assert "(pnl_diff_bps_lower95)" in problem
        return
    assert problem.startswith(f"evaluation {case.named[0]} calls itself look {look} at bundle {case.bundle.bundle_id}")
    assert "by the shadow evaluations in the ledger it is look 2, so its bounds are too narrow" in problem
    assert "run the shadow evaluation again" in problem


@pytest.mark.parametrize("look", [2, 3, 100])
def test_a_later_look_than_the_place_claims_less_and_counts(look: int) -> None:
    case = Case("edge", "shadow")
    case.named = [with_look(case, 20, look)]
    assert not case.decide().unmet


def test_the_place_of_a_look_is_where_it_was_first_recorded() -> None:
    case = Case("edge", "shadow")
    second = with_look(case, 20, 2)
    with_look(case, 21, 3)
    case.record("replay", number=22)
    case.named = [with_look(case, 20, 2)]  # run again
    assert case.named == [second]
    assert not case.decide().unmet


def test_each_named_evaluation_answers_for_its_look() -> None:
    case = Case("edge", "live")
    honest, wrong = with_look(case, 30, 3, day=20), with_look(case, 31, 3, day=30)
    case.named = [honest, wrong]
    problems = [each for each in case.decide().unmet if "calls itself" in each]
    assert len(problems) == 1
    assert problems[0].startswith(f"evaluation {wrong} calls itself look 3")


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
    seq = case.climb("shadow", *case.named)
    decision = case.look()
    assert (decision.decision, decision.repeats) == ("promoted", seq)
    case.named = [case.record("shadow", number=90)]
    assert "already" in case.look().unmet[0]


def test_after_a_demotion_the_same_evidence_needs_new_approvals() -> None:
    case = Case("edge", "live")
    case.decide()
    statement = case.look().statement
    case.add(Promoted(request=statement.request_id, from_stage="shadow", stage="live", governance=1))
    assert case.look().repeats
    case.add(Demoted(from_stage="live", stage="shadow", notes="why"), at_ns=NOW_NS)
    case.now_ns = NOW_NS + DAY_NS
    decision = case.look()
    assert (decision.decision, decision.repeats, decision.request) == ("pending", None, None)


def broken(to_stage: str, *answers: Callable[[PromotionStatement], Approval], **changed: Any) -> Case:
    """A bundle at research for which the glass is to be broken."""
    case = Case("edge", "replay")
    case.stage, case.named, case.answers = to_stage, [], list(answers)
    case.changed = {"break_glass": True, "glass_s": 4 * 3_600, "notes": "exchange outage"} | changed
    return case


def test_breaking_the_glass_skips_order_evidence_quorum_and_debts() -> None:
    case = broken("scaled", OTTO.says)
    case.debts = ("a review is owed",)
    decision = case.decide()
    assert (decision.decision, decision.unmet) == ("promoted", ())
    assert decision.statement.break_glass


@pytest.mark.parametrize(
    ("answers", "changed", "texts"),
    [
        ([], {"notes": ""}, ["needs notes", "0 of 1"]),
        ([OTTO.says], {"notes": "  "}, ["needs notes"]),
        ([], {}, ["0 of 1 signed approval by break-glass"]),
        ([RITA.says], {}, ["holds none of the roles break-glass", "0 of 1"]),
        ([typed(OTTO)], {}, ["is typed", "0 of 1"]),
        ([AUTHOR.says], {}, ["is the author", "holds none of the roles", "0 of 1"]),
        ([OTTO.says], {"glass_s": None}, ["lasts from a moment to 24 h"]),
        ([about(OTTO, break_glass=False, glass_s=None)], {}, ["does not verify", "0 of 1"]),
        ([about(OTTO, glass_s=86_400)], {}, ["does not verify", "0 of 1"]),
        ([OTTO.says], {"target": "sor"}, ["is of kind edge"]),
        ([OTTO.says], {"stage": "sandbox"}, ["exists on the ladder of"]),
        ([OTTO.says], {"stage": "research"}, ["already"]),
    ],
)
def test_breaking_the_glass_needs_the_right_person_a_reason_and_hours(
    answers: list[Callable[[PromotionStatement], Approval]], changed: dict[str, Any], texts: list[str]
) -> None:
    decision = broken("live", *answers, **changed).decide()
    assert decision.decision in {"refused", "pending"}
    assert len(decision.unmet) == len(texts), decision.unmet
    for text, line in zip(texts, decision.unmet, strict=True):
        assert text in line


def test_breaking_the_glass_opens_no_quarantine() -> None:
    case = broken("live", OTTO.says)
    case.add(Quarantined(notes="why"))
    decision = case.decide()
    assert decision.decision == "refused"
    assert "is in quarantine" in decision.unmet[0]


def test_a_broken_glass_lends_a_stage_for_its_hours_and_earns_nothing() -> None:
    case = Case("edge", "shadow")
    case.climb("live", break_glass=True, at_ns=NOW_NS)
    state = case.state()
    assert [state.stage_at(NOW_NS + hours * HOUR_NS) for hours in (0, 3.99, 4)] == ["live", "live", "replay"]
    assert state.standing().stage_at(NOW_NS) == "live"
    assert state.standing().stage_at(NOW_NS + 4 * HOUR_NS) == "replay"
    assert state.earned == "replay"
    assert case.decide().decision == "promoted", "the next ordinary stage is shadow, lent stages aside"


def test_a_lapsed_glass_must_be_broken_anew() -> None:
    case = broken("live", OTTO.says)
    case.decide()
    statement = case.look().statement
    case.add(Promoted(request=statement.request_id, from_stage="research", stage="live", governance=1, reviews=2))
    assert case.look().repeats
    case.now_ns += 4 * HOUR_NS
    decision = case.look()
    assert (decision.decision, decision.repeats, decision.request) == ("pending", None, None)
