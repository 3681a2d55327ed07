"""The task `needle`, in the form of RULER's single needle (arXiv 2404.06654): one fact in prose that is made up here.

    for task in needle.tasks(seed=0, count=10, tokens=131_072, distractors=8):
        reply = ...  # of whatever is measured, to `task.context` and `task.question`
        print(needle.is_right(task, reply))

Nothing is downloaded, and a seed always gives the same task. Two kinds of needle take turns: RULER's magic numbers,
and access codes, said as people would say them. Distractors are needles of the same kind for other keys.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from evals.tasks.task import Task

CHARACTERS_PER_TOKEN = 4


def _listed(words: str) -> list[str]:
    return words.split(", ")


_ADJECTIVES = _listed(
    "amber, ancient, autumn, bitter, blue, brave, bright, broken, calm, careful, clever, cold, copper, crooked, "
    "curious, dark, deep, distant, dusty, eager, early, eastern, empty, faded, faint, famous, fragile, gentle, "
    "golden, grand, green, grey, heavy, hidden, hollow, honest, humble, idle, iron, kind, lonely, long, loud, lucky, "
    "mild, misty, modest, narrow, noble, northern, old, orange, pale, patient, plain, polite, proud, purple, quick, "
    "quiet, rapid, rare, red, restless, rough, round, royal, rusty, salty, scarlet, secret, shallow, sharp, shy, "
    "silent, silver, slender, slow, small, smooth, solid, southern, steady, steep, stern, stout, strange, sturdy, "
    "sudden, sweet, tall, tame, tender, thin, tidy, tiny, upper, velvet, violet, warm, weary, western, white, wide, "
    "wild, windy, winter, wise, wooden, yellow, young"
)
_NOUNS = _listed(
    "anchor, apple, arch, barrel, basket, beacon, bell, blanket, boat, bottle, bowl, branch, bridge, broom, bucket, "
    "button, cabin, candle, canal, carpet, cart, castle, chain, chair, chimney, clock, cloud, coat, compass, corner, "
    "cottage, crown, cup, curtain, desk, dial, door, drum, engine, envelope, feather, fence, ferry, field, flag, "
    "flute, forest, fountain, garden, gate, glove, hammer, harbour, hat, hedge, hill, island, jacket, jar, kettle, "
    "key, kite, ladder, lake, lamp, lantern, letter, library, lighthouse, loom, map, market, marble, meadow, mill, "
    "mirror, mountain, needle, net, notebook, oar, oven, path, pebble, pencil, piano, pillow, plough, pond, quarry, "
    "quilt, railway, ribbon, river, road, roof, rope, saddle, sail, scarf, school, shelf, ship, spoon, stable, stair, "
    "station, statue, stone, stove, street, table, tent, theatre, ticket, tower, train, tunnel, umbrella, valley, "
    "vase, village, violin, wagon, wall, warehouse, well, wheel, window, workshop, yard"
)
_PEOPLE = _listed(
    "actor, apprentice, baker, barber, botanist, builder, captain, carpenter, clerk, cook, dancer, doctor, driver, "
    "farmer, fisherman, gardener, guard, hunter, innkeeper, judge, lawyer, librarian, mason, mayor, merchant, miller, "
    "miner, musician, neighbour, nurse, painter, pilot, poet, porter, potter, printer, sailor, scholar, shepherd, "
    "singer, smith, soldier, stranger, student, surgeon, tailor, teacher, traveller, visitor, watchmaker, weaver, "
    "widow, writer"
)
_VERBS = _listed(
    "admired, avoided, borrowed, bought, carried, cleaned, counted, crossed, described, dropped, examined, followed, "
    "found, guarded, hid, inspected, kept, left, lifted, lost, measured, mended, missed, noticed, opened, ordered, "
    "painted, passed, praised, promised, pulled, pushed, reached, remembered, repaired, returned, saved, searched, "
    "sketched, sold, studied, visited, watched, weighed, wrapped"
)
_ADVERBS = _listed(
    "again, alone, at dawn, at last, at noon, at once, before breakfast, by accident, during the storm, every spring, "
    "for years, in a hurry, in silence, in the evening, in those days, long ago, on market days, on the way home, "
    "quite often, twice, under the trees, until nightfall, with great care, without a word, without complaint, years "
    "later"
)
_CLAUSES = (
    "and nobody asked why",
    "as the custom was",
    "because the weather had turned",
    "but said little about it",
    "for the price was fair",
    "since there was no hurry",
    "so the talk went on",
    "though the light was poor",
    "though the road was longer than it looked",
    "when the rain had stopped",
    "which surprised the whole town",
    "while the children slept",
)
_SENTENCES = (
    "The {person} {verb} the {adjective} {noun} {adverb}.",
    "{Adverb}, the {adjective} {person} {verb} a {noun}.",
    "Nobody knew why the {person} {verb} the {noun}, {clause}.",
    "The {noun} near the {other} was {adjective}, {clause}.",
    "A {person} and a {colleague} {verb} the {adjective} {noun}, {clause}.",
    "There were {count} steps from the {noun} to the {adjective} {other}.",
    "It was the {person} who {verb} the {noun} of the {colleague} {adverb}.",
    "Beyond the {adjective} {noun} stood a {other}, {clause}.",
    "For {count} days the {person} {verb} neither {noun} nor {other}.",
    "The {colleague} told the {person} about a {adjective} {noun} {adverb}.",
    "Of all that the {person} {verb}, only the {noun} was {adjective}.",
)
_PLACES = _listed(
    "archive, bakery, chapel, dock, garage, hotel, laboratory, museum, observatory, pharmacy, studio, vault"
)
_SENTENCES_PER_PARAGRAPH = (3, 8)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a fact is told, how it is asked for, and what keys it has."""

    fact: str
    question: str
    key: str
    nouns: list[str]


_KINDS = (
    _Kind(
        fact="One of the special magic numbers for {key} is: {number}.",
        question="What is the special magic number for {key} mentioned in the provided text?",
        key="{adjective}-{noun}",
        nouns=_NOUNS,
    ),
    _Kind(
        fact="The access code of the {key} is {number}.",
        question="What is the access code of the {key}?",
        key="{adjective} {noun}",
        nouns=_PLACES,
    ),
)


def make(seed: int, tokens: int = 1_000_000, distractors: int = 8, prose: Sequence[str] = ()) -> Task:
    """A question for the number that one sentence tells.

    Args:
        seed: the same seed gives the same task. An even one asks for a magic number, an odd one for an access code.
        tokens: how long the text is, at four characters a token; it ends with the last sentence that fits.
        distractors: how many further needles of the same kind, for other keys, are in it.
        prose: the sentences around them, taken from some place on and as often as the length needs; none are made up.
    """
    choice = random.Random(seed)
    return _task(choice, _KINDS[seed % len(_KINDS)], tokens * CHARACTERS_PER_TOKEN, distractors, prose)


def tasks(seed: int, count: int, tokens: int, distractors: int = 0) -> Iterator[Task]:
    """`count` tasks, each as `make` makes it: the one at place i from `seed` + i."""
    for own in range(seed, seed + count):
        yield make(own, tokens, distractors)


def is_right(task: Task, reply: str) -> bool:
    """Whether the answer is in `reply` as a whole word, and no other number of its length: a list is no answer."""
    return set(re.findall(rf"\b\d{{{len(task.answer)}}}\b", reply)) == {task.answer}


def _task(choice: random.Random, kind: _Kind, characters: int, distractors: int, prose: Sequence[str]) -> Task:
    pairs = choice.sample(range(len(_ADJECTIVES) * len(kind.nouns)), 1 + distractors)
    keys = [
        kind.key.format(adjective=_ADJECTIVES[pair % len(_ADJECTIVES)], noun=kind.nouns[pair // len(_ADJECTIVES)])
        for pair in pairs
    ]
    numbers = [str(number) for number in choice.sample(range(1_000_000, 10_000_000), 1 + distractors)]
    needles = [kind.fact.format(key=key, number=number) for key, number in zip(keys, numbers, strict=True)]
    source = _from_anywhere(choice, prose) if prose else iter(lambda: _sentence(choice), None)
    sentences = _taken(source, characters - sum(len(needle) + 1 for needle in needles))
    for needle in needles:
        sentences.insert(choice.randint(0, len(sentences)), needle)
    return Task(context=_paragraphs(choice, sentences), question=kind.question.format(key=keys[0]), answer=numbers[0])


def _from_anywhere(choice: random.Random, prose: Sequence[str]) -> Iterator[str]:
    """The sentences from a random one on, again and again without an end."""
    return islice(cycle(prose), choice.randrange(len(prose)), None)


def _taken(source: Iterator[str], characters: int) -> list[str]:
    """Sentences that are `characters` long with one more character after each, less what another would need."""
    sentences = []
    while (characters := characters - len(sentence := next(source)) - 1) >= 0:
        sentences.append(sentence)
    return sentences


def _sentence(choice: random.Random) -> str:
    noun, other = choice.sample(_NOUNS, 2)
    person, colleague = choice.sample(_PEOPLE, 2)
    adverb = choice.choice(_ADVERBS)
    return choice.choice(_SENTENCES).format(
        adjective=choice.choice(_ADJECTIVES),
        noun=noun,
        other=other,
        person=person,
        colleague=colleague,
        verb=choice.choice(_VERBS),
        adverb=adverb,
        Adverb=adverb.capitalize(),
        clause=choice.choice(_CLAUSES),
        count=choice.randint(2, 999),
    )


def _paragraphs(choice: random.Random, sentences: list[str]) -> str:
    """The sentences as paragraphs, each of them a line."""
    paragraphs = []
    start = 0
    while start < len(sentences):
        size = choice.randint(*_SENTENCES_PER_PARAGRAPH)
        paragraphs.append(" ".join(sentences[start : start + size]))
        start += size
    return "\n".join(paragraphs)


def _write() -> None:
    """A text of three million characters on standard output, and its question on standard error."""
    task = make(seed=1, tokens=750_000, distractors=0)
    sys.stdout.write(task.context)
    print(task.question, file=sys.stderr)


if __name__ == "__main__":
    _write()
