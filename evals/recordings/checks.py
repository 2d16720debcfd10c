"""Whether a recording is of the bundle, the market and the window that it is to be judged on; all else is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundles.canonical import short_id
from bundles.errors import InvalidInputError
from bundles.evidence import Dataset
from evals.market.rules import utc
from evals.recordings.reading import Recording

ALLOWED_OUTSIDE_NS = 10_000_000_000
"""How far a fill's time, by the exchange's clock, may lie outside of the window, which is by the edge's."""


def window_of(recording: Recording) -> tuple[int, int]:
    """Return from when to when a deployment lived, by the edge's clock: from the first event or action to the last.

    Raises:
        InvalidInputError: if there is neither.

    """
    times = [rows["at_ns"] for name, rows in recording.rows.items() if name in {"actions", "events"} and len(rows)]
    if not times:
        raise InvalidInputError("The recording holds neither events nor actions: it has no window to review.")
    return min(int(each[0]) for each in times), max(int(each[-1]) for each in times)


def check_bundle(recording: Recording, digest: str, where: str) -> None:
    """Refuse the recording of another bundle; ``where`` stands for it in errors."""
    recorded = recording.document.bundle
    if recorded != digest:
        raise InvalidInputError(
            f"{where} was recorded of bundle {short_id('bun', recorded)} ({recorded}), not of {digest}. "
            "Review the bundle that was deployed."
        )


def check_market(recording: Recording, venues: Sequence[str], datasets: Sequence[Dataset], where: str) -> None:
    """Refuse datasets that are not, in this order, of the recording's venues and symbol, or do not cover its window."""
    symbol = recording.document.symbol
    wanted = ", ".join(f"{venue} {symbol}" for venue in venues)
    given = ", ".join(f"{each.venue} {each.symbol}" for each in datasets) or "none"
    if wanted != given:
        raise InvalidInputError(
            f"{where} was recorded on {wanted}; the datasets given are of {given}. Give one dataset for each, in this "
            "order."
        )
    start_ns, end_ns = window_of(recording)
    for dataset in datasets:
        first_ns, last_ns = dataset.partitions[0].first_ns, dataset.partitions[-1].last_ns
        if start_ns < first_ns or end_ns > last_ns:
            raise InvalidInputError(
                f"{where} lasts from {utc(start_ns)} to {utc(end_ns)}; dataset {dataset.dataset_id} covers only "
                f"{utc(first_ns)} to {utc(last_ns)}. Give a dataset that covers the whole window."
            )
    for name in ("fills", "children"):
        rows = recording.rows.get(name)
        if rows is None:
            continue
        at_ns = rows["at_ns"]
        outside = np.flatnonzero((at_ns < start_ns - ALLOWED_OUTSIDE_NS) | (at_ns > end_ns + ALLOWED_OUTSIDE_NS))
        if len(outside):
            row = rows[outside[0]]
            raise InvalidInputError(
                f"{where}: {name}, row with seq {row['seq']}, happened at {utc(int(row['at_ns']))}, outside of the "
                f"window {utc(start_ns)} to {utc(end_ns)}. Times of fills are the exchange's, in ns since 1970."
            )
