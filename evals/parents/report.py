"""The report on parent orders against the tapes that they are to be executed on.

Refused are orders that arrive or end outside the tapes' time: nothing can be said of them. Everything else is counted.
It is the same kind of report as a tape's, so that it reads and prints alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from evals.market.rules import utc
from evals.market.source import TapeSource
from evals.market.validation import ValidationReport
from evals.parents.arrivals import Seen, seen_at_arrival
from evals.parents.orders import ParentOrders

FAR_BPS: Final = 500
"""A limit further than this from the mid is far from the market."""

LONG_RUN: Final = 20
"""So many orders of one side in a row are a long run."""

_NOTES: Final = {
    "missing_venue": "arrive when the tape of some venue does not hold data, so that the venue is not live",
    "without_book": "arrive when no venue shows both sides",
    "off_lot": "are no whole number of lots on any of the venues",
    "below_minimum": "are below the smallest quantity or notional of every venue",
    "larger_than_book": "are larger than what all books together showed at their arrival",
    "larger_than_book_ever": "are larger than the most that all books together ever showed",
    "off_tick": "have a limit that is on no venue's tick",
    "limit_far_passive": f"have a limit more than {FAR_BPS} bps on the passive side: they will hardly trade",
    "limit_far_aggressive": f"have a limit more than {FAR_BPS} bps through the market: it protects from nothing",
    "same_arrival": "arrive at the same moment as the order before",
    "long_side_runs": f"runs of {LONG_RUN} and more orders of one side",
}


def validate_parents(parents: ParentOrders, tapes: Sequence[TapeSource]) -> ValidationReport:
    """Report on parent orders against one tape for each venue.

    Raises:
        InvalidInputError: if there is no tape, or one is of another symbol than the orders.
        TapeError: for whatever is wrong with a tape.

    """
    check_symbols(parents, tapes)
    seen = [seen_at_arrival(parents, tape) for tape in tapes]
    begins_ns, ends_ns = min(each.first_ns for each in seen), max(each.last_ns for each in seen)
    arrivals = parents.rows["arrival_ns"]
    outside, late = outside_of(parents, begins_ns, ends_ns)
    missing = np.any([(arrivals < each.first_ns) | (arrivals > each.last_ns) for each in seen], axis=0)
    sides = parents.rows["side"]
    summary = {
        "parents": len(parents),
        "buys": int((sides > 0).sum()),
        "sells": int((sides < 0).sum()),
        "venues": len(seen),
        "outside_tape": int(outside.sum()),
        "ending_after_tape": int(late.sum()),
        "missing_venue": int((missing & ~outside).sum()),
        **_against_books(parents, seen),
        **_overlapping(arrivals, arrivals + parents.rows["horizon_ns"]),
        "same_arrival": int((arrivals[1:] == arrivals[:-1]).sum()),
        **_side_runs(sides),
    }
    problems = [f"{summary[name]:,} {name}: {note}." for name, note in _NOTES.items() if summary[name]]
    return ValidationReport(summary=summary, problems=problems, refuse=refusals(parents, begins_ns, ends_ns))


def check_symbols(parents: ParentOrders, tapes: Sequence[TapeSource]) -> None:
    """Refuse tapes that orders cannot be executed on.

    Raises:
        InvalidInputError: if there is no tape, one is of another symbol, or two are of one venue.

    """
    if not tapes:
        raise InvalidInputError(
            "Parent orders are executed on tapes, and none is given. Name a dataset for each venue."
        )
    venues = [tape.info.instrument.venue for tape in tapes]
    for tape in tapes:
        instrument = tape.info.instrument
        if instrument.symbol != parents.symbol:
            raise InvalidInputError(
                f"The parent orders are in {parents.symbol}, the tape of {instrument.venue} is of {instrument.symbol}. "
                f"Give tapes of {parents.symbol}."
            )
        if venues.count(instrument.venue) > 1:
            raise InvalidInputError(f"Two tapes are of {instrument.venue}. Give one dataset for each venue.")


def outside_of(parents: ParentOrders, begins_ns: int, ends_ns: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which orders arrive outside a span of time, and which arrive within it and end after it."""
    arrivals = parents.rows["arrival_ns"]
    outside = (arrivals < begins_ns) | (arrivals > ends_ns)
    return outside, ~outside & (arrivals + parents.rows["horizon_ns"] > ends_ns)


def refusals(parents: ParentOrders, begins_ns: int, ends_ns: int) -> list[str]:
    """Say why orders cannot be executed over tapes of a span of time, each reason with the first such order."""
    reasons = []
    for which, what in zip(
        outside_of(parents, begins_ns, ends_ns),
        ("arrive outside the tapes", "work beyond the end of the tapes"),
        strict=True,
    ):
        if which.any():
            first = int(np.argmax(which))
            reasons.append(
                f"{int(which.sum()):,} parent orders {what}, which hold data from {utc(begins_ns)} to {utc(ends_ns)}; "
                f"the first is {parents.ids[first]}, {utc(int(parents.rows['arrival_ns'][first]))} for "
                f"{int(parents.rows['horizon_ns'][first]) / 1e9:g} s. Drop them, or give tapes that cover them."
            )
    return reasons


def _against_books(parents: ParentOrders, seen: Sequence[Seen]) -> dict[str, int]:
    rows = parents.rows
    qty, limit, side = rows["qty_1e8"], rows["limit_px_1e9"], rows["side"].astype(np.int64)
    both = [(each.bid_1e9 > 0) & (each.ask_1e9 > 0) for each in seen]
    has_book = np.any(both, axis=0)
    bid = np.max([np.where(there, each.bid_1e9, 0) for there, each in zip(both, seen, strict=True)], axis=0)
    ask = np.min([np.where(there, each.ask_1e9, 2**63 - 1) for there, each in zip(both, seen, strict=True)], axis=0)
    mid = np.where(has_book, bid // 2 + ask // 2, 0)
    limited = has_book & (limit > 0)
    beyond = (limit - mid) * side
    far = mid // 10_000 * FAR_BPS
    most = np.where(side > 0, sum(each.most_asks_1e8 for each in seen), sum(each.most_bids_1e8 for each in seen))
    instruments = [each.instrument for each in seen]
    too_small = [
        (qty < each.min_qty_1e8)
        | np.array([q * m < each.min_notional_1e9 * 10**8 for q, m in zip(qty.tolist(), mid.tolist(), strict=True)])
        for each in instruments
    ]
    return {
        "without_book": int((~has_book).sum()),
        "off_lot": int(np.all([qty % each.lot_size_1e8 != 0 for each in instruments], axis=0).sum()),
        "below_minimum": int((np.all(too_small, axis=0) & has_book).sum()),
        "larger_than_book": int((has_book & (qty > sum(each.depth_1e8 for each in seen))).sum()),
        "larger_than_book_ever": int((qty > most).sum()),
        "with_limit": int((limit > 0).sum()),
        "off_tick": int(np.all([limit % each.tick_size_1e9 != 0 for each in instruments], axis=0).sum()),
        "limit_far_passive": int((limited & (beyond < -far)).sum()),
        "limit_far_aggressive": int((limited & (beyond > far)).sum()),
    }


def _overlapping(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> dict[str, int]:
    """Return how many orders arrive while another works, and the most that work at one moment."""
    # An order that works at once only is there for its own moment.
    finished = np.searchsorted(np.sort(np.maximum(ends, begins + 1)), begins, side="right")
    working = np.arange(len(begins)) - finished
    return {"overlapping": int((working > 0).sum()), "overlapping_most": int(working.max()) + 1}


def _side_runs(sides: NDArray[np.int32]) -> dict[str, int]:
    runs = [sum(1 for _ in run) for _, run in groupby(sides.tolist())]
    return {"longest_side_run": max(runs), "long_side_runs": sum(run >= LONG_RUN for run in runs)}
