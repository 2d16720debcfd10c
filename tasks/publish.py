"""Steps that show people what was found: Markdown checklists and tables of metrics in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterable

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from bundles.evidence import Evaluation
from bundles.gates import Check
from bundles.judging import Judgement
from evals.reports.figures import figures_markdown, metric_rows
from evals.reports.tables import inline
from tasks.places import open_catalog

__all__ = [
    "artifact_key",
    "bullets",
    "checklist",
    "inline",
    "publish_figures",
    "publish_markdown",
    "publish_metrics",
    "publish_table",
]

MARKS = {True: "✓", False: "✗", None: "?"}


def checklist(checks: Iterable[Check]) -> str:
    """Return a gate's checks as Markdown, one a line: a list would put a second mark before each."""
    dry_run = {True: " *(dry run)*", False: ""}
    return "  \n".join(f"**{MARKS[check.ok]}** {inline(check.text)}{dry_run[check.dry_run]}" for check in checks)


def bullets(lines: Iterable[str]) -> str:
    """Return plain texts as a Markdown list."""
    return "\n".join(f"- {inline(line)}" for line in lines)


def artifact_key(*parts: str) -> str:
    """Return a key that Prefect accepts: lower-case letters, digits and dashes."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else "-" for c in part.lower()) for part in parts)


@task(task_run_name="publish {key}", cache_policy=NO_CACHE)
def publish_markdown(markdown: str, *, key: str, description: str) -> None:
    """Show Markdown on the run's page and under its key on the artifacts page."""
    create_markdown_artifact(markdown, key=key, description=description)


@task(task_run_name="publish {key}", cache_policy=NO_CACHE)
def publish_table(rows: list[dict[str, str]], *, key: str, description: str) -> None:
    """Show a table on the run's page and under its key on the artifacts page."""
    create_table_artifact([dict(row) for row in rows], key=key, description=description)


@task(task_run_name="publish metrics", cache_policy=NO_CACHE)
def publish_metrics(evaluation: Evaluation) -> None:
    """Show an evaluation's metrics as a table with units and explanations."""
    rows = [
        {"group": group, "metric": label, "value": value, "unit": unit, "meaning": meaning}
        for group, label, value, unit, meaning in metric_rows(evaluation.metrics)
    ]
    create_table_artifact(
        rows,
        key=artifact_key("metrics", evaluation.eval_id),
        description=f"Every metric of {evaluation.eval_id}",
    )


@task(task_run_name="publish figures", cache_policy=NO_CACHE)
def publish_figures(evaluation: Evaluation, judged: Judgement | None, *, store: str) -> None:
    """Show the figures of an evaluation's report, section by section; its charts are on the HTML page only."""
    create_markdown_artifact(
        figures_markdown(open_catalog(store), evaluation, judged),
        key=artifact_key("figures", evaluation.eval_id),
        description=f"Report of {evaluation.eval_id}",
    )
