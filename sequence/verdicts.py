"""How an evaluation, its verdict and its metrics are told on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sequence.cli.layout import wrapped

if TYPE_CHECKING:
    from bundles.evidence import Evaluation
    from bundles.judging import Judgement

MARKS = {True: "ok", False: "FAILS", None: "unknown"}

HEADLINE: Final = (
    # Against the incumbent, or against the replay twin of a recording
    "comparison",
    "pnl_diff_bps",
    "pnl_drift_bps",
    "incumbent_net_pnl_1e9",
    "twin_net_pnl_1e9",
    "action_agreement",
    "inventory_overlap",
    "fill_match",
    "slippage_bps",
    "recording_gaps",
    # Of a policy
    "parents",
    "implementation_shortfall_bps",
    "shortfall_drift_bps",
    "savings_vs_best_venue_bps",
    "savings_vs_vwap_bps",
    "savings_vs_oracle_bps",
    "regret_bps",
    "savings_vs_edge_bps",
    "savings_vs_sor_bps",
    "sent_to_edge",
    "sent_to_sor",
    "stale_venues",
    # Of an algo
    "net_pnl_1e9",
    "return_bps",
    "sharpe",
    "max_drawdown_1e9",
    "fills",
    "maker_fills",
    "fill_ratio",
    "order_to_trade",
    "quote_uptime",
    "markout_1s_bps",
    "queue_ahead_mean_1e8",
    "max_abs_position_1e8",
    "turnover",
    "rejects",
    "risk_breaches",
    "fuel_p99",
)
"""What one looks at first."""

WORDS: Final[Mapping[str, Mapping[float, str]]] = {"comparison": {1: "better", 0: "not told apart", -1: "worse"}}
"""Metrics whose numbers stand for words."""

Metrics = Mapping[str, int | float | None]


def lines_of(evaluation: Evaluation, judged: Judgement) -> list[str]:
    """Return an evaluation as lines: what it is, the verdict with its checks, those of other stages in a sentence."""
    lines = [
        f"Evaluation: {evaluation.eval_id}",
        *(f"Dataset: data_{digest.removeprefix('sha256:')[:16]}" for digest in evaluation.inputs.datasets),
        f"Status: {evaluation.status}" + (f" ({evaluation.status_detail})" if evaluation.status_detail else ""),
        f"Result digest: {evaluation.result_digest}",
        f"Verdict: {judged.told}",
    ]
    told = (f"  {MARKS[check.ok]}: {check.text}" + (" (dry run)" if check.dry_run else "") for check in judged.checks)
    also = (f"Also: {each.reasoned}" for each in judged.others)
    return lines + [line for each in (*told, *also) for line in wrapped(each)]


def document_of(judged: Judgement) -> dict[str, Any]:
    """Return a verdict for ``--json``: the one that stands first with its checks, and in a list that of every stage."""
    return {
        "verdict": judged.verdict,
        "verdicts": by_stage(judged),
        "checks": [{"text": check.text, "ok": check.ok, "dry_run": check.dry_run} for check in judged.checks],
    }


def by_stage(judged: Judgement) -> list[dict[str, Any]]:
    """Return the verdict of every stage for ``--json``, in the order in which people are told."""
    return [
        {"stage": each.stage or None, "verdict": each.verdict, "unmet": list(each.unmet)}
        for each in (judged, *judged.others)
    ]


def headline(metrics: Metrics) -> list[str]:
    """Return the metrics that one looks at first, in human units, with their band or their confidence interval."""
    models = metrics.get("band_models")
    beside = "95 % interval:" if models is None else f"over {models} queue models:"
    known = any(_range(metrics, name) for name in HEADLINE)
    title = f"{'Metrics:':<48}{beside}" if known else "Metrics:"
    return [title, *_table(metrics, (name for name in HEADLINE if name in metrics))]


def all_metrics(metrics: Metrics) -> list[str]:
    """Return every metric in human units by group; reject codes only where something was refused with them."""
    from evals.labels import METRICS, meaning_of

    others = sorted(name for name in set(metrics) - set(METRICS) if not _is_end_of_a_range(name))
    shown = [name for name in (*METRICS, *others) if name in metrics]
    groups: dict[str, list[str]] = {}
    for name in shown:
        if not (name.startswith("rejects_") and metrics[name] == 0):
            groups.setdefault(meaning_of(name).group, []).append(name)
    lines = [line for group, names in groups.items() for line in (f"{group}:", *_table(metrics, names))]
    if "band_models" in metrics:
        lines.append(f"On the right: the band over {metrics['band_models']} queue models.")
    return lines


def _table(metrics: Metrics, names: Iterable[str]) -> list[str]:
    from evals.labels import format_metric, meaning_of

    lines = []
    meanings = {name: meaning_of(name) for name in names}
    width = max((len(each.label) for each in meanings.values()), default=0)
    for name, meaning in meanings.items():
        value = metrics[name]
        word = None if value is None else WORDS.get(name, {}).get(value)
        line = (
            f"  {meaning.label:<{max(width, 24)}} {word or format_metric(value, meaning.scale):>14} {meaning.unit:<5}"
        )
        if ends := _range(metrics, name):
            line += f" {format_metric(ends[0], meaning.scale)} to {format_metric(ends[1], meaning.scale)}"
        lines.append(line.rstrip())
    return lines


def _is_end_of_a_range(name: str) -> bool:
    return name.startswith("band_") or name.endswith(
        ("_lower90", "_lower95", "_lower99", "_upper90", "_upper95", "_upper99")
    )


def _range(metrics: Metrics, name: str) -> tuple[float, float] | None:
    """Return the band of a metric over the queue models, or else its confidence interval of 95 %."""
    for low, high in ((f"band_{name}_low", f"band_{name}_high"), (f"{name}_lower95", f"{name}_upper95")):
        ends = metrics.get(low), metrics.get(high)
        if ends[0] is not None and ends[1] is not None:
            return ends[0], ends[1]
    return None
