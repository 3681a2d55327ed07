"""A message's content as clients send it: a text, or parts of text, images and files, in the form of either API.

Source: https://platform.openai.com/docs/api-reference/chat/create (`messages`) and
https://platform.openai.com/docs/api-reference/responses/create (`input`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from programs.errors import InvalidRequest

_IMAGES = ("image_url", "input_image", "image")
_FILES = ("file", "input_file")
_UNSEEN = "[an image, which cannot be seen: no vision backend is configured]"


def read_content(content: Any, *, param: str, sees: bool, result: bool = False) -> tuple[str, tuple[str, ...]]:
    """The text of a message, and the URLs of its images: `data:` or `http(s):`.

    Args:
        content: a string, null, or a list of parts.
        param: where it stands in the request.
        sees: whether there is a backend that can look at images.
        result: it is what came of a tool. An image there that nobody can see is told of instead: a client cannot take
            it back.

    Raises:
        InvalidRequest: a part is of a kind that cannot be read, or is an image that nobody can see.
    """
    if content is None or isinstance(content, str):
        return content or "", ()
    texts: list[str] = []
    images: list[str] = []
    for index, part in enumerate(content):
        place = f"{param}[{index}]"
        text = part.get("text", part.get("refusal"))
        if isinstance(text, str):
            texts.append(text)
        elif (url := _image(part, place)) is None:
            texts.append(_file(part, place))
        elif sees:
            images.append(url)
        elif result:
            texts.append(_UNSEEN)
        else:
            raise InvalidRequest(
                "There is nobody to look at images: no vision backend is configured. Send text, or configure"
                " models.vision.",
                param=place,
                code="unsupported_content",
            )
    return "".join(texts), tuple(images)


def _image(part: Mapping[str, Any], place: str) -> str | None:
    """The URL of the image that a part is; None where it is something else."""
    kind = part.get("type")
    if kind in _FILES and (data := _inner(part).get("file_data")) and str(data).startswith("data:image/"):
        return str(data)
    if kind not in _IMAGES:
        return None
    said = part.get("image_url")
    url = said.get("url") if isinstance(said, Mapping) else said
    if not isinstance(url, str):
        raise InvalidRequest(
            "An image should have an image_url, `data:` or `http(s):`; files by id are not kept here.",
            param=place,
            code="unsupported_content",
        )
    if not url.startswith(("data:image/", "http://", "https://")):
        raise InvalidRequest("An image's URL should be `data:image/...` or `http(s):`.", param=place)
    return url


def _file(part: Mapping[str, Any], place: str) -> str:
    """The text of the file that a part is.

    Raises:
        InvalidRequest: it is none, or no text.
    """
    data = _inner(part).get("file_data")
    if part.get("type") not in _FILES or not isinstance(data, str):
        raise InvalidRequest(
            f"Content of type {part.get('type')!r} cannot be read: send text, an image, or a file with its file_data.",
            param=place,
            code="unsupported_content",
        )
    try:
        text = base64.b64decode(data.rpartition(",")[2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidRequest(
            "The file is no text in UTF-8, and no image: send its text.", param=place, code="unsupported_content"
        ) from error
    name = _inner(part).get("filename")
    return f"{name}:\n{text}\n" if isinstance(name, str) else text


def _inner(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A file's fields: in chat they lie in an object of their own."""
    inner = part.get("file")
    return inner if isinstance(inner, Mapping) else part
