"""The memory of one run: the record that the kernels get, and the tables whose addresses it holds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from evals.engine import layout
from evals.engine.gateway import fuel_bucket
from evals.engine.layout import Int64s, Records

_FIRST_ROOM: Final = 4_096
_QUEUES: Final = ("answers", "requests")
_LOGS: Final = {"fills": "fills", "orders": "orders", "equity": "samples"}
"""Log tables and the field of the run that counts their rows."""

FUEL_BUCKETS: Final = int(fuel_bucket.py_func(2**63 - 1)) + 1  # type: ignore[attr-defined]


class RunMemory:
    """Owns every table of a run; ``sim`` is the record of :data:`evals.engine.layout.SIM`."""

    def __init__(self) -> None:
        self._record = np.zeros(1, layout.SIM)
        self.tables: dict[str, Any] = {}
        self.attach("slots", np.zeros(layout.MAX_ORDERS, layout.SLOT))
        self.attach("fuel_counts", np.zeros(FUEL_BUCKETS, np.int64))
        for name, dtype in {
            "fills": layout.FILL_LOG,
            "orders": layout.ORDER_LOG,
            "equity": layout.EQUITY_LOG,
            "answers": layout.MESSAGE,
            "requests": layout.MESSAGE,
        }.items():
            self.attach(name, np.zeros(_FIRST_ROOM, dtype))
        for name in ("book", "local"):
            self.sim[name]["changed"] = ((0, 2**30), (0, 2**30))
            self._new_levels(name, _FIRST_ROOM)

    @property
    def sim(self) -> Any:
        """The record that kernels get."""
        return self._record[0]

    def attach(self, name: str, table: Records | Int64s) -> None:
        """Keep a table alive and write its address, and its room where the kernels ask for that."""
        self.tables[name] = table
        self.sim[name] = table.ctypes.data
        if f"{name}_room" in (self._record.dtype.names or ()):
            self.sim[f"{name}_room"] = len(table)

    def log(self, name: str) -> Records:
        """Return a copy of a log table, exactly as long as what happened."""
        rows: Records = self.tables[name][: int(self.sim["run"][_LOGS[name]])].copy()
        return rows

    def make_room(self) -> None:
        """Make room for whatever the next step may need: it may sweep a side of the book or apply a whole packet."""
        run = self.sim["run"]
        packet = int(run["packet_end"] - run["packet_at"]) + 1
        room = int(max(self.sim["book"]["depth"].max(), self.sim["local"]["depth"].max())) + packet + _FIRST_ROOM // 4
        for name, count in _LOGS.items():
            self._grow_log(name, int(run[count]), room)
        for name in _QUEUES:
            self._make_queue_room(name, room)
        for name in ("book", "local"):
            self._new_levels(name, packet + _FIRST_ROOM // 4)

    def _grow_log(self, name: str, used: int, room: int) -> None:
        log = self.tables[name]
        if used + room > len(log):
            larger = np.zeros(2 * len(log) + room, log.dtype)
            larger[:used] = log[:used]
            self.attach(name, larger)

    def _make_queue_room(self, name: str, room: int) -> None:
        """Move what waits to the beginning of the queue and leave at least as much room again behind it."""
        run, queue = self.sim["run"], self.tables[name]
        waiting = queue[int(run[f"{name}_head"]) : int(run[f"{name}_tail"])]
        moved = np.zeros(max(len(queue), 2 * (len(waiting) + room)), queue.dtype)
        moved[: len(waiting)] = waiting
        run[f"{name}_head"], run[f"{name}_tail"] = 0, len(waiting)
        self.attach(name, moved)

    def _new_levels(self, name: str, room: int) -> None:
        """Put a book's levels in the middle of a table with at least ``room`` at either end of each side."""
        book = self.sim[name]
        capacity = max(int(book["capacity"]), int(book["depth"].max()) * 2 + 2 * room)
        levels = np.zeros((2, capacity), layout.LEVEL)
        for side in range(2):
            depth, old = int(book["depth"][side]), int(book["first"][side])
            first = (capacity - depth) // 2
            if depth:
                levels[side, first : first + depth] = self.tables[f"{name}.levels"][side, old : old + depth]
            book["first"][side] = first
        self.tables[f"{name}.levels"] = levels
        book["levels"] = levels.ctypes.data
        book["capacity"] = capacity
