"""The evaluation record as the ladder reads it, and the dataset it was made on.

An evaluation's id is the digest of its *inputs*: the same bundle, data, settings, seed and engine have one id, whoever
runs them. What was measured is in the outcome; how long it took is not evidence and is kept apart.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, JsonValue, PlainSerializer

from bundles.canonical import LARGEST_EXACT_INTEGER, Digest, Document, Int64, Number, Part, short_id
from bundles.manifests import BlobRef, Name

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

EvaluationKind = Literal["replay", "shadow", "sandbox", "live-review"]
RunStatus = Literal["completed", "failed", "interrupted"]
"""``failed``: the bundle broke (trap, fuel, protocol error). ``interrupted``: the run was cut short from outside."""


MetricValue: TypeAlias = int | float | None
"""None where a metric is not defined on this run (a Sharpe ratio without variance)."""

SCALED_SUFFIXES = ("_1e9", "_1e8", "_ns")
"""Metrics with these endings are 64-bit integers; like all such integers they are written as decimal strings."""


def _write_metrics(metrics: dict[str, MetricValue]) -> dict[str, str | MetricValue]:
    def is_written_as_text(name: str, value: MetricValue) -> bool:
        return isinstance(value, int) and (name.endswith(SCALED_SUFFIXES) or abs(value) > LARGEST_EXACT_INTEGER)

    return {name: str(value) if is_written_as_text(name, value) else value for name, value in metrics.items()}


Metrics = Annotated[dict[str, Number | None], PlainSerializer(_write_metrics, when_used="json")]
"""Metrics by name."""


class Partition(Part):
    """One parquet file of a dataset; ``key`` is its path below the data root."""

    key: str
    digest: Digest
    size_bytes: Annotated[int, Field(ge=0)]
    rows: Annotated[int, Field(ge=0)]
    first_ns: Int64
    last_ns: Int64


class Dataset(Document):
    """A fixed list of tape partitions with their digests and the summary of their validation."""

    kind: Literal["dataset"] = "dataset"
    schema_version: Literal[1] = 1
    venue: Name
    symbol: Name
    partitions: Annotated[tuple[Partition, ...], Field(min_length=1)]
    validation: dict[str, int]
    """Counts of the validation report: gaps, crossed books, backward clocks and so on."""

    @property
    def dataset_id(self) -> str:
        """``data_`` and the first 16 hex digits of the dataset's digest."""
        return short_id("data", self.digest())


class EngineFingerprint(Document):
    """What executed the bundle: results are comparable only under the same fingerprint."""

    name: Name
    version: str
    source: Digest
    runtime: dict[str, str]
    """Versions that are part of the result, such as wasmtime's."""


class EvaluationInputs(Document):
    """Everything that determines the result."""

    kind: EvaluationKind
    bundle: Digest
    datasets: tuple[Digest, ...]
    settings: dict[str, JsonValue]
    seed: Annotated[int, Field(ge=0, lt=2**53)]
    engine: EngineFingerprint

    @property
    def eval_id(self) -> str:
        """``eval_`` and the first 16 hex digits of the inputs' digest."""
        return short_id("eval", self.digest())

    @property
    def blobs(self) -> tuple[str, ...]:
        """The blobs that the settings rest on: a setting that is a digest names one, such as a trace of latencies."""
        return tuple(each for each in self.settings.values() if isinstance(each, str) and _DIGEST.fullmatch(each))


class Coverage(Part):
    """How much data the evaluation saw."""

    first_ns: Int64
    last_ns: Int64
    events: Annotated[int, Field(ge=0)]
    packets: Annotated[int, Field(ge=0)]

    @property
    def duration_s(self) -> float:
        """Seconds between the first and the last event."""
        return (self.last_ns - self.first_ns) / 1e9


class Evaluation(Document):
    """One evaluation: inputs and what came out of them."""

    schema_version: Literal[1] = 1
    inputs: EvaluationInputs
    status: RunStatus
    status_detail: str = ""
    result_digest: Digest
    coverage: Coverage
    metrics: Metrics
    outputs: dict[str, BlobRef]
    """Parquet files by name: fills, orders, equity."""
    validation: dict[str, int]

    @property
    def eval_id(self) -> str:
        """``eval_`` and the first 16 hex digits of the inputs' digest."""
        return self.inputs.eval_id
