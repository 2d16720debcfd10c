"""Steps of a promotion. Whether a bundle moves is decided in `bundles.promotion`, each time afresh from the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from bundles.approvals import Approval, word_of
from bundles.catalog import Catalog
from bundles.errors import InvalidInputError, NotFoundError, RefusedError
from bundles.governance import Governance
from bundles.people import same_person
from bundles.policy import ApprovalRule
from bundles.promotion import Outcome, Wish, answer, ask, complete
from bundles.quorum import approval_rule
from bundles.runners import is_listed
from bundles.stages import STAGES
from bundles.state import BundleState, Request
from bundles.verification import Verifier
from evals.policies import Needs, needs_of
from tasks.places import open_catalog, worker_name

_HOUR_NS = 3_600 * 10**9


@dataclass(frozen=True, slots=True)
class Progress:
    """How a promotion stands: what the ladder says, and what people want to know about it."""

    outcome: Outcome
    request: Request | None = None
    asked: ApprovalRule | None = None
    """Whose approval the policy asks for."""
    executed_by: Mapping[str, tuple[str, ...]] | None = None
    """By evaluation, the runners that came to its result."""
    for_this_worker: tuple[str, ...] = ()
    """Evaluations that another runner must execute, which this worker may do."""
    objections: tuple[str, ...] = ()
    """Why the last answer does not count."""

    @property
    def is_open(self) -> bool:
        """Tell whether people or runners are waited for."""
        return self.outcome.decision == "pending"

    @property
    def needs_people(self) -> bool:
        """Tell whether approvals are missing, not only runners."""
        return self.is_open and len(self.outcome.unmet) > len(self.outcome.waits_for_runners)

    @property
    def lapses_ns(self) -> int:
        """When the request's time is over."""
        if self.request is None or self.asked is None:
            return 0
        return self.request.at_ns + self.asked.valid_hours * _HOUR_NS


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody says to a request: text, of which nothing is verified yet."""

    decision: Literal["approve", "deny"]
    approver: str
    notes: str = ""
    signature: str = ""


@task(task_run_name="ask for {wish.stage}", cache_policy=NO_CACHE)
def ask_for_promotion(wish: Wish, *, requested_by: str, store: str) -> Progress:
    """Open the request, or find it; promote if nothing is missing."""
    catalog = open_catalog(store)
    return _progress(catalog, ask(catalog, wish, requested_by=requested_by, now_ns=time.time_ns()))


@task(task_run_name="check {request}", cache_policy=NO_CACHE)
def check_request(request: str, *, store: str) -> Progress:
    """Promote if what was missing is there now, and say how the request stands."""
    catalog = open_catalog(store)
    return _progress(catalog, complete(catalog, request, now_ns=time.time_ns()))


@task(task_run_name="answer {request}", cache_policy=NO_CACHE)
def answer_request(request: str, said: Answer, *, store: str) -> Progress:
    """Bring an answer to the store, which verifies it; one that does not count comes back as objections."""
    catalog, now_ns = open_catalog(store), time.time_ns()
    signature = said.signature.strip()
    word: Approval | None = None
    outcome: Outcome | None = None
    objections: tuple[str, ...] = ()
    try:
        word = word_of(
            said.approver,
            catalog.request(request),
            at_ns=now_ns,
            notes=said.notes,
            signature=f"{signature}\n" if signature else "",
        )
        outcome = answer(catalog, request, said.decision, word, now_ns=now_ns)
    except RefusedError as error:
        objections = error.unmet or (str(error),)
    except InvalidInputError as error:
        objections = (str(error),)
    progress = _progress(catalog, outcome or complete(catalog, request, now_ns=now_ns))
    if word and _is_kept(word, said.decision, progress):
        objections = ()  # now, or before a crash, or by an answer given elsewhere
    elif word and outcome:
        objections = (f"{word.approver} has approved {request} already and counts once; ask somebody else",)
    return replace(progress, objections=objections)


def _is_kept(word: Approval, decision: str, progress: Progress) -> bool:
    """Tell whether the store has this very word."""
    approvals = progress.request.approvals if progress.request else ()
    denial = progress.request.denial if progress.request else None
    kept = approvals if decision == "approve" else (denial,) if denial else ()
    return any(
        (word.person, word.signature.strip(), word.notes) == (each.person, each.signature.strip(), each.notes)
        for each in kept
    )


def is_request_for(request: str, wish: Wish, *, store: str) -> bool:
    """Tell whether a request asks for what somebody wishes."""
    catalog = open_catalog(store)
    try:
        known = catalog.request(request)
        evaluations = {catalog.resolve_evaluation(name) for name in wish.evaluations if name.strip()}
        bundle = catalog.resolve_bundle(wish.bundle)
    except (NotFoundError, InvalidInputError):
        return False
    same = (known.target, known.stage, set(known.evaluations), known.break_glass) == (
        wish.target,
        wish.stage,
        evaluations,
        wish.break_glass,
    )
    hours = wish.glass_hours
    return same and catalog.bundle_of(known) == bundle and hours in {None, (known.glass_s or 0) // 3_600}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a bundle stands on which ladder; ``rung`` is the stage's number, research being 0."""

    target: str
    stage: str
    rung: int
    needs: Needs
    asked_ahead: frozenset[str]
    """The kinds of evaluation that stages ahead ask for."""


@task(task_run_name="list standing bundles", cache_policy=NO_CACHE)
def standing_bundles(*, store: str) -> dict[str, Standing]:
    """Return the bundles that stand at stage replay or higher, by id; those in quarantine are left out."""
    catalog, now_ns = open_catalog(store), time.time_ns()
    policy = Verifier(catalog).governance().policy
    found = {}
    for bundle in catalog.bundle_ids():
        manifest, state = catalog.bundle(bundle), catalog.ledger.state(bundle)
        stages, stage = STAGES[manifest.kind], state.stage_at(now_ns)
        if stage != stages[0] and state.quarantine is None:
            rung = stages.index(stage)
            rules = [policy.rule(manifest.kind, each) for each in stages[rung + 1 :]]
            ahead = frozenset(rule.evidence for rule in rules if rule)
            found[bundle] = Standing(manifest.kind, stage, rung, needs_of(catalog, manifest), ahead)
    return found


def _progress(catalog: Catalog, outcome: Outcome) -> Progress:
    if outcome.request is None:
        return Progress(outcome)
    verifier = Verifier(catalog)
    history = catalog.ledger.history(outcome.bundle)
    governance, state = verifier.governance(), verifier.state(history)
    request = state.request(outcome.request)
    statement = request.statement
    return Progress(
        outcome=outcome,
        request=request,
        asked=approval_rule(governance.policy, statement.target, statement),
        executed_by={
            name: tuple(dict.fromkeys(each.runner for each in state.executions_of(name)))
            for name in statement.evaluations
        },
        for_this_worker=tuple(
            name for name in outcome.waits_for_runners if _may_execute(state, governance, name, worker_name())
        ),
    )


def _may_execute(state: BundleState, governance: Governance, evaluation: str, runner: str) -> bool:
    """Tell whether a runner's word on an evaluation is missing and would count."""
    known = {same_person(each.runner) for each in state.executions_of(evaluation)}
    counts = is_listed(governance.roster, runner) or not governance.roster.people_with("runner")
    return counts and same_person(runner) not in known
