"""What it would take to complete what a route left over, so that a route is not cheap because it did not fill.

Perold's opportunity cost values the rest at the mid of the end, where nobody can trade. The rest is therefore completed
on paper at the order's end: taken from all live books of that moment, cheapest first, with the fees of the tapes and
within the order's limit; what the order itself took at a price is not there to be taken again. What even these books do
not hold is charged like the dearest unit that they do; without any, nothing is added.

completion = sum over what is taken of quantity x (side x (price - mid at the end) + price x fee), rounded up to 10^-9
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bundles.assignment import AssignmentModel
from evals.assigning.estimates import Level, walk
from evals.assigning.rule import Estimate
from evals.market.source import TapeSource
from evals.parents.arrivals import seen_at_arrival
from evals.parents.orders import ParentOrders
from evals.routing.execution import RoutingRun
from evals.routing.layout import TAKEN


def completions(
    parents: ParentOrders, tapes: Sequence[TapeSource], model: AssignmentModel, runs: Sequence[RoutingRun]
) -> list[NDArray[np.int64]]:
    """Return for each run what completing each parent order's rest would add to its cost, in 10^-9 of money."""
    rests = [run.parents["qty_1e8"] - run.parents["filled_1e8"] for run in runs]
    found: list[NDArray[np.int64]] = [np.zeros(len(parents), np.int64) for _ in runs]
    ends_ns = parents.rows["arrival_ns"] + parents.rows["horizon_ns"]
    which = np.flatnonzero(np.any([rest > 0 for rest in rests], axis=0))
    which = which[np.argsort(ends_ns[which], kind="stable")]
    if not len(which):
        return found
    rows = parents.rows[which].copy()
    rows["arrival_ns"] = ends_ns[which]
    ending = replace(parents, ids=tuple(parents.ids[row] for row in which.tolist()), rows=rows)
    seen = [seen_at_arrival(ending, tape) for tape in tapes]
    live = [each.live(ending, model.max_venue_age_ns) for each in seen]
    for run, rest, into in zip(runs, rests, found, strict=True):
        taken = _taken(run)
        for at, row in enumerate(which.tolist()):
            mid = int(run.parents["end_mid_1e9"][row])
            if rest[row] <= 0 or mid <= 0:
                continue
            books = [
                Level(px, size - taken.get((row, venue, px), 0), each.instrument.taker_fee_ppm)
                for venue, each in enumerate(seen)
                if live[venue][at]
                for px, size in each.levels[at]
                if size > taken.get((row, venue, px), 0)
            ]
            side, limit = int(rows["side"][at]), int(rows["limit_px_1e9"][at])
            into[row] = completed(books, side=side, rest_1e8=int(rest[row]), limit_1e9=limit, mid_1e9=mid).cost_1e9
    return found


def _taken(run: RoutingRun) -> dict[tuple[int, int, int], int]:
    """Return what a run took from books, by parent, venue and price."""
    children = run.children[(run.children["reason"] == TAKEN) & (run.children["qty_1e8"] > 0)]
    taken: dict[tuple[int, int, int], int] = defaultdict(int)
    columns = (children[name].tolist() for name in ("parent", "venue", "px_1e9", "qty_1e8"))
    for parent, venue, px, qty in zip(*columns, strict=True):
        taken[parent, venue, px] += qty
    return dict(taken)


def completed(levels: Sequence[Level], *, side: int, rest_1e8: int, limit_1e9: int, mid_1e9: int) -> Estimate:
    """Complete a rest; what the books do not hold is charged like the dearest unit that they do."""
    within = [each for each in levels if not limit_1e9 or side * (each.px_1e9 - limit_1e9) <= 0]
    found = walk(within, side=side, qty_1e8=rest_1e8, limit_1e9=0, mid_1e9=mid_1e9)
    short = rest_1e8 - found.filled_1e8
    if not short or not within:
        return found
    dearest = max(each.unit_1e15(side) for each in within)
    return Estimate(rest_1e8, found.cost_1e23 + short * (dearest - side * mid_1e9 * 10**6))
