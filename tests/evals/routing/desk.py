"""Small markets for the tests: tapes from a few lines, parents, and models that cost nothing unless told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bundles.routing import ImpactModel, RoutingModel, VenueCosts
from evals.market.schema import ASK, BID, LAST_OF_PACKET, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.tape import Tape
from evals.parents.orders import PARENT, ParentOrders

START_NS = 1_767_225_600 * 10**9
MS, S = 10**6, 10**9
USD, COIN = 10**9, 10**8
FREE: dict[str, Any] = {"latency_ns": 0, "latency_risk_ppm_per_sqrt_ms": 0, "freshness_ppm_per_s": 0}
FREE_V2: dict[str, Any] = {
    "adverse_selection_ppm": 0,
    "reject_ppm": 0,
    "reject_cost_ppm": 0,
    "venue_impact_ppm": 0,
}
NO_IMPACT = ImpactModel(
    form="square-root", daily_volume_1e8=10**15, half_life_ns=None, coefficient_ppm=0, daily_volatility_ppm=0
)


def instrument(venue: str, **facts: Any) -> Instrument:
    return Instrument(
        **{"venue": venue, "symbol": "BTC-USD", "tick_size_1e9": USD // 100, "lot_size_1e8": COIN // 1000} | facts
    )


def tape_of(venue: str, rows: Sequence[tuple[Any, ...]], latency_ns: int = MS, **facts: Any) -> Tape:
    """Return a tape from (received after START_NS, kind, price in USD, size in coins); each row is a packet."""
    events = np.zeros(len(rows), TAPE_DTYPE)
    for event, (at_ns, kind, px, size) in zip(events, rows, strict=True):
        event["receive_ns"] = START_NS + at_ns
        event["exchange_ns"] = START_NS + at_ns - latency_ns
        event["kind"], event["px_1e9"], event["sz_1e8"] = kind, round(px * USD), round(size * COIN)
        event["flags"] = LAST_OF_PACKET
    return Tape(events, TapeInfo(instrument=instrument(venue, **facts), importer="test", importer_version="1"))


def book_rows(bids: dict[float, float], asks: dict[float, float], at_ns: int = 0) -> list[tuple[Any, ...]]:
    return [(at_ns, BID, px, size) for px, size in bids.items()] + [(at_ns, ASK, px, size) for px, size in asks.items()]


def parents_of(*orders: dict[str, Any]) -> ParentOrders:
    """Return parents; quantities and limits in whole coins and USD, times after START_NS."""
    rows = np.zeros(len(orders), PARENT)
    for row, order in zip(rows, orders, strict=True):
        row["side"] = order.get("side", 1)
        row["qty_1e8"] = round(order["qty"] * COIN)
        row["limit_px_1e9"] = round(order.get("limit", 0) * USD)
        row["arrival_ns"] = START_NS + order.get("at", S)
        row["horizon_ns"] = order.get("horizon", 0)
        row["participation_ppm"] = order.get("participation_ppm", 0)
    return ParentOrders("BTC-USD", tuple(f"order-{at}" for at in range(len(orders))), rows)


def model_of(*venues: str, version: str = "V1", costs: dict[str, dict[str, Any]] | None = None, **more: Any) -> Any:
    """Return a routing model; ``costs`` by venue over nothing at all."""
    base = FREE | (FREE_V2 if version != "V1" else {})
    return RoutingModel(
        **{
            "version": version,
            "max_book_age_ns": 3600 * S,
            "venues": tuple(VenueCosts(**{"venue": v} | base | (costs or {}).get(v, {})) for v in venues),
        }
        | ({"prior_orders": 10} if version == "V3" else {})
        | more
    )


def shaken(tape: Tape, venue: str, seed: int, **facts: Any) -> Tape:
    """Return the same market on another venue: sizes differ, and each packet comes a little later."""
    random = np.random.Generator(np.random.PCG64(seed))
    events = tape.events.copy()
    lot = int(tape.info.instrument.lot_size_1e8)
    levels = (events["kind"] <= ASK) & (events["sz_1e8"] > 0)
    events["sz_1e8"][levels] = (
        (events["sz_1e8"][levels] // lot * random.integers(1, 4, levels.sum()) + 1) * lot // 2 // lot * lot
    )
    events["sz_1e8"][levels] = np.maximum(events["sz_1e8"][levels], lot)
    later = int(random.integers(0, 5 * MS))
    events["exchange_ns"] += later
    events["receive_ns"] += later
    info = tape.info.model_copy(
        update={"instrument": tape.info.instrument.model_copy(update={"venue": venue, **facts})}
    )
    return Tape(events, info)
