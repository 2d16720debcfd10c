"""NbboSnapshot and VenueBooks after each packet of a venue, against both written from scratch in plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.engine import layout
from evals.engine.nbbo import write_nbbo
from evals.wasm import abi, native

NBBO_AT, FIRST_BOOK_AT = 0x30000, 0x32000
BOOK_BYTES = 704
MS = 10**6


@dataclass
class Venue:
    symbol: int
    venue_id: int
    seen_ns: int = 0
    sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = field(default_factory=lambda: ([], []))


class World:
    """Symbols with several venues each, in the engine's records over an empty guest."""

    def __init__(self, venues_of: list[list[int]], *, old: bool) -> None:
        self.old = old
        self.venues = [Venue(s, venue_id) for s, ids in enumerate(venues_of) for venue_id in ids]
        self.memory = np.zeros(0x40000, np.uint8)
        self.host = np.zeros(native.HOST_WORDS, np.int64)
        self.host[native.NBBO_WORD] = NBBO_AT // 8
        self.host[native.HAS_BOOK] = not old
        self.symbols, self.assets = np.zeros(len(venues_of), layout.SYMBOL), np.zeros(len(self.venues), layout.ASSET)
        self.sim = np.zeros(1, layout.SIM)[0]
        self.sim["words"], self.sim["host"] = self.memory.ctypes.data, self.host.ctypes.data
        self.sim["symbols"], self.sim["assets"] = self.symbols.ctypes.data, self.assets.ctypes.data
        self.calls = [0] * len(venues_of)
        first = 0
        for number, ids in enumerate(venues_of):
            symbol = self.symbols[number]
            symbol["symbol_id"], symbol["first_asset"], symbol["assets"] = self.symbol_id(number), first, len(ids)
            first += len(ids)
        for number, venue in enumerate(self.venues):
            asset = self.assets[number]
            asset["index"], asset["symbol"], asset["venue_id"] = number, venue.symbol, venue.venue_id
            asset["book_word"] = self.book_at(number) // 8

    def symbol_id(self, number: int) -> int:
        return number + 1 if len(self.symbols) > 1 else 0

    @staticmethod
    def book_at(number: int) -> int:
        return FIRST_BOOK_AT + number * BOOK_BYTES

    def region(self, at: int, dtype: np.dtype[np.void]) -> Any:
        return self.memory[at : at + dtype.itemsize].view(dtype)[0]

    def packet(self, number: int, sides: Any, now_ns: int) -> None:
        """Show a venue's book as the engine does, then write."""
        venue, asset = self.venues[number], self.assets[number]
        venue.sides, venue.seen_ns = sides, now_ns
        asset["seen_ns"], self.sim["run"]["now_ns"] = now_ns, now_ns
        at, book = self.book_at(number), self.book(sides, venue.symbol, now_ns)
        self.memory[at : at + book.nbytes] = np.frombuffer(book.tobytes(), np.uint8)
        for side in range(2):
            asset["seen_levels"][side] = len(sides[side])
            asset["best_px_1e9"][side] = sides[side][0][0] if sides[side] else 0
        self.calls[venue.symbol] += 1
        write_nbbo(self.sim, self.symbols[venue.symbol], asset)

    def book(self, sides: Any, symbol: int, recv_ns: int) -> Any:
        book = np.zeros(1, abi.L2_BOOK)[0]
        for name, levels in zip(("bids", "asks"), sides, strict=True):
            for at, level in enumerate(levels[:20]):
                book[name][at] = level
        book["bid_ct"], book["ask_ct"] = (min(len(levels), 20) for levels in sides)
        book["symbol_id"], book["recv_ns"] = self.symbol_id(symbol), recv_ns
        return book

    def expected(self, symbol: int, now_ns: int) -> tuple[Any, Any]:
        slots = sorted((v for v in self.venues if v.symbol == symbol), key=lambda v: v.venue_id)
        nbbo = np.zeros(1, abi.NBBO)[0]
        books = np.zeros(1, abi.VENUE_BOOKS_0_3 if self.old else abi.VENUE_BOOKS)[0]
        nbbo["venue_ct"] = books["book_ct"] = len(slots)
        nbbo["sequence"], nbbo["recv_ns"] = self.calls[symbol], now_ns
        if not self.old:
            nbbo["symbol_id"] = books["symbol_id"] = self.symbol_id(symbol)
        for k, venue in enumerate(slots):
            nbbo["venue_ids"][k] = books["venue_ids"][k] = venue.venue_id
            if not self.old:
                nbbo["venue_region_ids"][k] = books["venue_region_ids"][k] = 255
            age_ms = (now_ns - venue.seen_ns) // MS if venue.seen_ns else 65_535
            nbbo["venue_update_ms"][k] = min(age_ms, 65_535)
            for name, levels in zip(("bid", "ask"), venue.sides, strict=True):
                if levels:
                    nbbo[f"venue_{name}_px"][k] = levels[0][0]
                    nbbo[f"venue_{name}_sz"][k] = min(levels[0][1], 2**32 - 1)
            if venue.seen_ns:
                books["books"][k] = self.book(venue.sides, symbol, venue.seen_ns)
        merged: Any = ([], [])
        for side, (name, sign) in enumerate((("bid", -1), ("ask", 1))):
            best = min(((v.sides[side][0][0] * sign, k) for k, v in enumerate(slots) if v.sides[side]), default=None)
            if best is not None:
                nbbo[f"nbbo_{name}_px_1e9"], nbbo[f"nbbo_{name}_venue"] = best[0] * sign, best[1]
                nbbo[f"nbbo_{name}_sz_1e8"] = slots[best[1]].sides[side][0][1]
            total: dict[int, int] = {}
            for venue in slots:
                for px, sz in venue.sides[side]:
                    total[px] = total.get(px, 0) + sz
            merged[side].extend(sorted(total.items(), key=lambda level: level[0] * sign)[:20])
        books["merged"] = self.book(merged, symbol, now_ns)
        return nbbo, books

    def check(self, symbol: int, now_ns: int) -> None:
        nbbo, books = self.expected(symbol, now_ns)
        for at, record in ((NBBO_AT, nbbo), (abi.VENUE_BOOKS_AT, books)):
            found = self.region(at, record.dtype)
            for name in record.dtype.names or ():
                assert found[name].tobytes() == record[name].tobytes(), name


def levels(side: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    sizes = st.one_of(st.integers(1, 9), st.integers(2**32 - 2, 2**33))
    return st.dictionaries(st.integers(90, 120), sizes, max_size=20).map(
        lambda found: sorted(found.items(), reverse=side == 0)
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data(), old=st.booleans())
def test_every_packet(data: st.DataObject, old: bool) -> None:
    ids = st.lists(st.integers(1, 17), min_size=1, max_size=5, unique=True)
    world = World(data.draw(st.lists(ids, min_size=1, max_size=3)), old=old)
    now_ns = 10**18
    for _ in range(data.draw(st.integers(1, 8))):
        now_ns += data.draw(st.sampled_from([0, 1, 999_999, MS, 70 * MS, 65_534 * MS, 10**12]))
        number = data.draw(st.integers(0, len(world.venues) - 1))
        venue = world.venues[number]
        sides = (data.draw(levels(0)), data.draw(levels(1))) if data.draw(st.booleans()) else venue.sides
        world.packet(number, sides, now_ns)
        world.check(venue.symbol, now_ns)


@pytest.mark.parametrize("old", [False, True])
def test_as_many_venues_as_there_are_slots(old: bool) -> None:
    """Twenty venues with 20 levels each; then another symbol with two takes over, and gives back."""
    world = World([list(range(20, 0, -1)), [3, 1]], old=old)
    now_ns = 10**18
    for number in [*range(22), 3, 21]:
        sides = ([(1_000 - number - n, n + 1) for n in range(20)], [(1_001 + number + n, n + 2) for n in range(20)])
        now_ns += MS
        world.packet(number, sides, now_ns)
        world.check(world.venues[number].symbol, now_ns)
    assert world.sim["nbbo_symbol"] == 2


def test_what_the_algo_scribbles_into_its_books_stays_its_own() -> None:
    """Prices come from the host; garbage in the guest's levels ends in the guest's merged book and nowhere else."""
    world = World([[1, 2]], old=False)
    now_ns = 10**18
    for number in range(2):
        world.packet(number, ([(100, 5)], [(101, 6)]), now_ns)
    world.memory[FIRST_BOOK_AT : FIRST_BOOK_AT + 640] = 0xFF
    world.memory[abi.VENUE_BOOKS_AT : abi.VENUE_BOOKS_AT + abi.VENUE_BOOKS.itemsize] = 0xEE
    before = world.memory.copy()
    write_nbbo(world.sim, world.symbols[0], world.assets[0])
    nbbo = world.region(NBBO_AT, abi.NBBO)
    assert (nbbo["nbbo_bid_px_1e9"], nbbo["nbbo_ask_px_1e9"], nbbo["venue_ct"]) == (100, 101, 2)
    changed = np.flatnonzero(world.memory != before)
    inside = [(NBBO_AT, abi.NBBO.itemsize), (abi.VENUE_BOOKS_AT, abi.VENUE_BOOKS.itemsize)]
    assert all(any(at <= byte < at + size for at, size in inside) for byte in changed)
