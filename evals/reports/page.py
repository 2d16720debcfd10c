"""One evaluation as a self-contained HTML page: verdict and why, figures, charts, what it is evidence of.

The page loads nothing from anywhere (Vega is inlined from vl-convert) and can be mailed, archived or opened on a phone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from evals.reports.confidence import is_bound
from evals.reports.figures import key_figures, metric_rows, sections_of
from evals.reports.markup import charts_of, checklist_html, figures_html, script_json, sections_html, text
from evals.reports.recorded import Recorded, recorded
from evals.reports.tables import Section
from evals.reports.wording import utc, why

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.evidence import Evaluation
    from bundles.judging import Judgement


def report_of(catalog: Catalog, evaluation: Evaluation, judged: Judgement | None) -> str:
    """Return the report of a recorded evaluation; what it recorded comes from the store, verified.

    Raises:
        NotFoundError, IntegrityError: if an output or a dataset is lost or changed.

    """
    return render_report(recorded(catalog, evaluation, judged))


def render_report(record: Recorded) -> str:
    """Return the report as one HTML page."""
    evaluation, sections = record.evaluation, sections_of(record)
    coverage = evaluation.coverage
    detail = f": {evaluation.status_detail}" if evaluation.status_detail else ""
    lead = (
        f"{utc(coverage.first_ns)} to {utc(coverage.last_ns)} UTC · {coverage.events:,} events in "
        f"{coverage.packets:,} packets · run {evaluation.status}{detail}"
    )
    body = (
        f'<p class="why {text(record.verdict)}">{text(why(record.judged))}</p>{figures_html(key_figures(record))}'
        f"<section><h2>Why: the gate's checklist</h2>{checklist_html(record.judged)}</section>"
        f"{sections_html(sections)}{_metrics(evaluation.metrics)}{_provenance(evaluation)}"
    )
    return page(record.title, badge(record), lead, body, sections)


def badge(record: Recorded) -> str:
    """Return the verdict that stands first, coloured."""
    return f'<span class="verdict {text(record.verdict)}">{text(record.told)}</span>'


def page(title: str, header: str, lead: str, body: str, sections: Sequence[Section]) -> str:
    """Return the whole page; ``header`` and ``body`` are HTML, the rest are texts."""
    parts = {
        "title": text(title),
        "header": header,
        "lead": text(lead),
        "body": body,
        "charts": script_json(charts_of(sections)),
        "vega": _vega(),
    }
    template = resources.files("evals.reports").joinpath("page.html").read_text("utf-8")
    head, *rest = template.split("{{")
    return head + "".join(parts[name] + tail for name, tail in (piece.split("}}", 1) for piece in rest))


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script; vl-convert takes two seconds to bundle it."""
    import vl_convert  # a flow's worker, which writes no page, does not need it

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")


def _in_table(metrics: Mapping[str, int | float | None]) -> dict[str, int | float | None]:
    """Leave out what has a section of its own, and the reject codes that nothing was refused with."""
    return {
        name: value
        for name, value in metrics.items()
        if not (name.startswith(("band_", "tape_")) or is_bound(name) or (name.startswith("rejects_") and value == 0))
    }


def _metrics(metrics: Mapping[str, int | float | None]) -> str:
    rows, current = [], ""
    for group, label, value, unit, meaning in metric_rows(_in_table(metrics)):
        if group != current:
            current = group
            rows.append(f'<tr><th class="group" colspan="4" scope="colgroup">{text(group)}</th></tr>')
        rows.append(
            f'<tr><td>{text(label)}</td><td class="value">{text(value)}</td><td class="unit">{text(unit)}</td>'
            f'<td class="meaning">{text(meaning)}</td></tr>'
        )
    return (
        '<section><h2>Metrics</h2><table class="metrics"><thead><tr><th scope="col">Metric</th>'
        '<th scope="col" class="value">Value</th><th scope="col">Unit</th><th scope="col">Meaning</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _provenance(evaluation: Evaluation) -> str:
    inputs = evaluation.inputs
    runtime = (f"{name} {version}" for name, version in sorted(inputs.engine.runtime.items()))
    rows = [
        ("Evaluation", evaluation.eval_id),
        ("Bundle", inputs.bundle),
        *(("Dataset", digest) for digest in inputs.datasets),
        ("Result", evaluation.result_digest),
        ("Engine", ", ".join([f"{inputs.engine.name} {inputs.engine.version}", *runtime])),
        ("Engine source", inputs.engine.source),
        ("Seed", inputs.seed),
        ("Settings", json.dumps(inputs.settings, sort_keys=True)),
    ]
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th><td><code>{text(value)}</code></td></tr>' for name, value in rows
    )
    return (
        f'<section><h2>What this is evidence of</h2><table class="ids"><tbody>{body}</tbody></table>'
        f'<p class="note">Run the same inputs again with <code>sequence eval verify {text(evaluation.eval_id)}</code>: '
        "the result digest must be the same.</p></section>"
    )
