"""A few synthetic days of one symbol below a data root: an algo's home venue, two venues to route over, orders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from evals.market.synthetic import DEFAULT_INSTRUMENT, DEFAULT_START_NS, synthetic_tape, synthetic_venues
from evals.market.tape import Tape, write_tape
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.parquet import write_parents

SYMBOL: Final = DEFAULT_INSTRUMENT.symbol
HOME: Final = DEFAULT_INSTRUMENT.venue
VENUES: Final = {"alpha": 500, "beta": 300}
"""Taker fees in ppm."""
FIRST, LATER, DEPLOYED, RUNAWAY = range(4)
"""The days: what lower stages see, what live sees, what a deployment lived through, and one that runs away."""
DURATIONS_S: Final = (300, 600, 600, 300)
"""Of each day, for stages that ask for little."""
SHIPPED_S: Final = (3_601, 21_601, 86_400)
"""What the shipped policy asks for, and a second more, since the last row of a tape comes a little before its end; of a
deployment one UTC day."""
_DAY_NS: Final = 86_400 * 10**9
_HORIZON_NS: Final = 30 * 10**9
_MIDDLE: Final = np.int64(1 << 15)
"""Of the price levels that a synthetic market can reach."""


def day_of(number: int) -> date:
    return datetime.fromtimestamp(DEFAULT_START_NS // 10**9, UTC).date() + timedelta(days=number)


@dataclass(frozen=True)
class Markets:
    """The tapes and the parent orders of the days that somebody asked for.

    A day is where a tape begins: one that is longer runs on into the next.
    """

    root: Path
    days: tuple[int, ...]
    durations_s: tuple[int, ...] = DURATIONS_S
    orders: int = 150
    """Parent orders a day."""

    def write(self) -> Markets:
        for day in self.days:
            write_tape(self.root, self.home(day))
            for tape in self.venues(day):
                write_tape(self.root, tape)
            path = self.parents(day)
            path.parent.mkdir(parents=True)
            path.write_bytes(self._orders(day))
        return self

    def home(self, day: int) -> Tape:
        path = _falling(self.durations_s[day]) if day == RUNAWAY else None
        return synthetic_tape(7 + day, duration_s=self.durations_s[day], start_ns=_start_ns(day), fair_path=path)

    def venues(self, day: int) -> list[Tape]:
        instruments = [
            DEFAULT_INSTRUMENT.model_copy(update={"venue": venue, "taker_fee_ppm": fee})
            for venue, fee in VENUES.items()
        ]
        return synthetic_venues(70 + day, instruments, duration_s=self.durations_s[day], start_ns=_start_ns(day))

    def last_day(self, day: int) -> date:
        """Return the UTC day on which the tapes of a day end."""
        return day_of(day + (self.durations_s[day] - 1) // 86_400)

    def parents(self, day: int) -> Path:
        """Return where the orders of a day lie; nightly evaluations look there."""
        return self.root / "parents" / f"symbol={SYMBOL}" / f"date={day_of(day)}" / "orders.parquet"

    def _orders(self, day: int) -> bytes:
        """Return orders of both sides, worth 600 to 3,000 USD each, one after another over the whole day."""
        random = np.random.Generator(np.random.PCG64(day))
        rows = np.zeros(self.orders, PARENT)
        span_ns = self.durations_s[day] * 10**9 - _HORIZON_NS - 2 * 10**9
        rows["arrival_ns"] = _start_ns(day) + 10**9 + np.sort(random.integers(0, span_ns, self.orders))
        rows["qty_1e8"] = random.integers(10, 50, self.orders) * 100_000
        rows["horizon_ns"] = _HORIZON_NS
        rows["side"] = random.choice([1, -1], self.orders)
        names = tuple(f"order-{number:03}" for number in range(self.orders))
        return write_parents(ParentOrders(SYMBOL, names, rows), importer="test")


def _start_ns(day: int) -> int:
    return DEFAULT_START_NS + day * _DAY_NS


def _falling(duration_s: int) -> npt.NDArray[np.int64]:
    """Return a fair price that falls by one tick each time it moves: whoever makes such a market buys too dear."""
    return _MIDDLE - np.arange(_steps(duration_s), dtype=np.int64)


def _steps(duration_s: int) -> int:
    return duration_s * 100 // 32 + 1
