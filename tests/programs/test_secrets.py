"""The key of a backend is in nothing that is said about it, however often the backend repeats it."""

from __future__ import annotations

import base64
import logging
import traceback
from urllib.parse import quote

import pytest
from dspy.lm15 import Message, Request

from evals.scripted import Reply, ScriptedBackend, in_turn
from programs import RANTS, Backends
from programs.backends.openai import OpenAIEngine
from programs.backends.secrets import Secrets
from programs.errors import BackendError
from programs.settings import ModelSettings, ModelsSettings, ResilienceSettings

KEY = "sk-+/zebra=quagga&4711"
PASSWORD = "ab:zebra!quagga"
ECHOES = [KEY, f"Bearer {KEY}", quote(KEY, safe=""), f"x{KEY}{KEY}", f"https://user:{KEY}@host"]
ECHOED = {"message": f"I was told {' and '.join(ECHOES)} \ud83c\0", "code": KEY, "type": KEY, "param": KEY}

REPLIES = {
    "status": Reply(status=500, error=ECHOED),
    "refusal": Reply(status=400, error=ECHOED),
    "unauthorised": Reply(status=401, error=ECHOED),
    "headers": Reply(status=429, error=ECHOED, headers={"Retry-After": KEY, "X-Echo": KEY, "Location": KEY}),
    "charset": Reply(status=500, error=ECHOED, headers={"Content-Type": f"text/plain; charset={KEY}"}),
    "codec": Reply(status=500, error=ECHOED, headers={"Content-Type": "text/plain; charset=base64"}),
    "stream": Reply(fault="error", error=ECHOED),
    "mid-stream": Reply(["Good "], fault="error", error={"message": " and ".join(ECHOES), "code": KEY}),
    "malformed": Reply(fault="malformed", event="x" * 82 + KEY),
    "no-chunk": Reply(fault="malformed", event=f'{{"choices": "{"x" * 62}{KEY}"}}'),
    "long": Reply(status=500, error={"message": "y" * 990 + KEY}),
}


@pytest.mark.parametrize("reply", REPLIES)
async def test_a_key_that_is_echoed_reaches_nobody(caplog: pytest.LogCaptureFixture, reply: str) -> None:
    with ScriptedBackend(in_turn(REPLIES[reply])) as server:
        entry = {"base_url": server.base_url, "model": "m", "api_key": KEY}
        models = ModelsSettings(
            generator=ModelSettings.model_validate({**entry, "fallbacks": [{**entry, "model": "n"}]})
        )
        backends = Backends(models, ResilienceSettings(max_retries=0, breaker_failures=1))
        try:
            with caplog.at_level(logging.DEBUG):
                for _ in range(2):
                    with pytest.raises(BackendError) as failed:
                        await RANTS(backends).aforward(question="Hello?")
                    error: BaseException | None = failed.value
                    told = ["".join(traceback.format_exception(failed.value)), str(failed.value)]
                    while error is not None:
                        told += [repr(error), repr(vars(error))]
                        error = error.__cause__ or error.__context__
                    _silent(*told)
                _silent(repr(await backends.health()), repr(backends.settings))
        finally:
            await backends.aclose()
        assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    _silent(caplog.text)


def _silent(*texts: str) -> None:
    for text in texts:
        assert "zebra" not in text
        assert "quagga" not in text
        text.encode()


async def test_a_password_in_the_url_is_sent_and_never_told() -> None:
    with ScriptedBackend(in_turn(Reply(status=500, error=ECHOED))) as server:
        url = server.base_url.replace("//", f"//user:{quote(PASSWORD)}@")
        entry = ModelSettings.model_validate({"base_url": url, "model": "m"})
        engine = OpenAIEngine("generator", entry, ResilienceSettings(max_retries=0))
        request = Request(model="m", messages=(Message.user("Hello?"),))
        sent = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        server.script = in_turn(Reply(status=500, error={"message": f"{url} {sent} {PASSWORD}"}))
        try:
            with pytest.raises(Exception, match="redacted") as echoed:
                await engine.complete(request)
            with server.away(), pytest.raises(Exception, match="cannot reach http://127") as refused:
                await engine.complete(request)
        finally:
            await engine.aclose()
        assert server.calls[0].headers["authorization"] == sent
    for failed in (echoed, refused):
        told = "".join(traceback.format_exception(failed.value)) + repr(failed.value)
        _silent(told)
        assert sent.partition(" ")[2] not in told
    assert entry.where == server.base_url


def test_a_word_is_no_secret() -> None:
    entry = ModelSettings.model_validate({"base_url": "http://ollama:11434/v1", "api_key": "ollama"})
    assert Secrets(entry).out_of("ollama is at http://ollama:11434") == "ollama is at http://ollama:11434"
    assert Secrets(entry).out_of("Authorization: Bearer ollama") == "Authorization: [redacted]"
