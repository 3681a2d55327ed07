"""Parts a session into what the root LM is shown and what lies in the environment as context C.

Shown are the system's words, the recent turns, and the last message, each whole while it is short, else its head and
tail. Whatever is not shown whole is in the environment, whole. A question that stands at the beginning or the end of a
long message is shown, and in `question`; the rest of it is in `context`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from programs.retelling import words_of
from programs.transcript import Context, Message, Session, ToolIntent, estimate_tokens

# Of the root LM's window: the system's words and the recent turns may take a quarter each, one message an eighth.
_SYSTEM_SHARE, _RECENT_SHARE, _MESSAGE_SHARE = 1 / 4, 1 / 4, 1 / 8
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
    said = sum(estimate_tokens(words_of(message)) for message in session.transcript.messages)
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
    asks, asked = session.transcript.asks, session.transcript.asked
    question, left = parted(asked) if session.context is None else (asked, "")
    short, texts = _briefly(session, window, body, asks, (question, left))
    kept = [*range(body), *range(body + _recent(short[body:], window * _RECENT_SHARE), len(messages))]
    shown = tuple(short[index] for index in kept)
    if session.context is not None:
        return View(shown, question, session.context)
    whole = {index for index in kept if short[index] is messages[index]}
    # Where all of it is shown, code can still work on it.
    rest = [index for index in range(len(messages)) if index not in whole] or range(body, len(messages))
    without = {index: texts[index] for index in texts.keys() & {*kept}} | {asks: left}
    context = [
        {"role": messages[index].role, "content": without[index] if index in without else words_of(messages[index])}
        for index in rest
    ]
    # A text that somebody has put into one message is that text.
    alone = len(context) == 1 and context[0]["role"] == "user"
    return View(shown, question, context[0]["content"] if alone else context)


def _briefly(
    session: Session, window: int, body: int, asks: int, asked: tuple[str, str]
) -> tuple[list[Message], dict[int, str]]:
    """Each message as it is shown, if it is; and by their indices the texts of which only the question is.

    Args:
        session: whose messages they are.
        window: of the root LM.
        body: the index of the first message after the system's words.
        asks: the index of the last message of the user's.
        asked: its question, and the rest of it.
    """
    messages = session.transcript.messages
    described = asks if len(messages) == body + 1 else -1  # `describe` tells the ends of what is all there is
    short: list[Message] = []
    texts: dict[int, str] = {}
    for index, message in enumerate(messages):
        room = window * _SYSTEM_SHARE / body if index < body else window * _MESSAGE_SHARE
        brief = _shortened(message, room, _held(session, asks=index == asks))
        if session.context is None and brief is not message and message.role == "user":
            question, text = asked if index == asks else parted(message.content)
            if text != message.content:
                brief, texts[index] = _asking(message, question, text, ends=index != described), text
        short.append(brief)
    return short, texts


def _recent(messages: list[Message], room: float) -> int:
    """The index of the first of the last messages that are shown: the last one always is.

    Where they no longer fit, half of the room is given up at once: between two such moments, the prompt of a turn is
    the beginning of the next turn's.
    """
    first, tokens = 0, 0
    sizes = [estimate_tokens(words_of(message)) for message in messages]
    for index, size in enumerate(sizes):
        tokens += size
        if tokens > room:
            while first < index and tokens > room / 2:
                tokens -= sizes[first]
                first += 1
    # A tool's result is shown with the call that it answers.
    while first > 0 and messages[first].role == "tool":
        first -= 1
    return first


def parted(asked: str) -> tuple[str, str]:
    """What `asked` asks: all of it where it is short, else its beginning and its end, whichever are a question.

    A beginning, or an end, is a paragraph, or else a line, that is short. What is left is the text that it is asked
    about: whoever searches that for the words of the question should not find the question.
    """
    if len(asked) <= _QUESTION_CHARS:
        return asked, asked
    first, last = asked.lstrip().partition("\n\n")[0], asked.rstrip().rpartition("\n\n")[2]
    head, tail = _short(first, first.partition("\n")[0]), _short(last, last.rpartition("\n")[2])
    if asking := [end for end in (*head, *tail) if "?" in end]:
        left = asked
        for end in head:
            left = left.lstrip().removeprefix(end).lstrip() if end in asking else left
        for end in tail:
            left = left.rstrip().removesuffix(end).rstrip() if end in asking else left
        return "\n\n".join(asking), left
    half = _QUESTION_CHARS // 2
    return "\n\n".join([*head, *tail] or [asked[:half], asked[-half:]]), asked


def _short(*parts: str) -> list[str]:
    """The first of the parts that is short; none where none is."""
    return [part.strip() for part in parts if len(part) <= _QUESTION_CHARS][:1]


def _held(session: Session, *, asks: bool) -> str:
    """Where in the environment all of a message is, in words."""
    if session.context is None:
        return "; `context` has all of it"
    return "; `question` has all of it" if asks else ""


def _asking(message: Message, question: str, text: str, *, ends: bool) -> Message:
    """The message as its question, after the ends of its text if they are to be shown.

    More of the text would stand between a weak model and the question.
    """
    told = f"A long text; `context` has all of it. {_ends(text, text)}\n\n" if ends else ""
    return message.model_copy(update={"content": f"{told}{question}"})


def _shortened(message: Message, room: float, held: str) -> Message:
    """The message, its text, blocks and calls in at most `room` tokens each: `message` itself if they are."""
    content = shorten(message.content, room, held)
    intents = tuple(
        ToolIntent(
            text=shorten(intent.text, room, held),
            blocks={name: shorten(block, room, held) for name, block in intent.blocks.items()},
            complete=intent.complete,
        )
        for intent in message.intents
    )
    calls = tuple(
        call.model_copy(update={"arguments": shorten(call.arguments, room, held)}) for call in message.tool_calls
    )
    short = message.model_copy(update={"content": content, "intents": intents, "tool_calls": calls})
    return message if short == message else short


def shorten(text: str, room: float, held: str = "") -> str:
    """`text` in about `room` tokens: its head and its tail, and a note of what is left out, and where it is `held`."""
    tokens = estimate_tokens(text)
    if len(text) <= _SHOWN_CHARS or tokens <= room:
        return text
    # What is not ASCII takes several bytes a character.
    half = max(_SHOWN_CHARS, int(room * len(text) / tokens)) // 2
    note = f"\n[... {len(text) - 2 * half:,} characters are left out here{held} ...]\n"
    return text[:half] + note + text[len(text) - half :]


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
