"""The peer's environment, made by `make .venv-peer/.made`, and how to run something in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evals.conftest import play, wat  # noqa: F401 -- fixtures

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-peer/bin/python"
_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def in_peer() -> Callable[..., str]:
    """Return what runs a script of benchmarks/peer in the peer's environment and returns its output."""
    if not PYTHON.exists():
        pytest.skip("hftbacktest is not installed; make .venv-peer/.made installs it")

    def run(script: str, *arguments: object) -> str:
        command = [str(PYTHON), str(ROOT / "benchmarks/peer" / script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        assert done.returncode == 0, done.stderr[-2_000:]
        return done.stdout

    return run
