"""The bytes of a text file as text: UTF-8, UTF-16 or UTF-32 with or without a mark, an older encoding.

What is not clearly one of these is refused rather than guessed at: a wrong guess reads without an error and
teaches a model nonsense.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from sails.data.formats.legacy_encoding import legacy_encoding
from sails.errors import ConversationFileError

_MARKS = (  # longest first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 1 << 16
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BROKEN_BYTES = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")
# Lone surrogates: bytes that are not UTF-8 (see `decode`), or one half of a pair in JSON.
HALF_CHARACTERS = re.compile("[\ud800-\udfff]")


class Decoded(NamedTuple):
    text: str  # bytes that are not UTF-8 stand as lone surrogates U+DC80 to U+DCFF
    encoding: str
    notes: tuple[str, ...]


def printable(text: str) -> str:
    """The text with a question mark in place of each half character, so that it can be shown and saved."""
    return text if text.isascii() else HALF_CHARACTERS.sub("\ufffd", text)


def decode(raw: bytes, name: str) -> Decoded:
    """Decode a file; raises ConversationFileError for no text, or text in an encoding we cannot tell."""
    text, encoding, notes = _decoded(raw, name)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Decoded(text, encoding, notes)


def _decoded(raw: bytes, name: str) -> Decoded:
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return Decoded(raw[len(mark) :].decode(encoding, "surrogatepass"), encoding, ())
            except UnicodeDecodeError as error:
                raise ConversationFileError(
                    f"{name} is damaged: it says that it is {encoding.upper()} text, and it is not.",
                    "Save it again as UTF-8 and try once more.",
                ) from error
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if utf16 := _unmarked_utf16(raw):
        return Decoded(raw.decode(utf16, "surrogatepass"), utf16, ())
    if len(_CONTROLS.findall(raw[:_SAMPLE])) > len(raw[:_SAMPLE]) / 20:
        raise _not_text(name)
    try:
        text = raw.decode("utf-8")
        return Decoded(text, "utf-8", _twice_encoded(text))
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
    if legacy := legacy_encoding(raw):
        note = f"The file is not UTF-8; it was read as {legacy.title}. Check that its letters look right."
        return Decoded(raw.decode(legacy.codec), legacy.title.replace(" ", "").casefold(), (note,))
    broken, beyond_ascii = len(_BROKEN_BYTES.findall(text)), len(_BEYOND_ASCII.findall(text))
    # `beyond_ascii` counts the broken bytes too. Other encodings hardly ever look like UTF-8 by chance.
    valid = beyond_ascii - broken
    if valid >= broken or (4 * valid >= broken and _MIXED.search(raw.decode("cp1252", "replace"))):
        note = f"Bytes that are not UTF-8: {broken}; the rows that hold them are refused."
        return Decoded(text, "utf-8", (note,))
    return _windows(raw, name)


def _twice_encoded(text: str) -> tuple[str, ...]:
    """A note on text that an earlier program read in the wrong encoding."""
    found = _MIXED.search(text) if not text.isascii() else None
    if not found:
        return ()
    words = text[max(0, found.start() - 12) : found.end()].split() or [found[0]]
    return (
        f"Letters such as “{words[-1]}” look as if they had been saved in the wrong encoding; see to them.",
    )


def _unmarked_utf16(raw: bytes) -> str | None:
    """`utf-16-le`, `utf-16-be`, or None.

    Punctuation and line ends have a zero as their upper byte in every language, and UTF-8 text has
    none; a few stray zeros in a UTF-8 file are not enough.
    """
    sample = raw[: min(_SAMPLE, len(raw) & ~1)]
    first, second = sample[0::2].count(0), sample[1::2].count(0)
    if first == second or len(raw) % 2:
        return None
    encoding = "utf-16-be" if first > second else "utf-16-le"
    try:
        sample.decode("utf-8")
        needed = len(sample) / 10  # ASCII letters in UTF-16 are valid UTF-8 too, every other byte a zero
    except UnicodeDecodeError:
        needed = len(sample) / 200
    if max(first, second) < needed or min(first, second) > max(first, second) / 10:
        return None
    try:
        text = raw.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        return None
    return encoding if '"' in text or "\n" in text else None


def _windows(raw: bytes, name: str) -> Decoded:
    """European text as older Windows programs save it, in the code page that its letters fit.

    Cyrillic, Greek or Chinese text in an old encoding of its own would pass for it too, as a heap of
    accented letters. In languages with Latin letters those stand alone or in twos between plain ones.
    """
    runs = [len(run) for run in _HIGH_BYTES.findall(raw)]
    if 3 * sum(run for run in runs if run > 2) > sum(runs):
        raise _not_text(name)
    encoding = _code_page(raw)
    if not _C1.search(raw) and (not encoding or not _fits_whole(raw, encoding)):
        encoding = _iso_twin(raw) or encoding
    if not encoding:
        raise _not_text(name)
    title = encoding.replace("cp", "windows-").replace("iso8859_", "iso-8859-")
    shown = title.upper() if title.startswith("iso") else title.capitalize()
    note = f"The file is not UTF-8; it was read as {shown}. Check that accented letters look right."
    return Decoded(raw.decode(encoding), title, (note,))


# By code page: the letters beyond ASCII of its languages, each with a few of its commonest words.
_LANGUAGES = {
    "cp1252": {
        "äöüß": "der die das und ist nicht ich sie wie ein mit auf frage antwort",
        "àâçèéêëîïôùûüœ": "le la les est et pas vous je une dans pour que question quoi",
        "áéíóúüñ": "el la los es y no que en una por para se pregunta respuesta",
        "áàâãçéêíóôõúü": "o a os de e que um uma para com se em pergunta resposta",
        "àèéìíòóùú": "il la di che e un una per non con si sono domanda risposta",
        "àçéèíïóòúü": "el la els de i que un una per amb no es pregunta resposta",
        "åäöé": "och det att en som den med inte jag du kan hur svar",
        "åæøéòóô": "og det at en som den med ikke jeg du kan hvordan svar",
        "áéëèêïíóöúü": "de het een en is van niet dat hoe kan ik u vraag antwoord",
        "áðéíóúýþæö": "og er ekki til hvernig",
        "áàéíóúèìòù": "agus an na is",
        "äöõüšž": "ja on ei see kuidas",
    },
    "cp1250": {
        "ąćęłńóśźż": "i w na nie jest do jak co to czy gdzie pytanie",
        "áčďéěíňóřšťúůýž": "a je na v se jak to kde co si do pro",
        "áäčďéíĺľňóôŕšťúýž": "a je na v sa ako to kde si do pre",
        "áéíóöőúüű": "a az nem hogy egy ez van meg mi hol ki",
        "čćđšž": "i je u na se kako da li ne za gdje pitanje odgovor",
        "ăâîşţ": "de la nu si este cu un o pe ce unde",
    },
    "cp1254": {"âçğıîöşüû": "ve bir bu ne mi de da nasil soru cevap"},
    "cp1257": {
        "ąčęėįšųūž": "ir kaip yra ne klausimas atsakymas",
        "āčēģīķļņšūž": "un ir ne no",
        "äöõüšž": "ja on ei see",
    },
}
_SIGNS_IN_WORDS = re.compile(
    r"[^\W\d_](?:[^\w\s'’‘`´\-–.,;:/|()&+*@«»„“”]|[¹²³ªº¼½¾])[^\W\d_]|[^\W\d_]{4}[¹²³]"
)
_LETTERS = re.compile(r"[^\W\d_ªºµ¹²³¼½¾]")
# UTF-8 that was read as Windows-1252: “CafÃ©”, “â€œ”.
_MIXED = re.compile("[ÃÂ][\u00a0-\u00bf]|â€")
# What letters of ISO 8859 look like in a code page of Windows: a sign behind a letter, the old sign of money.
_ODD_SIGNS = re.compile(r"[^\W\d_][±¶¦¨¼½¾»®©¬]|[¦©][^\W\d_]|¤")
_C1 = re.compile(rb"[\x80-\x9f]")  # letters in Windows, nothing in ISO 8859
_PLAIN_WORD = re.compile(r"\b[a-z]+\b", re.ASCII)


def _iso_twin(raw: bytes) -> str:
    """The page of Unix by which the letters fit that its twin of Windows has elsewhere: €, œ, š, ą, ś."""
    for iso, windows in (("iso8859_15", "cp1252"), ("iso8859_2", "cp1250")):
        twin = raw.decode(iso).encode(windows, "replace")
        if _code_page(twin) == windows and _fits_whole(twin, windows):
            return iso
    return ""


def _fits_whole(raw: bytes, encoding: str) -> bool:
    """Whether each line has only letters of one language of the code page, and no sign is odd."""
    lines = raw[: 4 * _SAMPLE].decode(encoding, "replace").split("\n")
    return not any(_ODD_SIGNS.search(line) or not _languages(line.casefold(), encoding) for line in lines)


def _code_page(raw: bytes) -> str:
    """The code page in which most lines have only letters of one language, or nothing where none fits.

    A line has a vote where it fits one code page alone. Without any, common words decide, then custom.
    """
    lines = [line for line in raw[: 4 * _SAMPLE].split(b"\n") if _HIGH_BYTES.search(line)]
    decoded = {}
    for encoding in _LANGUAGES:
        try:
            raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        decoded[encoding] = [line.decode(encoding).casefold().replace("\u0307", "") for line in lines]
    fits = {encoding: [_languages(line, encoding) for line in texts] for encoding, texts in decoded.items()}
    votes = Counter[str]()
    for number in range(len(lines)):
        fitting = [encoding for encoding, found in fits.items() if found[number]]
        votes.update(fitting if len(fitting) == 1 else ())
    spoken = Counter(_PLAIN_WORD.findall(raw[: 4 * _SAMPLE].decode("latin-1").casefold()))
    words = {
        encoding: max((_count(common, spoken) for found in languages for common in found), default=0)
        for encoding, languages in fits.items()
    }
    if not fits:
        return ""
    best = max(fits, key=lambda encoding: (votes[encoding], words[encoding]))
    known = max(_count(common, spoken) for found in _LANGUAGES.values() for common in found.values())
    if best != "cp1252" and not words[best] and known > 1:
        return ""  # the letters would be those of one language, the words are another's
    if 2 * sum(map(bool, fits[best])) >= len(lines):
        return best
    # Names and languages may be mixed in a line: then all letters of the West count as one language.
    western = {letter for letters in _LANGUAGES["cp1252"] for letter in letters}
    mixed = [set(_beyond_ascii(line)) <= western for line in decoded.get("cp1252", ())]
    signs = [line for line in decoded.get("cp1252", ()) if _SIGNS_IN_WORDS.search(line)]
    return "cp1252" if 2 * sum(mixed) > len(lines) and 4 * len(signs) < len(lines) else ""


def _languages(line: str, encoding: str) -> list[str]:
    """The common words of each language of a code page that has all letters of a line."""
    if _SIGNS_IN_WORDS.search(line):
        return []
    used = set(_beyond_ascii(line))
    return [common for letters, common in _LANGUAGES[encoding].items() if used <= set(letters)]


def _count(common: str, spoken: Counter[str]) -> int:
    return sum(spoken[word] for word in common.split())


def _beyond_ascii(line: str) -> Iterator[str]:
    return (letter for letter in _LETTERS.findall(line) if not letter.isascii())


def _not_text(name: str) -> ConversationFileError:
    return ConversationFileError(
        f"{name} is not a text file in an encoding that can be read.",
        "Save it as UTF-8 (in Excel: “CSV UTF-8”), as an Excel workbook (.xlsx) or as Parquet.",
    )
