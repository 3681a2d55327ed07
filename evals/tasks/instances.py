"""Questions with a label that says what they ask for, in the six coarse classes of TREC's question classification."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from programs.errors import ConfigurationError

LABELS: Final = (
    "abbreviation",
    "entity",
    "description and abstract concept",
    "human being",
    "location",
    "numeric value",
)


@dataclass(frozen=True, slots=True)
class Instance:
    """A question of one line, and its label, one of `LABELS`."""

    text: str
    label: str


def read_instances(path: Path) -> list[Instance]:
    """The instances of a file: JSON Lines with the fields `question` and `label`, each text once, in the file's order.

    Raises:
        ConfigurationError: it cannot be read, a line is no such object, a label is not one of `LABELS`, or one text has
            two.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"data: cannot read the questions: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            text, label = " ".join(row["question"].split()), row["label"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            wanted = "a JSON object with a `question` and a `label`"
            raise ConfigurationError(f"data: {path}, line {number} is not {wanted}") from error
        if label not in LABELS:
            known = ", ".join(LABELS)
            raise ConfigurationError(f"data: {path}, line {number}: unknown label {label!r}; there are {known}")
        if found.setdefault(text, label) != label:
            raise ConfigurationError(f"data: {path}, line {number}: two labels for {text!r}")
    return [Instance(text, label) for text, label in found.items()]


def made_up(seed: int, count: int) -> list[Instance]:
    """`count` different questions about towns and people that do not exist; abbreviations are rare, as in TREC."""
    dice = random.Random(f"instances {seed}")
    found: dict[str, str] = {}
    while len(found) < count:
        label = dice.choices(LABELS, _SHARES)[0]
        found[dice.choice(_FORMS[label]).format_map(_Blanks(dice))] = label
    return [Instance(text, label) for text, label in found.items()]


_SHARES = (3, 22, 22, 21, 15, 17)

_FORMS: Mapping[str, Sequence[str]] = {
    "abbreviation": [
        "What does {letters} stand for ?",
        "What is the full form of {letters} ?",
        "What are the initials of the {town} {trade} guild ?",
    ],
    "entity": [
        "What dish is {town} famous for ?",
        "Which animal is on the flag of {town} ?",
        "What instrument did {person} of {town} play ?",
        "Which language do they speak in {town} ?",
        "What colour is the hat that {person} wears in {town} ?",
    ],
    "description and abstract concept": [
        "Why did {person} leave {town} ?",
        "How is the {trade} bread of {town} baked ?",
        "What is the origin of the name {town} ?",
        "What does a {trade} of {town} do all day ?",
        "How did {person} become a {trade} ?",
    ],
    "human being": [
        "Who founded {town} ?",
        "Who taught {person} to be a {trade} ?",
        "Which {trade} built the bridge of {town} ?",
        "Who was married to {person} ?",
    ],
    "location": [
        "Where was {person} born ?",
        "In what country does {town} lie ?",
        "Which river flows through {town} ?",
        "Where did {person} of {town} bury the treasure ?",
    ],
    "numeric value": [
        "How many people live in {town} ?",
        "In what year did {person} come to {town} ?",
        "How old was {person} when the {trade} of {town} died ?",
        "How far is it from {town} to the sea ?",
    ],
}


class _Blanks(dict[str, str]):
    """What the blanks of a form are filled with: something new each time."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def __missing__(self, blank: str) -> str:
        pick = self._dice.choice
        match blank:
            case "letters":
                return "".join(self._dice.choices("ABCDEFGHIKLMNOPRSTUVW", k=pick([3, 4])))
            case "town":
                return pick(_STEMS) + pick(_TOWN_ENDS)
            case "person":
                return f"{pick(_FIRST_NAMES)} {pick(_STEMS)}{pick(_NAME_ENDS)}"
            case _:
                return pick(_TRADES)


_STEMS = [
    "Alder", "Barn", "Brack", "Cald", "Dorn", "Elm", "Fenn", "Gild", "Harp", "Ister", "Kell", "Lorn", "Marl",
    "Nether", "Oster", "Penn", "Quill", "Rook", "Sarn", "Tarn",
]  # fmt: skip
_TOWN_ENDS = [
    "bach", "bridge", "bury", "dale", "field", "ford", "gate", "ham", "haven", "holt", "ley", "marsh", "mere",
    "mouth", "stead", "stow", "ton", "wick", "wold",
]  # fmt: skip
_NAME_ENDS = [
    "er", "ing", "man", "sen", "sky", "son", "stein", "well",
]  # fmt: skip
_FIRST_NAMES = [
    "Ada", "Bruno", "Clara", "Dario", "Edda", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Kaja", "Leon", "Mira",
    "Nils", "Olga", "Piet", "Rosa", "Sven",
]  # fmt: skip
_TRADES = [
    "baker", "barber", "brewer", "carpenter", "fisher", "glazier", "mason", "miller", "potter", "saddler", "smith",
    "tailor", "weaver",
]  # fmt: skip
