"""Rows that a file itself marks as not to be learned: deleted, switched off, of weight 0, rated bad, wrong,
or set apart for testing.

Only clear marks count. Whether 0 is “no” or the first of many labels, whether 2 is a bad rating, and whether
rows to test with stand beside others to train with, is seen when all rows were read; they are named then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sails.data.column_names import words_of
from sails.data.formats.text_encoding import printable


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PREFIXES = frozenset({"is", "was", "to", "be", "has", "been"})  # “is_deleted”, “to be deleted”
# By name, without those words. A false one leaves a row out:
_SWITCHES = """
train trainable training train_on_turn train_on compute_loss loss loss_mask learn use include included
keep active enabled approved accepted valid validated verified verified_correct published correct
thumbs_up liked lernen aktiv korrekt richtig freigegeben gultig veroffentlicht valide actif approuve
publie activo aprobado valido publicado ativo aprovado attivo approvato aktywny zatwierdzone
"""
_WEIGHTS = "weight loss_weight sample_weight"  # nothing leaves a row out
# A true one leaves a row out:
_MARKS = """
deleted delete removed remove exclude excluded skip skipped ignore ignored spam hidden flagged rejected
do_not_train dont_train do_not_use dont_use do_not_learn dont_learn do_not_teach dont_teach don_t_train
don_t_use don_t_learn nicht_lernen nicht_verwenden no_usar ne_pas_utiliser non_usare draft entwurf brouillon
borrador rascunho bozza not_for_training mask masked archived obsolete outdated
deprecated hallucination hallucinated thumbs_down disliked geloscht loschen ausgeschlossen veraltet
archiviert gesperrt supprime perime eliminado borrado obsoleto excluido eliminato usuniete nieaktualne
"""
_MOMENTS = "deleted_at removed_at deleted_on archived_at"  # any value leaves a row out
_VERDICTS = "status state review verdict moderation judgement judgment decision outcome statut estado stato"
_RATINGS = """
rating ratings stars thumbs thumb feedback vote bewertung quality qualitat like reaction helpful useful
hilfreich note_qualite calificacion
"""
_LABELS = "label labels good kto_tag"
_SCORES = "score user_rating reward votes upvotes"  # of no known scale: one below nothing leaves a row out
_SPLITS = "split data_split dataset_split partition subset set"
_NOT_EXCLUDED = "is_archived"  # a chat that was put aside
_NO = _set("✗ ✘ ❌ ☒ false no n 0 0.0 f nein non nie off falsch faux falso não nao")
_YES = _set("✓ ✔ ✅ ☑ true yes y 1 1.0 t x ja oui si sí sim tak on wahr vrai")
_DISMISSED = _set("""
deleted rejected spam removed declined discarded refused denied fail failed incorrect wrong bad invalid
inactive obsolete outdated deprecated archived draft geloscht gelöscht abgelehnt falsch veraltet inaktiv
ungültig entwurf rejeté refusé supprimé brouillon rechazado eliminado borrador rejeitado rascunho
rifiutato bozza odrzucone
""")
_BAD = _set("""
bad down thumbs_down thumb_down thumbsdown 👎 downvote downvoted negative -1 -1.0 false no dislike
disliked unhelpful poor wrong incorrect rejected deleted spam fail schlecht mangelhaft falsch nein mauvais
mauvaise non malo mala ruim cattivo zły
""")
_KINDS = {
    name: kind
    for kind, text in (
        ("switch", _SWITCHES),
        ("weight", _WEIGHTS),
        ("mark", _MARKS),
        ("moment", _MOMENTS),
        ("verdict", _VERDICTS),
        ("rating", _RATINGS),
        ("label", _LABELS),
        ("score", _SCORES),
        ("split", _SPLITS),
        ("", _NOT_EXCLUDED),
    )
    for name in text.split()
}
_TRAINING = _set("train training trainset train_set")
_TESTING = _set("""
test testing testset test_set valid validation val dev development eval evaluation holdout held_out heldout
""")
_LOWEST_GOOD = 3  # of five


def kinds(names: Iterable[str]) -> dict[str, str]:
    """Return the names that may be those of marks, with the kind of mark."""
    found = {name: _kind(str(name)) for name in names}
    return {name: kind for name, kind in found.items() if kind}


@lru_cache(4096)
def _kind(name: str) -> str:
    words = words_of(name)
    whole = "_".join(words)
    if whole not in _KINDS:
        while words and words[0] in _PREFIXES:
            words = words[1:]
        whole = "_".join(words)
    return _KINDS.get(whole, "")


def is_marked(kind: str, value: Any) -> bool:
    """Tell whether a mark of this kind says that what it stands beside is not to be learned."""
    if value is None or isinstance(value, list | dict):
        return False
    word = str(value).strip().casefold()
    return (
        (kind in ("switch", "weight") and word in _NO)
        or (kind == "mark" and word in _YES)
        or (kind == "moment" and bool(word))
        or (kind == "verdict" and word in _DISMISSED)
        or (kind in ("rating", "score") and (word.replace(" ", "_") in _BAD or _below_nothing(word)))
        or (kind == "label" and (value is False or word in ("false", "bad", "incorrect", "wrong")))
    )


def is_partial(kind: str, value: Any) -> bool:
    """Tell whether a weight is another one than none or all of it."""
    return kind == "weight" and str(value).strip().casefold() not in _NO | _YES and _is_number(str(value))


def says_yes_or_no(words: Iterable[str]) -> bool:
    """Tell whether words say yes in some rows and no in others, and nothing else; numbers may count."""
    found = {word.strip() for word in words}
    if all(map(_is_number, found)):
        return False
    return bool(found & _YES) and bool(found & _NO) and found <= _YES | _NO


class Exclusions:
    """Watches the rows of a file for marks that say that they are not to be learned."""

    def __init__(self) -> None:
        self._zeros: dict[str, list[int]] = {}  # rows with the label 0, by column
        self._labels: dict[str, set[str]] = {}
        self._rated: dict[str, dict[int, float]] = {}
        self._scores: dict[str, set[str]] = {}
        self._splits: dict[str, dict[int, str]] = {}
        self._switched: Counter[tuple[str, bool]] = Counter()  # rows by switch, and whether it says anything

    @staticmethod
    def columns(names: Iterable[str], used: Iterable[str]) -> dict[str, str]:
        """Return the columns that may hold such marks, with their kind."""
        used = set(used)
        return kinds(name for name in names if name not in used)

    def reason(self, row: int, fields: dict[str, Any], columns: dict[str, str]) -> str:
        """Return why this row is not to be learned, or nothing."""
        for name, kind in columns.items():
            value = fields.get(name)
            if kind == "switch":
                self._switched[name, value not in (None, "")] += 1
            if value is None or isinstance(value, list | dict):
                continue
            word = str(value).strip().casefold()
            if is_marked(kind, value):
                return f"is marked as not to be learned (“{name}” is {word})"
            if kind == "label":
                self._labels.setdefault(name, set()).add(word)
                if word in ("0", "0.0"):
                    self._zeros.setdefault(name, []).append(row)
            elif kind == "rating":
                self._rate(name, row, word)
            elif kind == "split":
                self._splits.setdefault(name, {})[row] = word.replace(" ", "_").replace("-", "_")
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
        some = [name for name, is_filled in self._switched if is_filled and (name, False) in self._switched]
        return [f"“{printable(name)}” is empty in some rows; those are taught, too." for name in some] + [
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
        for name, words in self._splits.items():
            used = set(words.values())
            if used & _TRAINING and used <= _TRAINING | _TESTING:
                reasons |= {
                    row: f"is there to test with (“{name}” is {word})"
                    for row, word in words.items()
                    if word in _TESTING
                }
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
