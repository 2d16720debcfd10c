"""Assign every parent order by what was seen at its arrival, and execute all of them both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from bundles.evidence import Coverage
from evals.assigning.completion import completions
from evals.assigning.estimates import situations
from evals.assigning.outcome import Route, assigned
from evals.assigning.policy import Policy
from evals.assigning.rule import Situation, Thresholds, decide
from evals.market.source import TapeSource
from evals.parents.arrivals import Seen, seen_at_arrival
from evals.parents.orders import ParentOrders
from evals.routing.execution import RoutingRun, execute_parents
from evals.routing.settings import FaultPlan, RoutingSettings

_LARGEST_1E9 = 2**62
"""Notionals beyond this (4.6 thousand million of money) leave no room for sums."""


@dataclass(frozen=True, eq=False)
class Assigned:
    """All parent orders, decided on and executed both ways."""

    rows: NDArray[np.void]
    """Rows of ASSIGNED."""
    edge: RoutingRun
    sor: RoutingRun
    coverage: Coverage


def assign_and_execute(
    policy: Policy,
    parents: ParentOrders,
    tapes: Sequence[TapeSource],
    *,
    settings: RoutingSettings,
    faults: FaultPlan | None,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> Assigned:
    """Assign and execute; with a fault plan in the sandbox. The same arguments give the same rows.

    Raises:
        InvalidInputError: for a parent order too large to be told in money.
        LadderError: whatever the tapes or the execution refuse.

    """
    tell = progress or (lambda _: None)
    seen = []
    for tape in tapes:
        tell(f"Reading the books of {tape.info.instrument.venue} at the arrivals")
        seen.append(seen_at_arrival(parents, tape))
    known = decidable(policy, parents, seen)
    thresholds = Thresholds.of(policy.bundle)
    reasons = [decide(each, thresholds) for each in known]
    tell("Executing all orders at the edge")
    edge = _edge_route(policy, parents, tapes, settings, faults, seed, progress)
    tell("Executing all orders by routing")
    sor = execute_parents(
        parents,
        tapes,
        model=policy.routing,
        impact=policy.impact,
        slicing=policy.model.slicing_policy,
        settings=settings,
        seed=seed,
        faults=faults,
        progress=progress,
    )
    tell("Completing what was left over")
    at_edge, at_sor = completions(parents, tapes, policy.model, (edge, sor))
    rows = assigned(parents, known, reasons, Route(edge, at_edge), Route(sor, at_sor))
    coverage = Coverage(
        first_ns=min(each.first_ns for each in seen),
        last_ns=max(each.last_ns for each in seen),
        events=sum(each.rows for each in seen),
        packets=sum(each.packets for each in seen),
    )
    return Assigned(rows, edge, sor, coverage)


def decidable(policy: Policy, parents: ParentOrders, seen: Sequence[Seen]) -> list[Situation]:
    """Return what is known of each parent order; InvalidInputError for one too large."""
    told = {each.venue: each.taker_fee_ppm for each in policy.routing.venues}
    fees: dict[str, int] = {}
    for each in seen:
        fee = told.get(each.instrument.venue)
        fees[each.instrument.venue] = each.instrument.taker_fee_ppm if fee is None else fee
    known = situations(parents, seen, policy.model, fees)
    for parent_id, situation in zip(parents.ids, known, strict=True):
        if situation.notional_1e9 >= _LARGEST_1E9:
            raise InvalidInputError(
                f"Parent order {parent_id} is worth {situation.notional_1e9 // 10**9:,}, too much for 64 bits. "
                "Correct its quantity."
            )
    return known


def _edge_route(
    policy: Policy,
    parents: ParentOrders,
    tapes: Sequence[TapeSource],
    settings: RoutingSettings,
    faults: FaultPlan | None,
    seed: int,
    progress: Callable[[str], None] | None,
) -> RoutingRun:
    """Execute at the home venue alone, with the edge's own latency to it."""
    model = policy.model
    venues = tuple(
        each.model_copy(update={"latency_ns": model.edge_latency_ns}) if each.venue == model.edge_venue else each
        for each in policy.routing.venues
    )
    latencies = {**settings.venue_latency_ns, model.edge_venue: model.edge_latency_ns}
    return execute_parents(
        parents,
        tapes,
        model=policy.routing.model_copy(update={"venues": venues}),
        impact=policy.impact,
        slicing=model.edge_slicing,
        settings=settings.model_copy(update={"venue_latency_ns": latencies}),
        seed=seed,
        faults=faults,
        only=[model.edge_venue],
        progress=progress,
    )
