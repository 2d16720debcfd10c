"""How every evaluation flow ends: the verdict derived afresh, its checklist and figures shown in the Prefect UI."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel

from bundles.catalog import Catalog
from bundles.errors import LadderError
from bundles.evidence import Evaluation
from flows.outcome import completed, failed
from tasks.evaluate import judge_evaluation
from tasks.publish import artifact_key, checklist, publish_figures, publish_markdown, publish_metrics


class Judged(BaseModel):
    """What an evaluation came to."""

    eval_id: str
    bundle: str
    verdict: str
    unmet: tuple[str, ...]


def judged(evaluate: Callable[[], Evaluation], *, store: str) -> Judged:
    """Make an evaluation, judge it by the policy in force, show it, and end the flow with the verdict.

    What is refused before it runs ends the flow as failed, with the reason as the state's message.
    """
    try:
        evaluation = evaluate()
    except LadderError as error:
        refused: Judged = failed(error)
        return refused
    gate = judge_evaluation(evaluation, store=store)
    publish_figures(evaluation, gate, store=store)
    publish_metrics(evaluation)
    publish_markdown(
        f"## {evaluation.eval_id}: {gate.verdict}\n\n{checklist(gate.checks)}\n\nResult {evaluation.result_digest}",
        key=artifact_key("gate", evaluation.eval_id),
        description=f"{gate.verdict.capitalize()}: {evaluation.eval_id}",
    )
    unmet = tuple(check.text for check in gate.checks if check.ok is not True and not check.dry_run)
    bundle = Catalog.bundle_of(evaluation)
    outcome = Judged(eval_id=evaluation.eval_id, bundle=bundle, verdict=gate.verdict, unmet=unmet)
    return completed(outcome, f"{evaluation.eval_id}: {gate.verdict}")
