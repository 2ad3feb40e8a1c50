"""Pages in the distribution's Chromium, for tests of what a person sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page


@contextmanager
def open_page(browser: Browser, path: Path) -> Iterator[Page]:
    """A page opened as a file. Nothing may be logged, asked of a network or popped up."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    found: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: found.append(message.text))
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("dialog", lambda dialog: found.append(dialog.message))
    page.on("request", lambda asked: found.append(asked.url) if asked.url[:4] == "http" else None)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert not found


def violations(page: Page) -> list[tuple[str, str]]:
    """Serious breaches of axe-core's accessibility rules: the rule and the first element."""
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], each["nodes"][0]["html"]) for each in serious]
