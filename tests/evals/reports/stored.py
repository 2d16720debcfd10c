"""A store with a bundle of each kind, in which made-up evaluations are recorded with their outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bundles.canonical import digest_of
from bundles.catalog import Catalog
from bundles.compile import compile_assignment, compile_edge, compile_sor
from bundles.evidence import Dataset, Evaluation, Partition
from bundles.manifests import BlobRef, Bundle
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.runners import Runner
from bundles.store import open_store
from evals.reports.recorded import Recorded
from tests.bundles.conftest import wasm
from tests.evals.reports.made import START_NS, parquet

NOW_NS = START_NS + 10**15


def open_catalog(folder: Path) -> Catalog:
    catalog = Catalog(open_store(folder.as_uri()))
    catalog.register_artifact("art_research", {"notes.md": b"found"})
    return catalog


def dataset(catalog: Catalog, number: int = 0) -> Dataset:
    part = Partition(
        key=f"{number}.parquet", digest=digest_of(b"%d" % number), size_bytes=1, rows=1, first_ns=0, last_ns=1
    )
    made = Dataset(venue=f"venue{number}", symbol="BTC-USD", partitions=(part,), validation={})
    catalog.register_dataset(made)
    return made


def bundle(catalog: Catalog, kind: str, number: int = 0) -> Bundle:
    made: Bundle
    blobs = []
    if kind == "edge":
        limits = MmRiskLimits()
        blobs = [wasm(number)]
        made = compile_edge(blobs[0], sdk_abi="0.4.0", artifact="art_research", risk_limits=limits, config=MmConfig())
    elif kind == "sor":
        policy = ["vwap", "twap"][number]
        made = compile_sor(routing_model="art_research", impact_model="art_research", slicing_policy=policy)
    else:
        made = compile_assignment(artifact="art_research", min_venues=2 + number)
    catalog.register_bundle(made, author="quant@firm", blobs=blobs, now_ns=NOW_NS)
    return made


def record(
    catalog: Catalog, made: Recorded, of: Bundle, *, data: int = 0, kind: str | None = None, **changed: Any
) -> Evaluation:
    """Record a made-up evaluation under a bundle and a dataset of the store."""
    outputs = {name: _written(rows) for name, rows in made.logs.items()}
    inputs = made.evaluation.inputs.model_copy(
        update={
            "bundle": of.digest(),
            "datasets": (dataset(catalog, data).digest(),),
            "kind": kind or made.kind,
            **changed,
        }
    )
    refs = {name: BlobRef(digest=digest_of(b), size_bytes=len(b)) for name, b in outputs.items()}
    evaluation = made.evaluation.model_copy(update={"inputs": inputs, "outputs": refs})
    catalog.record_evaluation(evaluation, outputs.values(), runner=Runner("tests"), now_ns=NOW_NS)
    return evaluation


def _written(rows: np.ndarray[Any, Any]) -> bytes:
    texts = {name: rows[name].tolist() for name in rows.dtype.names or () if rows.dtype[name].hasobject}
    kept = [name for name in rows.dtype.names or () if name not in texts]
    plain = np.empty(len(rows), [(name, rows.dtype[name]) for name in kept])
    for name in kept:
        plain[name] = rows[name]
    return parquet(plain, **texts)
