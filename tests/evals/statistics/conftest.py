"""A store with bundles of one lineage and of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bundles.catalog import Catalog
from bundles.compile import compile_edge
from bundles.evidence import Evaluation, EvaluationInputs
from bundles.manifests import Bundle
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.store import open_store
from tests.bundles.conftest import AUTHOR, FIRST, NOW_NS, dataset, evaluation_of, outputs_of, wasm


@dataclass
class Research:
    """Bundles by number, each with a module of its own unless said otherwise, and short words for their evaluations."""

    catalog: Catalog

    def bundle(self, number: int, artifact: str, module: int | None = None) -> Bundle:
        code = wasm(number if module is None else module)
        limits = MmRiskLimits(max_order_rate=1 + number)
        made = compile_edge(code, sdk_abi="0.4.0", artifact=artifact, risk_limits=limits, config=MmConfig())
        self.catalog.register_bundle(made, author=AUTHOR.name, blobs=[code], now_ns=NOW_NS)
        return made

    def inputs(self, bundle: Bundle, kind: str = "shadow", number: int = 0, **settings: Any) -> EvaluationInputs:
        inputs = evaluation_of(bundle, kind, number=number).inputs
        return inputs.model_copy(update={"settings": {**inputs.settings, **settings}})

    def record(self, inputs: EvaluationInputs, sharpe: float | None = None, *, again: bool = False) -> Evaluation:
        bundle = self.catalog.manifest(inputs.bundle)
        facts = {"inputs": inputs, "metrics": {"sharpe": sharpe}}
        evaluation = evaluation_of(bundle, inputs.kind, number=inputs.seed, **facts)
        self.catalog.record_evaluation(evaluation, outputs_of(evaluation), runner=FIRST, now_ns=NOW_NS, again=again)
        return evaluation


@pytest.fixture
def research(tmp_path: Path) -> Research:
    """Return a store with the artifacts art_root <- art_left, art_right and, of no kin, art_other."""
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    for name, parents in {"art_root": (), "art_left": ["art_root"], "art_right": ["art_root"], "art_other": ()}.items():
        catalog.register_artifact(name, {"notes.md": name.encode()}, parents=parents)
    catalog.register_dataset(dataset())
    return Research(catalog)
