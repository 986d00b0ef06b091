"""A file of conversations as conversations: every row either used or refused by its number.

Three shapes are known: columns with question, answer and what belongs to them (`columns`), a column of
whole chats, and a table with one turn in each row (`dialogues`). How files are opened and their rows
numbered is `formats`' business, what happens to one row `turns`'.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sails.data.column_names import CHOICES, is_named
from sails.data.columns import (
    ColumnMapping,
    Recognition,
    TurnColumns,
    chat_column,
    dialogue_columns,
    recognise,
    understood,
)
from sails.data.conversation import RESERVED, Conversation
from sails.data.dialogues import as_dialogues, joined
from sails.data.exclusions import Exclusions
from sails.data.formats.detect import open_source
from sails.data.formats.source import Refusal
from sails.data.formats.text_encoding import printable
from sails.data.turns import Remark, RowRefused, chat_turns, kind, listed, pair_turns, plain
from sails.errors import ConversationFileError

# What programs write for no value.
_EMPTY = frozenset(
    {"nan", "NaN", "NULL", "null", "None", "<NA>", "NaT", "#N/A", "#REF!", "#VALUE!", "#NAME?"}
)
_WRITTEN_LIST = re.compile(r"\[['\"]|\{['\"]\w+['\"]:|array\(")
_LETTER = re.compile(r"\(?([A-Ha-h]|\d)[).]?")
_ASK = (
    "Say which one asks and which one answers: on the page Data, or with --question-column, --answer-column "
    "and, for instructions to the assistant, --system-column."
)


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
    understood: str = ""  # which columns are what, and which ones are not taught, in one line
    is_table: bool = False  # every row has every column; an empty cell is left out of its conversation


def reading_of(rows: Sequence[Conversation]) -> Reading:
    """Return rows that are in the clean form already, as if a file of them had been read."""
    return Reading(
        conversations=tuple(rows),
        refused=(),
        duplicates=len(rows) - len({row.identity for row in rows}),
        columns=("input", "output"),
        encoding="utf-8",
        format="jsonl",
    )


class UnknownColumns(ConversationFileError):
    """A person must say which column asks and which one answers."""


def read(path: Path | str, mapping: ColumnMapping | None = None, *, content: bytes | None = None) -> Reading:
    """Read a file in any of the formats that `formats.detect` lists.

    `mapping` names the columns of a file whose names are not recognised by themselves. `content` is what
    the file holds where that is in memory already; nothing needs to lie at `path` then, which names it.

    Raises ConversationFileError when the file cannot be read or no row of it can be used.
    """
    path = Path(path)
    source = open_source(path, content)
    turn_columns = None
    if mapping is None:
        source, turn_columns = as_dialogues(source, path.name)
    rows = _Rows(source.columns, mapping, turn_columns)
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
    if left_out := rows.exclusions.afterwards():
        refused += [Refusal(one.row, left_out[one.row]) for one in conversations if one.row in left_out]
        refused.sort(key=lambda refusal: refusal.row)
        conversations = [one for one in conversations if one.row not in left_out]
    key, order = dialogue_columns(rows.unused()) if rows.mapping else (None, None)
    if key and len({str(row.extra.get(key)) for row in conversations}) < len(conversations):
        conversations, broken = joined(conversations, [refusal.row for refusal in refused], key, order)
        refused = sorted([*refused, *broken], key=lambda refusal: refusal.row)
        rows.use({"conversation": key} | ({"order": order} if order else {}))
    if not conversations or not rows.has_requested_columns:
        raise rows.unusable(path.name, refused)
    rows.require_texts(path.name, conversations)
    return Reading(
        conversations=tuple(conversations),
        refused=tuple(refused),
        duplicates=len(conversations) - len({conversation.identity for conversation in conversations}),
        columns=tuple(map(printable, rows.columns)),
        encoding=source.encoding,
        format=source.format,
        mapping=rows.mapping,
        notes=(*source.notes, *source.late_notes(), *rows.notes()),
        understood=rows.understood(),
        is_table=bool(source.columns),
    )


class _Shape(NamedTuple):
    """Where the turns of a record are: in a chat column, if it holds a list, or in columns of their own."""

    chat: str | None
    mapping: ColumnMapping | None
    used: set[str]
    marks: dict[str, str]  # columns that may say that a row is not to be learned
    choices: bool  # the choices of a question stand in columns of their own
    doubt: str  # why there is no mapping although some columns fit


class _Rows:
    """Makes conversations of records, and remembers what it met."""

    def __init__(
        self, columns: tuple[str, ...], requested: ColumnMapping | None, turns: TurnColumns | None
    ) -> None:
        self.columns = dict.fromkeys(columns)
        self.exclusions = Exclusions()
        self.mapping: ColumnMapping | None = None
        self._roles: dict[str, dict[str, None]] = {}  # the columns that were used, by what they are
        if turns:
            every = {"speaker": turns.speaker, "text": turns.said, "conversation": turns.dialogue}
            every |= {"order": turns.order, "turn before": turns.parent}
            self._roles = {role: {column: None} for role, column in every.items() if column}
        self._is_table_of_turns = turns is not None
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
        shape = self._shape(tuple(fields))
        remarks: set[Remark] = set()
        if self._table and any(isinstance(value, str) and value in _EMPTY for value in fields.values()):
            fields = {name: value for name, value in fields.items() if str(value) not in _EMPTY}
            remarks.add(Remark.EMPTY)
        try:
            if reason := shape.marks and self.exclusions.reason(row, fields, shape.marks):
                raise RowRefused(reason)
            if shape.chat and (items := listed(fields.get(shape.chat))) is not None:
                turns, used = chat_turns(items, remarks), {shape.chat}
                self.use({"conversations": shape.chat})
            elif mapping := shape.mapping:
                if shape.choices and _LETTER.fullmatch(str(fields.get(mapping.output, "")).strip()):
                    raise RowRefused(
                        f"the answer is only “{fields[mapping.output]}”, one of the choices; write its text"
                    )
                turns, used = pair_turns(fields, mapping, remarks), shape.used
                if self.mapping is not mapping:
                    self.use(mapping.roles)
                self.mapping = self.mapping or mapping
            else:
                raise RowRefused(shape.doubt or "lacks the column of the question or that of the answer")
            known = RESERVED.union(used)
            extra = plain({name: fields[name] for name in fields if name not in known})
        except RecursionError as error:
            raise RowRefused("is nested too deeply") from error
        finally:
            self._remarks.update(remarks)
        return Conversation(turns, extra, row)

    def use(self, roles: dict[str, str]) -> None:
        """Note which columns are what."""
        for role, column in () if self._is_table_of_turns else roles.items():
            self._roles.setdefault(role, {})[column] = None

    def understood(self) -> str:
        """Say in one line which columns are what, and which ones are not taught."""
        return understood({role: tuple(columns) for role, columns in self._roles.items()}, self.unused())

    def unused(self) -> list[str]:
        """List the columns that are not taught."""
        used = {column for columns in self._roles.values() for column in columns}
        return [column for column in self.columns if column not in used]

    def require_texts(self, name: str, conversations: Sequence[Conversation]) -> None:
        """Refuse a table whose answers are lists or records that a program wrote into its cells."""
        lists = (
            [row.output for row in conversations if _WRITTEN_LIST.match(row.output)] if self._table else []
        )
        if self.mapping and len(lists) > 0.9 * len(conversations):
            raise ConversationFileError(
                f"The answers of {name} (“{self.mapping.output}”) are lists or records, as {lists[0][:60]}",
                "Write one answer into each cell, as text.",
            )

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        """The shape of records with these fields; files have few different ones."""
        if self._is_table_of_turns:
            return _Shape("messages", None, {"messages"}, {}, choices=False, doubt="")
        shape = self._shapes.get(names)
        if shape is None:
            self.columns.update(dict.fromkeys(names))
            shape = self._shapes[names] = self._new_shape(self._table or names)
        return shape

    def _new_shape(self, columns: Iterable[str]) -> _Shape:
        columns = tuple(columns)
        if self._requested:
            chat, found, choices = None, Recognition(self._requested.within(columns)), False
        else:
            chat, found = chat_column(columns), recognise(columns)
            choices = sum(is_named(column, CHOICES) for column in columns) > 0
        used = set(found.mapping.columns) if found.mapping else set[str]()
        return _Shape(chat, found.mapping, used, Exclusions.columns(columns, used), choices, found.doubt)

    @property
    def has_requested_columns(self) -> bool:
        found = {name.strip().casefold() for name in self.columns}
        return all(name.strip().casefold() in found for name in self._requested_columns)

    def notes(self) -> tuple[str, ...]:
        counts = self._remarks.items()
        notes = [f"{remark} in {count} row{'' if count == 1 else 's'}." for remark, count in counts]
        if self.mapping and len(self.mapping.asked) > 1:
            notes.append(f"A question is {' followed by '.join(f'“{name}”' for name in self.mapping.asked)}.")
        return tuple(notes)

    def unusable(self, name: str, refused: list[Refusal]) -> ConversationFileError:
        """Tell why a file is refused whole."""
        if not self.columns and not refused:
            return ConversationFileError(f"{name} holds no conversations.", "Choose a file that has some.")
        names = _quoted(column[:40] for column in islice(self.columns, 12))
        if not self.has_requested_columns:
            return ConversationFileError(
                f"{name} has the columns {names}, and not all of {_quoted(self._requested_columns)}.",
                "Name columns that stand in the file.",
            )
        shapes = self._shapes.values() or [self._new_shape(self.columns)]
        known = self._is_table_of_turns or any(shape.chat or shape.mapping for shape in shapes)
        if self.columns and not known:
            doubt = next((shape.doubt for shape in shapes if shape.doubt), "")
            need = "it needs one for the question and one for the answer, such as “input” and “output”"
            return UnknownColumns(f"{name} has the columns {names}; {doubt or need}.", _ASK)
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
