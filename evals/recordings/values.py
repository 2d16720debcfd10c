"""What rows of a recording can say: one rule for whoever writes them and for whoever reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from evals.recordings.schema import (
    DOCUMENT_NAME,
    EVENT_KINDS,
    HEARTBEAT,
    LONGEST_DETAIL,
    PolicyRecording,
    RecordingDocument,
)

Rows: TypeAlias = NDArray[np.void]
"""Rows of a stream, of its DTYPES."""

LARGEST: Final = 2**62
"""Nothing in a recording, and no sum over it, is larger: 64 bits then hold the sum of any two."""


def check_values(document: RecordingDocument, name: str, rows: Rows) -> None:
    """Check rows of a stream that follow one another.

    Raises:
        InvalidInputError: naming stream, row and what is wrong with it.

    """
    at_ns = rows["at_ns"]
    refuse(name, rows, (at_ns <= 0) | (at_ns >= LARGEST), "at_ns is no time in ns since 1970")
    if name not in {"fills", "children"}:  # a venue may report a fill late
        refuse(name, rows[1:], at_ns[1:] < at_ns[:-1], "at_ns goes back. Record by a clock that does not")
    if name == "events":
        _check_events(rows)
    elif name == "actions":
        _check_actions(rows)
    elif name == "fills":
        _check_fills(rows)
    elif isinstance(document, PolicyRecording):
        _check_children(rows, len(document.venues))


def check_details(name: str, texts: Iterable[str]) -> None:
    """Check the texts of events; InvalidInputError for one that is too long."""
    longest = max((len(text.encode()) for text in texts), default=0)
    if longest > LONGEST_DETAIL:
        raise InvalidInputError(f"{name}: a detail has {longest} bytes; at most {LONGEST_DETAIL} are allowed.")


def refuse(stream: str, rows: Rows, bad: NDArray[np.bool_], what: str) -> None:
    """Refuse the first bad row of a stream."""
    if bad.any():
        raise InvalidInputError(f"{stream}, row with seq {rows['seq'][int(bad.argmax())]}: {what}.")


def _check_events(events: Rows) -> None:
    kind = events["kind"]
    refuse("events", events, (kind < 0) | (kind >= len(EVENT_KINDS)), f"kind is none of 0 to {HEARTBEAT}")


def _check_actions(actions: Rows) -> None:
    kind, side, order_type = actions["kind"], actions["side"], actions["order_type"]
    refuse("actions", actions, (kind < 0) | (kind > 3), "kind is none of 0 place, 1 cancel, 2 amend, 3 intent")
    refuse("actions", actions, (side < -1) | (side > 1), "side is neither 1, -1 nor 0")
    refuse("actions", actions, actions["reject_code"] < -1, "reject_code is below -1")
    # What the algo sent and was refused may be any nonsense; what was taken may not.
    placed = (kind == 0) & (actions["reject_code"] < 0)
    refuse("actions", actions, placed & (side == 0), "an order that was taken has no side")
    refuse("actions", actions, placed & ((order_type < 0) | (order_type > 4)), "order_type is none of 0 to 4")
    refuse("actions", actions, placed & (actions["qty_1e8"] <= 0), "an order that was taken has no quantity")


def _check_fills(fills: Rows) -> None:
    _check_executions("fills", fills)
    refuse("fills", fills, (fills["is_maker"] < 0) | (fills["is_maker"] > 1), "is_maker is neither 0 nor 1")


def _check_children(children: Rows, venues: int) -> None:
    _check_executions("children", children)
    bad = (children["venue"] < 0) | (children["venue"] >= venues)
    refuse("children", children, bad, f"venue is none of the {venues} that {DOCUMENT_NAME} names")
    refuse("children", children, children["parent"] < 0, "parent is negative")


def _check_executions(name: str, rows: Rows) -> None:
    px, qty, fee = rows["px_1e9"], rows["qty_1e8"], rows["fee_1e9"]
    refuse(name, rows, px <= 0, "px_1e9 is not positive")
    refuse(name, rows, qty <= 0, "qty_1e8 is not positive")
    refuse(name, rows, np.abs(rows["side"]) != 1, "side is neither 1 nor -1")
    value = px.astype(np.float64) * qty / 1e8 + np.abs(fee.astype(np.float64))
    refuse(name, rows, np.cumsum(value) > LARGEST, "the fills so far are worth more than 64 bits can count")
    held = np.cumsum(qty.astype(np.float64))
    refuse(name, rows, held > LARGEST, "the fills so far are of more than 64 bits can count")
