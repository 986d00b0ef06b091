"""Makes conversations of records, whatever their shape, and remembers what it met on the way.

Where the turns of a record are: in a column of whole chats, in one of the shapes that `shapes` knows, in a
pair of columns, or in one text. What belongs to them stands `beside`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sails.data import shapes
from sails.data.beside import (
    Beside,
    beside,
    history_of,
    is_mark,
    joined_question,
    part_of,
    refuse_marked,
    system_of,
)
from sails.data.columns import ColumnMapping, chat_column, recognise
from sails.data.conversation import ANSWERS, ONLY_LAST, RESERVED, Conversation, Turn
from sails.data.formats.messengers import assistant_needed
from sails.data.formats.source import Refusal, listed_names
from sails.data.formats.text_encoding import printable
from sails.data.shapes import ChatReader, plain_name
from sails.data.turns import (
    Remark,
    RowRefused,
    UnknownSpeaker,
    by_turns,
    chat_turns,
    first_answer,
    is_blank,
    kind,
    pair_turns,
    plain,
    role_of,
)
from sails.errors import ConversationFileError


class _Shape(NamedTuple):
    """Where the turns of records with the same keys are."""

    chats: tuple[ChatReader, ...]
    mapping: ColumnMapping | None
    beside_pair: Beside
    texts: tuple[ChatReader, ...]
    columns: tuple[str, ...]
    marks: frozenset[str]  # keys that were looked at, and are no part of the turns
    is_plain: bool  # nothing but a question, an answer and what is kept


class Rows:
    """Makes conversations of the records of a file."""

    def __init__(
        self, columns: tuple[str, ...], requested: ColumnMapping | None, assistant: str | None
    ) -> None:
        self.columns = dict.fromkeys(columns)
        self.mapping: ColumnMapping | None = None
        self.unused: dict[str, None] = {}  # names of fields that are kept, and not taught
        self._table = columns
        self._requested = requested
        self._requested_columns = requested.columns if requested else ()
        self._assistant = assistant
        self._people: Counter[str] = Counter()
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._remarks: Counter[Remark] = Counter()
        self._grades: dict[str, set[float]] = {}

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
        shape = self._shape(tuple(fields))
        remarks: set[Remark] = set()
        try:
            turns, used = self._turns(fields, shape, remarks)
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
        for name, value in extra.items():
            if (
                (name, value) != (ANSWERS, ONLY_LAST)
                and value not in (None, "", [], {})
                and not (name in shape.marks and is_mark(name, value))
            ):
                self.unused[name] = None
        return Conversation(turns, extra, row)

    def _turns(
        self, fields: dict[str, Any], shape: _Shape, remarks: set[Remark]
    ) -> tuple[tuple[Turn, ...], set[str]]:
        keys = shape.beside_pair
        if not shape.is_plain:
            refuse_marked(fields, keys)
            self._note_grades(fields, keys)
        for chat in shape.chats:
            if (items := chat.read(fields, remarks)) is not None:
                return self._chat(items, chat.keys, fields, shape, remarks)
        mapping = shape.mapping
        if mapping is not None:
            question, answer = fields.get(mapping.input), fields.get(mapping.output)
            if plain_name(mapping.output) == "answers":
                answer = first_answer(answer, remarks)
            if (items := shapes.pair_of_lists(question, answer, remarks)) is not None:
                return self._chat(items, mapping.columns, fields, shape, remarks)
            self.mapping = self.mapping or mapping
            used = set(mapping.columns)
            if shape.is_plain:
                return pair_turns(fields, mapping, remarks), used
            return self._pair(fields | {mapping.output: answer}, mapping, keys, remarks, used), used
        by_role = {} if self._requested else {key: fields[key] for key in fields if role_of(key)}
        if len(by_role) > 1 and (spoken := shapes.spoken_keys(by_role)) is not None:
            return self._chat(spoken, by_role, fields, shape, remarks)
        lone = None if self._requested else shapes.lone_chat(fields, remarks, _NO_CHATS)
        if lone is not None:
            return self._chat(*lone, fields, shape, remarks)
        for text in shape.texts:
            if (items := text.read(fields, remarks)) is not None:
                return self._chat(items, text.keys, fields, shape, remarks)
        raise RowRefused("lacks the column of the question or that of the answer")

    def _chat(
        self,
        items: Sequence[Any],
        taken: Iterable[str],
        fields: dict[str, Any],
        shape: _Shape,
        remarks: set[Remark],
    ) -> tuple[tuple[Turn, ...], set[str]]:
        used = set(taken)
        keys = beside(shape.columns, used)
        system = system_of(fields, keys, remarks, used, of_chat=True)
        earlier = history_of(fields, keys, remarks, used)
        turns = chat_turns([*earlier, *items], remarks, self._assistant, system)
        if passage := part_of(fields, keys.context):
            first = next(n for n, turn in enumerate(turns) if turn.role == "user")
            asked = replace(turns[first], content=f"{turns[first].content}\n\n{passage}")
            turns = (*turns[:first], asked, *turns[first + 1 :])
            remarks.add(Remark.CONTEXT)
            used.add(str(keys.context))
        return turns, used

    def _pair(
        self,
        fields: dict[str, Any],
        mapping: ColumnMapping,
        keys: Beside,
        remarks: set[Remark],
        used: set[str],
    ) -> tuple[Turn, ...]:
        if (
            is_blank(fields.get(mapping.input))
            and mapping.context
            and not is_blank(fields.get(mapping.context))
        ):
            mapping = ColumnMapping(mapping.context, mapping.output)  # an instruction that is left empty
        question, answer = pair_turns(fields, mapping, remarks)
        asked = joined_question(question.content, answer.content, fields, keys, remarks, used)
        system = system_of(fields, keys, remarks, used, of_chat=False)
        earlier = history_of(fields, keys, remarks, used)
        if not system and not earlier:
            return Turn("user", asked), answer
        items = [
            *earlier,
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer.content},
        ]
        return chat_turns(items, remarks, self._assistant, system)

    def _note_grades(self, fields: dict[str, Any], keys: Beside) -> None:
        for key in keys.grades:
            value = fields.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._grades.setdefault(key, set()).add(value)

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        """The shape of records with these fields; files have few different ones."""
        shape = self._shapes.get(names)
        if shape is None:
            self.columns.update(dict.fromkeys(names))
            shape = self._shapes[names] = self._new_shape(self._table or names)
        return shape

    def _new_shape(self, columns: Sequence[str]) -> _Shape:
        columns = tuple(map(str, columns))
        chats: tuple[ChatReader, ...] = ()
        texts: tuple[ChatReader, ...] = ()
        if self._requested:
            mapping = self._requested.within(columns)
        else:
            chats, texts = shapes.chat_readers(columns), shapes.text_readers(columns)
            mapping = recognise(columns) or _with_answers(columns)
        taken = mapping.columns if mapping else ()
        keys = beside(columns, taken)
        if self._requested:  # the person said what belongs to the question
            keys = keys._replace(instruction=None, context=None)
        is_plain = mapping is not None and not any(keys) and plain_name(mapping.output) != "answers"
        marks = frozenset((*keys.true_marks, *keys.false_marks))
        plain_pair = is_plain and not (mapping and mapping.context)
        return _Shape(chats, mapping, keys, texts, columns, marks, plain_pair)

    @property
    def has_requested_columns(self) -> bool:
        found = {name.strip().casefold() for name in self.columns}
        return all(name.strip().casefold() in found for name in self._requested_columns)

    def notes(self) -> tuple[str, ...]:
        counts = {remark: self._remarks[remark] for remark in Remark if self._remarks[remark]}
        notes = [f"{remark} in {count} row{'' if count == 1 else 's'}." for remark, count in counts.items()]
        notes += filter(None, map(self._question_note, self._shapes.values()))
        for key, numbers in self._grades.items():
            if len(numbers) > 1:
                notes.append(
                    f"“{printable(key)}” holds numbers that may grade the answers; they are not looked at. "
                    "Leave out the rows that should not be taught."
                )
        return tuple(dict.fromkeys(notes))

    def _question_note(self, shape: _Shape) -> str:
        if shape.mapping is None or self.mapping is None or (shape.chats and not self.mapping):
            return ""
        keys, mapping = shape.beside_pair, shape.mapping
        parts = [keys.instruction, mapping.input, mapping.context, keys.context]
        names = [printable(name) for name in parts if name]
        if len(names) < 2:
            return ""
        return f"A question is “{'” followed by “'.join(names)}”."

    def unusable(self, name: str, refused: list[Refusal]) -> ConversationFileError:
        """Tell why a file is refused whole."""
        people = [person for person, _ in self._people.most_common()]
        unclear = self._assistant is not None or "assistant" not in map(role_of, people)
        if len(people) > 1 and unclear and not self._requested:
            return assistant_needed(name, people, self._assistant)
        if not self.columns and not refused:
            return ConversationFileError(f"{name} holds no conversations.", "Choose a file that has some.")
        names = listed_names(self.columns)
        if not self.has_requested_columns:
            return ConversationFileError(
                f"{name} has the columns {names}, and not all of {listed_names(self._requested_columns)}.",
                "Give a column mapping with names that stand in the file.",
            )
        shapes = self._shapes.values() or [self._new_shape(tuple(self.columns))]
        known = any(chat_column(shape.columns) or shape.mapping for shape in shapes)
        only_lacking = all(refusal.reason.startswith("lacks the column") for refusal in refused)
        if self.columns and not known and only_lacking:
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


_NO_CHATS = frozenset(
    {"history", "chosen", "rejected", "tools", "functions", "choices", "options", "candidates"}
)


def _with_answers(columns: Sequence[str]) -> ColumnMapping | None:
    """The mapping of rows whose answers are a list, as SQuAD has them."""
    plural = next((name for name in columns if plain_name(name) == "answers"), None)
    if plural is None:
        return None
    mapping = recognise(["answer" if name == plural else name for name in columns])
    return (
        ColumnMapping(mapping.input, plural, mapping.context)
        if mapping and mapping.output == "answer"
        else None
    )
