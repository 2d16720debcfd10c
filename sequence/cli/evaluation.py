"""`sequence eval`: the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sequence.cli.ids import BUNDLE, EVALUATION
from sequence.cli.layout import columns
from sequence.cli.session import Group, Session, pass_session

if TYPE_CHECKING:
    from bundles.evidence import Evaluation


@click.group(cls=Group)
def evaluation() -> None:
    """Look at evaluations: what was measured, on which data, under which engine."""


@evaluation.command("list")
@click.option("--bundle", "bundle_id", type=BUNDLE, help="Only this bundle's, in the order of its ledger")
@pass_session
def list_evaluations(session: Session, bundle_id: str | None) -> None:
    """List the evaluations of the store."""
    catalog = session.catalog
    wanted = None if bundle_id is None else catalog.resolve_bundle(bundle_id)
    documents = [_summary(session, each) for each in catalog.evaluations(wanted)]
    header = ("EVALUATION", "KIND", "BUNDLE_ID", "VERDICT", "RESULT")
    rows = [tuple(str(value) for value in document.values()) for document in documents]
    session.emit(documents, columns(header, rows))


@evaluation.command()
@click.argument("evaluation_id", metavar="EVALUATION", type=EVALUATION)
@pass_session
def show(session: Session, evaluation_id: str) -> None:
    """Show an evaluation's inputs, metrics and today's verdict."""
    from bundles.promotion import judge
    from sequence.verdicts import all_metrics, lines_of

    record = session.catalog.evaluation(evaluation_id)
    gate = judge(session.catalog, record)
    document = {
        "eval_id": record.eval_id,
        "verdict": gate.verdict,
        "checks": [{"text": check.text, "ok": check.ok, "dry_run": check.dry_run} for check in gate.checks],
        "record": record.model_dump(mode="json"),
    }
    session.emit(document, [*lines_of(record, gate), *all_metrics(record.metrics)])


@evaluation.command()
@click.argument("evaluation_id", metavar="EVALUATION", type=EVALUATION)
@pass_session
def verify(session: Session, evaluation_id: str) -> None:
    """Run an evaluation again and compare result digests; exit 7 if they differ."""
    from bundles.errors import IntegrityError
    from evals.replay import verify_evaluation

    full_id = session.catalog.evaluation(evaluation_id).eval_id
    session.say(f"Running {full_id} again")
    same, then, now = verify_evaluation(session.catalog, full_id, session.settings.data_root)
    session.emit(
        {"eval_id": full_id, "same": same, "result_digest": then, "result_digest_now": now},
        [f"Evaluation: {full_id}", f"Recorded: {then}", f"Now: {now}", f"Verdict: {'same' if same else 'different'}"],
    )
    if not same:
        raise click.exceptions.Exit(IntegrityError.exit_code)


def _summary(session: Session, record: Evaluation) -> dict[str, Any]:
    from bundles.promotion import judge

    return {
        "eval_id": record.eval_id,
        "kind": record.inputs.kind,
        "bundle_id": "bun_" + record.inputs.bundle.removeprefix("sha256:")[:16],
        "verdict": judge(session.catalog, record).verdict,
        "result_digest": record.result_digest,
    }
