"""What a model writes that is not for the user never reaches a client, however the stream is cut."""

from __future__ import annotations

import json
import random

import httpx2
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, WAYS, Asking, cut, sse

INTENT = """\
I'll add the missing check.
TOOL_INTENT: in src/app.py replace block OLD with block NEW
<<<OLD
    return secret[key]
>>>OLD
<<<NEW
    return secret.get(key)
>>>NEW
"""

THOUGHT = """\
<think>The user wants a secret; TOOL_INTENT: is not for now.
</think>

Here you are:
```
TOOL_INTENT: only an example
```
and <think> is a tag."""

REPLIES = {
    "intent": (INTENT, "I'll add the missing check."),
    "intent-alone": (INTENT.partition("\n")[2], ""),
    "unfinished-block": (INTENT[: INTENT.index(">>>NEW")], "I'll add the missing check."),
    "thought": (THOUGHT, THOUGHT.partition("</think>\n\n")[2]),
    "thought-in-between": ("Well.\n<think>a secret</think>\nYes.", "Well.\nYes."),
    "unfinished-thought": ("Well.\n<think>a secret", "Well."),
    "nearly": ("TOOL_INTEN: no\n<thin\n<<<A\nTOOL_INTENT", "TOOL_INTEN: no\n<thin\n<<<A\nTOOL_INTENT"),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", REPLIES)
def test_only_what_is_for_the_user_is_visible_at_any_chunking(
    client: OpenAI, backend: ScriptedBackend, way: Asking, name: str
) -> None:
    written, visible = REPLIES[name]
    cuts = [[written], list(written), *(cut(written, random.Random(seed)) for seed in range(6))]
    for pieces in cuts:
        backend.script = in_turn(Reply(pieces, reasoning=["a secret ", "thought"]))
        assert way.ask(client).text == visible


def test_no_event_of_any_kind_tells_it(http: httpx2.Client, backend: ScriptedBackend) -> None:
    for written in (INTENT, THOUGHT):
        backend.script = in_turn(Reply(cut(written, random.Random(1)), reasoning=["a secret"]))
        for path, asked in (
            ("chat/completions", {"messages": [{"role": "user", "content": "?"}]}),
            ("responses", {"input": "?"}),
        ):
            with http.stream("POST", f"/v1/{path}", json={"model": MODEL, "stream": True, **asked}) as answer:
                said = json.dumps(list(sse(answer.iter_lines())))
            assert "secret" not in said
            assert "OLD" not in said


def test_it_is_not_told_later_either(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply([THOUGHT], reasoning=["a secret"]))
    answer = client.responses.create(model=MODEL, input="?")
    assert "secret" not in client.responses.retrieve(answer.id).model_dump_json()
    with client.responses.retrieve(answer.id, stream=True) as stream:
        assert "secret" not in "".join(event.model_dump_json() for event in stream)


def test_the_words_before_an_intent_are_not_held_back(client: OpenAI, backend: ScriptedBackend) -> None:
    pieces = cut(INTENT, random.Random(1))
    backend.script = in_turn(Reply(pieces))
    with client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "?"}], stream=True
    ) as stream:
        deltas = [chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content]
    assert len(deltas) > 3
    assert deltas[0] == pieces[0]
