"""Actions that no exchange would take: each is refused and counted, and the run goes on to its end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from evals.engine import layout
from evals.market.schema import ASK, BID
from evals.replay import ReplayResult
from tests.evals.conftest import Action, pack_actions
from tests.evals.hostile.modules import BUY, EMPTY, END_OF_MEMORY, LIST, PX, ROWS, SZ, algo, data, listing, trading

Play = Callable[..., ReplayResult]
INVALID, BAD_VENUE, RISK, POSITION = 2, 105, 100, 101
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
RESTING = (7, 90 * PX, SZ, 1, 0, 0)
"""Rests far below the market."""


def new(order_id: int = 1, px: int = 100 * PX, qty: int = SZ, side: int = 1, order_type: int = 0) -> Action:
    return (order_id, px, qty, side, 0, order_type)


def codes(result: ReplayResult) -> dict[int, int]:
    return dict(Counter(int(code) for code in result.orders["reject_code"] if code >= 0))


def outcomes(result: ReplayResult) -> dict[str, int]:
    return dict(Counter(layout.OUTCOMES[int(outcome)] for outcome in result.orders["outcome"]))


@dataclass(frozen=True)
class Sent:
    """A list of actions at the first book and what is counted."""

    actions: Sequence[Action]
    rejects: dict[int, int]
    fills: int = 0


SENT: dict[str, Sent] = {
    **{f"order type {number}": Sent([new(order_type=number)], {INVALID: 1}) for number in (5, 6, 127, 128, 255)},
    **{f"side {side}": Sent([new(side=side)], {INVALID: 1}) for side in (0, 2, -2, 127, -128)},
    **{f"quantity {qty}": Sent([new(qty=qty)], {INVALID: 1}) for qty in (0, -1, -SZ, SMALLEST, LARGEST, 10**18 + 1)},
    "a quantity off the lot": Sent([new(qty=SZ + 1)], {INVALID: 1}),
    "the largest quantity taken": Sent([new(qty=10**18)], {POSITION: 1}),
    "price 0": Sent([new(px=0)], {INVALID: 1}),
    "the largest unsigned price": Sent([new(px=2**64 - 1)], {INVALID: 1}),
    "the smallest negative price": Sent([new(px=2**63)], {INVALID: 1}),
    "the largest price": Sent([new(px=LARGEST)], {RISK: 1}),
    "the largest price on the tick": Sent([new(px=LARGEST // PX * PX, side=-1)], {RISK: 1}),
    "the largest price and quantity": Sent([new(px=LARGEST, qty=10**15)], {RISK: 1}),
    "a price off the tick": Sent([new(px=100 * PX + 1)], {INVALID: 1}),
    "a market order at a negative price": Sent([new(px=2**64 - 1, order_type=1)], {INVALID: 1}),
    "order id 0 with everything else in order": Sent([new(order_id=0)], {}),
    "the largest order id": Sent([new(order_id=2**64 - 1)], {}),
    "order ids that are equal as signed numbers": Sent([new(order_id=2**63), new(order_id=-(2**63))], {INVALID: 1}),
    "the same order id 16 times": Sent([new()] * 16, {INVALID: 15}),
    "16 different orders": Sent([new(order_id=n) for n in range(1, 17)], {}),
    "an order for another venue": Sent([(1, 100 * PX, SZ, 1, 3, 0)], {BAD_VENUE: 1}),
    "cancels of what never was": Sent([(n, 0, 0, 0, 1, 0) for n in range(1, 17)], {}),
    "16 cancels of the same pending order": Sent([RESTING, *[(7, 0, 0, 0, 1, 0)] * 15], {}),
    "an amend of what never was": Sent([(5, 100 * PX, SZ, 1, 2, 0)], {INVALID: 1}),
    "an amend of an own pending order": Sent([RESTING, (7, 91 * PX, SZ, 1, 2, 0)], {}),
    "15 amends of an own pending order": Sent([RESTING, *[(7, (80 + n) * PX, SZ, 1, 2, 0) for n in range(15)]], {}),
    "an amend to nothing": Sent([RESTING, (7, 91 * PX, 0, 1, 2, 0)], {INVALID: 1}),
    "an amend to a negative price": Sent([RESTING, (7, 2**64 - 1, SZ, 1, 2, 0)], {INVALID: 1}),
    "an amend that turns the side": Sent([RESTING, (7, 91 * PX, SZ, -1, 2, 0)], {}),
    "an amend of what is being cancelled": Sent([RESTING, (7, 0, 0, 0, 1, 0), (7, 91 * PX, SZ, 1, 2, 0)], {INVALID: 1}),
    "an order id reused while its cancel is in flight": Sent([RESTING, (7, 0, 0, 0, 1, 0), RESTING], {INVALID: 1}),
    "a blank action between two others": Sent([new(order_id=1), (0, 0, 0, 0, 0, 0), new(order_id=2)], {}),
    "a fill-or-kill of more than there is": Sent([new(px=101 * PX, qty=5 * SZ, order_type=3)], {INVALID: 1}),
    "trades with itself": Sent([new(px=101 * PX), (2, 101 * PX, SZ, -1, 0, 0)], {}, 1),
}


@pytest.mark.parametrize("case", SENT.values(), ids=SENT)
def test_actions_are_refused_and_counted(play: Play, case: Sent) -> None:
    wasm = algo(on_book=f"(call $once (i32.const {LIST}))", tail=listing(case.actions))
    result = play(ROWS, wasm)
    assert result.status == "completed", result.detail
    assert codes(result) == case.rejects, outcomes(result)
    assert len(result.fills) == case.fills
    assert result.metrics["traps"] == 0


@pytest.mark.parametrize(("byte", "value"), [(27, 1), (28, 1), (29, 2), (29, 255), (30, 1), (31, 1)])
def test_an_order_for_another_venue_pool_or_symbol_is_refused(play: Play, byte: int, value: int) -> None:
    """The only symbol of a run may be called 0 or 1."""
    block = bytearray(pack_actions([BUY]))
    block[8 + byte] = value
    wasm = algo(on_book=f"(call $once (i32.const {LIST}))", tail=data(LIST, bytes(block)))
    assert codes(play(ROWS, wasm)) == {BAD_VENUE: 1}


def _storm(packets: int) -> list[tuple[Any, ...]]:
    opening = [(0, 0, BID, 99, 1, False), (0, 0, ASK, 101, 1)]
    return opening + [(1_000 * n, 1_000 * n, BID, 98 - n % 5, 1 + n % 7) for n in range(1, packets)]


@pytest.mark.parametrize(
    ("actions", "settings", "counted"),
    [
        ([new(order_id=n) for n in range(1, 17)], {"risk": {"max_order_rate": 3}}, RISK),
        ([(n, 0, 0, 0, 1, 0) for n in range(1, 17)], {}, None),
        ([(n, 90 * PX, SZ, 1, 2, 0) for n in range(1, 17)], {}, INVALID),
        ([(n, 100 * PX, 0, 1, 0, 0) for n in range(1, 17)], {}, INVALID),
        ([(n, 90 * PX, SZ, 1, 0, 0) for n in range(1, 17)], {}, INVALID),
    ],
    ids=["orders", "cancels", "amends", "nonsense", "order ids reused"],
)
def test_16_actions_on_every_callback_are_all_accounted_for(
    play: Play, actions: list[Action], settings: dict[str, Any], counted: int | None
) -> None:
    packets = 2_000
    # What is refused is blanked in the guest, so the list is written anew each time.
    again = f"(memory.copy (i32.const 0x70000) (i32.const {LIST}) (i32.const 520)) i32.const 0x70000"
    wasm = algo(on_book=again, tail=listing(actions))
    result = play(_storm(packets), wasm, **settings)
    assert result.status == "completed", result.detail
    assert len(result.orders) == 16 * packets
    if counted is not None:
        assert codes(result)[counted] > 12 * packets


def test_refused_actions_of_a_whole_list_each_get_their_reject(play: Play) -> None:
    count = "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))"
    check = "(if (i32.ne (global.get $seen) (i32.const 16)) (then unreachable))"
    wasm = algo(
        on_book=f"(call $once (i32.const {LIST}))",
        on_reject=count,
        on_shutdown=f"{check} {EMPTY}",
        tail=listing([new(order_id=n, qty=0) for n in range(16)]) + "(global $seen (mut i32) (i32.const 0))",
    )
    assert play(ROWS, wasm).status == "completed"


def test_a_list_that_on_reject_rewrites_is_taken_as_it_was_returned(play: Play) -> None:
    """The first action is refused; while told so, the algo turns the second into an order of an unknown kind."""
    rewrite = f"(i32.store8 (i32.const {LIST + 8 + 32 + 25}) (i32.const 200))"
    wasm = algo(
        on_book=f"(call $once (i32.const {LIST}))", on_reject=rewrite, tail=listing([new(qty=0), new(order_id=2)])
    )
    result = play(ROWS, wasm)
    assert result.status == "completed"
    assert (len(result.orders), codes(result)) == (2, {INVALID: 1})


def test_a_static_list_is_taken_again_as_it_is(play: Play) -> None:
    """A refused action is blanked in the guest: it comes once. What was sent stays and is a duplicate the next time."""
    result = play(ROWS, algo(on_book=f"i32.const {LIST}", tail=listing([RESTING, new(order_id=2, qty=0)])))
    assert result.status == "completed"
    assert codes(result) == {INVALID: 2}
    assert outcomes(result) == {"open": 1, "refused": 2}


def test_actions_of_on_shutdown_are_logged_and_not_sent(play: Play) -> None:
    result = play(ROWS, algo(on_shutdown=f"i32.const {LIST}", tail=listing([BUY] * 16)))
    assert result.status == "completed"
    assert outcomes(result) == {"not_sent": 16}
    assert len(result.fills) == 0


def test_a_list_at_the_very_end_of_a_grown_memory_is_taken(play: Play) -> None:
    """Grows to the limit of 1,024 pages and returns the last place a list fits."""
    at = 1_024 * 65_536 - 520
    grow = "(drop (memory.grow (i32.sub (i32.const 1024) (memory.size))))"
    wasm = algo(on_book=f"{grow} (i32.store (i32.const {at}) (i32.const 16)) i32.const {at}")
    result = play(ROWS, wasm)
    assert result.status == "completed"
    assert len(result.orders) == 0


@pytest.mark.parametrize("at", [0, 0x10000, 0x1A000, 0x24000, 0x24200, 0x60000, 0x61000, 0x62000, END_OF_MEMORY - 520])
def test_a_list_wherever_the_host_writes_is_only_bytes(play: Play, at: int) -> None:
    """Book, state, event and fixed regions read as actions: refused, counted or too many; never anything else."""
    result = play(ROWS, algo(on_book=f"i32.const {at}"))
    assert result.status == "completed" or "actions; at most 16" in result.detail or "unknown kind" in result.detail


def test_the_order_log_is_bounded(play: Play) -> None:
    """16 actions a packet on a day of ten million packets would be 18 GB: the run ends at exactly the limit."""
    wasm = algo(on_book=f"i32.const {LIST}", tail=listing([(n, 0, 0, 0, 1, 0) for n in range(1, 17)]))
    result = play(_storm(2_000), wasm, max_actions=10_005)
    assert result.status == "failed"
    assert "has sent 10,005 actions" in result.detail
    assert re.search(r"\(callback on_book, event 626, fuel used [1-9]\d*\)$", result.detail)
    assert len(result.orders) == 10_005


def test_a_trade_after_all_that_is_a_trade(play: Play) -> None:
    assert len(play(ROWS, trading(BUY)).fills) == 1
