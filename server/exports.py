"""What the store has of runs, as the JSON in which it leaves: for `rants sessions` and for the pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from programs import Message, Transcript
from programs.events import Stepped, Trajectory
from programs.examples import examples
from programs.transcript import Tools
from server.tools import read_tools
from store import Store, StoredRun, StoredSession

_VALUES = TypeAdapter(Any)


def exported_run(run: StoredRun, trajectory: Iterable[Trajectory]) -> dict[str, Any]:
    """A run with its trajectory."""
    values: dict[str, Any] = _VALUES.dump_python(
        {**asdict(run), "trajectory": [asdict(event) for event in trajectory]}, mode="json"
    )
    return values


def exported(
    session: StoredSession, transcript: Transcript, runs: Iterable[tuple[StoredRun, list[Trajectory]]]
) -> dict[str, Any]:
    """A session with its transcript and its runs."""
    return {
        "session": session_values(session),
        "transcript": transcript.model_dump(mode="json"),
        "runs": [exported_run(run, trajectory) for run, trajectory in runs],
    }


def session_values(session: StoredSession) -> dict[str, Any]:
    """What is told of a session."""
    return asdict(session) | {"usage": session.usage.model_dump()}


async def examples_of(store: Store, run: StoredRun, trajectory: Sequence[Trajectory]) -> list[dict[str, Any]]:
    """What the run shows, as examples for DSPy: see `programs.examples`.

    Raises:
        NotFound: it has been deleted meanwhile.
    """
    given = await store.transcript(run.tenant, run.id, output=False)
    if instructions := (run.request.get("echo") or {}).get("instructions"):
        given = Transcript(messages=(Message(role="system", content=instructions), *given.messages))
    # Until a run has ended, its steps are in its trajectory alone; of a child's, nobody has kept what was given.
    steps = run.steps or [one for one in trajectory if isinstance(one, Stepped) and one.session == run.id]
    return [{"run": run.id, **one} for one in examples(trajectory, steps, given, _tools(run))]


def _tools(run: StoredRun) -> Tools | None:
    """What a run was offered; None where the database does not say. Chat completions are kept without their tools."""
    if "tools" in run.request:
        return Tools.model_validate(run.request["tools"])
    asked = run.request.get("echo") or {}
    listed = asked.get("tools")
    # Those of RANTS are named alone, and may be others by now.
    if listed is None or any(tool.get("type") == "mcp" for tool in listed):
        return None
    return read_tools(listed, asked.get("tool_choice"), asked.get("parallel_tool_calls"))
