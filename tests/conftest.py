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

LONG_FIRST = ("ladders", "flows", "sequence")
"""Folders whose files are few and long; the first compiles the kernels that the others then find."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let short files fill the last minutes of all workers."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONG_FIRST.index(folder) if folder in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=rank)
