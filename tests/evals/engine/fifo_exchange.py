"""A slow, obvious exchange with price-time priority order by order, and what a recorder sees of it.

Probes are our own orders. They rest in the real exchange as orders like any other, so what they are filled, when, and
how much stands ahead of them is known. The tape shows none of them: it is the market without us. How both can be true:

* Two exchanges run side by side, the *real* one with the probes and the *public* one without. Other participants send
  the same orders to both, of the same size. The tape is what the public one does.
* The real exchange matches strictly: price, then time, ours among the others. What a probe is filled is therefore
  missing to somebody: participants behind it (or deeper) are spared, or less of an order that comes to rest is left.
* Then the others react, so that the market goes on as if we had not been there: at each level, the spared withdraw as
  much as the real exchange has more than the public one (a cancellation like any other, which the switch below places),
  and what is missing of a resting order is entered again at the end of the queue. It is asserted after each event that
  they moved exactly what the probes were filled, and that the public part of the real book equals the public book.
* An order which comes to rest at a price that a probe also reaches is made large enough to fill the probe completely:
  otherwise the real book would be crossed where the public one is not.

The switch ``cancels`` says which orders of a level a cancellation hits: those ``behind`` all probes (the end of the
queue first: beyond what stands behind, it eats into what stands ahead), those ``ahead`` (the front first), or
``anywhere`` (orders drawn at random, each as likely as the other). Prices and sizes are whole ticks and lots.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, SELL_TRADE

BUY, SELL = 1, -1
LIMIT = 0
NEW, CANCEL = range(2)
PUBLIC = 0
UNIT_PX, UNIT_SZ = 10**9, 10**8
START_PX = 10_000

Cancels: TypeAlias = Literal["behind", "ahead", "anywhere"]
Level: TypeAlias = tuple[int, int]
"""Side, price."""
Action: TypeAlias = tuple[int, int, int, int, int, int]
"""Order id, price, quantity, side, kind, order type; in the engine's units."""


@dataclass(eq=False)
class Order:
    """A resting order; ``probe`` is our order id, or PUBLIC."""

    side: int
    px: int
    left: int
    probe: int = PUBLIC


@dataclass(frozen=True)
class Match:
    order: Order
    qty: int
    ahead: int
    """What stood ahead of the order at its price, of others than us, before the taker came."""


class Exchange:
    """Resting orders by side and price, in the order of their arrival."""

    def __init__(self) -> None:
        self.queues: dict[int, dict[int, list[Order]]] = {BUY: {}, SELL: {}}

    def orders(self, side: int) -> Iterator[Order]:
        """Yield the orders of a side, first in line first."""
        for px in sorted(self.queues[side], key=lambda px: -px * side):
            yield from self.queues[side][px]

    def queue(self, level: Level) -> list[Order]:
        return self.queues[level[0]].get(level[1], [])

    def displayed(self) -> Counter[Level]:
        """Return what others than us offer, by level."""
        sizes: Counter[Level] = Counter()
        for side, levels in self.queues.items():
            for px, queue in levels.items():
                size = sum([order.left for order in queue if order.probe == PUBLIC])
                if size:
                    sizes[side, px] = size
        return sizes

    def probes(self, side: int) -> list[Order]:
        return [order for order in self.orders(side) if order.probe != PUBLIC]

    def ahead(self, order: Order) -> int:
        """Return what stands ahead of an order at its price, of others than us."""
        queue = self.queue((order.side, order.px))
        return sum(o.left for o in queue[: queue.index(order)] if o.probe == PUBLIC)

    def rest(self, order: Order) -> None:
        self.queues[order.side].setdefault(order.px, []).append(order)

    def reduce(self, order: Order, qty: int) -> None:
        """Take a part of an order, or all of it, out of the book."""
        order.left -= qty
        if order.left == 0:
            queue = self.queue((order.side, order.px))
            queue.remove(order)
            if not queue:
                del self.queues[order.side][order.px]

    def take(self, side: int, qty: int, limit_px: int) -> list[Match]:
        """Match an order of a side against those that rest, up to its price."""
        matches = []
        for order in list(self.orders(-side)):
            if qty > 0 and (limit_px - order.px) * side >= 0:
                matches.append(Match(order, min(qty, order.left), self.ahead(order)))
                qty -= matches[-1].qty
        for match in matches:
            self.reduce(match.order, match.qty)
        return matches

    def withdraw(self, level: Level, qty: int, cancels: Cancels, rng: random.Random) -> None:
        """Cancel as much of others' orders at a level."""
        orders = [order for order in self.queue(level) if order.probe == PUBLIC]
        if cancels == "behind":
            orders.reverse()
        elif cancels == "anywhere":
            rng.shuffle(orders)
        for order in orders:
            part = min(qty, order.left)
            qty -= part
            if part:
                self.reduce(order, part)
        assert qty == 0, "more was to be cancelled than there was"


@dataclass(frozen=True)
class Feed:
    """How the recorder hears of an event: which rows come first, what a print is, how they travel."""

    first: Literal["trades", "levels"] = "trades"
    prints: Literal["level", "maker"] = "level"
    """One print for all that a taker took of a level, or one for each order that it met."""
    by_level: bool = False
    """A sweep's rows come level by level, not all trades together."""
    split: bool = False
    """Trades and levels of an event are packets of their own, at the same time."""
    bursts: bool = False
    """Events may happen at the same time."""
    wire_ns: int = 0
    entry_ns: int = 0


@dataclass(frozen=True)
class Flow:
    """What the participants are like."""

    events: int = 60
    probes_per_side: int = 1
    sweeps: bool = True
    """Without, nobody takes more than the best level of others."""
    orders_per_level: int = 6
    """Most orders of a level when the flow begins."""
    scale: int = 1
    """Sizes are drawn in these many lots."""
    weights: tuple[int, int, int, int] = (45, 25, 27, 3)
    """How often orders rest, are cancelled, take, or take a level and rest."""


@dataclass(frozen=True)
class Fill:
    """A true fill of a probe. ``ahead`` is what stood ahead of it before the taker came."""

    probe: int
    at_ns: int
    px: int
    qty: int
    ahead: int


@dataclass
class Recording:
    """The tape's rows, our script by packet as the fixture ``play`` takes them, and the truth about the probes."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    script: dict[int, list[Action]] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    rested_ns: dict[int, int] = field(default_factory=dict)
    gone_ns: dict[int, int] = field(default_factory=dict)
    """When a probe was filled completely or cancelled; one that rests to the end is not there."""
    ahead: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """What stood ahead of each probe: at its arrival and after each event while it rested (time, size)."""
    end_ns: int = 0


class Market:
    """A random flow of orders around a moving price, and probes that join it."""

    def __init__(self, seed: int, cancels: Cancels, feed: Feed, flow: Flow) -> None:
        self.rng = random.Random(seed)
        self.cancels, self.feed, self.flow = cancels, feed, flow
        self.real, self.public = Exchange(), Exchange()
        self.now = 0
        self.packets = 0
        self.drift = 0
        self.on_their_way: deque[tuple[int, int]] = deque()
        self.sent = 0
        self.recording = Recording()
        self.book: Counter[Level] = Counter()
        """What others offer, after the last event."""

    def lots(self, most: int) -> int:
        return self.rng.randint(1, most * self.flow.scale)

    def run(self) -> Recording:
        self.open()
        for _ in range(self.flow.events):
            self.now += self.rng.randint(0 if self.feed.bursts else 1, 3)
            self.let_arrive(self.now - 1)
            self.happen()
            if self.rng.random() < 0.4:
                self.on_their_way.append((self.now + self.feed.wire_ns + self.feed.entry_ns, self.packets - 1))
        self.close()
        return self.recording

    def open(self) -> None:
        """Show a book of four levels a side; whatever was there is cleared."""
        for side in (BUY, SELL):
            for depth in range(1, 5):
                for _ in range(self.rng.randint(1, self.flow.orders_per_level)):
                    qty = self.lots(5)
                    self.public.rest(Order(side, START_PX - side * depth, qty))
                    self.real.rest(Order(side, START_PX - side * depth, qty))
        self.recording.rows.append((self.now, self.now + self.feed.wire_ns, CLEAR, 0, 0, False))
        self.publish([], BUY)

    def close(self) -> None:
        """Cancel the probes that still rest."""
        way_ns = self.feed.wire_ns + self.feed.entry_ns
        self.now += way_ns + 1
        self.let_arrive(self.now - 1)
        self.add(BUY)
        for probe in self.real.probes(BUY) + self.real.probes(SELL):
            self.cancel_probe(probe, self.now + way_ns, self.packets - 1)
        self.recording.end_ns = self.now + way_ns

    # What others do.

    def best(self, side: int) -> int:
        return max(px * side for s, px in self.book if s == side) * side

    def happen(self) -> None:
        """Let one event happen: an order that rests, one that takes, one that does both, or a cancellation."""
        rng = self.rng
        if rng.random() < 0.08:
            self.drift = rng.choice((BUY, 0, SELL))
        side = self.drift if self.drift and rng.random() < 0.65 else rng.choice((BUY, SELL))
        kind = rng.choices(("add", "cancel", "take", "cross"), self.flow.weights)[0]
        thin = [s for s in (BUY, SELL) if sum(level[0] == s for level in self.book) < 3]
        best = self.best(-side)
        at_best = self.book[-side, best]
        if thin or kind == "add":
            self.add(thin[0] if thin else side)
        elif kind == "cancel":
            self.cancel(-side)
        elif kind == "cross":
            self.trade(side, at_best + self.lots(6), best)
        else:
            everything = sum(size for (s, _), size in self.book.items() if s == -side)
            qty = rng.choice((self.lots(2), self.lots(3), self.lots(4), self.lots(12), at_best))
            self.trade(side, min(qty, everything - 1 if self.flow.sweeps else at_best), START_PX * (side + 1))

    def add(self, side: int) -> None:
        """Rest an order near the best price of its side, at times better than it, never through the public book."""
        px = self.best(side) + side * self.rng.choice((2, 1, 0, 0, 0, 0, 0, 0, -1, -1, -2, -3))
        self.trade(side, self.lots(6), min(px * side, self.best(-side) * side - 1) * side)

    def cancel(self, side: int) -> None:
        """Withdraw a part of a level near the best price, or all of it."""
        levels = sorted((level for level in self.book if level[0] == side), key=lambda level: -level[1] * side)
        level = self.rng.choices(levels[:3], (5, 2, 1))[0]
        size = self.book[level]
        qty = size if self.rng.random() < 0.1 else self.rng.randint(1, (size + 1) // 2)
        self.public.withdraw(level, qty, "behind", self.rng)
        self.real.withdraw(level, qty, self.cancels, self.rng)
        self.settle(0)
        self.publish([], side)

    def trade(self, side: int, qty: int, limit_px: int) -> None:
        """Send an order to both exchanges: it takes up to its price, and what is left rests."""
        reached = [order.left for order in self.real.probes(-side) if (limit_px - order.px) * side >= 0]
        offered = sum(sz for (s, px), sz in self.book.items() if s == -side and (limit_px - px) * side >= 0)
        if qty > offered:
            qty = max(qty, offered + sum(reached))
        matches = self.public.take(side, qty, limit_px)
        if qty > offered:
            self.public.rest(Order(side, limit_px, qty - offered))
        ours = 0
        for match in self.real.take(side, qty, limit_px):
            qty -= match.qty
            if match.order.probe != PUBLIC:
                ours += match.qty
                self.fill(match)
        if qty > 0:
            self.real.rest(Order(side, limit_px, qty))
        self.settle(ours)
        self.publish(matches, side)

    def settle(self, ours: int) -> None:
        """Let the others react to what we took; then the public part of the real book is the public book."""
        moved = 0
        real, public = self.real.displayed(), self.public.displayed()
        for level in sorted(real.keys() | public.keys()):
            spared = real[level] - public[level]
            moved += abs(spared)
            if spared > 0:
                self.real.withdraw(level, spared, self.cancels, self.rng)
            elif spared < 0:
                self.real.rest(Order(*level, -spared))
        assert moved == ours, "the others moved something else than what we were filled"
        assert moved == 0 or self.real.displayed() == public
        bid, ask = next(self.real.orders(BUY)), next(self.real.orders(SELL))
        assert bid.px < ask.px, "the real book is crossed"
        self.note_ahead()

    # What the recorder sees.

    def publish(self, matches: list[Match], side: int) -> None:
        """Write the rows of an event: prints of the side that took, and each level that changed."""
        before, after = self.book, self.public.displayed()
        self.book = after
        feed = self.feed
        prints = [(match.order.px, match.qty) for match in matches]
        if feed.prints == "level":
            sums: Counter[int] = Counter()
            for px, qty in prints:
                sums[px] += qty
            prints = list(sums.items())
        trades = [(BUY_TRADE if side == BUY else SELL_TRADE, px, qty) for px, qty in prints]
        changed = [level for level in before.keys() | after.keys() if before[level] != after[level]]
        # The side that was taken from changes before the taker's rest shows, best level first.
        changed.sort(key=lambda level: (level[0] == side, -level[1] * level[0]))
        levels = [(BID if s == BUY else ASK, px, after[s, px]) for s, px in changed]
        first, second = (trades, levels) if feed.first == "trades" else (levels, trades)
        if feed.by_level:
            prices = list(dict.fromkeys(px for _, px, _ in first + second))
            rows = [row for px in prices for part in (first, second) for row in part if row[1] == px]
            self.packet(rows)
        elif feed.split and trades and levels:
            self.packet(first)
            self.packet(second)
        else:
            self.packet(first + second)

    def packet(self, rows: list[tuple[int, int, int]]) -> None:
        for n, row in enumerate(rows, 1):
            self.recording.rows.append((self.now, self.now + self.feed.wire_ns, *row, n == len(rows)))
        self.packets += 1

    # What we do.

    def let_arrive(self, until_ns: int) -> None:
        """Let what we sent arrive; what it is, is only settled now."""
        while self.on_their_way and self.on_their_way[0][0] <= until_ns:
            at_ns, packet = self.on_their_way.popleft()
            side = self.rng.choice((BUY, SELL))
            probes = self.real.probes(side)
            if len(probes) >= self.flow.probes_per_side or (probes and self.rng.random() < 0.1):
                if self.rng.random() < 0.1:
                    self.cancel_probe(self.rng.choice(probes), at_ns, packet)
            else:
                self.place_probe(side, at_ns, packet)

    def place_probe(self, side: int, at_ns: int, packet: int) -> None:
        """Rest a probe where it meets nobody: at a level of others mostly, at times inside the spread."""
        px = self.best(side) + side * self.rng.choice((1, 0, 0, 0, 0, 0, 0, -1, -1, -2))
        opposite = next(self.real.orders(-side)).px
        px = min(px * side, opposite * side - 1) * side
        self.sent += 1
        probe = Order(side, px, self.lots(8), self.sent)
        self.real.rest(probe)
        self.send(packet, (probe.probe, px * UNIT_PX, probe.left * UNIT_SZ, side, NEW, LIMIT))
        self.recording.rested_ns[probe.probe] = at_ns
        self.recording.ahead[probe.probe] = [(at_ns, self.real.ahead(probe))]

    def cancel_probe(self, probe: Order, at_ns: int, packet: int) -> None:
        self.send(packet, (probe.probe, 0, 0, 0, CANCEL, LIMIT))
        self.recording.gone_ns[probe.probe] = at_ns
        self.real.reduce(probe, probe.left)

    def send(self, packet: int, action: Action) -> None:
        self.recording.script.setdefault(packet, []).append(action)

    def fill(self, match: Match) -> None:
        order = match.order
        self.recording.fills.append(Fill(order.probe, self.now, order.px, match.qty, match.ahead))
        if order.left == 0:
            self.recording.gone_ns[order.probe] = self.now

    def note_ahead(self) -> None:
        for side in (BUY, SELL):
            for probe in self.real.probes(side):
                self.recording.ahead[probe.probe].append((self.now, self.real.ahead(probe)))


def record(seed: int, cancels: Cancels, feed: Feed, flow: Flow) -> Recording:
    """Run a market; the same arguments give the same recording."""
    return Market(seed, cancels, feed, flow).run()
