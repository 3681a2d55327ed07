"""Parts a session into what the root LM is shown and what lies in the environment as context C.

Shown are the system's words, the recent turns, and the last message, each whole while it is short, else its head and
tail. Whatever is not shown whole is in the environment, whole.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from programs.transcript import Context, Message, Session, estimate_tokens

# Of the root LM's window: the system's words and the recent turns may take a quarter each, one message an eighth.
_SYSTEM_SHARE, _RECENT_SHARE, _MESSAGE_SHARE = 1 / 4, 1 / 4, 1 / 8
_BYTES_PER_TOKEN = 4
_QUESTION_CHARS = 2000
_SHOWN_CHARS = 300
_LEADING = ("system", "developer")


@dataclass(frozen=True, slots=True)
class View:
    """A session as its root LM meets it.

    Attributes:
        messages: what of the conversation is shown; the last one asks.
        question: what is asked, as the variable `question` holds it.
        context: what the variable `context` holds.
    """

    messages: tuple[Message, ...]
    question: str
    context: Context


def size_of(session: Session) -> int:
    """About how many tokens the session's conversation and context have."""
    said = sum(estimate_tokens(message.content) for message in session.transcript.messages)
    return said + sum(estimate_tokens(text) for text in texts_of(session.context))


def texts_of(context: Context | None) -> list[str]:
    """The texts that a context consists of, one after another."""
    if context is None:
        return []
    if isinstance(context, str):
        return [context]
    return [item if isinstance(item, str) else item["content"] for item in context]


def view(session: Session, window: int) -> View:
    """What is shown of `session` to a root LM whose window holds `window` tokens."""
    messages = session.transcript.messages
    body = next((index for index, message in enumerate(messages) if message.role not in _LEADING), len(messages))
    recent = _recent(messages[body:], window * _RECENT_SHARE, window * _MESSAGE_SHARE)
    first = len(messages) - recent
    shown = [
        *(_shortened(message, window * _SYSTEM_SHARE / body) for message in messages[:body]),
        *(_shortened(message, window * _MESSAGE_SHARE) for message in messages[first:]),
    ]
    asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
    if session.context is not None:
        return View(tuple(shown), _question(asked), session.context)
    whole = set(range(first, len(messages))) | set(range(body))
    cut = {index for index, kept in zip(sorted(whole), shown, strict=True) if kept != messages[index]}
    # Where all of it is shown, code can still work on it.
    rest = [index for index in range(len(messages)) if index not in whole or index in cut] or range(body, len(messages))
    context = [{"role": messages[index].role, "content": messages[index].content} for index in rest]
    return View(tuple(shown), _question(asked), context)


def _recent(messages: tuple[Message, ...], room: float, longest: float) -> int:
    """How many of the last messages are shown: the last one always.

    Where they no longer fit, half of the room is given up at once: between two such moments, the prompt of a turn is
    the beginning of the next turn's.
    """
    first, tokens = 0, 0.0
    sizes = [min(estimate_tokens(message.content), longest) for message in messages]
    for index, size in enumerate(sizes):
        tokens += size
        if tokens > room:
            while first < index and tokens > room / 2:
                tokens -= sizes[first]
                first += 1
    # A tool's result is shown with the call that it answers.
    while first > 0 and messages[first].role == "tool":
        first -= 1
    return len(messages) - first


def _question(asked: str) -> str:
    """What `asked` asks: all of it where it is short, else those of its first and its last paragraph that are."""
    if len(asked) <= _QUESTION_CHARS:
        return asked
    first, last = asked.lstrip().partition("\n\n")[0], asked.rstrip().rpartition("\n\n")[2]
    short = [part.strip() for part in (first, last) if len(part) <= _QUESTION_CHARS]
    asking = [part for part in short if "?" in part] or short
    return "\n\n".join(asking) or asked[-_QUESTION_CHARS:]


def _shortened(message: Message, room: float) -> Message:
    limit = max(_SHOWN_CHARS, int(room * _BYTES_PER_TOKEN))
    text = message.content
    if len(text) <= limit:
        return message
    note = f"\n[... {len(text) - limit:,} characters are left out here; `context` has all of it ...]\n"
    return message.model_copy(update={"content": text[: limit // 2] + note + text[len(text) - limit // 2 :]})


def describe(context: Context) -> str:
    """What the variable `context` is, for a model that does not see it: type, size, structure, beginning and end."""
    texts = texts_of(context)
    characters = sum(map(len, texts))
    size = f"{characters:,} characters (about {sum(map(estimate_tokens, texts)):,} tokens)"
    if isinstance(context, str):
        if characters <= 2 * _SHOWN_CHARS:
            return f"`context` is a str of {size}:\n{context}"
        lines = context.count("\n") + 1
        return f"`context` is a str of {size} in {lines:,} lines. {_ends(context, context)}"
    if not texts:
        return "`context` is an empty list: all there is is shown here."
    if all(isinstance(item, str) for item in context):
        lengths = f"of {min(map(len, texts)):,} to {max(map(len, texts)):,} characters"
        what = f"a list of {len(texts):,} documents (str), {lengths}, {size} in all"
    else:
        roles = Counter(item["role"] for item in context if isinstance(item, dict))
        said = ", ".join(f"{count:,} of {role}" for role, count in roles.most_common())
        what = (
            f'a list of {len(texts):,} messages {{"role": ..., "content": ...}} of this conversation, oldest first'
            f" ({said}), {size} in all"
        )
    return f"`context` is {what}. {_ends(texts[0], texts[-1])}"


def _ends(first: str, last: str) -> str:
    return f"It begins:\n{first[:_SHOWN_CHARS].strip()}\n... and ends:\n{last[-_SHOWN_CHARS:].strip()}"
