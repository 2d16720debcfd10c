"""What a pass over the tapes keeps: runs of parents, orders on their way and at rest, coming events, and totals."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.routing.kernels.books import Books
from evals.routing.kernels.sweep import Offers
from evals.routing.layout import CHILD_FILL

_Int64s = NDArray[np.int64]
Records = NDArray[np.void]

RUN: Final = np.dtype(
    [
        (name, "<i8")
        for name in (
            # The order. A parent that is also executed on single venues, for comparison, has a run for each.
            "parent",
            "identity",
            "side",
            "qty_1e8",
            "limit_1e9",
            "arrival_ns",
            "horizon_ns",
            "slices",
            "pace_ns",  # time between slices
            "participation_ppm",  # 0: any
            "version",
            "allowed",  # the venue that may be used; -1 all that the execution may use
            "observed",  # whether what happens to it is what V3 learns from
            # Where it stands.
            "next_slice",
            "filled_1e8",
            "committed_1e8",  # on its way or at rest
            "on_its_way",  # children
            "over",
            "volume_seen_1e8",  # of the market when the present slice was decided
            "allowance_1e8",  # what participation allowed so far
            "taken_first",  # first of its levels in the list of what was taken
            # What it moved.
            "moved_1e8",
            "fresh_1e8",
            "fresh_ns",
            "temporary_1e9",
            "temporary_ns",
            # What came of it.
            "seen_mid_1e9",  # at the first decision, as the router saw the market
            "mid_1e9",
            "end_mid_1e9",
            "paid_1e9",
            "paid_mid_1e9",
            "spread_1e9",
            "impact_1e9",
            "fees_1e9",
            "least_1e9",
            "children",
            "rejects",
            "partial_fills",
            "stale_venues",
            "live_venues",
            # Sums over time and trades when it arrived and when it ended.
            "time_from",
            "mids_high_from",
            "mids_low_from",
            "volume_from",
            "value_high_from",
            "value_low_from",
            "time_to",
            "mids_high_to",
            "mids_low_to",
            "volume_to",
            "value_high_to",
            "value_low_to",
        )
    ]
)
"""One execution of one parent."""

PENDING: Final = np.dtype(
    [(name, "<i8") for name in ("run", "slice", "venue", "limit_1e9", "qty_1e8", "sent_ns")],
)
"""A child on its way."""

TAKEN_LEVEL: Final = np.dtype([(name, "<i8") for name in ("venue", "px_1e9", "qty_1e8", "stamp", "next")])
"""What a run took of a level; void once the tape sets the level again."""

RESTING: Final = np.dtype(
    [(name, "<i8") for name in ("run", "slice", "px_1e9", "left_1e8", "ahead_1e8", "sent_ns", "qty_1e8")],
)
"""A child at rest."""


VENUE: Final = np.dtype(
    [
        (name, "<i8")
        for name in (
            "key",  # a word for its name
            "usable",
            "taker_fee_ppm",
            "maker_fee_ppm",
            "true_latency_ns",
            # What the model believes.
            "fee_ppm",
            "latency_ns",
            "latency_risk",
            "freshness",
            "adverse",
            "reject_ppm",
            "reject_cost",
            "venue_impact",
            # What V3 learns from: children that arrived, those rejected, how long they all took.
            "tries",
            "rejects",
            "delays_ns",
        )
    ]
)
"""What is known of a venue."""


class Rules(NamedTuple):
    """Figures that hold for the whole execution."""

    seed: int
    sandbox: int
    max_book_age_ns: int
    market_age_ns: int
    prior_orders: int
    almgren_chriss: int
    daily_volume_1e8: int
    half_life_ns: int
    first: int
    """Y x sigma x 10^12, or gamma x 10^6."""
    temporary_ppm: int
    fixed_ppm: int
    reject_ppm: int
    partial_ppm: int
    burst_ppm: int
    burst_ns: int
    burst_factor: int


class Feeds(NamedTuple):
    """Rows of the tapes; arrays of (venue, row), and of (venue, one of the columns below)."""

    exchange_ns: _Int64s
    receive_ns: _Int64s
    px_1e9: _Int64s
    sz_1e8: _Int64s
    kind: NDArray[np.uint8]
    places: _Int64s


RECEIVED: Final = 0
HAPPENED: Final = 1
HELD: Final = 2
ENDED: Final = 3
FIRST_STAMP: Final = 4
"""Columns of ``Feeds.places``: next row by either clock, rows held, whether no more come, the number of the first."""


class Store(NamedTuple):
    """Everything a pass works on."""

    runs: Records
    targets: _Int64s
    """What should be filled after each slice, by parent and slice."""
    venues: Records
    """Rows of VENUE."""
    seen: Books
    """As the router received them."""
    real: Books
    """As they stood at the exchanges; in a replay the same."""
    offers: Offers
    pending: Records
    pending_free: _Int64s
    taken: Records
    taken_free: _Int64s
    resting: Records
    """By venue, side and place."""
    resting_count: _Int64s
    resting_at: _Int64s
    """The place of a run's child at rest, by run and venue; -1 none."""
    event_ns: _Int64s
    event_key: _Int64s
    event_of: _Int64s
    fills: Records
    oracle_at: _Int64s
    """Where the oracle stands in each venue's book."""
    totals: _Int64s


NOW: Final = 0
EVENTS: Final = 1
PENDING_FREE: Final = 2
TAKEN_FREE: Final = 3
FILLS: Final = 4
NEXT_RUN: Final = 5
VOLUME_SEEN: Final = 6
MID: Final = 7
TIME: Final = 8
MIDS_HIGH: Final = 9
MIDS_LOW: Final = 10
VOLUME: Final = 11
VALUE_HIGH: Final = 12
VALUE_LOW: Final = 13
TOTALS: Final = 14
"""Slots of ``totals``: counts, and sums over time and trades. Products of 128 bits are sums of two halves, the lower
one of 40 bits."""

HALF_BITS: Final = 40
HALF_MASK: Final = (1 << HALF_BITS) - 1

NO_FILLS: Final = np.zeros(0, CHILD_FILL)
