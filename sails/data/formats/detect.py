"""The bytes of a file as records, whatever its format; what the records mean is `reading`'s business.

A file is known by what it holds before it is known by its name: JSON Lines called `.json`, a table
called `.txt` and an Excel workbook called `.csv` are read as what they are.

Rows are numbered as a person sees them. JSON Lines: the number of the line. JSON list: the position
from 1. Tables (CSV, Excel, Parquet): the data row, the line of column names not counted, blank rows
counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sails.data import shapes
from sails.data.formats import archive, arrow
from sails.data.formats.arrow import read_arrow
from sails.data.formats.csv_file import read_csv
from sails.data.formats.dialogue_text import read_dialogue
from sails.data.formats.docx_file import read_docx
from sails.data.formats.json_file import is_json, read_json_text
from sails.data.formats.other_kinds import refuse_office, refuse_other_kind, refuse_other_text
from sails.data.formats.parquet import read_parquet
from sails.data.formats.source import MAX_BYTES, SPLIT, Source
from sails.data.formats.text_encoding import decode
from sails.data.formats.xlsx import read_excel
from sails.data.formats.yaml_file import read_yaml
from sails.errors import ConversationFileError
from sails.system import listed, size


class Format(NamedTuple):
    """A kind of file that can be read."""

    titles: tuple[str, ...]
    suffixes: tuple[str, ...]  # the first one is the one to save under
    # From the file's bytes, or its text where it is text, and its name, which is for sentences.
    read: Callable[..., Source]
    signatures: tuple[bytes, ...] = ()  # every such file begins with one; empty where it is text
    opening: str = ""  # such a text begins with one of these characters


_JSON_BEGINS = re.compile(r"\s*(?:\{\s*[\"'/}]|\[\s*[\[{\"\]/])")


def _may_hold_chats(columns: tuple[str, ...]) -> bool:
    return bool(shapes.chat_readers(columns) or shapes.text_readers(columns))


def _read_text(text: str, name: str) -> Source:
    """Questions and answers in a text; else a table that is called so."""
    source = read_dialogue(text, name)
    if source is not None:
        return source
    if _JSON_BEGINS.match(text):
        return read_json_text(text, name)
    is_table = not name.lower().endswith((".md", ".markdown"))
    source = read_csv(text, name) if is_table else None
    if source is None or (len(source.columns) == 1 and not _may_hold_chats(source.columns)):
        raise ConversationFileError(
            f"{name} is a text without questions and answers that can be told apart.",
            "Write “Q:” before each question and “A:” before each answer, or ask in the headings.",
        )
    return source


# A new format is a module with its reader, and a line here. Text like none of them is read as CSV.
FORMATS = (
    Format(
        ("JSON", "JSON Lines"),
        (".jsonl", ".json", ".ndjson", ".json5", ".jsonc"),
        read_json_text,
        opening="[{",
    ),
    Format(("CSV", "TSV"), (".csv", ".tsv"), read_csv),
    Format(("Excel (.xlsx)",), (".xlsx", ".xlsm"), read_excel, (archive.ZIP,)),
    Format(("Parquet",), (".parquet",), read_parquet, (b"PAR1",)),
    Format(("text (.txt, .md)",), (".txt", ".md", ".markdown", ".text"), _read_text),
    Format(("Word (.docx)",), (".docx",), read_docx, (archive.ZIP,)),
    Format(("YAML",), (".yml", ".yaml"), read_yaml),
    Format(("Arrow",), (".arrow",), read_arrow, (arrow.MAGIC, arrow.STREAM)),
)


# Every format that can be read, as a sentence names them.
FORMAT_TITLES = listed([title for known in FORMATS for title in known.titles], last="or")


def open_source(path: Path, content: bytes | None = None) -> Source:
    """Open any supported file, or `content` as the file of that name; or a folder that `datasets` saved.

    Archives of several files are `reading`'s business. Raises ConversationFileError when it cannot be read;
    going through `records` may raise it too.
    """
    if content is None and path.is_dir():
        return _folder(path)
    raw = read_bytes(path) if content is None else content
    name = path.name
    if raw.startswith(archive.GZIP):
        raw, name = archive.expanded(raw, name), name.removesuffix(".gz").removesuffix(".GZ")
    suffix = Path(name).suffix.lower()
    if raw.startswith(archive.ZIP):
        return _office(raw, name, suffix)
    for known in FORMATS:
        if known.signatures and raw.startswith(known.signatures):
            return known.read(raw, name)
    refuse_other_kind(raw, name)
    text, encoding, notes = decode(raw, name)
    del raw
    first = text.lstrip()[:1]
    if not first:
        raise ConversationFileError(f"{name} is empty.", "Choose a file that holds conversations.")
    refuse_other_text(text, name)
    texts = [known for known in FORMATS if not known.signatures]
    readers = [known.read for known in texts if suffix in known.suffixes]
    if first in "[{" and readers == [read_csv] and is_json(text):
        readers = [read_json_text]
    readers += [known.read for known in texts if first in known.opening]
    source = (readers[0] if readers else _read_text)(text, name)
    if source.format == "messenger":  # always saved in a wrong encoding, and mended by its reader
        notes = ()
    return replace(source, encoding=encoding, notes=notes + source.notes)


def is_archive(raw: bytes, name: str) -> bool:
    """Tell whether a file is an archive of several files, not a document that is made of parts."""
    is_document = name.lower().endswith((".xlsx", ".xlsm", ".docx")) or archive.is_office(raw)
    return raw.startswith(archive.ZIP) and not is_document


def _office(raw: bytes, name: str, suffix: str) -> Source:
    kind = archive.is_office(raw) or suffix[1:]
    if kind == "docx":
        return read_docx(raw, name)
    if kind in ("xlsx", "xlsm"):
        return read_excel(raw, name)
    refuse_office(kind, name)
    raise ConversationFileError(f"{name} is an archive inside another one.", "Expand it first.")


def _folder(path: Path) -> Source:
    try:
        files = {
            str(file.relative_to(path).as_posix()): partial(read_bytes, file)
            for file in [*path.glob("*"), *path.glob("*/*")]
            if file.is_file()
        }
    except OSError:
        files = {}
    source = archive.source_of(files, path.name) if len(files) <= archive.MAX_FILES else None
    if source is None:
        raise ConversationFileError(f"{path} is a folder, not a file.", "Choose a file inside it.")
    return source


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raises ConversationFileError."""
    if path.is_dir():
        raise ConversationFileError(f"{path} is a folder, not a file.", "Choose a file inside it.")
    try:
        with open(path, "rb") as file:  # which may be a device, and have no end
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConversationFileError(f"There is no file {path}.", "Check the name and the folder.") from error
    except OSError as error:
        raise ConversationFileError(
            f"{path} cannot be opened: {error.strerror or error}.", "Check that you may read it."
        ) from error
    if len(content) > MAX_BYTES:
        raise ConversationFileError(f"{path.name} is larger than {size(MAX_BYTES)}.", SPLIT)
    return content
