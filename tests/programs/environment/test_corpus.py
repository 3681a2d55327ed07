"""Snippets of the kind that a root LM writes give in the jail what they give in CPython."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from programs.environment import Context
from tests.programs.environment.conftest import Open

CORPUS = Path(__file__).parents[3].parent / "shared" / "data" / "environment_corpus"
SNIPPETS = sorted(path.stem for path in CORPUS.glob("[0-9]*.py"))


def _scripted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hostfns", CORPUS / "hostfns.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not SNIPPETS, reason="the corpus is not there")
@pytest.mark.parametrize("name", SNIPPETS or ["none"])
async def test_equal_to_cpython(open_session: Open, name: str) -> None:
    scripted = _scripted()

    async def llm_query(prompt: str) -> str:
        return str(scripted.llm_query(prompt))

    async def llm_query_batched(prompts: list[str]) -> list[str]:
        return list(scripted.llm_query_batched(prompts))

    async def rlm_query(query: str, context: Context) -> str:
        return str(scripted.rlm_query(query, context))

    host = {"llm_query": llm_query, "llm_query_batched": llm_query_batched, "rlm_query": rlm_query}
    session = await open_session(
        (CORPUS / "context.txt").read_text(encoding="utf-8"), question="Who won?", host=host, output_chars=10**6
    )
    stdout, error, submitted = "", None, None
    for code in (CORPUS / f"{name}.py").read_text(encoding="utf-8").split("# --- turn ---\n"):
        turn = await session.execute(code)
        stdout += turn.stdout
        error = f"{turn.error.name}: {turn.error.message}" if turn.error else None
        if turn.submitted or error:
            submitted = turn.answer
            break
    expected: dict[str, Any] = json.loads((CORPUS / "expected.json").read_text(encoding="utf-8"))[name]
    assert {"stdout": stdout, "submit": submitted, "error": error} == expected
