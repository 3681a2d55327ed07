"""The overview in a real browser."""

from __future__ import annotations

import httpx2
import pytest
from playwright.sync_api import expect

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from tests.support import MODEL, ServerProcess
from tests.ui.conftest import Opens

pytestmark = pytest.mark.slow


def test_the_overview_is_drawn_and_its_tables_open_by_keyboard(
    opens: Opens, server: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(["Hello."], usage=usage(1000, 20, 400)))
    for _ in range(3):
        httpx2.post(f"{server.base_url}/responses", json={"model": MODEL, "input": "Hello?"}, timeout=60)
    page = opens(f"{server.address}/ui/overview")
    expect(page.get_by_role("link", name="day")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("img", name="Runs by outcome")).to_be_visible()
    page.get_by_role("link", name="hour").click()
    expect(page).to_have_url(f"{server.address}/ui/overview?span=hour")
    figure = page.get_by_role("figure").filter(has_text="Runs by outcome")
    expect(figure.get_by_role("table")).to_be_hidden()
    figure.locator("summary").press("Enter")
    expect(figure.get_by_role("table")).to_be_visible()
    expect(figure.get_by_role("row")).to_have_count(31)
    figure.locator("summary").press("Enter")


def test_the_overview_fits_a_telephone(opens: Opens, server: ServerProcess) -> None:
    page = opens(f"{server.address}/ui/overview", width=390, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth <= 390")
