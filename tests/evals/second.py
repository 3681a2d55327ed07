"""The answers of the tasks `labels` and `pairs`, worked out a second time from the text and the words of the question.

It shares nothing with how the tasks and the scripted root go about it: pairs are found in SQL.
"""

from __future__ import annotations

import datetime
import re
import sqlite3
from collections import Counter

from evals.tasks import LABELS, Task

ABBREVIATION, ENTITY, DESCRIPTION, HUMAN, LOCATION, NUMBER = LABELS


def rows_of(task: Task) -> list[tuple[int, str, str]]:
    """User, day (as ISO has it) and label of each line."""
    found = re.findall(r"^Date: (.*) \|\| User: (\d+) \|\| Instance: (.*)$", task.context, re.MULTILINE)
    return [(int(user), iso(day), task.gold[text]) for day, user, text in found]


def iso(day: str) -> str:
    return datetime.datetime.strptime(day, "%b %d, %Y").date().isoformat()


def counted(task: Task) -> str:
    """The answer to a question of any form of `labels`."""
    asked = task.question
    quoted = re.findall(r"label '(.*?)'", asked)
    users = [int(user) for user in re.findall(r"user (\d+)", asked)]
    rows = [(user, label) for user, _, label in rows_of(task) if not users or user in users]
    found = Counter(label for _, label in rows)
    if "Which user" in asked:
        return str(Counter(user for user, label in rows if label == quoted[0]).most_common(1)[0][0])
    if "How many" in asked:
        return str(found[quoted[0]])
    if "equally frequent" in asked:
        difference = found[quoted[0]] - found[quoted[1]]
        return "more common" if difference > 0 else "less common" if difference < 0 else "equally frequent"
    chosen = min if "least common" in asked else max
    return chosen(LABELS, key=lambda label: found[label])


def n(*labels: str) -> str:
    listed = ", ".join(f"'{label}'" for label in labels)
    return f"sum(label in ({listed}))"


def out(label: str, outside: str) -> str:
    return f"sum(label in ('{label}') and day {outside}) = 0"


def both(condition: str) -> tuple[str, str]:
    return condition, condition


HAVING = {
    1: both(f"{n(NUMBER, LOCATION)} >= 1"),
    2: both(f"{n(ENTITY, HUMAN)} >= 1"),
    3: both(f"{n(DESCRIPTION, ABBREVIATION)} >= 1"),
    4: both(f"{n(HUMAN, LOCATION)} >= 1 and {out(HUMAN, "<= '2023-01-06'")}"),
    5: both(f"{n(ENTITY, NUMBER)} >= 1 and {out(ENTITY, ">= '2023-03-15'")}"),
    6: both(f"{n(LOCATION, ABBREVIATION)} >= 1"),
    7: both(f"{n(DESCRIPTION, NUMBER)} >= 1 and {out(NUMBER, "<= '2023-02-01'")}"),
    8: both(f"{n(HUMAN, DESCRIPTION)} >= 1"),
    9: both(f"{n(ENTITY, LOCATION)} >= 1 and {out(LOCATION, "<= '2023-04-10'")}"),
    10: both(f"{n(NUMBER, ABBREVIATION)} >= 1 and {out(ABBREVIATION, ">= '2023-05-20'")}"),
    11: (f"{n(ENTITY)} >= 1 and {n(ABBREVIATION)} >= 1", f"{n(ENTITY)} = 1"),
    12: (f"{n(NUMBER)} >= 2", f"{n(LOCATION)} >= 1 and {n(HUMAN)} >= 1"),
    13: (f"{n(DESCRIPTION)} = 1", f"{n(ABBREVIATION)} >= 1 and {n(ENTITY)} >= 1"),
    14: (f"{n(HUMAN)} >= 1 and {n(NUMBER)} >= 1", f"{n(LOCATION)} = 2"),
    15: (f"{n(ENTITY)} >= 1 and {n(LOCATION)} >= 1 and {n(ABBREVIATION)} >= 1", f"{n(NUMBER)} = 1"),
    16: (f"{n(DESCRIPTION)} >= 1 and {n(HUMAN)} >= 1", f"{n(ENTITY)} >= 2 and {n(ABBREVIATION)} = 1"),
    17: (f"{n(NUMBER)} = 1", f"{n(LOCATION)} >= 1 and {n(DESCRIPTION)} >= 1"),
    18: (f"{n(ABBREVIATION)} >= 1 and {n(HUMAN)} = 1", f"{n(ENTITY)} >= 1 and {n(NUMBER)} >= 1"),
    19: (f"{n(LOCATION)} >= 2 and {n(ENTITY)} >= 1", f"{n(DESCRIPTION)} = 1 and {n(ABBREVIATION)} = 1"),
    20: (f"{n(NUMBER)} >= 1 and {n(HUMAN)} >= 1", f"{n(LOCATION)} >= 1 and {n(ENTITY)} >= 1 and {n(ABBREVIATION)} = 1"),
}
"""What each of two users must have, by the query's number."""


def spoken(task: Task) -> tuple[str, str]:
    """The same from the words of the question."""
    condition = re.search(r"where (.*)\. Answer with one pair", task.question)
    assert condition, task.question
    if shared := re.fullmatch(r"both users have (.*)", condition[1]):
        return both(_sql(shared[1]))
    each = re.fullmatch(r"one user has (.*), and the other user has (.*)", condition[1])
    assert each, condition[1]
    return _sql(each[1]), _sql(each[2])


def _sql(words: str) -> str:
    conditions = []
    for part in re.split(r" and (?=at least|exactly)|, and ", words):
        if limit := re.fullmatch(r"all questions of theirs labelled '([a-z ]+)' are (after|before) (.*)", part):
            sign = {"after": "<=", "before": ">="}[limit[2]]
            conditions.append(out(limit[1], f"{sign} '{iso(limit[3])}'"))
            continue
        need = re.fullmatch(r"(at least|exactly) (one|two) questions? labelled ('[a-z ]+'(?: or '[a-z ]+')*)", part)
        assert need, part
        sign = {"at least": ">=", "exactly": "="}[need[1]]
        conditions.append(f"{n(*re.findall(r"'(.*?)'", need[3]))} {sign} {('', 'one', 'two').index(need[2])}")
    return " and ".join(conditions)


def paired(number: int, task: Task) -> str:
    """The answer to the query of that number."""
    database = sqlite3.connect(":memory:")
    database.execute("create table rows (user integer, day text, label text)")
    database.executemany("insert into rows values (?, ?, ?)", rows_of(task))
    one, other = (f"(select user from rows group by user having {condition})" for condition in HAVING[number])
    found = database.execute(
        f"select distinct min(a.user, b.user) as low, max(a.user, b.user) as high from {one} a, {other} b "
        "where a.user <> b.user order by low, high"
    ).fetchall()
    database.close()
    return "\n".join(map(str, found)) or "none"
