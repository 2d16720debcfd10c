"""Steps that show people what was found: Markdown checklists and tables of metrics in the Prefect UI."""

from __future__ import annotations

from collections.abc import Iterable

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from bundles.evidence import Evaluation
from bundles.gates import Check
from evals.report import metric_rows

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
        description=f"Metrics of {evaluation.eval_id}, result {evaluation.result_digest}",
    )


def inline(text: str) -> str:
    """Keep a text on one line and harmless in Markdown: names and notes come from people."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in " ".join(text.split()))
