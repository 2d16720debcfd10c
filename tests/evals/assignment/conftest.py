"""A store with an assignment policy, tapes of two venues and parent orders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.catalog import Catalog
from bundles.evidence import Evaluation
from bundles.store import open_store
from evals.market.synthetic import DEFAULT_INSTRUMENT, synthetic_tape
from evals.market.tape import Tape
from evals.parents.calibration import calibrate
from evals.parents.generator import Wanted, generate_parents
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.parquet import write_parents
from tests.evals.assignment.desk import Desk, still


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Catalog(open_store((tmp_path / "store").as_uri())), tmp_path / "data")


@pytest.fixture(scope="session")
def markets() -> list[Tape]:
    """Three minutes of two venues around one price; alpha is dearer to take from."""
    found = []
    for venue, seed, fee in (("alpha", 1, 500), ("beta", 2, 300)):
        instrument = DEFAULT_INSTRUMENT.model_copy(update={"venue": venue, "taker_fee_ppm": fee})
        found.append(synthetic_tape(seed, duration_s=180, instrument=instrument))
    return found


@pytest.fixture(scope="session")
def orders(markets: list[Tape]) -> ParentOrders:
    return generate_parents(calibrate(markets[0]), Wanted(count=300, horizon_ns=10**9, size_multiple=30), seed=1)


@pytest.fixture
def trading(desk: Desk, markets: list[Tape], orders: ParentOrders) -> Desk:
    desk.holds(*markets)
    desk.models("alpha", "beta")
    desk.parents = write_parents(orders, importer="test")
    return desk


@pytest.fixture
def example(desk: Desk) -> Desk:
    """The example of `docs/assignment.md`."""
    desk.holds(
        still("alpha", 500, (99.90, 5), [(100.00, 1), (100.10, 2)]),
        still("beta", 300, (99.88, 3), [(100.02, 1.5), (100.20, 5)]),
    )
    desk.models("alpha", "beta")
    row = (11 * 10**9, 250_000_000, 0, 0, 0, 1, 1)
    desk.parents = write_parents(ParentOrders("BTC-USD", ("p-1",), np.array([row], PARENT)), importer="test")
    return desk


@pytest.fixture
def outputs() -> Callable[[Desk, Evaluation], list[dict[str, Any]]]:
    """The rows of the parents that an evaluation left."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(desk: Desk, evaluation: Evaluation) -> list[dict[str, Any]]:
        content = desk.catalog.blob(evaluation.outputs["parents"].digest)
        rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(content)).to_pylist()
        return rows

    return read
