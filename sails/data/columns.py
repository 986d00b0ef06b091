"""Which column of a file asks, which one answers, and which ones belong to them.

A question is put together by one rule: instruction, question and context, each a paragraph of its own. What
two columns could be is never guessed: it is named, and asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from sails.data import column_names
from sails.data.column_names import is_marked, is_named
from sails.data.formats.text_encoding import printable
from sails.system import listed

NO_COLUMN = ""  # in a mapping: no column, not even one whose name says that it is


def _named(**columns: str | None) -> dict[str, str]:
    """The columns that are there, by what they are in words."""
    return {role.replace("_", " "): column for role, column in columns.items() if column}


@dataclass(frozen=True)
class ColumnMapping:
    """The columns of the question and of the answer, and, if any, of what belongs to them.

    Upper and lower case do not count, unless two columns differ in nothing else. A system turn or history
    that is not named (None) is looked for by its name; `NO_COLUMN` says that there is none.
    """

    input: str
    output: str
    context: str | None = None  # follows the question
    instruction: str | None = None  # stands before the question
    system: str | None = None
    history: str | None = None  # earlier turns, as a list

    @cached_property
    def roles(self) -> dict[str, str]:
        """The columns by what they are, in the order of a conversation."""
        return _named(
            system=self.system,
            history=self.history,
            instruction=self.instruction,
            question=self.input,
            context=self.context,
            answer=self.output,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.roles.values())

    @cached_property
    def asked(self) -> tuple[str, ...]:
        """The columns that make up a question, in their order."""
        return tuple(
            self.roles[role] for role in ("instruction", "question", "context") if role in self.roles
        )

    def within(self, columns: Iterable[str]) -> ColumnMapping | None:
        """Return the same mapping in a file's own spelling; None where question or answer is not there.

        What else is not there is left out: Alpaca rows often have no context.
        """
        columns = tuple(columns)
        question, answer = spelled(self.input, columns), spelled(self.output, columns)
        if not question or not answer:
            return None
        own = {
            "context": spelled(self.context, columns),
            "instruction": spelled(self.instruction, columns),
            "system": spelled(self.system, columns),
            "history": spelled(self.history, columns),
        }
        mapping = ColumnMapping(question, answer, **own)
        free = [column for column in columns if column not in mapping.columns]
        for role in ("system", "history"):
            named = named_as(role, free)
            if getattr(self, role) is None and len(named) == 1:
                mapping = replace(mapping, **{role: named[0]})
        return mapping


# By role: the names of its column, and words that may stand beside them.
_NAMES = {
    "system": (column_names.SYSTEM, column_names.QUESTION + column_names.INSTRUCTION),
    "history": (column_names.HISTORY, column_names.CHAT),
    "instruction": (column_names.INSTRUCTION, ""),
    "question": (column_names.QUESTION, column_names.PAIRS[0][0]),
    "answer": (column_names.ANSWER, column_names.PAIRS[0][1]),
    "context": (column_names.CONTEXT, ""),
}


class Recognition(NamedTuple):
    """What the names of columns say: a mapping, or why there is none although some of them fit."""

    mapping: ColumnMapping | None = None
    doubt: str = ""

    def __bool__(self) -> bool:
        """Tell whether some names are those of question and answer."""
        return self.mapping is not None or bool(self.doubt)


def spelled(wanted: str | None, columns: Iterable[str]) -> str | None:
    """Return a column as the file spells it, None when it is not there."""
    if not wanted:
        return None
    columns = tuple(columns)
    if wanted in columns:
        return wanted
    return {name.strip().casefold(): name for name in columns}.get(wanted.strip().casefold())


def recognise(columns: Iterable[str]) -> Recognition:
    """Return the columns of question and answer by their names, and those that belong to them."""
    rest = list(columns)
    found: dict[str, list[str]] = {}
    for role, (text, other) in _NAMES.items():
        found[role] = [column for column in rest if is_named(column, text, other)]
        rest = [column for column in rest if column not in found[role]]
    personas = [column for column in rest if is_named(column, column_names.PERSONA)]
    found["system"] = found["system"] or (personas if len(personas) == 1 else [])
    known = {column.strip().casefold(): column for column in rest}
    if not found["answer"] and {"chosen", "rejected"} <= known.keys():
        found["answer"] = [known["chosen"]]  # the preferred one of two
    asks = found["question"] or found["instruction"]
    if not asks or not found["answer"]:
        questions, answers = _pair(rest + found["context"], bool(asks), bool(found["answer"]))
        found["context"] = [column for column in found["context"] if column not in questions]
        found["answer"] = found["answer"] or answers
        if not asks and not questions:  # the only one that can ask
            questions, found["context"] = found["context"], []
        found["question"] = found["question"] or (questions if not asks else [])
    if not (found["question"] or found["instruction"]) or not found["answer"]:
        return Recognition()
    for role, several in found.items():
        if len(several) > 1:
            either = listed([f"“{printable(name)}”" for name in several], last="or")
            return Recognition(None, f"the {role} could stand in {either}")
    (answer,) = found["answer"]
    system, history, instruction, question, context = (
        next(iter(found[role]), None) for role in ("system", "history", "instruction", "question", "context")
    )
    if instruction and (not question or (not context and is_named(question, column_names.INPUT))):
        instruction, question, context = None, instruction, question or context  # Alpaca's own names
    assert question
    return Recognition(ColumnMapping(question, answer, context, instruction, system, history))


def dialogue_columns(columns: Iterable[str]) -> tuple[str | None, str | None]:
    """Return the column that is the same in all rows of a conversation, and that of their order, if any."""
    columns = tuple(columns)
    order = _first(columns, column_names.ORDER, is_marked)
    key = _first(columns, column_names.DIALOGUE, is_marked)
    numbered = any(is_marked(column, "turn position step sequence seq") for column in columns)
    clear = key and (numbered or is_marked(key, column_names.CHAT))  # a session, say, may be a lesson
    return (key, order) if clear else (None, None)


def reply_columns(columns: Iterable[str]) -> tuple[str | None, str | None]:
    """Return the column that identifies a row, and that of the row which it replies to, if any."""
    columns = tuple(columns)
    parent = _first(columns, column_names.PARENT, is_marked)
    return _first([column for column in columns if column != parent], column_names.IDENTITY, is_named), parent


def chat_column(columns: Iterable[str]) -> str | None:
    """Return the column that may hold whole chats, if there is one."""
    spelling = {name.strip().casefold(): name for name in columns}
    return next((spelling[name] for name in column_names.CHAT.split() if name in spelling), None)


def named_as(role: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the columns whose names are those of a role."""
    columns = tuple(columns)
    found = tuple(column for column in columns if is_named(column, *_NAMES[role]))
    if role == "system" and not found:
        return tuple(column for column in columns if is_named(column, column_names.PERSONA))
    return found


def understood(roles: Mapping[str, Sequence[str]], unused: Sequence[str]) -> str:
    """Say in one line which columns are what, and which ones are not taught."""
    used = ", ".join(f"{role} = {' / '.join(map(printable, columns))}" for role, columns in roles.items())
    left = f"; not taught: {', '.join(map(printable, unused))}" if unused else ""
    return f"{used}{left}" if used else ""


@dataclass(frozen=True)
class TurnColumns:
    """The columns of a table that has one turn in a row."""

    speaker: str
    said: str
    dialogue: str | None  # the same in all turns of a conversation
    order: str | None
    parent: str | None  # the identity of the turn before
    identity: str | None
    rank: str | None  # of several replies, the best has the lowest

    @cached_property
    def roles(self) -> dict[str, str]:
        """The columns by what they are."""
        return _named(
            speaker=self.speaker,
            text=self.said,
            conversation=self.dialogue,
            order=self.order,
            turn_before=self.parent,
        )


def turn_columns(columns: Iterable[str]) -> TurnColumns | None:
    """Return the columns of a table of turns by their names; None where they name question and answer."""
    columns = tuple(columns)
    if recognise(columns):
        return None
    rest = [column for column in columns if not is_marked(column, column_names.PARENT)]
    speaker = _first(rest, column_names.SPEAKER, _is_speaker)
    if speaker is None and _first(rest, column_names.DIALOGUE, is_marked):
        speaker = _first(rest, column_names.PERSON, is_named)
    if speaker is None and _first(rest, column_names.ORDER, is_marked):
        speaker = _first(rest, column_names.LOGGED, is_named)
    said = _first([column for column in rest if column != speaker], column_names.SAID, is_named)
    if speaker is None or said is None:
        return None
    rest = [column for column in rest if column not in (speaker, said)]
    return TurnColumns(
        speaker,
        said,
        dialogue=_first(rest, column_names.DIALOGUE, is_marked),
        order=_first(rest, column_names.ORDER, is_marked),
        parent=_first(columns, column_names.PARENT, is_marked),
        identity=_first(rest, column_names.IDENTITY, is_named),
        rank=_first(rest, column_names.RANK, is_named),
    )


def _is_speaker(name: str, text: str) -> bool:
    return is_named(name, text, "name type")


def _first(columns: Iterable[str], text: str, is_one: Callable[[str, str], bool]) -> str | None:
    """The column whose name stands first in a list of names."""
    columns = [column for column in columns if is_one(column, text)]
    return next((column for name in text.split() for column in columns if is_one(column, name)), None)


def _pair(columns: Sequence[str], has_question: bool, has_answer: bool) -> tuple[list[str], list[str]]:
    """The columns of one pair of names; beside a clear name of one side, that of a speaker on the other."""

    def named(text: str) -> list[str]:
        return [column for column in columns if is_named(column, text)]

    if has_answer:
        return named(column_names.PAIRS[0][0] + column_names.ASKED), []
    if has_question:
        return [], named(column_names.CLEAR_SPEAKERS)
    every = ((column_names.USERS, column_names.ASSISTANTS), *column_names.PAIRS[1:])
    pairs = ((named(asks), named(answers)) for asks, answers in every)
    return next(((questions, answers) for questions, answers in pairs if questions and answers), ([], []))
