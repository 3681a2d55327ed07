"""Which tools an intent is like: words that are the same in all their forms, the rarer the better."""

from __future__ import annotations

import pytest

from programs.likeness import hint, likenesses
from programs.transcript import Tool


def tool(name: str, description: str = "", **arguments: str) -> Tool:
    properties = {key: {"type": "string", "description": said} for key, said in arguments.items()}
    return Tool(name=name, description=description, parameters={"type": "object", "properties": properties})


AREA = tool("circle_area", "Calculates the area of a circle.", radius="its radius")
PLACE = tool("findPlace", "Looks up places on a map.", city="where to look")
FILES = tool("read", "Shows what a file holds.")
TOOLS = (AREA, PLACE, FILES)


@pytest.mark.parametrize(
    ("intent", "name"),
    [
        ("calculating areas of circles", "circle_area"),
        ("a place in the city of Rome", "findPlace"),
        ("something of radius 5", "circle_area"),
        ("what does the file hold?", "read"),
        ("what does this place hold? read circle.py", "read"),
    ],
)
def test_the_tool_that_shares_most_words_is_the_most_like(intent: str, name: str) -> None:
    assert max(likenesses(intent, TOOLS), key=lambda like: like.score).tool.name == name


def test_what_is_done_tells_tools_apart_that_are_about_the_same() -> None:
    tools = [tool("BookSalon", "Books a salon."), tool("FindSalon", "Lists salons.")]
    assert hint("find me a salon in Rome", tools).startswith("FindSalon (find, salon)")


def test_words_that_say_nothing_are_not_shared() -> None:
    assert hint("What is this and how do I do it?", TOOLS) == "none"


def test_the_hint_names_the_best_first_with_the_intents_own_words() -> None:
    assert hint("the areas of some circles", TOOLS) == "circle_area (areas, circles)"
    both = hint("the area of a circle around that place", TOOLS)
    assert both.startswith("circle_area (area, circle), findPlace (place")


def test_a_number_in_both_makes_no_tool_like_an_intent() -> None:
    assert hint("the roots of 3x^2 - 2x - 5", [tool("distance", "Between 2 points.")]) == "none"


def test_a_tool_without_a_schema_is_like_its_name() -> None:
    bare = Tool(name="webFetch")
    assert [like.words for like in likenesses("fetch https://example.com", [bare])] == [("fetch",)]
