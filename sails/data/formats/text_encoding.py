"""The bytes of a text file as text: UTF-8, UTF-16 or UTF-32 with or without a mark, Windows-1252.

What is none of these is refused rather than guessed at: a wrong guess reads without an error and
teaches a model nonsense.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

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
        return Decoded(raw.decode("utf-8"), "utf-8", ())
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
    broken, beyond_ascii = len(_BROKEN_BYTES.findall(text)), len(_BEYOND_ASCII.findall(text))
    # `beyond_ascii` counts the broken bytes too. Other encodings hardly ever look like UTF-8 by chance.
    if beyond_ascii >= 2 * broken:
        note = f"Bytes that are not UTF-8: {broken}; the rows that hold them are refused."
        return Decoded(text, "utf-8", (note,))
    return _windows(raw, name)


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
    """Western European text as older Windows programs save it.

    Cyrillic, Greek or Chinese text in an old encoding of its own would pass for it too, as a heap of
    accented letters. In Western languages those stand alone or in twos between plain ones.
    """
    try:
        text = raw.decode("windows-1252")
    except UnicodeDecodeError as error:
        raise _not_text(name) from error
    runs = [len(run) for run in _HIGH_BYTES.findall(raw)]
    if 3 * sum(run for run in runs if run > 2) > sum(runs):
        raise _not_text(name)
    note = "The file is not UTF-8; it was read as Windows-1252. Check that accented letters look right."
    return Decoded(text, "windows-1252", (note,))


def _not_text(name: str) -> ConversationFileError:
    return ConversationFileError(
        f"{name} is not a text file in an encoding that can be read.",
        "Save it as UTF-8 (in Excel: “CSV UTF-8”), as an Excel workbook (.xlsx) or as Parquet.",
    )
