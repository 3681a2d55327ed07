"""One call of the model, with a text and a question about it: how it is worded, and how much text goes into it."""

from __future__ import annotations

from collections.abc import Callable

from dspy.lm15 import Message, Request
from dspy.utils.exceptions import LMError

from evals.metering import cost
from programs import Backends
from programs.adapter import call_config, text_of
from programs.backends import calling, translate
from programs.budget import Budget
from programs.errors import ContextTooLong
from programs.settings import BudgetSettings
from programs.splitter import without_thinking
from programs.transcript import estimate_tokens
from programs.tree import UNKNOWN_WINDOW

_INSTRUCTION = "Answer this question about the text above, in the form that it asks for."
_REPLY_SHARE, _LONGEST_REPLY = 4, 4096  # what is left for a reply where nobody said: a part of the window, in tokens
_SMALLER = 0.8  # when a text was too long all the same: tokens are counted roughly
_MOST_TRIES = 5
_CONCLUDING_SHARE = 0.9  # of the seconds


def worded(text: str, question: str) -> str:
    """The prompt of every strategy that asks once."""
    return f"{text}\n\n{_INSTRUCTION}\n\n{question}"


def room_of(backends: Backends, *beside: str) -> int:
    """How many tokens of text go into a prompt.

    Args:
        backends: the generator's window, less its reply: as `max_tokens` is configured, else a quarter of the window
            and at most 4096.
        beside: what else is in the prompt.
    """
    window = backends.window("generator") or UNKNOWN_WINDOW
    reply = backends.settings.generator.parameters.get("max_tokens") or min(window // _REPLY_SHARE, _LONGEST_REPLY)
    return max(1, window - reply - sum(map(estimate_tokens, beside)))


async def ask(backends: Backends, prompt: str, budget: Budget, *, concluding: bool = False) -> str:
    """What the generator replies to `prompt` alone, without what it calls thinking.

    Args:
        backends: the models.
        prompt: of the user; there is no other message.
        budget: is charged.
        concluding: see `Budget.call`.

    Raises:
        BudgetSpent, BackendError, ContextTooLong: it was not asked, or failed.
    """
    lm = backends.lm("generator")
    request = Request(model=lm.model, messages=(Message.user(prompt),), config=call_config(lm.kwargs))
    async with budget.call(estimate_tokens(prompt), concluding=concluding) as left:
        try:
            with calling(within=left):
                response = await lm.acall(request)
        except LMError as error:
            raise translate(error, role="generator") from error
    budget.spend(cost(request, response))
    return without_thinking(text_of(response)).strip()


async def ask_about(backends: Backends, question: str, budget: Budget, shown: Callable[[int], str]) -> str:
    """The reply to `question` about as much of a text as fits.

    Args:
        backends: the models.
        question: is asked.
        budget: is charged.
        shown: what of the text fits into so many tokens. Called again for fewer where the prompt was too long.

    Raises:
        BudgetSpent, BackendError, ContextTooLong: it was not asked, or failed.
    """
    room = room_of(backends, worded("", question))
    for tries_left in reversed(range(_MOST_TRIES)):
        try:
            return await ask(backends, worded(shown(room), question), budget)
        except ContextTooLong:
            if not tries_left:
                raise
            room = int(room * _SMALLER)
    raise AssertionError("the last try returns or raises")


def concluding(budget: BudgetSettings) -> BudgetSettings:
    """The budget of a program that concludes when it is spent: it keeps the last tenth of its seconds for that."""
    return budget.model_copy(update={"seconds": budget.seconds * _CONCLUDING_SHARE})
