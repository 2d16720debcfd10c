"""Cash, position, entry cost and realised profit of one account, updated fill by fill.

There are two accounts in a run: the true one at the exchange and the one that the algo has heard about.
"""

from __future__ import annotations

from evals.engine.arithmetic import fee, muldiv, position_value, value
from evals.engine.kernel import kernel
from evals.engine.layout import Record

_ONE_1E8 = 100_000_000


@kernel
def trade_fee(rules: Record, px_1e9: int, qty_1e8: int, taker: int) -> int:
    """Return the fee of one fill; negative for a rebate."""
    return fee(abs(value(rules, px_1e9, qty_1e8)), rules.taker_fee_ppm if taker else rules.maker_fee_ppm)


@kernel
def book_fill(account: Record, rules: Record, side: int, px_1e9: int, qty_1e8: int, fee_1e9: int) -> None:
    """Book one fill (side 1 buys, -1 sells).

    What closes the position realises its share of the entry cost (average cost, rounded down to 10^-9); the rest
    opens. A position that is closed entirely realises its whole remaining cost, so rounding never outlives a
    position.
    """
    traded = value(rules, px_1e9, qty_1e8)
    account.cash_1e9 -= side * traded + fee_1e9
    account.fees_1e9 += fee_1e9
    account.fills += 1
    held = abs(account.position_1e8)
    closing = min(qty_1e8, held) if account.position_1e8 * side < 0 else 0
    realized = -fee_1e9
    if closing > 0:
        proceeds = traded if closing == qty_1e8 else value(rules, px_1e9, closing)
        cost = account.cost_1e9
        if closing < held:
            cost = muldiv(abs(cost), closing, held) * (1 if cost >= 0 else -1)
        account.cost_1e9 -= cost
        realized += (cost - proceeds) * side
        traded -= proceeds
    account.cost_1e9 += traded
    account.position_1e8 += side * qty_1e8
    account.realized_1e9 += realized
    account.session_1e9 += realized


@kernel
def average_entry(account: Record, rules: Record) -> int:
    """Return the average entry price of the open position, rounded down; 0 when flat."""
    held = abs(account.position_1e8)
    if held == 0 or account.cost_1e9 == 0:
        return 0
    if rules.inverse:
        return muldiv(held, rules.contract_size_1e8 * 100, -account.cost_1e9)
    base = held if rules.contract_size_1e8 == _ONE_1E8 else muldiv(held, rules.contract_size_1e8, _ONE_1E8)
    return muldiv(account.cost_1e9, _ONE_1E8, base)


@kernel
def unrealized(account: Record, rules: Record, mid_1e9: int) -> int:
    """Return what closing at the mid would realise; 0 when flat or without a mid."""
    if account.position_1e8 == 0 or mid_1e9 == 0:
        return 0
    entry = account.cost_1e9 if account.position_1e8 > 0 else -account.cost_1e9
    return position_value(rules, mid_1e9, account.position_1e8) - entry


@kernel
def equity(account: Record, rules: Record, mid_1e9: int) -> int:
    """Return cash plus the position at the mid."""
    return account.cash_1e9 + position_value(rules, mid_1e9, account.position_1e8)
