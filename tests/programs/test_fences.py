"""Which code a reply holds, however its model writes fences, and how a reply with code is written."""

import random

import pytest

from programs.fences import read_code, write_code

CODE = "x = 1\nprint(x)"


@pytest.mark.parametrize(
    "tag", ["python", "Python", "PYTHON", "python3", "py", "repl", "", " python", "{python}", "python title=a"]
)
def test_a_block_of_any_tag_that_means_python_is_code(tag: str) -> None:
    assert read_code(f"I look.\n```{tag}\n{CODE}\n```\nThen I see.") == ("I look.", CODE)


@pytest.mark.parametrize("tag", ["json", "text", "output", "sql", "c++", "objective-c", "pythonic"])
def test_a_block_of_another_language_is_prose(tag: str) -> None:
    reply = f"I look.\n```{tag}\n{CODE}\n```"
    assert read_code(reply) == (reply, "")


def test_a_block_of_another_language_before_the_code_is_kept_in_the_words() -> None:
    said = "As in\n```json\n{}\n```\nI look."
    assert read_code(f"{said}\n```python\n{CODE}\n```") == (said, CODE)


def test_several_blocks_are_one_code_in_their_order_and_what_is_between_them_is_dropped() -> None:
    reply = "A.\n```python\nx = 1\n```\nIt prints 5, so:\n```text\n5\n```\n```\nprint(x)\n```\nThe answer is 5."
    assert read_code(reply) == ("A.", CODE)


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{CODE}",
        f"```python\n{CODE}\n",
        f"```python\n{CODE}```",
        f"```python\n{CODE}\n```",
        f"```python\n{CODE}\n  ```  \nwords",
        f"```python\n{CODE}\n``````",
        f"````python\n{CODE}\n````\nwords",
        f"\n\n  \n```python\n{CODE}\n```\n\n",
    ],
)
def test_a_fence_may_be_closed_in_many_ways_or_not_at_all(reply: str) -> None:
    assert read_code(reply) == ("", CODE)


def test_line_ends_may_be_of_any_system() -> None:
    words, code = read_code("I look.\r\n```python\r\nx = 1\r\nprint(x)\r\n```\r\nDone.\r\n")
    assert (words, code.splitlines()) == ("I look.", CODE.splitlines())


def test_a_fence_in_a_list_is_indented_and_its_code_is_not() -> None:
    reply = "1. I look:\n   ```python\n   if True:\n       x = '''\n a'''\n\n   print(x)\n   ```\n2. I see."
    assert read_code(reply) == ("1. I look:", "if True:\n    x = '''\na'''\n\nprint(x)")


def test_spaces_that_begin_the_code_of_a_fence_that_is_not_indented_are_its_own() -> None:
    assert read_code("```python\n  x = 1\n```") == ("", "  x = 1")


@pytest.mark.parametrize(
    "reply", ["", "  \n", "SUBMIT(1)", "Call `SUBMIT(1)`.", "```python\n\n```", "```\n", "```python"]
)
def test_a_reply_without_code_is_words(reply: str) -> None:
    assert read_code(reply) == (reply.strip(), "")


def test_fences_within_a_line_are_words() -> None:
    assert read_code("A fence is ``` and\n```python\nprint('``` no fence ```')\n```") == (
        "A fence is ``` and",
        "print('``` no fence ```')",
    )


def test_empty_blocks_are_not_code_and_do_not_hide_it() -> None:
    words, code = read_code(f"A.\n```python\n\n```\nB.\n```python\n{CODE}\n```")
    assert code == CODE
    assert words.startswith("A.")


def test_long_replies_are_read_at_once() -> None:
    lines = "\n".join(f"x{n} = '`' * {n}" for n in range(100_000))
    assert read_code(f"```python\n{lines}\n```")[1] == lines
    for nothing in ("`" * 100_000, "```\n" * 20_000, "``` " * 20_000, " " * 100_000):
        read_code(f"{nothing}x")


@pytest.mark.parametrize("words", ["", "I look.", "I look.\n\nAgain:"])
@pytest.mark.parametrize("code", ["", CODE, "if True:\n\n    pass"])
def test_what_is_written_is_read_again(words: str, code: str) -> None:
    assert read_code(write_code(words, code)) == (words, code)


def test_what_was_read_of_any_reply_can_be_written_and_is_read_the_same() -> None:
    dice = random.Random(7)
    pieces = [
        "```",
        "````",
        "```python\n",
        "```py\n",
        "```json\n",
        "```\n",
        "\n",
        "\r\n",
        "x = 1\n",
        "words ",
        "  ",
        "\t",
    ]
    for _ in range(50_000):
        reply = "".join(dice.choices(pieces, k=dice.randint(0, 9)))
        read = read_code(reply)
        assert read_code(write_code(*read)) == read, repr(reply)
