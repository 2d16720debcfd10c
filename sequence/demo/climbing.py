"""One bundle's way up: an evaluation, the request, the other person's answer, rung by rung, and a report of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bundles.errors import RefusedError
from sequence.demo.people import AUTHOR, approver
from sequence.demo.telling import progress

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from flows.judging import Judged


@dataclass(frozen=True)
class Place:
    """Where the demo's things lie, and with which key somebody else approves."""

    out: Path
    catalog: Catalog
    store: str
    data: Path
    key: Path


@dataclass(frozen=True)
class Outcome:
    """One line of the closing table."""

    name: str
    bundle: str
    verdict: str
    """Of the last evaluation, with the stage whose rules judged it."""
    stage: str
    reasons: tuple[str, ...]
    reports: tuple[Path, ...]


@dataclass(frozen=True)
class Rung:
    """A stage, and the flow that brings the evidence for it."""

    stage: Literal["replay", "shadow", "sandbox"]
    kind: str
    evaluate: Callable[[], Judged]


def climb(place: Place, name: str, bundle: str, rungs: Sequence[Rung]) -> Outcome:
    """Take a bundle up as far as it gets."""
    from flows.promote import promote

    target = place.catalog.bundle(bundle).kind
    verdict, reports = "", list[Path]()
    reasons: tuple[str, ...] = ()
    for rung in rungs:
        progress(f"{name}: {rung.kind} of {bundle}")
        judged = rung.evaluate()
        verdict = judged.told
        reports.append(_write_report(place, f"{name}-{rung.kind}", judged.eval_id))
        progress(f"{name}: {judged.eval_id} {verdict}; flow promote")
        with approver(place.catalog, bundle, place.key):
            try:
                promote(
                    bundle=bundle,
                    evaluations=[judged.eval_id],
                    requested_by=AUTHOR,
                    target=target,
                    stage=rung.stage,
                    store=place.store,
                )
            except RefusedError as error:
                reasons = error.unmet
                break
        progress(f"{name}: promoted to {rung.stage}")
    stage = place.catalog.ledger.state(bundle).stage_at(time.time_ns())
    return Outcome(name, bundle, verdict, stage, reasons, tuple(reports))


def _write_report(place: Place, name: str, eval_id: str) -> Path:
    from bundles.judging import judge
    from evals.reports.page import report_of

    evaluation = place.catalog.evaluation(eval_id)
    path = place.out / f"{name}.html"
    path.write_text(report_of(place.catalog, evaluation, judge(place.catalog, evaluation)), encoding="utf-8")
    return path
