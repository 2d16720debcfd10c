"""What a set of parent orders holds, in a few whole numbers."""

from __future__ import annotations

import numpy as np

from evals.parents.orders import ParentOrders


def summary_of(parents: ParentOrders) -> dict[str, int]:
    """Return counts, arrivals in ns and quantities x 10^8; at least one order."""
    rows = parents.rows
    quantities = np.sort(rows["qty_1e8"])
    return {
        "parents": len(parents),
        "buys": int((rows["side"] > 0).sum()),
        "sells": int((rows["side"] < 0).sum()),
        "first_ns": int(rows["arrival_ns"][0]),
        "last_ns": int(rows["arrival_ns"][-1]),
        "qty_least_1e8": int(quantities[0]),
        "qty_median_1e8": int(quantities[(len(quantities) - 1) // 2]),
        "qty_largest_1e8": int(quantities[-1]),
        "qty_total_1e8": sum(quantities.tolist()),
        "with_limit": int((rows["limit_px_1e9"] > 0).sum()),
        "with_participation": int((rows["participation_ppm"] > 0).sum()),
    }
