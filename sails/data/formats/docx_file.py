"""Word documents (.docx): questions and answers in the text, as headings, or in a table."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sails.data.columns import recognise
from sails.data.formats import archive
from sails.data.formats.dialogue_text import read_dialogue
from sails.data.formats.source import Source, column_names, failing_as, source_of_table
from sails.errors import ConversationFileError

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
# Text that was moved away or stands in a box, and the box once more for old programs.
_APART = {"moveFrom", "txbxContent", "Fallback"}
MAX_TEXT = 50_000_000  # bytes of its texts; each takes ten times as much when it is read
Table = list[list[str]]


def read_docx(raw: bytes, name: str) -> Source:
    with failing_as(name, "a Word document"):
        import docx

        parts = zipfile.ZipFile(io.BytesIO(raw)).infolist()
        archive.check_size(sum(part.file_size for part in parts), name)
        texts = (part.file_size for part in parts if part.filename.endswith((".xml", ".rels")))
        archive.check_size(sum(texts), name, MAX_TEXT)
        document = docx.Document(io.BytesIO(raw))
        styles = {style.style_id: style.name or "" for style in document.styles}
        blocks = list(_blocks(document.element.body, styles))
    tables = [block for block in blocks if isinstance(block, list)]
    named = [table for table in tables if table and recognise(table[0])]
    if named:
        return _of_tables(named, blocks, name)
    text = "\n".join(_as_text(block) for block in blocks)
    if source := read_dialogue(text, name):
        return replace(source, format="docx" if source.format == "text" else source.format)
    if len(tables) == 1 and len(tables[0]) > 1:
        return source_of_table("docx", tables[0], name)  # its columns are asked for
    raise ConversationFileError(
        f"{name} is a Word document without questions and answers that can be told apart.",
        "Write “Q:” before each question and “A:” before each answer, or put them into a table.",
    )


def _of_tables(tables: list[Table], blocks: list[str | Table], name: str) -> Source:
    """The rows of the tables that name question and answer, one after another."""
    if len({column_names(table[0]) for table in tables}) > 1:
        raise ConversationFileError(
            f"{name} holds several tables with columns of different names.",
            "Save the one that is to be taught as a file of its own.",
        )
    source = source_of_table("docx", [tables[0][0], *(row for table in tables for row in table[1:])], name)
    beside = any(block not in tables and _as_text(block).strip() for block in blocks)
    notes = ("The text beside the table was not read.",) if beside else ()
    return replace(source, notes=(*source.notes, *notes))


def _as_text(block: str | Table) -> str:
    return block if isinstance(block, str) else "\n".join("\t".join(row) for row in block)


def _blocks(parent: Any, styles: dict[str, str]) -> Iterator[str | Table]:
    """Paragraphs and tables in their order, those in controls and in what was inserted included."""
    for element in parent:
        kind = _kind(element)
        if kind == "p":
            yield _sign(element, styles) + "".join(_pieces(element))
        elif kind == "tbl":
            rows = element.iterfind(f"{_WORD}tr")
            yield [[_cell(cell) for cell in row.iterfind(f"{_WORD}tc")] for row in rows]
        elif kind in ("sdt", "sdtContent", "customXml", "ins", "moveTo"):
            yield from _blocks(element, styles)


def _cell(cell: Any) -> str:
    return "\n".join("".join(_pieces(paragraph)) for paragraph in cell.iter(f"{_WORD}p"))


def _sign(paragraph: Any, styles: dict[str, str]) -> str:
    style = paragraph.find(f"{_WORD}pPr/{_WORD}pStyle")
    named = styles.get(style.get(f"{_WORD}val"), "") if style is not None else ""
    if named.startswith("Heading ") and named[8:].isdigit():
        return "#" * min(int(named[8:]), 6) + " "
    return "- " if named.startswith("List Bullet") else ""


def _pieces(element: Any) -> Iterator[str]:
    """The text of a paragraph as it is shown: with what was inserted, without what was deleted."""
    for child in element:
        kind = _kind(child)
        if kind == "t":
            yield child.text or ""
        elif kind in _SIGNS:
            yield _SIGNS[kind]
        elif kind not in _APART and kind != "pPr":
            yield from _pieces(child)


def _kind(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
