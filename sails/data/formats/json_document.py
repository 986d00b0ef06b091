"""A whole JSON or YAML document as records: lists, objects, and what pandas, datasets and bots save.

Only where the rows are is decided here; what a row means is `rows`' business. An object with several lists
of rows is refused: nobody said which one is to be taught.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sails.data import shapes
from sails.data.columns import chat_column, recognise
from sails.data.formats import messengers, training_sets
from sails.data.formats.source import (
    MAX_COLUMNS,
    MAX_ROWS,
    Record,
    Refusal,
    Source,
    listed_names,
    too_many_columns,
    too_many_rows,
)
from sails.data.formats.text_encoding import printable
from sails.data.turns import RowRefused, is_turn
from sails.errors import ConversationFileError

_LISTS = ("data", "conversations", "examples", "rows", "items", "records", "dataset", "pairs", "train")
_MAX_DEPTH = 3


def source_of_document(kind: str, document: Any, name: str, *, is_row: bool = False) -> Source:
    """Return the records of a document. `is_row`: it is the only line of a JSON Lines file.

    Raises ConversationFileError.
    """
    if not isinstance(document, dict | list):
        raise ConversationFileError(
            f"{name} holds a single value, not a list of conversations.",
            'Write it as a list of {"input": "…", "output": "…"}.',
        )
    known = messengers.source_of(document) or training_sets.source_of(kind, document, name)
    if known is not None:
        return known
    if isinstance(document, list):
        return _source_of_list(kind, document, name)
    if _is_row(document) or (is_row and not _usual_list(document)):
        return Source(kind, [(1, document)])
    inside = _inside(kind, document, name, 1)
    if inside is None and kind == "yaml":
        raise ConversationFileError(
            f"{name} is a YAML file of another kind, without conversations.",
            "Bring rows with a question and an answer each, or the files of a ChatterBot or Rasa bot.",
        )
    return inside or Source(kind, [(1, document)])


def _inside(kind: str, document: dict[str, Any], name: str, depth: int) -> Source | None:
    """The rows that stand somewhere in an object; None where there are none."""
    if (rows := _of_columns(document, name) or _of_records(document)) is not None:
        return Source(kind, enumerate(rows, 1))
    if _is_questions(document):
        note = "Each name in the file was read as a question, and what stands there as its answer."
        rows = [{"input": question, "output": answer} for question, answer in document.items()]
        return Source(kind, enumerate(rows, 1), notes=(note,))
    lists = {key: value for key, value in document.items() if _is_list_of_rows(value)}
    sure = {key: value for key, value in lists.items() if any(map(_is_surely_row, value[:20]))}
    if len(sure) > 1:
        raise ConversationFileError(
            f"{name} holds several lists of rows: {listed_names(sure)}.",
            "Save the one that is to be taught as a file of its own.",
        )
    usual = {key: value for key, value in lists.items() if str(key).lower() in _LISTS}
    alone = lists if len(lists) == 1 and kind != "yaml" else {}
    for found in (sure, usual, alone):
        for key, rows in found.items():
            note = f"The conversations were taken from the list “{printable(str(key))}”."
            return _source_of_list(kind, rows, name, note)
    deeper = [value for value in document.values() if isinstance(value, dict)]
    if len(deeper) == 1 and depth < _MAX_DEPTH and not recognise(map(str, document)):
        return _inside(kind, deeper[0], name, depth + 1)
    return None


def _source_of_list(kind: str, rows: list[Any], name: str, *notes: str) -> Source:
    if any(isinstance(row, dict) and len(row) > MAX_COLUMNS for row in rows):
        raise too_many_columns(name)
    if groups := {key for key in map(shapes.group_of, rows) if key}:
        rows = list(_opened(rows))
        notes = (*notes, f"Each question in {listed_names(sorted(groups))} became a row of its own.")
    if len(rows) > MAX_ROWS:
        raise too_many_rows(name)
    return Source(kind, _rows_of_list(rows, name), notes=notes, size=len(rows))


def _opened(rows: list[Any]) -> Iterator[Any]:
    """The rows; of one that holds questions with answers each of these, with what stands beside them."""
    for row in rows:
        key = shapes.group_of(row)
        if key is None:
            yield row
        else:
            beside = {name: value for name, value in row.items() if name != key}
            yield from ({**beside, **one} for one in row[key])


def _rows_of_list(rows: list[Any], name: str) -> Iterator[Record | Refusal]:
    """The rows of a list; a list of lists is a table, or pairs of question and answer."""
    if rows and all(isinstance(row, dict) and len(row) == 1 and _is_questions(row) for row in rows):
        pairs = (pair for row in rows for pair in row.items())
        return ((n, {"input": question, "output": answer}) for n, (question, answer) in enumerate(pairs, 1))
    texts = [
        row
        for row in rows
        if isinstance(row, list) and row and not any(isinstance(c, dict | list) for c in row)
    ]
    if not texts or len(texts) < len([row for row in rows if row != []]):
        return enumerate(rows, 1)
    header = [str(cell) for cell in texts[0]]
    if recognise(header) or chat_column(header):
        return ((n, dict(zip(header, row, strict=False))) for n, row in enumerate(rows[1:], 1))
    widths = {len(row) for row in texts}
    if widths == {2}:
        return ((n, {"input": row[0], "output": row[1]}) for n, row in enumerate(rows, 1) if row)
    if len(widths) == 1 and len(texts) > 1:
        raise ConversationFileError(
            f"{name} is a list of rows with {widths.pop()} cells each, without names.",
            'Write each row as {"input": "…", "output": "…"}, or let the first row name the columns.',
        )
    return enumerate(rows, 1)


def _is_row(document: dict[str, Any]) -> bool:
    """Tell whether an object is a conversation by itself."""
    if len(document) > MAX_COLUMNS:
        return False
    names = tuple(map(str, document))
    mapping = recognise(names).mapping
    if mapping is not None:
        values = (document[mapping.input], document[mapping.output])
        if not all(isinstance(value, list | dict) for value in values) or all(map(_is_chat, values)):
            return True
    for reader in (*shapes.chat_readers(names), *shapes.text_readers(names)):
        try:
            items = reader.read(document, set())
        except RowRefused:
            return True
        listed = [document.get(key) for key in reader.roles]
        is_container = any(
            isinstance(v, list) and v and not is_turn(v[0]) and not isinstance(v[0], str) for v in listed
        )
        if items and (not is_container or not _usual_list(document)):
            return True
    return False


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and is_turn(value[0])


def _usual_list(document: dict[str, Any]) -> bool:
    return any(
        str(key).lower() in _LISTS and isinstance(value, list) and value and not is_turn(value[0])
        for key, value in document.items()
    )


def _is_list_name(name: Any) -> bool:
    """Tell whether a name says which list it is, so that it is no id of a chat."""
    return str(name).casefold() in (*_LISTS, "test", "valid", "validation", "dev", "eval", *shapes.CHAT_NAMES)


def _is_list_of_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)


def _is_surely_row(item: Any) -> bool:
    if isinstance(item, list):
        return bool(item) and is_turn(item[0])
    return isinstance(item, dict) and (is_turn(item) or _is_row(item))


# --- pandas ---------------------------------------------------------------------------------------


def _of_columns(document: dict[str, Any], name: str) -> list[Any] | None:
    """Rows of a document whose values are columns: pandas' `split` and `columns`, a dict of lists."""
    columns, cells = document.get("columns"), document.get("data")
    if isinstance(columns, list) and isinstance(cells, list) and all(isinstance(row, list) for row in cells):
        return [dict(zip(map(str, columns), row, strict=False)) for row in cells]
    if len(document) > MAX_COLUMNS:
        return None
    names = [str(key) for key in document]
    singular = {key: key[:-1] if key.casefold().endswith("s") else key for key in names}
    if not (recognise(names) or chat_column(names)):
        if not recognise(singular.values()):
            return None
        names = list(singular.values())
    values = list(document.values())
    if all(isinstance(value, dict) for value in values):
        keys = list(dict.fromkeys(key for value in values for key in value))
        return [{name: column.get(key) for name, column in zip(names, values, strict=True)} for key in keys]
    columns = {name: value for name, value in zip(names, values, strict=True) if isinstance(value, list)}
    if not recognise(columns) and not chat_column(columns):
        return None
    lengths = {name: len(value) for name, value in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"“{printable(key)}” {count:,}" for key, count in lengths.items())
        raise ConversationFileError(
            f"The lists in {name} are of different lengths: {told}.", "Each question needs its answer."
        )
    if len(columns) == 1:  # a list of chats
        return None
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _of_records(document: dict[str, Any]) -> list[Any] | None:
    """Rows of a document that names each: pandas' `index`, or chats by their ids."""
    rows = list(document.values())
    if len(rows) > 1 and all(map(_is_chat, rows)) and not any(map(_is_list_name, document)):
        return [{"messages": row} for row in rows]
    named = rows and all(isinstance(row, dict) for row in rows) and all(map(_is_row, rows[:20]))
    return rows if named else None


def _is_questions(document: dict[str, Any]) -> bool:
    """{"What is this?": "That."}: most names are sentences, and everything is a text."""
    if not document or not all(isinstance(value, str) for value in document.values()):
        return False
    asked = sum(str(key).rstrip().endswith(("?", "？", "؟")) or len(str(key).split()) > 2 for key in document)
    return 2 * asked >= len(document) and not recognise(map(str, document))


def several(kind: str, documents: Sequence[Any]) -> Source:
    """Return the source of objects that follow each other in one file."""
    rows = [row for document in documents for row in (document if _is_table(document) else [document])]
    note = f"The file holds {len(documents):,} objects after each other."
    return Source(kind, enumerate(rows, 1), notes=(note,))


def _is_table(document: Any) -> bool:
    return isinstance(document, list) and not (document and is_turn(document[0]))
