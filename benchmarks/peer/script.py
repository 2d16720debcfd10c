"""Scripts of orders on hftbacktest over tapes of a few rows, in one process.

    .venv-peer/bin/python benchmarks/peer/script.py CASES.json > FOUND.json

A case has ``rows`` (exchange_ns, receive_ns, kind, px_1e9, sz_1e8, flags of a tape), ``script`` (by number of the
packet: order id, px_1e9, qty_1e8, side, kind, order type of the project's SDK), ``tick_size_1e9``, ``lot_size_1e8``
and what else differs from the defaults of `quote.py`'s command line. For each case it prints ``fills`` (order id,
px_1e9, qty_1e8, exchange_ns), ``seen`` (the best bid at each packet), ``position_lots`` as the peer counts it, and
``code``: its answer to the last step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from convert import convert, packet_times
from hftbacktest.order import FOK, GTC, GTX, IOC, LIMIT, MARKET
from quote import backtest, options_of

_TAPE = np.dtype([(n, np.int64) for n in ("exchange_ns", "receive_ns", "kind", "px_1e9", "sz_1e8", "flags")])
_CANCEL, _AMEND = 1, 2
_TYPES = [
    (GTC, LIMIT),
    (GTC, MARKET),
    (IOC, LIMIT),
    (FOK, LIMIT),
    (GTX, LIMIT),
]
"""The peer's time in force and order type by the SDK's order type."""


def send(hbt: Any, action: list[int], lot: float) -> None:
    """Send one action."""
    order_id, px_1e9, qty_1e8, side, kind, order_type = action
    px, qty = px_1e9 / 1e9, round(qty_1e8 / 1e8 / lot) * lot
    if kind == _CANCEL:
        hbt.cancel(0, order_id, False)
    elif kind == _AMEND:
        hbt.modify(0, order_id, px, qty, False)
    else:
        submit = hbt.submit_buy_order if side > 0 else hbt.submit_sell_order
        submit(0, order_id, px, qty, *_TYPES[order_type], False)


def play(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case, a nanosecond at a time so that no fill hides behind the next."""
    rows = np.array([tuple(row) for row in case["rows"]], _TAPE)
    lot, tick = case["lot_size_1e8"] / 1e8, case["tick_size_1e9"] / 1e9
    options = options_of(["", "", "--qty-lots", "1", "--limit-lots", "1", "--depth", "hashmap", *case["options"]])
    # The peer reads the array where it lies: it must live as long.
    events = convert(rows)
    hbt = backtest(events, case, options)
    due = dict(enumerate(packet_times(rows).tolist()))
    left: dict[int, float] = {}
    fills, seen = [], []
    code = hbt.elapse(0)
    while code == 0:
        orders = hbt.orders(0)
        for order_id in sorted(left):
            order = orders.get(order_id)
            if order is not None and order.status != 0:
                filled = round((left[order_id] - order.leaves_qty) * 1e8)
                if filled > 0:
                    px_1e9 = round(order.exec_price_tick * tick * 1e9)
                    fills.append((order_id, px_1e9, filled, order.exch_timestamp))
                left[order_id] = order.leaves_qty
        if not due and hbt.current_timestamp > case["until_ns"]:
            break
        for packet in [n for n, at_ns in due.items() if at_ns <= hbt.current_timestamp]:
            del due[packet]
            seen.append(round(hbt.depth(0).best_bid_tick * tick * 1e9))
            for action in case["script"].get(str(packet), ()):
                send(hbt, action, lot)
                if action[4] != _CANCEL:
                    left[action[0]] = action[2] / 1e8 if action[0] not in left else left[action[0]]
        code = hbt.elapse(1)
    found = {
        "fills": fills,
        "seen": seen,
        "position_lots": round(hbt.state_values(0).position / lot),
        "code": code,
    }
    hbt.close()
    return found


def main() -> None:
    """Play all cases."""
    cases = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps({name: play(case) for name, case in cases.items()}))


if __name__ == "__main__":
    main()
