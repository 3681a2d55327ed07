"""How much of a growing conversation the embedded model does not read again.

A coding client sends everything that was said with each turn. Reading is what costs on a small machine, so the prompt
of turn n has to come out of the model's cache in turn n+1, word for word.
"""

from __future__ import annotations

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from evals.performance.processes import rants
from evals.performance.table import Line, show

_LEAST_CACHED = 0.95  # of the last turn's prompt
_REPLY_TOKENS = 24

_RULES = (
    "Keep to the style of the file that you change.",
    "Never invent an API: look it up in the code first.",
    "Answer in at most four lines, without a preamble.",
    "Write no comments unless you are asked for them.",
    "Run the tests after each change and say what they said.",
    "Do not commit unless the user says so.",
    "Ask when a request can be read in two ways.",
    "Name the file and the line when you speak of code.",
)
_SYSTEM = "You are a coding agent that works in a terminal, in the folder of the user's project.\n" + "\n".join(
    f"{number}. In matters of {subject}: {rule}"
    for number, (subject, rule) in enumerate(
        ((subject, rule) for subject in ("Python", "SQL", "the shell") for rule in _RULES), start=1
    )
)
_TURNS = (
    "What does `git rebase --onto` do?",
    "My function `def area(w, h): return w * w` gives wrong areas. What is wrong?",
    "And how would a test for it look?",
    "Rename `w` and `h` to `width` and `height`, please.",
    "Which of these two loops is faster?\nfor x in list(a): print(x)\nfor x in a: print(x)",
    "Why is a mutable default argument a trap?",
    "Show me the shortest way to read a JSON file.",
    "What is the difference between `==` and `is`?",
    "How do I find out which commit broke the build?",
    "Sum up what we have talked about.",
)


async def cache() -> None:
    """Hold a conversation of ten turns with the embedded model, measure and print a table. Takes about a minute.

    Raises:
        RuntimeError: RANTS does not start.
        openai.APIError: it does not answer.
    """
    lines = []
    async with rants() as server, AsyncOpenAI(base_url=f"{server.address}/v1", api_key="none") as client:
        said: list[ChatCompletionMessageParam] = [{"role": "system", "content": _SYSTEM}]
        # As opencode does, something else is asked in between: a title for the session.
        await _ask(client, [{"role": "user", "content": f"Write a title of four words for: {_TURNS[0]}"}])
        before = 0
        for number, question in enumerate(_TURNS, start=1):
            said.append({"role": "user", "content": question})
            answer, prompt, cached = await _ask(client, said)
            said.append({"role": "assistant", "content": answer})
            if before:
                share = cached / before
                lines.append(
                    Line(
                        f"turn {number}",
                        (str(before), str(prompt), str(cached), f"{cached / prompt:.3f}"),
                        f"{share:.3f}",
                        f">= {_LEAST_CACHED:g}",
                        share >= _LEAST_CACHED,
                    )
                )
            before = prompt
    show(
        "Tokens of a growing prompt, embedded model; ratio: from the cache to last turn's",
        ("last turn's", "this turn's", "from the cache", "of this turn's"),
        lines,
    )


async def _ask(client: AsyncOpenAI, messages: list[ChatCompletionMessageParam]) -> tuple[str, int, int]:
    """The answer, the tokens of the prompt, and how many of these came from the cache."""
    reply = await client.chat.completions.create(model="rants-one", messages=messages, max_tokens=_REPLY_TOKENS)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens_details is not None
    cached = reply.usage.prompt_tokens_details.cached_tokens or 0
    return reply.choices[0].message.content or "", reply.usage.prompt_tokens, cached
