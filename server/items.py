"""The items of the Responses API: read from a request's input, and written for whoever asks what that was.

Source: https://platform.openai.com/docs/api-reference/responses/input-items
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from programs import Message, Transcript
from programs.content import read_content
from programs.errors import InvalidRequest
from programs.transcript import ToolCall

# Items that are a tool's call or result. Others are known by what they hold.
_CALLS = ("function_call", "custom_tool_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")


def read_input(given: str | list[dict[str, Any]], *, sees: bool) -> tuple[Message, ...]:
    """The messages that the input says.

    A call that follows an assistant's message or another call belongs to the same turn. Items of kinds that say
    nothing to a model here (reasoning, for example) are left out. `sees` is whether somebody can look at images.

    Raises:
        InvalidRequest: an item is not readable; `param` says which.
    """
    if isinstance(given, str):
        return (Message(role="user", content=given),) if given else ()
    messages: list[Message] = []
    for index, item in enumerate(given):
        param = f"input[{index}]"
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "message":
            messages.append(_read_message(item, param, sees=sees))
        elif kind in _RESULTS or ("output" in item and "call_id" in item):
            call_id = word(item, "call_id", param)
            text, images = _read_content(item.get("output"), f"{param}.output", sees=sees, result=True)
            messages.append(Message(role="tool", content=text, tool_call_id=call_id, images=images))
        elif kind in _CALLS or ("call_id" in item and "name" in item):
            arguments = item.get("arguments", item.get("input", ""))
            if not isinstance(arguments, str):
                raise InvalidRequest(f"{param}.arguments should be JSON as text.", param=f"{param}.arguments")
            call = ToolCall(id=word(item, "call_id", param), name=word(item, "name", param), arguments=arguments)
            if messages and messages[-1].role == "assistant":
                calls = (*messages[-1].tool_calls, call)
                messages[-1] = messages[-1].model_copy(update={"tool_calls": calls})
            else:
                messages.append(Message(role="assistant", tool_calls=(call,)))
        elif kind is None:
            raise InvalidRequest(f"{param} has neither a type nor a role.", param=param)
    return tuple(messages)


def _read_message(item: dict[str, Any], param: str, *, sees: bool) -> Message:
    role = item.get("role")
    if role not in ("system", "developer", "user", "assistant"):
        raise InvalidRequest(
            f"{param}.role should be 'system', 'developer', 'user' or 'assistant', not {role!r}.", param=f"{param}.role"
        )
    text, images = _read_content(item.get("content"), f"{param}.content", sees=sees)
    return Message(role=role, content=text, images=images)


def _read_content(content: Any, param: str, *, sees: bool, result: bool = False) -> tuple[str, tuple[str, ...]]:
    parts_are_objects = isinstance(content, list) and all(isinstance(part, dict) for part in content)
    if not (content is None or isinstance(content, str) or parts_are_objects):
        raise InvalidRequest(f"{param} should be text or a list of parts.", param=param)
    return read_content(content, param=param, sees=sees, result=result)


def word(item: Mapping[str, Any], key: str, param: str) -> str:
    """A value of an item that must be text, and not empty.

    Raises:
        InvalidRequest: it is not.
    """
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{param}.{key} should be text, and not empty.", param=f"{param}.{key}")
    return value


def items_of(transcript: Transcript) -> Iterator[dict[str, Any]]:
    """A transcript as input items; an item's id says where in which conversation it stands."""
    for message, digest in zip(transcript.messages, transcript.prefixes, strict=True):
        name = digest.hex()
        if message.role == "tool":
            output = {"call_id": message.tool_call_id, "output": message.content, "status": "completed"}
            yield {"id": f"fco_{name}", "type": "function_call_output", **output}
            continue
        if message.content or not message.tool_calls:
            kind = "output_text" if message.role == "assistant" else "input_text"
            part: dict[str, Any] = {"type": kind, "text": message.content}
            if kind == "output_text":
                part["annotations"] = []
            said = {"role": message.role, "status": "completed", "content": [part]}
            yield {"id": f"msg_{name}", "type": "message", **said}
        for position, call in enumerate(message.tool_calls):
            made = {"call_id": call.id, "name": call.name, "arguments": call.arguments, "status": "completed"}
            yield {"id": f"fc_{name}{position:02d}", "type": "function_call", **made}
