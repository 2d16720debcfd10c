"""The flows that evaluate, on real (synthetic) tapes: what they return and show, and what ends them before they run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from bundles.catalog import Catalog
from bundles.judging import judge
from bundles.store import open_store
from evals.routing.settings import FaultPlan
from tests.flows.artifacts import published
from tests.ladders.conftest import compiled_algo, maker, markets
from tests.ladders.firm import Climber, Firm
from tests.ladders.markets import DEPLOYED, FIRST, LATER, Markets

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

__all__ = ["compiled_algo", "maker", "markets"]

pytestmark = pytest.mark.usefixtures("prefect_server")

Ended: TypeAlias = "State[Any]"


@pytest.fixture
def firm(tmp_path: Path, markets: Markets) -> Firm:
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    return Firm(catalog, markets, tmp_path, now_ns=time.time_ns()).govern()


def where(firm: Firm) -> dict[str, Any]:
    return {"data": str(firm.data_root), "store": firm.catalog.store.url, "return_state": True}


def in_shadow(climber: Climber, **changed: Any) -> Ended:
    from flows.shadow import shadow_evaluation

    given = {"bundle": climber.bundle, "dataset": climber.firm.dataset(FIRST).dataset_id, **where(climber.firm)}
    return shadow_evaluation(**given | changed)


def executed(climber: Climber, **changed: Any) -> Ended:
    from flows.policies import policy_evaluation

    firm = climber.firm
    given = {"bundle": climber.bundle, "datasets": firm.venues(FIRST), "parents": str(firm.markets.parents(FIRST))}
    return policy_evaluation(**given | where(firm) | changed)


def reviewed(climber: Climber, **changed: Any) -> Ended:
    from flows.live_review import live_review

    firm = climber.firm
    market = [firm.dataset(DEPLOYED).dataset_id] if climber.target == "edge" else firm.venues(DEPLOYED)
    given = {"bundle": climber.bundle, "dataset": market, **where(firm)}
    if "recording" not in changed:
        given["recording"] = str(climber.recorded())
    return live_review(**given | changed)


def assert_judged(climber: Climber, state: Ended, kind: str) -> str:
    """The flow returns the verdict of what the store has, and shows figures, metrics and the gate; returns the id."""
    assert state.is_completed(), state.message
    outcome = state.result()
    (evaluation,) = climber.firm.catalog.evaluations(climber.bundle)
    told = judge(climber.firm.catalog, evaluation)
    assert (outcome.eval_id, outcome.bundle) == (evaluation.eval_id, climber.bundle)
    assert (evaluation.inputs.kind, evaluation.status) == (kind, "completed")
    assert (outcome.verdict, outcome.told, outcome.unmet) == (told.verdict, told.told, told.unmet)
    assert outcome.also == tuple(each.reasoned for each in told.others)
    assert state.message == f"{outcome.eval_id}: {told.told}"
    shown = published(state)
    name = outcome.eval_id.replace("_", "-")
    assert set(shown) == {f"figures-{name}", f"metrics-{name}", f"gate-{name}"}
    assert evaluation.result_digest in shown[f"gate-{name}"]
    assert f"## {outcome.eval_id}: {told.told}\n" in shown[f"gate-{name}"]
    assert shown[f"gate-{name}"].count("Also ") == len(told.others)
    assert len(shown[f"figures-{name}"]) > 500
    rows = json.loads(shown[f"metrics-{name}"])
    assert len(rows) > 10
    assert [row["metric"] for row in rows if not row["meaning"]] == []
    return str(outcome.eval_id)


def assert_refused(climber: Climber, state: Ended, *reasons: str) -> None:
    """The flow fails with the reason as its message, and nothing was recorded or shown."""
    assert state.is_failed()
    for reason in reasons:
        assert reason in (state.message or "")
    assert "Traceback" not in (state.message or "")
    assert climber.firm.catalog.evaluations(climber.bundle) == []
    assert climber.firm.catalog.ledger.state(climber.bundle).evaluated == ()
    assert published(state) == {}


def test_an_algo_in_shadow(firm: Firm, maker: bytes) -> None:
    algo = firm.algo(maker)
    first = assert_judged(algo, in_shadow(algo), "shadow")
    assert assert_judged(algo, in_shadow(algo), "shadow") == first, "the same inputs return the first record"
    assert assert_judged(algo, in_shadow(algo, force=True), "shadow") == first
    assert firm.catalog.evaluation(first).metrics["incumbent_by_ladder"] == 1


@pytest.mark.parametrize("kind", ["replay", "sandbox"])
@pytest.mark.parametrize("policy", [Firm.routing, Firm.assignment], ids=["sor", "assignment"])
def test_a_policy_executes_orders(firm: Firm, policy: Callable[[Firm], Climber], kind: str) -> None:
    climber = policy(firm)
    first = assert_judged(climber, executed(climber, kind=kind), kind)
    kept = str(firm.catalog.evaluation(first).inputs.settings["parents"])
    assert assert_judged(climber, executed(climber, kind=kind, parents=kept), kind) == first, "orders from the store"
    if kind == "sandbox":
        state = executed(climber, kind=kind, faults=FaultPlan(reject_ppm=1_000_000))
        assert state.is_completed(), state.message
        assert state.result().verdict == "fail"
        assert state.result().eval_id != first


@pytest.mark.parametrize("target", ["edge", "sor", "assignment"])
def test_a_deployment_is_reviewed(firm: Firm, maker: bytes, target: str) -> None:
    climber = {"edge": lambda: firm.algo(maker), "sor": firm.routing, "assignment": firm.assignment}[target]()
    first = assert_judged(climber, reviewed(climber), "live-review")
    assert assert_judged(climber, reviewed(climber), "live-review") == first, "an equal recording is the same evidence"
    assert firm.catalog.evaluation(first).metrics["recording_gaps"] == 0


@pytest.mark.parametrize("policy", [Firm.routing, Firm.assignment], ids=["sor", "assignment"])
def test_what_a_policy_cannot_be_judged_on_ends_the_flow(firm: Firm, policy: Callable[[Firm], Climber]) -> None:
    climber, orders = policy(firm), firm.markets.parents
    strange = [*firm.venues(FIRST), firm.dataset(FIRST).dataset_id]
    assert_refused(climber, executed(climber, datasets=strange), "synthetic", "Leave the dataset out")
    assert_refused(climber, executed(climber, datasets=firm.venues(FIRST)[:1]), "beta")
    assert_refused(climber, executed(climber, parents=str(orders(LATER))), "150", "order-000")
    assert_refused(climber, executed(climber, parents=str(orders(FIRST).with_name("none.parquet"))), "none.parquet")
    assert_refused(climber, executed(climber, parents=f"sha256:{'0' * 64}"), "000000")
    assert_refused(climber, executed(climber, kind="replay", faults=FaultPlan()), "A replay injects no faults")
    assert_refused(climber, in_shadow(climber), climber.bundle)


def test_what_an_algo_cannot_be_judged_on_ends_the_flow(firm: Firm, maker: bytes) -> None:
    algo, routing = firm.algo(maker), firm.routing()
    assert_refused(algo, in_shadow(algo, incumbent="bun_0000000000000000"), "bun_0000000000000000")
    assert_refused(algo, in_shadow(algo, incumbent=routing.bundle), routing.bundle)
    assert_refused(algo, executed(algo), "parent orders are executed by policies")
    assert_refused(algo, reviewed(algo, recording=str(firm.folder / "nothing")), "nothing")
    assert_refused(algo, reviewed(algo, recording=str(routing.recorded())), "is the recording of a policy")
    assert_refused(algo, reviewed(algo, dataset=firm.dataset(FIRST).dataset_id), "covers only")
    assert_refused(algo, reviewed(algo, dataset=[]), "the datasets given are of none")
