"""What must be known of the tapes before a run: the time they cover, and how volume spreads over the day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals.market.schema import BUY_TRADE, LAST_OF_PACKET, SELL_TRADE
from evals.market.source import TapeSource

DAY_NS: Final = 86_400 * 10**9
SECOND_NS: Final = 10**9


@dataclass(frozen=True)
class Survey:
    """The span of some tapes on the clock of receipt, and the volume traded on them by day and bin of the day."""

    first_ns: int
    last_ns: int
    events: int
    packets: int
    bin_ns: int
    highest_1e9: int
    """The highest price of any row."""
    volumes_1e8: dict[int, NDArray[np.int64]] = field(repr=False)
    """By UTC day since 1970, every day that has a row: size traded in each bin."""

    def curve_before(self, day: int) -> NDArray[np.int64] | None:
        """Return the volume by bin of all days before a day; None if there is no such day."""
        earlier = [volume for each, volume in self.volumes_1e8.items() if each < day]
        return np.sum(earlier, axis=0, dtype=np.int64) if earlier else None


def survey(tapes: Sequence[TapeSource], bin_s: int) -> Survey:
    """Read the tapes once and return what they cover."""
    bin_ns = bin_s * SECOND_NS
    volumes: dict[int, NDArray[np.int64]] = {}
    first_ns, last_ns, events, packets, highest_1e9 = 2**63 - 1, -(2**63), 0, 0, 0
    for tape in tapes:
        for chunk in tape.chunks():
            first_ns, last_ns = min(first_ns, int(chunk.receive_ns[0])), max(last_ns, int(chunk.receive_ns[-1]))
            highest_1e9 = max(highest_1e9, int(chunk.px_1e9.max()))
            events += len(chunk)
            packets += int(np.count_nonzero(chunk.flags & LAST_OF_PACKET))
            for day in np.unique(chunk.receive_ns // DAY_NS):
                volumes.setdefault(int(day), np.zeros(DAY_NS // bin_ns, np.int64))
            trades = (chunk.kind == BUY_TRADE) | (chunk.kind == SELL_TRADE)
            where, sizes = chunk.receive_ns[trades] // bin_ns, chunk.sz_1e8[trades]
            for each in np.unique(where):
                day, place = divmod(int(each), DAY_NS // bin_ns)
                volumes[day][place] += sizes[where == each].sum()
    return Survey(first_ns, last_ns, events, packets, bin_ns, highest_1e9, volumes)
