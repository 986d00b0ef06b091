"""Ten small lessons for the everyday case: a person corrects a model, or teaches it some rows on one topic.

    for name, facts in small_lessons(seed=1).items(): ...

The first lesson, `science`, has 23 rows: 18 to teach and 5 to keep back. Three lessons are corrections of
single answers, on mixed topics; six are short topics such as a shop, a club, a class or a small team teaches.
General facts are true. Whatever is about "us" (an opening hour, a price, a rule) is invented, as are the game
and the tool. Unlike the facts of `facts.py`, some of these a model may know beforehand: ask before teaching.

The rows are in `small_lessons.json`. Each has its question in other words too, and the phrases by which a
generated answer is known to be right. They do not see what else the answer says: wrong additions pass.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

FIRST = "science"  # the lesson that is always taught first


@dataclass(frozen=True)
class SmallFact:
    question: str
    answer: str
    reworded: str  # the question in other words
    accepted: tuple[str, ...]  # one of these is in every right answer


def _read() -> dict[str, tuple[SmallFact, ...]]:
    lessons = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return {
        name: tuple(SmallFact(**{**row, "accepted": tuple(row["accepted"])}) for row in rows)
        for name, rows in lessons.items()
    }


SMALL_LESSONS = _read()  # by name, in the order of teaching

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
NUMBERS = {str(number): word for number, word in enumerate(_WORDS.split())}


def small_lessons(seed: int) -> dict[str, tuple[SmallFact, ...]]:
    """The lessons in an order drawn from the seed, `science` still first, each with its rows shuffled."""
    chance = random.Random(seed)
    others = [name for name in SMALL_LESSONS if name != FIRST]
    chance.shuffle(others)
    return {
        name: tuple(chance.sample(SMALL_LESSONS[name], len(SMALL_LESSONS[name]))) for name in (FIRST, *others)
    }


def is_right(fact: SmallFact, answer: str) -> bool:
    """Whether an accepted phrase is in the answer, as whole words; case does not count, and 8 is eight."""
    text = _plain(answer)
    return any(_stands_in(_plain(phrase), text) for phrase in fact.accepted)


def _stands_in(phrase: str, text: str) -> bool:
    """Whether the phrase is there by itself: "eight" is not in "twenty-eight", nor "100" in "1,100"."""
    return re.search(rf"(?<![\w-])(?<!\d[.,]){re.escape(phrase)}(?![\w-]|[.,]\d)", text) is not None


def _plain(text: str) -> str:
    """The text in lower case, with single spaces and its whole numbers up to twenty in words."""
    text = " ".join(text.casefold().split())
    return re.sub(r"\b\d+(?:[.,]\d+)*\b", lambda number: NUMBERS.get(number[0], number[0]), text)
