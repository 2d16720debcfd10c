"""The memory of one run: the record that the kernels get, and the tables whose addresses it holds."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from evals.engine import layout
from evals.engine.books import move_window
from evals.engine.gateway import fuel_bucket
from evals.engine.layout import NO_KEY, Int64s, Records
from evals.engine.logs import RunLogs

_LOG_ROOM: Final = 8_192
_QUEUE_ROOM: Final = 4_096
_FAR_ROOM: Final = 1_024
_CHANGES_ROOM: Final = 4_096

FUEL_BUCKETS: Final = int(fuel_bucket.py_func(2**63 - 1)) + 1  # type: ignore[attr-defined]

_LOGS: Final = {"fills": layout.FILL_LOG, "orders": layout.ORDER_LOG, "equity": layout.EQUITY_LOG}
_COUNTS: Final = {"fills": "fills", "orders": "orders", "equity": "samples"}


class RunMemory:
    """Owns every table of a run; ``sim`` is the record of :data:`evals.engine.layout.SIM`."""

    def __init__(self, symbols: int, assets: int, logs: RunLogs) -> None:
        self._record = np.zeros(1, layout.SIM)
        self._logs = logs
        self.tables: dict[str, Any] = {}
        self.symbols = np.zeros(symbols, layout.SYMBOL)
        self.assets = np.zeros(assets, layout.ASSET)
        sim = self.sim
        sim["symbols"], sim["symbol_count"] = self.symbols.ctypes.data, symbols
        sim["assets"], sim["asset_count"] = self.assets.ctypes.data, assets
        self.attach("fuel_counts", np.zeros(FUEL_BUCKETS, np.int64))
        self.attach("mail", np.zeros(1, layout.MAIL))
        for name, dtype in _LOGS.items():
            self._new_log(name, np.zeros(_LOG_ROOM, dtype))
        for index, symbol in enumerate(self.symbols):
            self._keep(symbol, "slots", f"slots {index}", np.zeros(layout.MAX_ORDERS, layout.SLOT))
        for index, asset in enumerate(self.assets):
            self._furnish(index, asset)

    @property
    def sim(self) -> Any:
        """The record that kernels get."""
        return self._record[0]

    @property
    def address(self) -> int:
        """Where that record is."""
        return int(self._record.ctypes.data)

    def attach(self, name: str, table: Records | Int64s) -> None:
        """Keep a table alive and write its address into the run's record."""
        self._keep(self.sim, name, name, table)

    def keep(self, record: Any, field: str, index: int, table: Records | Int64s) -> None:
        """Keep a table of a symbol or an asset alive and write its address into the record."""
        self._keep(record, field, f"{field} {index}", table)

    def _keep(self, record: Any, field: str, name: str, table: Records | Int64s) -> None:
        self.tables[name] = table
        record[field] = table.ctypes.data

    def _furnish(self, index: int, asset: Any) -> None:
        book = asset["book"]
        for field, words in (
            ("sizes", 2 * layout.WINDOW),
            ("taken", 2 * layout.WINDOW),
            ("words", 2 * layout.WINDOW // 64),
            ("summary", 2 * layout.WINDOW // 4_096),
        ):
            self._keep(book, field, f"{field} {index}", np.zeros(words, np.int64))
        book["worst_key"] = book["far_best_key"] = book["top"] = NO_KEY
        book["ranks"] = book["top"].ctypes.data
        asset["low_key"], asset["high_key"] = -NO_KEY, NO_KEY
        self._new_far(index, _FAR_ROOM)
        for name in ("requests", "answers"):
            self._new_queue(index, name, 0)
        self._keep(asset, "changes", f"changes {index}", np.zeros(_CHANGES_ROOM, layout.CHANGE))
        asset["changes_room"] = _CHANGES_ROOM

    def make_room(self) -> None:
        """Make room for whatever the next step may need: it may sweep a side of a book, fill by fill."""
        sweep = int(self.assets["book"]["depth"].max(initial=0)) + _LOG_ROOM // 4
        for name in _LOGS:
            self._make_log_room(name, sweep)
        for index, asset in enumerate(self.assets):
            for name in ("requests", "answers"):
                if asset[name]["tail"] + sweep > asset[name]["room"]:
                    self._new_queue(index, name, sweep)
            if asset["changes_tail"] + layout.CHANGES_MARGIN - asset["changes_head"] > asset["changes_room"]:
                self._double_changes(index)
            if asset["book"]["wants_care"]:
                asset["book"]["wants_care"] = 0
                self._new_far(index, int(asset["book"]["depth"].max()) + _FAR_ROOM)
                for side in range(2):
                    if asset["book"]["misplaced"][side]:
                        move_window(asset["book"], side)

    def flush(self) -> None:
        """Hand every row that is left to the logs; the run is over."""
        for name in _LOGS:
            self._hand_over(name, int(self.sim["run"][_COUNTS[name]]))

    def _new_log(self, name: str, table: Records) -> None:
        self.attach(name, table)
        self.sim[f"{name}_room"] = len(table)

    def _make_log_room(self, name: str, room: int) -> None:
        """Hand over the rows that nothing will change any more; make the table larger if that is not enough."""
        self._hand_over(name, self._settled(name))
        sim, table = self.sim, self.tables[name]
        used = int(sim["run"][_COUNTS[name]] - sim[f"{name}_first"])
        if used + room > len(table):
            larger = np.zeros(2 * len(table) + room, table.dtype)
            larger[:used] = table[:used]
            self._new_log(name, larger)

    def _hand_over(self, name: str, end: int) -> None:
        sim, table = self.sim, self.tables[name]
        first, used = int(sim[f"{name}_first"]), int(sim["run"][_COUNTS[name]])
        count = end - first
        if count > 0:
            self._logs.add(name, table[:count])
            left = used - end
            table[:left] = table[count : count + left].copy()
            table[left : count + left].view(np.int64)[...] = 0
            sim[f"{name}_first"] = end

    def _settled(self, name: str) -> int:
        """Return the first row that may still change."""
        run = self.sim["run"]
        if name == "equity":
            return int(run["samples"])
        answers = np.concatenate(self._waiting("answers"))
        of_fills = answers["kind"] == layout.FILL
        if name == "fills":
            return int(answers["row"][of_fills].min(initial=run["markout_at"][2]))
        slots = np.concatenate([self.tables[f"slots {index}"] for index in range(len(self.symbols))])
        rows = [answers["row"][~of_fills], slots["order_row"][slots["used"] == 1]]
        rows += [requests["row"] for requests in self._waiting("requests")]
        return int(np.concatenate(rows).min(initial=run["orders"]))

    def _waiting(self, name: str) -> list[Records]:
        return [
            self.tables[f"{name} {index}"][int(asset[name]["head"]) : int(asset[name]["tail"])]
            for index, asset in enumerate(self.assets)
        ]

    def _new_queue(self, index: int, name: str, room: int) -> None:
        """Move what waits to the beginning of a queue and leave at least as much room again behind it."""
        queue = self.assets[index][name]
        table = self.tables.get(f"{name} {index}", np.zeros(0, layout.MESSAGE))
        waiting = table[int(queue["head"]) : int(queue["tail"])]
        moved = np.zeros(max(len(table), 2 * (len(waiting) + room), _QUEUE_ROOM), layout.MESSAGE)
        moved[: len(waiting)] = waiting
        queue["head"], queue["tail"], queue["room"] = 0, len(waiting), len(moved)
        self._keep(queue, "at", f"{name} {index}", moved)

    def _double_changes(self, index: int) -> None:
        asset, old = self.assets[index], self.tables[f"changes {index}"]
        room = len(old)
        larger = np.zeros(2 * room, layout.CHANGE)
        for number in range(int(asset["changes_head"]), int(asset["changes_tail"])):
            larger[number & (2 * room - 1)] = old[number & (room - 1)]
        asset["changes_room"] = 2 * room
        self._keep(asset, "changes", f"changes {index}", larger)

    def _new_far(self, index: int, room: int) -> None:
        """Put a book's far levels in the middle of a table with at least ``room`` at either end of each side."""
        book = self.assets[index]["book"]
        old = self.tables.get(f"far {index}")
        capacity = int(book["far_depth"].max()) + 2 * room
        if old is not None:
            capacity = max(capacity, old.shape[1])
        levels = np.zeros((2, capacity), layout.FAR_LEVEL)
        for side in range(2):
            depth, first = int(book["far_depth"][side]), int(book["far_first"][side])
            middle = (capacity - depth) // 2
            if old is not None:
                levels[side, middle : middle + depth] = old[side, first : first + depth]
            book["far_first"][side] = middle
        book["far_capacity"] = capacity
        self._keep(book, "far", f"far {index}", levels)
