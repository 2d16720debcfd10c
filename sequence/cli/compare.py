"""`sequence eval compare`: two evaluations, or the latest of two bundles, side by side."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sequence.cli.ids import COMPARABLE
from sequence.cli.layout import wrapped
from sequence.cli.recorded import check_report_path, write_report
from sequence.cli.session import Command, Session, pass_session

if TYPE_CHECKING:
    from evals.reports.compare import Comparison

_LABEL, _FIGURE = 27, 13
"""Widths of the table's columns: with single spaces, and a unit of up to nine letters, 79 characters."""

_TITLES: Final = ("A", "B", "B - A")


@click.command(cls=Command)
@click.argument("a", metavar="A", type=COMPARABLE)
@click.argument("b", metavar="B", type=COMPARABLE)
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML page to this file")
@pass_session
def compare(session: Session, a: str, b: str, report: Path | None) -> None:
    """Show two evaluations A and B side by side: what differs in their inputs, and every metric.

    A and B are ids of evaluations, or of bundles: of a bundle the latest evaluation of the highest kind that both have.
    Evaluations of different kinds are refused.
    """
    from evals.reports.compare import compare as compared

    check_report_path(report)
    comparison = compared(session.catalog, a, b)
    document = _document(comparison)
    lines = _lines(comparison)
    if report is not None:
        from evals.reports.comparison_page import comparison_report

        session.progress("Writing the report")
        write_report(report, comparison_report(comparison))
        document["report"] = str(report.absolute())
        lines.append(f"Report: {report.absolute()}")
    session.emit(document, lines)


def _document(comparison: Comparison) -> dict[str, Any]:
    from sequence.verdicts import by_stage

    sides = {}
    for name, record in (("a", comparison.a), ("b", comparison.b)):
        evaluation = record.evaluation
        sides[name] = {
            "eval_id": evaluation.eval_id,
            "bundle": evaluation.inputs.bundle,
            "verdict": record.judged.verdict if record.judged else None,
            "verdicts": by_stage(record.judged) if record.judged else [],
            "status": evaluation.status,
            "datasets": list(evaluation.inputs.datasets),
        }
    a, b = (record.evaluation.model_dump(mode="json")["metrics"] for record in (comparison.a, comparison.b))
    return {
        "kind": comparison.a.kind,
        **sides,
        "same_data": comparison.same_data,
        "alarms": comparison.alarms,
        "remarks": comparison.remarks,
        "metrics": {each.name: {"a": a.get(each.name), "b": b.get(each.name)} for each in comparison.metrics()},
    }


def _lines(comparison: Comparison) -> list[str]:
    lines = []
    for name, record in (("A", comparison.a), ("B", comparison.b)):
        lines += [f"{name}: {record.evaluation.eval_id}, {record.told}", *wrapped(f"   {record.title}")]
    for told in comparison.alarms:
        lines += wrapped(f"WARNING: {told}")
    for told in comparison.remarks:
        lines += wrapped(told)
    lines.append(_row("Metric", _TITLES, ""))
    for group, metrics in groupby(comparison.metrics(), key=lambda each: each.group):
        lines.append(f"{group}:")
        lines += [_row(f"  {each.label}", (each.a, each.b, each.difference), each.unit) for each in metrics]
    return lines


def _row(label: str, figures: tuple[str, ...], unit: str) -> str:
    shown = label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
    return " ".join([shown.ljust(_LABEL), *(each.rjust(_FIGURE) for each in figures), unit]).rstrip()
