"""The pages in a real browser, at the width of a laptop and of a phone: drawn, readable, quiet, alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evals.reports.compare import Comparison
from evals.reports.comparison_page import comparison_report
from evals.reports.page import render_report
from evals.reports.recorded import Recorded
from tests.evals.reports import made

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
WIDTHS = {"laptop": 1280, "phone": 390}
PATIENCE_MS = 60_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")


def quiet() -> Recorded:
    """A run that did nothing."""
    logs = made.edge_logs()
    return replace(made.replay(), logs=logs | {"fills": logs["fills"][:0], "orders": logs["orders"][:0]})


PAGES: dict[str, Callable[[], str]] = {
    "quiet": lambda: render_report(quiet()),
    "replay": lambda: render_report(made.replay(judged=made.FAIL)),
    "shadow": lambda: render_report(made.shadow()),
    "live-review": lambda: render_report(made.live_review(2)),
    "review of a policy": lambda: render_report(made.policy_review(gaps=1)),
    "sor": lambda: render_report(made.sor()),
    "assignment": lambda: render_report(made.assignment()),
    "two replays": lambda: comparison_report(Comparison(made.replay(), made.replay(seed=5, data=b"other"))),
    "two routings": lambda: comparison_report(Comparison(made.sor(), made.sor(seed=9))),
    "two assignments": lambda: comparison_report(Comparison(made.assignment(), made.assignment(seed=9))),
}

TOO_WIDE = """() => [...document.querySelectorAll('main *')]
    .filter(each => each.getBoundingClientRect().right > innerWidth + 0.5)
    .map(each => each.tagName + '.' + each.className)"""

CUT_OFF = """() => [...document.querySelectorAll('td:not(.track), th, .figure b, .figure span, h1, h2, p, li')]
    .filter(each => each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1)
    .map(each => each.textContent)"""

BLANK = """() => [...document.querySelectorAll('.chart')].filter(each => {
    const canvas = each.querySelector('canvas');
    if (!canvas || canvas.width < 200) return true;
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    const shades = new Set();
    for (let i = 3; i < pixels.length; i += 4) if (pixels[i] > 60) shades.add(pixels[i - 1] << 8 | pixels[i - 2]);
    return shades.size < 3;
}).map(each => each.id)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test does it")
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    written = {name: folder / f"{number}.html" for number, name in enumerate(PAGES)}
    for name, path in written.items():
        path.write_text(PAGES[name](), encoding="utf-8")
    return written


def opened(page: Page, path: Path) -> tuple[list[str], list[str]]:
    """Open a page and wait until it is drawn; return what it complained of and what it asked for besides itself."""
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn", timeout=PATIENCE_MS)
    return said, [url for url in asked if url != path.as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_drawn_fits_and_asks_for_nothing(
    browser: Browser, pages: dict[str, Path], name: str, width: str
) -> None:
    dark = browser.new_context(viewport={"width": WIDTHS[width], "height": 900}, color_scheme="dark", offline=False)
    page = dark.new_page()
    said, asked = opened(page, pages[name])
    assert said == []
    assert asked == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate(CUT_OFF) == []
    assert page.locator(".chart").count() > 0
    assert page.evaluate(BLANK) == []
    assert page.locator(".chart:not([role=img][aria-label])").count() == 0
    dark.close()


def test_charts_are_drawn_anew_when_the_window_changes(browser: Browser, pages: dict[str, Path]) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said, _ = opened(page, pages["replay"])
    page.set_viewport_size({"width": 390, "height": 900})
    narrow = "[...document.querySelectorAll('.chart canvas')].every(each => each.getBoundingClientRect().right < 391)"
    page.wait_for_function(narrow, timeout=PATIENCE_MS)
    assert said == []
    context.close()


def test_a_page_prints_on_white(browser: Browser, pages: dict[str, Path]) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    opened(page, pages["replay"])
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('td')).color") == "rgb(22, 32, 44)"
    context.close()
