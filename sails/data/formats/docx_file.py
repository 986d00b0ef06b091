"""Word documents (.docx): questions and answers in the text, as headings, or in a table."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sails.data.columns import recognise
from sails.data.formats.dialogue_text import read_dialogue
from sails.data.formats.source import Source, failing_as, source_of_table
from sails.errors import ConversationFileError


def read_docx(raw: bytes, name: str) -> Source:
    with failing_as(name, "a Word document"):
        import docx

        document = docx.Document(io.BytesIO(raw))
        text = "\n".join(_lines(document))
        tables = [[[cell.text for cell in row.cells] for row in table.rows] for table in document.tables]
    for rows in tables:
        if rows and recognise(rows[0]):
            return source_of_table("docx", rows, name)
    if source := read_dialogue(text, name):
        return replace(source, format="docx" if source.format == "text" else source.format)
    if len(tables) == 1 and len(tables[0]) > 1:
        return source_of_table("docx", tables[0], name)  # its columns are asked for
    raise ConversationFileError(
        f"{name} is a Word document without questions and answers that can be told apart.",
        "Write “Q:” before each question and “A:” before each answer, or put them into a table.",
    )


def _lines(document: Any) -> Iterator[str]:
    for paragraph in document.paragraphs:
        style = (paragraph.style.name or "") if paragraph.style is not None else ""
        sign = ""
        if style.startswith("Heading ") and style[8:].isdigit():
            sign = "#" * min(int(style[8:]), 6) + " "
        elif style.startswith("List Bullet"):
            sign = "- "
        yield sign + paragraph.text
