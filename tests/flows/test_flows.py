"""Flows on a real, temporary Prefect server, run in place: what they decide, show and list."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bundles.descent import demote_on_failure
from bundles.errors import NotFoundError
from bundles.evidence import Evaluation
from tests.flows.conftest import Ladder, lend, strict_policy

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import State

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("prefect_server")


def run_promotion(
    ladder: Ladder,
    bundle: str,
    evaluations: Sequence[str],
    answers: Sequence[dict[str, Any]] = (),
    stage: str = "replay",
) -> State[Any]:
    """Run the flow in place and give it one answer after another, each when it asks."""
    from flows.promote import promote

    with answering(f"promote {bundle} to {stage}", answers) as unanswered:
        state = promote(
            bundle=bundle,
            evaluations=list(evaluations),
            requested_by=ladder.author,
            stage=stage,
            store=ladder.store,
            return_state=True,
        )
    assert not unanswered, "the flow ended before it asked for every answer"
    return state


@contextmanager
def answering(run_name: str, answers: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.responses import SetStateStatus

    left, over = list(answers), threading.Event()

    def answer() -> None:
        seen = set()
        with get_client(sync_client=True) as client:
            while left and not over.wait(0.1):
                for run in client.read_flow_runs():
                    if run.name != run_name or not run.state or not run.state.is_paused() or run.state.id in seen:
                        continue
                    # Until its form is there, a run that is paused already takes no answer.
                    if client.resume_flow_run(run.id, run_input=left[0]).status == SetStateStatus.ACCEPT:
                        seen.add(run.state.id)
                        left.pop(0)
                        break

    helper = threading.Thread(target=answer)
    helper.start()
    try:
        yield left
    finally:
        over.set()
        helper.join()


def yes(approver: str, **more: str) -> dict[str, Any]:
    return {"decision": "approve", "approver": approver, **more}


def test_a_refused_promotion_fails_with_every_reason(ladder: Ladder) -> None:
    bundle, other = ladder.bundle(), ladder.bundle(levels=2)
    failed = ladder.evaluated(bundle, risk_breaches=3, return_bps=-500.0)
    foreign = ladder.evaluated(other)
    state = run_promotion(ladder, bundle, [failed.eval_id, foreign.eval_id], stage="live")
    assert state.name == "Refused"
    for reason in ("stages cannot be skipped", "asks for shadow", "judges another bundle"):
        assert reason in (state.message or "")
    state = run_promotion(ladder, bundle, [failed.eval_id])
    assert state.name == "Refused"
    assert "risk_breaches 3 == 0" in (state.message or "")
    assert "return_bps -500 >= -20" in (state.message or "")
    assert ladder.stage(bundle) == "research"


def test_an_approved_promotion_moves_the_bundle_and_names_the_approver(ladder: Ladder) -> None:
    bundle = ladder.bundle()
    evaluation = ladder.evaluated(bundle)
    state = run_promotion(ladder, bundle, [evaluation.eval_id], [yes("risk@example.com", notes="read the report")])
    assert state.is_completed(), state.message
    assert ladder.stage(bundle) == "replay"
    (promoted,) = ladder.state(bundle).promotions
    assert [approval.approver for approval in promoted.request.approvals] == ["risk@example.com"]
    assert f"ledger entry {promoted.seq}" in (state.message or "")


def test_evidence_that_fails_while_the_flow_waits_refuses_the_approval(
    ladder: Ladder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.promote

    bundle = ladder.bundle()
    evaluation = ladder.evaluated(bundle)

    def fail_meanwhile(*_args: object, **_kwargs: object) -> Any:
        ladder.evaluated(bundle, seed=43, traps=1)
        return flows.promote.ApprovalForm(decision="approve", approver="risk@example.com")

    monkeypatch.setattr(flows.promote, "wait_for_answer", fail_meanwhile)
    state = run_promotion(ladder, bundle, [evaluation.eval_id])
    assert state.name == "Refused"
    assert "revokes the ones before it" in (state.message or "")
    assert ladder.stage(bundle) == "research"


def test_the_night_goes_on_after_a_failure_and_shows_who_fell(ladder: Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    import flows.nightly
    import tasks.evaluate
    from flows.nightly import nightly_evaluations

    bundles = [ladder.bundle(levels=levels) for levels in (1, 2, 3)]
    for bundle in bundles[:2]:
        evaluation = ladder.evaluated(bundle)
        assert run_promotion(ladder, bundle, [evaluation.eval_id], [yes("risk@example.com")]).is_completed()
    broken, sound = sorted(bundles[:2])
    ladder.set_policy(strict_policy())
    asked = []

    def replay(_catalog: object, *, bundle: str, **_settings: object) -> Evaluation:
        asked.append(bundle)
        if bundle == broken:
            raise NotFoundError("the tape has gone. Import it again.")
        evaluation = ladder.evaluated(bundle, seed=43, traps=1)
        demote_on_failure(ladder.catalog, bundle, now_ns=time.time_ns())
        return evaluation

    monkeypatch.setattr(tasks.evaluate, "evaluate_replay", replay)
    monkeypatch.setattr(flows.nightly, "newest_day", lambda *_args, **_kwargs: ladder.day())
    tables = []
    monkeypatch.setattr(flows.nightly, "publish_table", lambda rows, **_about: tables.append(rows))
    state = nightly_evaluations(store=ladder.store, return_state=True)
    assert asked == [broken, sound], "bundles at stage research are left alone"
    assert state.is_failed()
    assert "1 of 2 evaluations could not be made (0 pass, 1 fail, 0 inconclusive" in (state.message or "")
    assert f"moved: {sound} replay → research" in (state.message or "")
    assert "the tape has gone" in (state.message or "")
    assert [(row["bundle"], row["verdict"], row["stage"]) for row in tables[0]] == [
        (broken, "could not be evaluated", "replay"),
        (sound, "fails replay", "replay → research"),
    ]


def test_the_night_tells_why_a_live_bundle_fell(ladder: Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It falls by the rules of live; those of shadow, which takes evaluations of the same kind, are inconclusive."""
    import flows.nightly
    import tasks.evaluate
    from flows.nightly import nightly_evaluations

    bundle = ladder.govern().bundle()
    lend(ladder.catalog, bundle, "live")

    def evaluate(_catalog: object, *, bundle: str, **_settings: object) -> Evaluation:
        evaluation = ladder.evaluated(bundle, kind="shadow", fills=50)  # without the figures of the comparison
        demote_on_failure(ladder.catalog, bundle, now_ns=time.time_ns())
        return evaluation

    monkeypatch.setattr(tasks.evaluate, "evaluate_replay", lambda *_, bundle, **__: ladder.evaluated(bundle))
    monkeypatch.setattr(tasks.evaluate, "evaluate_shadow", evaluate)
    monkeypatch.setattr(flows.nightly, "newest_day", lambda *_args, **_kwargs: ladder.day())
    tables = []
    monkeypatch.setattr(flows.nightly, "publish_table", lambda rows, **_about: tables.append(rows))
    state = nightly_evaluations(store=ladder.store, return_state=True)
    assert state.is_completed(), state.message
    assert "1 pass, 1 fail, 0 inconclusive; moved: " in (state.message or "")
    replay, shadow = tables[0]
    assert (replay["kind"], replay["verdict"], replay["why"], replay["also"]) == ("replay", "passes replay", "", "")
    assert (shadow["kind"], shadow["verdict"]) == ("shadow", "fails live")
    assert "fills 50 >= 100" in shadow["why"]
    assert shadow["also"].startswith("inconclusive for shadow: ")
    assert "fills" not in shadow["also"]
    assert {row["stage"] for row in tables[0]} == {"live → research"}, "what the glass had lent is over"
    assert [outcome.told for outcome in state.result()] == ["passes replay", "fails live"]


def test_links_lead_to_the_ui_that_the_front_page_leads_to(tmp_path: Path) -> None:
    from httpx import ASGITransport, AsyncClient
    from prefect.server.api.server import create_ui_app
    from prefect.settings import PREFECT_UI_STATIC_DIRECTORY, PREFECT_UI_URL, temporary_settings

    from flows.question import ui_address

    async def front_page() -> str:
        served = ASGITransport(app=create_ui_app(ephemeral=False))
        async with AsyncClient(transport=served, base_url="https://prefect.example", follow_redirects=True) as client:
            shown = await client.get("/", headers={"Accept": "text/html"})
            assert shown.is_success
            return str(shown.url)

    with temporary_settings({PREFECT_UI_STATIC_DIRECTORY: str(tmp_path)}):
        front = asyncio.run(front_page())
    for given in ("https://prefect.example", "https://prefect.example/", front):
        with temporary_settings({PREFECT_UI_URL: given}):
            assert f"{ui_address()}/" == front


def listed_deployments() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())["deployments"]
    return listed


@pytest.mark.parametrize("listed", listed_deployments(), ids=lambda item: item["name"])
def test_every_deployment_can_be_loaded_and_its_parameters_fit(
    listed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.schema_tools import is_valid_schema, validate

    monkeypatch.chdir(ROOT)
    flow: Flow[..., Any] = load_flow_from_entrypoint(listed["entrypoint"])
    schema = flow.parameters.model_dump()
    assert flow.name == listed["name"]
    assert is_valid_schema(schema) is None
    validate(listed["parameters"], schema, raise_on_error=True, ignore_required=True)
    assert set(listed["parameters"]) <= set(schema["properties"]), "a parameter that the flow does not have"
    for name, parameter in schema["properties"].items():
        assert parameter.get("description"), f"the form does not explain {name}"


def test_the_deployments_are_served_as_prefect_yaml_lists_them() -> None:
    import asyncio

    from flows.serve import read_deployments, to_served

    served = {each.name: each for each in asyncio.run(to_served(read_deployments()))}
    assert set(served) == {item["name"] for item in listed_deployments()}
    nightly = served["nightly-evaluations"].schedules
    assert nightly is not None
    assert [schedule.model_dump()["schedule"]["cron"] for schedule in nightly] == ["30 2 * * *"]
    assert nightly[0].schedule.timezone == "UTC"
