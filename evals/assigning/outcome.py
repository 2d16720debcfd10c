"""What came of an assignment: both routes of every parent order, which one was taken, and the figures over all.

cost     of a parent = its implementation shortfall (Perold 1988), and what it would take to complete its rest at its
                       end, see `completion`
regret   of a parent = cost of the route taken - the smaller cost of the two; never negative
savings  against always-edge = sum of (edge cost - cost); against always-SOR = sum of (SOR cost - cost)

Money is exact; basis points are of the sum of the notionals at arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundles.evidence import MetricValue
from evals.assigning.rule import Reason, Situation
from evals.parents.orders import ParentOrders
from evals.routing.execution import RoutingRun
from evals.statistics.ratios import ratio_bounds, weighted_quantiles

ASSIGNED: Final = np.dtype(
    [
        ("arrival_ns", "<i8"),
        ("qty_1e8", "<i8"),
        ("notional_1e9", "<i8"),  # by which the rule decided; 0: no venue was live
        ("edge_estimate_1e9", "<i8"),  # rounded up; 0 where there was none
        ("sor_estimate_1e9", "<i8"),
        ("base_1e9", "<i8"),  # notional at the mid against which both costs are measured
        ("edge_shortfall_1e9", "<i8"),
        ("sor_shortfall_1e9", "<i8"),
        ("edge_completion_1e9", "<i8"),
        ("sor_completion_1e9", "<i8"),
        ("edge_cost_1e9", "<i8"),  # shortfall and completion
        ("sor_cost_1e9", "<i8"),
        ("shortfall_1e9", "<i8"),  # of the route taken
        ("cost_1e9", "<i8"),
        ("regret_1e9", "<i8"),
        ("edge_filled_1e8", "<i8"),
        ("sor_filled_1e8", "<i8"),
        ("filled_1e8", "<i8"),
        ("side", "<i4"),
        ("live_venues", "<i4"),
        ("reason", "<i4"),  # a number of `Reason`
        ("to_sor", "<i1"),
    ]
)
"""One parent order, assigned and executed both ways."""

PERCENTS: Final = (50, 75, 95, 99)


@dataclass(frozen=True, eq=False)
class Route:
    """One route of all parent orders: its execution, and what completing the rests would add."""

    run: RoutingRun
    completion_1e9: NDArray[np.int64]

    def write(self, name: str, rows: NDArray[np.void]) -> None:
        """Write the columns of rows of ASSIGNED whose names begin with the route's."""
        rows[f"{name}_shortfall_1e9"] = self.run.parents["shortfall_1e9"]
        rows[f"{name}_completion_1e9"] = self.completion_1e9
        rows[f"{name}_cost_1e9"] = self.run.parents["shortfall_1e9"] + self.completion_1e9
        rows[f"{name}_filled_1e8"] = self.run.parents["filled_1e8"]


def assigned(
    parents: ParentOrders, known: Sequence[Situation], reasons: Sequence[Reason], edge: Route, sor: Route
) -> NDArray[np.void]:
    """Return a row of ASSIGNED for each parent order, by the two routes in the order of the parents."""
    rows: NDArray[np.void] = np.zeros(len(parents), ASSIGNED)
    for name in ("arrival_ns", "qty_1e8", "side"):
        rows[name] = parents.rows[name]
    rows["notional_1e9"] = [each.notional_1e9 for each in known]
    rows["edge_estimate_1e9"] = [each.edge.cost_1e9 if each.edge else 0 for each in known]
    rows["sor_estimate_1e9"] = [each.sor.cost_1e9 for each in known]
    rows["live_venues"] = [each.live_venues for each in known]
    rows["reason"] = reasons
    to_sor = np.array([each.to_sor for each in reasons])
    rows["to_sor"] = to_sor
    rows["base_1e9"] = sor.run.parents["notional_1e9"]
    for name, route in (("edge", edge), ("sor", sor)):
        route.write(name, rows)
    for name in ("shortfall_1e9", "cost_1e9", "filled_1e8"):
        rows[name] = np.where(to_sor, rows[f"sor_{name}"], rows[f"edge_{name}"])
    rows["regret_1e9"] = rows["cost_1e9"] - np.minimum(rows["edge_cost_1e9"], rows["sor_cost_1e9"])
    return rows


def figures(
    parents: ParentOrders, rows: NDArray[np.void], edge: RoutingRun, sor: RoutingRun, *, seed: int, look: int = 1
) -> dict[str, MetricValue]:
    """Return the metrics of an assignment; see the module's first lines."""
    to_sor = rows["to_sor"] == 1
    base, cost = rows["base_1e9"], rows["cost_1e9"]
    taken = [run.parents[chosen] for run, chosen in ((edge, ~to_sor), (sor, to_sor))]
    filled_base = _filled(rows, "filled_1e8")
    counts = {Reason(number): int((rows["reason"] == number).sum()) for number in Reason}
    found: dict[str, MetricValue] = {
        "parents": len(rows),
        "parents_filled": int((rows["filled_1e8"] == rows["qty_1e8"]).sum()),
        "fill_ratio": _ratio(filled_base, _total(base)),
        "edge_fill_ratio": _ratio(_filled(rows, "edge_filled_1e8"), _total(base)),
        "sor_fill_ratio": _ratio(_filled(rows, "sor_filled_1e8"), _total(base)),
        "risk_breaches": _breaches(parents, rows, edge, ~to_sor) + _breaches(parents, rows, sor, to_sor),
        **{
            name: sum(_total(each[name]) for each in taken)
            for name in ("children", "rejects", "partial_fills", "stale_venues")
        },
        "volume_notional_1e9": filled_base,
        "sent_to_edge": int((~to_sor).sum()),
        "sent_to_sor": int(to_sor.sum()),
        **{f"assigned_{reason.label}": count for reason, count in counts.items()},
        "worse_choices": int((rows["regret_1e9"] > 0).sum()),
        "regret_1e9": _total(rows["regret_1e9"]),
        "savings_vs_edge_1e9": _total(rows["edge_cost_1e9"]) - _total(cost),
        "savings_vs_sor_1e9": _total(rows["sor_cost_1e9"]) - _total(cost),
        "cost_bps": _bps(cost, base),
        "edge_cost_bps": _bps(rows["edge_cost_1e9"], base),
        "sor_cost_bps": _bps(rows["sor_cost_1e9"], base),
        "look": look,
    }
    for name, money in (
        ("implementation_shortfall_bps", rows["shortfall_1e9"]),
        ("regret_bps", rows["regret_1e9"]),
        ("savings_vs_edge_bps", rows["edge_cost_1e9"] - cost),
        ("savings_vs_sor_bps", rows["sor_cost_1e9"] - cost),
    ):
        found |= _spread(name, money, base, seed, look)
    return found


def _spread(
    name: str, money: NDArray[np.int64], base: NDArray[np.int64], seed: int, look: int
) -> dict[str, MetricValue]:
    """Return a figure in bps, its quantiles over the notional, and its bounds."""
    measured = base > 0
    each_bps = money[measured] / base[measured] * 1e4
    quantiles = weighted_quantiles(each_bps, base[measured], PERCENTS)
    bounds = ratio_bounds(money, base, seed=seed, look=look)
    return {
        name: _bps(money, base),
        **{f"{name}_p{percent}": quantiles[percent] for percent in PERCENTS},
        **{f"{name}_{bound}": figure for bound, figure in bounds.items()},
    }


def _breaches(parents: ParentOrders, rows: NDArray[np.void], run: RoutingRun, chosen: NDArray[np.bool_]) -> int:
    """Count the fills worse than their order's limit, and the orders filled beyond their quantity."""
    fills = run.children[(run.children["qty_1e8"] > 0) & chosen[run.children["parent"]]]
    of = parents.rows[fills["parent"]]
    beyond = (of["limit_px_1e9"] > 0) & (of["side"] * (fills["px_1e9"] - of["limit_px_1e9"]) > 0)
    return int(beyond.sum()) + int((chosen & (rows["filled_1e8"] > rows["qty_1e8"])).sum())


def _filled(rows: NDArray[np.void], column: str) -> int:
    """Return the notional at arrival of what was filled, each order's rounded down."""
    columns = (rows[name].tolist() for name in ("base_1e9", column, "qty_1e8"))
    return sum(base * filled // qty for base, filled, qty in zip(*columns, strict=True))


def _total(money: NDArray[np.int64]) -> int:
    """Add up without leaving whole numbers, however many there are."""
    return sum(money.tolist())


def _bps(money: NDArray[np.int64], base: NDArray[np.int64]) -> float | None:
    return _ratio(_total(money) * 10_000, _total(base))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
