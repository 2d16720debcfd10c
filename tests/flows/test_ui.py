"""A person promotes a bundle with nothing but a browser: the run's form, the checklist, the answer, the new stage."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bundles.ladder import Decision
from bundles.promotion import Wish, check
from tests.bundles.conftest import RITA
from tests.flows.conftest import Ladder, key_file
from tests.flows.ui import SCREEN, Person
from tests.flows.up import Prefect, free_port, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"),
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"),
]


@dataclass(frozen=True)
class World:
    """What is up: the server, and the store that the flows work on."""

    prefect: Prefect
    ladder: Ladder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ladder, prefect = Ladder(tmp_path_factory.mktemp("ladder")).govern(), Prefect(free_port())
    with serving(tmp_path_factory.mktemp("prefect"), ladder.store, prefect):
        yield World(prefect, ladder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test does it")
    with playwright.sync_playwright() as started:
        # Names are not resolved at all: what the page's routes cannot see (sockets, workers) stays at home too.
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def person(browser: Browser) -> Iterator[Person]:
    context = browser.new_context(viewport=SCREEN, locale="en-GB", timezone_id="UTC")
    person = Person(context.new_page())
    yield person
    context.close()
    # Prefect's UI asks for the settings of its usage statistics even where these are switched off.
    assert person.outside <= {"sr-client-cfg.amplitude.com"}


def ask_for(world: World, person: Person, bundle: str, evaluation: str) -> Decision:
    """Fill in the run's form, wait until the run asks for approval; returns what the ladder says of the request."""
    person.open_run_form(world.prefect.url, "promote")
    person.fill(
        {
            "Bundle": bundle,
            "Evaluations": [evaluation],
            "Requested by": world.ladder.author,
            "To stage": "replay",
            "Why": "ready for the first rung",
        }
    )
    person.submit_run()
    person.wait_for_state("Suspended")
    person.look("suspended")
    return check(world.ladder.catalog, Wish(bundle, "edge", "replay", (evaluation,)), now_ns=time.time_ns())


def sign_as_shown(command: str, key: Path) -> str:
    """Run the command of the question with another key."""
    shown = "~/.ssh/id_ed25519"
    assert shown in command
    signed = subprocess.run(
        ["sh", "-c", command.replace(shown, str(key))], capture_output=True, text=True, check=True, timeout=30
    )
    return signed.stdout


def test_a_person_reads_the_checklist_signs_as_shown_and_the_bundle_moves(world: World, person: Person) -> None:
    person.walk = "promote"
    bundle = world.ladder.bundle()
    evaluation = world.ladder.evaluated(bundle).eval_id
    key = key_file(RITA, world.ladder.folder)
    shown = {"key": f"gate-{evaluation.replace('_', '-')}", "type": "markdown", "data": "## passes replay"}
    world.prefect.ask("/artifacts/", shown)
    decision = ask_for(world, person, bundle, evaluation)
    assert decision.decision == "pending"

    question = person.open_question()
    for made in decision.checks:
        assert f"✓ {made.text}" in question.inner_text()
    assert question.get_by_role("heading", name="Evidence").is_visible()
    text = question.inner_text()
    assert world.ladder.author in text
    assert "ready for the first rung" in text
    for digest in (decision.statement.bundle, decision.statement.verdict, decision.statement.policy, evaluation):
        assert digest in text
    assert not any(mark in text for mark in ("###", "```", "**", "\\_")), "Markdown shows as it was written"
    person.follow(question.get_by_role("link", name="verdict"), expect="passes replay")
    command = question.locator("code").filter(has_text="ssh-keygen").inner_text()

    person.answer(
        question,
        {
            "Your decision": "approve",
            "Your name": RITA.name,
            "Why": "read the report",
            "Signature": sign_as_shown(command, key),
        },
    )
    person.wait_for_state("Completed")
    person.read_message(f"{bundle} is at stage replay")
    person.look("completed")
    assert world.ladder.stage(bundle) == "replay"
    (approval,) = world.ladder.state(bundle).promotions[-1].request.approvals
    assert (approval.approver, approval.kind, approval.notes) == (RITA.name, "signed", "read the report")


@pytest.mark.long
def test_the_authors_own_answer_is_turned_down_in_words_and_the_run_asks_again(world: World, person: Person) -> None:
    person.walk = "author"
    bundle = world.ladder.bundle(levels=2)
    evaluation = world.ladder.evaluated(bundle).eval_id
    ask_for(world, person, bundle, evaluation)
    person.answer(person.open_question(), {"Your decision": "approve", "Your name": world.ladder.author})
    person.wait_for_state("Suspended", not_before="Suspended")
    question = person.open_question()
    assert "The last answer does not count" in question.inner_text()
    assert "author" in question.get_by_role("listitem").first.inner_text()
    assert world.ladder.stage(bundle) == "research"

    person.answer(question, {"Your decision": "deny", "Your name": RITA.name, "Why": "ask somebody else"})
    person.wait_for_state("Denied")
    person.read_message("ask somebody else")
    person.look("denied")
    assert world.ladder.stage(bundle) == "research"
