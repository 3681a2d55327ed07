"""What the user reads and what is held back, at any chunking."""

import random
import time

import pytest

from programs.splitter import Splitter, join, split
from programs.transcript import ToolIntent

INTENT = """I'll add the missing check.
TOOL_INTENT: in src/app.py replace block OLD with block NEW
<<<OLD
    return cache[key]
>>>OLD
<<<NEW
    return cache.get(key)
>>>NEW
"""

REPLIES: list[tuple[str, str, tuple[ToolIntent, ...]]] = [
    ("hello world\n\n  indented \n", "hello world\n\n  indented \n", ()),
    ("", "", ()),
    ("\n\n", "\n\n", ()),
    (
        INTENT,
        "I'll add the missing check.",
        (
            ToolIntent(
                text="in src/app.py replace block OLD with block NEW",
                blocks={"OLD": "    return cache[key]", "NEW": "    return cache.get(key)"},
            ),
        ),
    ),
    ("TOOL_INTENT: list the files", "", (ToolIntent(text="list the files"),)),
    (
        "Both.\n\nTOOL_INTENT: read a.py\nTOOL_INTENT: read b.py",
        "Both.",
        (ToolIntent(text="read a.py"), ToolIntent(text="read b.py")),
    ),
    # A block is taken whole, whatever is written in it, with its own line ends.
    (
        "TOOL_INTENT: write it\n<<<FILE\r\na\tb\r\nTOOL_INTENT: not one\n<<<INNER\n>>>INNER\n\n>>>FILE\nthen look",
        "",
        (
            ToolIntent(
                text="write it\n\nthen look", blocks={"FILE": "a\tb\r\nTOOL_INTENT: not one\n<<<INNER\n>>>INNER\n"}
            ),
        ),
    ),
    ("TOOL_INTENT: write\n<<<E\n>>>E", "", (ToolIntent(text="write", blocks={"E": ""}),)),
    (
        "TOOL_INTENT: write\n<<<CUT\nfirst\nsec",
        "",
        (ToolIntent(text="write", blocks={"CUT": "first\nsec"}, complete=False),),
    ),
    ("<think>\nhm, TOOL_INTENT: no\n</think>\n\nThe answer", "The answer", ()),
    ("A\n<think>x</think>\nB", "A\nB", ()),
    ("<think>a</think><think>b</think>C", "C", ()),
    ("<think>never closed, so never shown", "", ()),
    ("A\n\n<think>q</think>", "A", ()),
    ("<think>plan</think>\nTOOL_INTENT: go", "", (ToolIntent(text="go"),)),
    # Where a marker cannot stand, it is text.
    ("a <think> b, and TOOL_INTENT: c", "a <think> b, and TOOL_INTENT: c", ()),
    ("```\nTOOL_INTENT: x\n<think>\n```\ndone", "```\nTOOL_INTENT: x\n<think>\n```\ndone", ()),
    # What only begins like a marker is text.
    ("<thin", "<thin", ()),
    ("TOOL_INT", "TOOL_INT", ()),
    ("``\nx```", "``\nx```", ()),
    ("price <\n<b>bold</b>", "price <\n<b>bold</b>", ()),
]


@pytest.mark.parametrize(("reply", "text", "intents"), REPLIES)
def test_reply_is_parted(reply: str, text: str, intents: tuple[ToolIntent, ...]) -> None:
    assert split(reply) == (text, intents)


@pytest.mark.parametrize("reply", [reply for reply, _, _ in REPLIES])
def test_chunking_changes_nothing(reply: str) -> None:
    chance = random.Random(reply)
    for _ in range(50):
        splitter, position, pieces = Splitter(), 0, []
        while position < len(reply):
            length = chance.randint(1, 5)
            pieces.append(splitter.feed(reply[position : position + length]))
            position += length
        pieces.append(splitter.finish())
        assert ("".join(pieces), splitter.intents) == split(reply)


def test_text_is_held_back_only_as_long_as_it_could_be_a_marker() -> None:
    splitter = Splitter()
    assert splitter.feed("Look.") == "Look."
    assert splitter.feed("\nTOOL_") == ""
    assert splitter.feed("BOX: full") == "\nTOOL_BOX: full"
    assert splitter.feed(" <think>") == " <think>"


def test_join_writes_what_split_reads() -> None:
    intents = (ToolIntent(text="edit a.py", blocks={"OLD": "x\n", "NEW": ""}), ToolIntent(text="run the tests"))
    assert split(join("On it.", intents)) == ("On it.", intents)


@pytest.mark.parametrize("line", ["x" * 49 + "\n", "```\n", " " * 49 + "\n", "x" * 50])
def test_long_replies_are_split_in_no_time(line: str) -> None:
    reply = line * (2_000_000 // len(line)) + "."
    start = time.monotonic()
    assert split(reply) == (reply, ())
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8192])
def test_a_marker_in_the_middle_of_a_long_piece_is_found(size: int) -> None:
    for before in range(size - 14, size + 1):
        text = "x" * before
        assert split(f"{text}\nTOOL_INTENT: look") == (text, (ToolIntent(text="look"),))
        assert split(f"<think>{text}</think>Yes") == ("Yes", ())


# --- calls that are written out, where tools are offered


LOOK = '{"name": "look", "arguments": {"path": "a"}}'


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("reply", "text", "intents"),
    [
        (f"Hi\n```json\n{LOOK}\n```\nBye", "Hi\nBye", [f"```json\n{LOOK}\n```"]),
        (LOOK, "", [LOOK]),
        (f"Right.\n<tool_call>\n{LOOK}\n</tool_call>", "Right.", [f"<tool_call>\n{LOOK}\n</tool_call>"]),
        (f"<tool_call>{LOOK}", "", [f"<tool_call>{LOOK}"]),
        ("<tool_call>nonsense</tool_call>", "", ["<tool_call>nonsense</tool_call>"]),
        (
            "<function=look>\n<parameter=path>\na\n</parameter>\n</function>",
            "",
            ["<function=look>\n<parameter=path>\na\n</parameter>\n</function>"],
        ),
        ('{"name": "Ann", "arguments": 3}', '{"name": "Ann", "arguments": 3}', []),
        ('```json\n{"name": "Ann"}\n```\nx', '```json\n{"name": "Ann"}\n```\nx', []),
        ("```python\nprint(1)\n```\nTOOL_INTENT: run it", "```python\nprint(1)\n```", ["run it"]),
        ("Write <tool_call> like this", "Write <tool_call> like this", []),
    ],
)
def test_a_call_of_an_offered_tool_is_an_intent_however_the_reply_is_cut(
    reply: str, text: str, intents: list[str], size: int
) -> None:
    splitter = Splitter({"look"})
    said = "".join(splitter.feed(reply[start : start + size]) for start in range(0, len(reply), size))
    assert (said + splitter.finish(), [intent.text for intent in splitter.intents]) == (text, intents)


def test_without_tools_a_call_is_text() -> None:
    assert split(LOOK) == (LOOK, ())


def test_results_that_the_model_makes_up_are_dropped_and_end_the_reply() -> None:
    splitter = Splitter({"look"})
    written = "TOOL_INTENT: write a\n<<<A\nTOOL_RESULT\n>>>A"
    splitter.feed(written)
    assert not splitter.guessing  # in a block it is verbatim text
    splitter.feed("\nTOOL_RESULT write:\ndone\nTOOL_INTENT: write b\n<<<B\nb\n>>>B")
    assert splitter.guessing
    splitter.finish()
    assert splitter.intents == (ToolIntent(text="write a", blocks={"A": "TOOL_RESULT"}),)


def test_markers_may_end_their_lines_as_windows_does() -> None:
    written = "TOOL_INTENT: write it\r\n<<<A\r\none\r\ntwo\r\n>>>A\r\nTOOL_INTENT: look\r\n"
    assert split(written)[1] == (
        ToolIntent(text="write it", blocks={"A": "one\r\ntwo"}),
        ToolIntent(text="look"),
    )


def test_an_intent_after_a_block_that_nobody_closed_is_read() -> None:
    written = "TOOL_INTENT: write it\n<<<A\none\n<<<B\ntwo\n>>>B\nTOOL_RESULT: not one\nTOOL_INTENT: look"
    first, second = split(written)[1]
    assert (first.text, first.complete) == ("write it", False)
    assert first.blocks["A"].startswith("one\n")
    assert first.blocks["B"] == "two"
    assert second == ToolIntent(text="look")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_result_in_a_block_is_no_guess_and_one_behind_it_is(size: int) -> None:
    block = "TOOL_INTENT: write it\n<<<A\nTOOL_RESULT: x\n>>>B\n<<<C\nTOOL_RESULT: y\n>>>A\n"
    splitter = Splitter()
    for start in range(0, len(block), size):
        splitter.feed(block[start : start + size])
        assert not splitter.guessing
    splitter.feed("TOOL_")
    assert not splitter.guessing
    splitter.feed("RESULT write:")
    assert splitter.guessing
    splitter.finish()
    assert splitter.intents == (
        ToolIntent(text="write it", blocks={"A": "TOOL_RESULT: x\n>>>B\n<<<C\nTOOL_RESULT: y"}),
    )


@pytest.mark.parametrize(
    "line",
    ["<<<A\nTOOL_RESULT x\n", "<<<A\n>>>A\n", "TOOL_INTENT: look\n", "TOOL_INTENT: look\n<<<A\nx\n>>>A\n", "word\n"],
)
def test_long_intents_are_read_in_no_time(line: str) -> None:
    written = "TOOL_INTENT: look\n" + line * (200_000 // len(line))
    splitter = Splitter({"look"})
    for start in range(0, len(written), 20):
        splitter.feed(written[start : start + 20])
        assert not splitter.guessing
    splitter.finish()
    assert splitter.intents[0].text.startswith("look")


@pytest.mark.parametrize("begun", ['{"name": "no", "arguments": [', "```json\n[", "<tool_call>", "<function=look>"])
def test_long_calls_that_never_end_are_read_in_no_time(begun: str) -> None:
    written = begun + '{"x": 1},\n' * 20_000
    splitter = Splitter({"look"})
    said = "".join(splitter.feed(written[start : start + 20]) for start in range(0, len(written), 20))
    said += splitter.finish()
    assert said == written or splitter.intents
