"""The tasks' answers, worked out a second time; the oracle; the scripted root's code, in the jail without a loop."""

from __future__ import annotations

import asyncio
import datetime
import random
import re
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
from evals.tasks.lines import Line, draw, lines_in
from evals.tasks.oracle import GIVE_LABELS, UNKNOWN
from evals.tasks.queries import QUERIES, Limit, Need, Query
from evals.tasks.questions import FORMS, Form, pose
from evals.tasks.scoring import score_pairs
from programs.environment import Context, Host, Jail
from programs.errors import ConfigurationError
from tests.evals.second import HAVING, counted, paired, rows_of, spoken

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
    with pytest.raises(ConfigurationError, match="line 3: two labels"):
        read_instances(path)
    path.write_text('{"question": "Who is Ada ?", "label": "person"}\n')
    with pytest.raises(ConfigurationError, match="line 1: unknown label 'person'"):
        read_instances(path)


@pytest.mark.parametrize("line", ["", "[]", '{"question": "Who is Ada ?"}', '{"question": 1, "label": "entity"}', "{"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "instances.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(ConfigurationError, match="line 1 is not a JSON object with"):
        read_instances(path)
    with pytest.raises(ConfigurationError, match="cannot read the questions"):
        read_instances(tmp_path)


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
def test_labels_by_hand(form: Form, answer: str) -> None:
    task = labels.ask(pose(form, FEW, ("location", "entity")), FEW)
    assert task.answer == answer
    assert task.gold["3 10002 location ?"] == "location"
    assert "Date: Jan 03, 2023 || User: 10002 || Instance: 3 10002 location ?\n" in task.context


def test_rivals_by_hand() -> None:
    lines = [*FEW, line(14, 10001, "entity")]
    task = labels.ask(pose("rivals", lines, ("entity", "location")), lines)
    assert task.answer == "10001"
    assert "the label 'entity': user 10001 or user 10004?" in task.question
    for label in ("entity", "human being", "location"):  # one question more, one user alone, one question more
        with pytest.raises(ValueError, match="no user has clearly more"):
            pose("rivals", FEW, (label, "location"))


def test_labels_by_hand_where_two_are_equally_common() -> None:
    def compared(first: str, second: str) -> str:
        return pose("compare", FEW, (first, second)).answer(FEW)

    assert compared("location", "entity") == "less common"
    assert compared("entity", "location") == "more common"
    assert compared("numeric value", "human being") == "equally frequent"
    with pytest.raises(ValueError, match="equally common"):
        pose("most", FEW[:2], ("entity", "location"))
    with pytest.raises(ValueError, match="equally common"):
        pose("least", FEW[:2], ("entity", "location"))


def test_what_is_nearly_as_common_is_not_asked_about() -> None:
    form: Form
    few = [line(1, 10001, "entity", f"{number} ?") for number in range(51)]
    many = [line(1, 10001, "location", f"{number} !") for number in range(49)]
    for form in ("most", "compare"):
        with pytest.raises(ValueError, match="nearly"):
            pose(form, few + many, ("entity", "location"))
        assert pose(form, few + many[1:], ("entity", "location"))
    with pytest.raises(ValueError, match="no user has a most common label"):
        pose("user", few + many, ("entity", "location"))


def one(count: int, *names: str, exactly: bool = False) -> tuple[Need, ...]:
    return (Need(count, names, exactly),)


FIFTH = datetime.date(2023, 1, 5)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (Query(one(1, "location", "numeric value")), "(10001, 10002)\n(10001, 10004)\n(10002, 10004)"),
        (Query(one(1, "abbreviation"), one(1, "location")), "(10001, 10003)\n(10002, 10003)"),
        (Query(one(1, "numeric value"), one(1, "location")), "(10001, 10002)\n(10001, 10004)\n(10002, 10004)"),
        (
            Query(one(1, "entity") + one(1, "numeric value"), one(1, "entity", exactly=True)),
            "(10001, 10003)\n(10001, 10004)\n(10003, 10004)",
        ),
        (Query(one(1, "location") + one(1, "abbreviation"), one(1, "location", exactly=True)), "none"),
        (Query(one(2, "location", exactly=True), one(2, "entity")), "(10001, 10002)"),
        (Query(one(2, "location"), one(1, "location", exactly=True)), "(10001, 10002)"),
        (Query(one(1, "entity", "location"), limit=Limit("entity", FIFTH, after=True)), "(10002, 10004)"),
        (
            Query(one(1, "entity", "location"), limit=Limit("entity", datetime.date(2023, 1, 4), after=True)),
            "(10002, 10003)\n(10002, 10004)\n(10003, 10004)",
        ),
        (Query(one(1, "entity", "location"), limit=Limit("entity", FIFTH, after=False)), "none"),
        (
            Query(one(1, "entity", "location"), limit=Limit("entity", datetime.date(2023, 1, 6), after=False)),
            "(10002, 10003)",
        ),
    ],
)
def test_pairs_by_hand(query: Query, answer: str) -> None:
    assert pairs.ask(query, FEW).answer == answer


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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_labels_counted_again(seed: int, form: Form) -> None:
    task = labels.make(seed, 300, form)
    assert len(rows_of(task)) == 300
    assert counted(task) == task.answer


@pytest.mark.parametrize("query", QUERIES)
def test_pairs_found_again(query: int) -> None:
    answers = set()
    for seed in SEEDS:
        task = pairs.make(seed, 300, query)
        assert len(rows_of(task)) == 300
        assert paired(query, task) == task.answer
        answers.add(task.answer)
    assert answers != {"none"}


@pytest.mark.parametrize("query", QUERIES)
def test_queries_are_said_as_they_are_meant(query: int) -> None:
    assert spoken(pairs.make(1, 20, query)) == HAVING[query]


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
    instances = made_up(1, 1000)
    answers = {labels.make(seed, 30, "compare", instances).answer for seed in range(60)}
    assert answers == {"more common", "less common", "equally frequent"}


def test_forms_and_queries_take_turns() -> None:
    instances = made_up(1, 1000)
    assert [labels.asked(seed, 60, instances=instances)[0].form for seed in range(12)] == [*FORMS] * 2
    assert [pairs.asked(seed, 60, instances=instances)[0] for seed in range(40)] == [*QUERIES.values()] * 2


def test_too_few_lines_and_unknown_queries_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 20"):
        labels.make(1, 19)
    with pytest.raises(ConfigurationError, match="from 1 to 20"):
        pairs.make(1, query=21)
    with pytest.raises(ConfigurationError, match="no question has the label 'abbreviation'"):
        pairs.make(1, instances=[Instance("Who is Ada ?", "human being")])


# --- how lines are drawn, and what a guess is worth


def test_a_fifth_of_the_users_ask_four_fifths_of_the_questions() -> None:
    lines = draw(random.Random(1), 6000, made_up(1, 1000))
    asked = sorted(Counter(line.user for line in lines).values(), reverse=True)
    assert 900 < len(asked) <= 1500
    assert 0.78 < sum(asked[:300]) / 6000 < 0.85


def test_any_label_may_be_the_most_and_the_least_common() -> None:
    instances = made_up(1, 1000)
    for form in ("most", "least"):
        answers = Counter(labels.make(seed, 60, form, instances).answer for seed in range(120))
        assert set(answers) == set(LABELS)
        assert max(answers.values()) < 40


@pytest.mark.parametrize("tokens", [1_000, 32_768])
def test_texts_are_about_as_long_as_asked_for(tokens: int) -> None:
    instances = made_up(1, 3000)
    lines = lines_in(tokens, instances)
    for seed in SEEDS:
        for task in (labels.make(seed, lines, instances=instances), pairs.make(seed, lines, instances=instances)):
            assert len(task.context) == pytest.approx(4 * tokens, rel=0.1)


def test_the_floor_of_a_count_is_what_the_best_number_can_expect() -> None:
    dice = random.Random(1)
    counts = []
    for _ in range(20_000):
        shares = [dice.gammavariate(2, 1) for _ in LABELS]
        share = shares[0] / sum(shares)
        counts.append(sum(dice.random() < share for _ in range(30)))
    best = max(sum(0.75 ** abs(guess - count) for count in counts) / len(counts) for guess in range(31))
    assert labels.make(1, 30, "count").floor == pytest.approx(best, abs=0.005)


def test_the_floor_of_a_choice_is_its_chance() -> None:
    floors = {form: labels.make(1, 60, form).floor for form in FORMS if form != "count"}
    assert floors == {"most": 1 / 6, "least": 1 / 6, "user": 1 / 6, "rivals": 1 / 2, "compare": 1 / 2}


def test_the_floor_of_pairs_is_what_all_pairs_score() -> None:
    for seed in range(20):
        task = pairs.make(seed, 60)
        users = {user for user, _, _ in rows_of(task)}
        everything = "\n".join(f"({a}, {b})" for a in users for b in users if a < b)
        assert task.floor == pytest.approx(score_pairs(task, everything))


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


@pytest.mark.parametrize("form", FORMS)
async def test_root_solves_labels(jail: Jail, form: Form) -> None:
    for seed in SEEDS:
        task = labels.make(seed, 100, form)
        assert await answer(jail, task) == task.answer


@pytest.mark.parametrize("query", QUERIES)
async def test_root_solves_pairs(jail: Jail, query: int) -> None:
    task = next(task for seed in range(20) if (task := pairs.make(seed, 120, query)).answer != "none")
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


@pytest.mark.parametrize("form", FORMS)
async def test_root_answers_what_the_sub_lm_said_and_knows_no_better(jail: Jail, form: Form) -> None:
    task = labels.make(1, 100, form)
    oracle = Oracle(task.gold, error_rate=0.5)
    believed = replace(task, gold={text: oracle.label(text) for text in task.gold})
    assert await SmallestLoop(jail, oracle).answer(task.question, task.context) == counted(believed)


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
    assert counted(task) == task.answer
    users = {user for user, _, _ in rows_of(pairs.make(1, lines_in(32_768, trec), instances=trec))}
    assert 210 < len(users) < 260  # the paper's texts of this length have about as many
    for task in (labels.make(1, 300, "most", trec), pairs.make(1, 100, 12, trec), depth.make(1, 1, 1, 9, trec)):
        assert await answer(jail, task) == task.answer
