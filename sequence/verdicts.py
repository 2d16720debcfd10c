"""How an evaluation and its verdict are told on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bundles.evidence import Evaluation
    from bundles.gates import GateResult

MARKS = {True: "ok", False: "FAILS", None: "unknown"}


def lines_of(evaluation: Evaluation, gate: GateResult) -> list[str]:
    """Return an evaluation as lines: what it is, the verdict with its checks, all metrics."""
    lines = [
        f"Evaluation: {evaluation.eval_id}",
        *(f"Dataset: data_{digest.removeprefix('sha256:')[:16]}" for digest in evaluation.inputs.datasets),
        f"Status: {evaluation.status}" + (f" ({evaluation.status_detail})" if evaluation.status_detail else ""),
        f"Result digest: {evaluation.result_digest}",
        f"Verdict: {gate.verdict}",
    ]
    lines += [f"  {MARKS[check.ok]}: {check.text}" + (" (dry run)" if check.dry_run else "") for check in gate.checks]
    return [*lines, "Metrics:", *metric_lines(evaluation.metrics)]


def metric_lines(metrics: dict[str, int | float | None]) -> list[str]:
    """Return metrics as lines, in the order of their names."""
    return [f"  {name}: {_figure(value)}" for name, value in sorted(metrics.items())]


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.6g}"
