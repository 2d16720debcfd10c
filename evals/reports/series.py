"""Rows of recorded logs on their way into a chart: columns that may be missing, and fewer points that tell the same."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_POINTS: Final = 4_000
"""Points that the lines of one chart keep; longer series keep the extremes of equal stretches."""

MOST_MARKS: Final = 3_000
"""Marks such as fills that one chart shows; of more, an even sample."""


def has(rows: NDArray[Any] | None, *names: str) -> bool:
    """Tell whether there are rows at all, with these columns."""
    return rows is not None and len(rows) > 0 and has_columns(rows, *names)


def has_columns(rows: NDArray[Any], *names: str) -> bool:
    """Tell whether a log, which may be empty, has these columns."""
    return set(names) <= set(rows.dtype.names or ())


def column(rows: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a column, zeros where the log (of an older engine, say) lacks it."""
    return rows[name] if name in (rows.dtype.names or ()) else np.zeros(len(rows), np.int64)


def sample(rows: NDArray[Any], most: int = MOST_MARKS) -> NDArray[Any]:
    """Return an even sample of at most so many rows."""
    return rows[:: -(-max(len(rows), 1) // most)]


def extremes(values: NDArray[Any], most: int = MOST_POINTS) -> list[int]:
    """Return the rows to draw: both ends, and the lowest and highest value of equal stretches."""
    if len(values) <= most:
        return list(range(len(values)))
    edges = np.linspace(0, len(values), most // 2, dtype=np.int64)
    keep = {0, len(values) - 1}
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        keep.update((int(start + stretch.argmin()), int(start + stretch.argmax())))
    return sorted(keep)


def bps(amounts_1e9: NDArray[Any], notionals_1e9: NDArray[Any]) -> NDArray[np.float64]:
    """Return amounts in bps of notionals; NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = amounts_1e9.astype(np.float64) / notionals_1e9.astype(np.float64) * 1e4
    return np.where(notionals_1e9 > 0, ratio, np.nan)
