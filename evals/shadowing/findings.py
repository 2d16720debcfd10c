"""What two runs beside each other come to: status, digest, metrics and files of a shadow evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bundles.canonical import short_id
from bundles.incumbents import BY_LADDER, FLAT
from evals.evaluation import Findings
from evals.replay import log_as_parquet

if TYPE_CHECKING:
    from bundles.evidence import Dataset, MetricValue, RunStatus
    from evals.replay import ReplayResult
    from evals.shadowing.comparison import Comparison
    from evals.shadowing.settings import RecordedSettings

ENGINE_NAME: Final = "kernel-shadow"
ENGINE_VERSION: Final = "1"

_OF_INCUMBENT: Final = (
    "net_pnl_1e9",
    "return_bps",
    "max_drawdown_pct",
    "sharpe",
    "fills",
    "risk_breaches",
    "traps",
    "fuel_p99",
)
"""The metrics that a shadow evaluation shows of the incumbent, too."""


@dataclass(frozen=True)
class Pair:
    """Two runs over the same tapes, and how they differ; nothing to compare where one of them did not complete.

    ``fault`` is why the tapes ended before their time, empty if they did not.
    """

    candidate: ReplayResult
    incumbent: ReplayResult | None
    comparison: Comparison | None
    fault: str = ""

    @property
    def status(self) -> RunStatus:
        """What the evaluation came to: an incumbent that broke says nothing about the candidate."""
        if self.candidate.status != "completed":
            return self.candidate.status
        whole = not self.fault and (self.incumbent is None or self.incumbent.status == "completed")
        return "completed" if whole else "interrupted"

    def detail(self, incumbent: str) -> str:
        """Say why it did not complete; ``incumbent`` is the digest of its manifest."""
        if self.candidate.status != "completed":
            return self.candidate.detail
        if self.incumbent is not None and self.incumbent.status != "completed":
            name = short_id("bun", incumbent)
            return f"The incumbent {name} {self.incumbent.status}, which says nothing of the candidate: " + (
                self.incumbent.detail
            )
        return self.fault

    def digest(self) -> str:
        """Return the SHA-256 over status, both results and the differences."""
        other = FLAT if self.incumbent is None else self.incumbent.result_digest
        digest = hashlib.sha256(f"{ENGINE_NAME} {ENGINE_VERSION} {self.status}\n".encode())
        digest.update(f"{self.candidate.result_digest}\n{other}\n".encode())
        if self.comparison is not None:
            differences = self.comparison.differences
            digest.update(f"differences {len(differences)}\n".encode() + differences.digest())
        return f"sha256:{digest.hexdigest()}"


def pair_of(candidate: ReplayResult, incumbent: ReplayResult | None, fault: str = "") -> Pair:
    """Compare two runs if both completed."""
    from evals.shadowing.comparison import compare

    complete = all(each is None or each.status == "completed" for each in (candidate, incumbent))
    return Pair(candidate, incumbent, compare(candidate, incumbent) if complete else None, fault)


def findings_of(
    pair: Pair,
    settings: RecordedSettings,
    datasets: Sequence[Dataset],
    seed: int,
    band: dict[str, MetricValue] | None = None,
) -> Findings:
    """Return what is recorded of two runs."""
    from evals.metrics import validation_metrics

    tape_figures = validation_metrics(*(each.validation for each in datasets))
    metrics = pair.candidate.metrics | (band or {}) | _incumbent_metrics(pair.incumbent)
    files = {name: log_as_parquet(rows) for name, rows in pair.candidate.rows.items()}
    if pair.incumbent is not None:
        files |= {f"incumbent_{name}": log_as_parquet(rows) for name, rows in pair.incumbent.rows.items()}
    if pair.comparison is not None:
        files["differences"] = log_as_parquet(pair.comparison.differences)
        metrics |= _compared_metrics(pair.comparison, settings, seed)
    return Findings(
        status=pair.status,
        detail=pair.detail(settings.incumbent),
        result_digest=pair.digest(),
        coverage=pair.candidate.coverage,
        metrics=metrics | tape_figures,
        outputs=files,
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _incumbent_metrics(incumbent: ReplayResult | None) -> dict[str, MetricValue]:
    """Return some of its metrics; the flat baseline earns and risks nothing, and its Sharpe ratio is undefined."""
    if incumbent is None:
        return {f"incumbent_{name}": None if name == "sharpe" else 0 for name in _OF_INCUMBENT}
    return {f"incumbent_{name}": incumbent.metrics[name] for name in _OF_INCUMBENT}


def _compared_metrics(comparison: Comparison, settings: RecordedSettings, seed: int) -> dict[str, MetricValue]:
    import numpy as np

    from evals.statistics.paired import compare_paired
    from evals.statistics.sharpe import sharpe_metrics
    from evals.statistics.trials import Trials

    rows = comparison.differences.load()
    differences = np.asarray(rows["candidate_1e9"] - rows["incumbent_1e9"], np.int64)
    paired = compare_paired(differences, capital_1e9=settings.capital_1e9, look=settings.look, seed=seed)
    return {
        **paired.metrics("pnl_diff"),
        "comparison": paired.comparison,
        # Not 0: that somebody compared it with another bundle too is no failure of this one.
        BY_LADDER: 1 if settings.incumbent_by == "ladder" else None,
        "compared_intervals": len(differences),
        "action_agreement": comparison.action_agreement,
        "inventory_overlap": comparison.inventory_overlap,
        **sharpe_metrics(
            np.asarray(rows["candidate_1e9"], np.int64),
            interval_ns=settings.equity_interval_ns,
            trials=Trials.of_settings(settings.as_json()),
        ),
    }
