"""Lets several simulations advance side by side, window by window, until Python is needed."""

from __future__ import annotations

from typing import Final

import numpy as np

from evals.engine.kernel import kernel
from evals.engine.layout import NEVER, RUNNING, Record
from evals.engine.loop import advance, earliest_ns
from evals.engine.tables import get_word, sim_at_address
from evals.wasm import native

MEMBER: Final = np.dtype([("sim", "<i8"), ("running", "<i8")])
"""A simulation: the address of its record, and whether it has not ended yet."""

WINDOWS: Final = np.dtype(
    [
        ("members", "<i8"),
        ("count", "<i8"),
        ("length_ns", "<i8"),
        ("until_ns", "<i8"),
        # Which member stopped, and why.
        ("who", "<i8"),
        ("why", "<i8"),
    ]
)

POST, PAUSE = -1, -2
"""Instead of a member: messages wait for being delivered; many windows have passed."""
_WINDOWS_PER_PAUSE = 100_000
_MEMBER_WORDS = MEMBER.itemsize // 8


@kernel
def advance_all(windows: Record, steps: int) -> None:
    """Bring all members to the end of a window, and begin the next ones, until ``who`` needs something."""
    for _ in range(_WINDOWS_PER_PAUSE):
        start_ns, waiting = NEVER, False
        for i in range(windows.count):
            sim = sim_at_address(get_word(windows.members, i * _MEMBER_WORDS), 0)
            waiting |= get_word(sim.log, native.SENT) != get_word(sim.log, native.TAKEN)
            if get_word(windows.members, i * _MEMBER_WORDS + 1) == 0:
                continue
            sim.run.until_ns = windows.until_ns
            why = advance(sim, steps)
            at_ns = earliest_ns(sim)
            if why != RUNNING or at_ns < windows.until_ns:
                windows.who = i
                windows.why = why
                return
            start_ns = min(start_ns, at_ns)
            waiting |= get_word(sim.log, native.SENT) != get_word(sim.log, native.TAKEN)
        if waiting:
            windows.who = POST
            return
        windows.until_ns = start_ns + windows.length_ns
    windows.who = PAUSE
