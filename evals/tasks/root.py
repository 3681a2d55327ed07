"""A root LM that knows its trade: it writes the code that solves each task, a step a turn, and remembers nothing.

What it writes follows from the conversation alone: the question from the words of the last user message that holds one
of the tasks' questions, the step from the replies since. The code itself keeps what it needs in variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from evals.scripted import Reply, usage
from evals.tasks.conversation import messages_of
from evals.tasks.instances import LABELS
from evals.tasks.oracle import GIVE_LABELS
from evals.tasks.queries import QUERIES, Limit, Need, Query

type Step = tuple[str, str]
"""A sentence, and the code that follows it."""


def scripted_root(body: dict[str, Any]) -> Reply:
    """The script of the root LM: prose and one fenced block of Python.

    Raises:
        ValueError: no message holds a question it knows, or its last step has not ended the run.
    """
    said = messages_of(body)
    for position in range(len(said) - 1, -1, -1):
        steps = _steps(said[position].text) if said[position].role == "user" else None
        if steps:
            step = sum(message.role == "assistant" for message in said[position:])
            if step >= len(steps):
                raise ValueError(
                    f"all {len(steps)} steps are done, and the run goes on after {said[-1].text[-2000:]!r}"
                )
            prose, code = steps[step]
            reply = f"{prose}\n\n```python\n{code.strip()}\n```"
            prompt = sum(len(message.text) for message in said)
            return Reply([reply], usage=usage(prompt=prompt // 4, completion=len(reply) // 4))
    raise ValueError(f"no question of a task in {said[-1].text[:500]!r}")


def _steps(text: str) -> list[Step] | None:
    """The steps for the question that `text` holds, if it holds one."""
    for pattern, steps in _TRADE.items():
        if asked := re.search(pattern, text):
            return steps(*asked.groups())
    return None


# --- lines and their labels

_ASK_LABELS = f"""
ASK = ("{GIVE_LABELS}, in the same order, and nothing else. "
       "The labels: {", ".join(LABELS)}.")

def labels_of(texts, size=40):
    batches = [texts[start:start + size] for start in range(0, len(texts), size)]
    answers = llm_query_batched([ASK + "\\n\\n" + "\\n".join(batch) for batch in batches])
    found = []
    for batch, answer in zip(batches, answers, strict=True):
        given = [label.strip().lower() for label in answer.strip().splitlines()]
        assert len(given) == len(batch), f"{{len(given)}} labels for {{len(batch)}} lines"
        found += given
    return found
"""

_READ_LINES = """
import re
rows = []
for line in grep(r"^Date: ", limit=10**9):
    date, user, text = re.fullmatch(r"Date: (.+?) \\|\\| User: (\\d+) \\|\\| Instance: (.+)", line.strip()).groups()
    rows.append((date, int(user), text))
"""


def _about_lines(rows: str, code: str) -> list[Step]:
    """Look, read the rows (`rows` narrows them), label them in two turns, then `code` over `rows` and `labels`."""
    return [
        ("First I look at the text.", "print(type(context), len(context))\nprint(peek(0, 600))"),
        (
            "Each line has a date, a user and a question. I read them.",
            f"{_READ_LINES}{rows}\nprint(len(rows), rows[:2])",
        ),
        (
            "Only a reader can judge a question, so I ask for the labels in batches; first for one half.",
            f"{_ASK_LABELS}\nhalf = len(rows) // 2\nlabels = labels_of([row[2] for row in rows[:half]])\n"
            "print(len(labels), labels[:3])",
        ),
        (
            "Now for the other half.",
            "from collections import Counter\nlabels += labels_of([row[2] for row in rows[half:]])\n"
            "assert len(labels) == len(rows)\ncounts = Counter(labels)\nprint(counts)",
        ),
        ("All is labelled. I count in Python and answer.", code),
    ]


def _most(whose: str, which: str) -> list[Step]:
    rows = f"rows = [row for row in rows if row[1] == {whose}]" if whose else ""
    sign = {"most": "", "least": "-"}[which]
    return _about_lines(rows, f"known = {LABELS!r}\nSUBMIT(max(known, key=lambda label: {sign}counts[label]))")


def _count(label: str) -> list[Step]:
    return _about_lines("", f"SUBMIT(str(counts[{label!r}]))")


def _compare(first: str, second: str) -> list[Step]:
    code = f"""
first, second = counts[{first!r}], counts[{second!r}]
print(first, second)
if first == second:
    SUBMIT("equally frequent")
SUBMIT("more common" if first > second else "less common")
"""
    return _about_lines("", code)


def _rivals(label: str, one: str, other: str) -> list[Step]:
    code = f"""
of_user = Counter(user for (_, user, _), label in zip(rows, labels, strict=True) if label == {label!r})
print(of_user)
SUBMIT(str(max(({one}, {other}), key=lambda user: of_user[user])))
"""
    return _about_lines(f"rows = [row for row in rows if row[1] in ({one}, {other})]", code)


# --- pairs of users

_HISTORIES = """
from datetime import datetime
of_user = {}
for (date, user, text), label in zip(rows, labels, strict=True):
    of_user.setdefault(user, []).append((label, datetime.strptime(date, "%b %d, %Y")))

def count(user, *wanted):
    return sum(label in wanted for label, _ in of_user[user])

def all_of(user, wanted, fits):
    return all(fits(day) for label, day in of_user[user] if label == wanted)
"""

_SUBMIT_PAIRS = """
found = sorted({(min(a, b), max(a, b)) for a in ones for b in others if a != b})
print(len(ones), len(others), len(found))
SUBMIT("\\n".join(f"({a}, {b})" for a, b in found) or "none")
"""


def _pairs(query: Query) -> list[Step]:
    """Pairs of one user of the set `ones` and one of `others`."""
    day = query.limit.day if query.limit else None
    limit = f"day = datetime({day.year}, {day.month}, {day.day})\n" if day else ""
    ones = _users(query.one, query.limit)
    others = "ones" if query.other is None else _users(query.other, query.limit)
    return _about_lines("", f"{_HISTORIES}\n{limit}ones = {ones}\nothers = {others}\n{_SUBMIT_PAIRS}")


def _users(needs: Sequence[Need], limit: Limit | None) -> str:
    """The set of the users who have all that is needed, in Python."""
    wanted = [
        f"count(user, {', '.join(map(repr, need.labels))}) {'==' if need.exactly else '>='} {need.count}"
        for need in needs
    ]
    if limit:
        wanted.append(f"all_of(user, {limit.label!r}, lambda asked: asked {'>' if limit.after else '<'} day)")
    return f"{{user for user in of_user if {' and '.join(wanted)}}}"


# --- a needle


def _needle() -> list[Step]:
    return [
        ("The text is long. I search it.", "found = search(question)\nprint(len(context), found[:1])"),
        (
            "A passage speaks of it. I have it read.",
            'answer = llm_query(question + "\\n\\nThe text:\\n" + "\\n".join(found)).strip()\nprint(answer)',
        ),
        ("That is the number.", "SUBMIT(answer)"),
    ]


# --- sessions within sessions


def _split(label: str, heading: str, part: str, call: str) -> list[Step]:
    """Cut the context at its headings, have every part counted by a session of its own (`call`), add up."""
    return [
        (
            f"First I cut the text into each {part}.",
            f'import re\nparts = re.split(r"(?m)^(?={heading} )", peek(0, 10**9))[1:]\n'
            "print(len(parts), [part[:40] for part in parts])",
        ),
        (
            f"A session of its own counts each {part}.",
            f"ask = \"How many visitors in this {part} asked a question with the label '{label}'? "
            f'Answer with the number alone."\nanswers = {call}\nprint(answers)',
        ),
        ("I add up.", "total = sum(int(answer) for answer in answers)\nprint(total)"),
        ("That is the number.", "SUBMIT(str(total))"),
    ]


def _document(label: str) -> list[Step]:
    return _split(label, "CHAPTER", "chapter", "[rlm_query(ask, part) for part in parts]")


def _chapter(label: str) -> list[Step]:
    pool = "from concurrent.futures import ThreadPoolExecutor\n"
    look, ask, *rest = _split(label, "SECTION", "section", "[*pool.map(lambda part: rlm_query(ask, part), parts)]")
    # All sections at once: sessions must not get in each other's way.
    return [look, (ask[0], f"{pool}pool = ThreadPoolExecutor()\n{ask[1]}"), *rest]


def _section(label: str) -> list[Step]:
    return [
        (
            "I read the lines.",
            'import re\nrows = re.findall(r"(?m)^(\\d+) visitors asked: (.+)$", context)\nprint(len(rows), rows[:1])',
        ),
        (
            "Only a reader can judge them.",
            f"{_ASK_LABELS}\nlabels = labels_of([text for _, text in rows], size=1)\nprint(labels)",
        ),
        (
            "I add up and answer.",
            "SUBMIT(str(sum(int(visitors) for (visitors, _), label in zip(rows, labels, strict=True) "
            f"if label == {label!r})))",
        ),
    ]


_TRADE: Mapping[str, Callable[..., list[Step]]] = {
    r"Of (?:all questions|the questions of user (\d+) alone), which label is the (most|least) common\?": _most,
    r"How many questions have the label '([a-z ]+)'\?": _count,
    r"Is the label '([a-z ]+)' more common than the label '([a-z ]+)', less common, or equally frequent\?": _compare,
    r"Which user has more questions with the label '([a-z ]+)': user (\d+) or user (\d+)\?": _rivals,
    **{re.escape(f"pairs of different users where {query}."): partial(_pairs, query) for query in QUERIES.values()},
    r"What is the access code of the \w+ \w+\?": _needle,
    r"How many visitors in this document asked a question with the label '([a-z ]+)'\?": _document,
    r"How many visitors in this chapter asked a question with the label '([a-z ]+)'\?": _chapter,
    r"How many visitors in this section asked a question with the label '([a-z ]+)'\?": _section,
}
"""What to do by the words of a question; the groups of a pattern are what its steps are made from."""
