"""Flow `promote`: asks for a promotion, shows people and runners what is missing, waits for them.

The answers that wake this flow are only text: anyone who reaches Prefect's API can send one. Whether they count, and
whether the bundle moves, is decided by `bundles.promotion` from the store.

Deployed, the process ends at each question and this body runs again at each answer. So it begins by looking for its
request, and everything that it does to the store can be done twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger, runtime
from pydantic import BaseModel

from bundles.errors import LadderError, RefusedError
from bundles.people import same_person
from bundles.promotion import Wish
from flows.attest import attest_evaluation
from flows.events import What, announce
from flows.evidence import Where, wanted_evaluations
from flows.forms import titled
from flows.outcome import completed, failed
from flows.question import (
    ApprovalForm,
    NoAnswerError,
    checklist_of,
    question_key,
    question_of,
    questions_asked,
    remember_request,
    remembered_request,
    wait_for_answer,
)
from tasks.data import newest_day
from tasks.places import data_root
from tasks.promotion import (
    Answer,
    Progress,
    answer_request,
    ask_for_promotion,
    check_request,
    is_request_for,
    standing_bundles,
)
from tasks.publish import artifact_key, publish_markdown


class Promoted(BaseModel):
    """What a promotion came to."""

    bundle: str
    stage: str
    request: str | None
    ledger_seq: int | None
    approvers: tuple[str, ...]


@flow(
    name="promote",
    flow_run_name="promote {bundle} to {stage}",
    description="Checks ladder and evidence, waits for runners and people's approval, and records the promotion.",
)
def promote(
    bundle: Annotated[str, titled("Bundle")],
    requested_by: Annotated[str, titled("Requested by")],
    evaluations: Annotated[Sequence[str], titled("Evaluations")] = (),
    target: Annotated[Literal["edge", "sor", "assignment"], titled("Ladder")] = "edge",
    stage: Annotated[Literal["replay", "shadow", "sandbox", "live", "scaled"], titled("To stage")] = "replay",
    notes: Annotated[str, titled("Why")] = "",
    break_glass: Annotated[bool, titled("Break the glass")] = False,
    glass_hours: Annotated[int, titled("Hours of the broken glass")] = 0,
    store: Annotated[str, titled("Store")] = "",
) -> Promoted:
    """Promote a bundle by one stage.

    Args:
        bundle: Id of the bundle, or a unique prefix of it.
        requested_by: Who asks for the promotion.
        evaluations: Ids of the evaluations that justify the promotion; none when the glass is broken.
        target: The ladder: the kind of the bundle.
        stage: Where the bundle shall stand. Shadow is for edge bundles, sandbox for SOR and assignment policies.
        notes: Why; shown to the approvers and kept in the ledger. Needed when the glass is broken.
        break_glass: An emergency: skip order, evaluations and quorum. Needs a signature of the break-glass role, lasts
            for hours, and others must review it afterwards.
        glass_hours: How long the stage lasts when the glass is broken, 1 to 24. 0: as the policy says.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    wish = Wish(
        bundle=bundle,
        target=target,
        stage=stage,
        evaluations=tuple(evaluations),
        break_glass=break_glass,
        glass_hours=glass_hours or None,
        notes=notes,
    )
    try:
        progress = _Climb(wish, requested_by, store).run()
    except LadderError as error:
        announce("refused", bundle=bundle, stage=stage, request=None, unmet=[str(error)], occasion=_this_run())
        stopped: Promoted = failed(error)
        return stopped
    outcome = progress.outcome
    if outcome.decision != "promoted":
        return _stopped(progress, stage)
    announce("promoted", bundle=outcome.bundle, stage=stage, request=outcome.request)
    message = f"{outcome.bundle} is at stage {stage} (ledger entry {outcome.ledger_seq})"
    if break_glass:
        announce("glass-broken", bundle=outcome.bundle, stage=stage, request=outcome.request)
        message = f"{message}, by breaking the glass. {_evaluate_at_once(outcome.bundle, store)}"
    promoted = Promoted(
        bundle=outcome.bundle,
        stage=stage,
        request=outcome.request,
        ledger_seq=outcome.ledger_seq,
        approvers=tuple(each.approver for each in progress.request.approvals) if progress.request else (),
    )
    return completed(promoted, message)


class _Climb:
    """One run's way from asking to the end, with the steps that it repeats."""

    def __init__(self, wish: Wish, requested_by: str, store: str) -> None:
        self.wish, self.requested_by, self.store = wish, requested_by, store
        self.log = get_run_logger()
        self.attempted: set[str] = set()
        """The evaluations that this process has executed, or tried to."""

    def run(self) -> Progress:
        progress, number = self._begin()
        while True:
            progress = self._attested_here(progress)
            checklist = self._publish(progress)
            if not progress.is_open or progress.request is None:
                return progress
            number += 1
            # The run's page shows the logs first, and hides the way to the question in a menu.
            self.log.info("%s waits for an answer: on this page, menu ⋮ at the top right, Resume.", progress.request.id)
            form = ApprovalForm.with_initial_data(description=question_of(progress, checklist))
            progress = self._take(form, progress.request.id, number, progress.lapses_ns)

    def _begin(self) -> tuple[Progress, int]:
        """Find this run's request, and the answer that woke it; or ask for the promotion."""
        known = remembered_request()
        if known and is_request_for(known, self.wish, store=self.store):
            number, unread = questions_asked(known)
            if unread:
                return self._take(ApprovalForm, known, number), number
            return check_request(known, store=self.store), number
        progress = ask_for_promotion(self.wish, requested_by=self.requested_by, store=self.store)
        if progress.is_open and progress.request:
            remember_request(progress.request.id)
            self._announce("requested", progress)
        return progress, 0

    def _take(self, form: type[ApprovalForm], request: str, number: int, until_ns: int | None = None) -> Progress:
        """Wait for the answer to a question, and bring it to the store."""
        key = question_key(request, number)
        timeout_s = 1 if until_ns is None else max(1, (until_ns - time.time_ns()) // 10**9)
        try:
            said = wait_for_answer(form, key=key, timeout_s=timeout_s)
        except NoAnswerError as error:
            progress = check_request(request, store=self.store)
            return self._turned_down(progress, (str(error),), key)
        if said.decision == "check again":
            return check_request(request, store=self.store)
        answer = Answer(said.decision, said.approver, said.notes, said.signature)
        progress = answer_request(request, answer, store=self.store)
        if progress.objections:
            return self._turned_down(progress, progress.objections, key)
        if said.decision == "approve":
            self._announce("approved", progress, occasion=same_person(said.approver), person=said.approver)
        return progress

    def _turned_down(self, progress: Progress, objections: tuple[str, ...], key: str) -> Progress:
        """Show that somebody tried: in the log, as an event, and to whoever is asked next."""
        self.log.warning("This answer to %s does not count:\n%s", key, "\n".join(objections))
        self._announce("answer-refused", progress, occasion=f"{_this_run()} {key}", reasons=objections)
        return replace(progress, objections=objections)

    def _attested_here(self, progress: Progress) -> Progress:
        """Execute what another runner must execute, if this worker may; what fails here can be done elsewhere."""
        missing = [name for name in progress.for_this_worker if progress.is_open and name not in self.attempted]
        for name in missing:
            self.attempted.add(name)
            state = attest_evaluation(name, store=self.store, return_state=True)
            if not state.is_completed():
                self.log.warning("%s could not be executed here: %s", name, state.message)
        if not missing or progress.request is None:
            return progress
        return replace(check_request(progress.request.id, store=self.store), objections=progress.objections)

    def _publish(self, progress: Progress) -> str:
        bundle, stage = progress.outcome.bundle, self.wish.stage
        text = checklist_of(progress, requested_by=self.requested_by, notes=self.wish.notes)
        publish_markdown(
            text, key=artifact_key("promotion", bundle, stage), description=f"Promotion of {bundle} to {stage}"
        )
        return text

    def _announce(self, what: What, progress: Progress, **more: Any) -> None:
        outcome = progress.outcome
        reasons = more.pop("reasons", outcome.unmet)
        announce(what, bundle=outcome.bundle, stage=self.wish.stage, request=outcome.request, unmet=reasons, **more)


def _evaluate_at_once(bundle: str, store: str) -> str:
    """Make the evaluations that breaking the glass skipped; whatever comes of them, the promotion stands."""
    standing = standing_bundles(store=store)[bundle]
    try:
        day = newest_day(None, None, data=data_root(""), store=store, curves=standing.needs.learns_volume)
    except LadderError as error:
        return f"The evaluations that were skipped could not be made: {error}"
    wanted = wanted_evaluations(bundle, standing, day, Where(seed=42, data="", store=store))
    told = [f"{each.kind}: {each.run().message if each.run else each.without}" for each in wanted]
    return f"The evaluations that were skipped: {'; '.join(told)}"


def _stopped(progress: Progress, stage: str) -> Promoted:
    outcome = progress.outcome
    what: What = "denied" if progress.request and progress.request.denial else "refused"
    announce(
        what, bundle=outcome.bundle, stage=stage, request=outcome.request, unmet=outcome.unmet, occasion=_this_run()
    )
    reasons = "\n".join(f"- {reason}" for reason in outcome.unmet)
    error = RefusedError(f"{outcome.bundle} is not promoted to {stage}:\n{reasons}", outcome.unmet)
    ended: Promoted = failed(error, name=what.capitalize())
    return ended


def _this_run() -> str:
    return str(runtime.flow_run.id)
