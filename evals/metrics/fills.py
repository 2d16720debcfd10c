"""What is kept of the fills: counts by reason, volume, what was earned against the mid, and what came after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evals.engine.layout import FILL_REASONS, TAKER, Int64s, Records
from evals.market.schema import Instrument
from evals.metrics.exact import dot, times_1e8, total
from evals.metrics.histogram import Histogram

HORIZONS: Final = ("100ms", "1s", "10s")


@dataclass
class Markout:
    """Sums over the fills whose mid after one horizon is known."""

    moved: int = 0
    """Sum of side * (mid then - price) * quantity * contract size."""
    traded: int = 0
    """Sum of price * quantity * contract size."""
    known: int = 0
    hits: int = 0
    """Fills that the mid then shows in profit."""
    known_makers: int = 0
    """Maker fills of which the mid at the fill is known too."""
    adverse: int = 0
    """Of these, those against which the mid moved after the fill."""


class FillSums:
    """Integer sums over rows of FILL_LOG; ``instruments`` by asset index."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = tuple(instruments)
        symbols = sorted({instrument.symbol for instrument in instruments})
        self._symbol_of_asset = np.array([symbols.index(instrument.symbol) for instrument in instruments])
        self._last_sign = [0] * len(symbols)
        self.by_reason = np.zeros(len(FILL_REASONS), np.int64)
        self.volume_1e9 = 0
        self.spread_1e9 = 0
        self.markouts = {horizon: Markout() for horizon in HORIZONS}
        self.ahead_1e8 = 0
        self.aheads = Histogram()
        self.sign_flips = 0

    @property
    def count(self) -> int:
        """All fills."""
        return int(self.by_reason.sum())

    @property
    def makers(self) -> int:
        """Fills of resting orders."""
        return self.count - int(self.by_reason[TAKER])

    def add(self, rows: Records) -> None:
        """Count further fills, in the order of the log."""
        self.by_reason += np.bincount(rows["reason"], minlength=len(FILL_REASONS))
        ahead = rows["queue_ahead_1e8"][rows["reason"] != TAKER]
        self.ahead_1e8 += total(ahead)
        self.aheads.add(ahead)
        for asset, own in _groups(rows, rows["asset"]):
            self._add_values(self._instruments[asset], own)
            for horizon, markout in self.markouts.items():
                _add_markout(markout, own, f"mid_{horizon}_1e9", self._instruments[asset].contract_size_1e8)
        for symbol, own in _groups(rows, self._symbol_of_asset[rows["asset"]]):
            self._add_flips(symbol, own["position_1e8"])

    def _add_values(self, instrument: Instrument, rows: Records) -> None:
        px, mid, qty = rows["px_1e9"], rows["mid_1e9"], rows["qty_1e8"]
        at_px = _values(instrument, px, qty)
        at_mid = _values(instrument, np.where(mid > 0, mid, px), qty)
        self.volume_1e9 += total(np.abs(at_px))
        self.spread_1e9 += dot(rows["side"], at_mid - at_px)

    def _add_flips(self, symbol: int, positions: Int64s) -> None:
        signs = np.sign(positions[positions != 0])
        if len(signs):
            self.sign_flips += int(np.count_nonzero(np.diff(signs)))
            self.sign_flips += self._last_sign[symbol] * int(signs[0]) < 0
            self._last_sign[symbol] = int(signs[-1])


def _groups(rows: Records, keys: Int64s) -> Iterator[tuple[int, Records]]:
    """Yield each key (small and not negative) with its rows; where there is but one, nothing is copied."""
    found = np.flatnonzero(np.bincount(keys)).tolist()
    for key in found:
        yield key, rows if len(found) == 1 else rows[keys == key]


def _add_markout(markout: Markout, rows: Records, column: str, contract_size_1e8: int) -> None:
    known = rows[column] > 0
    names = ("side", "px_1e9", "qty_1e8", "mid_1e9", "reason", column)
    side, px, qty, mid, reason, then = (rows[name][known] for name in names)
    moves = side * (then - px)
    markout.moved += dot(moves, qty) * contract_size_1e8
    markout.traded += dot(px, qty) * contract_size_1e8
    markout.known += len(px)
    markout.hits += int(np.count_nonzero(moves > 0))
    makers = (reason != TAKER) & (mid > 0)
    markout.known_makers += int(np.count_nonzero(makers))
    markout.adverse += int(np.count_nonzero(makers & (side * (then - mid) < 0)))


def _values(instrument: Instrument, px_1e9: Int64s, qty_1e8: Int64s) -> Int64s:
    """Return the value of a long position at each price, rounded towards zero as the engine does."""
    size = instrument.contract_size_1e8
    if instrument.contract == "inverse":
        values = [-(q * size * 100 // p) for p, q in zip(px_1e9.tolist(), qty_1e8.tolist(), strict=True)]
        return np.array(values, np.int64)
    return times_1e8(px_1e9, times_1e8(qty_1e8, size))
