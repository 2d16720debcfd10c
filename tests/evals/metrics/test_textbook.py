"""Random logs: figures equal plain computations with fractions and pandas, however the logs are cut."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.engine import layout
from evals.market.schema import Instrument
from evals.metrics import Metrics
from evals.wasm.abi import AMEND, CANCEL, NEW

CAPITAL_1E9 = 10**14
INTERVAL_NS = 5 * 10**9
LINEAR = tuple(
    Instrument(venue=venue, symbol=symbol, tick_size_1e9=1, lot_size_1e8=1, contract_size_1e8=size)
    for symbol, venue, size in (("a", "x", 10**8), ("a", "y", 10**8), ("b", "x", 10**6))
)
INVERSE = Instrument(
    venue="x", symbol="a", tick_size_1e9=1, lot_size_1e8=1, contract="inverse", contract_size_1e8=100 * 10**8
)
SYMBOL_OF_ASSET = (0, 0, 1)

PRICES = st.one_of(st.sampled_from((6_000 * 10**9, 6_001 * 10**9)), st.integers(5_900 * 10**9, 6_100 * 10**9))
MIDS = st.one_of(st.just(0), PRICES)
FILLS = st.lists(
    st.fixed_dictionaries(
        {
            "asset": st.integers(0, 2),
            "side": st.sampled_from((1, -1)),
            "reason": st.integers(0, 3),
            "px_1e9": PRICES,
            "qty_1e8": st.integers(1, 10**10).map(lambda lots: lots * 100),  # whole 10^-8 of the base in each contract
            "queue_ahead_1e8": st.integers(0, 10**12),
            "mid_1e9": MIDS,
            "mid_100ms_1e9": MIDS,
            "mid_1s_1e9": MIDS,
            "mid_10s_1e9": MIDS,
            "position_1e8": st.integers(-3, 3),
        }
    ),
    max_size=40,
)
ORDERS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.integers(0, 3),
            "outcome": st.integers(0, len(layout.OUTCOMES) - 1),
            "reject_code": st.sampled_from((-1, -1, 1, 2, 100, 101, 103, 104)),
            "arrived_ns": st.sampled_from((0, 10**18, 10**18 + 5)),
            "done_ns": st.one_of(st.sampled_from((0, 10**18)), st.integers(10**18, 10**18 + 10**13)),
        }
    ),
    max_size=40,
)
MONEY = st.integers(-(10**15), 10**15)
ROWS = st.fixed_dictionaries(
    {
        "equity_1e9": MONEY,
        "cash_1e9": MONEY,
        "fees_1e9": MONEY,
        "position_1e8": st.integers(-(10**12), 10**12) | st.just(0),
    }
)
EQUITY = st.lists(st.tuples(ROWS, ROWS), max_size=10).map(lambda samples: [row for sample in samples for row in sample])

LogOf = Callable[..., Any]


def as_log(log_of: LogOf, name: str, rows: list[dict[str, int]]) -> Any:
    columns = {column: [row[column] for row in rows] for column in (rows[0] if rows else {})}
    return log_of(name, len(rows), **columns)


def metrics_of(totals: Any, fills: list[Any], orders: list[Any], equity: list[Any]) -> dict[str, Any]:
    metrics = Metrics(LINEAR, CAPITAL_1E9, INTERVAL_NS)
    for piece in fills:
        metrics.add_fills(piece)
    for piece in orders:
        metrics.add_orders(piece)
    for piece in equity:
        metrics.add_equity(piece)
    return metrics.finish(totals)


@given(
    fills=FILLS,
    orders=ORDERS,
    equity=EQUITY,
    cuts=st.tuples(*[st.lists(st.integers(0, 60), max_size=8).map(sorted)] * 3),
)
def test_figures_do_not_depend_on_how_the_logs_are_cut(
    log_of: LogOf, totals_of: Callable[..., Any], fills: Any, orders: Any, equity: Any, cuts: Any
) -> None:
    logs = (as_log(log_of, "fills", fills), as_log(log_of, "orders", orders), as_log(log_of, "equity", equity))
    places = (cuts[0], cuts[1], [2 * cut for cut in cuts[2]])
    pieces = [np.split(log, where) for log, where in zip(logs, places, strict=True)]
    assert metrics_of(totals_of(), *pieces) == metrics_of(totals_of(), *([log] for log in logs))


@given(fills=FILLS)
def test_fills_follow_the_textbook(log_of: LogOf, totals_of: Callable[..., Any], fills: list[dict[str, int]]) -> None:
    found = metrics_of(totals_of(), [as_log(log_of, "fills", fills)], [], [])
    makers = [fill for fill in fills if fill["reason"] != layout.TAKER]
    assert [found["fills"], found["maker_fills"]] == [len(fills), len(makers)]
    for reason, name in enumerate(layout.FILL_REASONS):
        assert found[f"fills_{name}"] == sum(fill["reason"] == reason for fill in fills)

    # Each value is rounded by less than 10^-9, so sums may differ by as many of these as there are values.
    volume = sum(Fraction(fill["px_1e9"]) * quantity(fill) for fill in fills)
    assert volume - len(fills) <= found["volume_notional_1e9"] <= volume
    spread = sum(
        fill["side"] * ((fill["mid_1e9"] or fill["px_1e9"]) - fill["px_1e9"]) * quantity(fill) for fill in fills
    )
    assert abs(found["spread_pnl_1e9"] - spread) <= len(fills)
    assert found["inventory_pnl_1e9"] == -found["spread_pnl_1e9"]

    aheads = [fill["queue_ahead_1e8"] for fill in makers]
    if makers:
        assert found["queue_ahead_mean_1e8"] == math.floor(statistics.fmean(aheads))
        assert found["queue_ahead_p50_1e8"] == pytest.approx(statistics.median_low(aheads), rel=1 / 1024)

    for horizon in ("100ms", "1s", "10s"):
        then = f"mid_{horizon}_1e9"
        known = [fill for fill in fills if fill[then] > 0]
        gains = [fill["side"] * (fill[then] - fill["px_1e9"]) for fill in known]
        if known:
            notional = sum(fill["px_1e9"] * quantity(fill) for fill in known)
            gained = sum(gain * quantity(fill) for gain, fill in zip(gains, known, strict=True))
            assert found[f"markout_{horizon}_bps"] == pytest.approx(float(gained / notional * 10_000))
            assert found[f"hit_rate_{horizon}"] == sum(gain > 0 for gain in gains) / len(known)
        moves = [f["side"] * (f[then] - f["mid_1e9"]) for f in makers if f[then] > 0 and f["mid_1e9"] > 0]
        assert found[f"adverse_share_{horizon}"] == (sum(m < 0 for m in moves) / len(moves) if moves else None)

    flips = 0
    for symbol in (0, 1):
        held = [f["position_1e8"] for f in fills if SYMBOL_OF_ASSET[f["asset"]] == symbol and f["position_1e8"]]
        flips += sum(before * after < 0 for before, after in pairwise(held))
    assert found["position_flips"] == flips


@given(orders=ORDERS)
def test_orders_follow_the_textbook(log_of: LogOf, totals_of: Callable[..., Any], orders: list[dict[str, int]]) -> None:
    found = metrics_of(totals_of(), [log_of("fills", 7, px_1e9=1)], [as_log(log_of, "orders", orders)], [])
    frame = pd.DataFrame(orders, columns=["kind", "outcome", "reject_code", "arrived_ns", "done_ns"])
    by_kind = frame["kind"].value_counts()
    counts = [int(by_kind.get(kind, 0)) for kind in (NEW, CANCEL, AMEND)]
    assert [found["orders"], found["cancels"], found["amends"]] == counts
    assert found["order_to_trade"] == sum(counts) / 7
    placed = frame[(frame["kind"] == NEW) & frame["outcome"].isin([0, 1, 2, 3])]
    for name, outcome in (("fill_ratio", layout.FILLED), ("cancel_ratio", layout.CANCELED)):
        assert found[name] == (len(placed[placed["outcome"] == outcome]) / len(placed) if len(placed) else None)
    assert found["rejects"] == int((frame["reject_code"] >= 0).sum())
    assert found["risk_breaches"] == int((frame["reject_code"] >= 100).sum())
    assert found["rejects_price_deviation"] == int((frame["reject_code"] == 103).sum())
    rested = frame[(frame["kind"] == NEW) & (frame["arrived_ns"] > 0) & (frame["done_ns"] > frame["arrived_ns"])]
    if len(rested):
        lifetime_ms = statistics.median_low((rested["done_ns"] - rested["arrived_ns"]).tolist()) / 10**6
        assert found["order_lifetime_p50_ms"] == pytest.approx(lifetime_ms, rel=1 / 1024)


@given(equity=EQUITY)
def test_equity_follows_pandas(log_of: LogOf, totals_of: Callable[..., Any], equity: list[dict[str, int]]) -> None:
    found = metrics_of(totals_of(), [], [], [as_log(log_of, "equity", equity)])
    if not equity:
        return
    rows = pd.DataFrame(equity)
    rows["sample"] = rows.index // 2
    rows["exposure"] = (rows["equity_1e9"] - rows["cash_1e9"]).abs()
    samples = rows.groupby("sample").sum()
    curve = samples["equity_1e9"]
    fees = int(samples["fees_1e9"].iloc[-1])
    assert (found["net_pnl_1e9"], found["fees_1e9"]) == (int(curve.iloc[-1]), fees)
    assert found["gross_pnl_1e9"] == found["net_pnl_1e9"] + fees
    assert found["return_bps"] == pytest.approx(int(curve.iloc[-1]) / CAPITAL_1E9 * 10_000)
    gross = found["gross_pnl_1e9"]
    assert found["cost_share"] == (pytest.approx(fees / gross) if gross > 0 else None)

    fall = curve.cummax().clip(lower=0) - curve
    assert found["max_drawdown_1e9"] == int(fall.max())
    assert found["max_drawdown_pct"] == pytest.approx(int(fall.max()) / CAPITAL_1E9 * 100)
    assert found["time_in_drawdown"] == pytest.approx((fall > 0).mean())

    returns = (curve.diff().dropna() / CAPITAL_1E9).astype(float)
    if len(returns) >= 2 and returns.nunique() > 1:
        sharpe = returns.mean() / returns.std() * math.sqrt(365 * 86_400 / 5)
        # pandas loses digits in the mean where changes cancel
        assert found["sharpe"] == pytest.approx(sharpe, rel=1e-9, abs=1e-9)
    else:
        assert found["sharpe"] is None

    positions = rows.pivot_table(index="sample", columns=rows.index % 2, values="position_1e8")
    assert found["mean_position_1e8"] == int(Fraction(sum(rows["position_1e8"].tolist()), len(samples)))
    assert found["mean_abs_position_1e8"] == math.floor(
        Fraction(sum(rows["position_1e8"].abs().tolist()), len(samples))
    )
    assert found["final_position_1e8"] == int(samples["position_1e8"].iloc[-1])
    assert found["time_long"] == pytest.approx((positions > 0).any(axis=1).mean())
    assert found["time_short"] == pytest.approx((positions < 0).any(axis=1).mean())
    assert found["time_flat"] == pytest.approx((positions == 0).all(axis=1).mean())
    assert found["mean_exposure_1e9"] == math.floor(Fraction(sum(samples["exposure"].tolist()), len(samples)))
    assert found["max_exposure_1e9"] == int(samples["exposure"].max())


@given(fills=FILLS)
def test_inverse_contracts_settle_in_the_base_currency(
    log_of: LogOf, totals_of: Callable[..., Any], fills: list[dict[str, int]]
) -> None:
    metrics = Metrics([INVERSE], CAPITAL_1E9)
    metrics.add_fills(as_log(log_of, "fills", [fill | {"asset": 0} for fill in fills]))
    found = metrics.finish(totals_of())
    bases = [Fraction(fill["qty_1e8"] * 100, fill["px_1e9"]) * 10**10 for fill in fills]
    assert sum(bases) - len(fills) <= found["volume_notional_1e9"] <= sum(bases)
    earned = sum(
        fill["side"] * (base - Fraction(fill["qty_1e8"] * 100, fill["mid_1e9"]) * 10**10)
        for fill, base in zip(fills, bases, strict=True)
        if fill["mid_1e9"]
    )
    assert abs(found["spread_pnl_1e9"] - earned) <= len(fills)


def quantity(fill: dict[str, int]) -> Fraction:
    """Return the quantity of a fill in units of the base."""
    return Fraction(fill["qty_1e8"] * LINEAR[fill["asset"]].contract_size_1e8, 10**16)
