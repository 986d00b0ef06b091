"""Files of other kinds, which people choose by mistake: what each is, and what to bring instead."""

from __future__ import annotations

import re

from sails.errors import ConversationFileError

_AS_TABLE = "Save it as .xlsx or .csv in the program that made it."
_AS_TEXT = "Copy its text into a .txt file with “Q:” before each question and “A:” before each answer."
_PICTURE = ("a picture", "Write the text that it shows into a table, and save that as .csv.")
_SOUND = (
    "a recording",
    "Bring what is said in it as text: “Q:” before each question, “A:” before each answer.",
)
_ARCHIVE = ("an archive that is not read", "Expand it, and bring the files in it, or a .zip of them.")
_MODEL = ("a file of a model, not of conversations", "Choose a file that holds conversations.")
_BY_FIRST_BYTES = (
    (b"%PDF", "a PDF", _AS_TEXT),
    (b"{\\rtf", "a rich text file (.rtf)", "Save it as .docx or .txt."),
    (b"SQLite format 3", "a database", "Export the table with the conversations as .csv."),
    (b"\x00\x01\x00\x00Standard", "a database", "Export the table with the conversations as .csv."),
    (b"\x89PNG", *_PICTURE),
    (b"\xff\xd8\xff", *_PICTURE),
    (b"GIF8", *_PICTURE),
    (b"II*\x00", *_PICTURE),
    (b"MM\x00*", *_PICTURE),
    (b"BM", *_PICTURE),
    (b"ID3", *_SOUND),
    (b"OggS", *_SOUND),
    (b"RIFF", "a picture or a recording", _SOUND[1]),
    (b"7z\xbc\xaf", *_ARCHIVE),
    (b"Rar!", *_ARCHIVE),
    (b"BZh", *_ARCHIVE),
    (b"\xfd7zXZ", *_ARCHIVE),
    (b"\x28\xb5\x2f\xfd", *_ARCHIVE),
    (b"GGUF", *_MODEL),
    (b"\x80\x04\x95", "a Python pickle, which is never opened", "Save the data as .jsonl or .csv."),
    (b"\x93NUMPY", "a NumPy array", "Save the data as .jsonl or .csv."),
    (b"\x89HDF", "an HDF5 file", "Save the data as .jsonl or .csv."),
    (b"Obj\x01", "an Avro file", "Save the data as Parquet or .jsonl."),
    (b"ORC", "an ORC file", "Save the data as Parquet or .jsonl."),
)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_OFFICE = {
    "pptx": ("a presentation", _AS_TEXT),
    "ods": ("an OpenDocument spreadsheet (.ods)", "Save it as .xlsx or .csv in LibreOffice."),
    "odt": ("an OpenDocument text (.odt)", "Save it as .docx or .txt in LibreOffice."),
    "odp": ("a presentation", _AS_TEXT),
    "epub": ("an e-book", _AS_TEXT),
    "anki": ("a deck of Anki", "Export the notes from Anki as text (.txt)."),
    "iwork": ("a document of Apple's Numbers, Pages or Keynote", "Export it as .xlsx, .csv or .docx."),
}
_PAGE = (
    "a web page (.html)",
    "Export the conversations as .json or .csv, or copy their text into a .txt file.",
)
_TEXTS = (
    ("<!doctype html", *_PAGE),
    ("<html", *_PAGE),
    ("<table", *_PAGE),
    ("<head", *_PAGE),
    ("<?xml", "an XML file", "Export the conversations as .json or .csv."),
    ("<svg", *_PICTURE),
    ("{\\rtf", "a rich text file (.rtf)", "Save it as .docx or .txt."),
    ("webvtt", "a file of subtitles", _AS_TEXT),
    (
        "version https://git-lfs",
        "a pointer to a file, not the file itself",
        "Fetch the file with `git lfs pull`.",
    ),
    ("begin:vcalendar", "a calendar", "Choose a file that holds conversations."),
)


def refuse_other_kind(raw: bytes, name: str) -> None:
    """Raise ConversationFileError where the first bytes tell that a file is of a kind that is not read."""
    if raw.startswith(_OLD_OFFICE):
        lower = name.lower()
        if lower.endswith((".doc", ".dot")):
            raise _refused(name, "an old Word file (.doc)", "Save it as .docx.")
        if lower.endswith((".ppt", ".msg")):
            raise _refused(name, "an old Office file", _AS_TEXT)
        raise _refused(name, "an old Excel file (.xls) or one with a password", "Save it as .xlsx or .csv.")
    for signature, kind, instead in _BY_FIRST_BYTES:
        if raw.startswith(signature):
            if signature in (b"BM", b"ORC", b"ID3", b"Obj\x01", b"RIFF") and b"\x00" not in raw[:64]:
                continue  # a text may begin so, too
            raise _refused(name, kind, instead)
    if raw[257:262] == b"ustar":
        raise _refused(name, *_ARCHIVE)
    if raw[4:8] == b"ftyp":
        raise _refused(name, *_SOUND)


def refuse_office(kind: str, name: str) -> None:
    """Raise ConversationFileError for a document of an office program that is not read."""
    if kind in _OFFICE:
        raise _refused(name, *_OFFICE[kind])


def refuse_other_text(text: str, name: str) -> None:
    """Raise ConversationFileError for a text that is a web page or the like."""
    begin = text.lstrip("\ufeff \t\r\n")[:40].casefold()
    if begin.startswith("<") and name.lower().endswith((".html", ".htm")):
        raise _refused(name, *_PAGE)
    if re.match(r"\d+\s+\d\d:\d\d:\d\d,\d{3} -->", begin):
        raise _refused(name, "a file of subtitles", _AS_TEXT)
    for sign, kind, instead in _TEXTS:
        if begin.startswith(sign):
            raise _refused(name, kind, instead)


def _refused(name: str, kind: str, instead: str) -> ConversationFileError:
    return ConversationFileError(f"{name} is {kind}.", instead)
