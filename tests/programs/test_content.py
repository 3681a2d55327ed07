"""Content in parts: text, images and files, in the form of either API."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from programs.content import read_content
from programs.errors import InvalidRequest

PNG = "data:image/png;base64,iVBORw0KGgo="


def file(text: bytes, kind: str = "text/plain") -> str:
    return f"data:{kind};base64,{base64.b64encode(text).decode()}"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "input_image", "image_url": PNG},
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "file", "file": {"filename": "a.png", "file_data": PNG}},
        {"type": "input_file", "filename": "a.png", "file_data": PNG},
    ],
)
def test_an_image_is_known_however_it_comes(part: dict[str, Any]) -> None:
    text, (url,) = read_content([{"type": "text", "text": "see"}, part], param="p", sees=True)
    assert text == "see"
    assert url in (PNG, "https://example.org/a.png")
    with pytest.raises(InvalidRequest, match="no vision backend is configured"):
        read_content([part], param="p", sees=False)


def test_an_image_that_a_tool_gave_is_told_of_where_nobody_can_see_it() -> None:
    text, images = read_content([{"type": "input_image", "image_url": PNG}], param="p", sees=False, result=True)
    assert "cannot be seen" in text
    assert not images


def test_a_file_of_text_is_its_text() -> None:
    parts = [{"type": "input_file", "filename": "a.txt", "file_data": file("äpfel".encode())}]
    assert read_content(parts, param="p", sees=False) == ("a.txt:\näpfel\n", ())


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_file", "filename": "a.pdf", "file_data": file(b"%PDF\xff\xfe", "application/pdf")},
        {"type": "input_file", "file_data": "data:text/plain;base64,???"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_image", "file_id": "file_1"},
        {"type": "input_image", "image_url": "file:///etc/passwd"},
        {"type": "input_audio", "input_audio": {"data": "AAAA"}},
        {},
    ],
)
def test_anything_else_is_refused_by_its_place(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_content([{"type": "text", "text": "a"}, part], param="input[0].content", sees=True)
    assert refused.value.param == "input[0].content[1]"
