"""docs/features.md in plain Python: whole books in dictionaries, whole histories in lists, fractions."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, SELL_TRADE

SECOND, STRETCH = 10**9, 10**8
Row = tuple[int, int, int, int, int, bool]
"""Exchange time, receive time, kind, price, size, whether it is the last of its packet."""

Levels = list[tuple[int, int]]


def toward_zero(value: Fraction) -> int:
    return math.trunc(value)


@dataclass
class Plain:
    """What was seen so far."""

    books: dict[int, dict[int, int]] = field(default_factory=lambda: {BID: {}, ASK: {}})
    prices: dict[int, list[int]] = field(default_factory=lambda: {BID: [], ASK: []})
    """Of bids with a minus, so that the best come first."""
    now: int = 0
    flows: list[tuple[int, list[int]]] = field(default_factory=list)
    """Receive time, and e of each level, by packet."""
    ewma: int = 0
    trades: list[tuple[int, int, int]] = field(default_factory=list)
    """Receive time of the packet, sign, size."""
    removed: list[tuple[int, int]] = field(default_factory=list)
    mids: list[int] = field(default_factory=list)
    spreads: list[int] = field(default_factory=list)
    second: int | None = None
    mid: int = 0
    spread: int | None = None

    def best(self, side: int, levels: int) -> Levels:
        return [(abs(px), self.books[side][abs(px)]) for px in self.prices[side][:levels]]

    def see(self, rows: Sequence[Row]) -> None:
        """Take note of a packet."""
        now = self.now = rows[-1][1]
        self.sample(now // SECOND)
        before = {side: self.best(side, 10) for side in (BID, ASK)}
        gone = sum(self.row(row, now) for row in rows)
        self.removed.append((now, gone))
        after = {side: self.best(side, 10) for side in (BID, ASK)}
        full = all(before.values()) and all(after.values())
        flow = [self.flow(before, after, m) if full else 0 for m in range(10)]
        self.flows.append((now, flow))
        self.ewma = self.ewma - toward_zero(Fraction(self.ewma, 32)) + flow[0]
        self.spread = None
        if after[BID] and after[ASK]:
            bid, ask = after[BID][0][0], after[ASK][0][0]
            self.mid = (bid + ask) // 2
            self.spread = min(max(ask - bid, 0) * 10**10 // self.mid, 10**9)

    def features(self) -> dict[str, int]:
        """Return the features after the last packet."""
        return {
            "version": 1,
            "feature_ts_ns": self.now,
            **self.weights({side: self.best(side, 10) for side in (BID, ASK)}),
            **self.imbalances(self.now),
            **self.flow_of_trades(self.now),
            **self.vpin(),
            **self.volatility(),
            **self.regime(),
        }

    def row(self, row: Row, now: int) -> int:
        """Apply a row; return how much of the size in view it took away."""
        _, _, kind, px, sz, _ = row
        if kind in (BUY_TRADE, SELL_TRADE):
            self.trades.append((now, 1 if kind == BUY_TRADE else -1, sz))
            return 0
        if kind == CLEAR:
            self.books, self.prices = {BID: {}, ASK: {}}, {BID: [], ASK: []}
            return 0
        seen = dict(self.best(kind, 20)).get(px, 0)
        book, prices, key = self.books[kind], self.prices[kind], -px if kind == BID else px
        if px not in book:
            insort(prices, key)
        book[px] = sz
        if sz == 0:
            del book[px]
            del prices[bisect_left(prices, key)]
        return max(seen - sz, 0)

    @staticmethod
    def flow(before: dict[int, Levels], after: dict[int, Levels], m: int) -> int:
        total = 0
        for side, sign in ((BID, 1), (ASK, -1)):
            (px, sz), (old_px, old_sz) = (
                (book[side][m][0] * sign, book[side][m][1]) if m < len(book[side]) else (-math.inf, 0)
                for book in (after, before)
            )
            total += sign * ((sz if px >= old_px else 0) - (old_sz if px <= old_px else 0))
        return total

    @staticmethod
    def weights(book: dict[int, Levels]) -> dict[str, int]:
        microprice = 0
        if book[BID] and book[ASK]:
            (bid, bid_sz), (ask, ask_sz) = book[BID][0], book[ASK][0]
            microprice = bid + toward_zero(Fraction((ask - bid) * bid_sz, bid_sz + ask_sz))
        bids, asks = (sum(sz for _, sz in book[side][:5]) for side in (BID, ASK))
        share = toward_zero(Fraction(10_000 * (bids - asks), bids + asks)) if bids + asks else 0
        return {"microprice_1e9": microprice, "depth_imbalance_1e4": share}

    def imbalances(self, now: int) -> dict[str, int]:
        recent = [flow for at, flow in self.flows if at // STRETCH > now // STRETCH - 10]
        one, five, ten = (sum(sum(flow[:levels]) for flow in recent) for levels in (1, 5, 10))
        ewma = toward_zero(Fraction(self.ewma, 3_200))
        return {"ofi_1level_1e8": one, "ofi_5level_1e8": five, "mlofi_10_1e8": ten, "ofi_ewma_1e6": ewma}

    def flow_of_trades(self, now: int) -> dict[str, int]:
        first = now // SECOND - 9
        signs = [sign for at, sign, _ in self.trades if at // SECOND >= first]
        traded = sum(sz for at, _, sz in self.trades if at // SECOND >= first)
        removed = sum(sz for at, sz in self.removed if at // SECOND >= first)
        return {
            "trade_arrival_rate_1e3": len(signs) * 100,
            "trade_sign_imbalance_1e6": toward_zero(Fraction(10**6 * sum(signs), len(signs))) if signs else 0,
            "cancel_rate_1e4": 10_000 * (removed - min(removed, traded)) // removed if removed else 0,
        }

    def vpin(self) -> dict[str, int]:
        """Lay all trades after the first hundred end to end and cut every V."""
        size = max(sum(sz for _, _, sz in self.trades[:100]) // 4, 1)
        buckets, room, net = [], size, 0
        for _, sign, sz in self.trades[100:]:
            rest = sz
            while rest >= room:
                buckets.append(abs(net + sign * room))
                rest, room, net = rest - room, size, 0
            room, net = room - rest, net + sign * rest
        if len(buckets) < 50:
            return {"flags": 0, "vpin_1e4": 0}
        return {"flags": 1, "vpin_1e4": 10_000 * sum(buckets[-50:]) // (50 * size)}

    def sample(self, second: int) -> None:
        over = 0 if self.second is None else min(second - self.second, 3_600)
        self.second = second
        if self.mid:
            self.mids += [self.mid] * over
            if self.spread is not None:
                self.spreads += [self.spread] * over

    def volatility(self) -> dict[str, int]:
        squares = [min(abs(b - a) * 10**8 // a, 2 * 10**7) ** 2 for a, b in pairwise(self.mids)]
        return {
            f"rv_{name}_bps": (math.isqrt(sum(squares[-samples:])) + 5_000) // 10_000
            for name, samples in (("1m", 60), ("5m", 300), ("1h", 3_600))
        }

    def regime(self) -> dict[str, int]:
        z = 0
        if self.spread is not None and len(self.spreads) >= 60:
            mean, variance = self.spreads[0], 0
            for spread in self.spreads[1:]:
                off = spread - mean
                variance += off * off // 64
                variance -= variance // 64
                mean += off // 64
            z = toward_zero(Fraction(1_000 * (self.spread - mean), max(math.isqrt(variance), 1)))
            z = max(min(z, 32_767), -32_767)
        return {"spread_zscore_1e3": z, "spread_regime": sum(z > limit for limit in (-1_001, 1_000, 3_000))}


def packets_of(rows: Sequence[Row]) -> list[list[Row]]:
    """Cut rows into packets; the tape's end ends the last one."""
    packets: list[list[Row]] = [[]]
    for row in rows:
        packets[-1].append(row)
        if row[5]:
            packets.append([])
    return [packet for packet in packets if packet]


def plain_features(rows: Sequence[Row], every: int = 1) -> list[dict[str, Any]]:
    """Return the features after every n-th packet."""
    plain, found = Plain(), []
    for number, packet in enumerate(packets_of(rows), start=1):
        plain.see(packet)
        if number % every == 0:
            found.append(plain.features())
    return found
