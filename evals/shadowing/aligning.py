"""Two logs side by side: pieces of both that cover the same stretch of time, whatever the length of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from evals.engine.layout import Records
    from evals.engine.logs import RowFile


def stretches(one: RowFile, other: RowFile, clock: str) -> Iterator[tuple[Records, Records]]:
    """Yield the rows of two logs of one kind by stretches of time, in order; ``clock`` never goes back in either.

    Rows of one instant are in one stretch.
    """
    sides = (_Side(one, clock), _Side(other, clock))
    while not all(side.is_over for side in sides):
        behind = min((side for side in sides if not side.is_over), key=lambda side: side.last)
        settled = [side.before(behind.last) for side in sides]
        if len(settled[0]) or len(settled[1]):
            yield settled[0], settled[1]
        behind.read()
    if len(sides[0].rows) or len(sides[1].rows):
        yield sides[0].rows, sides[1].rows


class _Side:
    """What was read of one log and not yet handed on."""

    def __init__(self, log: RowFile, clock: str) -> None:
        self._pieces = log.pieces()
        self._clock = clock
        self.rows: Records = np.zeros(0, log.dtype)
        self.is_over = False
        self.last = 0
        """The time of the last row that was read."""
        self.read()

    def read(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self.is_over = True
            return
        self.rows = np.concatenate([self.rows, piece]) if len(self.rows) else piece
        self.last = int(piece[self._clock][-1])

    def before(self, time: int) -> Records:
        """Hand on the rows before a time."""
        count = int(np.searchsorted(self.rows[self._clock], time))
        settled, self.rows = self.rows[:count], self.rows[count:]
        return settled
