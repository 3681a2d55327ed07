"""Nothing gets out of the jail, and nothing stays behind in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from programs.environment import Jail, Limits, ProtocolViolation, Turn
from programs.environment.jail import JailSession
from tests.programs.environment.attacks import ATTACKS, PRELUDE, Attack

SECRET = "server-" + "secret-5f1c"  # in two parts: this file's own text is no finding
CANARY = Path("/tmp/rants-canary")
LIMITS = Limits(cpu_seconds=1.0, wall_seconds=1.0, memory_base=256 << 20, host_calls=16)


def parent_of(pid: int | None) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("PPid:"))


def no_canary() -> bool:
    """Whether there was none; there is none now."""
    there = CANARY.exists()
    if CANARY.is_dir():
        CANARY.rmdir()
    CANARY.unlink(missing_ok=True)
    return not there


async def attack(session: JailSession, sibling: JailSession, attempt: Attack) -> tuple[str, Turn | None]:
    """How the attempt ended, and its turn where there was one."""
    variables = {
        "SERVER": os.getpid(),
        "ZYGOTE": parent_of(session.pid),
        "SIBLING": sibling.pid,
        "MACHINE": platform.machine(),
        "TURN": 2,
    }
    prepared = await session.execute(PRELUDE, variables=variables)
    assert prepared.error is None, prepared
    try:
        turn = await session.execute(attempt.code)
    except ProtocolViolation:
        return "violation", None
    if turn.fresh:
        return "lost", turn
    if turn.error is not None and turn.error.name == "TimeLimit":
        return "stopped", turn
    return ("denied" if "denied" in turn.stdout else "harmless"), turn


async def outcome(jail: Jail, name: str) -> None:
    """Run one attack beside a sibling that holds a secret, and look at all that it must not have touched."""

    async def llm_query(prompt: str) -> str:
        return prompt

    async def slow() -> None:
        await asyncio.sleep(60)

    attempt = ATTACKS[name]
    zygote = jail.pid
    no_canary()
    sibling = await jail.open(SECRET, limits=LIMITS)
    session = await jail.open("context", host={"llm_query": llm_query, "slow": slow}, limits=LIMITS)
    try:
        ended, turn = await attack(session, sibling, attempt)
        # What may be stopped may also have to be killed: on a busy machine C code outlasts the grace.
        ends = attempt.ends | ({"lost"} if "stopped" in attempt.ends else set())
        assert ended in ends, (ended, turn)
        assert turn is None or "THROUGH" not in turn.stdout, turn
        assert turn is None or SECRET not in repr(turn)
        if turn is not None:
            with contextlib.suppress(ProtocolViolation):  # where more results were waiting
                again = await session.execute("print('still here')")
                assert again.fresh or "still here" in again.stdout or again.error is not None, again
        assert (await sibling.execute("print(len(context))")).stdout == f"{len(SECRET)}\n"
    finally:
        await session.aclose()
        await sibling.aclose()
    assert jail.pid == zygote, "the zygote was replaced"
    assert no_canary()
    clean = await jail.open("clean", limits=LIMITS)
    try:
        names = await clean.execute("print(context, 'attempt' in globals(), llm_query)")
        assert names.stdout == "" and names.error is not None and names.error.name == "NameError"
        assert (
            await clean.execute("import builtins; print(context, len(builtins.__dict__) > 100)")
        ).stdout == "clean True\n"
    finally:
        await clean.aclose()


@pytest.fixture(autouse=True)
async def started(jail: Jail, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setattr("programs.environment.jail._GRACE_SECONDS", 0.5)
    await jail.start()
    yield


@pytest.mark.parametrize("name", ATTACKS)
async def test_nothing_gets_through(jail: Jail, name: str) -> None:
    await outcome(jail, name)


def test_there_are_enough_attacks_to_mean_something() -> None:
    assert len(ATTACKS) >= 60


@pytest.mark.skipif("EXPECTED_USER" not in os.environ, reason="only in a run as another user")
def test_these_tests_run_as_meant(jail: Jail) -> None:
    assert os.geteuid() == int(os.environ["EXPECTED_USER"])
    assert "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
    assert jail.layers["namespaces"] == (os.environ["EXPECTED_NAMESPACES"] == "with")
