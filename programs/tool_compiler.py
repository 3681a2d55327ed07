"""From what a model wants done, in plain English, to calls that fit the tools' schemas.

    intent ──literal call?──yes──> validate ──fits───────────────────────────────────> calls
       │no                            │misfit
       └──> shortlist ──> parts ──> compile ──> validate ──misfit──> one repair ──misfit──> `invalid`, or a problem

An intent that may want several things is split into its parts first, by a call of its own: small models count better
than they know when to stop. Each part is then compiled by itself, told with the tools that share words with it: of
several calls at once, small models mix up the values. What an optional argument was given though nobody spoke of it is
left out (`programs/grounding.py`).

A call that comes out of here fits its tool's schema, always: what cannot be made to fit becomes a problem in words,
which the model that wanted it can react to.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from programs.adapter import NativeAdapter
from programs.backends import Backends, run_sync
from programs.blocks import part_of, wanted
from programs.budget import Budget
from programs.compiler_demonstrations import DEMONSTRATIONS, SPLIT
from programs.environment import shared
from programs.fitting import BlockLost, Misfit, fitted
from programs.grammar import MOST_CALLS, calls_schema, parts_schema
from programs.grounding import grounded
from programs.likeness import is_about, likely, likenesses
from programs.literal_calls import Call, literal_calls
from programs.recorded import Recorded
from programs.settings import LoopSettings
from programs.spelled_commands import spelled_command
from programs.tool_outline import full
from programs.transcript import Message, Sampling, Tool, ToolCall, ToolIntent, Tools, estimate_tokens
from programs.tree import Tree
from signatures import CompileTools, SplitIntent

_TOOLS_SHARE = 1 / 3  # of the window: what the tools may take; beyond, only the likely ones are shown
_REPLY_SHARE = 1 / 4
_INTENT_SHARE = 1 / 4
_LONGEST_REPLY = 768  # tokens, beside those of the intent: numbers have no length that a schema could bound
_LONGEST_TEXT = 1000  # characters of an argument, and twice those of the intent: most of it is copied from there
_LONGEST_PART = 160
_LONGEST_WHOLE = 4000  # characters of an intent: what is longer is not split
_JOINED = re.compile(r"\b(?:and|then|also|both|plus|respectively)\b|;|,[^,]*,|\n", re.IGNORECASE)
"""What an intent that wants several things has somewhere; one that has nothing of the kind is taken for one thing."""
_JOINS = re.compile(r"\b(?:and|then|also|both|plus|with)\b|[,;:.?!\n]+(?=\s)", re.IGNORECASE)
"""What stands between two things that are wanted."""
_NAMED_BLOCK = re.compile(r"\bblock ([A-Z][A-Z0-9_]+)\b")
_REFERENCE = re.compile(r'\{"\$block": "(\w+)"\}')
_LONGEST_TRY = 16_384  # characters of it that a second try is shown
_SAID = 400  # characters shown of what was said last
_INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Compiled:
    """What an intent was compiled to: calls, or the problem, in words, why there are none."""

    calls: tuple[ToolCall, ...] = ()
    problem: str | None = None


class ToolCompiler(dspy.Module):  # type: ignore[misc]
    """Compiles intents. Its demonstrations are native turns, and optimised like any others.

    Args:
        backends: the models by role, for a compiler that is called by itself; one inside RANTS takes those of the run.
    """

    def __init__(self, backends: Backends | None = None) -> None:
        super().__init__()
        self.backends = backends
        self.compile = dspy.Predict(CompileTools)
        self.compile.demos = list(DEMONSTRATIONS)
        self.split = dspy.Predict(SplitIntent)
        self.split.demos = list(SPLIT)

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """`aforward` for code that is not async."""
        return run_sync(self.aforward(**inputs))

    async def aforward(
        self, intent: str | ToolIntent, tools: Sequence[Tool] | Tools, messages: Sequence[Message] = ()
    ) -> dspy.Prediction:
        """Compile one intent by itself.

        Args:
            intent: what is wanted, in plain English; with its blocks, where it has some.
            tools: what may be called.
            messages: what was said before.

        Returns:
            A prediction with `calls`, `problem` and `usage`.

        Raises:
            BackendError: the compiler did not answer as it should.
        """
        whole = intent if isinstance(intent, ToolIntent) else ToolIntent(text=intent)
        offered = tools if isinstance(tools, Tools) else Tools(client=tuple(tools))
        settings = LoopSettings()
        tree = Tree(
            backends=self.backends,
            settings=settings,
            sampling=Sampling(),
            environment=lambda: shared(settings.environment),
            budget=Budget(settings.budget),
            recorded=Recorded(),
            tell=lambda _: None,
        )
        with dspy.context(adapter=NativeAdapter()):
            compiled = await self.calls(whole, offered, messages, tree)
        return dspy.Prediction(calls=compiled.calls, problem=compiled.problem, usage=tree.budget.usage)

    async def calls(self, intent: ToolIntent, tools: Tools, messages: Sequence[Message], tree: Tree) -> Compiled:
        """Compile one intent of a session.

        Args:
            intent: what is wanted.
            tools: what the session is offered.
            messages: what was said before.
            tree: the run's.

        Raises:
            BudgetSpent, BackendError: the compiler was not asked, or failed.
        """
        if not intent.complete:
            name = next(reversed(intent.blocks), "")
            return Compiled(problem=f"Nothing was done. The reply was cut off inside block {name}: write less at once.")
        if missing := [name for name in _NAMED_BLOCK.findall(intent.text) if name not in intent.blocks]:
            wrong = f"Nothing was done. Block {missing[0]} is named and not written: put it between"
            return Compiled(problem=f"{wrong} <<<{missing[0]} and >>>{missing[0]}.")
        # To choose among many tools takes a while.
        compilation = await asyncio.to_thread(_Compilation, self, intent, tools, messages, tree)
        return await compilation.run()


class _Compilation:
    """One intent on its way."""

    def __init__(
        self, compiler: ToolCompiler, intent: ToolIntent, tools: Tools, messages: Sequence[Message], tree: Tree
    ) -> None:
        self._compiler = compiler
        self._intent = intent
        self._tools = tools
        # Who writes out the text that is to go somewhere wants a call.
        self._required = tools.choice == "required" or bool(intent.blocks)
        self._tree = tree
        self._window = tree.window("tool_compiler")
        self._callable = [tool for tool in tools.offered if tools.named in (None, tool.name)]
        self._shown = shortlist(intent.text, self._callable, int(self._window * _TOOLS_SHARE))
        self._asked = asked(intent, self._shown, messages)
        self._said = f"{intent.text}\n{self._asked['conversation']}"

    async def run(self) -> Compiled:
        """Take the calls that the intent itself writes out; else ask for its parts, and at most twice for the calls."""
        wrong, history = "", list[dict[str, Any]]()
        if written := literal_calls(self._intent.text) or spelled_command(self._intent.text, self._callable):
            try:
                return await self._fitted(written)
            except Misfit as misfit:
                wrong, history = str(misfit), [self._try(written)]
        if estimate_tokens(self._asked["intent"]) > self._window * _INTENT_SHARE:
            return self._none("What is wanted is too long. Say it in a few sentences; exact text belongs in blocks.")
        self._asked["likely"] = await asyncio.to_thread(likely, self._intent.text, self._shown)
        parts = await self._parts()
        for _ in range(2 - len(history)):
            raw = await (self._again(history, wrong, parts) if history else self._first(parts))
            if raw == [] and not self._required:
                return self._none(f"None of the tools does this: {self._intent.text}")
            try:
                return await self._fitted(await asyncio.to_thread(grounded, raw, self._callable, self._said))
            except Misfit as misfit:
                # Weak models write blocks for what takes none, such as a guess at the file that is to be read.
                if history and isinstance(misfit, BlockLost) and misfit.placeless:
                    return Compiled(misfit.calls if self._tools.parallel else misfit.calls[:1])
                wrong, history = str(misfit), [self._try(raw)]
        return self._none(wrong)

    async def _fitted(self, written: Sequence[Call] | str) -> Compiled:
        """The calls, in place.

        Raises:
            Misfit: they do not fit.
        """
        if isinstance(written, str) or not written:
            raise Misfit("The reply is not the JSON object that was asked for.")
        calls = await asyncio.to_thread(fitted, written, self._callable, self._intent.blocks, self._intent.text)
        return Compiled(calls if self._tools.parallel else calls[:1])

    def _none(self, wrong: str) -> Compiled:
        """What is made of an intent that cannot be compiled: a call that says so, where there is a tool for that."""
        told = [(_INVALID, {"tool": "", "error": wrong})]
        try:
            return Compiled(fitted(told, [tool for tool in self._callable if tool.name == _INVALID], {}))
        except Misfit:
            # Who wrote the block knows it by its name.
            return Compiled(problem=f"Nothing was done. {_REFERENCE.sub(r'block \1', wrong)}")

    def _try(self, written: Sequence[Call] | str) -> dict[str, Any]:
        """A try as a turn of the conversation with the compiler."""
        text = json.dumps(written, ensure_ascii=False).encode(errors="replace").decode()
        return {**self._asked, "tool_calls": json.loads(text) if len(text) <= _LONGEST_TRY else text[:_LONGEST_TRY]}

    async def _parts(self) -> list[str]:
        """What is wanted, a call each; none where a model that was asked did not say."""
        text = self._intent.text
        if not self._tools.parallel or not _JOINED.search(text):
            return [text]
        if len(text) > _LONGEST_WHOLE:
            return []
        # Each thing but the first is joined to one before it. Small models go on to list the last one again and again.
        most = min(MOST_CALLS, 1 + len(_JOINS.findall(text)))
        schema = parts_schema(min(_LONGEST_PART, len(text)), most)
        said = await self._ask(self._compiler.split, schema, _LONGEST_REPLY // 2, {"intent": text})
        return list(dict.fromkeys(said.parts))

    async def _first(self, parts: Sequence[str]) -> list[Call] | str:
        """The calls, as the model writes them: all at once, or a part after the other, where there are several."""
        if len(parts) < 2:
            return await self._reply(self._asked, self._required, len(parts) or MOST_CALLS)
        calls: list[Call] = []
        for part in parts:
            asked = {**self._asked, "intent": wanted(part, self._intent.blocks)}
            asked["conversation"] = part_of(self._intent.text, self._asked["conversation"])
            asked["likely"] = await asyncio.to_thread(likely, part, self._shown)
            reply = await self._reply(asked, is_about(part, self._shown), 1)
            if isinstance(reply, str):
                return reply
            calls += reply
        return calls

    async def _again(self, history: list[dict[str, Any]], wrong: str, parts: Sequence[str]) -> list[Call] | str:
        """The calls, after a try at all of them that cannot be used."""
        inputs = {"history": dspy.History(messages=history), "problem": f"This cannot be used. {wrong}"}
        return await self._reply(inputs, self._required, len(parts) or MOST_CALLS)

    async def _reply(self, inputs: dict[str, Any], required: bool, most: int) -> list[Call] | str:
        """What the model writes: at most so many calls, or what is none."""
        schema = await asyncio.to_thread(
            calls_schema,
            self._shown,
            self._intent.blocks,
            required=required,
            most=most,
            longest=_LONGEST_TEXT + 2 * len(self._intent.text),
        )
        longest = _LONGEST_REPLY + len(self._intent.text)
        reply = await self._ask(self._compiler.compile, schema, longest, inputs)
        return reply.tool_calls  # type: ignore[no-any-return]

    async def _ask(
        self, predictor: dspy.Predict, schema: dict[str, Any], longest: int, inputs: dict[str, Any]
    ) -> dspy.Prediction:
        """One call of the model, held to the schema where it can be, of at most `longest` tokens."""
        config: dict[str, Any] = {"temperature": 0.0, "max_tokens": min(longest, int(self._window * _REPLY_SHARE))}
        tokens = sum(estimate_tokens(str(value)) for value in inputs.values())
        return await self._tree.held("tool_compiler", predictor, schema, tokens=tokens, config=config, **inputs)


def asked(intent: ToolIntent, shown: Sequence[Tool], messages: Sequence[Message]) -> dict[str, str]:
    """What the compiler is asked for an intent, before it is told which tools are likely.

    Args:
        intent: what is wanted.
        shown: the tools that it is told of.
        messages: what was said before.
    """
    return {
        "tools": "\n".join(map(full, shown)),
        "conversation": _said(messages),
        "intent": wanted(intent.text, intent.blocks),
    }


def shortlist(intent: str, tools: Sequence[Tool], room: int) -> list[Tool]:
    """The tools that `intent` may mean, in their order: all of them, where what is told of them takes `room` tokens.

    Else those that share the rarest words with it, and any that it names.
    """
    sizes = [estimate_tokens(full(tool)) for tool in tools]
    if sum(sizes) <= room:
        return list(tools)
    ranked = likenesses(intent, tools)
    left, kept = room, set[int]()
    for index in sorted(range(len(tools)), key=lambda index: -ranked[index].score):
        if not kept or sizes[index] <= left:
            kept.add(index)
            left -= sizes[index]
    return [tool for index, tool in enumerate(tools) if index in kept]


def _said(messages: Sequence[Message]) -> str:
    """What was said last, short: the user's words, and the last result."""
    lines = []
    for role, name in (("user", "The user said"), ("tool", "The last result was")):
        last = next((message.content for message in reversed(messages) if message.role == role), "")
        if last.strip():
            lines.append(f"{name}: {last[:_SAID].strip()}{' ...' if len(last) > _SAID else ''}")
    return "\n".join(lines)
