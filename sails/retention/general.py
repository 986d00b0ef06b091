"""What a base model knows of the world, and may lose when it is taught something else.

    closed_questions()     have one right answer each: they measure what is still known
    open_prompts()         have none: answers to them show how far a model has drifted
    rehearsal_prompts()    are rehearsed beside a lesson, so that the model stays itself

What measures is never rehearsed: no prompt is in both files of `prompts/`, and no fact is asked in both.
Does not ask (`sails.training.scoring`), and does not rehearse.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PROMPTS = Path(__file__).with_name("prompts")
MEASURED = PROMPTS / "measured.json"
REHEARSED = PROMPTS / "rehearsed.json"


@dataclass(frozen=True)
class ClosedQuestion:
    """A question with one right answer; `accepted`: the words or phrases that say it, in all spellings."""

    question: str
    accepted: tuple[str, ...]


@cache
def closed_questions() -> tuple[ClosedQuestion, ...]:
    """The questions whose answers can be checked; never taught, never rehearsed."""
    closed = _read(MEASURED)["closed"]
    return tuple(ClosedQuestion(entry["question"], tuple(entry["accepted"])) for entry in closed)


@cache
def open_prompts() -> tuple[str, ...]:
    """The prompts without one right answer; never taught, never rehearsed."""
    return tuple(_read(MEASURED)["open"])


@cache
def rehearsal_prompts() -> tuple[str, ...]:
    """The prompts that are rehearsed with the base model's own answers, kind after kind."""
    return tuple(prompt for prompts in _read(REHEARSED).values() for prompt in prompts)


def is_right(question: ClosedQuestion, answer: str) -> bool:
    """Whether an accepted word or phrase stands in the answer as a whole: 8 is neither in 18 nor in 8.5."""
    said = _normalized(answer)
    return any(
        re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(_normalized(word))}(?![.,]?\d)(?!\w)", said)
        for word in question.accepted
    )


def _normalized(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
