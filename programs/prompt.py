"""What the root LM is shown while it explores: the question, what the context is, and the turns so far.

It is prefix-stable: each prompt begins with the one before it, byte for byte, except where room has to be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy

from programs.context import View, shorten
from programs.events import CodeWritten
from programs.fences import write_code
from programs.formats import as_text
from programs.retelling import retold
from programs.transcript import estimate_tokens
from programs.tree import Tree

_REPLY_SHARE = 1 / 4  # of the window: what is kept free for the reply
_LONGEST_REPLY = 4096  # tokens
_LESS = 3 / 4  # of a prompt that was too long is room from then on
_SHORT = 200  # characters
_LEFT_OUT = "\n[... left out, to save room: print it again if you need it ...]"


class Prompt:
    """It grows turn by turn, and gives up its oldest observations when it is full.

    Args:
        predictor: whose prompt it is; its instructions and demonstrations take their share.
        seen: what of the session is shown.
        described: what the context is.
        wanted: the format that the answer must fit, if there is one.
        tree: the run's.
    """

    def __init__(
        self, predictor: dspy.Predict, seen: View, described: str, wanted: Mapping[str, Any] | None, tree: Tree
    ) -> None:
        window = tree.window("code_interpreter")
        self.messages = retold(seen.messages)
        self.context = described
        if dialect := tree.environment().dialect:
            self.context += f"\n\n{dialect}"
        if wanted:
            self.context += f"\n\nSUBMIT takes JSON, as this asks for it: {as_text(wanted)}"
        self.config = {"max_tokens": min(_LONGEST_REPLY, int(window * _REPLY_SHARE))}
        self._room = int(window * (1 - _REPLY_SHARE))
        self._history: list[dict[str, str]] = []
        self._observation = ""
        demos = sum(estimate_tokens(str(demo)) for demo in predictor.demos)
        said = sum(estimate_tokens(message["content"]) for message in self.messages)
        self.fixed = estimate_tokens(predictor.signature.instructions) + demos + said + estimate_tokens(self.context)
        self._growing = 0

    @property
    def tokens(self) -> int:
        """About how many tokens the next prompt has."""
        return self.fixed + self._growing

    def inputs(self, budget: str) -> dict[str, Any]:
        """The inputs of the next call."""
        return {
            "messages": list(map(_as_written, self.messages)),
            "context": self.context,
            "history": dspy.History(messages=list(self._history)),
            "observation": self._observation,
            "budget": budget,
        }

    def add(self, written: CodeWritten, observation: str) -> None:
        """A turn was taken."""
        self._history.append(told(written, self._observation))
        self._observation = observation
        self._growing = self._measure()
        if self.tokens > self._room:
            self._compact()

    def shrink(self) -> None:
        """The backend found the prompt too long: it holds less than was thought, or the count was too rough."""
        self._room = int(self.tokens * _LESS)
        self._compact()

    def _compact(self) -> None:
        """Make room: the observations of the older turns are cut short, then whole turns are left out.

        Half of the room is given up at once, so that until then, and again afterwards, each prompt begins with the
        one before it. The last turn and what it printed are kept for as long as there is room for them at all.
        """
        goal = max(0, self._room // 2 - self.fixed)
        older = self._history[:-1]
        for turn in older:
            if self._measure() <= goal:
                break
            if len(turn.get("observation", "")) > _SHORT:
                turn["observation"] = turn["observation"][:_SHORT] + _LEFT_OUT
        while self._history and self._measure() > (goal if len(self._history) > 1 else self._room - self.fixed):
            del self._history[0]
        self._observation = shorten(self._observation, self._room - self.fixed)
        self._growing = self._measure()

    def findings(self) -> str:
        """What was printed, newest last, as much of it as there is room for."""
        observations = [turn["observation"] for turn in self._history if "observation" in turn] + [self._observation]
        room = max(_SHORT, (self._room - self.fixed) * 2)  # characters: half of what is free
        kept: list[str] = []
        for observation in reversed(observations):
            if not observation or room <= 0:
                break
            kept.append(observation[-room:])
            room -= len(observation)
        return "\n\n".join(["What was found:", *reversed(kept)]) if kept else "Nothing was found."

    def _measure(self) -> int:
        return sum(map(_size, self._history)) + estimate_tokens(self._observation)


def told(written: CodeWritten, before: str) -> dict[str, str]:
    """A turn as it is told afterwards; `before` is what the code of the turn before it printed."""
    # A turn of the assistant's that is quite empty is refused by some servers.
    reasoning = written.reasoning or ("" if written.code else "(nothing)")
    turn = {"budget": written.budget, "reasoning": reasoning, "code": written.code}
    return {"observation": before, **turn} if before else turn


def _as_written(message: dict[str, Any]) -> dict[str, Any]:
    """An earlier answer as code that gives it: weak models write on as they find that they have written."""
    if message["role"] != "assistant":
        return message
    return {**message, "content": write_code("", f"SUBMIT({message['content']!r})")}


def _size(turn: Mapping[str, str]) -> int:
    return sum(map(estimate_tokens, turn.values()))
