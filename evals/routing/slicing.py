"""Slicing: how much of a parent should be filled after each of its slices.

`twap`: in proportion to time. `vwap`: in proportion to the volume that traded at this time of day on the days before
the parent's own; where nothing traded then, in proportion to time. `pov`: a share of what the market traded since the
slice before, worked out as it runs. `immediate`: all at once.
"""

from __future__ import annotations

from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from bundles.manifests import SlicingPolicy
from evals.engine.arithmetic import muldiv
from evals.market.rules import utc
from evals.parents.orders import ParentOrders
from evals.routing.kernels.compiled import kernel
from evals.routing.settings import RoutingSettings
from evals.routing.survey import DAY_NS, Survey

_Int64s = NDArray[np.int64]
POLICIES: Final[tuple[str, ...]] = get_args(SlicingPolicy)


def check_slicing(slicing: str) -> None:
    """Refuse a policy that is not known; InvalidInputError lists those that are."""
    if slicing not in POLICIES:
        raise InvalidInputError(f"There is no slicing policy {slicing!r}. Choose one of {', '.join(POLICIES)}.")


def slice_counts(parents: ParentOrders, slicing: str, settings: RoutingSettings) -> _Int64s:
    """Return the number of slices of each parent."""
    if slicing == "immediate":
        return np.ones(len(parents), np.int64)
    counts: _Int64s = np.clip(parents.rows["horizon_ns"] // settings.interval_ns, 1, settings.slices)
    return counts


def check_earlier_days(parents: ParentOrders, found: Survey) -> None:
    """Refuse parents of a day before which the tapes have none; InvalidInputError names the first of them."""
    days = parents.rows["arrival_ns"] // DAY_NS
    first = min(found.volumes_1e8)
    early = np.flatnonzero(days <= first)
    if len(early):
        names = ", ".join(parents.ids[int(at)] for at in early[:3])
        raise InvalidInputError(
            f"vwap learns its curve of volume from days before a parent's own, and the tapes begin on "
            f"{utc(first * DAY_NS)[:10]}: {len(early)} parents arrive on or before it, first {names}. "
            "Give datasets that begin at least one UTC day earlier, leave these parents out, or slice by twap."
        )


def targets_of(parents: ParentOrders, slicing: str, counts: _Int64s, found: Survey) -> _Int64s:
    """Return what should be filled after each slice, by parent and slice."""
    targets = np.zeros((len(parents), int(counts.max(initial=1))), np.int64)
    rows = parents.rows
    columns = [np.ascontiguousarray(rows[name]) for name in ("qty_1e8", "arrival_ns", "horizon_ns")]
    if slicing == "pov":
        targets[:] = rows["qty_1e8"][:, None]
    elif slicing != "vwap":
        even_targets(targets, columns[0], counts)
    else:
        days = rows["arrival_ns"] // DAY_NS
        for day in np.unique(days):
            curve = found.curve_before(int(day))
            assert curve is not None, "checked before"  # noqa: S101
            sums = np.append(0, np.cumsum(curve))
            which = np.flatnonzero(days == day)
            curved_targets(targets, columns[0], columns[1], columns[2], counts, which, sums, found.bin_ns)
    return targets


@kernel
def even_targets(targets: _Int64s, qty_1e8: _Int64s, counts: _Int64s) -> None:
    """Fill in targets in proportion to time."""
    for parent in range(len(counts)):
        for of in range(counts[parent]):
            targets[parent, of] = muldiv(qty_1e8[parent], of + 1, counts[parent])


@kernel
def curved_targets(
    targets: _Int64s,
    qty_1e8: _Int64s,
    arrival_ns: _Int64s,
    horizon_ns: _Int64s,
    counts: _Int64s,
    which: _Int64s,
    sums: _Int64s,
    bin_ns: int,
) -> None:
    """Fill in targets in proportion to a curve of volume, given as running sums from 0."""
    for parent in which:
        start, slices = arrival_ns[parent], counts[parent]
        first_day = start // bin_ns // (len(sums) - 1)
        before = _volume_until(sums, bin_ns, first_day, start)
        whole = _volume_until(sums, bin_ns, first_day, start + horizon_ns[parent]) - before
        for of in range(slices):
            if whole > 0:
                end = start + muldiv(horizon_ns[parent], of + 1, slices)
                part = _volume_until(sums, bin_ns, first_day, end) - before
                targets[parent, of] = muldiv(qty_1e8[parent], part, whole)
            else:
                targets[parent, of] = muldiv(qty_1e8[parent], of + 1, slices)
        targets[parent, slices - 1] = qty_1e8[parent]


@kernel
def _volume_until(sums: _Int64s, bin_ns: int, first_day: int, at_ns: int) -> int:
    """Return the volume from the beginning of a day to a time, by a curve that repeats each day, as running sums."""
    bins = len(sums) - 1
    place = at_ns // bin_ns
    within = place % bins
    part = muldiv(sums[within + 1] - sums[within], at_ns % bin_ns, bin_ns)
    return (place // bins - first_day) * sums[bins] + sums[within] + part
