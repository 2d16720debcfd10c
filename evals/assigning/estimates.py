"""What the two routes would cost at arrival: the books seen then are walked, level by level, fees included.

mid        = (highest bid + lowest ask over the live venues) / 2, rounded down to 10^-9
notional   = quantity x mid, rounded down to 10^-9
cost       = sum over what is taken of quantity x (side x (price - mid) + price x fee), not rounded at all

The edge takes from the home venue alone; SOR takes, of all live venues, whatever is next cheapest with its fee. Levels
beyond the order's limit are not taken. Lots and venue minimums are left to the execution: they are no matter of choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bundles.assignment import AssignmentModel
from evals.assigning.rule import Estimate, Situation
from evals.parents.arrivals import Seen
from evals.parents.orders import ParentOrders

MILLION = 10**6


@dataclass(frozen=True)
class Level:
    """A level that an order could take from, with the fee of its venue."""

    px_1e9: int
    sz_1e8: int
    fee_ppm: int

    def unit_1e15(self, side: int) -> int:
        """Return what a unit costs there, fee included; the smaller the better."""
        return side * self.px_1e9 * MILLION + self.px_1e9 * self.fee_ppm


def walk(levels: Sequence[Level], *, side: int, qty_1e8: int, limit_1e9: int, mid_1e9: int) -> Estimate:
    """Take from the cheapest levels first until a quantity is reached; ``limit_1e9`` 0 is none."""
    left, cost = qty_1e8, 0
    for level in sorted(levels, key=lambda each: each.unit_1e15(side)):
        if left == 0:
            break
        if limit_1e9 and side * (level.px_1e9 - limit_1e9) > 0:
            continue
        taken = min(left, level.sz_1e8)
        left -= taken
        cost += taken * (level.unit_1e15(side) - side * mid_1e9 * MILLION)
    return Estimate(qty_1e8 - left, cost)


def situations(
    parents: ParentOrders, seen: Sequence[Seen], model: AssignmentModel, fees_ppm: Mapping[str, int]
) -> list[Situation]:
    """Return what is known of every parent order at its arrival; ``fees_ppm`` by venue."""
    venues = [each.instrument.venue for each in seen]
    live = np.stack([each.live(parents, model.max_venue_age_ns) for each in seen])
    home = venues.index(model.edge_venue)
    found = []
    for row, order in enumerate(
        zip(*(parents.rows[n].tolist() for n in ("side", "qty_1e8", "limit_px_1e9")), strict=True)
    ):
        side, qty, limit = order
        up = [at for at in range(len(seen)) if live[at, row]]
        if not up:
            found.append(Situation(0, 0, None, Estimate(0, 0)))
            continue
        mid = (max(int(seen[at].bid_1e9[row]) for at in up) + min(int(seen[at].ask_1e9[row]) for at in up)) // 2
        levels = {at: [Level(px, sz, fees_ppm[venues[at]]) for px, sz in seen[at].levels[row]] for at in up}
        everywhere = [level for of_venue in levels.values() for level in of_venue]
        sor = walk(everywhere, side=side, qty_1e8=qty, limit_1e9=limit, mid_1e9=mid)
        edge = walk(levels[home], side=side, qty_1e8=qty, limit_1e9=limit, mid_1e9=mid) if home in levels else None
        margin = sor.filled_1e8 * mid * model.sor_margin_ppm
        found.append(Situation(qty * mid // 10**8, len(up), edge, sor, margin))
    return found
