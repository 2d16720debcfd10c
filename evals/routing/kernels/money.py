"""Money of executions in whole units of 10^-9, always rounded against us; and the draws of the fault plan.

What a fill costs is rounded up (what it brings, down), and so are its fees; what the oracle pays is rounded the other
way. So the oracle is a lower bound to the last unit, whatever pieces a quantity is taken in.
"""

from __future__ import annotations

import numpy as np

from evals.engine.arithmetic import muldiv, times_1e8
from evals.routing.kernels.compiled import kernel

ONE_1E8 = 100_000_000
MILLION = 1_000_000


@kernel
def value_up(px_1e9: int, qty_1e8: int) -> int:
    """Return ceil(px * qty / 10^8) for px, qty >= 0."""
    rest = (px_1e9 % ONE_1E8) * (qty_1e8 % ONE_1E8) % ONE_1E8
    return times_1e8(px_1e9, qty_1e8) + (1 if rest > 0 else 0)


@kernel
def paid(side: int, px_1e9: int, qty_1e8: int) -> int:
    """Return what a quantity costs at a price, rounded up; of a sale it is negative."""
    return value_up(px_1e9, qty_1e8) if side > 0 else -times_1e8(px_1e9, qty_1e8)


@kernel
def least_paid(side: int, px_1e9: int, qty_1e8: int) -> int:
    """Return what a quantity costs at a price, rounded down."""
    return times_1e8(px_1e9, qty_1e8) if side > 0 else -value_up(px_1e9, qty_1e8)


@kernel
def share_down(amount: int, ppm: int) -> int:
    """Return floor(amount * ppm / 10^6) for amount >= 0 and a ppm of either sign."""
    return amount // MILLION * ppm + amount % MILLION * ppm // MILLION


@kernel
def share_up(amount: int, ppm: int) -> int:
    """Return ceil(amount * ppm / 10^6) for amount >= 0 and a ppm of either sign."""
    return amount // MILLION * ppm - (-(amount % MILLION * ppm)) // MILLION


@kernel
def fee_of(px_1e9: int, qty_1e8: int, ppm: int) -> int:
    """Return the fee of a fill, rounded up; a rebate is negative."""
    return share_up(value_up(px_1e9, qty_1e8) if ppm >= 0 else times_1e8(px_1e9, qty_1e8), ppm)


@kernel
def least_fee_of(px_1e9: int, qty_1e8: int, ppm: int) -> int:
    """Return the fee of a fill, rounded down."""
    return share_down(times_1e8(px_1e9, qty_1e8) if ppm >= 0 else value_up(px_1e9, qty_1e8), ppm)


@kernel
def whole_root(x: int) -> int:
    """Return floor(sqrt(x)) for x >= 0."""
    root = int(np.sqrt(np.float64(x)))
    while root > 0 and root > x // root:
        root -= 1
    while (root + 1) <= x // (root + 1):
        root += 1
    return root


@kernel
def decayed(amount: int, elapsed_ns: int, half_life_ns: int) -> int:
    """Return what is left of an amount >= 0: halved after each half-life, straight lines between; all of it for 0."""
    if half_life_ns == 0 or amount == 0:
        return amount
    halvings = elapsed_ns // half_life_ns
    if halvings > 62:
        return 0
    left = amount >> halvings
    return left - muldiv(left, elapsed_ns % half_life_ns, 2 * half_life_ns)


@kernel
def mixed(state: int, word: int) -> int:
    """Return a state into which a word has been mixed (splitmix64, Steele et al. 2014)."""
    z = (np.uint64(state) ^ np.uint64(word)) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64(z ^ (z >> np.uint64(31)))  # type: ignore[return-value]


@kernel
def drawn(seed: int, what: int, whom: int, when: int, below: int) -> int:
    """Return an integer in [0, below), always the same for the same arguments; ``below`` up to 2^31."""
    z = np.uint64(mixed(mixed(mixed(mixed(seed, what), whom), when), 0))
    return np.int64(((z >> np.uint64(32)) * np.uint64(below)) >> np.uint64(32))  # type: ignore[return-value]
