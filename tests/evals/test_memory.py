"""Memory is set by a chunk of the tape and the pace of the run, not by their length."""

from __future__ import annotations

import subprocess
import sys

LONGER = 10
MOST = 1.1
SCRIPT = """
import resource, sys
from evals.market.source import Columns
from evals.market.tape import Tape
from evals.replay import ReplaySettings
from tests.evals.engine.busy_algo import busy_algo, market, replay

class Again:
    def __init__(self, tape, times):
        self.tape, self.info, self.times = tape, tape.info, times

    def chunks(self):
        span_ns = int(self.tape.events["receive_ns"][-1] - self.tape.events["receive_ns"][0]) + 10**9
        for turn in range(self.times):
            events = self.tape.events.copy()
            for clock in ("exchange_ns", "receive_ns"):
                events[clock] += turn * span_ns
            yield Columns.of(events)

times = int(sys.argv[1])
result = replay(Again(market(seconds=60), times), busy_algo(far_orders=0), settings=ReplaySettings())
assert result.status == "completed", result.detail
print(result.coverage.events, result.metrics["orders"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _run(times: int) -> tuple[int, int, int]:
    """Return rows, orders and the most memory that a process had, in KiB."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(times)], capture_output=True, text=True, check=True)
    rows, orders, most = map(int, done.stdout.split())
    return rows, orders, most


def test_a_tape_ten_times_as_long_takes_no_more_memory() -> None:
    (rows, orders, little), (many_rows, many_orders, much) = _run(8), _run(8 * LONGER)
    assert many_rows == LONGER * rows
    assert many_orders > (LONGER - 1) * orders
    assert much <= MOST * little
