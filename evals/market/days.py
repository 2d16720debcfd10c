"""Cut a tape at UTC midnight so that each day can be replayed alone, and tell where days join again.

Captures run across midnight, and their snapshot comes once. Every later day therefore opens with a snapshot packet that
restates the book as it was, and says so in its metadata: a reader that has the day before leaves the opening out.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

import numpy as np

from evals.market.book import Book
from evals.market.schema import (
    ASK,
    BID,
    BUY_TRADE,
    CLEAR,
    LAST_OF_PACKET,
    SELL_TRADE,
    SNAPSHOT,
    TAPE_DTYPE,
    Events,
    TapeInfo,
)
from evals.market.source import Columns

_S_PER_DAY: Final = 86_400
_NS_PER_DAY: Final = _S_PER_DAY * 10**9


def split_by_day(events: Events, info: TapeInfo) -> list[tuple[date, Events, TapeInfo]]:
    """Return day, events and info of each UTC day of ``receive_ns``; a packet belongs to the day of its last row."""
    ends = np.flatnonzero(events["flags"] & LAST_OF_PACKET)
    days = events["receive_ns"][ends] // _NS_PER_DAY
    changes = np.flatnonzero(days[1:] != days[:-1])
    starts = [0, *(ends[changes] + 1).tolist()]
    stops = [*starts[1:], len(events)]
    dates = [_date(int(day)) for day in days[np.append(0, changes + 1)]]
    parts = [(dates[0], events[: stops[0]], info)]
    book = Book()
    for day, start, stop in zip(dates[1:], starts[1:], stops[1:], strict=True):
        book.apply(parts[-1][1])
        before, chosen = events[:start], events[start:stop]
        opening = _opening(book, before, int(chosen["receive_ns"][0]))
        follows = {"opening_rows": len(opening), "follows_ns": int(before["receive_ns"][-1]) if len(opening) else None}
        parts.append((day, np.concatenate([opening, chosen]), info.model_copy(update=follows)))
    return parts


def same_import(one: TapeInfo, other: TapeInfo) -> bool:
    """Tell whether two files say the same of their import."""
    return one.model_copy(update={"opening_rows": other.opening_rows, "follows_ns": other.follows_ns}) == other


def continues(ends_ns: int, earlier: TapeInfo, info: TapeInfo) -> bool:
    """Tell whether a file goes on exactly where an earlier one ends."""
    return info.follows_ns == ends_ns and same_import(earlier, info)


def packet_days(chunk: Columns, left_out: int) -> tuple[date, date] | None:
    """Return the UTC days of the first and the last packet that end in a chunk, its first rows left out."""
    ends_ns = chunk.receive_ns[left_out:][(chunk.flags[left_out:] & LAST_OF_PACKET) != 0]
    return (_date(int(ends_ns[0]) // _NS_PER_DAY), _date(int(ends_ns[-1]) // _NS_PER_DAY)) if ends_ns.size else None


def _date(day: int) -> date:
    return datetime.fromtimestamp(day * _S_PER_DAY, UTC).date()


def _opening(book: Book, before: Events, receive_ns: int) -> Events:
    """Return a packet that restates the book; nothing if the book was never known whole."""
    if not (before["kind"] == CLEAR).any():
        return np.empty(0, TAPE_DTYPE)
    of_book = before["exchange_ns"][(before["kind"] != BUY_TRADE) & (before["kind"] != SELL_TRADE)]
    rows = [(0, 0, CLEAR), *((*level, BID) for level in book.bids()), *((*level, ASK) for level in book.asks())]
    opening = np.empty(len(rows), TAPE_DTYPE)
    opening["px_1e9"], opening["sz_1e8"], opening["kind"] = np.array(rows, np.int64).T
    opening["exchange_ns"] = of_book[-1]
    opening["receive_ns"] = receive_ns
    opening["flags"] = SNAPSHOT
    opening["flags"][-1] |= LAST_OF_PACKET
    return opening
