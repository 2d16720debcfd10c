"""All stages of all ladders, climbed by what was really evaluated, under the shipped rules; and down again."""

from __future__ import annotations

from typing import Any

import numpy as np

from bundles.audit import verify
from bundles.evidence import Evaluation
from bundles.policy import default_policy
from bundles.stages import STAGES
from evals.engine.settings import ReplaySettings
from evals.parents.orders import ParentOrders
from evals.parents.parquet import read_parents, write_parents
from evals.recordings.schema import HALT
from evals.routing.settings import FaultPlan
from tests.bundles.conftest import AUTHOR, RITA, TOM
from tests.evals.live.conftest import Streams, with_event
from tests.ladders.firm import Climber, lowered_policy
from tests.ladders.markets import FIRST, LATER, RUNAWAY, SYMBOL


def test_the_policy_is_the_shipped_one_but_for_how_much_it_wants_to_see() -> None:
    def without_coverage(document: dict[str, Any]) -> dict[str, Any]:
        ladders = {
            target: {stage: {**rule, "coverage": None} for stage, rule in ladder.items()}
            for target, ladder in document["ladders"].items()
        }
        return document | {"ladders": ladders, "name": ""}

    shipped, lowered = default_policy(), lowered_policy()
    assert without_coverage(lowered.model_dump()) == without_coverage(shipped.model_dump())
    assert lowered.ladders != shipped.ladders


def test_every_stage_is_climbed_and_none_without_what_it_asks_for(climber: Climber) -> None:
    below: Evaluation | None = None
    for stage in STAGES[climber.target][1:]:
        rule, wanted = climber.rule(stage), climber.rule(stage).evidence
        assert f"no evaluation is named; run a passing {wanted} evaluation" in climber.refused(stage)
        if below is not None:
            told = climber.refused(stage, below)
            if below.inputs.kind == wanted:
                assert f"evaluation {below.eval_id} must see a market later than, and apart from" in told
            else:
                other = f"evaluation {below.eval_id} is a {below.inputs.kind} evaluation; stage {stage} asks for"
                assert f"{other} {wanted}" in told
        evidence = climber.evidence(stage)
        assert evidence.status == "completed", evidence.status_detail
        if rule.soak_hours:
            climber.firm.wait(rule.soak_hours - 0.5)
            assert f"asks for {rule.soak_hours} h: wait 0.5 h" in climber.refused(stage, evidence)
            climber.firm.wait(0.5)
        if rule.signed_author and stage == "live":
            assert f"{AUTHOR.name} has not signed" in climber.refused(stage, evidence)
            climber.sign()
        opened = climber.ask(stage, evidence)
        assert opened.decision == "pending", opened.unmet
        assert opened.request is not None
        assert opened.waits_for_runners == ((evidence.eval_id,) if rule.runners.count > 1 else ())
        told = climber.turned_down(opened.request, AUTHOR, signed=rule.approvals.signed)
        assert f"{AUTHOR.name} is the author of the bundle and cannot approve it" in told
        if rule.approvals.signed:
            told = climber.turned_down(opened.request, RITA, signed=False)
            assert f"the approval of {RITA.name} is typed, the policy asks for a signature" in told
            assert climber.approve(opened.request, RITA).decision == "pending"
            assert climber.approve(opened.request, TOM).decision == "pending", "a second runner is missing"
            climber.attest(evidence)
        made = climber.promote(stage, evidence)
        assert (made.decision, climber.stage) == ("promoted", stage), made.unmet
        below = evidence
    report = verify(climber.firm.catalog.store)
    assert (report.problems, report.unfinished) == ((), ())
    promotions = climber.firm.catalog.ledger.state(climber.bundle).promotions
    assert tuple(each.stage for each in promotions) == STAGES[climber.target][1:]


def test_what_fails_later_takes_a_bundle_down_again(climber: Climber) -> None:
    climber.climb("scaled")
    climber.reviewed(climber.recorded(change=worse(climber.target)))
    assert climber.stage == "live", "the policy takes what its deployment did worse at once"
    upper = STAGES[climber.target][2]
    failing = climber.evaluated(upper, RUNAWAY if climber.target == "edge" else LATER, **spoilt(climber.target))
    assert climber.stage == upper
    climber.firm.wait(24)
    told = climber.refused("live", failing)
    assert f"evaluation {failing.eval_id} failed, this does not hold" in told
    report = verify(climber.firm.catalog.store)
    assert (report.problems, report.unfinished) == ((), ())


def test_a_replay_that_fails_later_revokes_what_rests_on_it_until_one_passes(climber: Climber) -> None:
    upper = STAGES[climber.target][2]
    climber.climb("replay")
    evidence = climber.evidence(upper)
    failing = climber.evaluated("replay", RUNAWAY if climber.target == "edge" else FIRST, **reckless(climber))
    assert climber.stage == "replay", "the policy demotes from live only"
    assert f"the later evaluation {failing.eval_id} revokes stage replay" in climber.refused(upper, evidence)
    climber.evaluated("replay", FIRST, force=True)
    assert climber.promote(upper, evidence).decision == "promoted"
    assert verify(climber.firm.catalog.store).problems == ()


def worse(target: str) -> Any:
    """Return what makes a recording that of a bad day: a halt, or prices two in a hundred worse."""

    def halted(streams: Streams) -> Streams:
        return with_event(streams, 30, HALT, "operator")

    def dearer(streams: Streams) -> Streams:
        children = dict(streams["children"])
        children["px_1e9"] = children["px_1e9"] + children["side"].astype(np.int64) * children["px_1e9"] // 50
        return streams | {"children": children}

    return halted if target == "edge" else dearer


def spoilt(target: str) -> dict[str, Any]:
    """Return settings under which a policy's orders are all rejected; an algo loses where the market runs away."""
    return {} if target == "edge" else {"faults": FaultPlan(reject_ppm=1_000_000)}


def reckless(climber: Climber) -> dict[str, Any]:
    """Return settings that no replay passes: an account too small for the limits, orders too large for the books."""
    if climber.target == "edge":
        return {"settings": ReplaySettings(queue_band=False, capital_1e9=100 * 10**9)}
    orders = read_parents(climber.firm.markets.parents(FIRST), symbol=SYMBOL)
    rows = orders.rows.copy()
    rows["qty_1e8"] *= 500
    return {"parents": write_parents(ParentOrders(SYMBOL, orders.ids, rows), importer="test")}
