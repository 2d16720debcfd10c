"""A simple market maker on hftbacktest, decided on every packet, and how fast it runs.

    .venv-peer/bin/python benchmarks/peer/quote.py TAPE.npy '{"tick_size_1e9": 10000000, "lot_size_1e8": 1000}'

TAPE.npy holds rows of a tape (NumPy, the project's TAPE_DTYPE). Prints one JSON object. It runs in the peer's
environment and imports nothing of the project. `benchmarks/quoter/` is the same maker for the project's engine: one
bid and one ask, a fixed number of ticks off the best prices; when the wanted price differs from the working one the
order is cancelled, and a new one sent once the old is known to be gone; no order that could take the position beyond
its limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import hftbacktest as hft
import numpy as np
from convert import convert, packet_times, repeated
from numba import njit
from numpy.typing import NDArray

EXPIRED, FILLED, CANCELED = 2, 3, 4
FIRST_ERROR = 10
NOT_WANTED = -(2**62)

QUEUE_MODELS: dict[str, tuple[Any, bool]] = {
    "risk_averse": (hft.BacktestAsset.risk_adverse_queue_model, False),
    "power": (hft.BacktestAsset.power_prob_queue_model, True),
    "power_total": (hft.BacktestAsset.power_prob_queue_model2, True),
    "power_front": (hft.BacktestAsset.power_prob_queue_model3, True),
    "log": (hft.BacktestAsset.log_prob_queue_model, False),
    "log_total": (hft.BacktestAsset.log_prob_queue_model2, False),
}
"""The peer's queue models by the project's names, and whether each takes an exponent."""

END_LOG = np.dtype(
    [
        ("order_id", np.int64),
        ("price_tick", np.int64),
        ("side", np.int64),
        ("sent_ns", np.int64),
        ("known_gone_ns", np.int64),
        ("exchange_ns", np.int64),
        ("status", np.int64),
        ("leaves_lots", np.int64),
    ]
)
"""One order of the run, written when the maker learns that it is gone."""


@njit
def quote(
    hbt: Any,
    packets_ns: NDArray[np.int64],
    offset_ticks: int,
    qty_lots: int,
    limit_lots: int,
    tick: float,
    lot: float,
    per_packet: bool,
    ends: NDArray[np.void],
) -> tuple[int, int, int, int, int, int]:
    """Run to the end; return the peer's last code, decisions, orders, cancels, position, and rows of the log.

    The position is counted from what is left of our orders: the peer's own one leaves partial fills out.
    """
    depth, orders = hbt.depth(0), hbt.orders(0)
    ids = np.zeros(2, np.int64)
    ticks = np.zeros(2, np.int64)
    left_lots = np.zeros(2, np.int64)
    sent_ns = np.zeros(2, np.int64)
    cancelling = np.zeros(2, np.bool_)
    wanted = np.zeros(2, np.int64)
    acknowledged = np.zeros(2, np.bool_)
    position_lots, next_id, decisions, cancels, ended = 0, 1, 0, 0, 0
    qty = qty_lots * lot
    # Views of the working orders; looked up again whenever the map that holds them may have moved.
    bid_order, ask_order = orders.get(0), orders.get(0)
    code = hbt.elapse(0) if per_packet else 0
    at = 0
    while True:
        if per_packet:
            if at == len(packets_ns):
                break
            code = hbt.elapse(packets_ns[at] - hbt.current_timestamp)
            if code > 1:
                break
            at += 1
        else:
            code = hbt.wait_next_feed(False, 1 << 60)
            if code != 2:
                break
        decisions += 1
        cleared, moved = False, False
        for side in range(2):
            if ids[side] != 0:
                order = bid_order if side == 0 else ask_order
                left = round(order.leaves_qty / lot)
                position_lots += (left_lots[side] - left) * (1 - 2 * side)
                left_lots[side] = left
                status = order.status
                acknowledged[side] = status != 0
                if status in (FILLED, CANCELED, EXPIRED):
                    if ended < len(ends):
                        ends[ended].order_id = ids[side]
                        ends[ended].price_tick = ticks[side]
                        ends[ended].side = side
                        ends[ended].sent_ns = sent_ns[side]
                        ends[ended].known_gone_ns = hbt.current_timestamp
                        ends[ended].exchange_ns = order.exch_timestamp
                        ends[ended].status = status
                        ends[ended].leaves_lots = left
                        ended += 1
                    ids[side] = 0
                    cleared = True
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        whole = bid > -(2**62) and ask < 2**62
        wanted[0] = bid - offset_ticks if whole and position_lots + qty_lots <= limit_lots else NOT_WANTED
        wanted[1] = ask + offset_ticks if whole and position_lots - qty_lots >= -limit_lots else NOT_WANTED
        if cleared:
            hbt.clear_inactive_orders(0)
        for side in range(2):
            if ids[side] != 0:
                if acknowledged[side] and not cancelling[side] and ticks[side] != wanted[side]:
                    hbt.cancel(0, ids[side], False)
                    cancelling[side] = True
                    cancels += 1
            elif wanted[side] != NOT_WANTED:
                ids[side] = next_id
                ticks[side] = wanted[side]
                left_lots[side] = qty_lots
                sent_ns[side] = hbt.current_timestamp
                cancelling[side] = False
                if side == 0:
                    hbt.submit_buy_order(0, next_id, wanted[side] * tick, qty, hft.GTX, hft.LIMIT, False)
                else:
                    hbt.submit_sell_order(0, next_id, wanted[side] * tick, qty, hft.GTX, hft.LIMIT, False)
                next_id += 1
                moved = True
        if cleared or moved:
            bid_order, ask_order = orders.get(ids[0]), orders.get(ids[1])
    return code, decisions, next_id - 1, cancels, position_lots, ended


@njit
def look_only(hbt: Any, packets_ns: NDArray[np.int64]) -> int:
    """Only look at the best prices on every packet: what replaying costs without any order."""
    depth = hbt.depth(0)
    total = 0
    hbt.elapse(0)
    for at in range(len(packets_ns)):
        if hbt.elapse(packets_ns[at] - hbt.current_timestamp) > 1:
            break
        total += depth.best_bid_tick & 1
    return total


def backtest(events: NDArray[np.void], facts: dict[str, Any], options: argparse.Namespace) -> Any:
    """Return a fresh backtest over events."""
    tick, lot = facts["tick_size_1e9"] / 1e9, facts["lot_size_1e8"] / 1e8
    asset = (
        hft.BacktestAsset()
        .data(events)
        .linear_asset(1.0)
        .constant_order_latency(options.latency_ns, options.latency_ns)
        .trading_value_fee_model(facts.get("maker_fee_ppm", 0) / 1e6, facts.get("taker_fee_ppm", 0) / 1e6)
        .tick_size(tick)
        .lot_size(lot)
        .last_trades_capacity(0)
    )
    set_queue, takes_exponent = QUEUE_MODELS[options.queue_model]
    asset = set_queue(asset, float(options.queue_exponent)) if takes_exponent else set_queue(asset)
    asset = asset.partial_fill_exchange() if options.exchange == "partial" else asset.no_partial_fill_exchange()
    if options.depth == "hashmap":
        return hft.HashMapMarketDepthBacktest([asset])
    trades = events["px"][events["ev"] & 0xFF == hft.TRADE_EVENT]
    wide = options.roi_percent / 100
    asset = asset.roi_lb(float(trades.min()) * (1 - wide)).roi_ub(float(trades.max()) * (1 + wide))
    return hft.ROIVectorMarketDepthBacktest([asset])


def main() -> None:
    """Run as the command line says and print what came out."""
    options = options_of()
    facts = json.loads(options.facts)
    tick, lot = facts["tick_size_1e9"] / 1e9, facts["lot_size_1e8"] / 1e8
    rows = np.load(options.tape)
    once, packets_once = convert(rows), packet_times(rows)
    events, packets_ns = repeated(once, packets_once, options.repeat)
    ends = np.zeros(options.log_rows, END_LOG)
    quoting = (options.offset_ticks, options.qty_lots, options.limit_lots, tick, lot, options.drive == "packet", ends)
    wall_s, cpu_s, result = [], [], (0,) * 6
    for turn in range(options.runs + 1):
        # The first turn, over one repetition, is there to compile.
        hbt = backtest(events if turn else once, facts, options)
        began, began_cpu = time.perf_counter(), time.thread_time()
        if options.drive == "look":
            look_only(hbt, packets_ns if turn else packets_once)
        else:
            result = quote(hbt, packets_ns if turn else packets_once, *quoting)
        if turn:
            cpu_s.append(time.thread_time() - began_cpu)
            wall_s.append(time.perf_counter() - began)
        values = hbt.state_values(0)
        account = {name: getattr(values, name) for name in ("position", "balance", "fee", "num_trades")}
        hbt.close()
        if result[0] >= FIRST_ERROR:
            sys.exit(f"the peer broke off with its code {result[0]} after {result[1]} decisions")
    if options.log:
        np.save(options.log, ends[: result[5]])
    tape_rows = len(rows) * options.repeat
    report = {
        "tape_rows": tape_rows,
        "peer_events": len(events),
        "packets": len(packets_ns),
        "wall_s": [round(s, 4) for s in wall_s],
        "cpu_s": [round(s, 4) for s in cpu_s],
        "rows_per_s": round(tape_rows / float(np.median(wall_s))),
        **dict(zip(("decisions", "orders", "cancels", "position_lots"), result[1:5], strict=True)),
        "account": account,
    }
    print(json.dumps(report))


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what a command line says: this process's without one given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tape")
    parser.add_argument("facts", help="instrument facts as JSON")
    parser.add_argument("--depth", choices=("roi", "hashmap"), default="roi")
    parser.add_argument("--roi-percent", type=float, default=2.0, help="how far the book reaches beyond the trades")
    parser.add_argument("--exchange", choices=("partial", "whole"), default="partial")
    parser.add_argument("--queue-model", choices=tuple(QUEUE_MODELS), default="risk_averse")
    parser.add_argument("--queue-exponent", type=int, default=3)
    parser.add_argument("--drive", choices=("packet", "row", "look"), default="packet")
    parser.add_argument("--offset-ticks", type=int, default=1)
    parser.add_argument("--qty-lots", type=int, required=True)
    parser.add_argument("--limit-lots", type=int, required=True)
    parser.add_argument("--latency-ns", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--log", help="write the log of ended orders there (.npy)")
    parser.add_argument("--log-rows", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
