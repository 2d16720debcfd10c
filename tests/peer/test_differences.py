"""Where this engine and hftbacktest differ by definition, each on a tape of a few rows; and where they agree.

The tables of docs/fidelity.md name the cases.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evals.market.schema import ASK, BID, CLEAR, SELL_TRADE
from evals.replay import ReplayResult
from evals.wasm import abi
from tests.evals.conftest import START_NS, UNIT_PX, UNIT_SZ, Action, events_of, pack_actions

LIMIT, MARKET, IOC, FOK, POST_ONLY = range(5)
NEW, CANCEL, AMEND = range(3)

Row = tuple[Any, ...]
Fill = tuple[int, float, float, int]
"""order id, price, quantity, exchange time."""

BOOK: list[Row] = [
    (0, 0, BID, 99, 5, False),
    (0, 0, BID, 98, 5, False),
    (0, 0, ASK, 102, 2, False),
    (0, 0, ASK, 103, 4, True),
]
"""98/5 99/5 | 102/2 103/4 at time 0: one packet. Orders sent then arrive at 10."""


@dataclass(frozen=True)
class Case:
    """A tape, a script by packet, and the fills on either side."""

    rows: Sequence[Row]
    script: Mapping[int, Sequence[Action]]
    ours: Sequence[Fill]
    theirs: Sequence[Fill]
    whole: bool = False
    """Whether the exchange knows no partial fills."""
    queue: tuple[str, int] = ("risk_averse", 3)
    settings: Mapping[str, Any] = field(default_factory=dict)
    code: int = 1
    """The peer's answer to its last step: 1 is the end of the data."""
    position_lots: int | None = None
    """The peer's own count of the position, where it is not what was filled."""


def order(oid: int, side: int, px: float, qty: float, order_type: int = POST_ONLY, kind: int = NEW) -> Action:
    return (oid, round(px * UNIT_PX), round(qty * UNIT_SZ), side, kind, order_type)


def at(at_ns: int, kind: int, px: int, sz: int, *, last: bool = True) -> Row:
    """Return a row that is received when it happens."""
    return (at_ns, at_ns, kind, px, sz, last)


def tick(at_ns: int) -> Row:
    """Return a packet that changes nothing near the top."""
    return at(at_ns, BID, 90, 1 + at_ns % 7)


def agreed(*fills: Fill) -> dict[str, Sequence[Fill]]:
    return {"ours": fills, "theirs": fills}


BUY_3_AT_99 = {0: [order(1, 1, 99, 3)]}
TWO_BUYS = {0: [order(1, 1, 99, 1), order(2, 1, 98, 1)]}

CASES = {
    # --- agreed ---
    "a queue at one price": Case(
        [*BOOK, at(100, SELL_TRADE, 99, 4), at(200, BID, 99, 1), at(300, SELL_TRADE, 99, 3), tick(400)],
        BUY_3_AT_99,
        **agreed((1, 99, 2, 300)),
    ),
    "whole fills: a queue at one price": Case(
        [*BOOK, at(100, SELL_TRADE, 99, 4), at(200, BID, 99, 1), at(300, SELL_TRADE, 99, 3), tick(400)],
        BUY_3_AT_99,
        whole=True,
        **agreed((1, 99, 3, 300)),
    ),
    "whole fills: every order that a trade reaches": Case(
        [*BOOK, at(100, SELL_TRADE, 97, 1), tick(200)],
        {0: [order(1, 1, 99, 2), order(2, 1, 98, 2)]},
        whole=True,
        **agreed((1, 99, 2, 100), (2, 98, 2, 100)),
    ),
    "whole fills: a level that is reached": Case(
        [*BOOK, at(100, BID, 101, 1), tick(200)],
        {0: [order(1, -1, 101, 3)]},
        whole=True,
        **agreed((1, 101, 3, 100)),
    ),
    "whole fills: a crossing order": Case(
        [*BOOK, tick(200)],
        {0: [order(1, 1, 103, 9, LIMIT)]},
        whole=True,
        **agreed((1, 102, 9, 10)),
    ),
    "the queue stays when the tape clears its book": Case(
        [
            *BOOK,
            at(100, CLEAR, 0, 0, last=False),
            at(100, BID, 99, 8, last=False),
            at(100, ASK, 102, 2),
            at(200, SELL_TRADE, 99, 6),
            tick(300),
        ],
        BUY_3_AT_99,
        **agreed((1, 99, 1, 200)),
    ),
    "fills are whole lots when what stands ahead is not": Case(
        # Behind 6, ahead 4: of 3 that cancel 36/52 do so behind. 3.08 stay ahead, of a trade of 4 reaches 0.92.
        [*BOOK, at(50, BID, 99, 4), at(100, BID, 99, 10), at(200, BID, 99, 7), at(300, SELL_TRADE, 99, 4), tick(400)],
        BUY_3_AT_99,
        queue=("power", 2),
        **agreed((1, 99, 1, 300)),
    ),
    # --- different by definition ---
    "a trade through several orders": Case(
        [*BOOK, at(100, SELL_TRADE, 97, 3), tick(200)],
        {0: [order(1, 1, 99, 2), order(2, 1, 98, 2)]},
        ours=[(1, 99, 2, 100), (2, 98, 1, 100)],
        theirs=[(1, 99, 2, 100), (2, 98, 2, 100)],
    ),
    "a trade that two orders share": Case(
        [*BOOK, at(100, SELL_TRADE, 99, 7), tick(200)],
        {0: [order(1, 1, 99, 3), order(2, 1, 99, 3)]},
        ours=[(1, 99, 2, 100)],
        theirs=[(1, 99, 2, 100), (2, 99, 2, 100)],
    ),
    "a level fills what came to it": Case(
        [*BOOK, at(100, BID, 101, 1), at(200, BID, 101, 2), tick(300)],
        {0: [order(1, -1, 101, 3)]},
        ours=[(1, 101, 1, 100), (1, 101, 1, 200)],
        theirs=[(1, 101, 3, 100)],
    ),
    "what was taken is gone until the tape restates it": Case(
        [*BOOK, tick(100), at(200, ASK, 102, 2), tick(300), tick(400)],
        {0: [order(1, 1, 102, 2, IOC)], 1: [order(2, 1, 102, 1, IOC)], 3: [order(3, 1, 102, 1, IOC)]},
        ours=[(1, 102, 2, 10), (3, 102, 1, 310)],
        theirs=[(1, 102, 2, 10), (2, 102, 1, 110), (3, 102, 1, 310)],
    ),
    "a post-only order where everything was taken, and a level that grows without being the new best": Case(
        [*BOOK, tick(100), at(200, BID, 99, 7), tick(300)],
        {0: [order(1, -1, 99, 5, IOC)], 1: [order(2, -1, 99, 1)]},
        ours=[(1, 99, 5, 10), (2, 99, 1, 200)],
        theirs=[(1, 99, 5, 10)],
    ),
    "a limit order that crosses": Case(
        [*BOOK, tick(100), at(200, SELL_TRADE, 102, 3), tick(300)],
        {0: [order(1, 1, 102, 3, LIMIT)]},
        ours=[(1, 102, 2, 10), (1, 102, 1, 200)],
        theirs=[(1, 102, 3, 10)],
    ),
    "a market order finds levels however far": Case(
        [*BOOK, at(1, ASK, 103, 0), at(2, ASK, 302, 4), tick(100)],
        {0: [order(1, 1, 0, 3, MARKET)]},
        ours=[(1, 102, 2, 10), (1, 302, 1, 10)],
        theirs=[(1, 102, 2, 10)],
    ),
    "a queue that the peer counts below zero": Case(
        # Ahead 1, behind 99; 50 cancel. By the peer ln(100) / (ln(100) + ln(2)) of them did behind: 5.5 ahead of 1.
        [*BOOK, at(5, BID, 99, 1), at(50, BID, 99, 100), at(100, BID, 99, 50), at(200, SELL_TRADE, 99, 1), tick(300)],
        {0: [order(1, 1, 99, 9)]},
        queue=("log", 3),
        ours=[(1, 99, 1, 200)],
        theirs=[(1, 99, 7, 200)],
    ),
    "whole fills: a queue below zero starts anew at the level's size": Case(
        [
            *[*BOOK, at(5, BID, 99, 1), at(50, BID, 99, 100), at(100, BID, 99, 50), at(150, BID, 99, 40)],
            *[at(200, SELL_TRADE, 99, 1), tick(300)],
        ],
        {0: [order(1, 1, 99, 9)]},
        whole=True,
        queue=("log", 3),
        ours=[(1, 99, 9, 200)],
        theirs=[],
    ),
    "whole fills: the same in the power family": Case(
        [
            *[*BOOK, at(5, BID, 99, 1), at(50, BID, 99, 100), at(100, BID, 99, 50), at(150, BID, 99, 1)],
            *[at(200, SELL_TRADE, 99, 1), tick(300)],
        ],
        {0: [order(1, 1, 99, 9)]},
        whole=True,
        queue=("power_total", 4),
        ours=[(1, 99, 9, 200)],
        theirs=[],
    ),
    "a level before its trade in one packet": Case(
        [*BOOK, at(100, BID, 99, 3, last=False), at(100, SELL_TRADE, 99, 2), at(200, SELL_TRADE, 99, 2), tick(300)],
        BUY_3_AT_99,
        ours=[],
        theirs=[(1, 99, 1, 200)],
    ),
    "a row with an exchange time after its receipt": Case(
        [*BOOK, (200, 150, SELL_TRADE, 98, 1), tick(250)],
        {0: [order(1, 1, 99, 1)], 1: [order(2, 1, 99, 1)]},
        ours=[(1, 99, 1, 150)],
        theirs=[(1, 99, 1, 200), (2, 99, 1, 200)],
    ),
    "levels whose exchange times go back": Case(
        [*BOOK, (100, 110, BID, 99, 4), (90, 120, BID, 99, 1), (200, 210, SELL_TRADE, 99, 2), tick(300)],
        {1: [order(1, 1, 99, 1)]},
        ours=[(1, 99, 1, 200)],
        theirs=[],
    ),
    "an order behind our own after a clear": Case(
        [
            *[*BOOK, at(100, CLEAR, 0, 0, last=False), at(100, BID, 97, 1, last=False), at(100, ASK, 102, 2)],
            *[at(200, SELL_TRADE, 99, 2), tick(300)],
        ],
        {0: [order(1, 1, 99, 1)], 1: [order(2, 1, 99, 1)]},
        whole=True,
        ours=[],
        theirs=[(2, 99, 1, 200)],
    ),
    "an order that meets our own": Case(
        [*BOOK, tick(100), tick(200)],
        {0: [order(1, -1, 101, 1)], 1: [order(2, 1, 102, 1, IOC)]},
        ours=[],
        theirs=[(2, 102, 1, 110)],
    ),
    "a price off the tick": Case(
        [*BOOK, at(100, SELL_TRADE, 98, 1), tick(200)],
        {0: [order(1, 1, 99.4, 1)]},
        ours=[],
        theirs=[(1, 99, 1, 100)],
    ),
    "an amended quantity": Case(
        # Two of five are filled, then the quantity becomes three: one more for us, three more for the peer.
        [*BOOK, at(100, SELL_TRADE, 99, 7), tick(200), at(300, SELL_TRADE, 99, 9), tick(400)],
        {0: [order(1, 1, 99, 5)], 2: [order(1, 1, 99, 3, LIMIT, AMEND)]},
        ours=[(1, 99, 2, 100), (1, 99, 1, 300)],
        theirs=[(1, 99, 2, 100), (1, 99, 3, 300)],
    ),
    "an amended price and quantity": Case(
        [*BOOK, tick(100), at(200, SELL_TRADE, 98, 9), tick(300)],
        {0: [order(1, 1, 97, 1)], 1: [order(1, 1, 98, 3, LIMIT, AMEND)]},
        ours=[(1, 98, 3, 200)],
        theirs=[(1, 98, 1, 200)],
    ),
    "an off-market print": Case(
        [*BOOK, at(100, SELL_TRADE, 50, 9), tick(200)],
        {0: [order(1, 1, 99, 1)]},
        settings={"off_market_bps": 100},
        ours=[],
        theirs=[(1, 99, 1, 100)],
    ),
    "an order that was filled to the last lot": Case(
        [*BOOK, at(100, SELL_TRADE, 99, 8), at(200, SELL_TRADE, 99, 1), tick(300)],
        BUY_3_AT_99,
        code=14,
        **agreed((1, 99, 3, 100)),
    ),
    "a position from partial fills": Case(
        [*BOOK, at(100, SELL_TRADE, 99, 7), at(200, SELL_TRADE, 99, 1), tick(300)],
        BUY_3_AT_99,
        position_lots=1,
        **agreed((1, 99, 2, 100), (1, 99, 1, 200)),
    ),
}


def asked(case: Case) -> dict[str, Any]:
    """Return a case as the peer's driver reads it."""
    columns = ("exchange_ns", "receive_ns", "kind", "px_1e9", "sz_1e8", "flags")
    model, exponent = case.queue
    return {
        "rows": [[int(row[name]) for name in columns] for row in events_of(case.rows)],
        "script": case.script,
        "tick_size_1e9": UNIT_PX,
        "lot_size_1e8": UNIT_SZ,
        "until_ns": START_NS + 10_000,
        "options": [
            *("--latency-ns", "10", "--exchange", "whole" if case.whole else "partial"),
            *("--queue-model", model, "--queue-exponent", str(exponent)),
        ],
    }


PACKETS_OF_ONE_TIME = Case([*BOOK, at(100, BID, 100, 1), at(100, BID, 101, 1), tick(200), tick(300)], {}, [], [])


@pytest.fixture(scope="module")
def peer(in_peer: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the peer makes of every case."""
    path: Path = tmp_path_factory.mktemp("peer") / "cases.json"
    path.write_text(json.dumps({name: asked(case) for name, case in (CASES | {"": PACKETS_OF_ONE_TIME}).items()}))
    found: dict[str, Any] = json.loads(in_peer("script.py", path))
    return found


def test_packets_of_one_time_are_one_decision_each_with_a_book_of_their_own(
    play: Callable[..., ReplayResult], wat: Callable[..., bytes], peer: dict[str, Any]
) -> None:
    """The algo sends a buy at the best bid that it sees, the n-th with the id n."""
    bid = abi.L2_BOOK.fields["bids"][1]
    on_book = f"""
      global.get $calls i32.const 1 i32.add global.set $calls
      i32.const 0x26108 global.get $calls i64.extend_i32_u i64.store
      i32.const 0x26110 local.get 0 i64.load offset={bid} i64.store
      i32.const 0x26100"""
    packed = "".join(f"\\{byte:02x}" for byte in pack_actions([order(1, 1, 1, 1)]))
    algo = wat(on_book, data=f'(data (i32.const 0x26100) "{packed}")')
    result = play(PACKETS_OF_ONE_TIME.rows, algo)
    assert (result.orders["px_1e9"] // UNIT_PX).tolist() == [99, 100, 101, 101, 101]
    assert [px // UNIT_PX for px in peer[""]["seen"]][:4] == [99, 101, 101, 101]


@pytest.mark.parametrize("name", CASES)
def test_each_does_what_is_written(play: Callable[..., ReplayResult], peer: dict[str, Any], name: str) -> None:
    case = CASES[name]
    model, exponent = case.queue
    settings = {"queue_model": model, "queue_exponent": exponent, "partial_fills": not case.whole}
    result = play(case.rows, case.script, **settings | dict(case.settings))
    ours = [(f["order_id"], f["px_1e9"] / UNIT_PX, f["qty_1e8"] / UNIT_SZ, f["exchange_ns"]) for f in result.fills]
    assert result.status == "completed"
    assert [(*fill[:3], int(fill[3]) - START_NS) for fill in ours] == list(case.ours)
    found = peer[name]
    theirs = [(oid, px / UNIT_PX, qty / UNIT_SZ, at_ns - START_NS) for oid, px, qty, at_ns in found["fills"]]
    assert sorted(theirs, key=lambda fill: (fill[3], fill[0])) == list(case.theirs)
    assert found["code"] == case.code
    if case.position_lots is not None:
        assert found["position_lots"] == case.position_lots
