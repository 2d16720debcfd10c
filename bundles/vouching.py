"""Who vouches for a bundle and its evidence: the author who signed it, the runners who executed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bundles.approvals import signature_problem
from bundles.evidence import Evaluation
from bundles.governance import Governance
from bundles.people import same_person
from bundles.policy import StageRule
from bundles.proposals import Proposal
from bundles.runners import is_listed
from bundles.state import BundleState, Execution
from bundles.statements import AuthorStatement, EvaluationStatement


def standing_evidence(
    state: BundleState, rule: StageRule, governance: Governance, now_ns: int
) -> tuple[Execution, ...]:
    """Return the latest evaluation for a stage and, if no runner whose word counts made it, the latest that one made.

    Anybody may bring a failure to notice; only what counts as evidence makes up for one.
    """
    latest = state.latest(rule.evidence)
    if latest is None:
        return ()
    listed = _wants_listed(rule, governance)
    vouched = next(
        (
            each
            for each in reversed(state.evaluated)
            if each.kind == rule.evidence
            and _vouching(state, each.evaluation, governance, listed=listed, now_ns=now_ns)[0]
        ),
        None,
    )
    return (latest,) if vouched in {None, latest} else (latest, vouched)


def author_problems(state: BundleState, governance: Governance, rule: StageRule | None, now_ns: int) -> Iterator[str]:
    """Say why it is not known who made the bundle, where the policy wants to know."""
    if rule is None or not rule.signed_author:
        return
    problem = f"{state.author} has not signed the bundle as its author"
    if state.author_signature:
        statement = AuthorStatement(bundle=state.manifest)
        found = signature_problem(statement, state.author_signature, state.author, governance.roster, now_ns)
        if found is None:
            return
        problem = f"the author is not known for certain: {found}"
    yield f"{problem}; let the author sign it: sequence bundle sign {state.bundle}"


def runner_problems(
    proposal: Proposal,
    state: BundleState,
    records: Mapping[str, Evaluation],
    governance: Governance,
    rule: StageRule | None,
    now_ns: int,
) -> Iterator[str]:
    """Say which evaluations nobody vouches for whom the policy takes, or runners disagree about."""
    for name in proposal.evaluations if rule else ():
        entry = state.find(name)
        if rule is None or entry is None or name not in records:
            continue  # said already
        listed = _wants_listed(rule, governance)
        said, reasons = _vouching(state, name, governance, listed=listed, now_ns=now_ns)
        if other := [each for each in said if (each.record, each.result) != (entry.record, entry.result)]:
            yield (
                f"runner {other[0].runner} came to another result of evaluation {name} than {entry.runner}; find out "
                "why before trusting either"
            )
        elif not said:
            yield (
                f"evaluation {name} is not vouched for: {'; '.join(reasons)}; have a listed runner execute it: "
                f"sequence eval verify {name} --attest"
            )


def missing_runners(
    proposal: Proposal, state: BundleState, governance: Governance, rule: StageRule | None, now_ns: int
) -> Iterator[tuple[str, str]]:
    """Yield the evaluations that too few runners have executed, with what is missing."""
    for name in proposal.evaluations if rule else ():
        if rule is None or state.find(name) is None:
            continue
        said, _ = _vouching(state, name, governance, listed=_wants_listed(rule, governance), now_ns=now_ns)
        runners = sorted({same_person(each.runner) for each in said})
        if runners and len(runners) < rule.runners.count:
            yield (
                name,
                f"evaluation {name} was executed by {len(runners)} of {rule.runners.count} runners "
                f"({', '.join(runners)}); have another one execute it: sequence eval verify {name} --attest",
            )


def _wants_listed(rule: StageRule, governance: Governance) -> bool:
    return rule.runners.listed or bool(governance.roster.people_with("runner"))


def _vouching(
    state: BundleState, evaluation: str, governance: Governance, *, listed: bool, now_ns: int
) -> tuple[list[Execution], list[str]]:
    """Return what runners whose word counts said of an evaluation, and why the word of the others does not."""
    said, reasons = [], []
    for each in state.executions_of(evaluation):
        problem = _runner_problem(state, each, governance, now_ns) if listed else None
        if problem is None:
            said.append(each)
        else:
            reasons.append(problem)
    return said, reasons


def _runner_problem(state: BundleState, said: Execution, governance: Governance, now_ns: int) -> str | None:
    if not is_listed(governance.roster, said.runner):
        return f"{said.runner} is not a runner of the roster"
    if not said.signature:
        return f"the record of {said.runner} is not signed"
    statement = EvaluationStatement(
        bundle=state.manifest, evaluation=said.evaluation, record=said.record, result=said.result
    )
    return signature_problem(statement, said.signature, said.runner, governance.roster, now_ns)
