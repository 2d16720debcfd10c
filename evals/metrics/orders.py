"""What is kept of the actions: counts by kind, outcome and reject code, and how long orders rested."""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np

from evals.engine.layout import OUTCOMES, Records
from evals.metrics.histogram import Histogram
from evals.wasm.abi import NEW

_FIRST_RISK_CODE: Final = 100


class OrderSums:
    """Counts over rows of ORDER_LOG."""

    def __init__(self) -> None:
        self._outcomes: Counter[tuple[int, int]] = Counter()
        self._codes: Counter[int] = Counter()
        self.lifetimes_ns = Histogram()

    def add(self, rows: Records) -> None:
        """Count further actions; a row must have its last state."""
        joint = np.bincount(rows["kind"] * len(OUTCOMES) + rows["outcome"])
        for index in np.flatnonzero(joint).tolist():
            self._outcomes[divmod(index, len(OUTCOMES))] += int(joint[index])
        codes = rows["reject_code"]
        self._codes.update(codes[codes >= 0].tolist())
        arrived, done = rows["arrived_ns"], rows["done_ns"]
        rested = (rows["kind"] == NEW) & (arrived > 0) & (done > arrived)
        self.lifetimes_ns.add(done[rested] - arrived[rested])

    def actions(self, kind: int) -> int:
        """Count the actions of a kind, refused ones included."""
        return sum(count for (of, _), count in self._outcomes.items() if of == kind)

    def placed(self, *outcomes: int) -> int:
        """Count the new orders with one of these outcomes."""
        return sum(self._outcomes[NEW, outcome] for outcome in outcomes)

    def rejects(self, code: int) -> int:
        """Count the actions refused with a code."""
        return self._codes[code]

    @property
    def all_rejects(self) -> int:
        """Actions refused with any code."""
        return self._codes.total()

    @property
    def risk_breaches(self) -> int:
        """Actions refused with a code of the platform's own risk checks."""
        return sum(count for code, count in self._codes.items() if code >= _FIRST_RISK_CODE)
