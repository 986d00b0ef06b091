"""A file of conversations as conversations: every row either used or refused by its number.

Two shapes are known (`columns`): a pair of columns with question and answer, and a column of whole
chats. How files are opened and their rows numbered is `formats`' business, what happens to one row
`turns`'.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sails.data.columns import ColumnMapping, chat_column, recognise
from sails.data.conversation import RESERVED, Conversation
from sails.data.formats.detect import open_source
from sails.data.formats.source import Refusal
from sails.data.formats.text_encoding import printable
from sails.data.turns import Remark, RowRefused, chat_turns, kind, pair_turns, plain
from sails.errors import ConversationFileError


@dataclass(frozen=True)
class Reading:
    """A file that was read."""

    conversations: tuple[Conversation, ...]
    refused: tuple[Refusal, ...]
    duplicates: int  # conversations that repeat an earlier one; they are still among `conversations`
    columns: tuple[str, ...]
    encoding: str  # for example `utf-8`, `utf-16-le`, `windows-1252`; empty for Excel and Parquet
    format: str  # as `Source` has it
    mapping: ColumnMapping | None = None  # the columns that were used; None where the rows are chats
    notes: tuple[str, ...] = ()  # what a person should know about how the file was read, a sentence each
    is_table: bool = False  # every row has every column; an empty cell is left out of its conversation


def read(path: Path | str, mapping: ColumnMapping | None = None, *, content: bytes | None = None) -> Reading:
    """Read a file in any of the formats that `formats.detect` lists.

    `mapping` names the columns of a file whose names are not recognised by themselves. `content` is what
    the file holds where that is in memory already; nothing needs to lie at `path` then, which names it.

    Raises ConversationFileError when the file cannot be read or no row of it can be used.
    """
    path = Path(path)
    source = open_source(path, content)
    rows = _Rows(source.columns, mapping)
    conversations: list[Conversation] = []
    refused: list[Refusal] = []
    for record in source.records:
        if isinstance(record, Refusal):
            refused.append(record)
            continue
        row, fields = record
        try:
            conversations.append(rows.conversation(row, fields))
        except RowRefused as reason:
            refused.append(Refusal(row, str(reason)))
    if not conversations or not rows.has_requested_columns:
        raise rows.unusable(path.name, refused)
    return Reading(
        conversations=tuple(conversations),
        refused=tuple(refused),
        duplicates=len(conversations) - len({conversation.fingerprint for conversation in conversations}),
        columns=tuple(map(printable, rows.columns)),
        encoding=source.encoding,
        format=source.format,
        mapping=rows.mapping,
        notes=source.notes + rows.notes(),
        is_table=bool(source.columns),
    )


class _Shape(NamedTuple):
    """Where the turns of a record are: in a chat column, if it holds a list, or in a pair of columns."""

    chat: str | None
    mapping: ColumnMapping | None
    pair: set[str]


class _Rows:
    """Makes conversations of records, and remembers what it met."""

    def __init__(self, columns: tuple[str, ...], requested: ColumnMapping | None) -> None:
        self.columns = dict.fromkeys(columns)
        self.mapping: ColumnMapping | None = None
        self._table = columns
        self._requested = requested
        self._requested_columns = requested.columns if requested else ()
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._remarks: Counter[Remark] = Counter()

    def conversation(self, row: int, fields: Any) -> Conversation:
        """Raise RowRefused."""
        if isinstance(fields, list):
            fields = {"messages": fields}
        if not isinstance(fields, dict):
            raise RowRefused(f"is {kind(fields)}, not a record with named fields")
        chat, mapping, pair = self._shape(tuple(fields))
        remarks: set[Remark] = set()
        try:
            if chat and (items := _listed(fields.get(chat))) is not None:
                turns, used = chat_turns(items, remarks), {chat}
            elif mapping:
                turns, used = pair_turns(fields, mapping, remarks), pair
                self.mapping = self.mapping or mapping
            else:
                raise RowRefused("lacks the column of the question or that of the answer")
            known = RESERVED.union(used)
            extra = plain({name: fields[name] for name in fields if name not in known})
        except RecursionError as error:
            raise RowRefused("is nested too deeply") from error
        finally:
            self._remarks.update(remarks)
        return Conversation(turns, extra, row)

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        """The shape of records with these fields; files have few different ones."""
        shape = self._shapes.get(names)
        if shape is None:
            self.columns.update(dict.fromkeys(names))
            shape = self._shapes[names] = self._new_shape(self._table or names)
        return shape

    def _new_shape(self, columns: Iterable[str]) -> _Shape:
        chat = None if self._requested else chat_column(columns)
        mapping = self._requested.within(columns) if self._requested else recognise(columns)
        return _Shape(chat, mapping, set(mapping.columns) if mapping else set())

    @property
    def has_requested_columns(self) -> bool:
        found = {name.strip().casefold() for name in self.columns}
        return all(name.strip().casefold() in found for name in self._requested_columns)

    def notes(self) -> tuple[str, ...]:
        counts = self._remarks.items()
        notes = [f"{remark} in {count} row{'' if count == 1 else 's'}." for remark, count in counts]
        if self.mapping and self.mapping.context:
            notes.append(f"A question is “{self.mapping.input}” followed by “{self.mapping.context}”.")
        return tuple(notes)

    def unusable(self, name: str, refused: list[Refusal]) -> ConversationFileError:
        """Tell why a file is refused whole."""
        if not self.columns and not refused:
            return ConversationFileError(f"{name} holds no conversations.", "Choose a file that has some.")
        names = _quoted(column[:40] for column in islice(self.columns, 12))
        if not self.has_requested_columns:
            return ConversationFileError(
                f"{name} has the columns {names}, and not all of {_quoted(self._requested_columns)}.",
                "Give a column mapping with names that stand in the file.",
            )
        shapes = self._shapes.values() or [self._new_shape(self.columns)]
        if self.columns and not any(shape.chat or shape.mapping for shape in shapes):
            return ConversationFileError(
                f"{name} has the columns {names}; "
                "it needs one for the question and one for the answer, such as “input” and “output”.",
                "Rename the columns, or give a column mapping: which one asks, and which one answers.",
            )
        if not refused:
            return ConversationFileError(
                f"{name} names columns, but has no rows.", "Choose a file that has some."
            )
        first = refused[0]
        return ConversationFileError(
            f"No conversation in {name} can be used; row {first.row}: {first.reason}.",
            "Each row needs a question and an answer; correct the file and try again.",
        )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"“{printable(name)}”" for name in names)


def _listed(value: Any) -> list[Any] | None:
    """A list, or a list written as JSON in a cell of a table; None for anything else."""
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            items = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return items if isinstance(items, list) else None
    return None
