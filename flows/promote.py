"""Flow `promote`: checks ladder and evidence, asks a person, records.

The answer that wakes this flow is only text: anyone who reaches Prefect's API can send one. Whether it counts, and
whether the bundle moves, is decided by `bundles.promotion` from the store.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger, runtime
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from pydantic import BaseModel, Field

from bundles.approvals import NAMESPACE, Approval, Statement
from bundles.errors import InvalidInputError, RefusedError
from bundles.ladder import Decision
from flows.outcome import completed, failed
from tasks.promotion import check_promotion, record_promotion
from tasks.publish import artifact_key, bullets, checklist, inline, publish_markdown


class ApprovalForm(RunInput):
    """What an approver fills in."""

    decision: Literal["approve", "deny"] = Field(
        title="Your decision", description="Deny ends this request; it can be made again."
    )
    approver: str = Field(title="Your name", description="As the roster has it. The bundle's author cannot approve.")
    notes: str = Field(default="", title="Why", description="Kept in the ledger.")
    signature: str = Field(
        default="",
        title="Signature",
        description="All lines that the command above prints. Leave it empty where the policy takes a typed name.",
    )


def _titled(title: str) -> Any:
    """Give a parameter a title in the form: Prefect puts its name over `Field(title=…)`, but not over this."""
    return Field(json_schema_extra={"title": title})


class Promoted(BaseModel):
    """What a promotion came to."""

    bundle: str
    stage: str
    ledger_seq: int | None
    approvers: tuple[str, ...]


@flow(
    name="promote",
    flow_run_name="promote {bundle} to {stage}",
    description="Checks ladder and evidence, waits for a person's approval, and records the promotion.",
)
def promote(
    bundle: Annotated[str, _titled("Bundle")],
    evaluations: Annotated[list[str], _titled("Evaluations")],
    requested_by: Annotated[str, _titled("Requested by")],
    target: Annotated[Literal["edge", "sor", "assignment"], _titled("Ladder")] = "edge",
    stage: Annotated[Literal["replay", "shadow", "sandbox", "live", "scaled"], _titled("To stage")] = "replay",
    notes: Annotated[str, _titled("Why")] = "",
    wait_hours: Annotated[float, _titled("Hours to wait")] = 72,
    store: Annotated[str, _titled("Store")] = "",
) -> Promoted:
    """Promote a bundle by one stage.

    Args:
        bundle: Id of the bundle, or a unique prefix of it.
        evaluations: Ids of the evaluations that justify the promotion.
        requested_by: Who asks for the promotion.
        target: The ladder: the kind of the bundle.
        stage: Where the bundle shall stand. Shadow is for edge bundles, sandbox for SOR and assignment policies.
        notes: Why; shown to the approver and kept in the ledger.
        wait_hours: How long to wait for each approval before the request lapses.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    approvals: list[Approval] = []
    request = (bundle, target, stage, evaluations)
    decision = check_promotion(*request, approvals, notes=notes, store=store or None)
    publish_markdown(
        _request_markdown(bundle, stage, requested_by, notes, decision),
        key=artifact_key("promotion", bundle, stage),
        description=f"Promotion of {bundle} to {stage}",
    )
    # One answer after another, until enough of them count. Deployed, the process ends at each question and this body
    # runs again at each answer: nothing before the record below may write to the store. The key names what is agreed
    # to, so that an answer to another statement (other evidence, another policy) is never read as one to this.
    asked, objection = 0, ""
    while decision.decision == "pending":
        asked += 1
        form = ApprovalForm.with_initial_data(
            description=_question(
                _request_markdown(bundle, stage, requested_by, notes, decision), decision.statement, objection
            )
        )
        # The run's page shows the logs first, and hides the way to the question in a menu.
        get_run_logger().info("Waiting for an approver's answer: on this page, menu ⋮ at the top right, Resume.")
        answer = _ask(form, timeout_s=round(wait_hours * 3600), key=f"approval-{asked}-{_short(decision.statement)}")
        if answer.decision == "deny":
            return _denied(answer, bundle, stage)
        try:
            approval = _approval(answer, decision.statement)
        except InvalidInputError as error:
            objection = str(error)
            get_run_logger().warning("This answer does not count:\n%s", objection)
            continue
        after = check_promotion(*request, [*approvals, approval], notes=notes, store=store or None)
        without = check_promotion(*request, approvals, notes=notes, store=store or None)
        if after.decision == "refused" and without.decision == "pending":
            objection = "\n".join(after.unmet)
            get_run_logger().warning("This answer does not count:\n%s", objection)
            decision = without
        else:
            approvals.append(approval)
            decision, objection = after, ""
    if decision.decision == "refused":
        return _refused(bundle, stage, decision.unmet)
    result = record_promotion(*request, approvals, notes=notes, requested_by=requested_by, store=store or None)
    if result.decision != "promoted":
        return _refused(bundle, stage, result.unmet)
    approvers = tuple(approval.approver for approval in approvals)
    promoted = Promoted(bundle=bundle, stage=result.stage, ledger_seq=result.ledger_seq, approvers=approvers)
    return completed(promoted, f"{bundle} is at stage {result.stage} (ledger entry {result.ledger_seq})")


def _ask(form: type[ApprovalForm], *, timeout_s: int, key: str) -> ApprovalForm:
    """Wait for an answer: deployed, by ending the process until it comes; run in place, by polling for it."""
    if runtime.deployment.id:
        return suspend_flow_run(wait_for_input=form, timeout=timeout_s, key=key)
    return pause_flow_run(wait_for_input=form, timeout=timeout_s, key=key, poll_interval=1)


def _short(statement: Statement) -> str:
    return statement.digest().removeprefix("sha256:")[:16]


def _approval(answer: ApprovalForm, statement: Statement) -> Approval:
    signature = answer.signature.strip()
    return Approval(
        approver=answer.approver,
        notes=answer.notes,
        statement=statement.digest(),
        kind="signed" if signature else "typed",
        signature=f"{signature}\n" if signature else "",
        at_ns=time.time_ns(),
    )


def _refused(bundle: str, stage: str, unmet: tuple[str, ...]) -> Promoted:
    reasons = "\n".join(f"- {reason}" for reason in unmet)
    ended: Promoted = failed(RefusedError(f"{bundle} is not promoted to {stage}:\n{reasons}", unmet), name="Refused")
    return ended


def _denied(answer: ApprovalForm, bundle: str, stage: str) -> Promoted:
    why = ": ".join(filter(None, (f"denied in the name of {answer.approver}", answer.notes)))
    ended: Promoted = failed(RefusedError(f"{bundle} is not promoted to {stage}: {why}", (why,)), name="Denied")
    return ended


def _request_markdown(bundle: str, stage: str, requested_by: str, notes: str, decision: Decision) -> str:
    parts = [
        f"## Promote {inline(bundle)} to {stage}",
        f"Asked for by {inline(requested_by)}{': ' + inline(notes) if notes else ''}.",
    ]
    if decision.unmet:
        parts += ["### Still open" if decision.decision == "pending" else "### Refused", bullets(decision.unmet)]
    if decision.checks:
        parts += ["### Evidence", checklist(decision.checks)]
    return "\n\n".join(parts)


def _question(request: str, statement: Statement, objection: str) -> str:
    # One part a line, so that it can be read in a narrow dialog; the shell puts them together to the signed bytes.
    text = statement.canonical().decode().replace(',"', ",'\\\n'\"")
    objections = (
        f"### ✗ The last answer does not count\n\n{bullets(objection.splitlines())}\n\n---\n\n" if objection else ""
    )
    return (
        f"{objections}{request}\n\n### What you approve\n\n"
        "Exactly this statement. To sign it, run this with your key of the roster and paste what it prints below:\n\n"
        f"```sh\nprintf %s '{text}' \\\n| ssh-keygen -Y sign -n {NAMESPACE} -f ~/.ssh/id_ed25519\n```"
    )
