"""What is printed of an evaluation that was just recorded: verdict, checks, figures, and the report if one is asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sequence.cli.session import Session

if TYPE_CHECKING:
    from bundles.evidence import Evaluation

_Function = TypeVar("_Function", bound=Callable[..., Any])

REPORT: Final = click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report to this file"
)
SEED: Final = click.option("--seed", type=click.IntRange(0, 2**53 - 1), default=42, show_default=True, help="PRNG seed")
FORCE: Final = click.option(
    "--force", is_flag=True, help="Run although the same inputs were run before; the results must be equal"
)


def recorded_options(command: _Function) -> _Function:
    """Add --seed, --force and --report, which every command takes that records an evaluation."""
    for option in (REPORT, FORCE, SEED):
        command = option(command)
    return command


def check_report_path(report: Path | None) -> None:
    """Refuse a report that could not be written, before anything is run for it."""
    if report is not None and not os.access(report.absolute().parent, os.W_OK | os.X_OK):
        raise click.UsageError(
            f"--report {report}: its folder is not there or cannot be written. Name another, or make it."
        )


def run_and_show(
    session: Session, bundle_id: str, evaluate: Callable[[str, int], Evaluation], report: Path | None
) -> None:
    """Record an evaluation of a bundle and show it with its verdict.

    ``evaluate`` is given the bundle's whole id and the time.
    """
    import time

    from bundles.judging import judge
    from sequence.verdicts import document_of, headline, lines_of

    check_report_path(report)
    now_ns, full_id = time.time_ns(), session.catalog.resolve_bundle(bundle_id)
    before = session.catalog.ledger.state(full_id).stage_at(now_ns)
    evaluation = evaluate(full_id, now_ns)
    stage = session.catalog.ledger.state(full_id).stage_at(now_ns)
    if stage != before:
        session.say(f"{full_id} was at stage {before}; the policy demotes it to {stage}.")
    judged = judge(session.catalog, evaluation)
    names = _datasets(evaluation)
    document: dict[str, Any] = {
        "eval_id": evaluation.eval_id,
        "kind": evaluation.inputs.kind,
        **document_of(judged),
        "result_digest": evaluation.result_digest,
        "metrics": evaluation.model_dump(mode="json")["metrics"],
        "status": evaluation.status,
        "dataset": names[0] if names else None,  # a feed that never came leaves none
        "datasets": names,
        "stage": stage,
    }
    lines = [*lines_of(evaluation, judged), *headline(evaluation.metrics)]
    if evaluation.status == "interrupted":
        lines.append("Nothing was recorded: what was cut short is no evidence. Run it again.")
    else:
        lines.append(f"All metrics: sequence eval show {evaluation.eval_id}")
    if report is not None:
        from evals.reports.page import report_of

        session.progress("Writing the report")
        write_report(report, report_of(session.catalog, evaluation, judged))
        document["report"] = str(report.absolute())
        lines.append(f"Report: {report.absolute()}")
    session.emit(document, lines)


def write_report(path: Path, page: str) -> None:
    """Write a page; LadderError if it cannot be written, which loses nothing: what it shows is recorded."""
    from bundles.errors import LadderError

    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LadderError(
            f"The report {path} cannot be written: {error.strerror}. What it shows is recorded: "
            "run the same again with another --report."
        ) from error


def _datasets(evaluation: Evaluation) -> Sequence[str]:
    from bundles.canonical import short_id

    return [short_id("data", digest) for digest in evaluation.inputs.datasets]
