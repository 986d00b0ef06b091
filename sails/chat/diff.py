"""Where two answers differ, word by word.

    for piece in pieces("Paris is the capital.", "Paris is a city."):
        piece.kind, piece.text      # same "Paris is", gone "the capital.", added "a city."

Draws nothing: a page marks the pieces in its way, a terminal in another.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["same", "added", "gone"]
Likeness = Literal["same", "similar", "other"]
MIN_LIKENESS = 0.5  # below this likeness, marking words would only be noise
MAX_COMPARED_WORDS = 3000  # words that are compared one by one
SENTENCES: dict[Likeness, str] = {
    "same": "The same answer, word for word.",
    "similar": "Differs in some words.",
    "other": "A completely different answer.",
}
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Piece:
    """Words as they were written, with the white space before them. *gone*: only in the first answer."""

    text: str
    kind: Kind


def likeness(first: str, other: str) -> Likeness:
    """Tell whether two answers are the same, differ in some words, or have little in common."""
    first_words, other_words = first.split(), other.split()
    if first_words == other_words:
        return "same"
    if max(len(first_words), len(other_words)) > MAX_COMPARED_WORDS:
        return "other"
    return "similar" if _matcher(first_words, other_words).ratio() >= MIN_LIKENESS else "other"


def pieces(first: str, other: str) -> list[Piece]:
    """Cut `other` into pieces, with what only `first` has in between; without those it is `other` again."""
    first_words, other_words = _WORD.findall(first), _WORD.findall(other)
    if likeness(first, other) == "other":
        return [Piece(other, "same")] if other else []
    plain = _matcher([word.strip() for word in first_words], [word.strip() for word in other_words])
    differences = []
    for what, a, b, c, d in plain.get_opcodes():
        if what != "equal":
            differences.append(Piece("".join(first_words[a:b]), "gone"))
        differences.append(Piece("".join(other_words[c:d]), "same" if what == "equal" else "added"))
    differences.append(Piece(other[len("".join(other_words)) :], "same"))
    return [piece for piece in differences if piece.text]


def _matcher(first_words: Sequence[str], other_words: Sequence[str]) -> difflib.SequenceMatcher[str]:
    return difflib.SequenceMatcher(None, first_words, other_words, autojunk=False)
