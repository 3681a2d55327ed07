"""The two forms of the log, and what is never in one."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import sys
from collections.abc import Callable
from typing import Any, Literal

import pytest
import uvicorn.config

from server.logs import JSONLines, TextLines, bind, bound, config
from server.settings import ObservabilitySettings

SECRET = "My secret is 4711."


def record(message: str, *, name: str = "rants", error: BaseException | None = None, **more: Any) -> logging.LogRecord:
    about = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord(name, logging.WARNING, "file.py", 1, message, (), about)
    vars(made).update(more)
    return made


def line(message: str, **more: Any) -> dict[str, Any]:
    text = JSONLines().format(record(message, **more))
    assert "\n" not in text
    said: dict[str, Any] = json.loads(text)
    return said


def raised() -> BaseException:
    """An exception with a cause, both of which quote what was said; and a group."""
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ExceptionGroup(SECRET, [ValueError(SECRET)]) from error
    except ExceptionGroup as error:
        return error


def test_a_line_of_text_looks_as_ever() -> None:
    assert TextLines().format(record("Watch out: %")) == "WARNING rants: Watch out: %"


def test_a_line_of_json_says_when_how_bad_who_and_what() -> None:
    said = line("Watch\nout.", method="GET", route=None, status=404, seconds=0.25)
    assert (said["level"], said["logger"], said["message"]) == ("warning", "rants", "Watch\nout.")
    assert said["time"].endswith("+00:00")
    assert (said["method"], said["route"], said["status"], said["seconds"]) == ("GET", None, 404, 0.25)


async def test_each_task_has_ids_of_its_own() -> None:
    async def request(name: str) -> dict[str, Any]:
        with bound(request_id=name):
            await asyncio.sleep(0)
            bind(tenant=f"tenant-of-{name}", session=None)
            return await asyncio.create_task(run(name))

    async def run(name: str) -> dict[str, Any]:
        bind(run=f"run-of-{name}")
        await asyncio.sleep(0)
        return line("Done.")

    for name, said in zip("abc", await asyncio.gather(*map(request, "abc")), strict=True):
        ids = {key: said[key] for key in ("request_id", "tenant", "run")}
        assert ids == {"request_id": name, "tenant": f"tenant-of-{name}", "run": f"run-of-{name}"}
        assert "session" not in said
    assert "request_id" not in line("Outside.")


@pytest.mark.parametrize("form", [TextLines, JSONLines])
def test_what_an_exception_says_is_left_out_and_where_it_was_raised_is_not(
    form: Callable[..., logging.Formatter],
) -> None:
    said = form().format(record("A bug.", error=raised()))
    assert SECRET not in said
    for known in ("KeyError", "ExceptionGroup", "ValueError", "Traceback", "in raised", "test_logs.py"):
        assert known in said
    assert SECRET in form(content=True).format(record("A bug.", error=raised()))


def test_a_task_that_nobody_asked_is_told_without_what_it_raised() -> None:
    message = f"Task exception was never retrieved\nfuture: <Task exception=KeyError({SECRET!r})>"
    assert line(message, name="asyncio")["message"] == "Task exception was never retrieved"
    assert SECRET not in TextLines().format(record(message, name="asyncio"))


@pytest.mark.parametrize("logs", ["text", "json"])
def test_every_logger_writes_in_the_same_form(
    capsys: pytest.CaptureFixture[str], logs: Literal["text", "json"]
) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
        logging.config.dictConfig(config(ObservabilitySettings(logs=logs), "info"))
        for handler in root.handlers:
            assert isinstance(handler, logging.StreamHandler)
            handler.setStream(sys.stderr)
        logging.getLogger("uvicorn.error").info("Started.")
        logging.getLogger("uvicorn.error").debug("Not told.")
    finally:
        root.handlers[:], root.level = before
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    if logs == "text":
        assert said == ["INFO uvicorn.error: Started."]
    else:
        assert json.loads(said[0])["logger"] == "uvicorn.error"
