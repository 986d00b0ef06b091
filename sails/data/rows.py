"""Makes conversations of records, whatever their shape, and remembers what it met on the way.

Where the turns of a record are: in a column of whole chats, in one of the shapes that `shapes` knows, in
columns of question and answer, or in one text. What belongs to them stands `beside`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sails.data import shapes
from sails.data.beside import (
    Beside,
    beside_chat,
    beside_pair,
    choices_of,
    history_of,
    is_numbers,
    part_of,
    system_of,
    without_records,
)
from sails.data.columns import ColumnMapping, Recognition, TurnColumns, chat_column, recognise, understood
from sails.data.conversation import ANSWERS, ONLY_LAST, RESERVED, TOOLS, Conversation, Turn
from sails.data.exclusions import Exclusions, is_partial, says_yes_or_no
from sails.data.formats.messengers import assistant_needed
from sails.data.formats.source import Refusal, listed_names
from sails.data.formats.text_encoding import printable
from sails.data.shapes import ChatReader, plain_name
from sails.data.speakers import role_of, speaker_role
from sails.data.turns import (
    Remark,
    RowRefused,
    UnknownSpeaker,
    by_turns,
    chat_turns,
    first_answer,
    kind,
    pair_turns,
    plain,
    rests_on_picture,
    without_empty,
)
from sails.errors import ConversationFileError

_WRITTEN_LIST = re.compile(r"\[['\"]|\{['\"]\w+['\"]:|array\(")
_NO_CHATS = frozenset(
    {"history", "chosen", "rejected", "tools", "functions", "choices", "options", "candidates"}
)
MAX_SHAPES = 5000  # different sets of names; what each of them is takes a while to find out
_MAX_WORDS = 4  # more different ones than yes and no have in a file
_ASK = (
    "Say which one asks and which one answers: on the page Data, or with --question-column, --answer-column "
    "and, for instructions to the assistant, --system-column."
)

Used = dict[str, str]  # the columns that became turns, with what they are


class Preview(NamedTuple):
    """The beginning of a file whose columns are not known."""

    columns: tuple[str, ...]
    first_rows: tuple[dict[str, str], ...]  # by column
    table: bool  # it has a line of column names, which may be an example by mistake


class UnknownColumns(ConversationFileError):
    """A person must say which column asks and which one answers."""

    preview: Preview | None = None  # None where it does not help to say so


class _Shape(NamedTuple):
    """Where the turns of records with the same keys are."""

    chats: tuple[ChatReader, ...]
    mapping: ColumnMapping | None
    doubt: str  # why there is no mapping although some columns fit
    beside_pair: Beside
    texts: tuple[ChatReader, ...]
    columns: tuple[str, ...]
    marks: dict[str, str]  # columns that may say that a row is not to be learned
    used: Used  # by a question and its answer


class Rows:
    """Makes conversations of the records of a file.

    `turns` are the columns of a table that had one turn in a row, and now has conversations. `keep_marked`
    keeps rows that are marked as not to be learned.
    """

    def __init__(
        self,
        columns: tuple[str, ...],
        requested: ColumnMapping | None,
        assistant: str | None,
        turns: TurnColumns | None = None,
        *,
        keep_marked: bool = False,
    ) -> None:
        self.columns = dict.fromkeys(columns)
        self.mapping: ColumnMapping | None = None
        self.exclusions = Exclusions()
        self._filled: dict[str, set[str]] = {}  # by column that is kept and not taught: a few of its words
        self._roles: dict[str, dict[str, None]] = {}  # the columns that were used, by what they are
        self._table = columns
        self._of_turns = turns is not None
        self._keep_marked = keep_marked
        self._requested = requested
        self._requested_columns = requested.columns if requested else ()
        self._assistant = assistant
        self._people: Counter[str] = Counter()
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._remarks: Counter[Remark] = Counter()
        if turns:
            self.use({column: role for role, column in turns.roles.items()})

    def conversation(self, row: int, fields: Any) -> Conversation:
        """Raise RowRefused."""
        if isinstance(fields, list):
            is_pair = len(fields) == 2 and all(isinstance(text, str) for text in fields)
            texts_only = bool(fields) and all(isinstance(text, str) for text in fields)
            fields = {"messages": by_turns(fields) if is_pair or texts_only else fields}
        if isinstance(fields, str) and (marked := shapes.marked_text(fields, set())):
            fields = {"messages": marked}
        if not isinstance(fields, dict):
            raise RowRefused(f"is {kind(fields)}, not a record with named fields")
        if not self._requested and (inside := shapes.unwrapped(fields)) is not None:
            fields = inside
        shape = self._shape(tuple(fields))
        remarks: set[Remark] = set()
        if self._table and (filled := without_empty(fields)) is not fields:
            fields = filled
            remarks.add(Remark.EMPTY)
        try:
            if reason := shape.marks and self.exclusions.reason(row, fields, shape.marks):
                raise RowRefused(reason)
            if any(is_partial(kind, fields.get(name)) for name, kind in shape.marks.items()):
                remarks.add(Remark.WEIGHTS)
            turns, used = self._turns(fields, shape, remarks)
            if rests_on_picture(fields, turns):
                raise RowRefused("rests on a picture or recording, which no text model sees")
            known = RESERVED.union(used)
            extra = plain({name: fields[name] for name in fields if name not in known})
            if extra.get(ANSWERS) == ONLY_LAST and sum(turn.role == "assistant" for turn in turns) > 1:
                remarks.add(Remark.UNLEARNED)
        except UnknownSpeaker as unknown:
            self._people.update(unknown.people)
            raise
        except RecursionError as error:
            raise RowRefused("is nested too deeply") from error
        finally:
            self._remarks.update(remarks)
        self.use(used)
        self._note_unused(extra, shape)
        conversation = Conversation(turns, extra, row)
        if conversation.tools:
            self.use({TOOLS: "tools"})
        return conversation

    def use(self, used: Used) -> None:
        """Note which columns are what."""
        for column, role in used.items():
            self._roles.setdefault(role, {})[column] = None

    def understood(self) -> str:
        """Say in one line which columns are what, and which ones are not taught."""
        return understood({role: tuple(columns) for role, columns in self._roles.items()}, self.unused())

    def unused(self) -> tuple[str, ...]:
        """List the columns that hold something, and are not taught."""
        apart = (
            "conversation",
            "order",
            "turn before",
            "tools",
        )  # kept: they tell turns apart, or offer tools
        used = {column for role in apart for column in self._roles.get(role, ())}
        return tuple(column for column in self._filled if column not in used)

    def _note_unused(self, extra: dict[str, Any], shape: _Shape) -> None:
        for name, value in extra.items():
            if (words := self._filled.get(name)) is not None:
                if len(words) <= _MAX_WORDS and isinstance(value, str | bool | int):
                    words.add(str(value)[:10].casefold())
            elif (
                value not in (None, "", [], {})
                and (name, value) != (ANSWERS, ONLY_LAST)
                and not (name in shape.marks and self.exclusions.is_said(shape.marks[name], value))
            ):
                self._filled[name] = {str(value)[:10].casefold()}

    def _turns(
        self, fields: dict[str, Any], shape: _Shape, remarks: set[Remark]
    ) -> tuple[tuple[Turn, ...], Used]:
        for chat in shape.chats:
            if (items := chat.read(fields, remarks)) is not None:
                return self._chat(items, chat.roles, fields, shape, remarks)
        mapping = shape.mapping
        if mapping is not None:
            return self._pair(fields, mapping, shape, remarks)
        by_role = {} if self._requested else {key: fields[key] for key in fields if role_of(key)}
        if len(by_role) > 1 and (spoken := shapes.spoken_keys(by_role)) is not None:
            return self._chat(spoken, dict.fromkeys(by_role, "conversations"), fields, shape, remarks)
        lone = None if self._requested else shapes.lone_chat(fields, remarks, _NO_CHATS)
        if lone is not None:
            items, key = lone
            return self._chat(items, {key: "conversations"}, fields, shape, remarks)
        for text in shape.texts:
            if (items := text.read(fields, remarks)) is not None:
                return self._chat(items, text.roles, fields, shape, remarks)
        raise RowRefused(shape.doubt or "lacks the column of the question or that of the answer")

    def _chat(
        self, items: Sequence[Any], roles: Used, fields: dict[str, Any], shape: _Shape, remarks: set[Remark]
    ) -> tuple[tuple[Turn, ...], Used]:
        taken = {*roles, shape.mapping.input} if shape.mapping else roles  # a question is no instruction
        keys = without_records(beside_chat(shape.columns, frozenset(taken)), fields)
        used = {} if self._of_turns else roles
        used = used | {name: "system" for name in keys.system if name in fields}
        system = system_of(fields, keys, remarks)
        earlier = history_of(fields, keys, remarks)
        if earlier is not None and keys.history in fields:
            used |= {keys.history: "history"}
        turns = chat_turns([*(earlier or ()), *items], remarks, self._assistant, system)
        if passage := part_of(fields, keys.context):
            first = next(n for n, turn in enumerate(turns) if turn.role == "user")
            asked = replace(turns[first], content=f"{turns[first].content}\n\n{passage}")
            turns = (*turns[:first], asked, *turns[first + 1 :])
            remarks.add(Remark.CONTEXT)
            used |= {str(keys.context): "context"}
        return turns, used

    def _pair(
        self, fields: dict[str, Any], mapping: ColumnMapping, shape: _Shape, remarks: set[Remark]
    ) -> tuple[tuple[Turn, ...], Used]:
        question, answer = fields.get(mapping.input), fields.get(mapping.output)
        keys = without_records(shape.beside_pair, fields)
        used = shape.used
        if keys is not shape.beside_pair:
            used = {column: role for column, role in used.items() if role != "system"}
        if isinstance(answer, list | dict) and plain_name(mapping.output) == "answers":
            answer = first_answer(answer, remarks)
            fields = fields | {mapping.output: answer}
        if (items := shapes.pair_of_lists(question, answer, remarks)) is not None:
            taken = (mapping.input, mapping.output)
            roles = {column: role for column, role in used.items() if column in taken}
            return self._chat(items, roles, fields, shape, remarks)
        others = (column for column in mapping.asked if column != mapping.input)
        parts = {c: part_of(fields, c) for c in others if isinstance(fields.get(c), dict | list)}
        used = {c: role for c, role in used.items() if not (c in parts and is_numbers(fields[c]))}
        last = pair_turns(fields | parts, mapping, remarks)
        self.mapping = self.mapping or mapping
        if not any(keys):
            return last, used
        lines, taken_choices = choices_of(last[1].content, fields, keys)
        if lines:
            last = (replace(last[0], content="\n\n".join((last[0].content, "\n".join(lines)))), last[1])
            used = used | dict.fromkeys(taken_choices, "choices")
            remarks.add(Remark.CHOICES)
        system = system_of(fields, keys, remarks)
        earlier = history_of(fields, keys, remarks)
        if earlier is None:
            used = {column: role for column, role in used.items() if role != "history"}
        if not earlier or isinstance(earlier, tuple):
            before = (Turn("system", "\n\n".join(system)),) if system else ()
            remarks |= {Remark.UNLEARNED} if earlier else set()
            return (*before, *(earlier or ()), *last), used
        items = [*(earlier or ()), *({"role": turn.role, "content": turn.content} for turn in last)]
        return chat_turns(items, remarks, self._assistant, system), used

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        """The shape of records with these fields; files have few different ones."""
        shape = self._shapes.get(names)
        if shape is None:
            if not self._of_turns:
                self.columns.update(dict.fromkeys(names))
            if len(self._shapes) >= MAX_SHAPES:
                raise ConversationFileError(
                    f"The rows of the file have more than {MAX_SHAPES:,} different sets of names.",
                    "Give all rows the same few names, for example input and output.",
                )
            shape = self._shapes[names] = self._new_shape(names if self._of_turns else self._table or names)
        return shape

    def _new_shape(self, columns: Iterable[str]) -> _Shape:
        columns = tuple(map(str, columns))
        chats: tuple[ChatReader, ...] = ()
        texts: tuple[ChatReader, ...] = ()
        if self._requested:
            found = Recognition(self._requested.within(columns))
        else:
            chats, texts = shapes.chat_readers(columns), shapes.text_readers(columns)
            found = recognise(columns)
        mapping = found.mapping
        used = {column: role for role, column in mapping.roles.items()} if mapping else {}
        keys = beside_pair(columns, mapping) if mapping else Beside()
        marks = {} if self._keep_marked else Exclusions.columns(columns, used)
        return _Shape(chats, mapping, found.doubt, keys, texts, columns, marks, used)

    @property
    def has_requested_columns(self) -> bool:
        found = {name.strip().casefold() for name in self.columns}
        return all(name.strip().casefold() in found for name in self._requested_columns)

    def notes(self) -> tuple[str, ...]:
        """Say what was changed on the way in, a sentence each."""
        counts = {remark: self._remarks[remark] for remark in Remark if self._remarks[remark]}
        notes = [f"{remark} in {count} row{'' if count == 1 else 's'}." for remark, count in counts.items()]
        if self.mapping and len(self.mapping.asked) > 1:
            parts = [f"“{printable(name)}”" for name in self.mapping.asked]
            notes.append(f"A question is {' followed by '.join(parts)}.")
        notes += [
            f"“{printable(name)}” says yes or no of each row, and is not looked at. "
            "Leave out the rows that should not be taught."
            for name in self.unused()
            if says_yes_or_no(self._filled[name])
        ]
        return (*notes, *self.exclusions.notes())

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

    def unusable(self, name: str, refused: list[Refusal]) -> ConversationFileError:
        """Tell why a file is refused whole."""
        people = [person for person, _ in self._people.most_common()]
        unclear = self._assistant is not None or not {"user", "assistant"} <= set(map(speaker_role, people))
        if len(people) > 1 and unclear and not self._requested:
            return assistant_needed(name, people, self._assistant)
        if not self.columns and not refused:
            return ConversationFileError(f"{name} holds no conversations.", "Choose a file that has some.")
        names = listed_names(self.columns)
        if not self.has_requested_columns:
            return ConversationFileError(
                f"{name} has the columns {names}, and not all of {listed_names(self._requested_columns)}.",
                "Name columns that stand in the file.",
            )
        shapes = list(self._shapes.values()) or [self._new_shape(tuple(self.columns))]
        doubt = next((shape.doubt for shape in shapes if shape.doubt), "")
        lacking = ("lacks the column", doubt) if doubt else ("lacks the column",)
        only_lacking = all(refusal.reason.startswith(lacking) for refusal in refused)
        known = self._of_turns or any(shape.mapping or chat_column(shape.columns) for shape in shapes)
        if self.columns and not known and only_lacking:
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
