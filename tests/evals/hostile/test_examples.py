"""Algos that others compiled, on recorded markets: whatever lies in the folder EXAMPLE_ALGOS must run to the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.market.binance import import_binance
from evals.market.gdax import import_gdax
from evals.market.tape import Tape
from evals.replay import run_replay
from tests.evals.market.conftest import RAW

FOLDER = os.environ.get("EXAMPLE_ALGOS", "")
EXAMPLES = sorted(Path(FOLDER).glob("*.wasm")) if FOLDER else []
LIMITS = {
    "default limits": MmRiskLimits(),
    "wide limits": MmRiskLimits(max_position_1e8=10**12, max_order_notional_1e9=10**18, max_order_rate=10**4),
}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not EXAMPLES, reason="EXAMPLE_ALGOS names no folder with .wasm files"),
    pytest.mark.skipif(not RAW.is_dir(), reason="MARKET_DATA_RAW names no folder with recorded samples"),
]


@pytest.fixture(scope="module", params=["gdax", "binance"])
def tape(request: pytest.FixtureRequest) -> Tape:
    if request.param == "gdax":
        folder = RAW / "gdax-btcusd-l3-2018-07-13"
        return import_gdax(folder / "beginning_level_3.json.gz", folder / "messages.json.gz")
    folder = RAW / "binance-2024-08-08"
    return import_binance([folder / f"spot_btcusdt_2024080{day}.gz" for day in (8, 9)], market="spot")


@pytest.mark.parametrize("risk", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_to_the_end_on_a_recorded_market(tape: Tape, path: Path, risk: MmRiskLimits) -> None:
    one, two = (run_replay(path.read_bytes(), tape, config=MmConfig(), risk=risk) for _ in range(2))
    assert one.status == "completed", one.detail
    assert one.metrics["traps"] == 0
    assert one.logs, "every example says something"
    assert one.result_digest == two.result_digest
