"""The metrics of a replay: names, formulas and units. All are computed from integers; only what is returned is float.

Money is x 10^9 in the settlement currency, positions x 10^8, ratios are fractions of 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from evals.engine.layout import CANCELED, EXPIRED, FILLED, OPEN, TAKER, Int64s, Records
from evals.market.schema import Instrument
from evals.wasm.abi import AMEND, CANCEL, NEW, REJECT_CODES

Metric = int | float | None

_SECONDS_A_YEAR: Final = 365 * 86_400
_FIRST_RISK_CODE: Final = 100


@dataclass(frozen=True)
class Measured:
    """What the metrics are computed from."""

    fills: Records
    orders: Records
    equity: Records
    instrument: Instrument
    capital_1e9: int
    trapped: bool
    callbacks: int
    fuel_counts: Int64s
    fuel_of_bucket: Any
    fuel_max: int
    duration_ns: int
    both_sides_ns: int
    at_touch_ns: int
    max_abs_position_1e8: int


def compute(measured: Measured) -> dict[str, Metric]:
    """Return every metric by name, in a fixed order."""
    return (
        _safety(measured)
        | _activity(measured)
        | _profit(measured)
        | _risk(measured)
        | _presence(measured)
        | _cost(measured)
    )


def _safety(m: Measured) -> dict[str, Metric]:
    """Traps, refusals and rejects.

    traps: 1 if the algo broke (trap, out of fuel, protocol error), else 0.
    risk_breaches: actions refused with a code of 100 or more, the platform's own risk checks.
    rejects: actions with any reject code. rejects_<code>: by code.
    """
    codes = m.orders["reject_code"]
    counts: dict[str, Metric] = {
        "traps": int(m.trapped),
        "risk_breaches": int(np.count_nonzero(codes >= _FIRST_RISK_CODE)),
        "rejects": int(np.count_nonzero(codes >= 0)),
    }
    for code, name in REJECT_CODES.items():
        counts[f"rejects_{name}"] = int(np.count_nonzero(codes == code))
    return counts


def _activity(m: Measured) -> dict[str, Metric]:
    """Callbacks, orders and fills.

    orders, cancels, amends: actions of that kind, refused ones included. fill_ratio: orders filled completely /
    orders that reached an end or rest. cancel_ratio: orders cancelled by the algo / the same. order_to_trade: (orders
    + cancels + amends) / fills. volume_notional_1e9: sum over fills of |value|. turnover: volume / capital.
    """
    kinds, outcomes = m.orders["kind"], m.orders["outcome"]
    placed = np.count_nonzero((kinds == NEW) & np.isin(outcomes, (OPEN, FILLED, CANCELED, EXPIRED)))
    fills = len(m.fills)
    takers = int(np.count_nonzero(m.fills["reason"] == TAKER))
    actions = int(np.count_nonzero(np.isin(kinds, (NEW, CANCEL, AMEND))))
    volume = sum(abs(v) for v in _values(m.instrument, m.fills["px_1e9"], m.fills["qty_1e8"]))
    return {
        "callbacks": m.callbacks,
        "fills": fills,
        "maker_fills": fills - takers,
        "orders": int(np.count_nonzero(kinds == NEW)),
        "cancels": int(np.count_nonzero(kinds == CANCEL)),
        "amends": int(np.count_nonzero(kinds == AMEND)),
        "fill_ratio": _ratio(int(np.count_nonzero((kinds == NEW) & (outcomes == FILLED))), int(placed)),
        "cancel_ratio": _ratio(int(np.count_nonzero((kinds == NEW) & (outcomes == CANCELED))), int(placed)),
        "order_to_trade": _ratio(actions, fills),
        "volume_notional_1e9": volume,
        "turnover": _ratio(volume, m.capital_1e9),
    }


def _profit(m: Measured) -> dict[str, Metric]:
    """Where the result came from.

    net_pnl_1e9: the last equity sample; a run starts with nothing. gross_pnl_1e9: net + fees. spread_pnl_1e9: sum
    over fills of side * (value at the mid then - value at the fill's price), what was earned against the mid.
    inventory_pnl_1e9: gross - spread, what the position earned as the mid moved. fees_1e9: paid, less rebates.
    return_bps: net / capital * 10^4.
    """
    last = m.equity[-1] if len(m.equity) else None
    net = int(last["equity_1e9"]) if last is not None else 0
    fees = int(last["fees_1e9"]) if last is not None else 0
    at_mid = _values(
        m.instrument, np.where(m.fills["mid_1e9"] > 0, m.fills["mid_1e9"], m.fills["px_1e9"]), m.fills["qty_1e8"]
    )
    at_px = _values(m.instrument, m.fills["px_1e9"], m.fills["qty_1e8"])
    spread = sum(int(side) * (mid - px) for side, mid, px in zip(m.fills["side"], at_mid, at_px, strict=True))
    return {
        "net_pnl_1e9": net,
        "gross_pnl_1e9": net + fees,
        "spread_pnl_1e9": spread,
        "inventory_pnl_1e9": net + fees - spread,
        "fees_1e9": fees,
        "return_bps": net / m.capital_1e9 * 10_000,
    }


def _risk(m: Measured) -> dict[str, Metric]:
    """Drawdown, Sharpe ratio and inventory, from the equity samples.

    max_drawdown_1e9: largest fall of equity below its highest value so far (or its start, 0). max_drawdown_pct: that
    / capital * 100. sharpe: mean / standard deviation of the changes between samples, annualised by sqrt(365 * 86400)
    for samples a second apart; None without variance. max_abs_position_1e8: over every fill. mean_abs_position_1e8:
    over the samples, rounded down.
    """
    equity = np.concatenate([[0], m.equity["equity_1e9"]]).astype(np.int64)
    drawdown = int(np.max(np.maximum.accumulate(equity) - equity))
    positions = np.abs(m.equity["position_1e8"])
    return {
        "max_drawdown_1e9": drawdown,
        "max_drawdown_pct": drawdown / m.capital_1e9 * 100,
        "sharpe": _sharpe(m.equity),
        "max_abs_position_1e8": m.max_abs_position_1e8,
        "mean_abs_position_1e8": sum(positions.tolist()) // len(positions) if len(positions) else 0,
        "final_position_1e8": int(m.equity["position_1e8"][-1]) if len(m.equity) else 0,
    }


def _presence(m: Measured) -> dict[str, Metric]:
    """Quoting and what happened after fills.

    quote_uptime: share of the time with a resting order on both sides. time_at_touch: share of the time at the best
    price or better, mean of both sides. markout_<h>_bps: sum over fills of side * (mid after h - price) * qty over
    the sum of price * qty, x 10^4; positive is good for the algo; fills whose horizon lies beyond the tape are left
    out, None if all are.
    """
    metrics: dict[str, Metric] = {
        "quote_uptime": m.both_sides_ns / m.duration_ns if m.duration_ns else 0.0,
        "time_at_touch": m.at_touch_ns / (2 * m.duration_ns) if m.duration_ns else 0.0,
    }
    for horizon in ("100ms", "1s", "10s"):
        metrics[f"markout_{horizon}_bps"] = _markout_bps(m.fills, f"mid_{horizon}_1e9")
    return metrics


def _cost(m: Measured) -> dict[str, Metric]:
    """Compute cost of a callback in wasmtime's fuel: the same on every machine.

    fuel_p50, fuel_p99: the least value that so many of the callbacks do not exceed, exact below 16,384 and rounded
    down by less than 1/8192 above. fuel_max: exact.
    """
    return {
        "fuel_p50": _fuel_quantile(m, 50),
        "fuel_p99": _fuel_quantile(m, 99),
        "fuel_max": m.fuel_max,
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _values(instrument: Instrument, px_1e9: Int64s, qty_1e8: Int64s) -> list[int]:
    """Return the value of a long position at each price, rounded towards zero as the engine does."""
    size = instrument.contract_size_1e8
    if instrument.contract == "inverse":
        return [-(q * size * 100 // p) for p, q in zip(px_1e9.tolist(), qty_1e8.tolist(), strict=True)]
    return [p * (q * size // 10**8) // 10**8 for p, q in zip(px_1e9.tolist(), qty_1e8.tolist(), strict=True)]


def _sharpe(equity: Records) -> float | None:
    changes = np.diff(equity["equity_1e9"]).astype(np.float64)
    if len(changes) < 2:
        return None
    deviation = float(np.std(changes, ddof=1))
    return float(np.mean(changes)) / deviation * math.sqrt(_SECONDS_A_YEAR) if deviation > 0 else None


def _markout_bps(fills: Records, column: str) -> float | None:
    known = fills[fills[column] > 0]
    moved = traded = 0
    for side, mid, px, qty in zip(
        known["side"].tolist(), known[column].tolist(), known["px_1e9"].tolist(), known["qty_1e8"].tolist(), strict=True
    ):
        moved += side * (mid - px) * qty
        traded += px * qty
    return moved / traded * 10_000 if traded else None


def _fuel_quantile(m: Measured, percent: int) -> int:
    total = int(m.fuel_counts.sum())
    if total == 0:
        return 0
    reached = np.cumsum(m.fuel_counts) * 100 >= total * percent
    return int(m.fuel_of_bucket(int(np.argmax(reached))))
