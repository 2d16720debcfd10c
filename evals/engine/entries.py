"""The kernels that Python calls, by address: given a record, Numba would describe it anew for each call, for 40 us."""

from __future__ import annotations

from typing import Any, Final

import numba

from evals.engine import loop
from evals.engine.kernel import kernel
from evals.engine.tables import asset_at_address, sim_at_address


@kernel
def start(sim_address: int) -> None:
    """See :func:`evals.engine.loop.start`."""
    loop.start(sim_at_address(sim_address, 0))


@kernel
def advance(sim_address: int, steps: int) -> int:
    """See :func:`evals.engine.loop.advance`."""
    return loop.advance(sim_at_address(sim_address, 0), steps)


@kernel
def finish(sim_address: int) -> bool:
    """See :func:`evals.engine.loop.finish`."""
    return loop.finish(sim_at_address(sim_address, 0))


@kernel
def hand_over(asset_address: int, reader: int) -> None:
    """See :func:`evals.engine.loop.hand_over`."""
    loop.hand_over(asset_at_address(asset_address, 0), reader)


_ENTRIES: Final[tuple[tuple[Any, int], ...]] = ((start, 1), (advance, 2), (finish, 1), (hand_over, 2))


def compile_entries() -> None:
    """Compile the kernels, or load them from the cache."""
    for entry, arguments in _ENTRIES:
        entry.compile((numba.int64,) * arguments)
