"""A slow, obvious simulator: plain Python objects, dictionaries and sorting instead of windows, bitmaps and rings."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from evals.engine.queue import ln
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, SELL_TRADE

LIMIT, MARKET, IOC, FOK, POST_ONLY = range(5)
NEW, CANCEL, AMEND = range(3)
UNIT_SZ: Final = 10**8
SECOND_NS: Final = 10**9
LATEST_NS: Final = 10 * SECOND_NS

Row: TypeAlias = tuple[Any, ...]
"""Exchange time, receive time, kind, price x 10^9, size x 10^8[, last of packet]."""

Action: TypeAlias = tuple[int, int, int, int, int, int]
"""Order id, price x 10^9, quantity x 10^8, side, kind, type."""


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
    traded: int = 0
    # What the algo has heard.
    known_qty: int = 0
    known_filled: int = 0

    @property
    def left(self) -> int:
        return self.qty - self.filled


@dataclass
class Rules:
    """Latencies are for place, cancel, amend."""

    tick: int = 10**9
    entry_ns: tuple[int, int, int] = (10, 10, 10)
    response_ns: tuple[int, int, int] = (10, 10, 10)
    queue_model: str = "risk_averse"
    exponent: int = 3
    off_market_bps: int = 0
    max_position: int = 10**15
    max_notional: int = 10**18
    max_rate: int = 10**6
    max_deviation_bps: int = 0


@dataclass
class Twin:
    """Prices x 10^9, sizes x 10^8, times from the start of the tape."""

    rules: Rules
    books: dict[int, dict[int, list[int]]] = field(default_factory=lambda: {1: {}, -1: {}})
    seen: dict[int, dict[int, int]] = field(default_factory=lambda: {1: {}, -1: {}})
    queue: list[Order] = field(default_factory=list)
    open_here: dict[int, Order] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    requests: deque[tuple[int, Any]] = field(default_factory=deque)
    answers: deque[tuple[int, Any]] = field(default_factory=deque)
    sent: list[int] = field(default_factory=list)
    last_request_ns: int = 0
    last_answer_ns: int = 0
    now: int = 0
    mid: int = 0
    position: int = 0
    known_position: int = 0

    def run(self, rows: Sequence[Row], script: Mapping[int, Sequence[Action]]) -> None:
        end = rows[-1][1]
        agenda: list[tuple[int, int, int, int, int, Any]] = []
        latest = {True: -LATEST_NS, False: -LATEST_NS}
        packets, first = 0, 0
        for i, r in enumerate(rows):
            traded = r[2] in (BUY_TRADE, SELL_TRADE)
            latest[traded] = max(latest[traded], min(max(r[0], r[1] - LATEST_NS), r[1]))
            agenda.append((latest[traded], 0, packets, not traded, i, r))
            if (len(r) < 6 or r[5]) or i == len(rows) - 1:
                agenda.append((r[1], 3, packets, 0, 0, (rows[first : i + 1], script.get(packets, []))))
                packets, first = packets + 1, i + 1
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
                    self.see(item[0])
                    for action in item[1]:
                        self.decide(*action)
        for order in self.queue:
            order.entry["outcome"] = "open"

    # The algo's side.

    def see(self, rows: Sequence[Row]) -> None:
        for _, _, kind, px, sz, *_ in rows:
            if kind == CLEAR:
                self.seen = {1: {}, -1: {}}
            elif kind in (BID, ASK):
                side = self.seen[1 if kind == BID else -1]
                side.pop(px, None)
                if sz:
                    side[px] = sz

    def visible(self, levels: int = 20) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        bids = sorted(self.seen[1].items(), reverse=True)[:levels]
        return bids, sorted(self.seen[-1].items())[:levels]

    def decide(self, oid: int, px: int, qty: int, side: int, kind: int, order_type: int) -> None:
        entry = {"id": oid, "outcome": "in_flight", "filled": 0, "arrived": 0, "done": 0}
        self.log.append(entry)
        known = self.open_here.get(oid)
        if kind == CANCEL and not known:
            entry.update(outcome="too_late", done=self.now)
            return
        if kind != CANCEL:
            if bool(known) != (kind == AMEND) or self.risk_says_no(px, qty, known, side, order_type):
                entry.update(outcome="refused", done=self.now)
                return
            self.sent.append(self.now)
        if not known:
            known = self.open_here[oid] = Order(oid, side, px, qty, order_type, entry, known_qty=qty)
        self.last_request_ns = max(self.last_request_ns, self.now + self.rules.entry_ns[kind])
        self.requests.append((self.last_request_ns, (kind, known, entry, px, qty)))

    def risk_says_no(self, px: int, qty: int, replaced: Order | None, side: int, order_type: int) -> bool:
        rules = self.rules
        if replaced:
            side, order_type = replaced.side, replaced.kind
        same = [o for o in self.open_here.values() if o.side == side and o is not replaced]
        exposed = self.known_position * side + sum(o.known_qty - o.known_filled for o in same)
        exposed -= replaced.known_filled if replaced else 0
        if exposed + qty > rules.max_position:
            return True
        bid, ask = max(self.seen[1], default=0), min(self.seen[-1], default=0)
        reference = (ask if side == 1 else bid) if order_type == MARKET else px
        if reference * qty // UNIT_SZ > rules.max_notional:
            return True
        if sum(t > self.now - SECOND_NS for t in self.sent) >= rules.max_rate:
            return True
        limit = rules.max_deviation_bps
        if limit and order_type != MARKET and bid and ask:
            if px > ask and px - ask > ask * limit // 10_000:
                return True
            if px <= ask and bid - px > bid * limit // 10_000:
                return True
        return not replaced and len(self.open_here) == 32

    def say(self, action: int, *what: Any) -> None:
        self.last_answer_ns = max(self.last_answer_ns, self.now + self.rules.response_ns[action])
        self.answers.append((self.last_answer_ns, what))

    def hear(self, what: str, order: Order, detail: Any = None) -> None:
        if what == "fill":
            detail["received"] = self.now
            order.known_filled += detail["qty"]
            self.known_position += detail["qty"] * order.side
        elif what == "amended":
            order.known_qty = detail
        if what == "end" or (what == "fill" and detail["complete"]):
            del self.open_here[order.oid]

    # The exchange's side.

    def tape(self, kind: int, px: int, sz: int) -> None:
        if kind == CLEAR:
            self.books = {1: {}, -1: {}}
        elif kind in (BID, ASK):
            self.level(1 if kind == BID else -1, px, sz)
        elif not self.off_market(px):
            self.trade(-1 if kind == BUY_TRADE else 1, px, sz)

    def level(self, side: int, px: int, sz: int) -> None:
        before = self.books[side].pop(px, [0, 0])[0]
        if sz:
            self.books[side][px] = [sz, 0]
        if self.books[1] and self.books[-1]:
            self.mid = (max(self.books[1]) + min(self.books[-1])) // 2
        for order in self.queue:
            if order.side == side and order.px == px:
                order.ahead = self.ahead_after(order, before, sz)
                order.traded = 0
        came = sz - before
        reached = [o for o in self.queue if o.side == -side and (o.px - px) * o.side >= 0]
        for order in sorted(reached, key=lambda o: -o.px * o.side):
            take = max(min(came, order.left), 0)
            came -= take
            if take:
                self.books[side][px][1] += take
                self.fill(order, order.px, take, "crossed_book", order.ahead)

    def ahead_after(self, order: Order, before: int, sz: int) -> int:
        ahead, canceled = order.ahead, before - sz - order.traded
        if self.rules.queue_model != "risk_averse" and canceled > 0:
            behind = before - ahead
            from_behind = int(self.share_behind(ahead, behind) * canceled)
            ahead -= canceled - from_behind
            ahead -= max(from_behind - behind, 0)
        return max(min(ahead, sz), 0)

    def share_behind(self, ahead_1e8: int, behind_1e8: int) -> float:
        model, n = self.rules.queue_model, self.rules.exponent
        front, back = max(ahead_1e8, 0) / UNIT_SZ, max(behind_1e8, 0) / UNIT_SZ
        if model == "optimistic":
            return 0.0
        if model == "power_front":
            return 1.0 - power(front / (front + back), n) if front + back > 0 else 1.0

        def f(x: float) -> float:
            return power(x, n) if model.startswith("power") else logarithm(1.0 + x)

        if model.endswith("_total"):
            whole = f(front + back) if model == "power_total" else logarithm(1.0 + front + back)
        else:
            whole = f(back) + f(front)
        return min(f(back) / whole, 1.0) if whole > 0 else 1.0

    def off_market(self, px: int) -> bool:
        limit = self.rules.off_market_bps
        if not limit or not self.books[1] or not self.books[-1]:
            return False
        bid, ask = max(self.books[1]), min(self.books[-1])
        if px > ask:
            return px - ask > ask * limit // 10_000
        return bid - px > bid * limit // 10_000

    def trade(self, side: int, px: int, sz: int) -> None:
        through = [o for o in self.queue if o.side == side and (o.px - px) * side > 0]
        for order in sorted(through, key=lambda o: -o.px * side):
            take = min(sz, order.left)
            sz -= take
            if take:
                self.fill(order, order.px, take, "trade_through", order.ahead)
        here = [o for o in self.queue if o.side == side and o.px == px]
        before = {id(o): o.ahead for o in here}
        # The nearest whole number of lots: fills are whole lots.
        ahead = {id(o): -(-(2 * o.ahead - UNIT_SZ) // (2 * UNIT_SZ)) * UNIT_SZ for o in here}
        got = dict.fromkeys(before, 0)
        left = sz
        while left:
            front = next((o for o in here if got[id(o)] < o.left), None)
            if front is not None and ahead[id(front)] == 0:
                step = min(left, front.left - got[id(front)])
                got[id(front)] += step
            else:
                step = min([left, *(size for size in ahead.values() if size)])
                ahead = {oid: max(0, size - step) for oid, size in ahead.items()}
            left -= step
        ours = 0
        for order in here:
            order.ahead = max(0, order.ahead - (sz - ours))
            order.traded += sz - ours
            ours += got[id(order)]
            if got[id(order)]:
                self.fill(order, px, got[id(order)], "queue_front", before[id(order)])

    def fill(self, order: Order, px: int, qty: int, reason: str, ahead: int) -> None:
        order.filled += qty
        order.entry["filled"] = order.filled
        self.position += qty * order.side
        fill = {
            "id": order.oid,
            "at": self.now,
            "px": px,
            "qty": qty,
            "reason": reason,
            "ahead": ahead,
            "mid": self.mid,
            "position": self.position,
            "received": 0,
            "complete": order.left == 0,
        }
        self.fills.append(fill)
        if order.left == 0:
            order.entry.update(outcome="filled", done=self.now)
            self.queue = [o for o in self.queue if o is not order]
        self.say(NEW, "fill", order, fill)

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
        order.traded = 0
        self.queue.append(order)

    def arrive(self, kind: int, order: Order, entry: dict[str, Any], px: int, qty: int) -> None:
        entry["arrived"] = self.now
        limit = None if order.kind == MARKET else order.px
        if kind == NEW:
            if (limit is not None and px % self.rules.tick) or self.conflict(order, limit, qty):
                entry.update(outcome="rejected", done=self.now)
                self.say(NEW, "end", order)
                return
            self.say(NEW, "ack", order)
            self.take(order, limit)
            if order.left:
                if order.kind in (MARKET, IOC, FOK):
                    entry.update(outcome="expired", done=self.now)
                    self.say(NEW, "end", order)
                else:
                    self.rest(order)
            return
        if not any(o is order for o in self.queue):
            entry.update(outcome="too_late", done=self.now)
            if kind == AMEND:
                self.say(AMEND, "rejected", order)
        elif kind == CANCEL:
            self.queue = [o for o in self.queue if o is not order]
            order.entry.update(outcome="canceled", done=self.now)
            entry.update(outcome="done", done=self.now)
            self.say(CANCEL, "end", order)
        else:
            keeps = px == order.px and qty <= order.qty
            refused = px % self.rules.tick or qty <= order.filled
            if refused or (not keeps and self.conflict(order, px, qty - order.filled)):
                entry.update(outcome="rejected", done=self.now)
                self.say(AMEND, "rejected", order)
                return
            entry.update(outcome="done", done=self.now)
            order.px, order.qty = px, qty
            self.say(AMEND, "amended", order, qty)
            if not keeps:
                self.queue = [o for o in self.queue if o is not order]
                self.take(order, px)
                if order.left:
                    self.rest(order)


def power(x: float, n: int) -> float:
    """Return x^n by products, as exact as the kernel's."""
    y = 1.0
    for _ in range(n):
        y *= x
    return y


def logarithm(x: float) -> float:
    """Return the natural logarithm as the kernel computes it, run by Python."""
    return float(ln.py_func(x))  # type: ignore[attr-defined]
