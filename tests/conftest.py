"""Settings of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Kernels compile inside the first example and machines are shared, so no example has a deadline. `make test` draws the
# same examples each time: what CI refuses is reproducible. `make test-long` draws fresh ones.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

FIRST = ("ladders/", "evals/routing/kernels/test_displacement.py", "flows/", "sequence/")
"""What comes first: two files that compile the kernels of the two engines, each on a worker of its own, so that all
others find them; then folders whose files are few and long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let short files fill the last minutes of all workers."""
    folder = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(folder).as_posix()
        return next((at for at, each in enumerate(FIRST) if path.startswith(each)), len(FIRST))

    items.sort(key=rank)
