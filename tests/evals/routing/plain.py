"""Routing in plain Python: books as dictionaries, whole numbers without end, and no regard for speed.

Written from docs/routing.md, not from the kernels, which are checked against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bundles.routing import ImpactModel, RoutingModel
from evals.market.schema import ASK, BID, CLEAR, Instrument
from evals.market.tape import Tape
from evals.parents.orders import ParentOrders
from evals.routing.settings import RoutingSettings

MILLION, ONE, DAY_NS = 10**6, 10**8, 86_400 * 10**9
DEPTH = 64


def up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)


def paid(side: int, px: int, qty: int) -> int:
    return up(side * px * qty, ONE)


def fee(px: int, qty: int, ppm: int) -> int:
    value = up(px * qty, ONE) if ppm >= 0 else px * qty // ONE
    return up(value * ppm, MILLION)


@dataclass
class Offer:
    """A venue as a sweep sees it: levels of price and size, best first."""

    levels: list[tuple[int, int]]
    lot: int = 1
    fixed: int = 0
    fee_ppm: int = 0
    impact: int = 0
    min_qty: int = 0
    min_notional: int = 0
    depth: int | None = None


def plain_sweep(offers: Sequence[Offer | None], side: int, qty: int, limit: int = 0) -> list[dict[int, int]]:
    """Return what is taken at each price of each venue."""
    dropped: set[int] = set()
    while True:
        took = _pour(offers, side, qty, limit, dropped)
        small = []
        for venue, offer in enumerate(offers):
            total = sum(took[venue].values())
            notional = sum(px * size // ONE for px, size in took[venue].items())
            if offer and total and (total < offer.min_qty or notional < offer.min_notional):
                small.append((total, -venue))
        if not small:
            return took
        dropped.add(-min(small)[1])


def _pour(offers: Sequence[Offer | None], side: int, qty: int, limit: int, dropped: set[int]) -> list[dict[int, int]]:
    took: list[dict[int, int]] = [{} for _ in offers]
    ahead: dict[int, list[tuple[int, int]]] = {}
    for venue, offer in enumerate(offers):
        if offer and venue not in dropped:
            levels = [(px, size // offer.lot * offer.lot) for px, size in offer.levels]
            within = [px for px, _ in levels if limit and side * (px - limit) > 0]
            ahead[venue] = [(px, size) for px, size in levels if size and px not in within]
    left = qty
    while left and any(ahead.values()):

        def cost(venue: int) -> int:
            offer, px = offers[venue], ahead[venue][0][0]
            assert offer
            depth = sum(size for _, size in offer.levels) if offer.depth is None else offer.depth
            impact = offer.impact * sum(took[venue].values()) // depth if offer.impact else 0
            return side * px + up(px * offer.fee_ppm, MILLION) + offer.fixed + impact

        live = [venue for venue, levels in ahead.items() if levels]
        least = min(cost(venue) for venue in live)
        tied = [venue for venue in live if cost(venue) == least]
        total = sum(ahead[venue][0][1] for venue in tied)
        asked = left
        if total <= left:
            shares = {venue: ahead[venue][0][1] for venue in tied}
            left -= total
        else:
            shares = {}
            for venue in tied:
                lot = offers[venue].lot  # type: ignore[union-attr]
                shares[venue] = asked * ahead[venue][0][1] // total // lot * lot
                left -= shares[venue]
            for venue in tied:
                lot = offers[venue].lot  # type: ignore[union-attr]
                more = min(ahead[venue][0][1] - shares[venue], left) // lot * lot
                shares[venue] += more
                left -= more
        for venue in tied:
            px = ahead[venue][0][0]
            if shares[venue]:
                took[venue][px] = shares[venue]
            ahead[venue] = ahead[venue][1:] if total <= asked else []
    return took


class Book:
    """One venue's book."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.set_by: dict[tuple[int, int], int] = {}
        self.heard_ns = -(10**30)

    def apply(self, event: Any, number: int) -> None:
        self.heard_ns = int(event["receive_ns"])
        kind, px, size = int(event["kind"]), int(event["px_1e9"]), int(event["sz_1e8"])
        if kind in (BID, ASK):
            side = self.sides[kind - BID]
            side.pop(px, None)
            if size:
                side[px] = size
            self.set_by[kind - BID, px] = number
        elif kind == CLEAR:
            for which, side in enumerate(self.sides):
                for px in side:
                    self.set_by[which, px] = number
                side.clear()

    def best(self, which: int) -> int:
        levels = self.sides[which]
        return (max(levels) if which == 0 else min(levels)) if levels else 0

    def live(self, now: int, oldest: int) -> bool:
        bids, asks = self.sides
        return bool(bids and asks) and max(bids) < min(asks) and now - self.heard_ns <= oldest


def market_mid(books: Sequence[Book], now: int, oldest: int) -> int:
    live = [book for book in books if book.live(now, oldest)]
    return (max(b.best(0) for b in live) + min(b.best(1) for b in live)) // 2 if live else 0


@dataclass
class Moves:
    """What a parent's fills do to the market, by an impact model."""

    model: ImpactModel
    mid: int
    pace_ns: int
    done: list[tuple[int, int]] = field(default_factory=list)

    def at(self, now: int) -> int:
        """Return the displacement that fills before a time leave, each moment's fills settled in turn."""
        m, q, temporary, at = self.model, 0, 0, 0
        moments: dict[int, int] = {}
        for when, size in self.done:
            if when < now:
                moments[when] = moments.get(when, 0) + size
        for when, size in sorted(moments.items()):
            temporary, at = self._decayed(temporary, when - at), when
            if m.form == "square-root":
                temporary += self._root(q + size) - self._root(q)
            else:
                eta = self.mid * (m.temporary_ppm or 0) // MILLION
                temporary += eta * (size * DAY_NS // self.pace_ns) // m.daily_volume_1e8
            q += size
        left = self._decayed(temporary, now - at)
        if m.form == "square-root" or not q:
            return left
        permanent = self.mid * (m.permanent_ppm or 0) // MILLION * q // m.daily_volume_1e8
        return left + permanent + self.mid * (m.fixed_ppm or 0) // MILLION

    def _root(self, q: int) -> int:
        m = self.model
        base = self.mid * ((m.coefficient_ppm or 0) * (m.daily_volatility_ppm or 0)) // 10**12
        return base * math.isqrt(q * 10**12 // m.daily_volume_1e8) // MILLION

    def _decayed(self, amount: int, elapsed: int) -> int:
        half = self.model.half_life_ns
        if not half or not amount:
            return amount
        left = amount >> (elapsed // half)
        return left - left * (elapsed % half) // (2 * half)


def plain_replay(
    parents: ParentOrders,
    tapes: Sequence[Tape],
    model: RoutingModel,
    impact: ImpactModel,
    settings: RoutingSettings,
    targets: Sequence[Sequence[int]],
) -> list[dict[str, int]]:
    """Execute parents with given targets after each slice; return columns of PARENT_RESULT."""
    return [_one(parents, row, tapes, model, impact, settings, targets[row]) for row in range(len(parents))]


def _one(
    parents: ParentOrders,
    row: int,
    tapes: Sequence[Tape],
    model: RoutingModel,
    impact: ImpactModel,
    settings: RoutingSettings,
    targets: Sequence[int],
) -> dict[str, int]:
    order = parents.rows[row]
    side, qty, limit = int(order["side"]), int(order["qty_1e8"]), int(order["limit_px_1e9"])
    arrival, horizon = int(order["arrival_ns"]), int(order["horizon_ns"])
    other = 1 if side > 0 else 0
    costs = {each.venue: each for each in model.venues}
    rules: list[Instrument] = [tape.info.instrument for tape in tapes]
    books = [Book() for _ in tapes]
    places = [0] * len(tapes)
    taken: dict[tuple[int, int], tuple[int, int]] = {}
    moves: Moves | None = None
    found = dict.fromkeys(
        ("filled_1e8", "spread_1e9", "impact_1e9", "fees_1e9", "children", "stale_venues", "arrival_mid_1e9"), 0
    )
    prices = mids = least = 0
    slices = len(targets)
    times = [arrival + horizon * k // slices for k in range(slices)]
    for k, now in enumerate([*times, arrival + horizon]):
        for venue, tape in enumerate(tapes):
            while places[venue] < len(tape.events) and tape.events["receive_ns"][places[venue]] <= now:
                books[venue].apply(tape.events[places[venue]], places[venue])
                places[venue] += 1
        mid = market_mid(books, now, settings.market_age_ns)
        if k == slices:
            break
        if moves is None and mid:
            found["arrival_mid_1e9"] = mid
            moves = Moves(impact, mid, horizon // slices if slices > 1 else settings.interval_ns)
        want = targets[k] - found["filled_1e8"]
        if want <= 0 or moves is None:
            continue
        offers: list[Offer | None] = []
        for venue, book in enumerate(books):
            if not book.live(now, min(model.max_book_age_ns, settings.market_age_ns)):
                found["stale_venues"] += 1
                offers.append(None)
                continue
            of, c = rules[venue], costs[rules[venue].venue]
            shown = sorted(book.sides[other].items(), key=lambda level: side * level[0])[:DEPTH]
            levels = []
            for px, size in shown:
                gone, at = taken.get((venue, px), (0, -1))
                levels.append((px, max(size - (gone if at >= book.set_by[other, px] else 0), 0)))
            milli = c.latency_risk_ppm_per_sqrt_ms * math.isqrt(c.latency_ns)
            milli += c.freshness_ppm_per_s * (now - book.heard_ns) // MILLION
            push = 0
            if model.version != "V1":
                assert c.adverse_selection_ppm is not None
                assert c.reject_ppm is not None
                assert c.reject_cost_ppm is not None
                assert c.venue_impact_ppm is not None
                milli += c.adverse_selection_ppm * 1000 + c.reject_ppm * c.reject_cost_ppm // 1000
                push = moves.mid * c.venue_impact_ppm // MILLION
            ppm = of.taker_fee_ppm if c.taker_fee_ppm is None else c.taker_fee_ppm
            fixed = moves.mid * milli // (1000 * MILLION)
            depth = sum(size for _, size in shown)
            offers.append(Offer(levels, of.lot_size_1e8, fixed, ppm, push, of.min_qty_1e8, of.min_notional_1e9, depth))
        moved = moves.at(now)
        worst = max(limit - side * moved, 1) if limit else 0
        took = plain_sweep(offers, side, want, worst)
        now_mid = mid or moves.mid
        got = 0
        for venue, levels_taken in enumerate(took):
            found["children"] += 1 if levels_taken else 0
            for px, size in levels_taken.items():
                touch, ppm = books[venue].best(other), rules[venue].taker_fee_ppm
                charge = up(moved * size, ONE)
                found["spread_1e9"] += paid(side, touch, size) - paid(side, now_mid, size)
                found["impact_1e9"] += paid(side, px, size) - paid(side, touch, size) + charge
                found["fees_1e9"] += fee(px, size, ppm)
                prices += paid(side, px, size) + charge
                mids += paid(side, now_mid, size)
                gone, at = taken.get((venue, px), (0, -1))
                set_by = books[venue].set_by[other, px]
                taken[venue, px] = (size + (gone if at >= set_by else 0), set_by)
                got += size
        least += plain_least(books, rules, side, got)
        if got:
            moves.done.append((now, got))
        found["filled_1e8"] += got
    end = mid or found["arrival_mid_1e9"]
    rest = qty - found["filled_1e8"]
    start = found["arrival_mid_1e9"]
    found["delay_1e9"] = mids - paid(side, start, qty) + paid(side, start, rest)
    found["opportunity_1e9"] = paid(side, end, rest) - paid(side, start, rest)
    found["shortfall_1e9"] = prices + found["fees_1e9"] + paid(side, end, rest) - paid(side, start, qty)
    found["oracle_1e9"] = least + paid(side, end, rest) - paid(side, start, qty)
    found["end_mid_1e9"] = end
    return found


def plain_least(books: Sequence[Book], rules: Sequence[Instrument], side: int, qty: int) -> int:
    """Return the oracle's cost: everything sorted by exact unit cost."""
    levels = []
    for book, rule in zip(books, rules, strict=True):
        for px, size in book.sides[1 if side > 0 else 0].items():
            levels.append((side * px * MILLION + px * rule.taker_fee_ppm, px, size, rule.taker_fee_ppm))
    # Among equals the kernel takes whole levels of one venue after another; so does this.
    cost = 0
    for _, px, size, ppm in sorted(levels, key=lambda level: level[0]):
        taken = min(size, qty)
        value = px * taken // ONE if (ppm >= 0) else up(px * taken, ONE)
        cost += (side * px * taken) // ONE + value * ppm // MILLION
        qty -= taken
    return cost
