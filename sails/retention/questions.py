"""Which questions show what a session did: asked before the lesson and again after it.

Five of the questions that are taught, one of them again in other words, and one that has nothing to do with
the lesson. The same rows give the same questions, so that a resumed session asks what it asked before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from sails.data import Conversation

TAUGHT = 5
MAX_QUESTION_LENGTH = 500  # characters of a question that is still asked
UNRELATED = "What is the capital of France?"

About = Literal["taught", "reworded", "unrelated"]


class ProbeQuestion(BaseModel, frozen=True):
    """One question that is asked before and after; `expected`: the answer that was taught, or None."""

    about: About
    question: str
    expected: str | None = None


class ProbeAnswer(ProbeQuestion):
    """A probe question with the answer that a model gave."""

    answer: str


def questions_for(lesson: Sequence[Conversation]) -> list[ProbeQuestion]:
    """The questions for the rows of a lesson; with fewer than five short rows, as many as there are."""
    short = [row for row in lesson if 0 < len(row.input) <= MAX_QUESTION_LENGTH]
    count = min(TAUGHT, len(short))
    chosen = [short[index * len(short) // count] for index in range(count)]
    taught = [ProbeQuestion(about="taught", question=row.input, expected=row.output) for row in chosen]
    reworded = [
        ProbeQuestion(about="reworded", question=reword(row.input), expected=row.output) for row in chosen[:1]
    ]
    return [*taught, *reworded, ProbeQuestion(about="unrelated", question=UNRELATED)]


def reword(question: str) -> str:
    """Put the question as somebody else might, without knowing its language's grammar.

    A first word that is all capitals (HTML, SQL) or a lone I stays as it is.
    """
    first, *_ = question.split()
    begins = question if first.isupper() else question[:1].lower() + question[1:]
    return f"I have a question for you: {begins} Please explain it in your own words."


# Prompts that no lesson is about: what a base model answers to them shows how far a model has drifted.
GENERAL_PROMPTS = (
    "What is the capital of France?",
    "Name three colours of the rainbow.",
    "How many minutes are there in two hours?",
    "What is seven plus eight?",
    "Why does ice float on water?",
    "Write one sentence about the sea.",
    "What do bees make?",
    "Translate good morning into Spanish.",
    "Which planet is closest to the sun?",
    "What is the opposite of heavy?",
    "Give me a short recipe for scrambled eggs.",
    "How do I boil an egg?",
    "What should I pack for a rainy day?",
    "Explain in one sentence what a computer does.",
    "List the four seasons.",
    "Is a whale a fish?",
    "What is a good way to learn a new word?",
    "Write a polite reply to an invitation that I cannot accept.",
    "How long does the earth take to go round the sun?",
    "What is bread made of?",
    "Complete the sentence: The cat sat on the",
    "What is the largest ocean?",
    "Give me two tips for sleeping well.",
    "Which is longer, a mile or a kilometre?",
)
