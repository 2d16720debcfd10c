"""`sequence eval`: the evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundles.times import in_utc
from sequence.cli import evaluate
from sequence.cli.compare import compare
from sequence.cli.ids import BUNDLE, EVALUATION
from sequence.cli.layout import columns, wrapped
from sequence.cli.recorded import check_report_path, write_report
from sequence.cli.session import Group, Session, pass_session

if TYPE_CHECKING:
    from bundles.evidence import Evaluation


@click.group(cls=Group)
def evaluation() -> None:
    """Judge bundles, and look at evaluations: what was measured, on which data, under which engine."""


for _command in (compare, evaluate.live_review, evaluate.replay, evaluate.sandbox, evaluate.shadow):
    evaluation.add_command(_command)


@evaluation.command("list")
@click.option("--bundle", "bundle_id", type=BUNDLE, help="Only this bundle's, in the order of its ledger")
@pass_session
def list_evaluations(session: Session, bundle_id: str | None) -> None:
    """List the evaluations of the store."""
    from bundles.judging import judge_each
    from sequence.verdicts import by_stage

    catalog = session.catalog
    wanted = None if bundle_id is None else catalog.resolve_bundle(bundle_id)
    documents, rows = [], []
    records = catalog.evaluations(wanted)
    for record, judged in zip(records, judge_each(catalog, records), strict=True):
        kind, bundle = record.inputs.kind, catalog.bundle_of(record)
        rows.append((record.eval_id, kind, bundle, judged.told))
        documents.append(
            {
                "eval_id": record.eval_id,
                "kind": kind,
                "bundle_id": bundle,
                "verdict": judged.verdict,
                "verdicts": by_stage(judged),
                "result_digest": record.result_digest,
            }
        )
    header = ("EVALUATION", "KIND", "BUNDLE_ID", "VERDICT")
    session.emit(documents, columns(header, rows))


@evaluation.command()
@click.argument("evaluation_id", metavar="EVALUATION", type=EVALUATION)
@pass_session
def show(session: Session, evaluation_id: str) -> None:
    """Show an evaluation's inputs, metrics and today's verdict."""
    from bundles.judging import judge
    from sequence.verdicts import all_metrics, document_of, lines_of

    record = session.catalog.evaluation(evaluation_id)
    judged = judge(session.catalog, record)
    executions = _executions(session, record)
    document = {
        "eval_id": record.eval_id,
        **document_of(judged),
        "executions": executions,
        "record": record.model_dump(mode="json"),
    }
    who = [part for each in executions for part in wrapped(_executed(each))]
    session.emit(document, [*lines_of(record, judged), *who, *all_metrics(record.metrics)])


@evaluation.command()
@click.argument("evaluation_id", metavar="EVALUATION", type=EVALUATION)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="HTML file to write")
@pass_session
def report(session: Session, evaluation_id: str, out: Path) -> None:
    """Write the report of an evaluation: one HTML file that needs nothing else."""
    from bundles.judging import judge
    from evals.reports.page import report_of

    check_report_path(out)
    record = session.catalog.evaluation(evaluation_id)
    session.progress("Writing the report")
    write_report(out, report_of(session.catalog, record, judge(session.catalog, record)))
    session.emit({"eval_id": record.eval_id, "report": str(out.absolute())}, [f"Report: {out.absolute()}"])


@evaluation.command()
@click.argument("evaluation_id", metavar="EVALUATION", type=EVALUATION)
@click.option("--attest", is_flag=True, help="Sign what comes of it, as this machine's runner, and record that")
@pass_session
def verify(session: Session, evaluation_id: str, attest: bool) -> None:
    """Run an evaluation again and compare result digests; exit 7 if they differ."""
    import time

    from bundles.errors import IntegrityError
    from evals.evaluation import attest_evaluation, verify_evaluation

    catalog, root = session.catalog, session.settings.data_root
    full_id = catalog.evaluation(evaluation_id).eval_id
    runner = session.runner if attest else None
    session.say(f"Running {full_id} again")
    if runner is None:
        same, then, now = verify_evaluation(catalog, full_id, root, progress=session.progress)
    else:
        same, then, now = attest_evaluation(
            catalog, full_id, root, runner=runner, now_ns=time.time_ns(), progress=session.progress
        )
    word = None if runner is None else {"runner": runner.name, "signed": runner.key is not None}
    moved = [] if runner is None else _complete_requests(session, full_id)
    session.emit(
        {
            "eval_id": full_id,
            "same": same,
            "result_digest": then,
            "result_digest_now": now,
            "attested": word,
            "promoted": moved,
        },
        [
            f"Evaluation: {full_id}",
            f"Recorded: {then}",
            f"Now: {now}",
            f"Verdict: {'same' if same else 'different'}",
            *([] if runner is None else [f"Attested: by {runner.name} ({'signed' if runner.key else 'unsigned'})"]),
            *(f"Promoted: {each['bundle_id']} to {each['stage']} ({each['request']})" for each in moved),
        ],
    )
    if not same:
        raise click.exceptions.Exit(IntegrityError.exit_code)


def _complete_requests(session: Session, eval_id: str) -> list[dict[str, str]]:
    """Promote on the open requests to which nothing but this runner's word was missing."""
    import time

    from bundles.promotion import complete

    catalog = session.catalog
    moved = []
    for request in catalog.ledger.state(catalog.bundle_of(catalog.evaluation(eval_id))).open_requests:
        if eval_id in request.statement.evaluations:
            outcome = complete(catalog, request.id, now_ns=time.time_ns())
            if outcome.decision == "promoted":
                moved.append({"bundle_id": outcome.bundle, "stage": outcome.stage, "request": request.id})
    return moved


def _executions(session: Session, record: Evaluation) -> list[dict[str, Any]]:
    """Say who executed an evaluation's inputs, and how much that word is worth by the roster in force."""
    import time

    from bundles.approvals import signature_problem
    from bundles.governance import in_force
    from bundles.runners import is_listed
    from bundles.statements import EvaluationStatement

    roster, now_ns = in_force(session.catalog).roster, time.time_ns()
    found = []
    for each in session.catalog.ledger.state(session.catalog.bundle_of(record)).executions_of(record.eval_id):
        statement = EvaluationStatement(
            bundle=record.inputs.bundle, evaluation=each.evaluation, record=each.record, result=each.result
        )
        problem = (
            signature_problem(statement, each.signature, each.runner, roster, now_ns) if each.signature else "unsigned"
        )
        found.append(
            {
                "runner": each.runner,
                "at": in_utc(each.at_ns),
                "listed": is_listed(roster, each.runner),
                "signed": bool(each.signature),
                "problem": problem,
                "result_digest": each.result,
                "same": each.result == record.result_digest,
            }
        )
    return found


def _executed(said: dict[str, Any]) -> str:
    listed = "on the roster" if said["listed"] else "not on the roster"
    signed = "signed" if said["signed"] else "unsigned"
    result = "the same result" if said["same"] else f"ANOTHER RESULT: {said['result_digest']}"
    doubt = f"; {said['problem']}" if said["signed"] and said["listed"] and said["problem"] else ""
    return f"Executed by: {said['runner']} at {said['at']}, {listed}, {signed}, {result}{doubt}"
