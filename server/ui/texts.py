"""The texts of an event, by the names under which a page asks for the whole of one."""

from __future__ import annotations

import json

from programs.events import (
    CodeRan,
    CodeWritten,
    Concluded,
    ModelCalled,
    SessionOpened,
    StepDone,
    ToolRan,
    ToolStarted,
    Trajectory,
)


def texts(event: Trajectory) -> dict[str, str]:
    """All that was said in the event. What there is several of has its place in the name, counted from 0."""
    match event:
        case SessionOpened():
            return {"question": event.question, "context": event.context}
        case CodeWritten():
            return {"reasoning": event.reasoning, "code": event.code, "budget": event.budget}
        case ModelCalled():
            said = {"prompt": event.prompt, "reply": event.reply, "error": event.error}
            return {name: text for name, text in said.items() if text is not None}
        case CodeRan(answer=None):
            return {"observation": event.observation}
        case CodeRan():
            return {"observation": event.observation, "answer": event.answer or ""}
        case StepDone():
            found = {"text": event.text, "problem": event.problem or ""}
            for index, intent in enumerate(event.intents):
                found[f"intent.{index}"] = intent.text
                found |= {f"block.{index}.{name}": text for name, text in intent.blocks.items()}
            return found | {f"arguments.{index}": call.arguments for index, call in enumerate(event.calls)}
        case ToolStarted():
            return {"arguments": event.call.arguments}
        case ToolRan():
            details = json.dumps(event.details, indent=2, ensure_ascii=False, default=str)
            return {"arguments": event.call.arguments, "output": event.output, "details": details}
        case Concluded():
            return {"answer": event.answer}


def from_context(event: Trajectory) -> list[str]:
    """Those of its texts in which something of context C may be found."""
    found = texts(event)
    return [found[name] for name in ("prompt", "answer", "observation", "output") if found.get(name)]
