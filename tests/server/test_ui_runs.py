"""What the page of one run asks for: the run at a glance, each event of it, and windows into context C."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from programs.readable import readable
from server.ui.places import pieces_of
from server.ui.trace import glances
from store import StateSettings, Store
from tests.conftest import key_of
from tests.shown import (
    ANSWER,
    CODE,
    DIRECT,
    DOCUMENT,
    EVIL,
    FAILED,
    LONG_LINE,
    PLACE,
    QUESTION,
    RICH,
    explored,
    keep,
    kept_below,
)
from tests.support import ServerProcess, running

LAST = len(explored(RICH, 0.0))
"""The number of the step that is kept with the run's end."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("shown")
    kept_below(folder, "ada")
    config: dict[str, Any] = {
        "models": {"generator": {"base_url": "http://127.0.0.1:9/v1", "model": "none"}},
        "auth": {"enabled": True, "api_keys": [{"key": key_of(who), "tenant_id": who} for who in ("ada", "ben")]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with running(folder, {}) as process:
        yield process


@pytest.fixture(scope="module")
def ada(server: ServerProcess) -> Iterator[httpx2.Client]:
    headers = {"x-api-key": key_of("ada")}
    with httpx2.Client(base_url=f"{server.address}/ui/runs", headers=headers, timeout=60) as client:
        yield client


def get(http: httpx2.Client, path: str, **params: Any) -> httpx2.Response:
    answer = http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer


def shown(html: str) -> str:
    """What a reader sees of it."""
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_the_page_tells_what_was_asked_what_came_of_it_and_what_it_cost(ada: httpx2.Client) -> None:
    page = get(ada, RICH).text
    seen = shown(page)
    for words in (QUESTION, "completed", "7,000", "80 %", readable(ANSWER), "6.8 s"):
        assert words in seen
    for hostile in ("<script>alert", "<img", "\x1b", "\u202e"):
        assert hostile not in page
    assert "style=" not in page, "the policy forbids it"
    failed = shown(get(ada, FAILED).text)
    assert "backend unavailable" in failed
    assert "The backend is away." in failed
    assert "Do it." in failed
    assert "Hello?" in shown(get(ada, f"{DIRECT}/head").text)


def test_a_run_is_read_at_a_glance_with_its_last_step(ada: httpx2.Client) -> None:
    seen = get(ada, f"{RICH}/glances").json()
    assert (seen["status"], seen["done"], seen["more"], seen["elapsed"]) == ("completed", True, False, 6.8)
    kinds = [event.kind for event in explored(RICH, 0.0)]
    assert [row[:2] for row in seen["glances"]] == [[at, kind] for at, kind in enumerate([*kinds, "step_done"])]
    call = seen["glances"][5]
    assert call[2:10] == ["", "2", 2.6, 0.7, 0, 0, 0, 1]
    assert [row[2] for row in seen["glances"] if row[2]] == ["/2.aa"] * 3 + ["/2.bb"]
    assert "\x1b" not in json.dumps(seen, ensure_ascii=False)


@pytest.mark.parametrize("run", [RICH, DIRECT, FAILED])
def test_glances_that_follow_are_those_that_were_not_there(ada: httpx2.Client, run: str) -> None:
    whole = get(ada, f"{run}/glances").json()["glances"]
    assert [row[0] for row in whole] == list(range(len(whole)))
    for after in range(-1, len(whole)):
        assert get(ada, f"{run}/glances", after=after).json()["glances"] == whole[after + 1 :]


async def test_a_long_run_is_read_in_parts(tmp_path: Path) -> None:
    async with await Store.open(StateSettings(sqlite_path=tmp_path / "rants.sqlite3")) as store:
        await keep(store)
        run = await store.run("local", RICH)
        assert run is not None
        seen: list[int] = []
        more = True
        while more:
            part, more = await glances(store, run, seen[-1] if seen else -1, 4)
            assert 0 < len(part) <= 5
            seen += [one.number for one in part]
    assert seen == list(range(LAST + 1))


def test_a_direct_run_has_one_step_and_a_step_is_told_once(ada: httpx2.Client) -> None:
    assert [row[1] for row in get(ada, f"{DIRECT}/glances").json()["glances"]] == ["step_done"]
    assert [row[1] for row in get(ada, f"{FAILED}/glances").json()["glances"]] == ["step_done", "session_opened"]
    assert "Hello." in get(ada, f"{DIRECT}/nodes/0").text
    assert ada.get(f"{DIRECT}/nodes/1").status_code == 404
    assert ada.get(f"{FAILED}/nodes/2").status_code == 404


def test_glances_are_packed_for_who_can_unpack_them(ada: httpx2.Client) -> None:
    with ada.stream("GET", f"{RICH}/glances", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join(answer.iter_raw())
    assert len(json.loads(gzip.decompress(packed))["glances"]) == LAST + 1
    plain = ada.get(f"{RICH}/glances", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json()["glances"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, ("Session", QUESTION, "a list of messages", "Depth")),
        (1, ("Turn 1", "I look.", "grep('late')", "10 turns are left.", "80 %", "Copy as DSPy example")),
        (2, ("What came of turn 1", PLACE)),
        (4, ("Call of the sub-LM", "Late?", "Yes.")),
        (5, ("503", "980,007 characters are left out", "All of it as text")),
        (8, ("Submitted as the answer", "980,000 characters are left out")),
        (10, ("what earlier turns had defined was lost", "Observation")),
        (11, ("budget iterations", "That of March.")),
        (
            12,
            ("Step 1", "Intent", "Block TEXT", "Compiled call: write", '"filePath": "a<script>.md"', "Written.", "ls:"),
        ),
        (13, ("Tool, at work write",)),
        (15, ("Tool bash", "It did not do what it was asked to.", '"exit": 2')),
        (LAST, ("Step 2", "That of the third of March.")),
    ],
)
def test_each_event_opens(ada: httpx2.Client, number: int, words: tuple[str, ...]) -> None:
    html = get(ada, f"{RICH}/nodes/{number}").text
    seen = " ".join(shown(html).split())
    for word in words:
        assert word in seen
    assert "<!doctype" not in html
    assert len(html) < 100_000
    for hostile in ("<script", "<img", "\x1b", "\u202e", "\u2066"):
        assert hostile not in html


def test_code_has_colours_and_is_whole(ada: httpx2.Client) -> None:
    html = get(ada, f"{RICH}/nodes/1").text
    assert '<span class="nb">print</span>' in html
    code = re.search(r'<pre class="code" tabindex="0">(.*?)</pre>', html, re.DOTALL)
    assert code is not None
    assert shown(code[1]) == CODE


def test_what_is_left_out_is_to_be_had_as_text(ada: httpx2.Client) -> None:
    answer = get(ada, f"{RICH}/nodes/5/text", field="prompt")
    assert answer.text == f"Late?\n\n{LONG_LINE}"
    assert answer.headers["content-type"].startswith("text/plain")
    assert get(ada, f"{RICH}/nodes/12/text", field="block.0.TEXT").text == f"# Late {EVIL}"
    assert get(ada, f"{RICH}/answer").text == ANSWER
    assert ada.get(f"{RICH}/nodes/5/text", params={"field": "session"}).status_code == 404


def test_a_turn_is_copied_as_an_example(ada: httpx2.Client) -> None:
    (example,) = map(json.loads, get(ada, f"{RICH}/nodes/3/example").text.splitlines())
    assert (example["predictor"], example["turn"], example["code"]) == ("explore.write", 2, "llm_query(found[0])")
    assert example["history"]["messages"][0]["code"] == CODE
    assert example["observation"].startswith("1 [")
    direct = json.loads(get(ada, f"{DIRECT}/nodes/0/example").text)
    assert direct["predictor"] == "direct.generate"
    assert ada.get(f"{RICH}/nodes/4/example").status_code == 404


def test_what_the_root_lm_was_shown_is_told_as_far_as_it_is_known(ada: httpx2.Client) -> None:
    seen = shown(get(ada, f"{RICH}/nodes/3/shown").text)
    for words in (QUESTION, "a list of messages", "I look.", CODE, PLACE):
        assert words in seen
    assert ada.get(f"{RICH}/nodes/4/shown").status_code == 404


def test_a_run_is_downloaded_as_it_is_exported(ada: httpx2.Client, server: ServerProcess) -> None:
    answer = get(ada, f"{RICH}/json")
    assert answer.headers["content-disposition"] == f'attachment; filename="{RICH}.json"'
    ((session,),) = server.rows("SELECT session FROM run WHERE id = ?", RICH)
    (exported,) = json.loads(server.command("sessions", "export", session))["runs"]
    assert answer.json() == exported
    assert len(exported["trajectory"]) == LAST


def test_what_was_said_is_found_in_the_context(ada: httpx2.Client) -> None:
    for number in (2, 4):
        html = get(ada, f"{RICH}/nodes/{number}/places").text
        found = []
        for link in re.findall(r'href="([^"]+)"', html):
            window = ada.get(unescape(link).removeprefix("/ui/runs"))
            assert window.status_code == 200
            found += [unescape(mark) for mark in re.findall(r"<mark>(.*?)</mark>", window.text)]
        assert all(piece in readable(DOCUMENT) for piece in found)
        assert any("came late, said" in piece for piece in found)
    assert "Nothing of it stands there" in get(ada, f"{RICH}/nodes/11/places").text


def test_windows_join_to_the_whole_forwards_and_backwards(ada: httpx2.Client) -> None:
    def read(rel: str, address: str) -> list[str]:
        texts: list[str] = []
        while len(texts) < 100:
            page = ada.get(address.removeprefix("/ui/runs"))
            assert page.status_code == 200, page.text
            texts.append(unescape(re.search(r'<pre class="window"[^>]*>(.*?)</pre>', page.text, re.DOTALL)[1]))  # type: ignore[index]
            step = re.search(rf'rel="{rel}" href="([^"]+)"', page.text)
            if step is None:
                return texts
            address = unescape(step[1])
        raise AssertionError("it has no end")

    whole = readable(f"{DOCUMENT}\n\n{QUESTION}")
    onwards = read("next", f"/ui/runs/{RICH}/context?message=1")
    assert len(onwards) > 5
    assert "".join(onwards) == whole
    size = int(re.search(r"of ([\d,]+), from", get(ada, f"{RICH}/context", message=1).text)[1].replace(",", ""))  # type: ignore[index]
    back = read("prev", f"/ui/runs/{RICH}/context?message=1&at={size - 1000}")
    assert "".join(reversed(back)) in whole
    assert len("".join(back)) > len(whole) - 2000


def test_a_search_goes_to_the_place_and_then_to_the_next(ada: httpx2.Client) -> None:
    page = get(ada, f"{RICH}/context", search="true", find="came late, said").text
    assert "<mark>came late, said</mark>" in page
    assert 'aria-current="true"' in page
    assert "It does not stand there." in get(ada, f"{RICH}/context", search="true", find="nowhere <b>").text
    assert ada.get(f"{RICH}/context", params={"message": 9}).status_code == 404


def test_another_tenant_finds_nothing(server: ServerProcess, ada: httpx2.Client) -> None:
    headers = {"x-api-key": key_of("ben")}
    with httpx2.Client(base_url=f"{server.address}/ui/runs/", headers=headers) as ben:
        for path in ("", "/glances", "/head", "/json", "/answer", "/context", "/nodes/0", "/nodes/1/example"):
            assert ben.get(f"{RICH}{path}").status_code == 404
            assert ben.get(f"{RICH}{path}", params={"tenant": "ada"}).status_code == 404


def test_pieces_of_a_text_are_lines_of_it_that_tell_something() -> None:
    assert list(pieces_of("4711")) == ["4711"]
    assert list(pieces_of("")) == []
    text = "Is it late?\n\n" + "\n".join(f"This is the line number {number} of it." for number in range(100))
    pieces = list(pieces_of(text))
    assert 3 <= len(pieces) <= 5
    assert all(piece in text and "\n" not in piece for piece in pieces)
    assert next(pieces_of(f"['{PLACE}', '{PLACE}']")) in PLACE
