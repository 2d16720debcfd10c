"""A person at Prefect's UI, who finds things by the texts on the screen."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

SCREEN = {"width": 1280, "height": 900}
PATIENCE_MS = 30_000
GLANCES = 240
PRESSES = 5
BUSY = 503
SENDS = re.compile("/(create_flow_run|resume)$")
LOOPBACK = "127.0.0.1"

SCREENSHOTS = "SEQUENCE_TEST_SCREENSHOTS"
"""Environment variable: the folder where the walks leave a picture of each step. Unset: none are taken."""


class Person:
    """Walks through the pages; ``outside`` collects what those tried to fetch from elsewhere, and did not get."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.outside: set[str] = set()
        self.walk = ""
        self._seen = 0
        page.set_default_timeout(PATIENCE_MS)
        page.context.route("**/*", self._stay_at_home)

    def _stay_at_home(self, route: Route) -> None:
        host = urlsplit(route.request.url).hostname
        if host == LOOPBACK:
            route.continue_()
        else:
            self.outside.add(str(host))
            route.abort()

    def look(self, step: str) -> None:
        """Leave a picture of what is on the screen."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            self._seen += 1
            self.page.wait_for_timeout(700)  # menus and dialogs fade in
            self.page.screenshot(path=Path(folder) / f"{self.walk}-{self._seen}-{step}.png")

    def open_run_form(self, url: str, deployment: str) -> None:
        """Go from the front page by the list of deployments to a deployment's form for a custom run."""
        self.page.goto(url)
        self.page.get_by_role("link", name="Deployments").click()
        # The flow has a link of the same name beside the deployment's.
        link = self.page.locator("a[href*='/deployments/deployment/']").filter(has_text=_whole(deployment))
        link.wait_for()
        self.look("deployments")
        link.click()
        self.page.get_by_role("button", name="Run", exact=True).click()
        self.look("deployment")
        self.page.get_by_role("menuitem", name="Custom run").click()
        self.page.get_by_role("heading", name="Parameters").wait_for()

    def fill(self, values: dict[str, str | list[str]], where: Locator | None = None) -> None:
        """Fill in fields by their titles: a text, one of several choices, or a list of texts."""
        scope = where or self.page.locator("main")
        for title, value in values.items():
            label = self.page.locator("label").filter(has_text=_whole(title))
            field = scope.locator("div.group").filter(has=label)
            choice = field.get_by_role("button", name=re.compile("^Select "))
            if isinstance(value, list):
                for item in value:
                    field.get_by_role("button", name="Add item").click()
                    field.get_by_role("textbox").last.fill(item)
            elif choice.count():
                choice.click()
                self.page.get_by_role("option", name=value, exact=True).click()
            else:
                field.locator("textarea, input").fill(value)

    def submit_run(self) -> None:
        """Submit the form for a custom run and go to the page of the run."""
        self.look("run-form")
        self.page.get_by_role("button", name="Submit").scroll_into_view_if_needed()
        self.look("run-form-end")
        view = self.page.get_by_role("link", name="View run")
        self._press(self.page.get_by_role("button", name="Submit"), until=view, is_now="visible")
        view.click()
        self.page.wait_for_url("**/flow-run/**")

    def wait_for_state(self, name: str, *, not_before: str | None = None) -> None:
        """Wait until the run's page shows a state, and a change of state before that, if one is due."""
        if not_before:
            self.page.locator("main").get_by_text(not_before, exact=True).wait_for(state="detached")
        shown = self.page.locator("main").get_by_text(name, exact=True).first
        # The page looks anew by itself, but after up to half a minute; a person would reload it as well.
        for glance in range(GLANCES):
            if shown.is_visible():
                return
            if glance % 12 == 11:
                self.page.reload()
            self.page.wait_for_timeout(250)
        raise AssertionError(f"the run's page never showed {name}:\n{self.page.locator('main').inner_text()}")

    def read_message(self, part: str) -> None:
        """Find a text in the message of the run's state, among its details."""
        self.page.get_by_role("tab", name="Details").click()
        message = self.page.locator("main").get_by_text(part).first
        message.wait_for()
        message.scroll_into_view_if_needed()

    def open_question(self) -> Locator:
        """Open the dialog that resumes a run; returns it."""
        self.page.get_by_role("button", name="Open menu").click()
        self.look("menu")
        self.page.get_by_role("menuitem", name="Resume").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("listitem").first.wait_for()  # the text arrives after the fields
        return dialog

    def follow(self, link: Locator, *, expect: str) -> None:
        """Open a link in a page of its own and find a heading there, in the UI to which the front page leads."""
        front = self.page.url.partition("/runs/")[0]
        address = link.get_attribute("href") or ""
        assert address.startswith(f"{front}/"), f"{address} leads to another UI than {front}"
        page = self.page.context.new_page()
        page.goto(address)
        page.get_by_role("heading", name=expect).wait_for()
        page.close()

    def answer(self, dialog: Locator, values: dict[str, str | list[str]]) -> None:
        """Fill in the dialog and send it."""
        self.look("question")
        dialog.locator("label").last.scroll_into_view_if_needed()
        self.look("form")
        self.fill(values, dialog)
        self.look("answer")
        self._press(dialog.get_by_role("button", name="Resume", exact=True), until=dialog, is_now="detached")

    def _press(self, button: Locator, *, until: Locator, is_now: Literal["visible", "detached"]) -> None:
        """Press a button that sends something, and again if Prefect's server was too busy to take it.

        On a busy machine its SQLite database is now and then locked: the server then answers 503, having done nothing,
        and the page says so in passing. Prefect's own client tries again by itself; a person does it by hand.
        """
        for _ in range(PRESSES):
            with self.page.expect_response(SENDS) as sent:
                button.click()
            if sent.value.status != BUSY:
                break
        until.wait_for(state=is_now)


def _whole(title: str) -> re.Pattern[str]:
    return re.compile(rf"^\s*{re.escape(title)}( \(Optional\))?\s*$")
