"""How far a parent's own fills have moved the market, by its impact model; charged to the fills that come after.

Square root: Y sigma sqrt(Q / V) of the price after Q was filled (N. Torre, BARRA market impact model handbook, 1997;
R. Almgren, C. Thum, E. Hauptmann, H. Li, "Direct estimation of equity market impact", 2005; J.-P. Bouchaud, "Price
impact", 2010). Permanent and temporary: R. Almgren, N. Chriss, "Optimal execution of portfolio transactions" (2000),
g(v) = gamma v and h(v) = epsilon + eta v, with v in shares of the market's pace. Which fills pay, and the decay, are
ours: what the book itself cost is measured, so a fill is never charged for itself.
"""

from __future__ import annotations

from evals.engine.arithmetic import muldiv
from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.money import MILLION, decayed, whole_root
from evals.routing.kernels.state import Records, Rules

_DAY_NS = 86_400 * 10**9
_TRILLION = 10**12


@kernel
def square_root_1e9(rules: Rules, mid_1e9: int, qty_1e8: int) -> int:
    """Return how far Q moves the price by the square-root law."""
    share = muldiv(qty_1e8, _TRILLION, rules.daily_volume_1e8)
    return muldiv(muldiv(mid_1e9, rules.first, _TRILLION), whole_root(share), MILLION)


@kernel
def _within(moved_1e9: int, more_1e9: int, mid_1e9: int) -> int:
    """Return a sum of two displacements, no larger than the price."""
    return moved_1e9 + min(more_1e9, mid_1e9 - moved_1e9)


@kernel
def displacement(rules: Rules, runs: Records, run: int, now_ns: int) -> int:
    """Return how far the market stands from where it was without the run's earlier fills, in price units >= 0.

    It is the price itself at most: coefficients can say more, but a charge beyond 64 bits would come out as a gain.
    """
    each = runs[run]
    if each.fresh_1e8 > 0 and now_ns > each.fresh_ns:
        _settle(rules, runs, run)
    if each.moved_1e8 == 0:
        return 0
    left = decayed(each.temporary_1e9, now_ns - each.temporary_ns, rules.half_life_ns)
    if rules.almgren_chriss == 0:
        return left
    permanent = muldiv(muldiv(each.mid_1e9, rules.first, MILLION), each.moved_1e8, rules.daily_volume_1e8)
    return _within(_within(left, permanent, each.mid_1e9), muldiv(each.mid_1e9, rules.fixed_ppm, MILLION), each.mid_1e9)


@kernel
def note_fill(rules: Rules, runs: Records, run: int, now_ns: int, qty_1e8: int) -> None:
    """Note that a run filled so much; it counts from the next nanosecond on."""
    each = runs[run]
    if each.fresh_1e8 > 0 and now_ns > each.fresh_ns:
        _settle(rules, runs, run)
    each.fresh_1e8 += qty_1e8
    each.fresh_ns = now_ns


@kernel
def _settle(rules: Rules, runs: Records, run: int) -> None:
    """Let what was filled at one moment move the market."""
    each = runs[run]
    each.temporary_1e9 = decayed(each.temporary_1e9, each.fresh_ns - each.temporary_ns, rules.half_life_ns)
    each.temporary_ns = each.fresh_ns
    if rules.almgren_chriss == 0:
        before = square_root_1e9(rules, each.mid_1e9, each.moved_1e8)
        more_1e9 = square_root_1e9(rules, each.mid_1e9, each.moved_1e8 + each.fresh_1e8) - before
    else:
        a_day = muldiv(each.fresh_1e8, _DAY_NS, each.pace_ns)
        eta_1e9 = muldiv(each.mid_1e9, rules.temporary_ppm, MILLION)
        more_1e9 = muldiv(eta_1e9, a_day, rules.daily_volume_1e8)
    each.temporary_1e9 = _within(each.temporary_1e9, more_1e9, each.mid_1e9)
    each.moved_1e8 += each.fresh_1e8
    each.fresh_1e8 = 0
