"""All figures of a report by kind of evaluation, in one place: a page draws them, a flow publishes them as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from evals.labels import METRICS, format_metric, meaning_of
from evals.reports.assignment import assignment_sections
from evals.reports.confidence import review_sections, shadow_sections, statistics_section
from evals.reports.edge import edge_sections
from evals.reports.policy_review import policy_review_sections
from evals.reports.recorded import Recorded, recorded
from evals.reports.routing import routing_sections
from evals.reports.tables import Metrics, Note, Row, Section, Table, present, section
from evals.reports.wording import shown, titled, why

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.evidence import Evaluation
    from bundles.judging import Judgement

_EDGE: Final = ("net_pnl_1e9", "max_drawdown_1e9", "fills", "max_abs_position_1e8", "risk_breaches", "fuel_p99")
_KEY: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("replay", "edge"): _EDGE,
    ("shadow", "edge"): (
        "pnl_diff_bps",
        "net_pnl_1e9",
        "incumbent_net_pnl_1e9",
        "max_drawdown_1e9",
        "fills",
        "risk_breaches",
        "fuel_p99",
    ),
    ("live-review", "edge"): ("net_pnl_1e9", "pnl_drift_bps", "fill_match", "slippage_bps", "halts", "limit_breaches"),
}
_SOR: Final = (
    "implementation_shortfall_bps",
    "savings_vs_best_venue_bps",
    "fill_ratio",
    "parents",
    "rejects",
    "risk_breaches",
)
_REVIEWED: Final = ("shortfall_drift_bps", "implementation_shortfall_bps", "fill_ratio", "parents", "recording_gaps")
_ASSIGNMENT: Final = (
    "regret_bps",
    "savings_vs_edge_bps",
    "savings_vs_sor_bps",
    "sent_to_edge",
    "sent_to_sor",
    "risk_breaches",
)


def key_figures(record: Recorded) -> list[tuple[str, str]]:
    """Return (value, label) of what one looks at first."""
    return [(shown(record.metrics, name), titled(name)) for name in key_metrics(record) if name in record.metrics]


def key_metrics(record: Recorded) -> tuple[str, ...]:
    """Return the names of what one looks at first."""
    if record.bundle_kind == "edge":
        return _KEY.get((record.kind, "edge"), _EDGE)
    if record.kind == "live-review":
        return _REVIEWED
    return _SOR if record.bundle_kind == "sor" else _ASSIGNMENT


def sections_of(record: Recorded) -> list[Section]:
    """Return the sections of an evaluation's figures, in reading order; which ones depends on its kind."""
    match record.kind, record.bundle_kind:
        case "shadow", "edge":
            own = [*shadow_sections(record), *edge_sections(record)]
        case "live-review", "edge":
            own = [*review_sections(record), *edge_sections(record)]
        case "live-review", ("sor" | "assignment"):
            own = policy_review_sections(record)
        case _, "edge":
            own = edge_sections(record)
        case _, "sor":
            own = routing_sections(record)
        case _, "assignment":
            own = assignment_sections(record)
        case _:
            own = []
    return present([*own, statistics_section(record), section("Tape validation", _validation(record))])


def _validation(record: Recorded) -> Table | Note:
    counts = record.evaluation.validation
    if not counts:
        return Note("The dataset carries no validation summary.")
    rows = tuple(Row((name.replace("_", " "), f"{count:,}")) for name, count in sorted(counts.items()))
    return Table("validation", ("Finding", "Count"), rows)


def figures_markdown(catalog: Catalog, evaluation: Evaluation, judged: Judgement | None) -> str:
    """Return the figures of a recorded evaluation's report as Markdown, charts left out.

    Raises:
        NotFoundError, IntegrityError: if an output or a dataset is lost or changed.

    """
    return markdown_of(recorded(catalog, evaluation, judged))


def markdown_of(record: Recorded) -> str:
    """Return a report's figures as Markdown."""
    key = Table("key", ("Figure", "Value"), tuple(Row((label, value)) for value, label in key_figures(record)))
    first = Section(f"{record.title}: {record.told}", (Note(why(record.judged)), key))
    return "\n\n".join(each.markdown() for each in (first, *sections_of(record)))


def in_order(metrics: Metrics) -> list[str]:
    """Return the names of metrics in reading order: known ones as in the labels, then others by group."""
    others = {name: meaning_of(name).group for name in sorted(set(metrics) - set(METRICS))}
    known = [name for name in METRICS if name in metrics]
    return [*known, *sorted(others, key=lambda name: (others[name] == "Other", others[name]))]


def metric_rows(metrics: Metrics) -> list[tuple[str, str, str, str, str]]:
    """Return (group, label, value, unit, meaning) of every metric in reading order."""
    rows = []
    for name in in_order(metrics):
        meaning = meaning_of(name)
        value = format_metric(metrics[name], meaning.scale)
        rows.append((meaning.group, meaning.label, value, meaning.unit, meaning.text))
    return rows
