"""Which questions show what a session did: asked before the lesson and again after it.

Five of the questions that are taught, one of them again in other words, and three that have nothing to do
with the lesson. The same rows give the same questions, so that a resumed session asks what it asked before.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from sails.data import Conversation
from sails.retention.general import closed_questions, is_right
from sails.sessions import AnsweredQuestion

TAUGHT = 5
MAX_QUESTION_LENGTH = 500  # characters of a question that is still asked
UNRELATED = "What is the capital of France?"
GENERAL_QUESTIONS = 3

About = Literal["taught", "reworded", "unrelated"]


class ProbeQuestion(BaseModel, frozen=True):
    """One question that is asked before and after; `expected`: the answer that was taught, or None."""

    about: About
    question: str
    expected: str | None = None


class ProbeAnswer(ProbeQuestion):
    """A probe question with the answer that a model gave."""

    answer: str


def questions_for(lesson: Sequence[Conversation], known: Sequence[str] = ()) -> list[ProbeQuestion]:
    """The questions for the rows of a lesson; with fewer than five short rows, as many as there are.

    `known` are general questions that the base model answers right: two of them are asked, before the one
    that nobody knows whether it does.
    """
    asked_alone = (row for row in lesson if not row.calls_tools)
    short = [row for row in asked_alone if 0 < len(row.input) <= MAX_QUESTION_LENGTH]
    count = min(TAUGHT, len(short))
    chosen = [short[index * len(short) // count] for index in range(count)]
    taught = [ProbeQuestion(about="taught", question=row.input, expected=row.output) for row in chosen]
    reworded = [
        ProbeQuestion(about="reworded", question=reword(row.input), expected=row.output) for row in chosen[:1]
    ]
    elsewhere = {UNRELATED, *(row.input for row in lesson)}
    others = [question for question in known if question not in elsewhere]
    general = random.Random(len(lesson)).sample(others, min(GENERAL_QUESTIONS - 1, len(others)))
    asked = [UNRELATED] if UNRELATED not in {row.input for row in lesson} else []
    unrelated = [ProbeQuestion(about="unrelated", question=question) for question in (*general, *asked)]
    return [*taught, *reworded, *unrelated]


def no_longer_right(before: Sequence[AnsweredQuestion], after: Sequence[AnsweredQuestion]) -> list[str]:
    """The questions beside the lesson that were answered right before it and are not any more."""
    closed = {question.question: question for question in closed_questions()}
    right = [
        {
            item.question
            for item in answers
            if item.question in closed and is_right(closed[item.question], item.answer)
        }
        for answers in (before, after)
    ]
    return [
        item.question for item in after if item.about == "unrelated" and item.question in right[0] - right[1]
    ]


def reword(question: str) -> str:
    """Put the question as somebody else might, without knowing its language's grammar.

    A first word that is all capitals (HTML, SQL) or a lone I stays as it is.
    """
    first, *_ = question.split()
    begins = question if first.isupper() else question[:1].lower() + question[1:]
    return f"I have a question for you: {begins} Please explain it in your own words."
