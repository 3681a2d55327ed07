"""The demonstrations that `Explore` starts with, as native turns; an optimised program brings its own.

They are for weak models, which do as they are shown. So the last two show the commonest task and the shortest way to do
it: the best passage goes to a model, and nothing that is rare in the text has to be written down again. They were found
with SmolLM2-135M-Instruct and Qwen2.5-Coder-0.5B-Instruct over needles in 128k tokens: `rants eval s-niah`.
"""

from __future__ import annotations

from typing import Any

import dspy

_BUDGET = "Budget left: {} turns, 2,000 model calls, 8 min."


def _demonstration(question: str, context: str, *codes: str, observations: tuple[str, ...] = ()) -> dspy.Example:
    """One run over a context: its codes, and what those before the last one have printed."""
    turns: list[dict[str, Any]] = []
    for number, code in enumerate(codes):
        turn = {"budget": _BUDGET.format(20 - number), "reasoning": "", "code": code}
        turns.append({"observation": observations[number - 1], **turn} if number else turn)
    *history, last = turns
    return dspy.Example(
        messages=[{"role": "user", "content": question}], context=context, history={"messages": history}, **last
    )


_BEST_PASSAGE = 'SUBMIT(llm_query(f"Answer in one sentence: {question}\\n\\n{search(question, 1)}"))'

DEMONSTRATIONS: tuple[dspy.Example, ...] = (
    _demonstration(
        "What do the guests complain about most?",
        """`context` is a str of 388,120 characters (about 97,030 tokens) in 2,210 lines. It begins:
Room 12. Lovely view, but the heating was off all night and we had to ask twice for blankets. Breakfast was good.
Room 7. Everything was fine, thank you, we will come again in summer.
... and ends:
Room 3. Friendly people, quiet room, fair price.
Room 25. The walls are thin: we heard every word of the neighbours' quarrel.""",
        """pieces = chunks(8000)
notes = llm_query_batched([f"{question}\\n\\n{piece}" for piece in pieces])
print(len(notes), notes[:3])""",
        """SUBMIT(llm_query(f"{question}\\n\\n{notes}"))""",
        observations=("49 ['The room was cold.', 'Slow service at dinner.', 'Noise from the street.']",),
    ),
    _demonstration(
        "How many orders were cancelled?",
        """`context` is a str of 640,020 characters (about 160,005 tokens) in 9,801 lines. It begins:
2023-01-02;order 10431;Berg & Co;paid
2023-01-02;order 10432;A. Novak;cancelled
... and ends:
2023-12-31;order 20232;Berg & Co;cancelled
2023-12-31;order 20233;Sato;paid""",
        """lines = [line for line in context.splitlines() if "cancelled" in line]
print(len(lines), lines[:2])""",
        """SUBMIT(len(lines))""",
        observations=("1217 ['2023-01-02;order 10432;A. Novak;cancelled', '2023-01-07;order 10502;Hill;cancelled']",),
    ),
    _demonstration(
        "Which year was the Almeda canal opened?",
        """`context` is a str of 903,411 characters (about 225,852 tokens) in 11,020 lines. It begins:
Minutes of the board, volume 1, printed in 1903. Present were all members but one, who was ill. The chair read 12
letters about the noise at the lower lock. It was agreed to answer them in the new year.
... and ends:
the bank. Nothing more was said about it, and the chair thanked the members for their patience. The meeting was closed
at 9 in the evening. The next one is to be held in the town hall, as before.""",
        _BEST_PASSAGE,
    ),
    _demonstration(
        "How tall is the tower on Baker Hill?",
        """`context` is a str of 412,080 characters (about 103,020 tokens) in 3,120 lines. It begins:
Chapter 1. The valley lay under snow when the survey began, and the 14 men who had come by train were waiting for their
tents. Nobody had told them that the bridge was closed. On the third day a rider came.
... and ends:
The horses were sold to a farmer for 220 crowns. In the office the clerk signed the last sheet, put it on the pile and
locked the door. So ended the survey, and the maps were folded away.""",
        _BEST_PASSAGE,
    ),
)
