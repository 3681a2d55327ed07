"""The pages in a real Chromium. Where there is none these tests are skipped: apt-get install chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

SCREENSHOTS = Path(__file__).parent / "screenshots"
_SWITCHES = (
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

expect.set_options(timeout=20_000)  # milliseconds: other tests are at work on the same two cores

type Opens = Callable[..., Page]


@pytest.fixture(scope="module")
def _playwright() -> Iterator[Playwright]:
    # Not the session's: as long as it is there its event loop runs, and no other can in this thread.
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(_playwright: Playwright) -> Iterator[Browser]:
    """The module's browser."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    browser = _playwright.chromium.launch(executable_path=binary, args=_SWITCHES)
    yield browser
    browser.close()


@pytest.fixture
def opens(chromium: Browser) -> Iterator[Opens]:
    """Opens a page in a browser of its own: `opens(url, dark=True, width=390)`.

    What the console calls an error, what a script raises, and what is asked of another host fails the test.
    """
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(url: str, *, dark: bool = False, width: int = 1440, height: int = 900, expected: str = "") -> Page:
        """`expected` is in the messages of the console that are no failure."""
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.on(
            "console",
            lambda said: (
                wrong.append(f"console: {said.text}")
                if said.type in ("error", "warning") and not (expected and expected in said.text)
                else None
            ),
        )
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        host = urlsplit(url).netloc
        page.on(
            "request",
            lambda asked: (
                wrong.append(f"asks another host: {asked.url}")
                if urlsplit(asked.url).scheme.startswith("http") and urlsplit(asked.url).netloc != host
                else None
            ),
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong, wrong


def screenshot(page: Page, name: str) -> None:
    """Take the picture `NAME.png` for the README, where SCREENSHOTS is set."""
    if os.environ.get("SCREENSHOTS"):
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")
