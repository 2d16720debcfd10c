"""What the flow `promote` asks people: the form, the checklist above it, and how to sign.

The text is for people's eyes. What counts is the statement in the store, and whatever comes back is only text too.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Literal, Self, cast
from uuid import UUID

from prefect import artifacts, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import Artifact
from prefect.context import FlowRunContext
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input import RunInput
from prefect.input.run_input import Keyset
from prefect.settings import get_current_settings
from pydantic import Field

from bundles.statements import PromotionStatement
from tasks.promotion import Progress
from tasks.publish import artifact_key, bullets, checklist, inline

REQUEST_TAG = "request:"
"""Tags a flow run with the request that it waits for, so that it finds it again, and others find the run."""


class NoAnswerError(Exception):
    """The run was woken, but not by an answer that the form could have given."""


class ApprovalForm(RunInput):
    """What an approver fills in."""

    decision: Literal["approve", "deny", "check again"] = Field(
        title="Your decision",
        description="Deny ends this request; it can be made again. Check again looks for what came in elsewhere.",
    )
    approver: str = Field(title="Your name", description="As the roster has it. The bundle's author cannot approve.")
    notes: str = Field(default="", title="Why", description="Kept in the ledger.")
    signature: str = Field(
        default="",
        title="Signature",
        description="All lines that the command above prints. Leave it empty where the policy takes a typed name.",
    )

    @classmethod
    def load(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> Self:
        """Read what came back; raises NoAnswerError if that is no answer."""
        try:
            return cast("Self", super().load(keyset, flow_run_id))  # no coroutine: a flow that is not async asks
        except (TypeError, ValueError) as error:  # no mapping, no JSON, missing or unknown fields, other types
            raise NoAnswerError(f"The run was woken without an answer that can be read: {error}") from error


def wait_for_answer(form: type[ApprovalForm], *, key: str, timeout_s: int) -> ApprovalForm:
    """Wait for an answer: deployed, by ending the process until it comes; run in place, by polling for it.

    Raises:
        NoAnswerError: the run goes on (its state was forced, say) without a readable answer.

    """
    if runtime.deployment.id:
        return suspend_flow_run(wait_for_input=form, timeout=timeout_s, key=key)
    return pause_flow_run(wait_for_input=form, timeout=timeout_s, key=key, poll_interval=1)


def question_key(request: str, number: int) -> str:
    """Return the key of a question: an answer to another one, or about another request, is never taken for it."""
    return f"{request}-{number}".replace("_", "-")  # Prefect takes letters, digits and dashes


def remembered_request() -> str | None:
    """Return the request that this run waited for before it was suspended."""
    tags = [tag.removeprefix(REQUEST_TAG) for tag in runtime.flow_run.tags if tag.startswith(REQUEST_TAG)]
    return tags[-1] if tags else None


def remember_request(request: str) -> None:
    """Tag this run with its request."""
    with get_client(sync_client=True) as client:
        tags = [tag for tag in runtime.flow_run.tags if not tag.startswith(REQUEST_TAG)]
        client.update_flow_run(runtime.flow_run.id, tags=[*tags, f"{REQUEST_TAG}{request}"])


def questions_asked(request: str) -> tuple[int, bool]:
    """Return how many questions about a request this run has asked, and whether the last was not read yet."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return 0, False
    run = context.flow_run
    # Keys are forgotten when somebody runs a finished run again; the questions themselves are kept.
    with get_client(sync_client=True) as client:
        kept = client.filter_flow_run_input(
            run.id, key_prefix=f"suspended-{question_key(request, 1)[:-1]}", limit=200, exclude_keys=set()
        )
    number = 0
    while any(question_key(request, number + 1) in each.key for each in kept):
        number += 1
    keys = run.empirical_policy.pause_keys or set()
    return number, question_key(request, number) in keys


def checklist_of(progress: Progress, *, requested_by: str, notes: str) -> str:
    """Return, as Markdown, what passed and what is missing."""
    outcome, statement = progress.outcome, progress.outcome.statement
    hours = f" for {(statement.glass_s or 0) // 3_600} h" if statement.break_glass else ""
    what = "BREAK THE GLASS:" if statement.break_glass else "Promote"
    asked = f"{outcome.request}, asked" if outcome.request else "Asked"
    parts = [
        f"## {what} {inline(outcome.bundle)} to {inline(statement.stage)}{hours}",
        f"{asked} for by {inline(requested_by)}{': ' + inline(notes) if notes else ''}",
    ]
    if statement.break_glass:
        parts.append("Order, evaluations and quorum are skipped; reviewers must look at it afterwards.")
    if outcome.unmet:
        parts += ["### Still missing" if progress.is_open else "### Refused", bullets(outcome.unmet)]
    if outcome.waits_for_runners:
        commands = "\n".join(f"sequence eval verify {name} --attest" for name in outcome.waits_for_runners)
        parts.append(f"On a machine that is another runner of the roster, run:\n\n```sh\n{commands}\n```")
    if outcome.checks or progress.executed_by:
        parts.append("### Evidence")
    if outcome.checks:
        parts.append(checklist(outcome.checks))
    if progress.executed_by:
        parts.append("\n".join(_evidence(name, runners) for name, runners in progress.executed_by.items()))
    if progress.request and progress.request.approvals:
        said = (
            f"{each.approver} ({each.kind}){': ' + each.notes if each.notes else ''}"
            for each in progress.request.approvals
        )
        parts += ["### Approved by", bullets(said)]
    return "\n\n".join(parts)


def question_of(progress: Progress, checklist: str) -> str:
    """Return the form's description: the checklist, why the last answer does not count, and what is to be signed."""
    request, statement = progress.outcome.request, progress.outcome.statement
    parts = []
    if progress.objections:
        parts += ["### ✗ The last answer does not count", bullets(progress.objections), "---"]
    parts.append(checklist)
    until = datetime.fromtimestamp(progress.lapses_ns / 10**9, UTC)
    parts.append(f"The request lapses on {until:%Y-%m-%d at %H:%M} UTC.")
    if not progress.needs_people:
        parts.append("Nobody needs to approve any more. When the runners have come to their results, check again.")
        return "\n\n".join(parts)
    signed = progress.asked is not None and progress.asked.signed
    parts += [
        "### What you approve",
        f"Exactly the statement below. {'A signature is needed.' if signed else 'A typed name is enough here.'} "
        "In a terminal, one command signs and answers:",
        f"```sh\nsequence approve {request}\n```",
        "Or run this with your key of the roster and paste what it prints below. To deny, put deny for approve in it:",
        f"```sh\n{signing_command(statement)}\n```",
    ]
    return "\n\n".join(parts)


def signing_command(statement: PromotionStatement) -> str:
    """Return the shell command that signs a statement.

    One part a line, so that it can be read in a narrow dialog; the shell puts them together to the signed bytes.
    """
    text = shlex.quote(statement.canonical().decode()).replace(',"', ",'\\\n'\"")
    return f"printf %s {text} \\\n| ssh-keygen -Y sign -n {statement.namespace} -f ~/.ssh/id_ed25519"


def ui_address() -> str | None:
    """Return where pages of Prefect's UI begin; None where Prefect runs without a server that could show them.

    Its server has two UIs. Below /v2 lies the one that the front page leads to; a server without it leads from there to
    the other. An address without /v2 always shows the old one.
    """
    url = get_current_settings().ui_url
    return f"{url.rstrip('/').removesuffix('/v2')}/v2" if url else None


def _evidence(evaluation: str, runners: tuple[str, ...]) -> str:
    """Name an evaluation and who executed it, and lead to its metrics if Prefect has shown them."""
    pages, ui = [], ui_address()
    for page, what in (("metrics", "metrics"), ("gate", "verdict")):
        shown = artifacts.Artifact.get(artifact_key(page, evaluation))
        if ui and isinstance(shown, Artifact):  # no coroutine: a flow that is not async asks
            pages.append(f"[{what}]({ui}/artifacts/artifact/{shown.id})")
    links = f" ({', '.join(pages)})" if pages else ""
    return f"- `{evaluation}`, executed by {inline(', '.join(runners))}{links}; `sequence eval show {evaluation}`"
