"""A store with algos that trade differently, standing where tests put them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundles.catalog import Catalog
from bundles.compile import compile_edge
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.store import open_store
from evals.market.datasets import build_dataset
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape, write_tape
from evals.wasm import inspect_module

NOW_NS = 1_700_000_000_000_000_000
CONFIG = {"quote_size_1e8": 10_000_000, "min_spread_bps": 1, "max_position_1e8": 10**9}
RISK = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)


@pytest.fixture(scope="session")
def tape() -> Tape:
    """Five minutes."""
    return synthetic_tape(7, duration_s=300)


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory, tape: Tape) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_tape(root, tape)
    return root


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    catalog.register_artifact("art_research", {"notes.md": b"why"})
    return catalog


@pytest.fixture
def dataset(catalog: Catalog, data_root: Path, tape: Tape) -> str:
    held = tape.info.instrument
    return catalog.register_dataset(build_dataset(data_root, held.venue, held.symbol))


@pytest.fixture
def register(catalog: Catalog, compiled_algo: Callable[[str], bytes]) -> Callable[..., str]:
    """Register a bundle of the maker, or of a given module, with some of its configuration changed."""

    def register(wasm: bytes | None = None, *, strategy: str = "mm-pro", risk: str = "v1", **config: Any) -> str:
        module = wasm or compiled_algo("maker")
        manifest = compile_edge(
            module,
            sdk_abi=inspect_module(module).abi,
            artifact="art_research",
            risk_limits=RISK,
            config=MmConfig(**CONFIG | config),
            strategy=strategy,
            risk_version=risk,
        )
        return catalog.register_bundle(manifest, author="quant", blobs=[module], now_ns=NOW_NS)

    return register
