"""One correction: what a model said, what a person thinks of it, and the row that would be taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from sails import data
from sails.data import ANSWERS, ONLY_LAST, Conversation, Turn, printable
from sails.errors import RequestError

Kind = Literal["good", "corrected", "never"]
State = Literal["waiting", "approved", "rejected"]

REFUSAL = "I cannot help with that."  # proposed where an answer must never be said
SOMEBODY = "somebody"
LONGEST_TEXT = 20_000  # characters of a question or an answer
LONGEST_NAME = 80  # characters of who gave or reviewed it
CONTEXT_TOKENS = 300  # of earlier turns that are taught along; what is older is left out


@dataclass(frozen=True)
class Correction:
    """One answer of a model and what a person thinks of it.

    `answer` is what the model said, `correction` what it should have said: empty while nobody has written
    that, and for a good answer. `context` is the conversation before the question, as messages with role and
    content. `title`, `fingerprint`, `session` and `variant` say which model it was.
    """

    id: str
    question: str
    answer: str
    kind: Kind
    correction: str
    who: str
    when: datetime
    title: str = ""
    fingerprint: str | None = None
    session: str | None = None
    variant: str | None = None
    context: tuple[Mapping[str, str], ...] = field(default=(), hash=False)
    state: State = "waiting"
    reviewer: str = ""
    confirmed: bool = False  # a person wrote the answer or looked at it, so it is no mere proposal
    dataset: str | None = None  # that it was put into

    @property
    def taught(self) -> str:
        """The answer that a training would teach; empty while there is none."""
        return self.answer if self.kind == "good" else self.correction

    @cached_property
    def asked(self) -> str:
        """The question with what was said before it, in plain words: the same for what asks the same."""
        return asked_in(self.row)

    @cached_property
    def row(self) -> Conversation:
        """The row that would be taught: with the nearest turns of the conversation before it."""
        before = _nearest([Turn(message["role"], message["content"]) for message in self.context])
        turns = (*before, Turn("user", self.question), Turn("assistant", self.taught))
        extra: dict[str, Any] = {"correction": self.id, "who": self.who, "when": self.when.isoformat()}
        if self.fingerprint:
            extra["version"] = self.fingerprint
        if any(turn.role == "assistant" for turn in before):
            extra[ANSWERS] = ONLY_LAST  # what the model said before may have been wrong
        return Conversation(turns, extra)


def _nearest(turns: Sequence[Turn]) -> list[Turn]:
    """The system turn, and the latest questions and answers that are not too long to be taught along."""
    system = [turn for turn in turns[:1] if turn.role == "system"]
    spoken = turns[len(system) :]
    kept = len(spoken)
    while kept >= 2 and data.estimated_tokens(Conversation(tuple(spoken[kept - 2 :]))) <= CONTEXT_TOKENS:
        kept -= 2
    return [*system, *spoken[kept:]]


def checked_text(text: str, what: str) -> str:
    """Clean a text that a person wrote; raises `RequestError`, which names it as `what`, when too long."""
    text = printable(text).replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > LONGEST_TEXT:
        problem = f"{what} has {len(text):,} characters."
        raise RequestError(problem, f"Shorten it to {LONGEST_TEXT:,} at the most.")
    return text


def checked_name(name: str) -> str:
    """Clean the name of whoever gave or reviewed a correction; `SOMEBODY` where it is empty."""
    return " ".join(printable(name).split())[:LONGEST_NAME] or SOMEBODY


def asked_in(row: Conversation) -> str:
    """Return the last question of a row with what was said before it, in plain words."""
    return "\n".join(plain_words(turn.content) for turn in row.turns[:-1] if turn.role != "system")


def same_words(one: str, other: str) -> bool:
    """Tell whether two texts differ in case, spaces and punctuation at the most."""
    return plain_words(one) == plain_words(other)


def plain_words(text: str) -> str:
    """Strip a text of case, punctuation and needless spaces; a text of nothing else stays as it is."""
    words = "".join(c if c.isalnum() else " " for c in text.casefold()).split()
    return " ".join(words) or text.strip()
