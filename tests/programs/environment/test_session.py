"""A session, whichever its environment: its namespace, its state, its host functions, its end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from programs.environment import Context, EnvironmentClosed, HostFunctionFailed
from tests.programs.environment.conftest import OpenEither, alive, gone, no_task_but_this


async def test_the_code_sees_the_context_and_the_question(open_either: OpenEither) -> None:
    session = await open_either("some text", question="what?")
    assert (await session.execute("print(type(context).__name__, context, question)")).stdout == "str some text what?\n"


@pytest.mark.parametrize(
    "context",
    [
        "",
        "é😀\0\r\n",
        [],
        ["one", "two"],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "é😀"}],
    ],
)
async def test_a_context_arrives_as_it_is(open_either: OpenEither, context: Context) -> None:
    session = await open_either(context)
    assert (await session.execute("SUBMIT(context)")).answer == context


async def test_an_error_is_an_observation_with_the_line_that_raised_it(open_either: OpenEither) -> None:
    session = await open_either("text")
    turn = await session.execute("x = 1\nprint('so far')\nx.nothing\n")
    assert turn.stdout == "so far\n"
    assert turn.error is not None
    assert turn.error.name == "AttributeError"
    assert 'File "<turn 1>", line 3' in turn.error.traceback
    assert "x.nothing" in turn.error.traceback
    assert "guest.py" not in turn.error.traceback
    assert not turn.fresh
    assert (await session.execute("print(x)")).stdout == "1\n"


async def test_a_syntax_error_is_an_observation(open_either: OpenEither) -> None:
    turn = await (await open_either("")).execute("for x in")
    assert turn.error is not None
    assert turn.error.name == "SyntaxError"


async def test_submit_ends_the_turn_past_except_exception(open_either: OpenEither) -> None:
    session = await open_either("")
    code = "try:\n    SUBMIT({'a': [1, None, 'é']})\nexcept Exception:\n    print('caught')\nprint('after')"
    turn = await session.execute(code)
    assert (turn.submitted, turn.answer, turn.stdout) == (True, {"a": [1, None, "é"]}, "")
    assert (await session.execute("SUBMIT(answer=1, why='x')")).answer == {"answer": 1, "why": "x"}
    assert (await session.execute("SUBMIT({1, })")).answer == "{1}"
    assert not (await session.execute("pass")).submitted


async def test_what_is_printed_is_cut_in_the_middle_with_a_note(open_either: OpenEither) -> None:
    session = await open_either("", output_chars=400)
    turn = await session.execute("print('a' * 1000 + 'z' * 50)")
    assert turn.stdout == "a" * 300 + "\n[... 651 characters cut ...]\n" + "a" * 49 + "z" * 50 + "\n"
    assert (await session.execute("print('b' * 399)")).stdout == "b" * 399 + "\n"


async def test_variables_are_defined_first(open_either: OpenEither) -> None:
    session = await open_either("")
    assert (await session.execute("print(a, b)", variables={"a": 1, "b": ["x"]})).stdout == "1 ['x']\n"


async def test_a_batch_of_two_hundred_is_one_wait(open_either: OpenEither) -> None:
    async def one(prompt: str) -> str:
        await asyncio.sleep(0.05)
        return prompt + "!"

    async def llm_query_batched(prompts: list[str]) -> list[str]:
        return list(await asyncio.gather(*map(one, prompts)))

    session = await open_either("", host={"llm_query_batched": llm_query_batched})
    turn = await session.execute("a = llm_query_batched([str(n) for n in range(200)]); print(len(a), a[0], a[-1])")
    assert turn.stdout == "200 0! 199!\n"


@pytest.mark.parametrize("context", ["text", ["a", "b"], [{"role": "user", "content": "x"}]])
async def test_rlm_query_carries_a_context_of_any_shape(open_either: OpenEither, context: Context) -> None:
    got: list[Any] = []

    async def rlm_query(question: str, context: Context) -> str:
        got.append((question, context))
        return "done"

    session = await open_either(context, host={"rlm_query": rlm_query})
    assert (await session.execute("print(rlm_query('q', context))")).stdout == "done\n"
    assert got == [("q", context)]


async def test_a_host_function_may_fail_for_the_code_to_see(open_either: OpenEither) -> None:
    async def llm_query(prompt: str) -> str:
        raise HostFunctionFailed("the model is busy")

    session = await open_either("", host={"llm_query": llm_query})
    turn = await session.execute("try:\n    llm_query('x')\nexcept RuntimeError as e:\n    print('saw', e)")
    assert turn.stdout == "saw the model is busy\n"


async def test_any_other_failure_of_a_host_function_leaves_execute(open_either: OpenEither) -> None:
    async def llm_query(prompt: str) -> str:
        raise KeyError("a bug of the caller")

    session = await open_either("text", host={"llm_query": llm_query})
    pid = session.pid
    with pytest.raises(KeyError, match="a bug of the caller"):
        await session.execute("try:\n    llm_query('x')\nexcept BaseException:\n    pass\nwhile True: pass")
    await gone(pid)
    turn = await session.execute("print(context)")
    assert (turn.stdout, turn.fresh) == ("text\n", True)


async def test_a_session_closed_in_mid_turn_leaves_nothing(open_either: OpenEither) -> None:
    session = await open_either("text")
    pid = session.pid
    turn = asyncio.create_task(session.execute("while True: pass"))
    await asyncio.sleep(0.05)
    await session.aclose()
    with pytest.raises(EnvironmentClosed):
        await turn
    await gone(pid)
    await no_task_but_this()
    with pytest.raises(EnvironmentClosed):
        await session.execute("1")
    await session.aclose()


async def test_state_persists_over_turns_and_functions_see_it(open_either: OpenEither) -> None:
    session = await open_either("text")
    await session.execute("import re\nclass A:\n    n = 1\ndef f(): return len(context) + x + A().n\nx = 1")
    assert (await session.execute("x += 1\nprint(f(), re.sub('a', 'b', 'a'))")).stdout == "7 b\n"


async def test_the_helpers_read_what_context_is_at_the_time(open_either: OpenEither) -> None:
    session = await open_either("one\ntwo\nthree")
    assert (await session.execute("print(peek(4, 3), grep('T'))")).stdout == "two ['two', 'three']\n"
    code = "context = context[4:]\nprint(peek(0, 3), grep('t'), chunks(4), search('three'))"
    assert (await session.execute(code)).stdout == "two ['two', 'three'] ['two\\n', 'thre', 'e'] ['two\\nthree']\n"
    code = "context = ['a', 'b']\nprint(grep('b'))\ncontext.append('bb')\nprint(grep('b', limit=9))"
    assert (await session.execute(code)).stdout == "['b']\n['b', 'bb']\n"


async def test_a_helper_raises_in_the_code(open_either: OpenEither) -> None:
    session = await open_either("text")
    code = "import re\ntry:\n    grep('(')\nexcept re.error:\n    print('no pattern')\nchunks(0)"
    turn = await session.execute(code)
    assert turn.stdout == "no pattern\n"
    assert turn.error is not None
    assert (turn.error.name, turn.error.message) == ("ValueError", "size must be at least 1")
    assert 'File "<turn 1>", line 6' in turn.error.traceback


async def test_host_functions_take_what_models_pass(open_either: OpenEither) -> None:
    got: list[Any] = []

    async def llm_query(prompt: str) -> str:
        got.append(prompt)
        return "said"

    async def llm_query_batched(prompts: list[str]) -> list[str]:
        got.append(prompts)
        return prompts

    async def rlm_query(question: str, context: Context) -> str:
        got.append((question, context))
        return "done"

    async def lookup(*values: Any, **fields: Any) -> Any:
        got.append((values, fields))
        return {"found": [1, None, "é"]}

    host = {"llm_query": llm_query, "llm_query_batched": llm_query_batched, "rlm_query": rlm_query, "lookup": lookup}
    session = await open_either("", host=host)
    turn = await session.execute(
        "ask = llm_query\nprint(ask(1, model='x'), llm_query_batched(p for p in (1, 'b')), rlm_query('q'))\n"
        "rlm_query(2, {'a': 1})\nrlm_query('q', [{'role': 'user', 'content': 3}])\n"
        "rlm_query('q', [1, {'role': 'user', 'content': 3}])\nprint(lookup({1}, key=(1, 2)))"
    )
    assert turn.error is None
    assert turn.stdout == "said ['1', 'b'] done\n{'found': [1, None, 'é']}\n"
    assert got == [
        "1",
        ["1", "b"],
        ("q", ""),
        ("2", "{'a': 1}"),
        ("q", [{"role": "user", "content": "3"}]),
        ("q", ["1", "{'role': 'user', 'content': 3}"]),
        (("{1}",), {"key": [1, 2]}),
    ]


async def test_a_call_with_the_wrong_arguments_is_the_code_s_error(open_either: OpenEither) -> None:
    async def llm_query(prompt: str) -> str:
        return prompt

    session = await open_either("", host={"llm_query": llm_query}, submit_bytes=100)
    for code, name in [("llm_query()", "TypeError"), ("SUBMIT()", "TypeError"), ("SUBMIT('x' * 200)", "ValueError")]:
        turn = await session.execute(code)
        assert turn.error is not None
        assert (turn.error.name, turn.submitted) == (name, False)
    assert (await session.execute("nobody(1)")).error is not None
    assert (await session.execute("print(llm_query('still here'))")).stdout == "still here\n"


async def test_functions_may_be_added_between_turns(open_either: OpenEither) -> None:
    host: dict[str, Any] = {}

    async def late() -> str:
        return "came"

    session = await open_either("", host=host)
    turn = await session.execute("late()")
    assert turn.error is not None
    assert turn.error.name == "NameError"
    host["late"] = late
    assert (await session.execute("print(late())")).stdout == "came\n"


async def test_an_answer_that_is_not_json_is_the_caller_s_error(open_either: OpenEither) -> None:
    async def lookup() -> Any:
        return object()

    session = await open_either("text", host={"lookup": lookup})
    with pytest.raises(TypeError):
        await session.execute("lookup()")
    assert (await session.execute("print(context)")).fresh


@pytest.mark.parametrize("code", ["while True: pass", "llm_query('x')", "grep('(a+)+$')"])
async def test_a_cancelled_turn_leaves_nothing(open_either: OpenEither, code: str) -> None:
    open_calls = 0

    async def llm_query(prompt: str) -> str:
        nonlocal open_calls
        open_calls += 1
        try:
            await asyncio.sleep(60)
        finally:
            open_calls -= 1
        return prompt

    session = await open_either("a" * 40 + "b", host={"llm_query": llm_query})
    pid = session.pid
    turn = asyncio.create_task(session.execute(code))
    await asyncio.sleep(0.2)
    assert alive(pid)
    assert not turn.done()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await gone(pid)
    assert open_calls == 0
    await no_task_but_this()
    after = await session.execute("print(len(context))")
    assert (after.stdout, after.fresh) == ("41\n", True)
