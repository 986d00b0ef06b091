"""Tables that have one turn in a row, as conversations: turns of one conversation are put together.

What belongs together is said by a column (`conversation_id`, `thread`, …), by the turn before (`parent_id`),
by turn numbers that begin again, or by blank rows. Without any of these a table is one conversation, if user
and assistant take turns in it throughout; else it is refused, for nobody can tell where one ends.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

from sails.data import column_names
from sails.data.column_names import names
from sails.data.columns import TurnColumns, turn_columns
from sails.data.conversation import Conversation
from sails.data.exclusions import Exclusions
from sails.data.formats.source import Record, Refusal, Source
from sails.data.formats.text_encoding import printable
from sails.data.turns import role_of
from sails.errors import ConversationFileError
from sails.system import count

SAMPLE = 1000  # rows by which it is seen whether a table holds turns
MAX_SPEAKERS = 8  # more different ones, and it is a table of something else
_TURN = {
    "weight",
    "train",
    "loss",
    "learn",
    "tool_calls",
    "function_call",
}  # what `chat_turns` knows of a turn


def as_dialogues(source: Source, name: str) -> tuple[Source, TurnColumns | None]:
    """Return a table of turns as one that has conversations in a column `messages`; others as they are.

    Raises ConversationFileError for a table that mixes conversations, or does not say who the assistant is.
    """
    columns = turn_columns(source.columns)
    if columns is None:
        return source, None
    records = list(source.records)
    rows = [record for record in records if not isinstance(record, Refusal)]
    said = Counter(str(fields.get(columns.speaker, "")).strip() for _, fields in rows[:SAMPLE])
    said.pop("", None)
    roles = {speaker: _role(speaker) for speaker in said}
    known = sum(number for speaker, number in said.items() if roles[speaker])
    if "assistant" not in roles.values() or known < 0.5 * said.total():
        keyed = columns.dialogue or columns.parent
        if keyed and 1 < len(said) <= MAX_SPEAKERS and len(rows) > len(said):
            people = ", ".join(f"“{printable(speaker)[:40]}”" for speaker in said)
            raise ConversationFileError(
                f"{name} is a table of turns, and its column “{columns.speaker}” names {people}; "
                "none of them is known as the assistant.",
                "Write “user” and “assistant” in that column.",
            )
        return replace(source, records=records), None
    ids = [fields.get(columns.identity) for _, fields in rows] if columns.identity else []
    if not columns.dialogue and not columns.parent and len(set(map(str, ids))) < len(ids):
        columns = replace(columns, dialogue=columns.identity)  # not one for each turn
    groups, how = _groups(rows, columns, name)
    lost = sorted(record.row for record in records if isinstance(record, Refusal))
    marks = Exclusions.columns(source.columns, (columns.speaker, columns.said, *_TURN))
    taken: set[int] = set()
    conversations = []
    for group in groups:
        begins = min(row for row, _ in group)
        number = group[-1][0] if begins in taken else begins  # branches of one tree begin in the same row
        taken.add(number)
        conversations.append(_conversation(group, number, columns, marks, lost))
    every = sorted(
        [*conversations, *(record for record in records if isinstance(record, Refusal))],
        key=lambda record: record.row if isinstance(record, Refusal) else record[0],
    )
    note = f"{count(len(rows), 'row')} with one turn each became {count(len(groups), 'conversation')}: {how}."
    unusual = [f"“{s}” as the {r}" for s, r in roles.items() if r in ("user", "assistant") and not role_of(s)]
    notes = (note, *([f"Taken are {' and '.join(unusual)}."] if unusual else []))
    return replace(source, records=every, notes=source.notes + notes), columns


@cache
def _role(speaker: str) -> str | None:
    words = frozenset(column_names.words_of(speaker))
    return (
        role_of(speaker)
        or ("assistant" if words and words <= names(column_names.ASSISTANTS) else None)
        or ("user" if words and words <= names(column_names.USERS) else None)
    )


def _groups(rows: Sequence[Record], columns: TurnColumns, name: str) -> tuple[list[list[Record]], str]:
    """The rows of each conversation, in the order of its turns, and how they were told apart."""
    if columns.parent and columns.identity:
        return _paths(rows, columns), f"each turn follows the one that “{columns.parent}” names"
    if columns.dialogue:
        groups: dict[Any, list[Record]] = {}
        for record in rows:
            groups.setdefault(record[1].get(columns.dialogue), []).append(record)
        return [_in_order(group, columns.order) for group in groups.values()], (
            f"those with the same “{columns.dialogue}”"
        )
    read = [_number(fields.get(columns.order)) for _, fields in rows] if columns.order else []
    numbers = [number for number in read if number is not None]
    if numbers and len(numbers) == len(rows) and _restarts(numbers):
        begins = [0, *(n for n in range(1, len(rows)) if numbers[n] <= numbers[n - 1])]
        return _cut(rows, begins), f"a new one begins where “{columns.order}” begins again"
    begins = [0, *(n for n in range(1, len(rows)) if rows[n][0] > rows[n - 1][0] + 1)]
    groups_between = _cut(rows, begins)
    if all(_takes_turns(group, columns) for group in groups_between):
        how = "blank rows stand between them" if len(begins) > 1 else "no column says where one ends"
        return groups_between, how
    raise ConversationFileError(
        f"{name} has one turn in each row, and no column says which turns belong to one conversation.",
        "Add a column “conversation_id” with the same value in all turns of a conversation.",
    )


def _restarts(numbers: Sequence[float]) -> bool:
    """Numbers that begin again with the first one."""
    drops = [later for before, later in pairwise(numbers) if later <= before]
    return set(drops) == {numbers[0]}


def _cut(rows: Sequence[Record], begins: Sequence[int]) -> list[list[Record]]:
    return [list(rows[start:end]) for start, end in zip(begins, [*begins[1:], len(rows)], strict=True)]


def _takes_turns(group: Sequence[Record], columns: TurnColumns) -> bool:
    spoken = [_role(str(fields.get(columns.speaker, ""))) for _, fields in group]
    spoken = spoken[spoken[:1] == ["system"] :]
    spoken = spoken[spoken[:1] == ["assistant"] :]  # a greeting
    return all(role == ("user", "assistant")[n % 2] for n, role in enumerate(spoken))


def _in_order(group: list[Record], order: str | None) -> list[Record]:
    """The rows by their number or time, where each has one; else as they stand."""
    values = [fields.get(order) for _, fields in group] if order else []
    for key in (_number, _moment):
        keys: list[Any] = [key(value) for value in values]
        if keys and None not in keys:
            ordered = sorted(zip(keys, group, strict=True), key=lambda pair: pair[0])
            return [record for _, record in ordered]
    return group


def _moment(value: Any) -> tuple[str, ...] | None:
    """A date with or without a time, in a form that can be compared; None where the day may be the month."""
    text = str(value)
    if found := re.match(r"(\d{4})[-/.](\d\d?)[-/.](\d\d?)(.*)", text, re.DOTALL):
        year, month, day, time = found.groups()
    elif found := re.match(r"(\d\d?)\.(\d\d?)\.(\d{4})(.*)", text, re.DOTALL):
        day, month, year, time = found.groups()
    elif found := re.match(r"()()()(\d\d?:\d\d.*)", text, re.DOTALL):
        year, month, day, time = found.groups()
    else:
        return None
    return (year, month.zfill(2), day.zfill(2), re.sub(r"\b(\d):", r"0\1:", time))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _paths(rows: Sequence[Record], columns: TurnColumns) -> list[list[Record]]:
    """From each first turn to each last one; where replies are ranked, only the best is followed."""
    assert columns.parent
    assert columns.identity
    known = {str(fields.get(columns.identity)): record for record in rows for fields in [record[1]]}
    replies: dict[str, list[Record]] = {}
    roots = []
    for record in rows:
        before = record[1].get(columns.parent)
        if before in (None, "") or str(before) not in known:
            roots.append(record)
        else:
            replies.setdefault(str(before), []).append(record)
    paths: list[list[Record]] = []
    waiting = [[root] for root in reversed(roots)]
    while waiting:
        path = waiting.pop()
        following = replies.get(str(path[-1][1].get(columns.identity)), [])
        ranks = [_number(fields.get(columns.rank)) for _, fields in following] if columns.rank else []
        if ranks and None not in ranks:
            best = min(rank for rank in ranks if rank is not None)
            following = [record for record, rank in zip(following, ranks, strict=True) if rank == best][:1]
        if not following or len(path) > len(rows):
            paths.append(path)
        waiting += [[*path, reply] for reply in reversed(following)]
    seen: dict[tuple[int, ...], list[Record]] = {}
    for path in paths:  # two questions after one answer leave the same conversation
        while len(path) > 1 and _role(str(path[-1][1].get(columns.speaker, ""))) == "user":
            path = path[:-1]
        seen.setdefault(tuple(row for row, _ in path), path)
    return list(seen.values())


def _conversation(
    group: Sequence[Record], number: int, columns: TurnColumns, marks: dict[str, str], lost: Sequence[int]
) -> Record | Refusal:
    first, last = min(row for row, _ in group), max(row for row, _ in group)
    at = bisect_left(lost, first)
    if gap := next((row for row in lost[at : at + 1] if row <= last), None):
        return Refusal(number, f"a turn of this conversation, in row {gap}, cannot be read")
    for row, fields in group if marks else ():
        if reason := Exclusions().reason(row, fields, marks):
            return Refusal(number, f"a turn of this conversation, in row {row}, {reason}")
    return number, {"messages": list(_turns(group, columns))}


def _turns(group: Sequence[Record], columns: TurnColumns) -> Iterator[dict[str, Any]]:
    for _, fields in group:
        speaker = fields.get(columns.speaker)
        marks = {key: fields[key] for key in fields if key.casefold() in _TURN}
        role = _role(str(speaker)) or speaker
        yield {**marks, "role": role, "content": fields.get(columns.said)}


def joined(
    conversations: Sequence[Conversation], lost: Iterable[int], key: str, order: str | None
) -> tuple[list[Conversation], list[Refusal]]:
    """Return rows of question and answer as longer conversations, those with the same `key` in one.

    Instructions to the assistant are those of the first row. A conversation of which a row is `lost` is
    refused: what comes after it would rest on what nobody said.
    """
    groups: dict[Any, list[Conversation]] = {}
    for row in conversations:
        groups.setdefault(str(row.extra.get(key, f"row {row.row}")), []).append(row)
    whole: list[Conversation] = []
    refused: list[Refusal] = []
    lost = sorted(lost)
    for group in groups.values():
        by_row = {row.row: row for row in group}
        first, last = min(by_row), max(by_row)
        ordered = [by_row[number] for number, _ in _in_order([(row.row, row.extra) for row in group], order)]
        at = bisect_left(lost, first)
        if gap := next((row for row in lost[at : at + 1] if row < last), None):
            refused.append(Refusal(first, f"a turn of this conversation, in row {gap}, is left out"))
        elif len(group) == 1:
            whole.append(group[0])
        else:
            later = (turn for row in ordered[1:] for turn in row.turns if turn.role != "system")
            whole.append(replace(ordered[0], turns=(*ordered[0].turns, *later), row=first))
    return whole, refused
