"""The bytes of a file as records, whatever its format; what the records mean is `reading`'s business.

A file is known by what it holds before it is known by its name: JSON Lines called `.json`, a table
called `.txt` and an Excel workbook called `.csv` are read as what they are.

Rows are numbered as a person sees them. JSON Lines: the number of the line. JSON list: the position
from 1. Tables (CSV, Excel, Parquet): the data row, the line of column names not counted, blank rows
counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sails.data.formats.csv_file import read_csv
from sails.data.formats.json_file import read_json_text
from sails.data.formats.parquet import read_parquet
from sails.data.formats.source import Source
from sails.data.formats.text_encoding import decode
from sails.data.formats.xlsx import read_excel
from sails.errors import ConversationFileError
from sails.system import listed


class Format(NamedTuple):
    """A kind of file that can be read."""

    titles: tuple[str, ...]
    suffixes: tuple[str, ...]  # the first one is the one to save under
    # From the file's bytes, or its text where it is text, and its name, which is for sentences.
    read: Callable[..., Source]
    signature: bytes = b""  # the first bytes of every such file; empty where it is text
    opening: str = ""  # such a text begins with one of these characters


# A new format is a module with its reader, and a line here. Text like none of them is read as CSV.
FORMATS = (
    Format(("JSON", "JSON Lines"), (".jsonl", ".json", ".ndjson"), read_json_text, opening="[{"),
    Format(("CSV", "TSV"), (".csv", ".tsv"), read_csv),
    Format(("Excel (.xlsx)",), (".xlsx",), read_excel, signature=b"PK\x03\x04"),
    Format(("Parquet",), (".parquet",), read_parquet, signature=b"PAR1"),
)


# Every format that can be read, as a sentence names them.
FORMAT_TITLES = listed([title for known in FORMATS for title in known.titles], last="or")
_OTHER_KINDS = (  # what people choose by mistake, by its first bytes
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls) or one with a password"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"SQLite format 3", "a database"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)


def open_source(path: Path, content: bytes | None = None) -> Source:
    """Open any supported file, or `content` as the file of that name.

    Raises ConversationFileError when it cannot be read; going through `records` may raise it too.
    """
    raw = _bytes(path) if content is None else content
    for known in FORMATS:
        if known.signature and raw.startswith(known.signature):
            return known.read(raw, path.name)
    for signature, kind in _OTHER_KINDS:
        if raw.startswith(signature):
            usual = listed([known.suffixes[0] for known in FORMATS], last="or")
            raise ConversationFileError(f"{path.name} is {kind}.", f"Save the conversations as {usual}.")
    text, encoding, notes = decode(raw, path.name)
    del raw
    first, suffix = text.lstrip()[:1], path.suffix.lower()
    if not first:
        raise ConversationFileError(f"{path.name} is empty.", "Choose a file that holds conversations.")
    texts = [known for known in FORMATS if not known.signature]
    readers = [known.read for known in texts if suffix in known.suffixes]
    readers += [known.read for known in texts if first in known.opening]
    read = readers[0] if readers else read_csv
    source = read(text, path.name)
    return replace(source, encoding=encoding, notes=notes + source.notes)


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ConversationFileError(f"{path} is a folder, not a file.", "Choose a file inside it.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConversationFileError(f"There is no file {path}.", "Check the name and the folder.") from error
    except OSError as error:
        raise ConversationFileError(
            f"{path} cannot be opened: {error.strerror or error}.", "Check that you may read it."
        ) from error
