"""Commands in any order, through a store that fails, beside a rival who does the same: the store always holds what a
plain model of the rules holds, each thing once.

The model is written from the rules in docs/governance.md and the shipped policy, without the product's code.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bundles import ledger as ledger_module
from bundles.approvals import Approval
from bundles.audit import verify
from bundles.catalog import Catalog
from bundles.compile import compile_edge
from bundles.descent import demote, quarantine, release, release_statement, review, review_statement
from bundles.errors import RefusedError, UnreachableError
from bundles.governance import set_policy, set_roster, statement_for
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.policy import default_policy
from bundles.promotion import Outcome
from bundles.roster import Roster
from tests.bundles.conftest import (
    AUTHOR,
    DAY_NS,
    FIRST,
    GRETA,
    NOW_NS,
    OLGA,
    OTTO,
    PEOPLE,
    RITA,
    SECOND,
    STRANGER,
    TOM,
    UNLISTED,
    SigningRunner,
    World,
    roster_of,
    wasm,
)
from tests.bundles.faults import Fault, FaultyStore, MemoryStore

HOUR_NS = 3_600 * 10**9
STAGES = ["research", "replay", "shadow", "live", "scaled"]
KIND = {"replay": "replay", "shadow": "shadow", "live": "shadow", "scaled": "live-review"}
MAX_AGE_DAYS = {"replay": 30, "shadow": 14, "live": 7, "scaled": 7}
SOAK_HOURS = {"replay": 0, "shadow": 0, "live": 24, "scaled": 72}
VALID_HOURS = 72
HIGH = {"live", "scaled"}  # two signed approvals, by risk and by trading, and two listed runners
EVERYBODY = {person.name: person for person in (AUTHOR, RITA, TOM, OTTO, OLGA, GRETA, STRANGER)}
RUNNERS = {runner.name: runner for runner in (FIRST, SECOND, UNLISTED)}

faults = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(list(Fault))), max_size=4).map(dict)
bundles = st.integers(0, 1)
stages = st.sampled_from(STAGES[1:])
people = st.sampled_from(sorted(EVERYBODY))


# The model


@dataclass
class ModelEvaluation:
    name: str
    kind: str
    verdict: str
    day: int
    at_ns: int
    by: set[str] = field(default_factory=set)
    """The runners that signed for it."""


@dataclass
class ModelRequest:
    id: str
    stage: str
    evaluations: frozenset[str]
    at_ns: int
    policy: int
    by: str
    glass_h: int | None = None
    said: dict[str, bool] = field(default_factory=dict)
    """Who approved, and whether it was signed."""
    is_open: bool = True


@dataclass
class ModelGlass:
    request: ModelRequest
    stage: str
    until_ns: int
    reviewers: dict[str, str] = field(default_factory=dict)
    lifted: bool = False

    def lends(self, now_ns: int) -> bool:
        return not self.lifted and now_ns < self.until_ns


@dataclass
class ModelBundle:
    evaluations: dict[str, ModelEvaluation] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    """Evaluations as they were last recorded."""
    requests: list[ModelRequest] = field(default_factory=list)
    promotions: list[tuple[str, frozenset[str], int]] = field(default_factory=list)
    """Stage, evidence, and how many evaluations were recorded by then."""
    glasses: list[ModelGlass] = field(default_factory=list)
    earned: str = "research"
    earned_at_ns: int = NOW_NS
    quarantined: bool = False
    last_move: object = None
    """The request that made the last move, if a promotion did."""

    def stage(self, now_ns: int) -> str:
        lent = [glass.stage for glass in self.glasses if glass.lends(now_ns)]
        return max([self.earned, *lent], key=STAGES.index)

    def owes(self) -> bool:
        return any(len(glass.reviewers) < 2 for glass in self.glasses)

    def latest(self, kind: str) -> ModelEvaluation | None:
        names = [name for name in self.order if self.evaluations[name].kind == kind]
        return self.evaluations[names[-1]] if names else None

    def close_requests(self, kept: ModelRequest | None = None) -> None:
        for request in self.requests:
            request.is_open = request.is_open and request is kept
        self.last_move = kept


@dataclass
class Model:
    bundles: list[ModelBundle]
    now_ns: int = NOW_NS
    policy: int = 0
    revoked: set[str] = field(default_factory=set)

    def listed(self, runner: str) -> bool:
        return runner in {FIRST.name, SECOND.name} and runner not in self.revoked

    def roles(self, person: str) -> tuple[str, ...]:
        return () if person in self.revoked else PEOPLE.get(person, ())

    def vouched(self, evaluation: ModelEvaluation) -> set[str]:
        return {runner for runner in evaluation.by if self.listed(runner)}

    def refuses(self, number: int, stage: str, named: frozenset[str], glass_h: int | None) -> bool:
        """Tell whether anything but approvals and runners is missing."""
        bundle = self.bundles[number]
        at = bundle.stage(self.now_ns) if glass_h else bundle.earned
        steps = STAGES.index(stage) - STAGES.index(at)
        if bundle.quarantined or steps < 1:
            return True
        if glass_h:
            return glass_h > 24
        if steps > 1 or self.now_ns - bundle.earned_at_ns < SOAK_HOURS[stage] * HOUR_NS:
            return True
        if any(each.owes() for each in self.bundles):  # all cite one artifact: they are one algo
            return True
        return self._refuses_evidence(bundle, stage, named) or self._is_revoked(bundle, stage, named)

    def _refuses_evidence(self, bundle: ModelBundle, stage: str, named: frozenset[str]) -> bool:
        latest = bundle.latest(KIND[stage])
        if not named or not named <= bundle.evaluations.keys() or latest is None or latest.name not in named:
            return True
        for evaluation in (bundle.evaluations[name] for name in named):
            old = self.now_ns - evaluation.at_ns > MAX_AGE_DAYS[stage] * DAY_NS
            if evaluation.kind != KIND[stage] or evaluation.verdict != "pass" or old or not self.vouched(evaluation):
                return True
        if stage != "live":
            return False
        cited = {name for _, names, _ in bundle.promotions for name in names} | named
        shadows = [bundle.evaluations[name] for name in cited if bundle.evaluations[name].kind == "shadow"]
        return not any(each.day < latest.day for each in shadows if each is not latest)

    def _is_revoked(self, bundle: ModelBundle, stage: str, named: frozenset[str]) -> bool:
        for climbed, _, count in bundle.promotions:
            vouched = [n for n in bundle.order if self.vouched(bundle.evaluations[n])]
            for pool in (bundle.order, vouched):
                mine = [n for n in pool if bundle.evaluations[n].kind == KIND[climbed]]
                if not mine or mine[-1] not in bundle.order[count:]:
                    continue
                judged_above = KIND[stage] == KIND[climbed] and mine[-1] in named
                if bundle.evaluations[mine[-1]].verdict == "fail" and not judged_above:
                    return True
        return False

    def is_complete(self, number: int, request: ModelRequest) -> bool:
        """Tell whether a request that is not refused has its runners and approvals."""
        bundle = self.bundles[number]
        if request.glass_h:
            return any(self.counts(request, person) for person in request.said)
        if request.stage in HIGH and any(len(self.vouched(bundle.evaluations[n])) < 2 for n in request.evaluations):
            return False
        good = [person for person in request.said if self.counts(request, person)]
        if request.stage not in HIGH:
            return bool(good)
        held = [role for person in good for role in self.roles(person)]
        return len(good) >= 2 and "risk" in held and "trading" in held

    def counts(self, request: ModelRequest, person: str) -> bool:
        return self.may_say(request, person, signed=request.said[person])

    def may_say(self, request: ModelRequest, person: str, *, signed: bool) -> bool:
        if person == AUTHOR.name or (signed and (person in self.revoked or person not in PEOPLE)):
            return False
        if request.glass_h:
            return signed and "break-glass" in self.roles(person)
        return request.stage not in HIGH or (signed and bool({"risk", "trading"} & set(self.roles(person))))

    def promote(self, number: int, request: ModelRequest) -> None:
        bundle = self.bundles[number]
        bundle.close_requests(request)
        request.is_open = False
        bundle.promotions.append((request.stage, request.evaluations, len(bundle.order)))
        if request.glass_h:
            bundle.glasses.append(ModelGlass(request, request.stage, self.now_ns + request.glass_h * HOUR_NS))
        else:
            bundle.earned, bundle.earned_at_ns = request.stage, self.now_ns

    def is_valid(self, request: ModelRequest) -> bool:
        age_ns = self.now_ns - request.at_ns
        return request.is_open and request.policy == self.policy and age_ns < VALID_HOURS * HOUR_NS

    def lower(self, number: int, stage: str) -> None:
        bundle = self.bundles[number]
        bundle.close_requests()
        for glass in bundle.glasses:
            glass.lifted = glass.lifted or STAGES.index(glass.stage) > STAGES.index(stage)
        if STAGES.index(bundle.earned) > STAGES.index(stage):
            bundle.earned, bundle.earned_at_ns = stage, self.now_ns


# The machine


class Ladder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.worlds: list[World] = []
        self.serial = 0

    @initialize()
    def begin(self) -> None:
        world = World(self.store).begin()
        for number in range(2):
            bundle = compile_edge(
                wasm(number), sdk_abi="0.4.0", artifact="art_research", risk_limits=MmRiskLimits(), config=MmConfig()
            )
            world.catalog.register_bundle(bundle, author=AUTHOR.name, blobs=[wasm(number)], now_ns=NOW_NS)
            each = World(self.store)
            each.bundle, each.bundle_id = bundle, bundle.bundle_id
            each.sign()
            self.worlds.append(each)
        self.model = Model([ModelBundle(), ModelBundle()])

    def run(self, number: int, plan: dict[int, Fault], act: Callable[[World], Any]) -> Any:
        """Run a command through a store that fails, again until it comes through, a rival beside it."""
        calls = iter(range(1 << 30))
        left = dict(plan)
        faulty: Any = FaultyStore(
            self.store, lambda _method, _key: left.pop(next(calls), None), rival=lambda: self._rival(number, act)
        )
        for _ in range(len(plan) + 1):
            try:
                return act(self._at(number, faulty))
            except UnreachableError:
                continue
        return act(self._at(number, self.store))

    def _rival(self, number: int, act: Callable[[World], Any]) -> None:
        with contextlib.suppress(RefusedError):
            act(self._at(number, self.store))

    def _at(self, number: int, store: Any) -> World:
        mine = self.worlds[number]
        world = World(store)
        world.catalog = Catalog(store)
        world.bundle, world.bundle_id = mine.bundle, mine.bundle_id
        return world

    # Evidence

    @rule(
        number=bundles,
        kind=st.sampled_from(["replay", "shadow", "live-review"]),
        verdict=st.sampled_from(["pass", "pass", "pass", "fail", "inconclusive"]),
        runners=st.sampled_from(
            [(FIRST,), (FIRST, SECOND), (FIRST, SECOND), (SECOND,), (UNLISTED,), (UNLISTED, FIRST)]
        ),
        plan=faults,
    )
    def evaluate(
        self, number: int, kind: str, verdict: str, runners: tuple[SigningRunner, ...], plan: dict[int, Fault]
    ) -> None:
        self.serial += 1
        seed = self.serial
        facts: dict[str, Any] = {"number": seed, "day": seed, "now_ns": self.model.now_ns}
        if verdict == "fail":
            facts["metrics"] = {"traps": 1}
        elif verdict == "inconclusive":
            facts["metrics"] = {"risk_breaches": None}
        second = runners[1] if len(runners) > 1 else None

        def act(world: World) -> str:
            return world.evaluate(kind, runner=runners[0], attested_by=second, **facts)

        name = self.run(number, plan, act)
        bundle = self.model.bundles[number]
        bundle.evaluations[name] = ModelEvaluation(
            name, kind, verdict, seed, self.model.now_ns, {runner.name for runner in runners}
        )
        bundle.order.append(name)

    # Up

    @rule(number=bundles, stage=stages, late=st.booleans(), plan=faults)
    def ask(self, number: int, stage: str, late: bool, plan: dict[int, Fault]) -> None:
        """Ask for a stage on the latest evaluation of its kind, or on the one before."""
        bundle = self.model.bundles[number]
        fitting = [name for name in bundle.order if bundle.evaluations[name].kind == KIND[stage]]
        named = frozenset(fitting[-2:-1] if late and len(fitting) > 1 else fitting[-1:])
        self._ask(number, stage, named, None, plan)

    @rule(number=bundles, plan=faults)
    def ask_for_the_next(self, number: int, plan: dict[int, Fault]) -> None:
        """What gets a bundle far."""
        bundle = self.model.bundles[number]
        stage = STAGES[min(STAGES.index(bundle.earned) + 1, 4)]
        latest = bundle.latest(KIND[stage])
        self._ask(number, stage, frozenset([latest.name] if latest else ()), None, plan)

    @rule(number=bundles, hours=st.sampled_from([0, 25, 73]), plan=faults)
    def climb(self, number: int, hours: int, plan: dict[int, Fault]) -> None:
        """Do all that the next stage asks for, unless something else is in the way."""
        self.wait(hours)
        bundle = self.model.bundles[number]
        stage = STAGES[min(STAGES.index(bundle.earned) + 1, 4)]
        self.evaluate(number, KIND[stage], "pass", (FIRST, SECOND), plan)
        self.ask_for_the_next(number, plan)
        if any(each.is_open for each in bundle.requests):
            self.let_all_approve(plan)

    @rule(number=bundles, stage=stages, hours=st.sampled_from([1, 4, 24]), plan=faults)
    def ask_to_break_the_glass(self, number: int, stage: str, hours: int, plan: dict[int, Fault]) -> None:
        self._ask(number, stage, frozenset(), hours, plan)

    def _ask(self, number: int, stage: str, named: frozenset[str], glass_h: int | None, plan: dict[int, Fault]) -> None:
        changed: dict[str, Any] = {"break_glass": True, "glass_hours": glass_h, "notes": "fire"} if glass_h else {}
        now_ns, model = self.model.now_ns, self.model
        outcome: Outcome = self.run(
            number, plan, lambda world: world.ask(stage, *sorted(named), now_ns=now_ns, **changed)
        )
        bundle = model.bundles[number]
        made = bundle.last_move
        stands = all(glass.request is not made or glass.lends(now_ns) for glass in bundle.glasses)
        asked = (stage, named, glass_h)
        if isinstance(made, ModelRequest) and stands and (made.stage, made.evaluations, made.glass_h) == asked:
            assert (outcome.decision, outcome.request) == ("promoted", made.id)
            return
        if model.refuses(number, stage, named, glass_h):
            assert outcome.decision == "refused", outcome
            return
        request = next(
            (
                each
                for each in bundle.requests
                if model.is_valid(each) and (each.stage, each.evaluations, each.glass_h) == (stage, named, glass_h)
            ),
            None,
        )
        if request is None:
            assert outcome.request
            request = ModelRequest(outcome.request, stage, named, now_ns, model.policy, "operator", glass_h)
            bundle.requests.append(request)
        assert outcome.request == request.id
        if model.is_complete(number, request):
            model.promote(number, request)
            assert outcome.decision == "promoted", outcome
        else:
            assert outcome.decision == "pending", outcome

    @precondition(lambda self: any(bundle.requests for bundle in self.model.bundles))
    @rule(data=st.data(), person=people, signed=st.sampled_from([True, True, False]), plan=faults)
    def approve(self, data: st.DataObject, person: str, signed: bool, plan: dict[int, Fault]) -> None:
        number, request = self._some_request(data)
        self._approve(number, request, person, signed, plan)

    @precondition(lambda self: any(each.is_open for bundle in self.model.bundles for each in bundle.requests))
    @rule(plan=faults)
    def let_all_approve(self, plan: dict[int, Fault]) -> None:
        number, request = next(
            (number, each)
            for number, bundle in enumerate(self.model.bundles)
            for each in bundle.requests
            if each.is_open
        )
        for person in (RITA, TOM, OTTO):
            self._approve(number, request, person.name, True, plan)
            plan = {}

    def _some_request(self, data: st.DataObject) -> tuple[int, ModelRequest]:
        known = [(number, each) for number, bundle in enumerate(self.model.bundles) for each in bundle.requests]
        return known[-1 - data.draw(st.integers(0, len(known) - 1))]

    def _approve(self, number: int, request: ModelRequest, name: str, signed: bool, plan: dict[int, Fault]) -> None:
        model, bundle, now_ns = self.model, self.model.bundles[number], self.model.now_ns
        person = EVERYBODY[name]

        def act(world: World) -> Outcome:
            return world.approve(request.id, person, signed=signed, now_ns=now_ns)

        if bundle.last_move is request:
            lapsed = any(glass.request is request and not glass.lends(now_ns) for glass in bundle.glasses)
            assert (self.run(number, plan, act).decision == "promoted") is not lapsed
            return
        is_known = request.is_open and request.said.get(name) is signed
        may = (
            model.is_valid(request)
            and model.may_say(request, name, signed=signed)
            and not model.refuses(number, request.stage, request.evaluations, request.glass_h)
        )
        if not is_known and not may:
            with pytest.raises(RefusedError):
                self.run(number, plan, act)
            return
        outcome = self.run(number, plan, act)
        if not is_known:
            request.said[name] = signed or request.said.get(name, False)
        refused = model.refuses(number, request.stage, request.evaluations, request.glass_h)
        if model.is_valid(request) and not refused and model.is_complete(number, request):
            model.promote(number, request)
            assert outcome.decision == "promoted", outcome
        else:
            assert outcome.decision != "promoted", outcome

    @precondition(lambda self: any(bundle.requests for bundle in self.model.bundles))
    @rule(data=st.data(), person=people, plan=faults)
    def deny(self, data: st.DataObject, person: str, plan: dict[int, Fault]) -> None:
        number, request = self._some_request(data)
        now_ns = self.model.now_ns

        def act(world: World) -> Outcome:
            return world.deny(request.id, EVERYBODY[person], now_ns=now_ns)

        if not request.is_open or person not in PEOPLE or person in self.model.revoked:
            if request.said.get(f"denied {person}"):
                assert self.run(number, plan, act).decision == "refused"
                return
            with pytest.raises(RefusedError):
                self.run(number, plan, act)
            return
        assert self.run(number, plan, act).decision == "refused"
        request.is_open = False
        request.said[f"denied {person}"] = True

    # Down

    @rule(number=bundles, stage=st.sampled_from(STAGES[:-1]), plan=faults)
    def demote(self, number: int, stage: str, plan: dict[int, Fault]) -> None:
        now_ns, bundle = self.model.now_ns, self.model.bundles[number]
        self.serial += 1
        notes = f"reason {self.serial}"

        def act(world: World) -> Any:
            return demote(world.catalog, world.bundle_id, stage=stage, notes=notes, operator="op", now_ns=now_ns)

        if STAGES.index(stage) >= STAGES.index(bundle.stage(now_ns)):
            with pytest.raises(RefusedError):
                self.run(number, plan, act)
            return
        change = self.run(number, plan, act)
        self.model.lower(number, stage)
        assert change.stage == bundle.stage(now_ns), "what a broken glass lent may fall further than asked"

    @rule(number=bundles, plan=faults, seldom=st.integers(0, 4))
    def quarantine(self, number: int, plan: dict[int, Fault], seldom: int) -> None:
        if seldom:
            return
        now_ns, bundle = self.model.now_ns, self.model.bundles[number]

        def act(world: World) -> Any:
            return quarantine(world.catalog, world.bundle_id, notes="odd", operator="op", now_ns=now_ns)

        self.run(number, plan, act)
        if not bundle.quarantined:
            bundle.quarantined = True
            bundle.close_requests()

    @precondition(lambda self: any(bundle.quarantined for bundle in self.model.bundles))
    @rule(number=bundles, person=people, plan=faults)
    def release(self, number: int, person: str, plan: dict[int, Fault]) -> None:
        now_ns, bundle = self.model.now_ns, self.model.bundles[number]
        self.serial += 1
        if not bundle.quarantined:
            return
        world = self.worlds[number]
        signature = EVERYBODY[person].sign(release_statement(world.catalog, world.bundle_id).canonical())
        notes = f"explained {self.serial}"

        def act(world: World) -> Any:
            return release(
                world.catalog,
                world.bundle_id,
                notes=notes,
                operator=person,
                key=None,
                signature=signature,
                now_ns=now_ns,
            )

        if person == AUTHOR.name or not {"operator", "risk"} & set(self.model.roles(person)):
            with pytest.raises(RefusedError):
                self.run(number, plan, act)
            return
        self.run(number, plan, act)
        bundle.quarantined = False

    @precondition(lambda self: any(bundle.owes() for bundle in self.model.bundles))
    @rule(number=bundles, person=people, verdict=st.sampled_from(["ratify", "ratify", "demote"]), plan=faults)
    def review(self, number: int, person: str, verdict: Any, plan: dict[int, Fault]) -> None:
        now_ns, bundle = self.model.now_ns, self.model.bundles[number]
        owing = next((glass for glass in bundle.glasses if len(glass.reviewers) < 2), None)
        if owing is None:
            return
        self.serial += 1
        notes = f"read {self.serial}"
        world = self.worlds[number]
        signature = EVERYBODY[person].sign(review_statement(world.catalog, world.bundle_id, verdict).canonical())

        def act(world: World) -> Any:
            return review(
                world.catalog,
                world.bundle_id,
                verdict=verdict,
                notes=notes,
                reviewer=person,
                key=None,
                signature=signature,
                now_ns=now_ns,
            )

        may = {"risk", "trading", "operator"} & set(self.model.roles(person))
        if not may or person in {AUTHOR.name, *owing.request.said, *owing.reviewers}:
            with pytest.raises(RefusedError):
                self.run(number, plan, act)
            return
        self.run(number, plan, act)
        owing.reviewers[person] = verdict
        if verdict == "demote":
            owing.lifted = True
            bundle.close_requests()

    # Rules and time

    @rule(plan=faults)
    def change_the_policy(self, plan: dict[int, Fault]) -> None:
        self.model.policy += 1
        policy = default_policy().model_copy(update={"name": f"policy-{self.model.policy}"})
        self._set(set_policy, policy, plan)

    @rule(person=st.sampled_from([RITA.name, TOM.name, OTTO.name, SECOND.name]), plan=faults)
    def revoke_or_restore(self, person: str, plan: dict[int, Fault]) -> None:
        self.model.revoked ^= {person}
        roster: Roster = roster_of({name: roles for name, roles in PEOPLE.items() if name not in self.model.revoked})
        self._set(set_roster, roster, plan)

    def _set(self, setter: Any, document: Any, plan: dict[int, Fault]) -> None:
        now_ns = self.model.now_ns
        word: Approval = GRETA.says(statement_for(self.worlds[0].catalog, document))
        self.run(0, plan, lambda world: setter(world.catalog, document, by=GRETA.name, now_ns=now_ns, more=[word]))

    @rule(hours=st.sampled_from([1, 5, 25, 25, 73, 73, 24 * 8]))
    def wait(self, hours: int) -> None:
        self.model.now_ns += hours * HOUR_NS

    # What always holds

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        for world, bundle in zip(self.worlds, self.model.bundles if self.worlds else [], strict=True):
            state = world.catalog.ledger.state(world.bundle_id)
            assert (state.earned, state.stage_at(self.model.now_ns)) == (bundle.earned, bundle.stage(self.model.now_ns))
            assert [each.evaluation for each in state.evaluated] == bundle.order
            assert [each.id for each in state.requests] == [each.id for each in bundle.requests]
            assert [each.stage for each in state.promotions] == [stage for stage, _, _ in bundle.promotions]
            assert {each.id for each in state.open_requests} == {each.id for each in bundle.requests if each.is_open}
            for real, known in zip(state.requests, bundle.requests, strict=True):
                said = {name for name in known.said if not name.startswith("denied ")}
                assert {each.approver for each in real.approvals} == said
            assert [{each.approval.approver for each in glass.reviews} for glass in state.glasses] == [
                set(glass.reviewers) for glass in bundle.glasses
            ]
            assert (state.quarantine is not None) == bundle.quarantined

    def teardown(self) -> None:
        report = verify(self.store)
        assert report.problems == ()


def explore(examples: int, steps: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module.time, "sleep", lambda _s: None)
        run_state_machine_as_test(
            Ladder,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_any_commands_in_any_order() -> None:
    explore(examples=15, steps=25)


@pytest.mark.long
def test_any_commands_in_any_order_for_long() -> None:
    explore(examples=300, steps=50)
