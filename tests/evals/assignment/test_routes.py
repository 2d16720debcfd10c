"""How the two routes are executed, completed and counted, on runs made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bundles.errors import InvalidInputError
from evals.assigning import execution
from evals.assigning.completion import completions
from evals.assigning.outcome import Route, assigned, figures
from evals.assigning.policy import Policy
from evals.assigning.rule import Estimate, Reason, Situation
from evals.market.tape import Tape
from evals.parents.arrivals import seen_at_arrival
from evals.parents.orders import PARENT, ParentOrders
from evals.routing.execution import RoutingRun
from evals.routing.layout import CHILD_FILL, PARENT_RESULT, QUEUE_FRONT, TAKEN
from evals.routing.settings import FaultPlan, RoutingSettings
from tests.evals.assignment.desk import MODEL, Desk, routing, still

S = 10**9
MID = 99_950_000_000


def orders(*rows: tuple[int, int, int]) -> ParentOrders:
    """Orders at 11 s from (side, quantity, limit)."""
    made = [(11 * S, qty, limit, 0, 0, side, 1) for side, qty, limit in rows]
    return ParentOrders("BTC-USD", tuple(f"p{row}" for row in range(len(rows))), np.array(made, PARENT))


def run_of(parents: ParentOrders, *children: tuple[int, int, int, int, int]) -> RoutingRun:
    """A run with children from (parent, venue, price, quantity, reason)."""
    results, fills = np.zeros(len(parents), PARENT_RESULT), np.zeros(len(children), CHILD_FILL)
    results["qty_1e8"], results["end_mid_1e9"] = parents.rows["qty_1e8"], MID
    results["notional_1e9"] = 1_000 * S
    for row, (parent, venue, px, qty, reason) in enumerate(children):
        fills[row]["parent"], fills[row]["venue"], fills[row]["reason"] = parent, venue, reason
        fills[row]["px_1e9"], fills[row]["qty_1e8"] = px, qty
        results[parent]["filled_1e8"] += qty
    return RoutingRun(results, fills, np.zeros((len(parents), 0), np.int64), 0)


@pytest.fixture
def books() -> list[Tape]:
    """Those of `docs/assignment.md`."""
    return [
        still("alpha", 500, (99.90, 5), [(100.00, 1), (100.10, 2)]),
        still("beta", 300, (99.88, 3), [(100.02, 1.5), (100.20, 5)]),
    ]


@pytest.mark.parametrize(
    ("reason", "completion"),
    [
        # 0.4 of alpha's best level was taken: 0.6 are left there, 0.4 come from beta.
        (TAKEN, 60_000_000 * 100_000_000 // 10**8 + 40_000_000 * 100_006_000 // 10**8),
        # What was filled in the queue was not taken from that side.
        (QUEUE_FRONT, 100_000_000),
    ],
)
def test_a_rest_is_completed_from_what_the_order_has_not_taken(
    desk: Desk, books: list[Tape], reason: int, completion: int
) -> None:
    desk.models("alpha", "beta")
    model = Policy.of(desk.catalog, desk.policy()).model
    parents = orders((1, 140_000_000, 0), (1, 10**8, 0))
    run = run_of(parents, (0, 0, 100 * S, 40_000_000, reason), (1, 0, 100 * S, 10**8, TAKEN))
    assert [each.tolist() for each in completions(parents, books, model, (run, run))] == [[completion, 0]] * 2


def test_a_rest_without_a_live_book_or_beyond_the_limit_adds_nothing(desk: Desk, books: list[Tape]) -> None:
    desk.models("alpha", "beta")
    model = Policy.of(desk.catalog, desk.policy()).model
    parents = orders((1, 10**8, 99 * S))
    assert completions(parents, books, model, [run_of(parents)])[0].tolist() == [0]
    late = orders((1, 10**8, 0))
    late.rows["horizon_ns"] = 3 * S
    assert completions(late, books, model, [run_of(late)])[0].tolist() == [0]
    late.rows["horizon_ns"] = S
    assert completions(late, books, model, [run_of(late)])[0].tolist() == [100_000_000]


def test_each_route_is_executed_as_the_model_says(
    desk: Desk, books: list[Tape], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.models("alpha", "beta", edge_latency_ns=7, edge_slicing="twap", slicing_policy="pov")
    policy = Policy.of(desk.catalog, desk.policy())
    calls: list[dict[str, Any]] = []

    def execute(parents: ParentOrders, tapes: object, **how: Any) -> RoutingRun:
        calls.append(how)
        return run_of(parents)

    monkeypatch.setattr(execution, "execute_parents", execute)
    settings, plan = RoutingSettings(venue_latency_ns={"alpha": 5, "beta": 6}), FaultPlan()
    execution.assign_and_execute(policy, orders((1, 10**8, 0)), books, settings=settings, faults=plan, seed=3)
    edge, sor = calls
    assert (edge["slicing"], edge["only"], sor["slicing"], sor.get("only")) == ("twap", ["alpha"], "pov", None)
    assert edge["settings"].venue_latency_ns == {"alpha": 7, "beta": 6}
    assert [each.latency_ns for each in edge["model"].venues] == [7, 0]
    assert (sor["settings"], sor["model"]) == (settings, policy.routing)
    assert [(each["seed"], each["faults"], each["impact"]) for each in calls] == [(3, plan, policy.impact)] * 2


def test_the_fees_that_decisions_count_with_are_the_routing_model_s(desk: Desk, books: list[Tape]) -> None:
    desk.models("alpha", "beta")
    told = routing("alpha", "beta")
    told["venues"][0]["taker_fee_ppm"] = 0
    desk.artifact("art_told", "routing-model.json", told)
    desk.artifact("art_other", "assignment-model.json", MODEL | {"routing_model": "art_told"})
    parents = orders((1, 10**8, 0))
    seen = [seen_at_arrival(parents, tape) for tape in books]
    costs = []
    for artifact in ("art_assign", "art_other"):
        known = execution.decidable(Policy.of(desk.catalog, desk.policy(artifact=artifact)), parents, seen)[0]
        costs.append(known.sor.cost_1e9)
    assert costs == [100_000_000, 50_000_000]


def test_an_order_too_large_for_money_is_named(desk: Desk, books: list[Tape]) -> None:
    desk.models("alpha", "beta")
    parents = orders((1, 2**62, 0))
    seen = [seen_at_arrival(parents, tape) for tape in books]
    with pytest.raises(InvalidInputError, match=r"Parent order p0 is worth .* Correct its quantity"):
        execution.decidable(Policy.of(desk.catalog, desk.policy()), parents, seen)


KNOWN = Situation(1, 1, None, Estimate(0, 0))


def measured(parents: ParentOrders, edge: RoutingRun, sor: RoutingRun, reasons: list[Reason]) -> dict[str, Any]:
    nothing = np.zeros(len(parents), np.int64)
    rows = assigned(parents, [KNOWN] * len(parents), reasons, Route(edge, nothing), Route(sor, nothing))
    return dict(figures(parents, rows, edge, sor, seed=1))


def test_breaches_are_fills_beyond_the_limit_and_beyond_the_quantity_on_the_route_taken() -> None:
    parents = orders((1, 10, 100 * S), (-1, 10, 100 * S), (1, 10, 0))
    to_edge, to_sor = Reason.BELOW_EDGE_THRESHOLD, Reason.AT_OR_ABOVE_SOR_THRESHOLD
    clean = run_of(parents, (0, 0, 100 * S, 10, TAKEN), (1, 0, 100 * S, 10, TAKEN), (2, 0, 500 * S, 10, TAKEN))
    worse = run_of(parents, (0, 0, 100 * S + 1, 10, TAKEN), (1, 0, 100 * S - 1, 10, TAKEN), (2, 0, 1, 11, TAKEN))
    better = run_of(parents, (0, 0, 100 * S - 1, 10, TAKEN), (1, 0, 100 * S + 1, 10, TAKEN))
    assert measured(parents, clean, worse, [to_edge] * 3)["risk_breaches"] == 0
    assert measured(parents, clean, worse, [to_sor] * 3)["risk_breaches"] == 3
    assert measured(parents, clean, worse, [to_edge, to_sor, to_edge])["risk_breaches"] == 1
    assert measured(parents, worse, better, [to_edge, to_sor, to_sor])["risk_breaches"] == 1


def test_nothing_to_measure_by_leaves_figures_undefined() -> None:
    parents = orders((1, 10, 0))
    run = run_of(parents)
    nowhere = replace(run, parents=run.parents.copy())
    nowhere.parents["notional_1e9"] = 0
    found = measured(parents, nowhere, nowhere, [Reason.TOO_FEW_VENUES])
    assert found["regret_bps"] is found["fill_ratio"] is found["savings_vs_edge_bps_lower95"] is None
    assert found["regret_bps_p50"] is None
