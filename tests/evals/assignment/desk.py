"""A desk for the tests: a store with policies and models in a line, and a market that stands still."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bundles.assignment import AssignmentModel
from bundles.canonical import canonical_json
from bundles.catalog import Catalog
from bundles.compile import compile_assignment
from bundles.evidence import Evaluation
from bundles.runners import Runner
from evals.assignment import evaluate_assignment
from evals.market.datasets import build_dataset
from evals.market.schema import ASK, BID, LAST_OF_PACKET, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.tape import Tape, write_tape

MONEY = 10**9
MODEL: dict[str, Any] = {
    "edge_venue": "alpha",
    "edge_latency_ns": 1_000_000,
    "max_venue_age_ns": 1_000_000_000,
    "routing_model": "art_routing",
    "impact_model": "art_impact",
    "slicing_policy": "immediate",
}
IMPACT: dict[str, Any] = {
    "form": "square-root",
    "daily_volume_1e8": str(10**15),
    "half_life_ns": None,
    "coefficient_ppm": 0,
    "daily_volatility_ppm": 0,
}


def routing(*venues: str) -> dict[str, Any]:
    """A routing model that counts fees alone."""
    free = {"latency_ns": 0, "latency_risk_ppm_per_sqrt_ms": 0, "freshness_ppm_per_s": 0}
    return {
        "version": "V1",
        "max_book_age_ns": 10**12,
        "venues": [{"venue": venue, **free} for venue in venues],
    }


@dataclass
class Desk:
    """A store and a data root; policies and evaluations in a line."""

    catalog: Catalog
    data_root: Path
    parents: bytes = b""
    datasets: list[str] = field(default_factory=list)

    def holds(self, *tapes: Tape) -> None:
        for tape in tapes:
            write_tape(self.data_root, tape)
            instrument = tape.info.instrument
            dataset = build_dataset(self.data_root, instrument.venue, instrument.symbol)
            self.datasets.append(self.catalog.register_dataset(dataset))

    def artifact(self, name: str, file: str, document: Mapping[str, Any] | bytes) -> None:
        content = document if isinstance(document, bytes) else canonical_json(dict(document))
        self.catalog.register_artifact(name, {file: content})

    def models(self, *venues: str, **model: Any) -> None:
        self.artifact("art_routing", "routing-model.json", routing(*venues))
        self.artifact("art_impact", "impact-model.json", IMPACT)
        self.artifact("art_assign", AssignmentModel.FILE, MODEL | model)

    def policy(self, edge: int = 1, sor: int = 1, venues: int = 2, artifact: str = "art_assign") -> str:
        """Register a policy with thresholds in 1e9; its id."""
        manifest = compile_assignment(
            artifact=artifact, edge_threshold_1e9=edge, sor_threshold_1e9=sor, min_venues=venues
        )
        return self.catalog.register_bundle(manifest, author="quant", now_ns=1)

    def evaluate(
        self, bundle: str, kind: str = "replay", datasets: Sequence[str] | None = None, **more: Any
    ) -> Evaluation:
        arguments: dict[str, Any] = {
            "kind": kind,
            "bundle": bundle,
            "dataset": self.datasets if datasets is None else datasets,
            "parents": self.parents,
            "data_root": self.data_root,
            "runner": Runner("tests"),
            "now_ns": 2,
        }
        return evaluate_assignment(self.catalog, **arguments | more)


def still(venue: str, fee_ppm: int, bid: tuple[float, float], asks: Sequence[tuple[float, float]]) -> Tape:
    """A book that is set at 10 s and again, as it was, at 11 s and 20 s."""
    levels = [(BID, *bid), *((ASK, *ask) for ask in asks)]
    events = np.zeros(3 * len(levels), TAPE_DTYPE)
    for row, (at, (kind, px, size)) in enumerate((at, level) for at in (10, 11, 20) for level in levels):
        events[row]["exchange_ns"] = events[row]["receive_ns"] = at * 10**9
        events[row]["kind"], events[row]["flags"] = kind, LAST_OF_PACKET * ((row + 1) % len(levels) == 0)
        events[row]["px_1e9"], events[row]["sz_1e8"] = round(px * 10**9), round(size * 10**8)
    instrument = Instrument(
        venue=venue, symbol="BTC-USD", tick_size_1e9=10**7, lot_size_1e8=10**6, taker_fee_ppm=fee_ppm
    )
    return Tape(events, TapeInfo(instrument=instrument, importer="test", importer_version="1"))
