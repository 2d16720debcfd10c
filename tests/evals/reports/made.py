"""Evaluations of every kind as the contract of their outputs has it, made up: figures are plausible, not computed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bundles.canonical import digest_of
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs
from bundles.gates import Check
from bundles.judging import Judgement
from evals.engine.layout import EQUITY_LOG, FILL_LOG, ORDER_LOG, TAKER
from evals.reports.recorded import Recorded, read_log, title_of

START_NS = 1_531_514_831 * 10**9
SECOND = 10**9
CAPITAL = 100_000 * 10**9
PASS = Judgement(
    "pass", (Check("run completed", True), Check("traps 0 == 0", True), Check("fills 90 >= 20", True)), "replay"
)
FAIL = Judgement("fail", (Check("run completed", True), Check("max_drawdown_pct 3.1 <= 2", False)), "replay")


def parquet(rows: np.ndarray[Any, Any], **texts: list[str]) -> bytes:
    """Return an output as an evaluation records it; ``texts`` are further columns."""
    columns = {**{name: pa.array(values) for name, values in texts.items()}}
    columns |= {name: pa.array(rows[name].copy()) for name in rows.dtype.names or ()}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def evaluation_of(
    kind: str, metrics: dict[str, Any], seconds: int = 1_200, data: bytes = b"data", **changes: Any
) -> Evaluation:
    inputs = EvaluationInputs(
        kind=kind,  # type: ignore[arg-type]
        bundle=digest_of(changes.pop("bundle", b"bundle")),
        datasets=(digest_of(data),),
        settings={
            "capital_1e9": str(CAPITAL),
            "queue_model": "risk_averse",
            "fuel_per_callback": "10000000",
            **changes.pop("settings", {}),
        },
        seed=changes.pop("seed", 42),
        engine=EngineFingerprint(name="engine", version="1", source=digest_of(b""), runtime={"wasmtime": "48"}),
    )
    fields: dict[str, Any] = {
        "inputs": inputs,
        "status": "completed",
        "result_digest": digest_of(b"result"),
        "coverage": Coverage(first_ns=START_NS, last_ns=START_NS + seconds * SECOND, events=1_234_567, packets=345_678),
        "metrics": metrics,
        "outputs": {},
        "validation": {"crossed_books": 0, "unknown_orders": 598},
    }
    return Evaluation.model_validate(fields | changes)


def bounded(name: str, value: float, width: float) -> dict[str, float]:
    """Return a figure with its intervals."""
    ends: dict[str, float] = {name: value}
    for percent, times in ((90, 1.64), (95, 1.96), (99, 2.58)):
        ends |= {f"{name}_lower{percent}": value - width * times, f"{name}_upper{percent}": value + width * times}
    return ends


def edge_logs(seconds: int = 1_200, seed: int = 1, fills: int = 90) -> dict[str, np.ndarray[Any, Any]]:
    """Return fills, orders and equity of a quoting algo."""
    draw = np.random.default_rng(seed)
    equity = np.zeros(seconds, EQUITY_LOG)
    equity["exchange_ns"] = START_NS + np.arange(seconds) * SECOND
    equity["mid_1e9"] = 6_250 * 10**9 + np.cumsum(draw.integers(-400, 400, seconds)) * 10**6
    equity["equity_1e9"] = np.cumsum(draw.integers(-900, 1_000, seconds)) * 10**6
    equity["position_1e8"] = np.clip(np.cumsum(draw.integers(-1, 2, seconds)), -6, 6) * 10**6
    placed = 400
    orders = np.zeros(placed, ORDER_LOG)
    at = np.sort(draw.integers(0, seconds - 5, placed))
    orders["decided_ns"] = START_NS + at * SECOND
    orders["arrived_ns"] = orders["decided_ns"] + draw.lognormal(13.8, 0.5, placed).astype(np.int64)
    orders["done_ns"] = orders["arrived_ns"] + draw.lognormal(20.5, 1.5, placed).astype(np.int64)
    orders["kind"] = draw.integers(0, 3, placed)
    orders["side"] = draw.choice([-1, 1], placed)
    orders["px_1e9"] = equity["mid_1e9"][at] - orders["side"] * 500 * 10**6
    log = np.zeros(fills, FILL_LOG)
    when = np.sort(draw.integers(0, seconds - 12, fills))
    log["exchange_ns"] = START_NS + when * SECOND
    log["side"] = draw.choice([-1, 1], fills)
    log["mid_1e9"] = equity["mid_1e9"][when]
    log["px_1e9"] = log["mid_1e9"] - log["side"] * 300 * 10**6
    for name, after in (("mid_100ms_1e9", 0), ("mid_1s_1e9", 1), ("mid_10s_1e9", 10)):
        log[name] = equity["mid_1e9"][when + after]
    log["qty_1e8"], log["fee_1e9"] = 10**6, 6 * 10**7
    log["reason"] = draw.choice([0, 0, 0, 1, 2, TAKER], fills)
    log["queue_ahead_1e8"] = draw.integers(0, 10**9, fills)
    return {"fills": log, "orders": orders, "equity": equity}


EDGE_METRICS: dict[str, Any] = {
    "traps": 0,
    "risk_breaches": 0,
    "rejects": 3,
    "rejects_post_only": 3,
    "net_pnl_1e9": -24_512_000_000,
    "gross_pnl_1e9": -18_112_000_000,
    "spread_pnl_1e9": 31_400_000_000,
    "inventory_pnl_1e9": -49_512_000_000,
    "fees_1e9": 6_400_000_000,
    "return_bps": -2.4512,
    "sharpe": -11.2,
    "max_drawdown_1e9": 61_000_000_000,
    "max_drawdown_pct": 0.061,
    "max_abs_position_1e8": 6_000_000,
    "fills": 90,
    "maker_fills": 77,
    "order_to_trade": 14.2,
    "quote_uptime": 0.93,
    "markout_100ms_bps": 0.41,
    "markout_1s_bps": 0.22,
    "markout_10s_bps": -0.35,
    "callbacks": 345_678,
    "fuel_p50": 8_412,
    "fuel_p99": 61_344,
    "fuel_max": 240_981,
    "band_models": 7,
    "band_net_pnl_1e9_low": -31_000_000_000,
    "band_net_pnl_1e9_high": 12_000_000_000,
    "band_fills_low": 71,
    "band_fills_high": 211,
    "band_return_bps_low": -3.1,
    "band_return_bps_high": 1.2,
    "tape_crossed_books": 0,
}
LIMITS = {"fuel_p99": 1_000_000.0}
MARKETS = [("BTC-USD", "gdax")]


def record_of(
    evaluation: Evaluation, outputs: dict[str, bytes], kind: str, judged: Judgement | None = PASS
) -> Recorded:
    markets = MARKETS if kind == "edge" else [("BTC-USD", name) for name in ("gdax", "kraken", "bitstamp", "gemini")]
    logs = {name: read_log(content) for name, content in outputs.items()}
    return Recorded(evaluation, judged, logs, kind, markets, LIMITS, title_of(evaluation, markets))


def replay(seed: int = 1, judged: Judgement | None = PASS, **changes: Any) -> Recorded:
    outputs = {name: parquet(rows) for name, rows in edge_logs(seed=seed).items()}
    metrics = EDGE_METRICS | changes.pop("metrics", {})
    return record_of(evaluation_of("replay", metrics, **changes), outputs, "edge", judged)


def pair_of_equities(names: tuple[str, str]) -> tuple[dict[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    mine, other = edge_logs(seed=1), edge_logs(seed=2, fills=70)
    rows = np.zeros(len(mine["equity"]), [("at_ns", "<i8"), (names[0], "<i8"), (names[1], "<i8")])
    rows["at_ns"] = mine["equity"]["exchange_ns"]
    for name, logs in zip(names, (mine, other), strict=True):
        rows[name] = np.diff(logs["equity"]["equity_1e9"], prepend=0)
    return other, rows


def shadow() -> Recorded:
    incumbent, differences = pair_of_equities(("candidate_1e9", "incumbent_1e9"))
    logs = edge_logs(seed=1) | {f"incumbent_{name}": rows for name, rows in incumbent.items()}
    whole = int((differences["candidate_1e9"] - differences["incumbent_1e9"]).sum())
    metrics = EDGE_METRICS | {
        "pnl_diff_1e9": whole,
        **bounded("pnl_diff_bps", whole / CAPITAL * 1e4, 1.1),
        "comparison": 1 if whole / CAPITAL * 1e4 > 2.2 else 0,
        "detectable_diff_bps": 3.61,
        "action_agreement": 0.62,
        "inventory_overlap": 0.41,
        "compared_intervals": 1_200,
        "look": 2,
        "block_length": 14,
        "bootstrap_draws": 2_000,
        "probabilistic_sharpe": 0.81,
        "deflated_sharpe": 0.55,
        "trials": 6,
        "min_track_s": 86_400.0,
        "incumbent_net_pnl_1e9": -30_000_000_000,
        "incumbent_return_bps": -3.0,
        "incumbent_fills": 70,
        "incumbent_sharpe": None,
        "incumbent_max_drawdown_pct": 0.08,
    }
    outputs = {name: parquet(rows) for name, rows in {**logs, "differences": differences}.items()}
    return record_of(evaluation_of("shadow", metrics), outputs, "edge")


EVENTS = np.array(
    [(START_NS, 0), (START_NS + 400 * SECOND, 2), (START_NS + 460 * SECOND, 3), (START_NS + 900 * SECOND, 4)],
    [("at_ns", "<i8"), ("kind", "<i4")],
)


def live_review(gaps: int = 0) -> Recorded:
    twin, differences = pair_of_equities(("realised_1e9", "twin_1e9"))
    logs = edge_logs(seed=1) | {f"twin_{name}": rows for name, rows in twin.items()}
    metrics = EDGE_METRICS | {
        "pnl_drift_1e9": -5_512_000_000,
        **bounded("pnl_drift_bps", -0.55, 0.4),
        "fill_match": 0.87,
        **bounded("slippage_bps", 0.12, 0.05),
        "markout_drift_1s_bps": -0.04,
        "halts": 1,
        "limit_breaches": 1,
        "recording_gaps": gaps,
        "twin_net_pnl_1e9": -19_000_000_000,
        "twin_fills": 70,
        "block_length": 9,
        "bootstrap_draws": 2_000,
        "look": 1,
    }
    outputs = {name: parquet(rows) for name, rows in {**logs, "differences": differences}.items()}
    matches = np.zeros(60, [("realised_row", "<i8"), ("twin_row", "<i8"), ("qty_1e8", "<i8")])
    matches["realised_row"] = matches["twin_row"] = np.arange(60)
    outputs["matches"] = parquet(matches)
    outputs["events"] = parquet(EVENTS, detail=["", "by the desk", "", "daily loss"])
    return record_of(evaluation_of("live-review", metrics), outputs, "edge", None)


def policy_review(bundle_kind: str = "sor", gaps: int = 0) -> Recorded:
    draw, parents = np.random.default_rng(6), 400
    names = ("arrival_ns", "qty_1e8", "filled_1e8", "twin_filled_1e8", "arrival_mid_1e9", "end_mid_1e9", "notional_1e9")
    costs = ("shortfall_1e9", "fees_1e9", "opportunity_1e9", "twin_shortfall_1e9")
    rows = np.zeros(parents, [*((name, "<i8") for name in (*names, *costs)), ("side", "<i4"), ("fills", "<i4")])
    rows["arrival_ns"] = START_NS + np.sort(draw.integers(0, 1_200, parents)) * SECOND
    rows["qty_1e8"] = rows["filled_1e8"] = draw.lognormal(18.4, 1.2, parents).astype(np.int64)
    rows["notional_1e9"] = rows["qty_1e8"] * 6_250 * 10
    rows["side"] = draw.choice([-1, 1], parents)
    rows["twin_shortfall_1e9"] = (rows["notional_1e9"] * draw.normal(2.5, 1.0, parents) / 1e4).astype(np.int64)
    rows["fees_1e9"] = rows["notional_1e9"] // 10_000
    more = (rows["notional_1e9"] * draw.normal(0.2, 0.6, parents) / 1e4).astype(np.int64)
    rows["shortfall_1e9"] = rows["twin_shortfall_1e9"] + more
    children = np.zeros(
        3 * parents,
        [
            ("at_ns", "<i8"),
            ("parent", "<i4"),
            ("venue", "<i2"),
            ("px_1e9", "<i8"),
            ("qty_1e8", "<i8"),
            ("fee_1e9", "<i8"),
        ],
    )
    children["venue"] = draw.integers(0, 3, len(children))
    children["px_1e9"], children["qty_1e8"], children["fee_1e9"] = 6_250 * 10**9, 10**6, 6_250 * 10**3
    metrics = {
        "parents": parents,
        "fill_ratio": 1.0,
        **bounded("implementation_shortfall_bps", 2.7, 0.1),
        **bounded("shortfall_drift_bps", 0.2, 0.04),
        "twin_implementation_shortfall_bps": 2.5,
        "twin_fill_ratio": 1.0,
        "halts": 1,
        "limit_breaches": 1,
        "recording_gaps": gaps,
        "block_length": 4,
        "look": 1,
    }
    outputs = {
        "parents": parquet(rows, parent_id=[f"P{n:06d}" for n in range(parents)]),
        "children": parquet(children),
        "events": parquet(EVENTS, detail=["", "by the desk", "", "daily loss"]),
    }
    return record_of(evaluation_of("live-review", metrics), outputs, bundle_kind)


def sor(kind: str = "replay", seed: int = 3, parents: int = 2_000, **changes: Any) -> Recorded:
    draw = np.random.default_rng(seed)
    names = [
        *("arrival_ns", "qty_1e8", "filled_1e8", "arrival_mid_1e9", "notional_1e9", "shortfall_1e9", "spread_1e9"),
        *("impact_1e9", "fees_1e9", "delay_1e9", "opportunity_1e9"),
        *("twap_1e9", "vwap_1e9", "best_venue_1e9", "oracle_1e9"),
    ]
    rows = np.zeros(
        parents,
        [
            *((name, "<i8") for name in names),
            ("side", "<i4"),
            ("children", "<i4"),
            ("rejects", "<i4"),
            ("version", "<i4"),
        ],
    )
    rows["arrival_ns"] = START_NS + np.sort(draw.integers(0, 1_200, parents)) * SECOND
    rows["qty_1e8"] = draw.lognormal(18.4, 1.2, parents).astype(np.int64)
    rows["filled_1e8"] = np.where(draw.random(parents) < 0.93, rows["qty_1e8"], rows["qty_1e8"] // 2)
    rows["arrival_mid_1e9"], rows["side"] = 6_250 * 10**9, draw.choice([-1, 1], parents)
    rows["notional_1e9"] = rows["qty_1e8"] * 6_250 * 10
    for name, mean, spread in (
        ("spread_1e9", 0.8, 0.3),
        ("impact_1e9", 0.6, 0.5),
        ("fees_1e9", 1.2, 0.2),
        ("delay_1e9", 0.1, 1.4),
        ("opportunity_1e9", 0.2, 0.8),
    ):
        rows[name] = (rows["notional_1e9"] * draw.normal(mean, spread, parents) / 1e4).astype(np.int64)
        rows["shortfall_1e9"] += rows[name]
    rows["children"], rows["version"] = draw.integers(1, 9, parents), draw.integers(0, 2, parents)
    whole = rows["notional_1e9"].sum() / 1e4
    costs = {
        metric: float(rows[column].sum() / whole)
        for column, metric in (
            ("spread_1e9", "spread_cost_bps"),
            ("impact_1e9", "market_impact_bps"),
            ("fees_1e9", "fees_bps"),
            ("delay_1e9", "delay_cost_bps"),
            ("opportunity_1e9", "opportunity_cost_bps"),
        )
    }
    metrics: dict[str, Any] = {
        "parents": parents,
        "parents_filled": int((rows["filled_1e8"] == rows["qty_1e8"]).sum()),
        "children": int(rows["children"].sum()),
        "fill_ratio": 0.964,
        **bounded("implementation_shortfall_bps", float(rows["shortfall_1e9"].sum() / whole), 0.09),
        **costs,
        **bounded("savings_vs_arrival_bps", -2.9, 0.1),
        **bounded("savings_vs_twap_bps", 0.7, 0.2),
        **bounded("savings_vs_vwap_bps", 0.1, 0.2),
        **bounded("savings_vs_best_venue_bps", 1.4, 0.3),
        **bounded("savings_vs_oracle_bps", -0.6, 0.1),
        "rejects": 41,
        "stale_venues": 12,
        "partial_fills": 140,
        "risk_breaches": 0,
        "volume_notional_1e9": int(rows["notional_1e9"].sum()),
        "block_length": 20,
        "bootstrap_draws": 2_000,
        "look": 1,
    } | changes.pop("metrics", {})
    count = 4 * parents
    children = np.zeros(
        count,
        [
            ("parent", "<i4"),
            ("slice", "<i4"),
            ("venue", "<i4"),
            ("reason", "<i4"),
            *((name, "<i8") for name in ("sent_ns", "px_1e9", "qty_1e8", "fee_1e9", "mid_1e9", "impact_1e9")),
        ],
    )
    children["venue"] = draw.choice([0, 0, 0, 1, 1, 2], count)
    children["reason"] = draw.choice([0] * 18 + [4, 5], count)
    children["px_1e9"] = 6_250 * 10**9
    children["qty_1e8"] = np.where(children["reason"] >= 4, 0, draw.integers(10**6, 10**8, count))
    children["fee_1e9"] = (children["qty_1e8"] * 6_250 * 10 * (0.00008 + 0.00006 * children["venue"])).astype(np.int64)
    outputs = {"parents": parquet(rows, parent_id=[f"P{n:06d}" for n in range(parents)]), "children": parquet(children)}
    return record_of(evaluation_of(kind, metrics, **changes), outputs, "sor")


def assignment(kind: str = "replay", seed: int = 4, **changes: Any) -> Recorded:
    draw, parents = np.random.default_rng(seed), 1_500
    rows = np.zeros(
        parents,
        [
            ("notional_1e9", "<i8"),
            ("live_venues", "<i4"),
            ("to_sor", "<i1"),
            ("reason", "<i4"),
            ("edge_cost_1e9", "<i8"),
            ("sor_cost_1e9", "<i8"),
            ("cost_1e9", "<i8"),
        ],
    )
    rows["notional_1e9"] = draw.lognormal(30, 1.0, parents).astype(np.int64)
    size = rows["notional_1e9"] / np.median(rows["notional_1e9"])
    rows["edge_cost_1e9"] = (rows["notional_1e9"] * (1.0 + 0.8 * size + draw.normal(0, 0.7, parents)) / 1e4).astype(
        np.int64
    )
    rows["sor_cost_1e9"] = (rows["notional_1e9"] * (1.9 + 0.2 * size + draw.normal(0, 0.5, parents)) / 1e4).astype(
        np.int64
    )
    rows["to_sor"] = size > 1.3
    rows["cost_1e9"] = np.where(rows["to_sor"] > 0, rows["sor_cost_1e9"], rows["edge_cost_1e9"])
    to_sor = int(rows["to_sor"].sum())
    metrics: dict[str, Any] = {
        "parents": parents,
        "fill_ratio": 0.99,
        "risk_breaches": 0,
        "sent_to_edge": parents - to_sor,
        "sent_to_sor": to_sor,
        "assigned_below_edge_threshold": parents - to_sor - 40,
        "assigned_too_few_venues": 40,
        "assigned_above_sor_threshold": to_sor,
        **bounded("regret_bps", 0.31, 0.05),
        **bounded("savings_vs_edge_bps", 1.1, 0.4),
        **bounded("savings_vs_sor_bps", 0.2, 0.15),
        **bounded("implementation_shortfall_bps", 2.2, 0.2),
        "block_length": 20,
        "bootstrap_draws": 2_000,
    }
    outputs = {"parents": parquet(rows, parent_id=[f"P{n:06d}" for n in range(parents)])}
    return record_of(evaluation_of(kind, metrics, **changes), outputs, "assignment")
