"""The tasks' answers, worked out a second time; the oracle; the scripted root's code, in the jail without a loop."""

from __future__ import annotations

import asyncio
import datetime
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.scripted import Reply
from evals.tasks import (
    LABELS,
    Instance,
    Oracle,
    Task,
    depth,
    labels,
    made_up,
    needle,
    pairs,
    read_instances,
    scripted_root,
)
from evals.tasks.lines import Line
from evals.tasks.oracle import GIVE_LABELS, UNKNOWN
from programs.environment import Context, Host, Jail

TREC = Path(__file__).parents[2] / "../shared/data/trec_qc.jsonl"
SEEDS = range(3)


def said(prompt: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}]}


def text_of(reply: Reply) -> str:
    return "".join(reply.pieces)


# --- instances


def test_made_up_instances_are_different_and_say_no_label() -> None:
    instances = made_up(1, 3000)
    assert instances == made_up(1, 3000) != made_up(2, 3000)
    assert len({instance.text for instance in instances}) == 3000
    assert {instance.label for instance in instances} == set(LABELS)
    assert not any(label in instance.text for instance in instances for label in LABELS)
    assert not any(character in instance.text for instance in instances for character in "{}|\n")


def test_instances_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "instances.jsonl"
    path.write_text('{"question": "Who is  Ada ?", "label": "human being", "more": 1}\n' * 2)
    assert read_instances(path) == [Instance("Who is Ada ?", "human being")]
    path.write_text(path.read_text() + '{"question": "Who is Ada ?", "label": "entity"}\n')
    with pytest.raises(ValueError, match="two labels"):
        read_instances(path)
    path.write_text('{"question": "Who is Ada ?", "label": "person"}\n')
    with pytest.raises(ValueError, match="unknown label 'person'"):
        read_instances(path)


# --- gold, by hand


def line(day: int, user: int, label: str, text: str = "") -> Line:
    return Line(datetime.date(2023, 1, day), user, Instance(text or f"{day} {user} {label} ?", label))


FEW = [
    line(1, 10001, "entity"),
    line(2, 10001, "location"),
    line(3, 10002, "location"),
    line(4, 10002, "location"),
    line(5, 10003, "entity"),
    line(6, 10004, "numeric value"),
    line(7, 10004, "entity"),
    line(8, 10003, "abbreviation"),
    line(9, 10005, "human being"),
    line(9, 10005, "description and abstract concept"),
    line(10, 10005, "human being"),
    line(11, 10005, "description and abstract concept"),
    line(12, 10001, "entity"),
    line(13, 10001, "numeric value"),
]


@pytest.mark.parametrize(
    ("form", "answer"),
    [("most", "entity"), ("least", "abbreviation"), ("count", "3"), ("user", "entity"), ("compare", "less common")],
)
def test_labels_by_hand(form: labels.Form, answer: str) -> None:
    task = labels.ask(form, FEW, ("location", "entity"))
    assert task.answer == answer
    assert task.gold["3 10002 location ?"] == "location"
    assert "Date: Jan 03, 2023 || User: 10002 || Instance: 3 10002 location ?\n" in task.context


def test_labels_by_hand_where_two_are_equally_common() -> None:
    assert labels.ask("compare", FEW, ("location", "entity")).answer == "less common"
    assert labels.ask("compare", FEW, ("entity", "location")).answer == "more common"
    assert labels.ask("compare", FEW, ("numeric value", "human being")).answer == "equally frequent"
    with pytest.raises(ValueError, match="equally common"):
        labels.ask("most", FEW[:2], ("entity", "location"))


@pytest.mark.parametrize(
    ("form", "first", "second", "day", "answer"),
    [
        ("both", "location", "numeric value", 1, "(10001, 10002)\n(10001, 10004)\n(10002, 10004)"),
        ("each", "abbreviation", "location", 1, "(10001, 10003)\n(10002, 10003)"),
        ("each", "numeric value", "location", 1, "(10001, 10002)\n(10001, 10004)\n(10002, 10004)"),
        ("exactly", "entity", "numeric value", 1, "(10001, 10003)\n(10001, 10004)\n(10003, 10004)"),
        ("exactly", "location", "abbreviation", 1, "none"),
        ("after", "entity", "location", 5, "(10002, 10004)"),
        ("after", "entity", "location", 4, "(10002, 10003)\n(10002, 10004)\n(10003, 10004)"),
    ],
)
def test_pairs_by_hand(form: pairs.Form, first: str, second: str, day: int, answer: str) -> None:
    condition = pairs.Condition(form, first, second, datetime.date(2023, 1, day))
    assert pairs.ask(condition, FEW).answer == answer


def test_depth_by_hand() -> None:
    town, who = Instance("Where is Elmford ?", "location"), Instance("Who is Ada ?", "human being")
    task = depth.ask("location", [[[(3, town), (5, who)], [(70, town)]], [[(900, who), (1000, town)], []]])
    assert task.answer == "1073"
    assert task.context.splitlines()[1:5] == [
        "CHAPTER 1",
        "SECTION 1.1",
        "3 visitors asked: Where is Elmford ?",
        "5 visitors asked: Who is Ada ?",
    ]


# --- gold, computed again from the text


def rows_of(task: Task) -> list[tuple[int, str, str]]:
    """User, day (as ISO has it) and label of each line."""
    found = re.findall(r"^Date: (.*) \|\| User: (\d+) \|\| Instance: (.*)$", task.context, re.MULTILINE)
    return [
        (int(user), datetime.datetime.strptime(day, "%b %d, %Y").date().isoformat(), task.gold[text])
        for day, user, text in found
    ]


def counted(form: labels.Form, task: Task) -> str:
    user = re.search(r"of user (\d+) alone", task.question)
    found = Counter(label for who, _, label in rows_of(task) if not user or who == int(user[1]))
    ranked = sorted(LABELS, key=lambda label: found[label])
    quoted = re.findall(r"label '(.*?)'", task.question)
    match form:
        case "least":
            return ranked[0]
        case "most" | "user":
            return ranked[-1]
        case "count":
            return str(found[quoted[0]])
        case "compare":
            difference = found[quoted[0]] - found[quoted[1]]
            return "more common" if difference > 0 else "less common" if difference < 0 else "equally frequent"


HAVING: dict[pairs.Form, tuple[str, str]] = {
    "both": ("sum(label in (:x, :y)) > 0",) * 2,
    "each": ("sum(label = :x) > 0", "sum(label = :y) > 0"),
    "exactly": ("sum(label = :x) > 0 and sum(label = :y) > 0", "sum(label = :x) = 1"),
    "after": ("sum(label in (:x, :y)) > 0 and sum(label = :x and day <= :day) = 0",) * 2,
}


def paired(form: pairs.Form, task: Task) -> str:
    """In SQL, which shares nothing with how the task and the scripted root go about it."""
    x, y, *_ = re.findall(r"labelled '(.*?)'|or '(.*?)'", task.question)
    day = re.search(r"are after (\w+ \d+, \d+)", task.question)
    values = {
        "x": "".join(x),
        "y": "".join(y),
        "day": datetime.datetime.strptime(day[1], "%b %d, %Y").date().isoformat() if day else "",
    }
    database = sqlite3.connect(":memory:")
    database.execute("create table rows (user integer, day text, label text)")
    database.executemany("insert into rows values (?, ?, ?)", rows_of(task))
    one, other = (f"(select user from rows group by user having {condition})" for condition in HAVING[form])
    found = database.execute(
        f"select distinct min(a.user, b.user) as low, max(a.user, b.user) as high from {one} a, {other} b "
        "where a.user <> b.user order by low, high",
        values,
    ).fetchall()
    database.close()
    return "\n".join(map(str, found)) or "none"


@pytest.mark.parametrize("form", labels.FORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_labels_counted_again(seed: int, form: labels.Form) -> None:
    task = labels.make(seed, 300, form)
    assert len(rows_of(task)) == 300
    assert counted(form, task) == task.answer


@pytest.mark.parametrize("form", pairs.FORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_found_again(seed: int, form: pairs.Form) -> None:
    task = pairs.make(seed, 200, form)
    assert len(rows_of(task)) == 200
    assert paired(form, task) == task.answer


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_added_up_again(seed: int) -> None:
    task = depth.make(seed)
    label = task.question.split("'")[1]
    rows = re.findall(r"(\d+) visitors asked: (.*)", task.context)
    assert len(rows) == 4 * 4 * 12
    assert str(sum(int(visitors) for visitors, text in rows if task.gold[text] == label)) == task.answer


@pytest.mark.parametrize(("make", "size"), [(labels.make, 60), (pairs.make, 60), (depth.make, 2), (needle.make, 1000)])
def test_a_seed_makes_one_task_and_seeds_make_different_ones(make: Callable[[int, int], Task], size: int) -> None:
    tasks = [make(seed, size) for seed in SEEDS]
    assert tasks == [make(seed, size) for seed in SEEDS]
    assert len({task.context for task in tasks}) == len(tasks)


def test_a_comparison_may_end_in_each_of_three_ways() -> None:
    answers = {labels.make(seed, 60, "compare").answer for seed in range(30)}
    assert answers == {"more common", "less common", "equally frequent"}


def test_too_few_lines_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 20"):
        labels.make(1, 19)


# --- the oracle


def test_the_oracle_labels_line_by_line_in_order() -> None:
    instances = made_up(1, 50)
    oracle = Oracle({instance.text: instance.label for instance in instances}, delay=0.25)
    texts = [instance.text for instance in instances]
    reply = oracle(said(f"{GIVE_LABELS}.\n\n" + "\n".join([*texts[::-1], texts[0][1:], texts[7]])))
    wanted = [instance.label for instance in instances]
    assert text_of(reply).splitlines() == [*wanted[::-1], UNKNOWN, wanted[7]]
    assert reply.first_delay == 0.25


def test_the_oracles_replies_overtake_each_other_where_it_is_told_so() -> None:
    oracle = Oracle(delay=0.25, jitter=0.5)
    delays = [oracle(said(f"{GIVE_LABELS}.\n\n{number}")).first_delay for number in range(50)]
    assert delays != sorted(delays)
    assert 0.25 <= min(delays) < 0.3 < 0.7 < max(delays) < 0.75


def test_the_oracle_errs_as_often_as_told_and_always_in_the_same_instances() -> None:
    instances = made_up(1, 2000)
    gold = {instance.text: instance.label for instance in instances}

    def wrong(error_rate: float, seed: int) -> set[str]:
        oracle = Oracle(gold, error_rate=error_rate, seed=seed)
        assert all(oracle.label(text) in LABELS for text in gold)
        return {text for text, label in gold.items() if oracle.label(text) != label}

    assert wrong(0, 1) == set()
    assert len(wrong(1, 1)) == 2000
    assert 150 < len(wrong(0.1, 1)) < 250
    assert wrong(0.1, 1) == wrong(0.1, 1) != wrong(0.1, 2)
    assert wrong(0.1, 1) < wrong(0.2, 1)


def test_the_oracle_reads_a_needle_only_where_it_is() -> None:
    asked = "What is the access code of the amber orchard?\n\n"
    other = "The access code of the quiet orchard is 1234567. "
    assert text_of(Oracle()(said(f"{asked}{other}The access code of the amber orchard is 7654321."))) == "7654321"
    assert text_of(Oracle()(said(asked + other))) == "The text does not say."
    with pytest.raises(ValueError, match="cannot answer 'How are you"):
        Oracle()(said("How are you?"))


# --- the scripted root


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    if sys.platform != "linux":
        pytest.skip("the jail needs Linux")
    jail = Jail()
    yield jail
    asyncio.run(jail.aclose())


DEMO = [
    {"role": "system", "content": "Write Python."},
    {"role": "user", "content": "How many questions have the label 'entity'? `context` is a text."},
    {"role": "assistant", "content": "```python\nSUBMIT(3)\n```"},
]


class SmallestLoop:
    """What a loop must do at least, with `oracle` as the sub-LM. It notes each session's depth and counts prompts."""

    def __init__(self, jail: Jail, oracle: Oracle) -> None:
        self.jail = jail
        self.oracle = oracle
        self.depths: list[int] = []
        self.prompts = 0

    async def answer(self, question: str, context: Context, depth: int = 0) -> str:
        self.depths.append(depth)

        async def llm_query(prompt: str) -> str:
            self.prompts += 1
            return text_of(self.oracle(said(prompt)))

        async def llm_query_batched(prompts: list[str]) -> list[str]:
            return [await llm_query(prompt) for prompt in prompts]

        async def rlm_query(question: str, context: Context) -> str:
            return await self.answer(question, context, depth + 1)

        host: Host = {"llm_query": llm_query, "llm_query_batched": llm_query_batched, "rlm_query": rlm_query}
        messages = [*DEMO, {"role": "user", "content": f"{question}\n\n`context` is a text: {context[:300]!r}"}]
        session = await self.jail.open(context, question=question, host=host)
        try:
            while True:
                reply = text_of(scripted_root({"messages": messages}))
                code = re.fullmatch(r"[^`]+\n\n```python\n(.+)\n```", reply, re.DOTALL)
                assert code, reply
                turn = await session.execute(code[1])
                assert turn.error is None, f"{reply}\n{turn.error}"
                if turn.submitted:
                    return str(turn.answer)
                messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": turn.stdout}]
        finally:
            await session.aclose()


async def answer(jail: Jail, task: Task) -> str:
    return await SmallestLoop(jail, Oracle(task.gold)).answer(task.question, task.context)


@pytest.mark.parametrize("form", labels.FORMS)
async def test_root_solves_labels(jail: Jail, form: labels.Form) -> None:
    for seed in SEEDS:
        task = labels.make(seed, 100, form)
        assert await answer(jail, task) == task.answer


@pytest.mark.parametrize("form", pairs.FORMS)
async def test_root_solves_pairs(jail: Jail, form: pairs.Form) -> None:
    for seed in SEEDS:
        task = pairs.make(seed, 60, form)
        assert await answer(jail, task) == task.answer


async def test_root_solves_needle(jail: Jail) -> None:
    for seed in (1, 3, 5):  # those that ask for an access code
        task = needle.make(seed, 20_000)
        assert await answer(jail, task) == task.answer


async def test_root_solves_depth_with_sessions_within_sessions(jail: Jail) -> None:
    task = depth.make(1, chapters=2, sections=3, lines=4)
    loop = SmallestLoop(jail, Oracle(task.gold))
    assert await loop.answer(task.question, task.context) == task.answer
    assert sorted(loop.depths) == [0, 1, 1, 2, 2, 2, 2, 2, 2]
    assert loop.prompts == 2 * 3 * 4


@pytest.mark.parametrize("form", labels.FORMS)
async def test_root_answers_what_the_sub_lm_said_and_knows_no_better(jail: Jail, form: labels.Form) -> None:
    task = labels.make(1, 100, form)
    oracle = Oracle(task.gold, error_rate=0.5)
    believed = replace(task, gold={text: oracle.label(text) for text in task.gold})
    assert await SmallestLoop(jail, oracle).answer(task.question, task.context) == counted(form, believed)


async def test_root_solves_labels_over_a_conversation_and_documents(jail: Jail) -> None:
    """The helpers read every shape of a context, so the scripted code does too."""
    task = labels.make(2, 40, "count")
    head, *tail = task.context.splitlines()
    shapes: list[Context] = [
        [head, *tail],
        [{"role": "user", "content": head}, {"role": "user", "content": "\n".join(["Here:", *tail])}],
    ]
    for shape in shapes:
        assert await SmallestLoop(jail, Oracle(task.gold)).answer(task.question, shape) == task.answer


def test_root_says_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="no question of a task in 'How are you"):
        scripted_root(said("How are you?"))
    task = needle.make(1, 100)
    turns = [{"role": "assistant", "content": "..."}, {"role": "user", "content": "nothing was printed"}]
    with pytest.raises(ValueError, match=r"all 3 steps are done.*nothing was printed"):
        scripted_root({"messages": [*said(task.question)["messages"], *turns * 3]})


# --- with instances of TREC


@pytest.mark.skipif(not TREC.exists(), reason="the data is not here")
async def test_tasks_are_made_of_trec_too(jail: Jail) -> None:
    trec = read_instances(TREC)
    assert len(trec) > 5000
    task = labels.make(1, form="count", instances=trec)
    assert counted("count", task) == task.answer
    for task in (labels.make(1, 300, "most", trec), pairs.make(1, 100, "each", trec), depth.make(1, 1, 1, 9, trec)):
        assert await answer(jail, task) == task.answer
