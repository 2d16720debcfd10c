"""What each parent came to: Perold's implementation shortfall and its parts, which add up to the last unit.

A. Perold, "The implementation shortfall: paper versus reality" (1988): what the execution cost against a paper one of
the whole order at the price of the decision. The parts telescope (paid - touch, touch - mid, mid - arrival), so nothing
is left over:

    shortfall   = paid + rest at the end's mid - all at the arrival's mid + fees + what the impact model charges
    spread      = filled at the touch - filled at the mid
    impact      = paid - filled at the touch + what the impact model charges
    delay       = filled at the mid - (all - rest) at the arrival's mid
    opportunity = rest at the end's mid - rest at the arrival's mid
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evals.engine.arithmetic import muldiv, times_1e8
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.money import fee_of, paid
from evals.routing.kernels.state import HALF_MASK


@kernel
def settle(runs: NDArray[np.void], results: NDArray[np.void]) -> None:
    """Fill in a result for each run."""
    for at in range(len(runs)):
        run, into = runs[at], results[at]
        side, rest_1e8 = run.side, run.qty_1e8 - run.filled_1e8
        all_1e9, rest_1e9 = paid(side, run.mid_1e9, run.qty_1e8), paid(side, run.mid_1e9, rest_1e8)
        end_1e9 = paid(side, run.end_mid_1e9, rest_1e8)
        into.arrival_ns, into.qty_1e8, into.filled_1e8 = run.arrival_ns, run.qty_1e8, run.filled_1e8
        into.arrival_mid_1e9, into.end_mid_1e9 = run.mid_1e9, run.end_mid_1e9
        into.notional_1e9 = times_1e8(run.mid_1e9, run.qty_1e8)
        into.spread_1e9, into.impact_1e9, into.fees_1e9 = run.spread_1e9, run.impact_1e9, run.fees_1e9
        into.delay_1e9 = run.paid_mid_1e9 - all_1e9 + rest_1e9
        into.opportunity_1e9 = end_1e9 - rest_1e9
        charged_1e9 = run.impact_1e9 + run.spread_1e9 + run.paid_mid_1e9 - run.paid_1e9
        into.shortfall_1e9 = run.paid_1e9 + charged_1e9 + run.fees_1e9 + end_1e9 - all_1e9
        into.paid_1e9 = run.paid_1e9 + charged_1e9 + run.fees_1e9
        into.oracle_1e9 = run.least_1e9 + end_1e9 - all_1e9
        into.twap_1e9 = _mean(
            run.mids_high_to, run.mids_low_to, run.mids_high_from, run.mids_low_from, run.time_to - run.time_from
        )
        into.vwap_1e9 = _mean(
            run.value_high_to,
            run.value_low_to,
            run.value_high_from,
            run.value_low_from,
            run.volume_to - run.volume_from,
        )
        into.side, into.slices, into.version = side, run.slices, run.version
        into.children, into.rejects, into.partial_fills = run.children, run.rejects, run.partial_fills
        into.stale_venues, into.live_venues = run.stale_venues, run.live_venues


@kernel
def at_price(results: NDArray[np.void], prices_1e9: NDArray[np.int64], costs_1e9: NDArray[np.int64]) -> None:
    """Write what the filled part of each result would have cost at a price, without fees."""
    for at in range(len(results)):
        each = results[at]
        costs_1e9[at] = paid(each.side, prices_1e9[at], each.filled_1e8)


@kernel
def as_much(
    alone: NDArray[np.void], results: NDArray[np.void], fee_ppm: int, shortfalls_1e9: NDArray[np.int64]
) -> None:
    """Write each shortfall on one venue as if as much had been filled there as in the results.

    What was filled less pays the venue's fee at the end's mid, what was filled more gets it back: otherwise who fills
    less would be the cheaper for the fees alone.
    """
    for at in range(len(results)):
        each, missing_1e8 = alone[at], results[at].filled_1e8 - alone[at].filled_1e8
        fee_1e9 = fee_of(each.end_mid_1e9, abs(missing_1e8), fee_ppm)
        shortfalls_1e9[at] = each.shortfall_1e9 + (fee_1e9 if missing_1e8 > 0 else -fee_1e9)


@kernel
def _mean(high_to: int, low_to: int, high_from: int, low_from: int, weight: int) -> int:
    """Return a sum of products in two halves over the sum of weights, rounded down; 0 without weight."""
    if weight <= 0:
        return 0
    high, low = high_to - high_from, low_to - low_from
    # high * 2^40 + low over weight, the high half first: its quotient, then what it leaves with the low half.
    whole = high // weight
    rest = high - whole * weight
    part = muldiv(rest, HALF_MASK + 1, weight)
    left = rest * (HALF_MASK + 1) - part * weight + low
    return whole * (HALF_MASK + 1) + part + left // weight
