"""The playground in a real browser: asked, followed, stopped, and copied from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from evals.tasks.needle import is_right, make
from tests.conftest import key_of
from tests.server.test_explore import root
from tests.support import ServerProcess, running
from tests.ui.conftest import Opens, screenshot

pytestmark = pytest.mark.slow

LOOK = "Let me look.\n```python\nfound = grep('the code is')\nprint(len(found), llm_query('Which code?'))\n```"
SUBMIT = "```python\nimport re\nSUBMIT('It is ' + re.search(r'code is (\\d+)', found[0])[1] + '.')\n```"
QUESTION = "What is the code?"
LIMIT = 4_000_000


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server whose generator has a small window."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000",
        "RANTS_LIMITS__MAX_REQUEST_BYTES": str(LIMIT),
        "RANTS_RESILIENCE__MAX_RETRIES": "0",
        "RANTS_RESILIENCE__BREAKER_FAILURES": "0",
    }
    with running(tmp_path_factory.mktemp("playground"), variables) as process:
        yield process


@pytest.fixture
def long_text(tmp_path: Path) -> Path:
    """3 MB, with a name that no shell should read."""
    path = tmp_path / "it's $HOME `long`.txt"
    path.write_text("Nothing of note was said.\n" * 60_000 + "The code is 4711.\n" + "Nothing at all.\n" * 90_000)
    assert 2_900_000 < path.stat().st_size < 3_100_000
    return path


def ask(page: Page, question: str, file: Path | None = None) -> None:
    page.get_by_label("Question").fill(question)
    if file is not None:
        page.set_input_files("#file", file)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_an_answer_streams_in(opens: Opens, explorer: ServerProcess, backend: ScriptedBackend) -> None:
    release = threading.Event()
    backend.script = in_turn(Reply(["Hello", " there."], hold=release, usage=usage(1200, 2, 400)))
    page = opens(f"{explorer.address}/ui/playground")
    page.get_by_label("Question").fill("Hello?")
    page.get_by_label("Question").press("Control+Enter")
    answer = page.locator(".answer")
    expect(answer).to_have_text("Hello")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    expect(page.get_by_role("status")).to_contain_text("answer begins")
    release.set()
    expect(answer).to_have_text("Hello there.")
    expect(page.locator(".state")).to_have_text("Completed")
    expect(page.locator(".outcome")).to_contain_text("1,200 tokens read (400 of them cached), 2 written")
    expect(page.get_by_label("Question")).to_be_focused()
    expect(page.get_by_label("Question")).to_have_value("")


def test_the_recursion_grows_over_a_file_of_3_mb(
    opens: Opens, explorer: ServerProcess, backend: ScriptedBackend, long_text: Path
) -> None:
    backend.script = root(LOOK, SUBMIT, sub_lm_delay=2)
    page = opens(f"{explorer.address}/ui/playground")
    ask(page, QUESTION, long_text)
    expect(page.get_by_role("treeitem").filter(has_text="Turn 1")).to_be_visible()
    assert page.locator(".answer").is_hidden(), "it is seen before there is an answer"
    expect(page.locator(".answer")).to_have_text("It is 4711.")
    expect(page.locator(".asked .about")).to_have_text("it's $HOME `long`.txt, 3.0 MB")
    expect(page.get_by_role("treeitem").filter(has_text="Turn 2")).to_be_visible()
    call = page.get_by_role("treeitem").filter(has_text="Call")
    call.click()
    expect(page.locator(".details-pane")).to_contain_text("Which code?")
    screenshot(page, "playground")
    page.get_by_role("link", name="page").click()
    page.wait_for_url("**/ui/runs/resp_*")


def test_a_file_is_dropped_and_removed_and_refused(opens: Opens, explorer: ServerProcess, tmp_path: Path) -> None:
    page = opens(f"{explorer.address}/ui/playground")
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["dropped"], "small.txt"));
          document.getElementById("ask").dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }"""
    )
    expect(page.locator("#attached")).to_have_text("small.txt, 7 bytes Remove")
    page.get_by_role("button", name="Remove the file").click()
    expect(page.locator("#attached")).to_be_hidden()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/v1/" in request.url else None)
    big = tmp_path / "big.txt"
    big.write_bytes(b"x" * (LIMIT + 1))
    page.set_input_files("#file", big)
    expect(page.get_by_role("alert")).to_have_text("big.txt has 4.0 MB; this server takes 4.0 MB at most.")
    escaped = tmp_path / "escaped.txt"
    escaped.write_bytes(b"\n" * (LIMIT // 2))
    ask(page, QUESTION, escaped)
    expect(page.get_by_role("alert")).to_contain_text("at most")
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\xff\xfe")
    page.set_input_files("#file", [])
    ask(page, QUESTION, picture)
    expect(page.get_by_role("alert")).to_have_text("picture.png is no text in UTF-8.")
    assert not sent


def test_stop_ends_the_run(opens: Opens, explorer: ServerProcess, backend: ScriptedBackend, long_text: Path) -> None:
    backend.script = root(LOOK, sub_lm_delay=60)
    page = opens(f"{explorer.address}/ui/playground")
    ask(page, QUESTION, long_text)
    expect(page.get_by_role("treeitem").filter(has_text="Session")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#conversation .state")).to_have_text("Stopped")
    assert explorer.rows("SELECT status FROM run ORDER BY created_at DESC LIMIT 1") == [("cancelled",)]
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()


def test_what_goes_wrong_is_told_in_the_server_s_words(
    opens: Opens, explorer: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(status=400, error={"message": "the model is out of cake"}))
    page = opens(f"{explorer.address}/ui/playground", expected="400")
    ask(page, "Hello?")
    expect(page.locator("#conversation .state")).to_have_text("Failed")
    expect(page.locator(".why")).to_contain_text("the model is out of cake")
    refused = '{"error": {"message": "Slow down a little."}}'
    # The console tells of every status above 399.
    page = opens(f"{explorer.address}/ui/playground", expected="429")
    page.route(
        "**/v1/responses", lambda route: route.fulfill(status=429, content_type="application/json", body=refused)
    )
    ask(page, "Hello?")
    expect(page.get_by_role("alert")).to_have_text("Slow down a little.")
    expect(page.get_by_label("Question")).to_have_value("Hello?")


def test_a_connection_that_is_lost_is_taken_up_again(
    opens: Opens, explorer: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(["One", " two", " three."]))
    page = opens(f"{explorer.address}/ui/playground")
    joined: list[str] = []
    page.on("request", lambda request: joined.append(request.url) if "starting_after" in request.url else None)

    def half(route: Any) -> None:
        answer = route.fetch()
        cut = answer.text().index(" three.")
        route.fulfill(response=answer, body=answer.text()[:cut])

    page.route("**/v1/responses", half)
    ask(page, "Count.")
    expect(page.locator(".answer")).to_have_text("One two three.")
    expect(page.locator("#conversation .state")).to_have_text("Completed")
    assert len(joined) == 1


def test_a_conversation_goes_on_until_a_new_one_begins(
    opens: Opens, explorer: ServerProcess, backend: ScriptedBackend
) -> None:
    page = opens(f"{explorer.address}/ui/playground")
    for said in ("First?", "Second?"):
        ask(page, said)
        expect(page.locator(".state").last).to_have_text("Completed")
        expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()
    assert [m["content"] for m in backend.calls[-1].body["messages"][1:]] == ["First?", "Hello there.", "Second?"]
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#conversation li")).to_have_count(0)
    ask(page, "Third?")
    expect(page.locator(".state")).to_have_text("Completed")
    assert [m["content"] for m in backend.calls[-1].body["messages"][1:]] == ["Third?"]


def test_hostile_text_is_inert(opens: Opens, explorer: ServerProcess, backend: ScriptedBackend) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m \u202egnp.exe"
    backend.script = in_turn(Reply([hostile[:9], hostile[9:]]))
    page = opens(f"{explorer.address}/ui/playground")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    ask(page, hostile)
    shown = "<script>alert(1)</script><img src=x onerror=alert(2)> \\x1b[31m \\u202egnp.exe"
    expect(page.locator(".answer")).to_have_text(shown)
    expect(page.locator("#conversation .state")).to_have_text("Completed")
    assert page.locator("#conversation img, #conversation script").count() == 0


def run(*command: str, folder: Path, **variables: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


HARD = 'What\'s the `code` in "it" $HOME?\n\n\\(1 + 1) %s C:\\new é\U0001f600'


@pytest.mark.parametrize("attached", [False, True], ids=["alone", "about a file"])
def test_what_was_asked_can_be_asked_by_the_commands_that_are_shown(
    opens: Opens, explorer: ServerProcess, backend: ScriptedBackend, long_text: Path, *, attached: bool
) -> None:
    if shutil.which("curl") is None or (attached and shutil.which("jq") is None):
        pytest.skip("curl or jq is not installed: apt-get install curl jq")
    backend.script = in_turn(Reply(["```python\nSUBMIT(question + '|' + context[-17:])\n```"]))
    if not attached:
        backend.script = lambda body: Reply([body["messages"][-1]["content"]])
    page = opens(f"{explorer.address}/ui/playground")
    ask(page, HARD, long_text if attached else None)
    expect(page.locator("#conversation .state")).to_have_text("Completed")
    expected = HARD + ("|\nNothing at all.\n" if attached else "")
    page.get_by_role("button", name="Copy the curl").click()
    curl = page.evaluate("navigator.clipboard.readText()")
    answer = json.loads(run("bash", "-c", curl, folder=long_text.parent))
    assert answer["output"][0]["content"][0]["text"] == expected
    page.get_by_role("button", name="Copy the Python").click()
    python = page.evaluate("navigator.clipboard.readText()")
    assert run(sys.executable, "-c", python, folder=long_text.parent) == expected


def test_it_can_be_used_on_a_telephone(opens: Opens, explorer: ServerProcess, backend: ScriptedBackend) -> None:
    page = opens(f"{explorer.address}/ui/playground", width=390, dark=True)
    ask(page, "x" * 300)
    expect(page.locator("#conversation .state")).to_have_text("Completed")
    assert page.evaluate("document.documentElement.scrollWidth <= 390")


def test_the_embedded_model_finds_a_needle_in_3_mb(
    opens: Opens, embedded_server: ServerProcess, tmp_path: Path
) -> None:
    task = make(seed=1, tokens=750_000, distractors=0)
    path = tmp_path / "long.txt"
    path.write_text(task.context)
    page = opens(f"{embedded_server.address}/ui/playground")
    ask(page, task.question, path)
    expect(page.get_by_role("treeitem").filter(has_text="Session")).to_be_visible(timeout=60_000)
    expect(page.locator("#conversation .state")).to_have_text("Completed", timeout=300_000)
    assert is_right(task, page.locator(".answer").inner_text())


def test_who_has_logged_in_asks_without_a_key_and_the_commands_name_one(
    opens: Opens, tmp_path: Path, backend: ScriptedBackend
) -> None:
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_AUTH__ENABLED": "true",
        "RANTS_AUTH__API_KEYS__0__KEY": key_of("ada"),
        "RANTS_AUTH__API_KEYS__0__TENANT_ID": "ada",
    }
    with running(tmp_path, variables) as server:
        page = opens(f"{server.address}/ui/login")
        page.get_by_label("API key").fill(key_of("ada"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/sessions*")
        page.goto(f"{server.address}/ui/playground")
        ask(page, "Hello?")
        expect(page.locator("#conversation .state")).to_have_text("Completed")
        curl, python = page.locator("#curl").inner_text(), page.locator("#python").inner_text()
        assert key_of("ada") not in curl + python
        key = {"RANTS_API_KEY": key_of("ada")}
        assert "Hello there." in run("bash", "-c", curl, folder=tmp_path, **key)
        assert run(sys.executable, "-c", python, folder=tmp_path, **key) == "Hello there."
        page.close()
