"""`rants sessions`: what is in the database, as an operator sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from typer.testing import CliRunner, Result

from evals.scripted import Reply, ScriptedBackend, in_turn
from programs import Message, Transcript, Usage
from programs.errors import NotFound, StoreError
from programs.events import CodeRan, CodeWritten, RunDone, SessionOpened, Trajectory
from programs.readable import readable
from server.cli import app
from store import Finished, Run, StateSettings, Store
from tests.support import MODEL, ServerProcess

EVIL = "\x1b]0;owned\x07\x9b31mred\u202etxt"

type Rants = Callable[..., Result]


def asked(run_id: str, tenant: str, *texts: str, at: float) -> Run:
    said = tuple(Message(role="user", content=text) for text in texts)
    return Run(run_id, tenant, "rants-one", at, {"echo": {}}, Transcript(messages=said), session_key=f"key-{run_id}")


def done(text: str, at: float) -> Finished:
    ended = RunDone("completed", text, Usage(prompt=1000, completion=20, cached=500), at=at)
    return Finished(ended, 1.0, output=(Message(role="assistant", content=text),))


def explored(run_id: str) -> list[Trajectory]:
    free = Usage()
    return [
        SessionOpened(run_id, 0, "Who?", "a str", 1.0),
        CodeWritten(run_id, 1, "Budget left.", f"I look.{EVIL}", "rlm_query('Part?', context)", False, free, 1.0, 0.1),
        SessionOpened(f"{run_id}/1.aa", 1, "Part?", "a str", 1.0),
        CodeRan(f"{run_id}/1.aa", 1, "", "this part", False, 1.0, 0.1),
        CodeRan(run_id, 1, "seen", "He.", False, 1.0, 0.1),
    ]


async def fill(path: Path) -> dict[str, str]:
    """Three sessions of two tenants, by the name of their run; gives their ids."""
    async with await Store.open(StateSettings(sqlite_path=path)) as store:
        ids = {
            "old": await store.record(asked("old", "ada", "First?", at=1.0), done("Once.", 2.0)),
            "theirs": await store.record(asked("theirs", "bob", "Mine?", at=3.0), done("Yours.", 4.0)),
        }
        ids["new"] = await store.begin(asked("new", "ada", f"Who?{EVIL}", at=5.0))
        await store.happened("ada", "new", 0, explored("new"))
        await store.finish("ada", "new", done(f"He.{EVIL}", 6.0))
        return ids


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, str]:
    return asyncio.run(fill(tmp_path / "rants.sqlite3"))


@pytest.fixture
def rants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None) -> Rants:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANTS_STATE__SQLITE_PATH", str(tmp_path / "rants.sqlite3"))
    return lambda *words: CliRunner().invoke(app, ["sessions", *words])


def listed(rants: Rants, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(rants("list", "--json", *words).stdout)
    return found


def test_sessions_are_listed_newest_first(rants: Rants, ids: dict[str, str]) -> None:
    found = listed(rants)
    assert [session["id"] for session in found] == [ids["new"], ids["theirs"], ids["old"]]
    newest = found[0]
    assert (newest["tenant"], newest["status"], newest["runs"], newest["messages"]) == ("ada", "completed", 1, 2)
    assert newest["usage"] == Usage(prompt=1000, completion=20, cached=500).model_dump()
    table = rants("list").stdout
    assert ids["old"] in table
    assert "completed" in table


def test_a_list_may_be_of_one_tenant_and_short(rants: Rants, ids: dict[str, str]) -> None:
    assert [session["id"] for session in listed(rants, "--tenant", "bob")] == [ids["theirs"]]
    assert [session["id"] for session in listed(rants, "--limit", "1")] == [ids["new"]]
    assert listed(rants, "--tenant", "nobody") == []


def test_a_session_is_shown_with_the_tree_of_what_was_done(rants: Rants, ids: dict[str, str]) -> None:
    shown = rants("show", ids["new"]).stdout
    lines = [line.strip("│├└─ ") for line in shown.splitlines()]
    for line in ("user", "assistant", "new completed", "? Who?", "rlm_query('Part?', context)", "new/1.aa", "? Part?"):
        assert line in lines
    assert lines.index("? Part?") < lines.index("= submitted: this part") < lines.index("= submitted: He.")


def test_nothing_in_a_transcript_commands_the_terminal(rants: Rants, ids: dict[str, str]) -> None:
    for words in (("list",), ("show", ids["new"]), ("show", ids["new"], "--full"), ("export", ids["new"])):
        said = rants(*words).stdout
        assert not [character for character in said if not (character.isprintable() or character == "\n")]
    assert readable(EVIL) == r"\x1b]0;owned\x07\x9b31mred\u202etxt"
    assert readable("Grüße,\n\t👩‍🚀 說") == "Grüße,\n\t👩‍🚀 說"


def test_a_long_message_is_shown_by_its_ends_unless_all_of_it_is_wanted(rants: Rants, tmp_path: Path) -> None:
    async def keep() -> str:
        async with await Store.open(StateSettings(sqlite_path=tmp_path / "rants.sqlite3")) as store:
            return await store.record(asked("long", "ada", "a" * 5000, at=1.0), done("Short.", 2.0))

    session = asyncio.run(keep())
    assert "[... 3,000 characters: see --full ...]" in rants("show", session).stdout
    assert "a" * 5000 in rants("show", session, "--full").stdout


def test_a_session_is_exported_whole(rants: Rants, ids: dict[str, str], tmp_path: Path) -> None:
    exported = json.loads(rants("export", ids["new"]).stdout)
    assert [message["content"] for message in exported["transcript"]["messages"]] == [f"Who?{EVIL}", f"He.{EVIL}"]
    (run,) = exported["runs"]
    assert (run["id"], run["status"], run["usage"]["prompt"]) == ("new", "completed", 1000)
    assert [event["kind"] for event in run["trajectory"]] == [event.kind for event in explored("new")]
    assert rants("export", ids["new"], "--out", str(tmp_path / "session.json")).exit_code == 0
    assert json.loads((tmp_path / "session.json").read_text()) == exported


def test_what_is_not_there_is_said(rants: Rants, ids: dict[str, str]) -> None:
    for words in (("show", "sess_nothing"), ("export", ids["theirs"], "--tenant", "ada")):
        assert isinstance(rants(*words).exception, NotFound)


def test_looking_makes_no_database_and_changes_none(rants: Rants, tmp_path: Path) -> None:
    assert isinstance(rants("list").exception, StoreError)
    assert list(tmp_path.iterdir()) == []

    async def write() -> None:
        async with await Store.open(settings), await Store.look(settings) as looking:
            with pytest.raises(StoreError):
                await looking.begin(asked("new", "ada", "Hello?", at=1.0))

    settings = StateSettings(sqlite_path=tmp_path / "rants.sqlite3")
    asyncio.run(write())
    assert listed(rants) == []


def test_a_session_is_exported_as_examples(rants: Rants, ids: dict[str, str], tmp_path: Path) -> None:
    (line,) = rants("export", ids["new"], "--dspy").stdout.splitlines()
    example = json.loads(line)
    assert (example["predictor"], example["run"], example["session"], example["turn"]) == (
        "explore.write",
        "new",
        "new",
        1,
    )
    assert example["messages"] == [{"role": "user", "content": "Who?"}]
    assert example["code"] == "rlm_query('Part?', context)"
    assert rants("export", ids["new"], "--dspy", "--out", str(tmp_path / "examples.jsonl")).exit_code == 0
    assert json.loads((tmp_path / "examples.jsonl").read_text()) == example


def test_what_a_server_did_is_exported_as_examples(
    server: ServerProcess, client: OpenAI, backend: ScriptedBackend
) -> None:
    """The last step of a run, its instructions and its tools are kept elsewhere than its trajectory."""
    call = {"tool_calls": [{"name": "ring", "arguments": {"times": 2}}]}
    backend.script = in_turn(Reply(["TOOL_INTENT: ring twice"]), Reply([json.dumps(call)]))
    parameters: dict[str, object] = {
        "type": "object",
        "properties": {"times": {"type": "integer"}},
        "required": ["times"],
    }
    said = client.responses.create(
        model=MODEL,
        instructions="Be brief.",
        input="Ring for tea.",
        tools=[{"type": "function", "name": "ring", "parameters": parameters, "strict": False}],
    )
    assert said.output[0].type == "function_call"
    (session,) = {row[0] for row in server.rows("SELECT session FROM run WHERE id = ?", said.id)}
    lines = server.command("sessions", "export", session, "--dspy").splitlines()
    called, replied = map(json.loads, lines)
    assert (called["predictor"], called["tool_calls"]) == ("tool_compiler.compile", [["ring", {"times": 2}]])
    assert called["conversation"] == "The user said: Ring for tea."
    assert (replied["predictor"], replied["tool_intents"][0]["text"]) == ("direct.act", "ring twice")
    assert [message["role"] for message in replied["messages"]] == ["system", "system", "user"]
    assert replied["messages"][1]["content"] == "Be brief."
