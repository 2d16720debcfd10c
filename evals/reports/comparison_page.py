"""The page of two evaluations: what differs in their inputs first, then figures and curves of both side by side."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Final

import numpy as np

from evals.reports.assignment import BASELINES, regrets
from evals.reports.compare import Comparison
from evals.reports.confidence import bounds, difference, difference_table
from evals.reports.curves import distribution
from evals.reports.edge import markouts
from evals.reports.figures import key_metrics
from evals.reports.markup import checklist_html, note_html, sections_html, text
from evals.reports.page import badge, page
from evals.reports.recorded import Recorded
from evals.reports.routing import BENCHMARKS, COMPONENTS, shortfalls
from evals.reports.tables import UNKNOWN, Bar, Chart, Note, Row, Section, Table, present, section
from evals.reports.timeline import against, equities, total_equity
from evals.reports.vega import BUY, PRICE, SELL
from evals.reports.wording import figure, interval, shown, signed, titled, utc, why
from evals.statistics.paired import compare_paired
from evals.statistics.ratios import ratio_bounds

_NAMES: Final = ("A", "B")
_LESS: Final = "B \N{MINUS SIGN} A"
_COLUMNS: Final = ("Metric", "A", "B", _LESS)
_SEED: Final = 1
_FREE: Final = (
    "The intervals are those of one look at these two, by a block bootstrap of paired differences. They know nothing "
    "of how many pairs were compared before this one was shown: no gate judges by them."
)
_LEGEND: Final = (("line", BUY, "A"), ("line", SELL, "B"))


def comparison_report(comparison: Comparison) -> str:
    """Return the comparison as one self-contained HTML page."""
    sections = comparison_sections(comparison)
    a, b = comparison.a, comparison.b
    kind = a.kind.replace("-", " ")
    title = f"Two {kind} evaluations compared: {a.evaluation.eval_id} and {b.evaluation.eval_id}"
    alarms = "".join(note_html(Note(told, loud=True)) for told in comparison.alarms)
    remarks = "".join(f"<li>{text(told)}</li>" for told in comparison.remarks)
    remarks = remarks and f'<ul class="remarks">{remarks}</ul>'
    same = "Both saw the same data." if comparison.same_data else "They did not see the same data."
    cards = "".join(_card(name, record) for name, record in zip(_NAMES, (a, b), strict=True))
    body = f'{alarms}<div class="pair-cards">{cards}</div>{remarks}{sections_html(sections)}'
    return page(title, "", f"{same} Differences are B less A.", body, sections)


def _card(name: str, record: Recorded) -> str:
    evaluation = record.evaluation
    seen = f"{utc(evaluation.coverage.first_ns)} to {utc(evaluation.coverage.last_ns)} UTC"
    return (
        f'<section class="side side-{name.lower()}"><h2>{name}: {text(record.title)} {badge(record)}</h2>'
        f'<p class="note"><code>{text(evaluation.eval_id)}</code> · {text(seen)} · '
        f"{evaluation.coverage.events:,} events</p>"
        f'<p class="said">{text(why(record.judged))}</p>'
        f"<details><summary>Checklist</summary>{checklist_html(record.judged)}</details></section>"
    )


def comparison_sections(comparison: Comparison) -> list[Section]:
    """Return the sections of a comparison, in reading order."""
    kind = comparison.a.bundle_kind
    own = {"edge": _edge, "sor": _routing, "assignment": _assignment}[kind](comparison)
    return present([section("At a glance", _glance(comparison)), *own, _metrics(comparison)])


def _both(comparison: Comparison) -> tuple[tuple[str, Recorded], ...]:
    return (("A", comparison.a), ("B", comparison.b))


def _glance(comparison: Comparison) -> Table:
    a, b = comparison.a.metrics, comparison.b.metrics
    rows = [
        Row((titled(name), shown(a, name), shown(b, name), difference(name, b.get(name), a.get(name))))
        for name in key_metrics(comparison.a)
        if name in a or name in b
    ]
    return Table("glance", ("Figure", "A", "B", _LESS), tuple(rows))


def _metrics(comparison: Comparison) -> Section:
    tables: list[Table] = []
    for group, compared in groupby(comparison.metrics(), key=lambda each: each.group):
        rows = tuple(Row((titled(each.name), each.a, each.b, each.difference)) for each in compared)
        tables.append(Table(f"metrics-{len(tables)}", _COLUMNS, rows, title=group))
    return section("All metrics", *tables)


def _edge(comparison: Comparison) -> list[Section]:
    fills = {name: record.logs.get("fills") for name, record in _both(comparison)}
    return [section("Equity", *_equity(comparison)), section("Markouts", *markouts(fills))]


def _equity(comparison: Comparison) -> list[Chart | Table | Note]:
    logs = {name: record.log("equity", "exchange_ns", "equity_1e9") for name, record in _both(comparison)}
    curves = {name: log for name, log in logs.items() if log is not None}
    if len(curves) < len(_NAMES):
        return [Note("Not both recorded their equity.")]
    label = "Equity of A and B over time"
    if not comparison.same_data:
        return [Chart("equities", label, equities(curves), _LEGEND, "In ccy; times are UTC. Not on the same data.")]
    (at_a, of_a), (at_b, of_b) = (total_equity(curves[name]) for name in _NAMES)
    common, in_a, in_b = np.intersect1d(at_a, at_b, return_indices=True)
    gaps = np.diff(of_b[in_b] - of_a[in_a], prepend=0)
    capital = comparison.a.capital_1e9
    found, ends = None, None
    if capital and capital == comparison.b.capital_1e9:
        found = compare_paired(gaps, capital_1e9=capital, look=1, seed=_SEED).metrics("diff")
        low, high = found["diff_bps_lower95"], found["diff_bps_upper95"]
        ends = None if low is None or high is None else (low * capital / 1e4, high * capital / 1e4)
    legend = [*_LEGEND, ("line", PRICE, _LESS)]
    if ends is not None:
        legend.append(("bar", BUY, "95 % interval of the whole difference"))
    drawn = Chart(
        "equities",
        f"{label}, and B less A below",
        against(curves, common, gaps, ends),
        tuple(legend),
        "In ccy; times are UTC. Below: what B has earned more than A by then.",
    )
    table = None if found is None else difference_table(found, "diff_bps", "diff_1e9")
    return [drawn] if table is None else [drawn, table, Note(_FREE)]


def _routing(comparison: Comparison) -> list[Section]:
    found = {name: shortfalls(record) for name, record in _both(comparison)}
    series = {name: each for name, each in found.items() if each is not None}
    chart: Chart | Note = Note("Not both recorded their parent orders.")
    if len(series) == len(_NAMES):
        chart = Chart(
            "shortfall",
            "Distributions of the implementation shortfall of A and B per parent order, in basis points",
            distribution(series, "Shortfall, bps of the arrival notional", "% of notional"),
            (("dot", BUY, "A"), ("dot", SELL, "B")),
            "Each parent counts by its notional. A cost is above zero.",
        )
    names = [(name, label) for _, name, label in COMPONENTS]
    names.append(("implementation_shortfall_bps", "Shortfall"))
    benchmarks = [(f"savings_vs_{name}_bps", label) for name, label in BENCHMARKS]
    return [
        section("Shortfall of each parent order", chart, _paired_parents(comparison, "shortfall_1e9", "shortfall")),
        section("What the shortfall is made of", _two_bars(comparison, "parts", names)),
        section("Savings", _two_intervals(comparison, benchmarks)),
    ]


def _assignment(comparison: Comparison) -> list[Section]:
    found = {name: regrets(record) for name, record in _both(comparison)}
    series = {
        name: (values[values > 0], weights[values > 0])
        for name, each in found.items()
        if each is not None
        for values, weights in [each]
        if (values > 0).any()
    }
    chart: Chart | Note = Note("Not both sent some parent the dearer way.")
    if len(series) == len(_NAMES):
        chart = Chart(
            "regret",
            "Distributions of the regret of A and B over the parents sent the dearer way, in basis points",
            distribution(series, "Regret, bps", "% of notional"),
            (("dot", BUY, "A"), ("dot", SELL, "B")),
            "Of the parents that were sent the dearer way.",
        )
    names = {**comparison.a.metrics, **comparison.b.metrics}
    routes = [("sent_to_edge", "Sent to the edge"), ("sent_to_sor", "Sent to SOR")]
    routes += [(name, titled(name)) for name in names if name.startswith("assigned_")]
    baselines = [
        ("regret_bps", "Regret"),
        *((f"savings_vs_{name}_bps", f"Saved against: {label}") for name, label in BASELINES),
    ]
    return [
        section("Decisions", _two_bars(comparison, "decisions", routes, digits=0)),
        section("Regret", chart, _paired_parents(comparison, "cost_1e9", "cost")),
        section("Savings and regret", _two_intervals(comparison, baselines)),
    ]


def _paired_parents(comparison: Comparison, column: str, what: str) -> Table | None:
    """Return what B costs more than A over the parents of both, if these are the same, with its intervals."""
    logs = [record.log("parents", "parent_id", "notional_1e9", column) for record in (comparison.a, comparison.b)]
    if not comparison.same_data or logs[0] is None or logs[1] is None:
        return None
    a, b = logs[0], logs[1]
    for name in ("parent_id", "notional_1e9"):
        if len(a) != len(b) or not (a[name] == b[name]).all():
            return None
    more, notional = (b[column] - a[column]).astype(np.int64), a["notional_1e9"].astype(np.int64)
    if not notional.sum():
        return None
    value = float(more.sum() / notional.sum() * 1e4)
    found = {f"more_bps_{end}": each for end, each in ratio_bounds(more, notional, seed=_SEED).items()}
    table = difference_table({"more_bps": value, **found}, "more_bps", "", "of the notional")
    if table is None:
        return None
    note = f"What B's {what} is above A's, {signed(value)} bps of the notional, over the same parents. {_FREE}"
    return replace(table, note=note)


def _two_bars(comparison: Comparison, key: str, names: list[tuple[str, str]], digits: int = 3) -> Table | Note:
    """Return a row of each for every figure, bars on one axis."""
    rows = []
    for name, label in names:
        for side, record in _both(comparison):
            value = record.metrics.get(name)
            if value is not None:
                bar = Bar(0.0, float(value), "first" if side == "A" else "second")
                rows.append(Row((f"{label}, {side}", figure(float(value), digits)), bar))
    return Table(key, ("Figure", "Value" if digits == 0 else "bps"), tuple(rows)) if rows else Note("Neither has them.")


def _two_intervals(comparison: Comparison, names: list[tuple[str, str]]) -> Table | Note:
    rows = []
    for name, label in names:
        for side, record in _both(comparison):
            value = record.metrics.get(name)
            if value is None:
                continue
            ends = bounds(record.metrics, name)
            bar = None if ends is None else Bar(*ends, "first" if side == "A" else "second", float(value))
            told = UNKNOWN if ends is None else interval(*ends)
            rows.append(Row((f"{label}, {side}", signed(float(value)), told), bar))
    if not rows:
        return Note("Neither was compared with a benchmark.")
    note = "In bps; the bar is the 95 % interval, its mark the value."
    return Table("savings", ("Figure", "bps", "95 %"), tuple(rows), note)
