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
ANOTHER = 0.5  # below this likeness, marking words would only be noise
LONGEST = 3000  # words that are compared one by one
SENTENCES: dict[Likeness, str] = {
    "same": "The same answer, word for word.",
    "similar": "Differs in some words.",
    "other": "Quite another answer.",
}
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Piece:
    """Words as they were written, with the white space before them. *gone*: only in the first answer."""

    text: str
    kind: Kind


def likeness(first: str, other: str) -> Likeness:
    """Whether two answers are the same, differ in some words, or have little in common."""
    one, two = first.split(), other.split()
    if one == two:
        return "same"
    if max(len(one), len(two)) > LONGEST:
        return "other"
    return "similar" if _matcher(one, two).ratio() >= ANOTHER else "other"


def pieces(first: str, other: str) -> list[Piece]:
    """`other` in pieces, with what only `first` has in between; without those it is `other` again."""
    one, two = _WORD.findall(first), _WORD.findall(other)
    found = []
    if likeness(first, other) == "other":
        found.append(Piece(other, "same"))
    else:
        plain = _matcher([word.strip() for word in one], [word.strip() for word in two])
        for what, a, b, c, d in plain.get_opcodes():
            if what == "equal":
                found.append(Piece("".join(two[c:d]), "same"))
                continue
            if a < b:
                found.append(Piece("".join(one[a:b]), "gone"))
            if c < d:
                found.append(Piece("".join(two[c:d]), "added"))
        if end := other[len("".join(two)) :]:
            found.append(Piece(end, "same"))
    return [piece for piece in found if piece.text]


def _matcher(one: Sequence[str], two: Sequence[str]) -> difflib.SequenceMatcher[str]:
    return difflib.SequenceMatcher(None, one, two, autojunk=False)
