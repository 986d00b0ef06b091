"""Whether examples are in another language than English, as a hint: told by their letters and small words.

Only what is plain counts: rows of names, code, numbers or few words say nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sails.data.conversation import Conversation

MOST_ROWS, MOST_CHARACTERS = 300, 1500  # of a dataset, and of each of its rows, that are looked at
MIN_ROWS, MIN_SHARE = 3, 0.3  # of the rows in that language, before it is said
MIN_WORDS, MIN_SHARE_OF_WORDS, TIMES_ENGLISH = 2, 0.1, 2  # small words of a language in a row of it
MIN_LETTERS = 4

# Small words that hardly stand in another language's sentences, nor in code: of two letters at least.
_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "English": "the and of that it you what how are with this be or which from does not have its when "
        "why where who your can if they there about",
        "German": "der das und ist nicht ein eine einen für mit von zu den dem wie ich sie wird auf auch "
        "sich es bei oder kann wenn aus welche wer warum werden",
        "French": "le la les des une est et dans pour qui que vous pas sur avec du au ce sont il elle nous "
        "quel quelle comment pourquoi un",
        "Spanish": "el la los las una es que de en con por para se del qué cómo cuál son su más está un como",
        "Portuguese": "os um uma é que de do da em com por para não se como são qual mais seu ao dos das",
        "Italian": "il lo la gli una un che di del della con per non sono come qual quale più nel si è dei",
        "Dutch": "het een en van de niet dat met voor wat hoe zijn op ik je wordt ook naar welke door",
        "Polish": "nie jest się na do co jak że dla czy są to oraz jest który od po",
        "Czech": "je na se jak co není jsou pro to že nebo který jako do od",
        "Swedish": "och att det som är inte på med för av vad hur en ett till den kan",
        "Danish or Norwegian": "og det er ikke på til som hvad hva hvordan en et med for av af den kan",
        "Finnish": "ja on ei se mikä miten ovat että tai kuin mitä joka ole",
        "Hungarian": "az és nem hogy egy van mi mit hogyan vagy milyen ez",
        "Romanian": "și este nu ce cum un pe cu din care sunt pentru la de mai",
        "Turkish": "ve bir bu için ne ile nasıl değil nedir olarak çok mi",
        "Indonesian": "yang dan di adalah untuk dengan ini apa tidak dari bagaimana pada ke",
        "Vietnamese": "là và của có không những được trong cho người một các",
    }.items()
}
_SCRIPTS = {
    "Cyrillic letters": re.compile("[\u0400-\u052f]"),
    "Greek letters": re.compile("[\u0370-\u03ff]"),
    "Hebrew letters": re.compile("[\u0590-\u05ff]"),
    "Arabic letters": re.compile("[\u0600-\u06ff]"),
    "Indian letters": re.compile("[\u0900-\u0d7f]"),
    "Thai letters": re.compile("[\u0e00-\u0e7f]"),
    "Korean letters": re.compile("[\u1100-\u11ff\uac00-\ud7af]"),
    "Chinese or Japanese signs": re.compile("[\u3040-\u30ff\u3400-\u9fff]"),
}
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`]*`", re.DOTALL)
_LETTER, _WORD = re.compile(r"[^\W\d_]"), re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class ForeignRows:
    """Rows in another language than English, of those that were looked at; it is the one of most of them."""

    language: str  # "German", or what it is written in: "Cyrillic letters"
    rows: int
    looked_at: int


def foreign_rows(rows: Sequence[Conversation]) -> ForeignRows | None:
    """Return what plainly is in another language than English; None where that is no large part."""
    step = max(1, len(rows) // MOST_ROWS)
    looked_at = rows[::step][:MOST_ROWS]
    found = Counter(filter(None, (_language(f"{row.input}\n{row.output}") for row in looked_at)))
    count = found.total()
    if count < max(MIN_ROWS, MIN_SHARE * len(looked_at)):
        return None
    return ForeignRows(found.most_common(1)[0][0], count, len(looked_at))


def _language(text: str) -> str:
    """The language of one row; empty for English, and where nobody can tell."""
    text = _CODE.sub(" ", text)[:MOST_CHARACTERS].casefold()
    letters = len(_LETTER.findall(text))
    for script, pattern in _SCRIPTS.items():
        if letters >= MIN_LETTERS and 2 * len(pattern.findall(text)) > letters:
            return script
    words = _WORD.findall(text)
    counts = Counter(words)
    hits = {name: sum(counts[word] for word in small) for name, small in _WORDS.items()}
    english = hits.pop("English")
    best = max(hits, key=hits.__getitem__)
    distinct = sum(word in counts for word in _WORDS[best])
    enough = max(MIN_SHARE_OF_WORDS * len(words), TIMES_ENGLISH * english)
    return best if distinct >= MIN_WORDS and hits[best] > enough else ""
