"""Assignment under attack: no decision may know what is received a nanosecond after the order, nor what came of it."""

from __future__ import annotations

import numpy as np
import pytest

from bundles.assignment import AssignmentModel
from bundles.compile import compile_assignment
from evals.assigning.execution import assign_and_execute
from evals.assigning.policy import Policy
from evals.routing.settings import FaultPlan, RoutingSettings
from tests.evals.hostile_upper.test_routing import crowd, delayed, scrambled_after
from tests.evals.routing.desk import MS, NO_IMPACT, USD, S, model_of
from tests.evals.routing.test_replay import COSTS, market

DECIDED = ("notional_1e9", "live_venues", "reason", "to_sor", "edge_estimate_1e9", "sor_estimate_1e9")


@pytest.mark.parametrize("faults", [None, FaultPlan()], ids=["replay", "sandbox"])
def test_no_choice_knows_what_comes_after_its_order(faults: FaultPlan | None) -> None:
    tapes = [delayed(tape, 300 * MS) for tape in market(13)]
    then_ns = int(tapes[0].events["receive_ns"][len(tapes[0].events) // 2])
    orders = crowd(then_ns, 400, MS, 4 * S)
    # Sizes on both sides of the thresholds and many within the band.
    orders.rows["qty_1e8"] = np.resize([1_000, 400_000, 7_000_000, 90_000_000], len(orders))
    costs = dict.fromkeys(("v0", "v1", "v2"), COSTS)
    model = AssignmentModel(
        edge_venue="v0",
        edge_latency_ns=MS,
        max_venue_age_ns=40 * MS,
        routing_model="art_routing",
        impact_model="art_impact",
        slicing_policy="twap",
        edge_slicing="twap",
    )
    bundle = compile_assignment(
        artifact="art_assign", edge_threshold_1e9=10 * USD, sor_threshold_1e9=50_000 * USD, min_venues=1
    )
    policy = Policy(bundle, model, model_of("v0", "v1", "v2", version="V2", costs=costs), NO_IMPACT)
    plain, other = (
        assign_and_execute(policy, orders, each, settings=RoutingSettings(slices=4), faults=faults, seed=1).rows
        for each in (tapes, scrambled_after(tapes, then_ns))
    )
    for name in DECIDED:
        assert plain[name].tolist() == other[name].tolist(), name
    assert len(set(plain["reason"].tolist())) >= 4, set(plain["reason"].tolist())
    assert (plain["cost_1e9"] != other["cost_1e9"]).mean() > 0.5
