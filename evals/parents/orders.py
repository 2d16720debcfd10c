"""Parent orders in memory: what a client or a desk wants done, one row each, in order of arrival."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PARENT: Final = np.dtype(
    [
        ("arrival_ns", "<i8"),  # when the router learns of the order, on the clock of receive_ns
        ("qty_1e8", "<i8"),  # > 0
        ("limit_px_1e9", "<i8"),  # worst price; 0: none
        ("horizon_ns", "<i8"),  # how long the order may work; 0: at once only
        ("participation_ppm", "<i8"),  # most of the market's volume that it may be; 0: no limit
        ("side", "<i4"),  # 1 buy, -1 sell
        ("urgency", "<i4"),  # 0 low, 1 medium, 2 high
    ],
    align=True,
)
"""A parent order as the kernels read it."""


@dataclass(frozen=True, eq=False)
class ParentOrders:
    """Parent orders of one symbol, sorted by arrival, then by id."""

    symbol: str
    ids: tuple[str, ...]
    """The ids by row, each once: ASCII, 1 to 64 characters."""
    rows: NDArray[np.void]
    """Rows of PARENT."""

    def __len__(self) -> int:
        return len(self.ids)
