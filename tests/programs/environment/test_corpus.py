"""Snippets of the kind that a root LM writes give in the jail what they give in CPython, and in monty half of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from programs.environment import Context
from tests.programs.environment.conftest import Open, OpenEither, OpenMonty

CORPUS = Path(__file__).parents[3].parent / "shared" / "data" / "environment_corpus"
SNIPPETS = sorted(path.stem for path in CORPUS.glob("[0-9]*.py"))
LACKING_IN_MONTY = {
    "04_finditer_named_groups": "IndexError: no such group",
    "12_class_state": "TypeError: object of type 'Memo' has no len()",
    "16_sort_keys": "ModuleNotFoundError: No module named 'operator'",
    "20_generators": "NotImplementedError: The monty syntax parser does not yet support yield expressions",
    "22_slicing": "NotImplementedError: The monty syntax parser does not yet support the 'del' statement",
    "26_textwrap": "ModuleNotFoundError: No module named 'textwrap'",
    "30_statistics_math": "ModuleNotFoundError: No module named 'statistics'",
    "36_string_methods": "AttributeError: type object 'str' has no attribute 'maketrans'",
    "42_string_module_random_hash": "ModuleNotFoundError: No module named 'string'",
    "44_globals_dynamic": "NameError: name 'globals' is not defined",
    "48_dict_ops": "NotImplementedError: The monty syntax parser does not yet support the 'del' statement",
}


def _scripted() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hostfns", CORPUS / "hostfns.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((CORPUS / "expected.json").read_text(encoding="utf-8"))[name]
    return told


async def ran(opened: OpenEither, name: str) -> dict[str, Any]:
    scripted = _scripted()

    async def llm_query(prompt: str) -> str:
        return str(scripted.llm_query(prompt))

    async def llm_query_batched(prompts: list[str]) -> list[str]:
        return list(scripted.llm_query_batched(prompts))

    async def rlm_query(query: str, context: Context) -> str:
        return str(scripted.rlm_query(query, context))

    host = {"llm_query": llm_query, "llm_query_batched": llm_query_batched, "rlm_query": rlm_query}
    session = await opened(
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
    return {"stdout": stdout, "submit": submitted, "error": error}


@pytest.mark.skipif(not SNIPPETS, reason="the corpus is not there")
@pytest.mark.parametrize("name", SNIPPETS or ["none"])
async def test_equal_to_cpython(open_session: Open, name: str) -> None:
    assert await ran(open_session, name) == expected(name)


@pytest.mark.skipif(not SNIPPETS, reason="the corpus is not there")
@pytest.mark.parametrize("name", SNIPPETS or ["none"])
async def test_monty_lacks_what_is_known_and_nothing_else(open_monty: OpenMonty, name: str) -> None:
    got = await ran(open_monty, name)
    if name in LACKING_IN_MONTY:
        assert got["error"] == LACKING_IN_MONTY[name]
    else:
        assert got == expected(name)
