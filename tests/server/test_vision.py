"""Images over both APIs: the vision backend looks at them, and the generator reads what it saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend
from tests.support import running

PNG = "data:image/png;base64,iVBORw0KGgo="
MODEL = "rants-one"


@pytest.fixture(scope="module")
def eye() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(lambda body: Reply(["A red cat."])) as backend:
        yield backend


@pytest.fixture(scope="module")
def seeing(
    tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend, eye: ScriptedBackend
) -> Iterator[OpenAI]:
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000",
        "RANTS_MODELS__VISION__BASE_URL": eye.base_url,
        "RANTS_MODELS__VISION__MODEL": "eye",
    }
    with (
        running(tmp_path_factory.mktemp("seeing"), variables) as server,
        OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=60) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def forget(eye: ScriptedBackend) -> None:
    eye.requests = []
    eye.script = lambda body: Reply(["A red cat."])


def chat(client: OpenAI, text: str, url: str = PNG) -> str:
    parts: Any = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    said = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
    return said.choices[0].message.content or ""


def response(client: OpenAI, text: str, url: str = PNG) -> str:
    parts: Any = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": url}]
    return client.responses.create(model=MODEL, input=[{"role": "user", "content": parts}]).output_text


@pytest.mark.parametrize("ask", [chat, response])
def test_an_image_reaches_the_vision_backend_and_its_words_the_generator(
    seeing: OpenAI, backend: ScriptedBackend, eye: ScriptedBackend, ask: Any
) -> None:
    words = f"What is it? {ask.__name__}"
    assert ask(seeing, words) == "Hello there."
    (look,) = eye.calls
    text, image = look.body["messages"][-1]["content"]
    assert words in text["text"]
    assert image == {"type": "image_url", "image_url": {"url": PNG}}
    (call,) = backend.calls
    assert call.body["messages"][-1] == {"role": "user", "content": f"{words}\n[image 1: A red cat.]"}
    ask(seeing, words)
    assert len(eye.calls) == 1  # sent again, it is told in the same words
    assert backend.calls[1].body["messages"] == call.body["messages"]


def test_code_asks_more_about_an_image(seeing: OpenAI, backend: ScriptedBackend, eye: ScriptedBackend) -> None:
    def script(body: dict[str, Any]) -> Reply:
        assert "vision_query(question, number) asks about an image" in json.dumps(body)
        return Reply(["```python\nSUBMIT(vision_query('Which colour?', 1))\n```"])

    backend.script = script
    eye.script = lambda body: Reply(["Red." if "Which colour?" in json.dumps(body) else "A cat."])
    assert chat(seeing, "Nothing at all. " * 3000 + "Which?") == "Red."


def test_an_image_at_a_private_address_is_not_fetched(
    seeing: OpenAI, backend: ScriptedBackend, eye: ScriptedBackend
) -> None:
    with pytest.raises(openai.BadRequestError) as failed:
        chat(seeing, "What?", f"http://127.0.0.1:{eye.port}/v1/models")
    assert failed.value.code == "invalid_image_url"
    assert not eye.requests
    assert not backend.calls


def test_a_vision_backend_that_fails_is_named(seeing: OpenAI, backend: ScriptedBackend, eye: ScriptedBackend) -> None:
    eye.script = lambda body: Reply(status=400, error={"message": "no images here"})
    with pytest.raises(openai.APIStatusError) as failed:
        chat(seeing, "Broken?")
    assert "the vision backend: no images here" in failed.value.message
