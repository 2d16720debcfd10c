"""After every hostile module, an honest one must run as if nothing had happened."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evals.replay import ReplayResult
from tests.evals.hostile.modules import BUY, ROWS, trading

LIBC = ctypes.CDLL(None)
Play = Callable[..., ReplayResult]
_MIB = 1 << 20
_MOST_GROWTH_MIB = 96
"""What a process keeps of wasmtime's and numpy's pools after a hundred runs; one leaked guest memory would be 64."""

honest = trading(BUY)
digests: set[str] = set()
resident_before: dict[str, int] = {}


def resident_mib() -> int:
    """Return how much memory this process holds and could not give back; 0 where the system does not say."""
    if hasattr(LIBC, "malloc_trim"):  # what tests before these have freed would else come and go
        LIBC.malloc_trim(0)
    statm = Path("/proc/self/statm")
    return int(statm.read_text(encoding="ascii").split()[1]) * resource.getpagesize() // _MIB if statm.exists() else 0


@pytest.fixture(autouse=True)
def the_next_run_is_untouched(request: pytest.FixtureRequest, play: Play) -> Iterator[None]:
    """Run an honest algo after the test: same digest as before the first, and the process has not grown."""
    if not digests:
        digests.add(play(ROWS, honest).result_digest)
    before = resident_before.setdefault(request.node.path.name, resident_mib())
    yield
    after = play(ROWS, honest)
    assert (after.status, after.metrics["fills"]) == ("completed", 1)
    assert {after.result_digest} == digests
    assert resident_mib() - before < _MOST_GROWTH_MIB
