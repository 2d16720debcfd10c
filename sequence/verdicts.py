"""How an evaluation and its verdict are told: derived afresh from metrics and policy each time they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundles.gates import GateResult, evaluate_gate
from bundles.stages import STAGES

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.evidence import Evaluation

MARKS = {True: "ok", False: "FAILS", None: "unknown"}


def judge(catalog: Catalog, evaluation: Evaluation) -> GateResult:
    """Judge an evaluation by the first stage of its bundle's ladder that takes this kind as evidence."""
    manifest = catalog.bundle("bun_" + evaluation.inputs.bundle.removeprefix("sha256:")[:16])
    policy = catalog.policy()
    for stage in STAGES[manifest.kind]:
        rule = policy.rule(manifest.kind, stage)
        if rule is not None and rule.evidence == evaluation.inputs.kind:
            return evaluate_gate(rule, evaluation)
    return GateResult("inconclusive", ())


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
