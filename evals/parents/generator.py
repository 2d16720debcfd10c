"""Seeded parent orders in the likeness of a tape. Whole numbers only: the same seed gives the same bytes anywhere.

Sizes are drawn from the measured quantiles, arrivals from the measured profile over the window, and sides from a Markov
chain of the first order with the measured persistence; see `evals.parents.calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from evals.parents.calibration import MILLION, SIZE_STEPS, Calibration, profile_of, quantiles_of, share_ppm
from evals.parents.draws import draws
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.rules import LONGEST_HORIZON_NS, check_parents

GENERATOR: Final = "sequence data parents generate"
GENERATOR_VERSION: Final = "1"
MOST_PARENTS: Final = 1_000_000

_ARRIVALS, _WITHIN, _SIZES, _SIDES = range(4)
"""Streams of a seed."""
_WITHIN_STEPS: Final = 1 << 31
_FRACTION: Final = 1 << 16
_COMPARED: Final = (10, 50, 90, 99)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the parent orders should be like beyond what is measured."""

    count: int
    horizon_ns: int = 60 * 10**9
    participation_ppm: int = 0
    urgency: int = 1
    size_multiple: int = 1
    """How many times as large as the measured market orders."""
    first_ns: int | None = None
    end_ns: int | None = None
    """Arrivals lie from ``first_ns`` to before ``end_ns``: the measured window unless told otherwise, but such that
    every order's horizon ends within it."""


def generate_parents(calibration: Calibration, wanted: Wanted, *, seed: int) -> ParentOrders:
    """Return parent orders, sorted by arrival.

    Raises:
        InvalidInputError: for a count, a multiple or a window that cannot be.

    """
    first_ns, end_ns = window_of(calibration, wanted)
    if not 0 < wanted.count <= MOST_PARENTS:
        raise InvalidInputError(f"{wanted.count} parent orders cannot be made. Ask for 1 to {MOST_PARENTS}.")
    if not 0 < wanted.size_multiple <= MILLION:
        raise InvalidInputError(f"A size multiple of {wanted.size_multiple} cannot be. Give 1 to {MILLION}.")
    if not 0 <= wanted.horizon_ns <= LONGEST_HORIZON_NS or first_ns >= end_ns:
        raise InvalidInputError(
            f"No parent order of horizon {wanted.horizon_ns} ns can arrive from {first_ns} to before {end_ns} ns. "
            "Choose a shorter horizon or a longer window."
        )
    rows: np.ndarray[Any, np.dtype[np.void]] = np.zeros(wanted.count, PARENT)
    rows["arrival_ns"] = _arrivals(calibration, wanted.count, first_ns, end_ns, seed)
    rows["qty_1e8"] = _sizes(calibration, wanted, seed)
    rows["side"] = _sides(calibration, wanted.count, seed)
    rows["horizon_ns"] = wanted.horizon_ns
    rows["participation_ppm"] = wanted.participation_ppm
    rows["urgency"] = wanted.urgency
    width = len(str(wanted.count - 1))
    ids = tuple(f"gen-{seed}-{row:0{width}d}" for row in range(wanted.count))
    parents = ParentOrders(calibration.symbol, ids, rows)
    check_parents(parents, "The generated parent orders")
    return parents


def window_of(calibration: Calibration, wanted: Wanted) -> tuple[int, int]:
    """Return the first moment at which a parent order may arrive, and the one before which it must."""
    return (
        calibration.first_ns if wanted.first_ns is None else wanted.first_ns,
        calibration.until_ns - wanted.horizon_ns if wanted.end_ns is None else wanted.end_ns,
    )


def closeness(calibration: Calibration, wanted: Wanted, parents: ParentOrders) -> dict[str, int]:
    """Return figures of generated orders, each beside what was measured; sizes measured are times the multiple.

    ``arrival_distance_ppm`` is the largest difference between the two shares that have arrived by any part of the
    window (the distance of Kolmogorov and Smirnov, on 64 parts).
    """
    buys = parents.rows["side"] == 1
    from_buy, to_buy = buys[:-1], buys[1:]
    figures = {
        "market_orders": calibration.market_orders,
        "parents": len(parents),
        "buys_ppm": share_ppm(int(buys.sum()), len(buys)),
        "buys_measured_ppm": calibration.buys_ppm,
        "buy_after_buy_ppm": share_ppm(int((from_buy & to_buy).sum()), int(from_buy.sum())),
        "buy_after_buy_measured_ppm": calibration.buy_after_buy_ppm,
        "sell_after_sell_ppm": share_ppm(int((~from_buy & ~to_buy).sum()), int((~from_buy).sum())),
        "sell_after_sell_measured_ppm": calibration.sell_after_sell_ppm,
    }
    made = quantiles_of(parents.rows["qty_1e8"], 100)
    for percent in _COMPARED:
        measured = calibration.sizes_1e8[(percent * SIZE_STEPS + 50) // 100] * wanted.size_multiple
        figures[f"size_p{percent}_1e8"] = made[percent]
        figures[f"size_p{percent}_measured_1e8"] = measured
    figures["arrival_distance_ppm"] = _distance_ppm(
        calibration.arrivals, profile_of(parents.rows["arrival_ns"], *window_of(calibration, wanted))
    )
    return figures


def _distance_ppm(measured: Sequence[int], made: Sequence[int]) -> int:
    shares = [share_ppm(part, sum(measured)) for part in accumulate(measured)]
    made_shares = [share_ppm(part, sum(made)) for part in accumulate(made)]
    return max(abs(one - other) for one, other in zip(shares, made_shares, strict=True))


def _arrivals(calibration: Calibration, count: int, first_ns: int, end_ns: int, seed: int) -> NDArray[np.int64]:
    """Draw a part of the window by its share of the measured arrivals, then a moment within that part."""
    ends = np.cumsum(np.array(calibration.arrivals, np.int64))
    part = np.searchsorted(ends, draws(seed, _ARRIVALS, count, int(ends[-1])), side="right")
    length, parts = end_ns - first_ns, len(ends)
    moments = [
        first_ns + (each * _WITHIN_STEPS + within) * length // (parts * _WITHIN_STEPS)
        for each, within in zip(part.tolist(), draws(seed, _WITHIN, count, _WITHIN_STEPS).tolist(), strict=True)
    ]
    return np.sort(np.array(moments, np.int64))


def _sizes(calibration: Calibration, wanted: Wanted, seed: int) -> NDArray[np.int64]:
    """Draw a quantile, on a straight line between two measured ones; whole lots, never below the venue's minimum."""
    lot = calibration.lot_size_1e8
    least = max(1, -(-calibration.min_qty_1e8 // lot)) * lot
    sizes = []
    for draw in draws(seed, _SIZES, wanted.count, SIZE_STEPS * _FRACTION).tolist():
        step, fraction = divmod(draw, _FRACTION)
        low, high = calibration.sizes_1e8[step], calibration.sizes_1e8[step + 1]
        size = (low + (high - low) * fraction // _FRACTION) * wanted.size_multiple
        sizes.append(max(least, (size + lot // 2) // lot * lot))
    if max(sizes) >= 2**62:
        raise InvalidInputError("The parent orders would be larger than 64 bits hold. Choose a smaller size multiple.")
    return np.array(sizes, np.int64)


def _sides(calibration: Calibration, count: int, seed: int) -> NDArray[np.int32]:
    stay = {1: calibration.buy_after_buy_ppm, -1: calibration.sell_after_sell_ppm}
    drawn = draws(seed, _SIDES, count, MILLION).tolist()
    side = 1 if drawn[0] < calibration.buys_ppm else -1
    sides = [side]
    for draw in drawn[1:]:
        side = side if draw < stay[side] else -side
        sides.append(side)
    return np.array(sides, np.int32)
