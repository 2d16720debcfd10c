"""The validation report of a tape: what is in it, what is odd about it, and what no replay may be built on.

Refused are a book that is crossed at the end of a packet and a clock that goes backward: receive time over the whole
tape, exchange time within the book updates and within the trades (feeds do not order those two against each other).
Everything else is counted, so that a gate can ask for less of it.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Final

from evals.errors import TapeError
from evals.market.rules import utc
from evals.market.schema import TapeInfo
from evals.market.source import Columns, TapeSource
from evals.market.walk import OFF_MARKET_BPS, Walk

GAP_NS: Final = 5 * 10**9
"""Silence between two packets that counts as a gap."""

_SUMMARY: Final = (
    "rows",
    "packets",
    "trades",
    "snapshots",
    "starts_without_snapshot",
    "gaps",
    "longest_gap_ms",
    "crossed_books",
    "locked_books",
    "backward_receive_clock",
    "backward_exchange_clock",
    "negative_latency",
    "trades_off_book",
    "trades_off_market",
    "zero_size_trades",
    "bid_levels_max",
    "ask_levels_max",
)


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


def validate(source: TapeSource, *, gap_ns: int = GAP_NS) -> ValidationReport:
    """Walk a tape once and report on it; see the names in the summary."""
    validator = Validator(gap_ns=gap_ns)
    for chunk in source.chunks():
        validator.take(chunk)
    return validator.report(source.info)


class Validator:
    """A validation in progress, for those who read a tape's chunks for something else as well."""

    def __init__(self, *, gap_ns: int = GAP_NS) -> None:
        self._gap_ns = gap_ns
        self._walk = Walk(gap_ns)

    def take(self, chunk: Columns) -> None:
        """Walk over the rows that follow; how the tape is cut makes no difference to the report."""
        self._walk.take(chunk)

    def report(self, info: TapeInfo) -> ValidationReport:
        """Report on all rows so far, and on what the importer counted."""
        found = self._walk.figures()
        found["longest_gap_ms"] = found["longest_gap_ns"] // 10**6
        summary = {**info.feed, **{name: found[name] for name in _SUMMARY}}
        return ValidationReport(
            summary=summary,
            problems=_problems(summary, found, self._gap_ns),
            refuse=_refusals(summary, found),
        )


def _problems(summary: dict[str, int], found: dict[str, int], gap_ns: int) -> list[str]:
    notes = {
        "starts_without_snapshot": "no snapshot comes before the first book rows: the book is incomplete",
        "gaps": f"silences of more than {gap_ns / 1e9:g} s",
        "negative_latency": "rows were received before the exchange sent them: the clocks disagree",
        "trades_off_book": "trades print outside the best bid and ask of that moment",
        "trades_off_market": f"trades print more than {OFF_MARKET_BPS} bps outside the best bid and ask",
        "zero_size_trades": "trades have size 0",
        "sequence_breaks": "breaks in the feed's sequence: the book was cleared until the next snapshot",
        "trade_id_gaps": "gaps in the trade ids: trades are missing",
        "trade_id_duplicates": "trades came twice and were dropped",
    }
    problems = [f"{summary[name]:,} {name}: {note}." for name, note in notes.items() if summary.get(name)]
    if summary["gaps"]:
        found_at = utc(found["longest_gap_ends_ns"])
        problems.append(f"The longest silence, {found['longest_gap_ns'] / 1e9:.3f} s, ends at {found_at}.")
    if summary["trades_off_market"]:
        problems.append(
            f"The first trade off the market is at row {found['off_market_row']} ({utc(found['off_market_at_ns'])}): "
            f"{_decimal(found['off_market_px_1e9'])} where the best bid is {_or_none(found['off_market_bid_1e9'])} and "
            f"the best ask {_or_none(found['off_market_ask_1e9'])}."
        )
    return problems


def _refusals(summary: dict[str, int], found: dict[str, int]) -> list[str]:
    reasons = []
    if summary["crossed_books"]:
        hint = (
            " The tape does not begin with a snapshot: start on an earlier day."
            if summary["starts_without_snapshot"]
            else ""
        )
        reasons.append(
            f"The book is crossed at the end of {summary['crossed_books']:,} packets, first at row "
            f"{found['crossed_row']} ({utc(found['crossed_at_ns'])}): best bid {_decimal(found['crossed_bid_1e9'])} >= "
            f"best ask {_decimal(found['crossed_ask_1e9'])}.{hint} "
            "Look for lost updates or a stale snapshot, and import it again."
        )
    for clock in ("receive", "exchange"):
        count = summary[f"backward_{clock}_clock"]
        if count:
            reasons.append(
                f"The {clock} clock goes backward {count:,} times, first at row {found[f'backward_{clock}_row']} "
                f"({utc(found[f'backward_{clock}_at_ns'])}). Sort the capture or cut it there, and import it again."
            )
    return reasons


def _or_none(px_1e9: int) -> str:
    return _decimal(px_1e9) if px_1e9 > 0 else "none"


def _decimal(px_1e9: int) -> str:
    whole, fraction = divmod(px_1e9, 10**9)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
