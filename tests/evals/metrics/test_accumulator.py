"""Each formula on numbers that can be checked by hand."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evals.engine import layout
from evals.market.schema import Instrument
from evals.metrics import Metrics

INSTRUMENT = Instrument(venue="v", symbol="s", tick_size_1e9=1, lot_size_1e8=1)
Compute = Callable[..., dict[str, Any]]


@pytest.fixture
def compute(log_of: Callable[..., Any], totals_of: Callable[..., Any]) -> Compute:
    """Return a function from logs and totals to metrics."""

    def run(
        fills: Any = None,
        orders: Any = None,
        equity: Any = None,
        instruments: tuple[Instrument, ...] = (INSTRUMENT,),
        interval_ns: int = 10**9,
        **totals: Any,
    ) -> dict[str, Any]:
        metrics = Metrics(instruments, 10**12, interval_ns)
        metrics.add_fills(log_of("fills", 0) if fills is None else fills)
        metrics.add_orders(log_of("orders", 0) if orders is None else orders)
        metrics.add_equity(log_of("equity", 0) if equity is None else equity)
        return metrics.finish(totals_of(**totals))

    return run


@pytest.fixture
def equity_of(log_of: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function from equities and positions to the log."""
    return lambda values, positions: log_of("equity", len(values), equity_1e9=values, position_1e8=positions)


def test_a_run_in_which_nothing_happened_has_every_metric(compute: Compute) -> None:
    metrics = compute()
    assert metrics["traps"] == metrics["fills"] == metrics["net_pnl_1e9"] == metrics["fuel_p99"] == 0
    for name in (
        "sharpe",
        "fill_ratio",
        "markout_1s_bps",
        "queue_ahead_p50_1e8",
        "order_lifetime_p50_ms",
        "cost_share",
    ):
        assert metrics[name] is None


def test_drawdown_sharpe_and_inventory_follow_the_samples(compute: Compute, equity_of: Callable[..., Any]) -> None:
    metrics = compute(equity=equity_of([10, 30, -20, 0], [5, -7, 0, 1]))
    assert metrics["max_drawdown_1e9"] == 50
    assert metrics["max_drawdown_pct"] == pytest.approx(50 / 10**12 * 100)
    assert metrics["time_in_drawdown"] == 2 / 4
    changes = [20, -50, 20]
    mean = sum(changes) / 3
    deviation = math.sqrt(sum((c - mean) ** 2 for c in changes) / 2)
    assert metrics["sharpe"] == pytest.approx(mean / deviation * math.sqrt(365 * 86_400))
    assert (metrics["mean_abs_position_1e8"], metrics["mean_position_1e8"]) == (3, 0)
    assert (metrics["time_long"], metrics["time_short"], metrics["time_flat"]) == (2 / 4, 1 / 4, 1 / 4)
    assert metrics["final_position_1e8"] == 1
    assert compute(equity=equity_of([4, 4, 4], [0, 0, 0]))["sharpe"] is None
    assert compute(equity=equity_of([4, 5], [0, 0]))["sharpe"] is None


def test_sharpe_is_annualised_by_the_interval_of_the_samples(compute: Compute, equity_of: Callable[..., Any]) -> None:
    equity = equity_of([10, 30, -20, 0], [0] * 4)
    a_second = compute(equity=equity)["sharpe"]
    assert compute(equity=equity, interval_ns=60 * 10**9)["sharpe"] == pytest.approx(a_second / math.sqrt(60))


def test_a_first_fall_below_the_start_counts_as_drawdown(compute: Compute, equity_of: Callable[..., Any]) -> None:
    assert compute(equity=equity_of([-8, 2], [0, 0]))["max_drawdown_1e9"] == 8


def test_a_mean_position_is_rounded_towards_zero(compute: Compute, equity_of: Callable[..., Any]) -> None:
    assert compute(equity=equity_of([0, 0], [-3, 0]))["mean_position_1e8"] == -1
    assert compute(equity=equity_of([0, 0], [3, 0]))["mean_position_1e8"] == 1


def test_rejects_are_counted_by_code(compute: Compute, log_of: Callable[..., Any]) -> None:
    metrics = compute(orders=log_of("orders", 4, reject_code=[-1, 2, 101, 104]))
    assert (metrics["rejects"], metrics["risk_breaches"]) == (3, 2)
    assert (
        metrics["rejects_invalid_params"]
        == metrics["rejects_position_limit"]
        == metrics["rejects_daily_loss_limit"]
        == 1
    )
    assert metrics["rejects_kill_switch"] == 0


def test_ratios_leave_out_orders_that_never_lived(compute: Compute, log_of: Callable[..., Any]) -> None:
    outcomes = [layout.FILLED, layout.CANCELED, layout.OPEN, layout.REJECTED, layout.DONE, layout.DONE]
    metrics = compute(
        orders=log_of("orders", 6, kind=[0, 0, 0, 0, 1, 2], outcome=outcomes), fills=log_of("fills", 2, px_1e9=1)
    )
    assert metrics["fill_ratio"] == metrics["cancel_ratio"] == pytest.approx(1 / 3)
    assert (metrics["orders"], metrics["cancels"], metrics["amends"]) == (4, 1, 1)
    assert metrics["order_to_trade"] == 3


def test_lifetimes_are_those_of_orders_that_rested_and_ended(compute: Compute, log_of: Callable[..., Any]) -> None:
    ms = 10**6
    orders = log_of(
        "orders",
        8,
        kind=[0, 0, 0, 0, 0, 0, 0, 1],
        arrived_ns=[10 * ms, 10 * ms, 10 * ms, 10 * ms, 10 * ms, 10 * ms, 0, 10 * ms],
        # Rested twice, filled on arrival three times, still open, refused, a cancel.
        done_ns=[12 * ms, 14 * ms, 10 * ms, 10 * ms, 10 * ms, 0, 5 * ms, 90 * ms],
    )
    assert compute(orders=orders)["order_lifetime_p50_ms"] == pytest.approx(2, rel=1 / 1024)


def test_fuel_quantiles_are_the_least_values_that_enough_callbacks_do_not_exceed(compute: Compute) -> None:
    counts = np.zeros(64, np.int64)
    counts[3], counts[10], counts[40] = 50, 49, 1
    metrics = compute(fuel_counts=counts, fuel_max=41)
    assert (metrics["fuel_p50"], metrics["fuel_p99"], metrics["fuel_max"]) == (3, 10, 41)


def test_markouts_weigh_fills_by_their_notional_and_leave_out_unknown_mids(
    compute: Compute, log_of: Callable[..., Any]
) -> None:
    fills = log_of("fills", 3, side=[1, -1, 1], px_1e9=[100, 200, 100], qty_1e8=[3, 1, 5])
    fills["mid_1e9"], fills["mid_1s_1e9"] = [100, 200, 100], [101, 199, 0]
    metrics = compute(fills=fills)
    assert metrics["markout_1s_bps"] == pytest.approx((3 + 1) / 500 * 10_000)
    assert metrics["hit_rate_1s"] == 1
    assert metrics["hit_rate_10s"] is None


def test_a_fill_can_be_in_profit_and_still_adverse(compute: Compute, log_of: Callable[..., Any]) -> None:
    fills = log_of("fills", 3, side=1, px_1e9=[90, 90, 90], qty_1e8=1, reason=[0, 1, layout.TAKER])
    fills["mid_1e9"], fills["mid_1s_1e9"] = 100, [95, 105, 80]
    metrics = compute(fills=fills)
    assert metrics["hit_rate_1s"] == pytest.approx(2 / 3)
    assert metrics["adverse_share_1s"] == 1 / 2  # the taker's fill is not adverse selection


def test_fills_are_counted_by_reason_and_queues_only_of_makers(compute: Compute, log_of: Callable[..., Any]) -> None:
    fills = log_of("fills", 5, px_1e9=1, reason=[0, 0, 1, 2, 3], queue_ahead_1e8=[4, 9, 6, 2, 1000])
    metrics = compute(fills=fills)
    assert (metrics["fills"], metrics["maker_fills"], metrics["fills_taker"]) == (5, 4, 1)
    assert (metrics["fills_queue_front"], metrics["fills_trade_through"], metrics["fills_crossed_book"]) == (2, 1, 1)
    assert metrics["queue_ahead_mean_1e8"] == 21 // 4
    assert metrics["queue_ahead_p50_1e8"] == 4


def test_profit_splits_into_spread_inventory_and_fees(compute: Compute, log_of: Callable[..., Any]) -> None:
    fills = log_of("fills", 2, side=[1, -1], px_1e9=[99, 103], mid_1e9=[100, 102], qty_1e8=10**8)
    equity = log_of("equity", 2, equity_1e9=[1, 3], fees_1e9=[1, 1])
    metrics = compute(fills=fills, equity=equity)
    assert (metrics["net_pnl_1e9"], metrics["gross_pnl_1e9"], metrics["fees_1e9"]) == (3, 4, 1)
    assert (metrics["spread_pnl_1e9"], metrics["inventory_pnl_1e9"]) == (2, 2)
    assert metrics["cost_share"] == 1 / 4
    assert metrics["pnl_per_volume_bps"] == pytest.approx(3 / 202 * 10_000)


def test_flips_are_counted_over_zero_and_by_symbol(compute: Compute, log_of: Callable[..., Any]) -> None:
    other = INSTRUMENT.model_copy(update={"symbol": "t"})
    fills = log_of("fills", 6, px_1e9=1, position_1e8=[5, -1, 0, 3, 2, -2], asset=[0, 1, 0, 1, 0, 0])
    assert compute(fills=fills, instruments=(INSTRUMENT, other))["position_flips"] == 2


def test_a_sample_is_the_sum_over_its_symbols(compute: Compute, log_of: Callable[..., Any]) -> None:
    other = INSTRUMENT.model_copy(update={"symbol": "t"})
    equity = log_of("equity", 4, equity_1e9=[5, 5, 9, -1], cash_1e9=[1, 8, 9, 2], position_1e8=[4, -2, 0, -1])
    equity["fees_1e9"] = [1, 2, 3, 4]
    metrics = compute(equity=equity, instruments=(INSTRUMENT, other))
    assert (metrics["net_pnl_1e9"], metrics["fees_1e9"]) == (8, 7)
    assert metrics["max_drawdown_1e9"] == 2
    assert (metrics["mean_exposure_1e9"], metrics["max_exposure_1e9"]) == ((7 + 3) // 2, 7)
    assert (metrics["time_long"], metrics["time_short"], metrics["time_flat"]) == (0.5, 1, 0)
    with pytest.raises(ValueError, match="reshape"):
        compute(equity=equity[:3], instruments=(INSTRUMENT, other))


def test_what_the_engine_counted_is_passed_on(compute: Compute) -> None:
    metrics = compute(off_market_trades=2, off_market_volume_1e8=7, log_lines=3, trapped=True, callbacks=4)
    assert [metrics[name] for name in ("off_market_trades", "off_market_volume_1e8", "log_lines")] == [2, 7, 3]
    assert (metrics["traps"], metrics["callbacks"]) == (1, 4)


def test_what_is_kept_does_not_grow_with_the_run(log_of: Callable[..., Any]) -> None:
    metrics = Metrics([INSTRUMENT], 10**12)
    sizes = []
    for _ in range(100):
        fills = log_of("fills", 100, px_1e9=10**12, mid_1e9=10**12 + 1, qty_1e8=10**9, mid_1s_1e9=10**12 - 1, side=1)
        metrics.add_fills(fills)
        metrics.add_orders(log_of("orders", 100, arrived_ns=1, done_ns=range(100), reject_code=2))
        metrics.add_equity(log_of("equity", 100, equity_1e9=range(100)))
        sizes.append(len(pickle.dumps(metrics)))
    assert sizes[-1] < sizes[0] + 200
