"""The list of sessions and the page of one, in a browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from playwright.sync_api import Page, expect

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.conftest import key_of
from tests.support import MODEL, ServerProcess, running
from tests.ui.conftest import Opens

pytestmark = pytest.mark.slow

HOSTILE = "<script>alert(1)</script>\u202eevil\x1b[31m <b>bold</b>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server that asks for keys. Olga is an operator."""
    folder: Path = tmp_path_factory.mktemp("pages")
    names = ("ada", "ben", "cleo", "dan", "eve", "finn", "gus", "olga")
    keys: list[dict[str, Any]] = [
        {"key": key_of(name), "tenant_id": name, "operator": name == "olga"} for name in names
    ]
    config: dict[str, Any] = {
        "models": {"generator": {"base_url": scripted_backend.base_url, "model": "scripted"}},
        "auth": {"enabled": True, "api_keys": keys},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with running(folder, {}) as process:
        yield process


def ask(server: ServerProcess, name: str, text: str, **others: Any) -> dict[str, Any]:
    """Ask as a client of the tenant does."""
    body = {"model": MODEL, "input": text, **others}
    answer = httpx2.post(f"{server.address}/v1/responses", json=body, headers={"x-api-key": key_of(name)}, timeout=60)
    said: dict[str, Any] = answer.json()
    return said


def enter(page: Page, name: str) -> None:
    """Log in with the keyboard alone; the field of the key has the focus."""
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(key_of(name))
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/sessions*")


def titles(page: Page) -> list[str]:
    return page.locator(".sessions .title a").all_inner_texts()


def test_one_logs_in_by_keyboard_and_out_again(opens: Opens, server: ServerProcess, backend: ScriptedBackend) -> None:
    page = opens(f"{server.address}/ui/sessions", expected="401")
    expect(page).to_have_title("Log in · RANTS")
    page.keyboard.type("not-a-key-of-anybody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not good here")
    enter(page, "cleo")
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    expect(page.get_by_text("Nobody has asked anything yet.")).to_be_visible()
    expect(page.get_by_role("link", name="Ask something in the playground")).to_be_visible()
    page.get_by_role("button", name="Log out").press("Enter")
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto(f"{server.address}/ui/sessions")
    expect(page).to_have_url(f"{server.address}/ui/login?next=%2Fui%2Fsessions")


def test_sessions_are_listed_newest_first_found_by_filters_and_opened(
    opens: Opens, server: ServerProcess, backend: ScriptedBackend
) -> None:
    first = ask(server, "ada", "Which ships came into the harbour in March?")
    ask(server, "ada", "And in April?", previous_response_id=first["id"])
    ask(server, "ada", "Who signed the contract with the mill?")
    backend.script = in_turn(Reply(["A long answer. " * 60]))
    ask(server, "ada", HOSTILE)
    page = opens(f"{server.address}/ui/sessions")
    enter(page, "ada")
    rows = page.locator(".sessions tbody tr")
    expect(rows).to_have_count(3)
    shown = titles(page)
    assert shown[1:] == ["Who signed the contract with the mill?", "Which ships came into the harbour in March?"]
    assert "<script>" in shown[0], "it is shown as it is written"
    assert "\\u202e" in shown[0]
    expect(rows.nth(2)).to_contain_text("completed")
    expect(rows.nth(2).locator("td[data-unit=turns]")).to_have_text("2")

    page.get_by_label("Title, id or name").fill("MILL")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("text=MILL"))
    page.get_by_role("link", name="All", exact=True).click()
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No session fits.")).to_be_visible()
    page.get_by_role("link", name="Show all of them.").click()
    page.get_by_label("Tokens from").fill("1000000")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No session fits.")).to_be_visible()
    page.goto(f"{server.address}/ui/sessions")
    page.get_by_role("link", name="Which ships came").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Which ships came into the harbour in March?")
    turns = page.locator(".turn")
    expect(turns).to_have_count(2)
    expect(turns.nth(0).locator(".asked")).to_contain_text("Which ships came into the harbour in March?")
    expect(turns.nth(0).locator(".answered")).to_contain_text("Hello there.")
    expect(turns.nth(1).locator(".asked")).to_contain_text("And in April?")
    how = turns.nth(0).get_by_role("link", name="See how")
    expect(how).to_have_attribute("href", f"/ui/runs/{first['id']}")


def test_values_that_cannot_be_used_are_named_on_the_page(opens: Opens, server: ServerProcess) -> None:
    page = opens(f"{server.address}/ui/sessions?status=bored&tokens_from=many&before=yesterday", expected="400")
    enter_expecting = page.get_by_label("API key")
    enter_expecting.fill(key_of("dan"))
    page.keyboard.press("Enter")
    alerts = page.get_by_role("alert")
    expect(alerts).to_have_count(3)
    expect(alerts.nth(0)).to_contain_text("There is no state 'bored'")
    expect(page.get_by_label("Tokens from")).to_have_value("many")


def test_a_new_session_comes_by_itself_and_takes_nothing_away(
    opens: Opens, server: ServerProcess, backend: ScriptedBackend
) -> None:
    ask(server, "ben", "The first question")
    page = opens(f"{server.address}/ui/sessions")
    enter(page, "ben")
    mine = page.get_by_role("link", name="The first question")
    mine.focus()
    row = page.locator(".sessions tbody tr").first.element_handle()
    page.evaluate("row => { row.kept = true }", row)
    ask(server, "finn", "A question of somebody else")
    ask(server, "ben", "The second question")
    expect(page.get_by_role("link", name="The second question")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("A new session has come.")
    expect(mine).to_be_focused()
    assert titles(page) == ["The second question", "The first question"]
    assert page.evaluate("document.querySelectorAll('.sessions tbody tr')[1].kept"), "the row stayed where it was"
    answered = [answer.status for answer in _part_answers(page)]
    assert 304 in answered, "what has not changed is not sent again"


def test_what_is_still_being_answered_is_there_before_it_is_written_down(
    opens: Opens, server: ServerProcess, backend: ScriptedBackend
) -> None:
    release = threading.Event()
    backend.script = in_turn(Reply(["It", " was."], hold=release))
    page = opens(f"{server.address}/ui/sessions")
    enter(page, "gus")
    other = opens(f"{server.address}/ui/sessions")
    enter(other, "cleo")
    asking = threading.Thread(target=ask, args=(server, "gus", "Was it a good harvest?"))
    asking.start()
    try:
        at_work = page.get_by_role("list", name="At work")
        expect(at_work).to_contain_text("Was it a good harvest?")
        assert "harvest" not in other.request.get(f"{server.address}/ui/sessions").text()
    finally:
        release.set()
        asking.join()
    expect(page.get_by_role("link", name="Was it a good harvest?")).to_be_visible()
    expect(at_work.get_by_role("listitem")).to_have_count(0)


def _part_answers(page: Page) -> list[Any]:
    """Some further answers to the page's script."""
    found = []
    for _ in range(2):
        with page.expect_response(lambda answer: "x-part" in answer.request.headers) as caught:
            pass
        found.append(caught.value)
    return found


def test_two_tenants_see_nothing_of_each_other_and_an_operator_sees_both(
    opens: Opens, server: ServerProcess, backend: ScriptedBackend
) -> None:
    hers, his = (ask(server, name, f"Only for {name}") for name in ("eve", "dan"))
    pages = {}
    for name in ("eve", "dan", "olga"):
        pages[name] = opens(f"{server.address}/ui/sessions", expected="404")
        enter(pages[name], name)
    assert "Only for eve" in titles(pages["eve"])
    assert "Only for dan" not in titles(pages["eve"])
    assert "Only for eve" not in titles(pages["dan"])
    assert {"Only for eve", "Only for dan"} <= set(titles(pages["olga"]))
    pages["eve"].get_by_role("link", name="Only for eve").click()
    pages["eve"].wait_for_url("**/ui/sessions/sess_*")
    there = pages["eve"].url
    pages["dan"].goto(there)
    expect(pages["dan"].get_by_role("heading", level=1)).to_have_text("Not Found")
    pages["olga"].get_by_role("link", name="Only for eve").click()
    expect(pages["olga"]).to_have_url(f"{there}?tenant=eve")
    expect(pages["olga"].get_by_role("link", name="See how")).to_have_attribute(
        "href", f"/ui/runs/{hers['id']}?tenant=eve"
    )
    assert his["id"] not in pages["olga"].content()


def test_on_a_narrow_screen_nothing_is_wider_than_it(
    opens: Opens, server: ServerProcess, backend: ScriptedBackend
) -> None:
    ask(server, "finn", "A question with a word that has no end: " + "x" * 300)
    page = opens(f"{server.address}/ui/sessions", width=390, height=844)
    enter(page, "finn")
    for link in (None, page.locator(".sessions .title a").first):
        if link is not None:
            link.click()
            page.wait_for_url("**/ui/sessions/sess_*")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
