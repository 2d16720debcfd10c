"""How every evaluation flow ends: the verdict derived afresh, its checklist and figures shown in the Prefect UI."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel

from bundles.catalog import Catalog
from bundles.errors import LadderError
from bundles.evidence import Evaluation
from flows.outcome import completed, failed
from tasks.evaluate import judge_evaluation
from tasks.publish import artifact_key, checklist, inline, publish_figures, publish_markdown, publish_metrics


class Judged(BaseModel):
    """What an evaluation came to."""

    eval_id: str
    bundle: str
    verdict: str
    """Of the stage that the evaluation could take away or else helps to reach, with ``told`` and ``unmet``."""
    told: str
    """The verdict with its stage, such as ``fails live``."""
    unmet: tuple[str, ...]
    also: tuple[str, ...]
    """What it comes to at other stages that take evaluations of its kind, with what is unmet there."""


def judged(evaluate: Callable[[], Evaluation], *, store: str) -> Judged:
    """Make an evaluation, judge it by the policy in force, show it, and end the flow with the verdict and its stage.

    What is refused before it runs ends the flow as failed, with the reason as the state's message.
    """
    try:
        evaluation = evaluate()
    except LadderError as error:
        refused: Judged = failed(error)
        return refused
    verdict = judge_evaluation(evaluation, store=store)
    also = tuple(each.reasoned for each in verdict.others)
    publish_figures(evaluation, verdict, store=store)
    publish_metrics(evaluation)
    parts = [f"## {evaluation.eval_id}: {verdict.told}", checklist(verdict.checks)]
    parts += [f"Also {inline(each)}" for each in also]
    publish_markdown(
        "\n\n".join([*parts, f"Result {evaluation.result_digest}"]),
        key=artifact_key("gate", evaluation.eval_id),
        description=f"{evaluation.eval_id} {verdict.told}",
    )
    outcome = Judged(
        eval_id=evaluation.eval_id,
        bundle=Catalog.bundle_of(evaluation),
        verdict=verdict.verdict,
        told=verdict.told,
        unmet=verdict.unmet,
        also=also,
    )
    return completed(outcome, f"{evaluation.eval_id}: {verdict.told}")
