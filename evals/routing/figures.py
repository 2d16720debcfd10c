"""The figures of an execution: what it cost and saved in basis points of the notional at arrival, and how sure that is.

Means are weighted by notional: the sum of the money over the sum of the notional. Quantiles are over parents, weighted
by notional. Bounds come from a block bootstrap over parents in order of arrival (`evals.statistics.ratios`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundles.evidence import MetricValue
from evals.parents.orders import ParentOrders
from evals.routing.execution import RoutingRun
from evals.routing.kernels.settling import at_price
from evals.routing.settings import RoutingSettings
from evals.statistics.ratios import ratio_bounds, weighted_quantiles

_Int64s = NDArray[np.int64]

QUANTILES: Final = (50, 75, 95, 99)
COSTS: Final = {
    "implementation_shortfall_bps": "shortfall_1e9",
    "spread_cost_bps": "spread_1e9",
    "market_impact_bps": "impact_1e9",
    "fees_bps": "fees_1e9",
    "delay_cost_bps": "delay_1e9",
    "opportunity_cost_bps": "opportunity_1e9",
}
"""Metrics of costs, and the columns that they sum."""

SAVINGS: Final = tuple(f"savings_vs_{name}_bps" for name in ("arrival", "twap", "vwap", "best_venue", "oracle"))


def best_venues(run: RoutingRun) -> tuple[_Int64s, NDArray[np.int32]]:
    """Return the shortfall of each parent on the venue that was the cheapest for it in hindsight, and that venue."""
    where = run.single_venues_1e9.argmin(axis=1)
    costs: _Int64s = np.take_along_axis(run.single_venues_1e9, where[:, None], axis=1)[:, 0]
    return costs, where.astype(np.int32)


def savings(run: RoutingRun) -> dict[str, tuple[_Int64s, _Int64s]]:
    """Return by benchmark what each parent saved against it, and the notional that this is of: 0 where it is unknown.

    Against prices (arrival, TWAP, VWAP): what the filled part would have cost there without fees, less what was paid
    for it with them. Against the best venue and the oracle: their shortfall less the parent's.
    """
    rows = run.parents
    notional = np.ascontiguousarray(rows["notional_1e9"])
    found: dict[str, tuple[_Int64s, _Int64s]] = {}
    for name, column in (("arrival", "arrival_mid_1e9"), ("twap", "twap_1e9"), ("vwap", "vwap_1e9")):
        prices, costs = np.ascontiguousarray(rows[column]), np.zeros(len(rows), np.int64)
        at_price(rows, prices, costs)
        known = prices > 0
        found[f"savings_vs_{name}_bps"] = (
            np.where(known, costs - rows["paid_1e9"], 0),
            np.where(known, notional, 0),
        )
    found["savings_vs_best_venue_bps"] = best_venues(run)[0] - rows["shortfall_1e9"], notional
    found["savings_vs_oracle_bps"] = rows["oracle_1e9"] - rows["shortfall_1e9"], notional
    return found


def figures(
    run: RoutingRun, parents: ParentOrders, settings: RoutingSettings, *, seed: int, look: int
) -> dict[str, MetricValue]:
    """Return the metrics of a policy that was also executed on single venues."""
    rows = run.parents
    notional = np.ascontiguousarray(rows["notional_1e9"])
    filled_1e9 = np.zeros(len(rows), np.int64)
    at_price(rows, np.ascontiguousarray(rows["arrival_mid_1e9"]), filled_1e9)
    found: dict[str, MetricValue] = {
        "parents": len(rows),
        "parents_filled": int(np.count_nonzero(rows["filled_1e8"] == rows["qty_1e8"])),
        "children": int(rows["children"].sum()),
        "fill_ratio": _ratio(np.abs(filled_1e9), notional),
        "rejects": int(rows["rejects"].sum()),
        "partial_fills": int(rows["partial_fills"].sum()),
        "stale_venues": int(rows["stale_venues"].sum()),
        "risk_breaches": _breaches(run, parents),
        "volume_notional_1e9": _volume(run),
        "look": look,
    }
    money = {name: (np.ascontiguousarray(rows[column]), notional) for name, column in COSTS.items()}
    for name, (amounts, base) in (money | savings(run)).items():
        found |= _weighed(name, amounts, base, seed, look)
    if settings.control_version is not None:
        for number in np.unique(rows["version"]):
            routed = rows["version"] == number
            shortfall = np.ascontiguousarray(rows["shortfall_1e9"][routed])
            found[f"parents_v{number}"] = int(np.count_nonzero(routed))
            found |= _weighed(f"implementation_shortfall_v{number}_bps", shortfall, notional[routed], seed, look)
    return found


def _weighed(name: str, amounts: _Int64s, notional: _Int64s, seed: int, look: int) -> Mapping[str, MetricValue]:
    """Return the mean of a figure, its quantiles and its bounds."""
    mean = _ratio(amounts, notional)
    found: dict[str, MetricValue] = {name: None if mean is None else mean * 10_000}
    known = notional > 0
    each_bps = amounts[known] / notional[known] * 1e4
    for percent, value in weighted_quantiles(each_bps, notional[known], QUANTILES).items():
        found[f"{name}_p{percent}"] = value
    bounds = ratio_bounds(amounts[known], notional[known], seed=seed, look=look)
    return found | {f"{name}_{bound}": value for bound, value in bounds.items()}


def _ratio(amounts: _Int64s, notional: _Int64s) -> float | None:
    """Return the quotient of two sums, exact up to the last division."""
    whole = sum(notional.tolist())
    return sum(amounts.tolist()) / whole if whole else None


def _breaches(run: RoutingRun, parents: ParentOrders) -> int:
    """Count fills worse than their parent's limit, and parents filled beyond their quantity."""
    children = run.children[run.children["qty_1e8"] > 0]
    of = children["parent"]
    limit, side = parents.rows["limit_px_1e9"][of], parents.rows["side"][of]
    worse = (limit > 0) & (side * (children["px_1e9"] - limit) > 0)
    filled = np.zeros(len(parents), np.int64)
    np.add.at(filled, of, children["qty_1e8"])
    return int(np.count_nonzero(worse)) + int(np.count_nonzero(filled > parents.rows["qty_1e8"]))


def _volume(run: RoutingRun) -> int:
    """Return the value of all fills, rounded down."""
    # Products pass 64 bits: in whole units and hundred-millionths apart.
    px, qty = run.children["px_1e9"], run.children["qty_1e8"]
    one = 10**8
    whole = sum((qty // one * px).tolist()) + sum((qty % one * (px // one)).tolist())
    return whole + sum((qty % one * (px % one)).tolist()) // one
