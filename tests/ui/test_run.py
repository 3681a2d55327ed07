"""The page of one run, in a browser: followed while it happens, opened by mouse and keys, and safe to look at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from playwright.sync_api import Dialog, Page, expect

from evals.scripted import Reply, ScriptedBackend, usage
from tests.server.test_explore import LONG, LOOK, SUBMIT, root
from tests.shown import CODE, DIRECT, RICH, kept_below
from tests.support import MODEL, ServerProcess, running
from tests.ui.conftest import Opens, screenshot

pytestmark = pytest.mark.slow

BOOK = "\n".join(f"Chapter {n}. {'The keeper counted the ships and wrote them down. ' * 60}" for n in range(1, 25))
LIES = "In which chapters does the keeper of the lighthouse lie?"
READ = """I ask about every chapter, all at once.
```python
chapters = [line for line in context.splitlines() if line.startswith("Chapter ")]
asked = [f"Does the keeper lie here? Begin with yes or no.\\n{chapter}" for chapter in chapters]
said = llm_query_batched(asked)
lies = [number for number, reply in enumerate(said, 1) if reply.startswith("Yes")]
print(lies)
```"""
CHECK = """A session of its own looks at these again.
```python
print(rlm_query("Which of these lies is the greatest?", [said[number - 1] for number in lies]))
```"""
TELL = """```python
SUBMIT(f"He lies in the chapters {', '.join(map(str, lies))}.")
```"""
MANY = "```python\nprint(len(llm_query_batched([f'Part {n}?' for n in range(300)])))\n```"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server whose generator has a small window, and whose database has runs of every kind already."""
    folder: Path = tmp_path_factory.mktemp("pages")
    kept_below(folder)
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000",
    }
    with running(folder, variables) as process:
        yield process


@pytest.fixture
def sdk(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def rich(server: ServerProcess) -> str:
    return f"{server.address}/ui/runs/{RICH}"


def row(page: Page, text: str) -> Any:
    return page.locator("#tree .row", has_text=text).first


def chosen(page: Page) -> Any:
    return page.locator("#tree [role=treeitem][aria-selected=true]")


@pytest.mark.parametrize(("dark", "width"), [(False, 1440), (True, 390)])
def test_a_live_run_is_followed_to_its_end(
    server: ServerProcess, sdk: OpenAI, backend: ScriptedBackend, opens: Opens, dark: bool, width: int
) -> None:
    backend.script = root(LOOK, SUBMIT, sub_lm_delay=2.0)
    run = sdk.responses.create(model=MODEL, input=LONG, background=True).id
    page = opens(f"{server.address}/ui/runs/{run}", dark=dark, width=width)
    expect(row(page, "Turn 1")).to_be_visible()
    expect(page.locator("#status")).to_have_text("in progress")
    expect(page.locator("#newest")).to_be_checked()
    expect(page.locator("#status")).to_have_text("completed")
    expect(page.locator(".answer")).to_have_text("It is 4711.")
    expect(page.locator("#fact-calls")).to_have_text("1")
    expect(page.locator("#fact-prompt")).to_have_text("2,005")
    expect(chosen(page)).to_have_count(1)
    expect(page.locator("#said")).to_have_text("The run has ended: completed.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the page"


def test_calls_that_are_made_together_lie_below_each_other(
    server: ServerProcess, sdk: OpenAI, backend: ScriptedBackend, opens: Opens
) -> None:
    codes = [READ, CHECK, TELL]

    def script(body: dict[str, Any]) -> Reply:
        messages = body["messages"]
        last = str(messages[-1]["content"])
        if last.startswith("Does the keeper lie"):
            chapter = int(last.split("Chapter ")[1].split(".", maxsplit=1)[0])
            said = f"Yes: of {chapter} ships he writes down {chapter - 1}." if chapter % 7 == 3 else "No."
            return Reply([said], usage=usage(760, 9), first_delay=0.4 + 0.1 * (chapter * 5 % 8))
        if "the greatest" in last:
            return Reply(["The last one: it is a whole fleet."], usage=usage(80, 9), first_delay=0.5)
        after = next(index for index, message in enumerate(messages) if LIES in str(message["content"]))
        turn = sum(message["role"] == "assistant" for message in messages[after:])
        return Reply([codes[turn]], usage=usage(1100 + 200 * turn, 90, 900 * turn), first_delay=0.3)

    backend.script = script
    run = sdk.responses.create(model=MODEL, input=f"{BOOK}\n\n{LIES}").id
    page = opens(f"{server.address}/ui/runs/{run}#n1")
    expect(page.locator(".answer")).to_have_text("He lies in the chapters 3, 10, 17, 24.")
    expect(page.locator(".timeline-svg")).to_have_attribute("aria-label", re.compile("24 at once"))
    expect(page.locator("pre.code")).to_contain_text("llm_query_batched")
    screenshot(page, "run")


def test_who_has_chosen_a_node_keeps_it_while_more_happens(
    server: ServerProcess, sdk: OpenAI, backend: ScriptedBackend, opens: Opens
) -> None:
    backend.script = root(LOOK, SUBMIT, sub_lm_delay=2.0)
    run = sdk.responses.create(model=MODEL, input=LONG, background=True).id
    page = opens(f"{server.address}/ui/runs/{run}")
    row(page, "Turn 1").click()
    expect(page.locator("#newest")).not_to_be_checked()
    expect(row(page, "Turn 2")).to_be_visible()
    expect(chosen(page)).to_contain_text("Turn 1")
    assert page.url.endswith("#n1")


def test_a_node_is_opened_by_mouse_by_keyboard_and_by_its_link(rich: str, opens: Opens) -> None:
    page = opens(rich)
    row(page, "Turn 1: I look").click()
    expect(page.locator("#node-title")).to_contain_text("Turn 1")
    expect(page.locator("pre.code")).to_have_text(CODE)
    assert page.url.endswith("#n1")

    tree = page.locator("#tree")
    tree.focus()
    tree.press("ArrowDown")
    tree.press("Enter")
    expect(page.locator("#node-title")).to_contain_text("What came of turn 1")
    tree.press("ArrowUp")
    tree.press("ArrowLeft")
    expect(row(page, "Turn 1: I look")).to_have_attribute("aria-expanded", "false")
    expect(page.locator("#tree .row", has_text="Observation: 1 [")).to_have_count(0)
    tree.press("ArrowRight")
    tree.press("ArrowRight")
    active = page.locator(f"#{tree.get_attribute('aria-activedescendant')}")
    expect(active).to_contain_text("Observation")
    expect(active).to_have_attribute("aria-level", "3")
    tree.press("End")
    tree.press("Enter")
    expect(page.locator("#node-title")).to_contain_text("Step 2")
    tree.press("Home")
    assert page.locator(f"#{tree.get_attribute('aria-activedescendant')}").get_attribute("aria-posinset") == "1"

    page.goto("about:blank")
    page.goto(f"{rich}#n12")
    expect(page.locator("#node-title")).to_contain_text("Step 1")
    page.locator("#details a", has_text="Open").first.click()
    expect(page.locator("#node-title")).to_contain_text("Tool write")
    expect(chosen(page)).to_contain_text("Tool: write")


def test_a_node_is_chosen_in_the_time_line(rich: str, opens: Opens) -> None:
    page = opens(rich)
    line = page.locator(".timeline-box")
    expect(page.locator(".timeline-svg")).to_have_attribute(
        "aria-label", "Time line: 6.8 s, 3 sessions, 3 calls, up to 2 at once"
    )
    box = line.bounding_box()
    assert box is not None
    # The code of the first turn was written from 0.2 s to 1.2 s of 6.8 s.
    at = {"x": 40 + (box["width"] - 48) * 0.7 / 6.8, "y": 22 + 12}
    line.hover(position=at)  # type: ignore[arg-type]
    expect(page.locator(".timeline-said")).to_contain_text("Turn 1: I look.")
    line.click(position=at)  # type: ignore[arg-type]
    expect(page.locator("#node-title")).to_contain_text("Turn 1")
    line.focus()
    whole = page.locator(".bar.code").get_attribute("d")
    line.press("+")
    expect(page.locator(".bar.code")).not_to_have_attribute("d", whole or "")
    line.press("0")
    expect(page.locator(".bar.code")).to_have_attribute("d", whole or "")


def test_an_example_and_a_link_are_copied_and_it_is_said(rich: str, opens: Opens) -> None:
    page = opens(f"{rich}#n3")
    page.get_by_role("button", name="Copy as DSPy example").click()
    expect(page.locator("#said")).to_have_text("The example is copied.")
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["code"] == "llm_query(found[0])"
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#said")).to_have_text("The link is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{rich}#n3"
    page.get_by_text("What the root LM was shown before").click()
    expect(page.locator("details")).to_contain_text("I look.")


def test_a_place_in_the_context_is_opened_and_left_again(rich: str, opens: Opens) -> None:
    page = opens(f"{rich}#n2")
    page.locator(".places a").first.click()
    expect(page.locator("mark").first).to_be_visible()
    first = page.locator("pre.window").inner_text()
    page.get_by_role("link", name="On", exact=True).first.click()
    expect(page.locator("pre.window")).not_to_have_text(first)
    page.get_by_label("Find in it").fill("Line 2999")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("mark").first).to_have_text("Line 2999")


@pytest.mark.parametrize("run", [RICH, DIRECT])
def test_what_strangers_wrote_does_nothing(server: ServerProcess, opens: Opens, run: str) -> None:
    """The policy would report a script to the console, which fails the test."""
    page = opens(f"{server.address}/ui/runs/{run}")
    alerts: list[str] = []

    def alerted(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", alerted)
    expect(page.locator("#tree .row").first).to_be_visible()
    tree = page.locator("#tree")
    for _ in range(page.locator("#tree .row").count()):
        tree.press("ArrowDown")
        tree.press("Enter")
        expect(page.locator("#details")).not_to_have_attribute("aria-busy", "true")
        expect(page.locator("#node-title")).to_be_visible()
        assert page.evaluate("document.querySelectorAll('#run script, #run img, #head img').length") == 0
        text = page.locator("body").inner_text()
        assert not [character for character in ("\x1b", "\u202e", "\u2066") if character in text]
    assert alerts == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the page"


def test_many_calls_are_one_row_until_they_are_wanted(
    server: ServerProcess, sdk: OpenAI, backend: ScriptedBackend, opens: Opens
) -> None:
    answer = root(MANY, "```python\nSUBMIT('Done.')\n```")

    def script(body: dict[str, Any]) -> Reply:
        if str(body["messages"][-1]["content"]).startswith("Part "):
            return Reply(["Yes."], usage=usage(5, 1))
        found: Reply = answer(body)
        return found

    backend.script = script
    run = sdk.responses.create(model=MODEL, input=LONG).id
    page = opens(f"{server.address}/ui/runs/{run}")
    group = row(page, "300 calls")
    expect(group).to_have_attribute("aria-expanded", "false")
    group.click()
    expect(page.locator("#node-title")).to_contain_text("300 calls")
    page.locator("#details .places a").first.click()
    expect(page.locator("#node-title")).to_have_text("Call of the sub-LM")
    expect(chosen(page)).to_have_attribute("aria-setsize", "300")
    assert page.locator("#tree .row").count() < 80
