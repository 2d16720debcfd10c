"""Chunks on their way to three readers: none is kept longer than it is needed, none is read in another order."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from evals.engine import layout
from evals.engine.feed import UNKNOWN, find_packet
from evals.engine.feeding import Feed
from evals.engine.layout import LEVELS, NEVER, PACKETS, TRADES
from evals.engine.streams import seek_level, seek_trade
from evals.errors import TapeError
from evals.market.schema import ASK, BID, BUY_TRADE, Instrument, TapeInfo
from evals.market.source import Columns
from evals.market.tape import Tape
from tests.evals.conftest import START_NS, events_of
from tests.evals.engine.busy_algo import market, replay

ROWS = [
    (0, 5, BID, 99, 1, False),
    (1, 6, ASK, 101, 1, False),
    (2, 7, BUY_TRADE, 101, 1, True),
    (3, 8, BID, 98, 1, True),
    (4, 9, BUY_TRADE, 101, 2, False),
]
INFO = TapeInfo(
    instrument=Instrument(venue="test", symbol="BTC-USD", tick_size_1e9=10**9, lot_size_1e8=10**8),
    importer="test",
    importer_version="1",
)


@dataclass
class Counted:
    """A tape whose chunks know how many of them are alive."""

    tape: Tape
    rows: int
    alive: int = 0
    most: int = 0
    info: TapeInfo = field(init=False)

    def __post_init__(self) -> None:
        self.info = self.tape.info

    def chunks(self) -> Iterator[Columns]:
        def gone() -> None:
            self.alive -= 1

        for start in range(0, len(self.tape.events), self.rows):
            events = self.tape.events[start : start + self.rows].copy()
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(events, gone)
            yield Columns.of(events)
            del events


def feed_of(rows: Any, chunk_rows: int) -> tuple[Feed, Any]:
    asset = np.zeros(1, layout.ASSET)
    feed = Feed(asset[0], Counted(Tape(events_of(rows), INFO), chunk_rows))
    feed.start()
    return feed, asset[0]


def seen(chunk_rows: int) -> tuple[list[int], list[int], list[int]]:
    """Return when levels and trades happened and when packets were received, as the readers find them."""
    feed, asset = feed_of(ROWS, chunk_rows)
    happened: dict[str, list[int]] = {"level": [], "trade": []}
    for name, reader, seek in (("level", LEVELS, seek_level), ("trade", TRADES, seek_trade)):
        stream = asset[f"{name}s"]
        while asset[f"{name}_ns"] != NEVER:
            if stream["at"] < stream["end"]:
                happened[name].append(int(asset[f"{name}_ns"]) - START_NS)
                stream["at"] += 1
                seek(asset)
            else:
                feed.hand_over(reader)
    packets = []
    while asset["packet_ns"] != NEVER:
        if asset["packet_ns"] == UNKNOWN:
            feed.hand_over(PACKETS)
        else:
            packets.append(int(asset["packet_ns"]) - START_NS)
            find_packet(asset)
    assert feed.exhausted
    assert feed.rows == len(ROWS)
    return happened["level"], happened["trade"], packets


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 4, 5, 100])
def test_every_reader_finds_its_rows_whatever_the_chunks(chunk_rows: int) -> None:
    assert seen(chunk_rows) == ([0, 1, 3], [2, 4], [7, 8, 9])


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("last", [True, False])
def test_a_packet_received_before_the_one_above_is_refused(chunk_rows: int, last: bool) -> None:
    """Wherever a chunk ends."""
    backward = [*ROWS[:3], (3, 6, BID, 98, 1, last)]
    with pytest.raises(TapeError, match="Row 3 was received before"):
        replay(Counted(Tape(events_of(backward), INFO), chunk_rows))


def test_an_empty_tape_is_refused() -> None:
    with pytest.raises(TapeError, match="empty"):
        replay(Tape(events_of([]), INFO))


@pytest.mark.parametrize("chunk_rows", [20, 200])
def test_few_chunks_are_held_at_a_time(chunk_rows: int) -> None:
    counted = Counted(market(seconds=60), chunk_rows)
    result = replay(counted)
    rows_in_ten_s = len(counted.tape.events) // 6
    assert result.status == "completed"
    assert len(counted.tape.events) // chunk_rows > 15
    assert counted.most <= rows_in_ten_s // chunk_rows + 6, "the readers are at most ten seconds apart"
