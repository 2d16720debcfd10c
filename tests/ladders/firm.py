"""A firm with people, keys and a clock, whose bundles climb by what is really evaluated.

The policy is the shipped one but for how much data it wants to see: a few minutes where it asks for hours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from bundles.authorship import author_statement, sign_bundle
from bundles.catalog import Catalog
from bundles.compile import compile_assignment, compile_edge, compile_sor
from bundles.errors import RefusedError
from bundles.evidence import Dataset, Evaluation
from bundles.governance import set_policy, set_roster
from bundles.manifests import EdgeBundle
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.policy import Policy, StageRule, default_policy
from bundles.promotion import Outcome, Wish, answer, ask
from bundles.stages import STAGES
from evals.assigning.execution import assign_and_execute
from evals.assigning.policy import Policy as AssignmentPolicy
from evals.engine.settings import ReplaySettings
from evals.evaluation import attest_evaluation
from evals.live_review import evaluate_live_review
from evals.market.dataset_tape import DatasetTape
from evals.market.datasets import build_dataset, open_dataset
from evals.parents.parquet import read_parents
from evals.policies import evaluate_policy
from evals.recordings import schema
from evals.recordings.writing import Recorder
from evals.replay import evaluate_replay, run_replay
from evals.routing.evaluating import Policy as RoutingPolicy
from evals.routing.execution import execute_parents
from evals.routing.settings import RoutingSettings
from evals.shadow import evaluate_shadow
from evals.wasm import inspect_module
from sequence.demo import bundles as demo
from tests.bundles.conftest import AUTHOR, FIRST, GRETA, RITA, ROSTER, SECOND, TOM, Person
from tests.evals.live.conftest import Streams, columns_of
from tests.evals.live.conftest import write as write_recording
from tests.ladders import markets
from tests.ladders.markets import HOME, SYMBOL, VENUES, Markets

HOUR_NS: Final = 3_600 * 10**9
BEGIN_NS: Final = 1_767_225_600 * 10**9
LEAST_S: Final = {"replay": 240, "shadow": 240, "sandbox": 240, "live": 480, "scaled": 480}
"""What stages ask for in place of minutes, an hour, six hours and a day."""
LEAST_EVENTS: Final = 10_000
CONFIG: Final = {"quote_size_1e8": 100_000, "min_spread_bps": 1, "max_position_1e8": 1_000_000}
RISK: Final = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)
ROUTING_MODEL: Final = demo.ROUTING_MODEL | {
    "venues": [each for each in demo.ROUTING_MODEL["venues"] if each["venue"] in VENUES]
}
ASSIGNMENT_MODEL: Final = demo.ASSIGNMENT_MODEL | {
    "routing_model": "art_routing",
    "impact_model": "art_impact",
    "edge_slicing": "twap",
}


def lowered_policy() -> Policy:
    """Return the shipped policy with less coverage asked for, and nothing else changed."""
    document = default_policy().model_dump()
    for ladder in document["ladders"].values():
        for stage, rule in ladder.items():
            rule["coverage"] = {"min_duration_s": LEAST_S[stage], "min_events": LEAST_EVENTS}
    return Policy.model_validate(document | {"name": "lowered"})


@dataclass
class Firm:
    """A store under roster and policy, the tapes of some days, and a clock."""

    catalog: Catalog
    markets: Markets
    folder: Path
    now_ns: int = BEGIN_NS
    recordings: int = field(default=0, init=False)

    def govern(self, policy: Policy | None = None) -> Firm:
        """Put the policy into force, and the roster with everybody's keys."""
        set_policy(self.catalog, policy or lowered_policy(), by=GRETA.name, now_ns=self.now_ns)
        set_roster(self.catalog, ROSTER, by=GRETA.name, now_ns=self.now_ns)
        for name, file, content in (
            ("art_research", "notes.md", b"why\n"),
            ("art_routing", "routing-model.json", json.dumps(ROUTING_MODEL).encode()),
            ("art_impact", "impact-model.json", json.dumps(demo.IMPACT_MODEL).encode()),
            ("art_assignment", "assignment-model.json", json.dumps(ASSIGNMENT_MODEL).encode()),
        ):
            self.catalog.register_artifact(name, {file: content})
        return self

    def wait(self, hours: float) -> None:
        self.now_ns += int(hours * HOUR_NS)

    @property
    def data_root(self) -> Path:
        return self.markets.root

    def dataset(self, day: int, venue: str = HOME) -> Dataset:
        """Register one day of a venue."""
        dataset = build_dataset(
            self.data_root, venue, SYMBOL, start=markets.day_of(day), end=self.markets.last_day(day)
        )
        self.catalog.register_dataset(dataset)
        return dataset

    def venues(self, day: int) -> list[str]:
        return [self.dataset(day, venue).dataset_id for venue in VENUES]

    def tape(self, dataset: Dataset) -> DatasetTape:
        return open_dataset(self.data_root, dataset)

    def algo(self, wasm: bytes, **config: Any) -> Climber:
        manifest = compile_edge(
            wasm,
            sdk_abi=inspect_module(wasm).abi,
            artifact="art_research",
            risk_limits=RISK,
            config=MmConfig(**CONFIG | config),
        )
        return self._climber(manifest, [wasm])

    def routing(self, slicing: Any = "twap") -> Climber:
        return self._climber(
            compile_sor(routing_model="art_routing", impact_model="art_impact", slicing_policy=slicing)
        )

    def assignment(self) -> Climber:
        return self._climber(
            compile_assignment(
                artifact="art_assignment", edge_threshold_1e9=10**12, sor_threshold_1e9=2 * 10**12, min_venues=2
            )
        )

    def _climber(self, manifest: Any, blobs: list[bytes] | None = None) -> Climber:
        bundle = self.catalog.register_bundle(manifest, author=AUTHOR.name, blobs=blobs or [], now_ns=self.now_ns)
        return Climber(self, bundle, manifest.kind)


@dataclass
class Climber:
    """One bundle of a firm on its way."""

    firm: Firm
    bundle: str
    target: str

    @property
    def stage(self) -> str:
        return self.firm.catalog.ledger.state(self.bundle).stage_at(self.firm.now_ns)

    # Evidence

    def evidence(self, stage: str) -> Evaluation:
        """Evaluate as a stage asks for, each on its own day."""
        if stage == "scaled":
            return self.reviewed()
        return self.evaluated(self.rule(stage).evidence, markets.LATER if stage == "live" else markets.FIRST)

    def rule(self, stage: str) -> StageRule:
        """Return what a stage asks for; where coverage does not matter."""
        rule = default_policy().rule(self.target, stage)
        assert rule is not None
        return rule

    def evaluated(self, kind: str, day: int, **changed: Any) -> Evaluation:
        """Make an evaluation of some kind on some day."""
        common: dict[str, Any] = {"bundle": self.bundle, **self._run()}
        if self.target == "edge":
            evaluate: Callable[..., Evaluation] = evaluate_replay if kind == "replay" else evaluate_shadow
            return evaluate(self.firm.catalog, **common | {"dataset": self.firm.dataset(day).dataset_id} | changed)
        given = {"kind": kind, "dataset": self.firm.venues(day), "parents": self.firm.markets.parents(day)}
        return evaluate_policy(self.firm.catalog, **common | given | changed)

    def reviewed(self, folder: Path | None = None, **changed: Any) -> Evaluation:
        """Review a recording; without one, of a deployment that did just what its replay does."""
        day = markets.DEPLOYED
        dataset: Any = self.firm.dataset(day).dataset_id if self.target == "edge" else self.firm.venues(day)
        return evaluate_live_review(
            self.firm.catalog,
            bundle=self.bundle,
            recording=folder or self.recorded(),
            dataset=dataset,
            **self._run() | changed,
        )

    def _run(self) -> dict[str, Any]:
        return {"data_root": self.firm.data_root, "runner": FIRST, "now_ns": self.firm.now_ns}

    def recorded(self, folder: Path | None = None, change: Callable[[Streams], Streams] = lambda same: same) -> Path:
        """Write what a deployment would have left that did what its replay does, but for a change."""
        self.firm.recordings += 1
        folder = folder or self.firm.folder / f"recording-{self.firm.recordings}"
        return self._algo_recorded(folder, change) if self.target == "edge" else self._policy_recorded(folder, change)

    def _algo_recorded(self, folder: Path, change: Callable[[Streams], Streams]) -> Path:
        manifest = self.firm.catalog.bundle(self.bundle)
        assert isinstance(manifest, EdgeBundle)
        tape = self.firm.tape(self.firm.dataset(markets.DEPLOYED))
        settings = ReplaySettings(queue_band=False)
        wasm = self.firm.catalog.blob(manifest.wasm.digest)
        twin = run_replay(wasm, tape, config=manifest.config, risk=manifest.risk_limits, settings=settings)
        market = {"venue": HOME, "symbol": SYMBOL, "capital_1e9": settings.capital_1e9}
        return write_recording(folder, change(columns_of(twin, tape)), manifest.digest(), **market)

    def _policy_recorded(self, folder: Path, change: Callable[[Streams], Streams]) -> Path:
        datasets = [self.firm.dataset(markets.DEPLOYED, venue) for venue in VENUES]
        tapes = [self.firm.tape(dataset) for dataset in datasets]
        orders = self.firm.markets.parents(markets.DEPLOYED).read_bytes()
        parents = read_parents(orders, symbol=SYMBOL)
        children = self._children(tapes, parents)
        children = children[children["qty_1e8"] > 0]
        children = children[np.argsort(children["filled_ns"], kind="stable")]
        first = max(dataset.partitions[0].first_ns for dataset in datasets)
        last = min(dataset.partitions[-1].last_ns for dataset in datasets)
        beats = np.arange(first + 10**9, last, 10**9)
        streams: Streams = {
            "children": {name: children[name] for name in ("parent", "venue", "px_1e9", "qty_1e8", "fee_1e9")}
            | {"at_ns": children["filled_ns"], "side": parents.rows["side"][children["parent"]]},
            "events": {
                "at_ns": np.concatenate([[first], beats, [last]]),
                "kind": np.array([schema.START, *[schema.HEARTBEAT] * len(beats), schema.STOP], np.int8),
                "value": np.zeros(len(beats) + 2, np.int64),
            },
        }
        recorder = Recorder.policy(
            folder,
            parents=orders,
            deployment="dep_policy",
            bundle=self.firm.catalog.bundle(self.bundle).digest(),
            symbol=SYMBOL,
            venues=tuple(VENUES),
        )
        for name, columns in change(streams).items():
            recorder.extend(name, columns)  # type: ignore[arg-type]
        recorder.close()
        return folder

    def _children(self, tapes: list[DatasetTape], parents: Any) -> Any:
        common: dict[str, Any] = {"settings": RoutingSettings(), "faults": None, "seed": 42}
        if self.target == "sor":
            policy = RoutingPolicy.of(self.firm.catalog, self.bundle)
            slicing = policy.bundle.slicing_policy
            models = {"model": policy.routing, "impact": policy.impact, "slicing": slicing}
            return execute_parents(parents, tapes, **common | models).children
        done = assign_and_execute(AssignmentPolicy.of(self.firm.catalog, self.bundle), parents, tapes, **common)
        to_sor = done.rows["to_sor"] == 1
        by_sor, by_edge = done.sor.children, done.edge.children
        return np.concatenate([by_sor[to_sor[by_sor["parent"]]], by_edge[~to_sor[by_edge["parent"]]]])

    # Promotion

    def ask(self, stage: str, *evaluations: Evaluation) -> Outcome:
        names = tuple(each.eval_id for each in evaluations)
        wish = Wish(bundle=self.bundle, target=self.target, stage=stage, evaluations=names)
        return ask(self.firm.catalog, wish, requested_by="desk@example.com", now_ns=self.firm.now_ns)

    def refused(self, stage: str, *evaluations: Evaluation) -> str:
        """Ask for what is refused; return all reasons."""
        before = self.stage
        outcome = self.ask(stage, *evaluations)
        assert outcome.decision == "refused", outcome
        assert self.stage == before
        return "\n".join(outcome.unmet)

    def approve(self, request: str | None, person: Person, *, signed: bool = True) -> Outcome:
        assert request is not None
        catalog = self.firm.catalog
        word = person.says(catalog.request(request), signed=signed).model_copy(update={"at_ns": self.firm.now_ns})
        return answer(catalog, request, "approve", word, now_ns=self.firm.now_ns)

    def turned_down(self, request: str, person: Person, *, signed: bool = True) -> str:
        """Bring a word that does not count; return why it does not."""
        with pytest.raises(RefusedError) as refused:
            self.approve(request, person, signed=signed)
        return "\n".join(refused.value.unmet)

    def sign(self) -> None:
        """Let the author sign the bundle."""
        signature = AUTHOR.sign(author_statement(self.firm.catalog, self.bundle).canonical())
        sign_bundle(self.firm.catalog, self.bundle, author=AUTHOR.name, signature=signature, now_ns=self.firm.now_ns)

    def attest(self, evaluation: Evaluation) -> None:
        """Let the second runner execute an evaluation's inputs, and tell whoever waits how far it is."""
        told: list[str] = []
        same, _, _ = attest_evaluation(
            self.firm.catalog,
            evaluation.eval_id,
            self.firm.data_root,
            runner=SECOND,
            now_ns=self.firm.now_ns,
            progress=told.append,
        )
        assert same
        assert told

    def climb(self, stage: str) -> Climber:
        """Climb as far as a stage, rung by rung, with everything that each asks for."""
        order = STAGES[self.target]
        for rung in order[order.index(self.stage) + 1 : order.index(stage) + 1]:
            self.enter(rung, self.evidence(rung))
        return self

    def enter(self, stage: str, evaluation: Evaluation) -> None:
        """Enter the next stage on an evaluation, with everything else that it asks for."""
        rule = self.rule(stage)
        self.firm.wait(rule.soak_hours)
        if rule.signed_author:
            self.sign()
        if rule.runners.count > 1:
            self.attest(evaluation)
        outcome = self.promote(stage, evaluation)
        assert (outcome.decision, self.stage) == ("promoted", stage), outcome.unmet

    def promote(self, stage: str, evaluation: Evaluation) -> Outcome:
        """Ask, and let as many people approve as the stage asks for, one after another while the request is open."""
        outcome, asked = self.ask(stage, evaluation), self.rule(stage).approvals
        for person in (RITA, TOM)[: asked.count]:
            if outcome.decision == "pending":
                outcome = self.approve(outcome.request, person, signed=asked.signed)
        return outcome
