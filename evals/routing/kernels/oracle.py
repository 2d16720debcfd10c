"""The oracle: the least that a quantity could have cost at one moment, from every level of every venue.

It sees the books as they were, undisturbed, to their ends; it pays true fees and nothing else, and knows neither lots
nor minimums, limits or stale views. Unit costs are compared exactly, and everything is rounded in its favour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evals.routing.kernels.books import ASKS, BIDS, Books
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.money import MILLION, least_fee_of, least_paid

NOT_ENOUGH = 2**63 - 1


@kernel
def least_cost(books: Books, venues: NDArray[np.void], at: NDArray[np.int64], side: int, qty_1e8: int) -> int:
    """Return the least cost of taking a quantity now; NOT_ENOUGH if all books together do not hold it."""
    other = ASKS if side > 0 else BIDS
    sign = 1 if other == BIDS else -1
    for venue in range(len(books.counts)):
        at[venue] = books.counts[venue, other] - 1
    left, cost = qty_1e8, 0
    while left > 0:
        cheapest, whole, part = -1, 0, 0
        for venue in range(len(books.counts)):
            if at[venue] < 0:
                continue
            px_1e9 = books.keys[venue, other, at[venue]] * sign
            ppm = venues[venue].taker_fee_ppm
            charge = px_1e9 % MILLION * ppm
            unit = side * px_1e9 + px_1e9 // MILLION * ppm + charge // MILLION
            rest = charge % MILLION
            if cheapest < 0 or unit < whole or (unit == whole and rest < part):
                cheapest, whole, part = venue, unit, rest
        if cheapest < 0:
            return NOT_ENOUGH
        i = at[cheapest]
        px_1e9 = books.keys[cheapest, other, i] * sign
        taken = min(left, books.sizes[cheapest, other, i])
        cost += least_paid(side, px_1e9, taken) + least_fee_of(px_1e9, taken, venues[cheapest].taker_fee_ppm)
        left -= taken
        at[cheapest] -= 1
    return cost
