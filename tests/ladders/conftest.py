"""Markets that are made once, an algo that trades, and firms whose bundles climb."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bundles.catalog import Catalog
from bundles.store import open_store
from bundles.toolchain import ToolchainMissingError
from tests.evals.conftest import compiled_algo
from tests.ladders.firm import Climber, Firm
from tests.ladders.markets import DEPLOYED, FIRST, LATER, RUNAWAY, Markets

__all__ = ["compiled_algo"]


@pytest.fixture(scope="session")
def markets(tmp_path_factory: pytest.TempPathFactory) -> Markets:
    """Return the tapes of all days."""
    return Markets(tmp_path_factory.mktemp("markets"), (FIRST, LATER, DEPLOYED, RUNAWAY)).write()


@pytest.fixture(scope="session")
def maker(compiled_algo: Callable[[str], bytes]) -> bytes:
    """Return a market maker's module."""
    try:
        return compiled_algo("maker")
    except ToolchainMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def firm(tmp_path: Path, markets: Markets) -> Firm:
    """Return a firm without bundles."""
    return Firm(Catalog(open_store((tmp_path / "store").as_uri())), markets, tmp_path).govern()


@pytest.fixture(params=["edge", "sor", "assignment"])
def climber(request: pytest.FixtureRequest, firm: Firm) -> Climber:
    """Return a bundle of each kind, at the foot of its ladder."""
    if request.param == "sor":
        return firm.routing()
    if request.param == "assignment":
        return firm.assignment()
    return firm.algo(request.getfixturevalue("maker"))
