"""How likely each label is for a text, by the first token of a model's reply.

The likeliest first tokens tell more than the one reply that a model writes, and cost one token: there is a label
whatever form the model would give its reply, and what it leans to whatever the text is can be taken off (arXiv
2102.09690, "Calibrate Before Use").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from dspy.lm15 import TokenLogprob, TopLogprob

TOP = 20  # tokens that are told: most servers tell no more
_LEAST = -100.0  # of a logarithm

BLANK = ("N/A", "?", "something", "the")
"""Texts that no label fits better than another."""

type Likelihoods = Mapping[str, float]
"""The logarithm of each label's probability among the labels; of a lean, up to a constant."""


def likelihoods(reply: Sequence[TokenLogprob] | None, labels: Sequence[str]) -> Likelihoods | None:
    """How likely each label is; None where the reply does not tell.

    A token is for the one label that begins with it. A label for which none is told has at most the probability of the
    last of them. Where a token with which several labels begin is likelier than what is for any one, they cannot be
    told apart.

    Args:
        reply: the tokens of the reply, the first with the likeliest in its place.
        labels: which the reply may be.
    """
    if not reply or not reply[0].top:
        return None
    told, shared = dict.fromkeys(labels, 0.0), 0.0
    for token in reply[0].top:
        meant = [label for label in told if _begins(label, token)]
        if len(meant) == 1:
            told[meant[0]] += _probability(token)
        elif meant:
            shared = max(shared, _probability(token))
    most = max(told.values())
    if most <= shared:
        return None
    least = min(map(_probability, reply[0].top))
    found = {label: math.log(probability or least) for label, probability in told.items()}
    whole = math.log(sum(map(math.exp, found.values())))
    return {label: likely - whole for label, likely in found.items()}


def lean(blank: Sequence[Likelihoods]) -> Likelihoods | None:
    """What a model leans to, by how likely it takes each label to be for blank texts; None where there are none."""
    return {label: sum(one[label] for one in blank) / len(blank) for label in blank[0]} if blank else None


def likeliest(likely: Likelihoods, leaning: Likelihoods) -> str:
    """The label that is likeliest beyond what the model leans to."""
    return max(likely, key=lambda label: likely[label] - leaning[label])


def written(likely: Likelihoods | None) -> str:
    """For a record; `read` reads it."""
    return json.dumps(likely, ensure_ascii=False)


def read(text: str) -> Likelihoods | None:
    """What `written` wrote."""
    likely: Likelihoods | None = json.loads(text)
    return likely


def _probability(token: TopLogprob) -> float:
    """Some servers say -9999 for what is as good as impossible."""
    return math.exp(min(0.0, max(token.logprob, _LEAST)))


def _begins(label: str, token: TopLogprob) -> bool:
    """Whether a label begins with a token, in any case of ASCII. A token may be a part of a character."""
    said = token.token.encode() if token.bytes is None else bytes(token.bytes)
    beginning = said.lstrip().lower()
    return bool(beginning) and label.encode("utf-8", "replace").lstrip().lower().startswith(beginning)
