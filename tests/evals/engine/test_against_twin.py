"""The whole loop against a slow, obvious simulator: same fills, same outcomes, to the nanosecond."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.engine.layout import FILL_REASONS, OUTCOMES
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, SELL_TRADE
from evals.replay import ReplayResult

START_NS = 1_700_000_000_000_000_000
LIMIT, MARKET, IOC, FOK, POST_ONLY = range(5)
NEW, CANCEL, AMEND = range(3)


@dataclass
class Order:
    oid: int
    side: int
    px: int
    qty: int
    kind: int
    entry: dict[str, Any]
    filled: int = 0
    ahead: int = 0
    resting: bool = False

    @property
    def left(self) -> int:
        return self.qty - self.filled


@dataclass
class Twin:
    """Counts in whole units of price and size, and walks queues unit by unit."""

    entry_ns: int
    response_ns: int
    books: dict[int, dict[int, list[int]]] = field(default_factory=lambda: {1: {}, -1: {}})
    queue: list[Order] = field(default_factory=list)
    open_here: dict[int, Order] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    requests: deque[tuple[int, Any]] = field(default_factory=deque)
    answers: deque[tuple[int, Any]] = field(default_factory=deque)
    now: int = 0

    def run(self, rows: list[tuple[Any, ...]], script: dict[int, list[tuple[int, ...]]]) -> None:
        end = max(rows[-1][1], *(r[0] for r in rows))
        agenda: list[tuple[int, int, int, int, int, Any]] = []
        latest = {True: 0, False: 0}
        packets = 0
        for i, r in enumerate(rows):
            traded = r[2] in (BUY_TRADE, SELL_TRADE)
            latest[traded] = max(latest[traded], r[0])
            agenda.append((latest[traded], 0, packets, not traded, i, r))
            if (len(r) < 6 or r[5]) or i == len(rows) - 1:
                agenda.append((r[1], 3, packets, 0, 0, script.get(packets, [])))
                packets += 1
        heapq.heapify(agenda)
        while True:
            sources = [(agenda[0][0], agenda[0][1])] if agenda else []
            sources += [(self.requests[0][0], 1)] if self.requests else []
            sources += [(self.answers[0][0], 2)] if self.answers else []
            if not sources or min(sources)[0] > end:
                break
            self.now, source = min(sources)
            if source == 1:
                self.arrive(*self.requests.popleft()[1])
            elif source == 2:
                self.hear(*self.answers.popleft()[1])
            else:
                item = heapq.heappop(agenda)[5]
                if source == 0:
                    self.tape(item[2], item[3], item[4])
                else:
                    for action in item:
                        self.decide(*action)
        for order in self.queue:
            order.entry["outcome"] = "open"

    # The algo's side.

    def decide(self, oid: int, px: int, qty: int, side: int, kind: int, order_type: int) -> None:
        entry = {"id": oid, "outcome": "in_flight", "filled": 0, "arrived": 0, "done": 0}
        self.log.append(entry)
        known = self.open_here.get(oid)
        if kind == NEW:
            if known:
                entry.update(outcome="refused", done=self.now)
                return
            self.open_here[oid] = Order(oid, side, px, qty, order_type, entry)
            known = self.open_here[oid]
        elif not known:
            entry.update(outcome="too_late" if kind == CANCEL else "refused", done=self.now)
            return
        self.requests.append((self.now + self.entry_ns, (kind, known, entry, px, qty)))

    def say(self, *what: Any) -> None:
        self.answers.append((self.now + self.response_ns, what))

    def hear(self, what: str, order: Order, fill: dict[str, Any] | None = None) -> None:
        if fill:
            fill["received"] = self.now
        if what == "end":
            del self.open_here[order.oid]

    # The exchange's side.

    def tape(self, kind: int, px: int, sz: int) -> None:
        if kind == CLEAR:
            self.books = {1: {}, -1: {}}
        elif kind in (BID, ASK):
            side = 1 if kind == BID else -1
            came = sz - self.books[side].pop(px, [0, 0])[0]
            if sz:
                self.books[side][px] = [sz, 0]
            for order in self.queue:
                if order.side == side and order.px == px:
                    order.ahead = min(order.ahead, sz)
            reached = [o for o in self.queue if o.side == -side and (o.px - px) * o.side >= 0]
            for order in sorted(reached, key=lambda o: -o.px * o.side):
                take = max(min(came, order.left), 0)
                came -= take
                if take:
                    self.books[side][px][1] += take
                    self.fill(order, order.px, take, "crossed_book", order.ahead)
        else:
            side = -1 if kind == BUY_TRADE else 1
            through = [o for o in self.queue if o.side == side and (o.px - px) * side > 0]
            for order in sorted(through, key=lambda o: -o.px * side):
                take = min(sz, order.left)
                sz -= take
                if take:
                    self.fill(order, order.px, take, "trade_through", order.ahead)
            here = [o for o in self.queue if o.side == side and o.px == px]
            before = {id(o): o.ahead for o in here}
            got = dict.fromkeys(before, 0)
            for _ in range(sz):
                front = next((o for o in here if got[id(o)] < o.left), None)
                if front is not None and front.ahead == 0:
                    got[id(front)] += 1
                else:
                    for order in here:
                        order.ahead = max(0, order.ahead - 1)
            for order in here:
                if got[id(order)]:
                    self.fill(order, px, got[id(order)], "queue_front", before[id(order)])

    def fill(self, order: Order, px: int, qty: int, reason: str, ahead: int) -> None:
        order.filled += qty
        order.entry["filled"] = order.filled
        fill = {"id": order.oid, "at": self.now, "px": px, "qty": qty, "reason": reason, "ahead": ahead, "received": 0}
        self.fills.append(fill)
        if order.left == 0:
            order.entry.update(outcome="filled", done=self.now)
            self.queue = [o for o in self.queue if o is not order]
        self.say("end" if order.left == 0 else "fill", order, fill)

    def offered(self, side: int, px: int | None) -> list[tuple[int, list[int]]]:
        """Levels that an order of a side may take up to a price, best first."""
        levels = sorted(self.books[-side].items(), key=lambda level: level[0] * side)
        return [(p, level) for p, level in levels if px is None or (px - p) * side >= 0]

    def conflict(self, order: Order, px: int | None, qty: int) -> bool:
        own = [o for o in self.queue if o.side == -order.side and (px is None or (px - o.px) * order.side >= 0)]
        if own:
            best = min(own, key=lambda o: o.px * order.side).px
            better = sum(s - t for p, (s, t) in self.offered(order.side, px) if (best - p) * order.side > 0)
            if better < qty:
                return True
        size = sum(s - t for _, (s, t) in self.offered(order.side, px))
        return (order.kind == POST_ONLY and size > 0) or (order.kind == FOK and size < qty)

    def take(self, order: Order, px: int | None) -> None:
        for level_px, level in self.offered(order.side, px):
            qty = min(level[0] - level[1], order.left)
            if qty:
                level[1] += qty
                self.fill(order, level_px, qty, "taker", 0)

    def rest(self, order: Order) -> None:
        ours = [o.ahead for o in self.queue if (o.side, o.px) == (order.side, order.px)]
        order.ahead = max([self.books[order.side].get(order.px, [0, 0])[0], *ours])
        self.queue.append(order)

    def arrive(self, kind: int, order: Order, entry: dict[str, Any], px: int, qty: int) -> None:
        entry["arrived"] = self.now
        limit = None if order.kind == MARKET else order.px
        if kind == NEW:
            if self.conflict(order, limit, qty):
                entry.update(outcome="rejected", done=self.now)
                self.say("end", order)
                return
            self.take(order, limit)
            if order.left:
                if order.kind in (MARKET, IOC, FOK):
                    entry.update(outcome="expired", done=self.now)
                    self.say("end", order)
                else:
                    self.rest(order)
            return
        if not any(o is order for o in self.queue):
            entry.update(outcome="too_late", done=self.now)
        elif kind == CANCEL:
            self.queue = [o for o in self.queue if o is not order]
            order.entry.update(outcome="canceled", done=self.now)
            entry.update(outcome="done", done=self.now)
            self.say("end", order)
        else:
            keeps = px == order.px and qty <= order.qty
            if qty <= order.filled or (not keeps and self.conflict(order, px, qty - order.filled)):
                entry.update(outcome="rejected", done=self.now)
                return
            entry.update(outcome="done", done=self.now)
            order.px, order.qty = px, qty
            if not keeps:
                self.queue = [o for o in self.queue if o is not order]
                self.take(order, px)
                if order.left:
                    self.rest(order)


PRICES = st.integers(97, 103)
LEVELS = st.tuples(st.sampled_from((BID, ASK)), PRICES, st.integers(0, 4))
SANE_LEVELS = st.one_of(
    st.tuples(st.just(BID), st.integers(96, 99), st.integers(0, 4)),
    st.tuples(st.just(ASK), st.integers(101, 104), st.integers(0, 4)),
)
TRADES = st.tuples(st.sampled_from((BUY_TRADE, SELL_TRADE)), PRICES, st.integers(1, 6))
EVENTS = st.one_of(LEVELS, SANE_LEVELS, SANE_LEVELS, TRADES, TRADES, TRADES, st.just((CLEAR, 0, 0)))
OPENING = [
    (0, 0, side, 100 - n if side == BID else 100 + n, 3, n == 2 and side == ASK) for side in (BID, ASK) for n in (1, 2)
]
ANY_ORDERS = st.tuples(PRICES, st.integers(1, 6), st.sampled_from((1, -1)), st.sampled_from(range(5)))
QUOTES = st.one_of(
    st.tuples(st.integers(97, 100), st.integers(1, 5), st.just(1), st.sampled_from((LIMIT, POST_ONLY))),
    st.tuples(st.integers(100, 103), st.integers(1, 5), st.just(-1), st.sampled_from((LIMIT, POST_ONLY))),
)
ORDERS = st.one_of(ANY_ORDERS, QUOTES, QUOTES, QUOTES).map(lambda order: (NEW, 0, *order))
CHANGES = st.tuples(
    st.sampled_from((CANCEL, AMEND, AMEND)), st.integers(0, 6), PRICES, st.integers(1, 6), st.just(0), st.just(0)
)
"""Kind, how many orders ago (changes only), price, quantity, side, type."""


@st.composite
def tapes(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = list(OPENING)
    received = 60
    for kind, px, sz in draw(st.lists(EVENTS, min_size=8, max_size=60)):
        received += draw(st.integers(0, 30))
        rows.append((received - draw(st.integers(0, 60)), received, kind, px, sz, draw(st.booleans())))
    return rows


def script_of(decided: list[list[tuple[int, ...]]]) -> dict[int, list[tuple[int, ...]]]:
    """Number the orders in turn. No id is used twice: about the id of a dead order the two sides may rightly differ."""
    script: dict[int, list[tuple[int, ...]]] = {}
    orders = 0
    for n, actions in enumerate(decided):
        script[n] = []
        for kind, ago, px, qty, side, order_type in actions:
            orders += kind == NEW
            script[n].append((max(orders - ago, 1), px, qty, side, kind, order_type))
    return script


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=tapes(),
    decided=st.lists(st.lists(st.one_of(ORDERS, ORDERS, CHANGES), max_size=3), min_size=4, max_size=30),
    entry_ns=st.integers(0, 40),
    response_ns=st.integers(0, 40),
)
def test_kernels_equal_the_twin(
    play: Callable[..., ReplayResult],
    rows: list[tuple[Any, ...]],
    decided: list[list[tuple[int, ...]]],
    entry_ns: int,
    response_ns: int,
) -> None:
    script = script_of(decided)
    twin = Twin(entry_ns, response_ns)
    twin.run(rows, script)
    latencies = {
        f"{a}_{w}_ns": v
        for a in ("place", "cancel", "amend")
        for w, v in (("entry", entry_ns), ("response", response_ns))
    }
    scaled = {
        n: [
            (oid, 0 if kind == NEW and t == MARKET else px * 10**9, qty * 10**8, side, kind, t)
            for oid, px, qty, side, kind, t in actions
        ]
        for n, actions in script.items()
    }
    result = play(rows, scaled, **latencies)
    assert result.status == "completed", result.detail
    fills = [
        {
            "id": int(f["order_id"]),
            "at": int(f["exchange_ns"]) - START_NS,
            "px": int(f["px_1e9"]) // 10**9,
            "qty": int(f["qty_1e8"]) // 10**8,
            "reason": FILL_REASONS[f["reason"]],
            "ahead": int(f["queue_ahead_1e8"]) // 10**8,
            "received": max(int(f["receive_ns"]) - START_NS, 0),
        }
        for f in result.fills
    ]
    assert fills == twin.fills
    log = [
        {
            "id": int(o["order_id"]),
            "outcome": OUTCOMES[o["outcome"]],
            "filled": int(o["filled_1e8"]) // 10**8,
            "arrived": max(int(o["arrived_ns"]) - START_NS, 0),
            "done": max(int(o["done_ns"]) - START_NS, 0),
        }
        for o in result.orders
    ]
    assert log == twin.log
