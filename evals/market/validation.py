"""The validation report of a tape: what is in it, what is odd about it, and what no replay may be built on.

Refused are a book that is crossed at the end of a packet and a clock that goes backward: receive time over the whole
tape, exchange time within the book updates and within the trades (feeds do not order those two against each other).
Everything else is counted, so that a gate can ask for less of it.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evals.errors import TapeError
from evals.market.book import room_for_one, set_level
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, SNAPSHOT, Events
from evals.market.tape import Tape, utc

GAP_NS: Final = 5 * 10**9
"""Silence between two packets that counts as a gap."""

# Slots of the counts that `_walk` takes.
_CROSSED: Final = 0
_LOCKED: Final = 1
_OFF_BOOK: Final = 2
_BID_LEVELS: Final = 3
_ASK_LEVELS: Final = 4
_FIRST_CROSSED: Final = 5
_FIRST_BID: Final = 6
_FIRST_ASK: Final = 7
_SLOTS: Final = 8


@dataclass(frozen=True)
class ValidationReport:
    """What validation found in one tape."""

    summary: dict[str, int]
    """Counts by name; kept with the dataset and readable by gate rules."""
    problems: list[str]
    """Oddities in words; the tape can be used."""
    refuse: list[str]
    """Why the tape cannot be used, each with the first place."""

    def raise_if_refused(self, name: str) -> None:
        """Raise for a tape that no replay may be built on.

        Raises:
            TapeError: with every reason.

        """
        if self.refuse:
            raise TapeError(f"{name} is refused. {' '.join(self.refuse)}")

    def document(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        return {"summary": self.summary, "problems": self.problems, "refuse": self.refuse}

    def text(self) -> str:
        """Return the report as a table of at most 80 columns."""
        width = max(len(name) for name in self.summary)
        lines = [f"{name.replace('_', ' '):<{width}}  {count:>15,}" for name, count in self.summary.items()]
        for title, notes in (("Refused", self.refuse), ("Problems", self.problems)):
            if notes:
                lines += ["", f"{title}:"]
                for note in notes:
                    lines += textwrap.wrap(note, 80, initial_indent="  - ", subsequent_indent="    ")
        return "\n".join(lines)


def validate(tape: Tape, *, gap_ns: int = GAP_NS) -> ValidationReport:
    """Walk a tape once and report on it; see the names in the summary."""
    events = tape.events
    kind, receive, exchange = events["kind"], events["receive_ns"], events["exchange_ns"]
    is_trade = (kind == BUY_TRADE) | (kind == SELL_TRADE)
    last = (events["flags"] & LAST_OF_PACKET) != 0
    silence = np.diff(receive[last], prepend=receive[:1])
    backward_receive = np.flatnonzero(receive[1:] < receive[:-1]) + 1
    backward_exchange = np.sort(np.concatenate([_backward(exchange, ~is_trade), _backward(exchange, is_trade)]))
    walk = _walk(events)
    snapshot_rows = (kind == CLEAR) & ((events["flags"] & SNAPSHOT) != 0)
    book_rows = np.flatnonzero(~is_trade)
    summary = {
        **tape.info.feed,
        "rows": len(events),
        "packets": int(last.sum()),
        "trades": int(is_trade.sum()),
        "snapshots": int(snapshot_rows.sum()),
        "starts_without_snapshot": int(book_rows.size > 0 and kind[book_rows[0]] != CLEAR),
        "gaps": int((silence > gap_ns).sum()),
        "longest_gap_ms": int(silence.max(initial=0)) // 10**6,
        "crossed_books": int(walk[_CROSSED]),
        "locked_books": int(walk[_LOCKED]),
        "backward_receive_clock": int(backward_receive.size),
        "backward_exchange_clock": int(backward_exchange.size),
        "negative_latency": int((receive < exchange).sum()),
        "trades_off_book": int(walk[_OFF_BOOK]),
        "zero_size_trades": int((is_trade & (events["sz_1e8"] == 0)).sum()),
        "bid_levels_max": int(walk[_BID_LEVELS]),
        "ask_levels_max": int(walk[_ASK_LEVELS]),
    }
    return ValidationReport(
        summary=summary,
        problems=_problems(summary, gap_ns, receive[last], silence),
        refuse=_refusals(events, summary, walk, backward_receive, backward_exchange),
    )


def _problems(
    summary: dict[str, int], gap_ns: int, packet_ns: NDArray[np.int64], silence: NDArray[np.int64]
) -> list[str]:
    notes = {
        "starts_without_snapshot": "no snapshot comes before the first book rows: the book is incomplete",
        "gaps": f"silences of more than {gap_ns / 1e9:g} s",
        "negative_latency": "rows were received before the exchange sent them: the clocks disagree",
        "trades_off_book": "trades print outside the best bid and ask of that moment",
        "zero_size_trades": "trades have size 0",
        "sequence_breaks": "breaks in the feed's sequence: the book was cleared until the next snapshot",
        "trade_id_gaps": "gaps in the trade ids: trades are missing",
        "trade_id_duplicates": "trades came twice and were dropped",
    }
    found = [f"{summary[name]:,} {name}: {note}." for name, note in notes.items() if summary.get(name)]
    if summary["gaps"]:
        longest = int(silence.argmax())
        found.append(f"The longest silence, {silence[longest] / 1e9:.3f} s, ends at {utc(int(packet_ns[longest]))}.")
    return found


def _refusals(
    events: Events,
    summary: dict[str, int],
    walk: NDArray[np.int64],
    backward_receive: NDArray[np.int64],
    backward_exchange: NDArray[np.int64],
) -> list[str]:
    reasons = []
    if summary["crossed_books"]:
        row = int(walk[_FIRST_CROSSED])
        hint = (
            " The tape does not begin with a snapshot: start on an earlier day."
            if summary["starts_without_snapshot"]
            else ""
        )
        reasons.append(
            f"The book is crossed at the end of {summary['crossed_books']:,} packets, first at row {row} "
            f"({utc(int(events['receive_ns'][row]))}): best bid {_decimal(int(walk[_FIRST_BID]))} >= "
            f"best ask {_decimal(int(walk[_FIRST_ASK]))}.{hint} "
            "Look for lost updates or a stale snapshot, and import it again."
        )
    for clock, rows in (("receive", backward_receive), ("exchange", backward_exchange)):
        if rows.size:
            row = int(rows[0])
            reasons.append(
                f"The {clock} clock goes backward {rows.size:,} times, first at row {row} "
                f"({utc(int(events[f'{clock}_ns'][row]))}). Sort the capture or cut it there, and import it again."
            )
    return reasons


def _backward(clock: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the chosen rows at which the clock is behind the chosen row before."""
    rows = np.flatnonzero(chosen)
    times = clock[rows]
    return rows[1:][times[1:] < times[:-1]]


def _decimal(px_1e9: int) -> str:
    whole, fraction = divmod(px_1e9, 10**9)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")


@njit(cache=True)
def _walk(events: Events) -> NDArray[np.int64]:
    """Rebuild the book row by row and count what only the book can tell; the slots are named above."""
    counts = np.zeros(_SLOTS, np.int64)
    bid_px = np.empty(64, np.int64)
    bid_sz = np.empty(64, np.int64)
    ask_px = np.empty(64, np.int64)
    ask_sz = np.empty(64, np.int64)
    bids = 0
    asks = 0
    for i in range(len(events)):
        event = events[i]
        kind = event["kind"]
        px = event["px_1e9"]
        if kind == BID:
            bid_px = room_for_one(bid_px, bids)
            bid_sz = room_for_one(bid_sz, bids)
            bids = set_level(bid_px, bid_sz, bids, px, event["sz_1e8"])
            counts[_BID_LEVELS] = max(counts[_BID_LEVELS], bids)
        elif kind == ASK:
            ask_px = room_for_one(ask_px, asks)
            ask_sz = room_for_one(ask_sz, asks)
            asks = set_level(ask_px, ask_sz, asks, -px, event["sz_1e8"])
            counts[_ASK_LEVELS] = max(counts[_ASK_LEVELS], asks)
        elif kind == CLEAR:
            bids = 0
            asks = 0
        elif (bids > 0 and px < bid_px[bids - 1]) or (asks > 0 and px > -ask_px[asks - 1]):
            counts[_OFF_BOOK] += 1
        if event["flags"] & LAST_OF_PACKET and bids > 0 and asks > 0 and bid_px[bids - 1] >= -ask_px[asks - 1]:
            if counts[_CROSSED] == 0:
                counts[_FIRST_CROSSED] = i
                counts[_FIRST_BID] = bid_px[bids - 1]
                counts[_FIRST_ASK] = -ask_px[asks - 1]
            counts[_CROSSED] += 1
            counts[_LOCKED] += bid_px[bids - 1] == -ask_px[asks - 1]
    return counts
