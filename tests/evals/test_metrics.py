"""Each formula on numbers that can be checked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from evals.engine import layout
from evals.market.schema import Instrument
from evals.metrics import Measured, compute

INSTRUMENT = Instrument(venue="v", symbol="s", tick_size_1e9=1, lot_size_1e8=1)


def measured(**given: Any) -> Measured:
    facts: dict[str, Any] = {
        "fills": np.zeros(0, layout.FILL_LOG),
        "orders": np.zeros(0, layout.ORDER_LOG),
        "equity": np.zeros(0, layout.EQUITY_LOG),
        "instrument": INSTRUMENT,
        "capital_1e9": 10**12,
        "trapped": False,
        "callbacks": 0,
        "fuel_counts": np.zeros(64, np.int64),
        "fuel_of_bucket": lambda bucket: bucket,
        "fuel_max": 0,
        "duration_ns": 0,
        "both_sides_ns": 0,
        "at_touch_ns": 0,
        "max_abs_position_1e8": 0,
    }
    return Measured(**facts | given)


def equity_of(values: list[int], positions: list[int]) -> Any:
    equity = np.zeros(len(values), layout.EQUITY_LOG)
    equity["equity_1e9"], equity["position_1e8"] = values, positions
    return equity


def test_a_run_in_which_nothing_happened_has_every_metric() -> None:
    metrics = compute(measured())
    assert metrics["traps"] == metrics["fills"] == metrics["net_pnl_1e9"] == metrics["fuel_p99"] == 0
    assert metrics["sharpe"] is metrics["fill_ratio"] is metrics["markout_1s_bps"] is None


def test_drawdown_sharpe_and_inventory_follow_the_samples() -> None:
    metrics = compute(measured(equity=equity_of([10, 30, -20, 0], [5, -7, 0, 1])))
    assert metrics["max_drawdown_1e9"] == 50
    assert metrics["max_drawdown_pct"] == pytest.approx(50 / 10**12 * 100)
    changes = [20, -50, 20]
    mean = sum(changes) / 3
    deviation = math.sqrt(sum((c - mean) ** 2 for c in changes) / 2)
    assert metrics["sharpe"] == pytest.approx(mean / deviation * math.sqrt(365 * 86_400))
    assert metrics["mean_abs_position_1e8"] == 3
    assert metrics["final_position_1e8"] == 1
    assert compute(measured(equity=equity_of([4, 4, 4], [0, 0, 0])))["sharpe"] is None


def test_a_first_fall_below_the_start_counts_as_drawdown() -> None:
    assert compute(measured(equity=equity_of([-8, 2], [0, 0])))["max_drawdown_1e9"] == 8


def test_rejects_are_counted_by_code() -> None:
    orders = np.zeros(4, layout.ORDER_LOG)
    orders["reject_code"] = [-1, 2, 101, 104]
    metrics = compute(measured(orders=orders))
    assert (metrics["rejects"], metrics["risk_breaches"]) == (3, 2)
    assert (
        metrics["rejects_invalid_params"]
        == metrics["rejects_position_limit"]
        == metrics["rejects_daily_loss_limit"]
        == 1
    )
    assert metrics["rejects_kill_switch"] == 0


def test_ratios_leave_out_orders_that_never_lived() -> None:
    orders = np.zeros(6, layout.ORDER_LOG)
    orders["kind"] = [0, 0, 0, 0, 1, 2]
    orders["outcome"] = [layout.FILLED, layout.CANCELED, layout.OPEN, layout.REJECTED, layout.DONE, layout.DONE]
    metrics = compute(measured(orders=orders, fills=np.zeros(2, layout.FILL_LOG)))
    assert metrics["fill_ratio"] == metrics["cancel_ratio"] == pytest.approx(1 / 3)
    assert (metrics["orders"], metrics["cancels"], metrics["amends"]) == (4, 1, 1)
    assert metrics["order_to_trade"] == 3


def test_fuel_quantiles_are_the_least_values_that_enough_callbacks_do_not_exceed() -> None:
    counts = np.zeros(64, np.int64)
    counts[3], counts[10], counts[40] = 50, 49, 1
    metrics = compute(measured(fuel_counts=counts, fuel_max=41))
    assert (metrics["fuel_p50"], metrics["fuel_p99"], metrics["fuel_max"]) == (3, 10, 41)


def test_markouts_weigh_fills_by_their_notional_and_leave_out_unknown_mids() -> None:
    fills = np.zeros(3, layout.FILL_LOG)
    fills["side"], fills["px_1e9"], fills["qty_1e8"] = [1, -1, 1], [100, 200, 100], [3, 1, 5]
    fills["mid_1e9"], fills["mid_1s_1e9"] = [100, 200, 100], [101, 199, 0]
    assert compute(measured(fills=fills))["markout_1s_bps"] == pytest.approx((3 + 1) / 500 * 10_000)
