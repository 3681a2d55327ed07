"""Vision: images come into a conversation as what the vision backend sees in them.

Each image is looked at once, with the words that it was sent with in mind, and told as text; in an exploration, code
asks more about it with `vision_query(question, number)`. What was seen is kept for as long as this process lives, so
that a conversation that is sent again is told in the same words.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dspy

from programs.errors import InvalidRequest
from programs.together import together
from programs.tools.fetching import FetchFailed, fetch
from programs.transcript import Message, Session, Transcript
from programs.tree import Tree
from signatures import Look

_DESCRIBE = "Describe this image: what it shows, and all text in it, word by word."
_WITH_WORDS = 1000  # characters of what an image was sent with
_MOST_BYTES = 20 << 20
_SECONDS = 30.0
_KEPT = 1024


class Vision(dspy.Module):  # type: ignore[misc]
    """Looks at images for the models that cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.look = dspy.Predict(Look)
        self._seen: OrderedDict[str, str] = OrderedDict()

    async def told(self, session: Session, tree: Tree) -> Session:
        """The session, the images of its messages told in their text.

        Raises:
            InvalidRequest: an image cannot be fetched.
            BudgetSpent, BackendError: it could not be looked at.
        """
        images = images_of(session)
        if not images:
            return session
        asked = [_asking(message.content) for message in session.transcript.messages for _ in message.images]
        seen = iter(await together(self._once(session, tree, *pair) for pair in zip(images, asked, strict=True)))
        messages: list[Message] = []
        number = 0
        for message in session.transcript.messages:
            lines = [message.content] if message.content else []
            for _ in message.images:
                number += 1
                lines.append(f"[image {number}: {next(seen)}]")
            messages.append(message.model_copy(update={"content": "\n".join(lines)}) if message.images else message)
        return replace(session, transcript=Transcript(messages=tuple(messages)))

    async def query(self, session: Session, tree: Tree, turn: int, question: str, number: int) -> str:
        """What is seen in image `number`, counted from 1, of the session.

        Raises:
            InvalidRequest: there is no such image, or it cannot be fetched.
            BudgetSpent, BackendError: it could not be looked at.
        """
        images = images_of(session)
        if not 1 <= number <= len(images):
            raise InvalidRequest(f"There is no image {number}: there are {len(images)}, counted from 1.")
        return await self._asked(session, tree, turn, images[number - 1], question)

    async def _once(self, session: Session, tree: Tree, url: str, question: str) -> str:
        key = _name(url, question)
        if (known := self._seen.get(key)) is not None:
            return known
        seen = self._seen[key] = await self._asked(session, tree, 0, url, question)
        while len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return seen

    async def _asked(self, session: Session, tree: Tree, turn: int, url: str, question: str) -> str:
        async def message() -> dict[str, Any]:
            return {"role": "user", "content": question, "images": [await _data(url)]}

        return await tree.look(session.id, turn, f"{_name(url, '')}: {question}", self.look, message)


def images_of(session: Session) -> Sequence[str]:
    """The URLs of the session's images, in order."""
    return [url for message in session.transcript.messages for url in message.images]


def _asking(words: str) -> str:
    """What is asked of an image that was sent with these words."""
    return f"{_DESCRIBE}\nIt was sent with these words: {words[:_WITH_WORDS]}" if words else _DESCRIBE


def _name(url: str, question: str) -> str:
    return hashlib.blake2b(f"{url}\0{question}".encode(), digest_size=16).hexdigest()


async def _data(url: str) -> str:
    """The image as a `data:` URL. It is fetched here, from public addresses alone, and not by the backend.

    Raises:
        InvalidRequest: it cannot be fetched, or is no image.
    """
    if url.startswith("data:"):
        return url
    try:
        fetched = await fetch(url, limit_bytes=_MOST_BYTES, timeout=_SECONDS)
    except FetchFailed as error:
        raise InvalidRequest(f"The image cannot be fetched: {error}", code="invalid_image_url") from error
    if fetched.status != 200 or not fetched.content_type.startswith("image/"):
        raise InvalidRequest(
            f"The image cannot be fetched: {url} gives {fetched.content_type or 'nothing'} (HTTP {fetched.status}).",
            code="invalid_image_url",
        )
    return f"data:{fetched.content_type};base64,{base64.b64encode(fetched.body).decode()}"
