"""A sub-LM that knows: it labels instances and finds needles, exactly, or wrongly as often as it is told to."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, Final

from evals.scripted import Reply, usage
from evals.tasks.conversation import messages_of
from evals.tasks.instances import LABELS

GIVE_LABELS: Final = "Give for each line its label, one a line"
"""A prompt that begins so goes on with a blank line and then one instance a line."""

UNKNOWN: Final = "unknown"
"""The label of a text that no task has: it came to the oracle changed."""

_ASKED = re.compile(r"What is the access code of the (\w+ \w+)\?")


class Oracle:
    """The script of a sub-LM.

    Args:
        gold: the label of each instance, by its text; see `Task.gold`.
        error_rate: the part of the instances that it mislabels, from 0 to 1; always the same ones.
        seed: which ones, and as what.
        delay: in seconds, before each reply.
        jitter: in seconds; each reply waits up to so much longer, by its prompt, so that replies overtake each other.
    """

    def __init__(
        self,
        gold: Mapping[str, str] | None = None,
        *,
        error_rate: float = 0.0,
        seed: int = 0,
        delay: float = 0.0,
        jitter: float = 0.0,
    ) -> None:
        self.gold = gold or {}
        self.error_rate = error_rate
        self.seed = seed
        self.delay = delay
        self.jitter = jitter

    def __call__(self, body: dict[str, Any]) -> Reply:
        """The reply to the last message.

        Raises:
            ValueError: it asks for nothing that an oracle knows.
        """
        prompt = messages_of(body)[-1].text
        reply = self._answer(prompt)
        tokens = usage(prompt=len(prompt) // 4, completion=len(reply) // 4)
        delay = self.delay + self.jitter * random.Random(f"{self.seed} {prompt}").random()
        return Reply([reply], usage=tokens, first_delay=delay)

    def label(self, text: str) -> str:
        """The label that it gives to an instance, `UNKNOWN` where it has none."""
        known = self.gold.get(text.strip())
        if known is None:
            return UNKNOWN
        dice = random.Random(f"{self.seed} {text.strip()}")
        if dice.random() < self.error_rate:
            return dice.choice([label for label in LABELS if label != known])
        return known

    def _answer(self, prompt: str) -> str:
        if prompt.startswith(GIVE_LABELS):
            _, _, listed = prompt.partition("\n\n")
            return "\n".join(self.label(line) for line in listed.splitlines())
        asked = _ASKED.search(prompt)
        if asked is None:
            raise ValueError(f"an oracle cannot answer {prompt[:200]!r}")
        told = re.search(rf"The access code of the {asked[1]} is (\d+)\.", prompt)
        return told[1] if told else "The text does not say."
