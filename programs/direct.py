"""Direct: the conversation fits the generator's window, and goes there as it is, in one streamed call."""

from __future__ import annotations

from dataclasses import replace

import dspy
from dspy.lm15 import StreamDeltaEvent
from dspy.lm15 import TextDelta as WrittenDelta

from programs.backends import listening
from programs.backends.engine import StreamEvent
from programs.context import texts_of
from programs.events import TextDelta
from programs.generator_demonstrations import DEMONSTRATIONS
from programs.retelling import retold
from programs.splitter import Splitter, split
from programs.tool_outline import telling
from programs.transcript import Session, ToolIntent
from programs.tree import Answer, Tree
from signatures import Act, Generate


class Direct(dspy.Module):  # type: ignore[misc]
    """One call of the generator: `generate`, or `act` where there are tools, whose demonstrations are native turns."""

    def __init__(self) -> None:
        super().__init__()
        self.generate = dspy.Predict(Generate)
        self.act = dspy.Predict(Act)
        self.act.demos = list(DEMONSTRATIONS)

    async def answer(self, session: Session, tree: Tree, size: int) -> Answer:
        """DIRECT: one call of the generator on native chat messages, the context before the question."""
        offered = session.tools.offered
        messages = retold(telling(session).transcript.messages)
        if session.context is not None:
            asked = messages[-1]["content"]
            messages[-1]["content"] = "\n\n".join([*texts_of(session.context), asked])
        if session.depth > 0 and not offered:
            return Answer(await tree.generate(session.id, self.generate, messages, size))
        names = [tool.name for tool in offered]
        splitter = Splitter(names)
        told = 0
        # Where a call is insisted on, what is written may turn out to be the intent.
        told_at_once = session.depth == 0 and session.tools.choice != "required"

        def hear(event: StreamEvent) -> bool:
            nonlocal told
            match event:
                case StreamDeltaEvent(delta=WrittenDelta(text=piece)):
                    if (text := splitter.feed(piece)) and told_at_once:
                        told += len(text)
                        tree.emit(TextDelta(text))
            return splitter.guessing

        config = tree.sampling.model_dump(exclude_defaults=True) if session.depth == 0 else {}
        predictor = self.act if offered else self.generate
        with listening(hear):
            reply = await tree.predict("generator", predictor, tokens=size, config=config, messages=messages)
        text, intents = split(reply.written, names)
        said = insisted(Answer(text, None, reply.finish_reason, intents), session)
        # What was still held back; all of it, where the LM is one that does not report deltas.
        if session.depth == 0 and (rest := said.text[told:]):
            tree.emit(TextDelta(rest))
        return said


def insisted(answer: Answer, session: Session) -> Answer:
    """The answer. Where a call is insisted on and none is wanted in it, its text is taken for the intent."""
    if session.tools.choice != "required" or answer.intents:
        return answer
    return replace(answer, text="", intents=(ToolIntent(text=answer.text or session.transcript.asked),))
