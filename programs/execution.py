"""Execution: the calls of a step that RANTS carries out itself, all at once, each of them once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from programs.events import StepDone, ToolRan, ToolStarted
from programs.together import together
from programs.tools import Caller, Result, Runner
from programs.tracing import Tracing
from programs.transcript import Session, ToolCall, Tools
from programs.tree import Tree

_LOST = Result("The server stopped while this was done. Nobody knows how far it got.", ok=False)

type Steps = Callable[[Session, Tree], Awaitable[StepDone]]
"""Takes a session's steps, to the last one: the loop itself."""


async def executed(done: StepDone, session: Session, tree: Tree, runner: Runner, steps: Steps) -> list[ToolRan]:
    """What came of the calls of a step that are gateway tools', in order.

    Args:
        done: the step.
        session: whose it is.
        tree: the run's.
        runner: executes a call.
        steps: answers what the tool `task` asks, in a child session with the same gateway tools.
    """
    theirs = {tool.name for tool in session.tools.client}
    ours = [call for call in done.calls if call.name not in theirs]
    return await together(_execute(call, done.step, session, tree, runner, steps) for call in ours)


async def _execute(  # noqa: PLR0917
    call: ToolCall, step: int, session: Session, tree: Tree, runner: Runner, steps: Steps
) -> ToolRan:
    """What came of one call. What was started before a crash is not started again."""
    assert tree.caller is not None, "a session with gateway tools has a caller"  # noqa: S101

    async def task(name: str, question: str) -> str:
        child = Session.asking(f"{session.id}/{name}", question, parent=session)
        deeper = child.depth < tree.settings.max_depth
        gateway = tuple(tool for tool in session.tools.gateway if deeper or tool.name != "task")
        with tree.tracing.session(child, tree.settings.name):
            return (await steps(replace(child, tools=Tools(gateway=gateway)), tree)).text

    at, start = time.time(), time.perf_counter()
    match tree.recorded.tool(session.id, call.id):
        case ToolRan() as ran:
            return ran
        case ToolStarted():
            result = _LOST
        case None:
            tree.emit(ToolStarted(session.id, step, call, at))
            await tree.settled()
            deeper = task if session.depth < tree.settings.max_depth else None
            result = await _traced(call, runner, replace(tree.caller, session=session.id, task=deeper), tree.tracing)
    seconds = time.perf_counter() - start
    ran = ToolRan(session.id, step, call, result.output, result.ok, dict(result.details), at, seconds)
    tree.emit(ran)
    return ran


async def _traced(call: ToolCall, runner: Runner, caller: Caller, tracing: Tracing) -> Result:
    """Execute a call, in a span of its own."""
    about = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.name,
        "gen_ai.tool.call.id": call.id,
        "gen_ai.tool.type": "function",
        "gen_ai.conversation.id": caller.session,
        **tracing.text("gen_ai.tool.call.arguments", call.arguments),
    }
    with tracing.span(f"execute_tool {call.name}", about) as span:
        result = await runner.execute(call, caller)
        if span.is_recording():
            span.set_attributes(tracing.text("gen_ai.tool.call.result", result.output))
            if not result.ok:
                tracing.failed(span, "tool_failed", result.output)
    return result
