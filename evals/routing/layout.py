"""Layouts of what an execution leaves: a row for each parent, a row for each fill of its children."""

from __future__ import annotations

from typing import Final

import numpy as np

PARENT_RESULT: Final = np.dtype(
    [
        ("arrival_ns", "<i8"),
        ("qty_1e8", "<i8"),
        ("filled_1e8", "<i8"),
        ("arrival_mid_1e9", "<i8"),  # 0: no venue had a market until the parent's end
        ("end_mid_1e9", "<i8"),
        ("notional_1e9", "<i8"),  # at the arrival mid
        ("shortfall_1e9", "<i8"),  # a cost is positive
        ("paid_1e9", "<i8"),  # for what was filled: prices, fees and what the impact model charges; of a sale negative
        ("spread_1e9", "<i8"),
        ("impact_1e9", "<i8"),
        ("fees_1e9", "<i8"),
        ("delay_1e9", "<i8"),
        ("opportunity_1e9", "<i8"),
        ("twap_1e9", "<i8"),  # prices over the horizon, 0 unknown
        ("vwap_1e9", "<i8"),
        ("oracle_1e9", "<i8"),  # shortfall of the oracle
        ("side", "<i4"),
        ("slices", "<i4"),
        ("children", "<i4"),  # orders sent
        ("rejects", "<i4"),
        ("partial_fills", "<i4"),  # children that got something, but not all
        ("stale_venues", "<i4"),  # times that a venue was left out of a decision
        ("live_venues", "<i4"),  # of all venues, at the first decision
        ("version", "<i4"),  # 1, 2, 3: whose terms the parent was routed by
    ],
    align=True,
)

CHILD_FILL: Final = np.dtype(
    [
        ("sent_ns", "<i8"),
        ("filled_ns", "<i8"),
        ("px_1e9", "<i8"),
        ("qty_1e8", "<i8"),  # 0 where the child got nothing
        ("fee_1e9", "<i8"),
        ("mid_1e9", "<i8"),  # the market's, at the fill
        ("touch_1e9", "<i8"),  # the best price of the side taken from; of a resting order its own
        ("impact_1e9", "<i8"),  # money that the impact model charges
        ("parent", "<i4"),
        ("slice", "<i4"),
        ("venue", "<i4"),
        ("reason", "<i4"),
    ],
    align=True,
)

TAKEN: Final = 0
QUEUE_FRONT: Final = 1
TRADE_THROUGH: Final = 2
CROSSED_BOOK: Final = 3
REJECTED: Final = 4
UNFILLED: Final = 5
"""Values of ``reason``."""
