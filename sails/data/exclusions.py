"""Rows that a file itself marks as not to be learned: deleted, switched off, of weight 0, rated bad, wrong.

Only clear marks count. Whether 0 is “no” or the first of many labels, and whether 2 is a bad rating, is
seen when all rows were read; those rows are named then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sails.data.column_names import words_of
from sails.data.formats.text_encoding import printable

_SWITCHES = {  # by name: a false one leaves a row out
    *("train", "trainable", "learn", "loss", "use", "include", "included", "keep", "active", "enabled"),
    *("approved", "accepted", "valid", "published", "correct", "is_correct", "is_approved", "is_accepted"),
    *("is_valid", "is_active", "verified_correct", "training", "lernen", "aktiv", "korrekt", "richtig"),
}
_MARKS = {  # by name: a true one leaves a row out
    *("deleted", "is_deleted", "removed", "is_removed", "exclude", "excluded", "skip", "ignore", "ignored"),
    *(
        "spam",
        "is_spam",
        "hidden",
        "is_hidden",
        "flagged",
        "is_flagged",
        "rejected",
        "is_rejected",
        "do_not_train",
        "dont_train",
    ),
    *("geloscht", "ausgeschlossen", "supprime", "eliminado", "borrado"),
}
_MOMENTS = {"deleted_at", "removed_at", "deleted_on", "archived_at"}  # by name: any value leaves a row out
_VERDICTS = {"status", "state", "review", "verdict", "moderation"}
_RATINGS = {"rating", "ratings", "stars", "thumbs", "thumb", "feedback", "vote", "bewertung", "quality"}
_LABELS = {"label", "labels", "is_good", "good", "kto_tag"}
_SCORES = {"score", "user_rating"}  # of no known scale: what is below nothing leaves a row out
_NO = {"false", "no", "n", "0", "0.0", "f", "nein", "non", "nie", "off", "falsch", "faux", "falso"}
_YES = {"true", "yes", "y", "1", "1.0", "t", "x", "ja", "oui", "si", "sim", "tak", "on", "wahr", "vrai"}
_DISMISSED = {"deleted", "rejected", "spam", "removed", "declined", "discarded", "geloscht", "abgelehnt"}
_BAD = {
    *("bad", "down", "thumbs down", "thumbs_down", "thumb_down", "thumbsdown", "👎", "downvote", "downvoted"),
    *("negative", "-1", "-1.0", "false", "dislike", "disliked", "unhelpful", "poor", "wrong", "incorrect"),
    *("rejected", "deleted", "spam"),
}
_KINDS = {
    **dict.fromkeys(_SWITCHES, "switch"),
    **dict.fromkeys(_MARKS, "mark"),
    **dict.fromkeys(_MOMENTS, "moment"),
    **dict.fromkeys(_VERDICTS, "verdict"),
    **dict.fromkeys(_RATINGS, "rating"),
    **dict.fromkeys(_LABELS, "label"),
    **dict.fromkeys(_SCORES, "score"),
    "weight": "weight",
}
_LOWEST_GOOD = 3  # of five


class Exclusions:
    """Watches the rows of a file for marks that say that they are not to be learned."""

    def __init__(self) -> None:
        self._zeros: dict[str, list[int]] = {}  # rows with the label 0, by column
        self._labels: dict[str, set[str]] = {}
        self._rated: dict[str, dict[int, float]] = {}
        self._scores: dict[str, set[str]] = {}

    @staticmethod
    def columns(names: Iterable[str], used: Iterable[str]) -> dict[str, str]:
        """Return the columns that may hold such marks, with their kind."""
        used = set(used)
        kinds = {name: _KINDS.get("_".join(words_of(name))) for name in names if name not in used}
        return {name: kind for name, kind in kinds.items() if kind}

    def reason(self, row: int, fields: dict[str, Any], columns: dict[str, str]) -> str:
        """Return why this row is not to be learned, or nothing."""
        for name, kind in columns.items():
            value = fields.get(name)
            if value is None or isinstance(value, list | dict):
                continue
            word = str(value).strip().casefold()
            if (
                (kind in ("switch", "weight") and word in _NO)
                or (kind == "mark" and word in _YES)
                or (kind == "moment" and word)
                or (kind == "verdict" and word in _DISMISSED)
                or (kind in ("rating", "score") and (word in _BAD or _below_nothing(word)))
                or (kind == "label" and (value is False or word in ("false", "bad", "incorrect", "wrong")))
            ):
                return f"is marked as not to be learned (“{name}” is {word})"
            if kind == "label":
                self._labels.setdefault(name, set()).add(word)
                if word in ("0", "0.0"):
                    self._zeros.setdefault(name, []).append(row)
            elif kind == "rating":
                self._rate(name, row, word)
            elif kind == "score":
                self._scores.setdefault(name, set()).add(word)
        return ""

    @staticmethod
    def is_said(kind: str, value: Any) -> bool:
        """Tell whether a value only says whether its row is learned; a rating or a label may say more."""
        word = str(value).strip().casefold()
        if kind == "label":
            return word in ("true", "false")
        return kind in ("moment", "weight") or (kind in ("switch", "mark") and word in _NO | _YES)

    def notes(self) -> list[str]:
        """Name the columns whose numbers may grade the answers, and were not looked at."""
        graded = {name: set(map(str, ratings.values())) for name, ratings in self._rated.items()}
        scores = {name: numbers for name, numbers in self._scores.items() if all(map(_is_number, numbers))}
        unclear = [name for name in graded if self._low(name) is None] + list(scores)
        return [
            f"“{printable(name)}” holds numbers that may grade the answers; they are not looked at. "
            "Leave out the rows that should not be taught."
            for name in unclear
            if len((graded | scores)[name] - {"nan"}) > 1
        ]

    def afterwards(self) -> dict[int, str]:
        """Return the rows that are not to be learned as is seen now, with the reason for each."""
        reasons: dict[int, str] = {}
        for name, rows in self._zeros.items():
            if self._labels[name] <= _NO | _YES:
                reasons |= dict.fromkeys(rows, f"is marked as not to be learned (“{name}” is 0)")
        for name in self._rated:
            low = self._low(name) or {}
            reasons |= {row: f"is rated low (“{name}” is {value:g})" for row, value in low.items()}
        return reasons

    def _low(self, name: str) -> dict[int, float] | None:
        """The rows that are rated low; None where the numbers are of no known scale."""
        ratings = self._rated[name]
        values = set(ratings.values())
        if values <= {0, 1}:
            return {row: value for row, value in ratings.items() if value == 0}
        if values <= {1, 2, 3, 4, 5} and max(values) > _LOWEST_GOOD:
            return {row: value for row, value in ratings.items() if value < _LOWEST_GOOD}
        return None

    def _rate(self, name: str, row: int, word: str) -> None:
        try:
            value = float(word)
        except ValueError:
            value = float("nan")  # a scale of its own: nothing is left out by it
        self._rated.setdefault(name, {})[row] = value


def _below_nothing(word: str) -> bool:
    return word.startswith("-") and _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
