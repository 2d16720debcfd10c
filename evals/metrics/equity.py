"""What is kept of the equity samples: changes, drawdown, positions and exposure.

A sample is one row for each symbol, always in the same order; its equity and fees are the sums over the rows.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from evals.engine.layout import Records
from evals.metrics.exact import dot, total

_YEAR_NS: Final = 365 * 86_400 * 10**9


class EquitySums:
    """Integer sums over rows of EQUITY_LOG; ``symbols`` rows make a sample."""

    def __init__(self, symbols: int) -> None:
        self._symbols = symbols
        self.samples = 0
        self.equity_1e9 = 0
        self.fees_1e9 = 0
        self.position_1e8 = 0
        # Changes of equity from one sample to the next: their sum and the sum of their squares.
        self._changes_1e9 = 0
        self._squares_1e18 = 0
        self._peak_1e9 = 0
        self.drawdown_1e9 = 0
        self.below_peak = 0
        self.positions_1e8 = 0
        self.abs_positions_1e8 = 0
        self.long = 0
        self.short = 0
        self.flat = 0
        self.exposures_1e9 = 0
        self.exposure_1e9 = 0

    def add(self, rows: Records) -> None:
        """Take further samples; rows of one sample come together.

        Raises:
            ValueError: if the rows are not whole samples.

        """
        if len(rows) == 0:
            return
        equities, cash, positions, fees = (
            rows[name].reshape(-1, self._symbols) for name in ("equity_1e9", "cash_1e9", "position_1e8", "fees_1e9")
        )
        equity = equities.sum(axis=1)
        # Nothing comes before the first sample: it adds a change of 0, which the count below leaves out.
        changes = np.diff(equity, prepend=self.equity_1e9 if self.samples else equity[0])
        self._changes_1e9 += total(changes)
        self._squares_1e18 += dot(changes, changes)
        peaks = np.maximum.accumulate(np.maximum(equity, self._peak_1e9))
        self.drawdown_1e9 = max(self.drawdown_1e9, int((peaks - equity).max()))
        self.below_peak += int(np.count_nonzero(equity < peaks))
        self._peak_1e9 = int(peaks[-1])
        self.positions_1e8 += total(positions)
        self.abs_positions_1e8 += total(np.abs(positions))
        self.long += int(np.count_nonzero((positions > 0).any(axis=1)))
        self.short += int(np.count_nonzero((positions < 0).any(axis=1)))
        self.flat += int(np.count_nonzero((positions == 0).all(axis=1)))
        exposure = np.abs(equities - cash).sum(axis=1)
        self.exposures_1e9 += total(exposure)
        self.exposure_1e9 = max(self.exposure_1e9, int(exposure.max()))
        self.samples += len(equity)
        self.equity_1e9 = int(equity[-1])
        self.fees_1e9 = int(fees[-1].sum())
        self.position_1e8 = int(positions[-1].sum())

    def sharpe(self, interval_ns: int) -> float | None:
        """Return mean / standard deviation (n - 1) of the changes x sqrt(365 days / interval); None without variance.

        The ratio is that of Sharpe (1994), "The Sharpe Ratio", with a benchmark of 0; the capital is fixed, so it
        cancels. Scaling by the root of time takes the changes for uncorrelated (Lo 2002, "The Statistics of Sharpe
        Ratios").
        """
        n = self.samples - 1
        # n^2 times the variance with n in the denominator, an integer: nothing cancels before it is divided.
        spread = n * self._squares_1e18 - self._changes_1e9**2
        if n < 2 or spread == 0:
            return None
        return self._changes_1e9 * math.sqrt((n - 1) / (n * spread)) * math.sqrt(_YEAR_NS / interval_ns)
