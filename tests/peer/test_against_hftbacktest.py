"""The same maker here and on hftbacktest over recorded markets: every order ends the same, under every queue model.

`benchmarks/quoter` and `benchmarks/peer/quote.py` decide the same on every packet. The exchange fills whole orders,
which is the one of the peer's two that counts its own positions right. docs/fidelity.md says what is compared.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bundles.errors import UnreachableError
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.toolchain import build_wasm, find_toolchain
from evals.market.binance import import_binance
from evals.market.gdax import import_gdax
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, Events
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay
from sequence.sample import BOOK, MESSAGES, fetch_sample

ROOT = Path(__file__).parents[2]
RAW = Path(os.environ.get("MARKET_DATA_RAW", ROOT.parent / "shared" / "market-data" / "raw"))
MODELS = [
    ("risk_averse", 3),
    ("log", 3),
    ("log_total", 3),
    *((model, n) for model in ("power", "power_total", "power_front") for n in (2, 3)),
]
BELOW_ZERO = ("log", "power_total")
"""Models under which the peer's size ahead falls below zero on these tapes."""
OFFSETS = (0, 2)
LATENCY_NS = 1_000_000
LIMIT_LOTS = 3


class End(NamedTuple):
    """How an order ended; ``filled_ns`` is 0 without a fill."""

    px_ticks: int
    side: int
    sent_ns: int
    filled_lots: int
    filled_ns: int


class Market(NamedTuple):
    """A tape whose packets have receive times of their own, and what the peer made of it by run."""

    tape: Tape
    peer: Any


def run_name(model: str, exponent: int, offset: int) -> str:
    return f"{model}-{exponent}-{offset}"


def gdax() -> Tape:
    """Return the tape that the demo runs on; the size of an order is one lot, the smallest unit."""
    recorded = RAW / "gdax-btcusd-l3-2018-07-13"
    if recorded.is_dir():
        folder = ROOT / ".cache" / "peer"
        folder.mkdir(parents=True, exist_ok=True)
        for name in (BOOK, MESSAGES):
            with gzip.open(recorded / f"{name}.gz") as packed, (folder / name).open("wb") as plain:
                shutil.copyfileobj(packed, plain)
        return import_gdax(folder / BOOK, folder / MESSAGES)
    try:
        return import_gdax(*fetch_sample(ROOT / ".cache" / "sample"))
    except UnreachableError as error:
        pytest.skip(f"the GDAX sample cannot be had: {error}")


def spot() -> Tape:
    if not RAW.is_dir():
        pytest.skip(f"the recorded samples are not at {RAW}; MARKET_DATA_RAW may name another folder")
    days = ("spot_btcusdt_20240808", "spot_btcusdt_20240809")
    return import_binance([RAW / "binance-2024-08-08" / f"{day}.gz" for day in days], market="spot")


def with_times_apart(events: Events) -> Events:
    """Return events with packets at least a nanosecond apart: the peer shows all packets of one time at once."""
    apart = events.copy()
    last = apart["flags"] & LAST_OF_PACKET != 0
    received = apart["receive_ns"][last]
    count = np.arange(len(received))
    received = np.maximum.accumulate(received - count) + count
    apart["receive_ns"] = received[np.concatenate([[0], np.cumsum(last)[:-1]])]
    return apart


@pytest.fixture(scope="module", params=[gdax, spot], ids=["gdax", "binance-spot"])
def market(
    request: pytest.FixtureRequest, in_peer: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Market:
    recorded: Tape = request.param()
    instrument = recorded.info.instrument.model_copy(update={"min_qty_1e8": 0, "min_notional_1e9": 0})
    tape = Tape(with_times_apart(recorded.events), recorded.info.model_copy(update={"instrument": instrument}))
    folder = tmp_path_factory.mktemp("peer")
    np.save(folder / "tape.npy", tape.events)
    facts = json.dumps({"tick_size_1e9": instrument.tick_size_1e9, "lot_size_1e8": instrument.lot_size_1e8})
    fixed = ["--qty-lots", "1", "--limit-lots", str(LIMIT_LOTS), "--latency-ns", str(LATENCY_NS)]
    fixed += ["--exchange", "whole", "--depth", "hashmap", "--log-rows", "100000"]
    runs = {
        run_name(model, n, offset): [
            *(str(folder / "tape.npy"), facts, *fixed),
            *("--queue-model", model, "--queue-exponent", str(n), "--offset-ticks", str(offset)),
        ]
        for model, n in MODELS
        for offset in OFFSETS
    }
    (folder / "runs.json").write_text(json.dumps(runs))
    in_peer("many.py", folder / "runs.json", folder / "found.npz")
    return Market(tape, np.load(folder / "found.npz"))


@pytest.fixture(scope="module")
def quoter() -> bytes:
    environ = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / ".cache/target")}
    return build_wasm(ROOT / "benchmarks/quoter", find_toolchain(), environ=environ).read_bytes()


def replayed(quoter: bytes, tape: Tape, model: str, exponent: int, offset: int) -> ReplayResult:
    lot = tape.info.instrument.lot_size_1e8
    # The quoter reads the spread as a number of ticks. Zero, at the best price, is nothing that the model lets pass.
    config = MmConfig(quote_size_1e8=lot, max_position_1e8=LIMIT_LOTS * lot).model_copy(
        update={"min_spread_bps": offset}
    )
    return run_replay(
        quoter,
        tape,
        config=config,
        risk=MmRiskLimits(max_position_1e8=10**15, max_order_notional_1e9=10**18, max_order_rate=10**6),
        settings=ReplaySettings(queue_model=model, queue_exponent=exponent, partial_fills=False, off_market_bps=0),
    )


def our_ends(result: ReplayResult, tape: Tape) -> dict[int, End]:
    instrument = tape.info.instrument
    filled_ns = dict(zip(result.fills["order_id"].tolist(), result.fills["exchange_ns"].tolist(), strict=True))
    return {
        int(o["order_id"]): End(
            int(o["px_1e9"]) // instrument.tick_size_1e9,
            int(o["side"]),
            int(o["decided_ns"]),
            int(o["filled_1e8"]) // instrument.lot_size_1e8,
            filled_ns.get(int(o["order_id"]), 0),
        )
        for o in result.orders[result.orders["kind"] == 0]
    }


def their_ends(log: Any) -> dict[int, End]:
    return {
        int(o["order_id"]): End(
            int(o["price_tick"]),
            1 - 2 * int(o["side"]),
            int(o["sent_ns"]),
            1 - int(o["leaves_lots"]),
            0 if o["leaves_lots"] else int(o["exchange_ns"]),
        )
        for o in log
    }


def share_behind(model: str, exponent: int, ahead: float, behind: float) -> float:
    """Return the share of cancelled size that the peer takes to have stood behind us; NaN where it has none."""
    if model == "log":
        if ahead <= -1:
            return math.nan
        return math.log(1 + behind) / (math.log(1 + behind) + math.log(1 + ahead))
    return float((behind / (behind + ahead)) ** exponent)


def reached(market: Tape, order: End, until_ns: int, model: str, exponent: int, floor: float) -> bool:
    """Return whether a trade at an order's price reaches it just then, by the peer's formula in plain Python.

    ``floor`` is the least that can stand ahead after a level: 0 here, nothing there.
    """
    events, instrument = market.events, market.info.instrument
    level, trade = (BID, SELL_TRADE) if order.side > 0 else (ASK, BUY_TRADE)
    kind = events["kind"]
    here = events["px_1e9"] == order.px_ticks * instrument.tick_size_1e9
    rows = events[((kind == level) | (kind == trade)) & here | (kind == CLEAR)]
    size, ahead, traded = 0.0, math.nan, 0.0
    for row in rows[np.argsort(rows["exchange_ns"], kind="stable")]:
        if row["exchange_ns"] > until_ns:
            break
        rests = row["exchange_ns"] > order.sent_ns + LATENCY_NS
        if rests and math.isnan(ahead):
            ahead = size
        qty = int(row["sz_1e8"]) / 1e8
        if row["kind"] == CLEAR:
            size = 0.0
        elif row["kind"] == trade:
            ahead, traded = (ahead - qty, traded + qty) if rests else (ahead, 0.0)
            if ahead <= -instrument.lot_size_1e8 / 2e8:
                return int(row["exchange_ns"]) == until_ns
        else:
            cancelled = size - qty - traded
            if rests and cancelled > 0:
                behind = size - ahead
                share = share_behind(model, exponent, ahead, behind)
                ahead -= (1 - share) * cancelled
                ahead += min(behind - share * cancelled, 0)
            ahead = qty if math.isnan(ahead) and rests else max(min(ahead, qty), floor)
            traded, size = 0.0, qty
    return False


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize(("model", "exponent"), MODELS)
def test_every_order_ends_as_at_the_peer(market: Market, quoter: bytes, model: str, exponent: int, offset: int) -> None:
    tape, peer = market
    result = replayed(quoter, tape, model, exponent, offset)
    assert result.status == "completed"
    name = run_name(model, exponent, offset)
    ours, theirs = our_ends(result, tape), their_ends(peer[name])
    assert len(theirs) > 50
    assert sum(end.filled_lots for end in theirs.values()) >= 10
    different = {oid: end for oid, end in theirs.items() if ours.get(oid) != end}
    if different and model in BELOW_ZERO:
        # From the first difference on the two decide on different positions, so only the first one tells anything.
        filled_ns = {
            oid: min(ns for ns in (ours[oid].filled_ns, end.filled_ns) if ns)
            for oid, end in different.items()
            if oid in ours and ours[oid][:3] == end[:3] and (ours[oid].filled_ns or end.filled_ns)
        }
        first = min(filled_ns, key=lambda oid: (filled_ns[oid], oid))
        at_ns = filled_ns[first]
        for end, floor in ((ours[first], 0.0), (theirs[first], -math.inf)):
            filled_then = reached(tape, end, at_ns, model, exponent, floor)
            assert filled_then == (end.filled_ns == at_ns), f"order {first}: {end}, least ahead {floor}"
        return
    assert not different
    orders, position_lots = peer[f"{name}.totals"].tolist()
    assert len(ours) == orders
    assert result.metrics["final_position_1e8"] == position_lots * tape.info.instrument.lot_size_1e8
    assert len(result.fills) - sum(end.filled_lots for end in theirs.values()) in (0, 1, 2), (
        "those in flight at the end"
    )
