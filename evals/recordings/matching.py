"""Which fills of the deployment its twin had as well.

A fill and a twin's fill match as far as their quantities go if they are on one side, their prices are a tick apart at
most and their times :data:`WINDOW_NS`. Fills are taken in order of time, and each takes the earliest twin's fills that
are left to it: greedy, so that nothing that happens more than the window later changes a match that was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evals.engine.layout import Records
from evals.metrics.exact import dot, total

Int64s = NDArray[np.int64]

WINDOW_NS: Final = 1_000_000_000

MATCH: Final = np.dtype([("realised_row", "<i8"), ("twin_row", "<i8"), ("qty_1e8", "<i8")])
"""A quantity that a fill and a twin's fill have in common, by their rows in both logs."""


@dataclass(frozen=True, eq=False)
class Matches:
    """The matches in order of the realised fills, and what they come to."""

    rows: Records
    fill_match: float | None
    """Share of the quantity of both that is matched; None if neither filled anything."""
    slippage_bps: float | None
    """Realised price against the twin's over what is matched, by notional; above 0 is worse than promised."""
    unmatched: int
    """Realised fills that the twin did not have, or not whole."""
    unmatched_twin: int


def match_fills(realised: Records, twin: Records, tick_size_1e9: int) -> Matches:
    """Match fills, rows of FILL_LOG in order of ``exchange_ns``."""
    left = [log["qty_1e8"].copy() for log in (realised, twin)]
    pieces = [np.empty(0, MATCH)]
    for side in (1, -1):
        ours, theirs = (np.flatnonzero(log["side"] == side) for log in (realised, twin))
        found, ours_left, theirs_left = _match(
            realised["exchange_ns"][ours],
            realised["px_1e9"][ours],
            left[0][ours],
            twin["exchange_ns"][theirs],
            twin["px_1e9"][theirs],
            left[1][theirs],
            tick_size_1e9,
            WINDOW_NS,
        )
        left[0][ours], left[1][theirs] = ours_left, theirs_left
        rows = np.empty(len(found), MATCH)
        rows["realised_row"], rows["twin_row"] = ours[found[:, 0]], theirs[found[:, 1]]
        rows["qty_1e8"] = found[:, 2]
        pieces.append(rows)
    rows = np.concatenate(pieces)
    rows = rows[np.lexsort((rows["twin_row"], rows["realised_row"]))]
    ours, theirs = realised[rows["realised_row"]], twin[rows["twin_row"]]
    qty: Int64s = rows["qty_1e8"].copy()
    worse = dot(ours["side"] * (ours["px_1e9"] - theirs["px_1e9"]), qty)
    notional = dot(theirs["px_1e9"].copy(), qty)
    both = total(realised["qty_1e8"]) + total(twin["qty_1e8"])
    return Matches(
        rows=rows,
        fill_match=2 * total(qty) / both if both else None,
        slippage_bps=worse / notional * 10_000 if notional else None,
        unmatched=int(np.count_nonzero(left[0])),
        unmatched_twin=int(np.count_nonzero(left[1])),
    )


@njit(cache=True)
def _match(
    ours_ns: Int64s,
    ours_px: Int64s,
    ours_left: Int64s,
    theirs_ns: Int64s,
    theirs_px: Int64s,
    theirs_left: Int64s,
    tick_size_1e9: int,
    window_ns: int,
) -> tuple[NDArray[np.int64], Int64s, Int64s]:
    """Return rows of (ours, theirs, quantity) and what is left of both."""
    # Every match uses up one of the two.
    found = np.empty((len(ours_ns) + len(theirs_ns), 3), np.int64)
    count, first = 0, 0
    for i in range(len(ours_ns)):
        while first < len(theirs_ns) and (theirs_ns[first] < ours_ns[i] - window_ns or theirs_left[first] == 0):
            first += 1
        j = first
        while j < len(theirs_ns) and theirs_ns[j] <= ours_ns[i] + window_ns and ours_left[i] > 0:
            if theirs_left[j] > 0 and abs(theirs_px[j] - ours_px[i]) <= tick_size_1e9:
                qty = min(ours_left[i], theirs_left[j])
                ours_left[i] -= qty
                theirs_left[j] -= qty
                found[count, 0], found[count, 1], found[count, 2] = i, j, qty
                count += 1
            j += 1
    return found[:count], ours_left, theirs_left
