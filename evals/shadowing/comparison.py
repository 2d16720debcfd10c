"""What tells two runs over the same tapes apart: what they earned in each interval, what they did, what they held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from evals.engine.layout import EQUITY_LOG, ORDER_LOG
from evals.engine.logs import RowFile
from evals.metrics.exact import total
from evals.shadowing.aligning import stretches

if TYPE_CHECKING:
    from evals.engine.layout import Records
    from evals.replay import ReplayResult

DIFFERENCE: Final = np.dtype([("at_ns", "<i8"), ("candidate_1e9", "<i8"), ("incumbent_1e9", "<i8")])
"""One interval between two equity samples: when it ended, and what either earned in it."""

_ACTION: Final = ("decided_ns", "px_1e9", "qty_1e8", "kind", "side", "asset")
"""What two actions must have in common to be the same; order ids and order types may differ."""


@dataclass(frozen=True)
class Comparison:
    """What two completed runs over the same tapes differ in."""

    differences: RowFile
    """Rows of DIFFERENCE, one an interval."""
    actions_alike: int
    actions_either: int
    """Actions that both took alike, and actions that either took, those once: intersection and union of multisets."""
    held_alike_1e8: int
    held_either_1e8: int
    """Over samples and symbols: the smaller of two positions of one sign, and the larger of the two sizes."""

    @property
    def action_agreement(self) -> float | None:
        """The share of the actions that both took alike; None if neither took any."""
        return self.actions_alike / self.actions_either if self.actions_either else None

    @property
    def inventory_overlap(self) -> float | None:
        """The share of the inventory that both held; None if neither held any."""
        return self.held_alike_1e8 / self.held_either_1e8 if self.held_either_1e8 else None


def compare(candidate: ReplayResult, incumbent: ReplayResult | None) -> Comparison:
    """Compare two runs; None is the flat baseline, which never trades.

    Raises:
        ValueError: if the two were not sampled at the same times: they ran over different tapes, or one broke.

    """
    differences = RowFile(DIFFERENCE)
    mine = candidate.rows["equity"]
    theirs = RowFile(EQUITY_LOG) if incumbent is None else incumbent.rows["equity"]
    alike = either = 0
    equities = (0, 0)
    for one, other in stretches(mine, theirs, "exchange_ns"):
        flat = _flat(one) if incumbent is None else other
        if not np.array_equal(one[["exchange_ns", "symbol"]], flat[["exchange_ns", "symbol"]]):
            raise ValueError(
                "The runs were not sampled at the same times: they cannot be compared interval by interval."
            )
        rows, equities = _differences(one, flat, equities)
        differences.append(rows)
        held = _held(one["position_1e8"], flat["position_1e8"])
        alike, either = alike + held[0], either + held[1]
    acted = _acted(candidate.rows["orders"], RowFile(ORDER_LOG) if incumbent is None else incumbent.rows["orders"])
    return Comparison(differences, *acted, alike, either)


def _flat(samples: Records) -> Records:
    """Return the samples of a run that never traded."""
    flat = samples.copy()
    for name in ("cash_1e9", "position_1e8", "equity_1e9", "fees_1e9"):
        flat[name] = 0
    return flat


def _differences(one: Records, other: Records, before: tuple[int, int]) -> tuple[Records, tuple[int, int]]:
    """Return the intervals that end with some samples, and the equities at their end; a run starts with nothing."""
    # A sample is one row for each symbol, always in the same order.
    symbols = int(one["symbol"].max()) + 1
    rows = np.zeros(len(one) // symbols, DIFFERENCE)
    rows["at_ns"] = one["exchange_ns"][::symbols]
    ends = []
    for name, samples, start in (("candidate_1e9", one, before[0]), ("incumbent_1e9", other, before[1])):
        equity = samples["equity_1e9"].reshape(-1, symbols).sum(axis=1)
        rows[name] = np.diff(equity, prepend=start)
        ends.append(int(equity[-1]))
    return rows, (ends[0], ends[1])


def _held(one: Records, other: Records) -> tuple[int, int]:
    sizes = np.abs(one), np.abs(other)
    same_sign = np.sign(one) == np.sign(other)
    return total(np.where(same_sign, np.minimum(*sizes), 0)), total(np.maximum(*sizes))


def _acted(mine: RowFile, theirs: RowFile) -> tuple[int, int]:
    """Return the sizes of intersection and union of two order logs."""
    alike = sum(_common(*pair) for pair in stretches(mine, theirs, "decided_ns"))
    return alike, len(mine) + len(theirs) - alike


def _common(one: Records, other: Records) -> int:
    """Return how many actions two pieces of order logs have in common, each as often as it stands in both."""
    if len(one) == len(other) and all(np.array_equal(one[name], other[name]) for name in _ACTION):
        return len(one)
    if not len(one) or not len(other):
        return 0
    one, other = _decided_with(one, other), _decided_with(other, one)
    # One number for each action: a product of the numbers of three columns at a time stays far below 2^63.
    numbers = np.zeros(len(one) + len(other), np.int64)
    for place, name in enumerate(_ACTION, start=1):
        values, which = np.unique(np.concatenate([one[name], other[name]]), return_inverse=True)
        numbers = numbers * len(values) + which
        if place % 3 == 0:
            numbers = np.unique(numbers, return_inverse=True)[1]
    counts = [np.bincount(part, minlength=len(numbers)) for part in (numbers[: len(one)], numbers[len(one) :])]
    return int(np.minimum(*counts).sum())


def _decided_with(rows: Records, others: Records) -> Records:
    """Return the actions at times at which others were decided, too; both are in order of time."""
    times, other_times = rows["decided_ns"], np.ascontiguousarray(others["decided_ns"])
    nearest = np.minimum(np.searchsorted(other_times, times), len(others) - 1)
    chosen: Records = rows[other_times[nearest] == times]
    return chosen
