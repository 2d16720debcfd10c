"""What parent orders must be, whatever file they come from: every row is checked, the first bad one is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from evals.parents.orders import PARENT, ParentOrders

LONGEST_HORIZON_NS: Final = 30 * 86_400 * 10**9
"""Thirty days: a longer horizon is a mistaken unit."""

LONGEST_ID: Final = 64
_SHOWN_IDS: Final = 5


def check_parents(parents: ParentOrders, name: str) -> None:
    """Check parent orders; ``name`` stands for where they come from in errors.

    Raises:
        InvalidInputError: for the first rule that is broken, naming row (from 1), id and column.

    """
    if parents.rows.dtype != PARENT or parents.rows.shape != (len(parents.ids),):
        raise InvalidInputError(
            f"{name}: {len(parents.ids)} ids and rows of {parents.rows.dtype} and shape {parents.rows.shape}. "
            "Give one row of PARENT for each id."
        )
    if not parents.ids:
        raise InvalidInputError(f"{name} holds no parent orders. Give at least one row.")
    _check_ids(parents.ids, name)
    rows = parents.rows
    bad: tuple[tuple[str, NDArray[np.bool_], str], ...] = (
        ("arrival_ns", rows["arrival_ns"] <= 0, "must be ns since 1970 UTC, more than 0"),
        ("side", np.abs(rows["side"].astype(np.int64)) != 1, "must be 1 (buy) or -1 (sell)"),
        ("qty_1e8", rows["qty_1e8"] <= 0, "must be more than 0"),
        ("limit_px_1e9", rows["limit_px_1e9"] < 0, "must be a price, or 0 for none"),
        (
            "horizon_ns",
            (rows["horizon_ns"] < 0) | (rows["horizon_ns"] > LONGEST_HORIZON_NS),
            "must lie within 0 (at once only) and thirty days",
        ),
        (
            "participation_ppm",
            (rows["participation_ppm"] < 0) | (rows["participation_ppm"] > 10**6),
            "must lie within 0 (no limit) and 1,000,000",
        ),
        ("urgency", (rows["urgency"] < 0) | (rows["urgency"] > 2), "must be 0 (low), 1 (medium) or 2 (high)"),
    )
    for column, wrong, rule in bad:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InvalidInputError(
                f"{name}: row {row + 1} ({parents.ids[row]}): {column} is {rows[column][row]}; it {rule}. "
                f"{int(wrong.sum())} rows break this rule. Correct them and write the file again."
            )
    _check_order(parents, name)


def _check_ids(ids: Sequence[str], name: str) -> None:
    for row, parent_id in enumerate(ids, 1):
        if not is_id(parent_id):
            raise InvalidInputError(
                f"{name}: row {row}: parent_id {parent_id!a} is not an id. Use 1 to {LONGEST_ID} printable ASCII "
                "characters without spaces."
            )
    if len(set(ids)) != len(ids):
        twice = [each for each, count in Counter(ids).items() if count > 1]
        more = f" and {len(twice) - _SHOWN_IDS} more" if len(twice) > _SHOWN_IDS else ""
        raise InvalidInputError(
            f"{name}: {', '.join(twice[:_SHOWN_IDS])}{more} stand there more than once. Every parent order has one "
            "row and an id of its own."
        )


def is_id(text: str) -> bool:
    """Tell whether a text can be a parent order's id."""
    return 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable() and " " not in text


def _check_order(parents: ParentOrders, name: str) -> None:
    arrivals = parents.rows["arrival_ns"]
    steps = arrivals[1:] - arrivals[:-1]
    backward = steps < 0
    for row in np.flatnonzero(steps == 0).tolist():
        backward[row] = parents.ids[row] > parents.ids[row + 1]
    if backward.any():
        row = int(np.argmax(backward)) + 1
        raise InvalidInputError(
            f"{name}: row {row + 1} ({parents.ids[row]}) comes before the row above it. Sort by arrival_ns, then by "
            "parent_id."
        )
