"""`peek`, `grep`, `search` and `chunks`, over each shape that a context has."""

from __future__ import annotations

from typing import Any

import pytest

from programs.environment.inside.helpers import bound_to

TEXT = "The first line.\nHere the secret is heliotrope.\nA last line with Needles.\n"
SHAPES: list[Any] = [
    TEXT,
    TEXT.splitlines(),
    [{"role": "user", "content": line} for line in TEXT.splitlines()],
]


def helpers(context: Any) -> Any:
    return type("Helpers", (), {name: staticmethod(f) for name, f in bound_to(lambda: context).items()})


@pytest.mark.parametrize("context", SHAPES)
def test_grep_gives_the_lines(context: Any) -> None:
    (line,) = helpers(context).grep("HELIO\\w+")
    assert line.endswith("Here the secret is heliotrope.")


def test_grep_gives_a_line_once_and_no_more_than_asked_for() -> None:
    assert helpers("a a a\nb\na").grep("a") == ["a a a", "a"]
    assert helpers("a\n" * 100).grep("a", 3) == ["a"] * 3
    assert helpers("a\nb\nc\nd").grep("b\nc") == ["b\nc"]


@pytest.mark.parametrize("context", SHAPES)
def test_peek_reads_from_both_ends(context: Any) -> None:
    h = helpers(context)
    assert "The first" in h.peek(0, 30)
    assert "Needles." in h.peek(-12)


@pytest.mark.parametrize("context", SHAPES)
@pytest.mark.parametrize("size", [1, 7, 40, 10_000])
def test_chunks_hold_everything_and_are_no_longer_than_asked_for(context: Any, size: int) -> None:
    pieces = helpers(context).chunks(size)
    assert all(0 < len(piece) <= size for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join("".join(helpers(context).chunks(10**6)).split())


def test_chunks_of_one_text_join_to_it() -> None:
    text = "Word after word. " * 1000
    assert "".join(helpers(text).chunks(100)) == text
    assert helpers("").chunks() == []
    with pytest.raises(ValueError, match="size"):
        helpers("abc").chunks(0)


def test_search_ranks_the_passage_that_answers_first() -> None:
    noise = [f"Paragraph {n} speaks of gardens, rivers and the number of trees." for n in range(3000)]
    noise[1234] = "The magic number of the quiet harbour is 7741."
    noise[77] = "The magic number of the loud market is 1234."
    first = helpers("\n".join(noise)).search("What is the magic number of the quiet harbour?")[0]
    assert "7741" in first


@pytest.mark.parametrize("context", SHAPES)
def test_search_finds_a_word_in_another_form(context: Any) -> None:
    assert "Needles" in helpers(context).search("needle", 1)[0]


def test_search_says_nothing_where_nothing_fits() -> None:
    assert helpers("some text").search("zebra") == []
    assert helpers("").search("zebra") == []
    assert helpers("the the").search("the") != []
