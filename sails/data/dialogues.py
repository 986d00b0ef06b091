"""Records that have one turn each, as conversations: turns of one conversation are put together.

What belongs together is said by a column (`conversation_id`, `thread`, …), by the turn before (`parent_id`),
by turn numbers that begin again, or by blank rows. Without any of these the turns are one conversation, if
user and assistant take turns in it throughout; else they are refused, for nobody can tell where one ends.

Rows of question and answer are put together by `follow_ups` and `joined`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, pairwise
from typing import Any

from sails.data import column_names
from sails.data.columns import (
    ColumnMapping,
    TurnColumns,
    recognise,
    reply_columns,
    turn_columns,
)
from sails.data.conversation import Conversation, Turn
from sails.data.exclusions import Exclusions
from sails.data.formats.messengers import assistant_needed
from sails.data.formats.source import Record, Refusal, Source
from sails.data.formats.text_encoding import printable
from sails.data.speakers import role_of, speaker_role
from sails.data.turns import TURN_MARKS, Remark, RowRefused, Spoken, is_blank, pair_turns, without_empty
from sails.errors import ConversationFileError
from sails.system import count

SAMPLE = 1000  # rows by which it is seen whether a table holds turns
_HALF_DAY = re.compile(r"(\d\d?)(:\d\d(?::\d\d)?)\s*([AaPp])\.?\s?[Mm]\b")
MAX_SPEAKERS = 8  # more different ones, and it is a table of something else


def as_dialogues(source: Source, name: str, assistant: str | None) -> tuple[Source, TurnColumns | None]:
    """Return turns as a source that has conversations in a column `messages`; any other as it is.

    `assistant` is whoever gives the answers among people who speak under their own names. Raises
    ConversationFileError for turns of several conversations that nobody can tell apart, and of this kind
    AssistantNeededError where it must be told who is the assistant.
    """
    records, first = _begun(source.records)
    fields = first if isinstance(first, dict) else {}
    columns = turn_columns(source.columns or fields)
    if columns is None or _holds_chat(fields, columns):
        return replace(source, records=records), None
    everything = list(records)
    rows: list[Record] = []
    refused: list[Refusal] = []
    for record in everything:
        if isinstance(record, Refusal):
            refused.append(record)
        elif isinstance(record[1], dict) and (source.columns or columns.speaker in record[1]):
            rows.append(record)
        else:
            refused.append(Refusal(record[0], "is not a turn with a speaker and a text, as the others are"))
    notes = source.notes
    if source.columns:
        filled = [(row, without_empty(fields)) for row, fields in rows]
        emptied = sum(after is not before for (_, after), (_, before) in zip(filled, rows, strict=True))
        notes += (f"{Remark.EMPTY} in {count(emptied, 'row')}.",) if emptied else ()
        rows = filled
    else:
        found = turn_columns(dict.fromkeys(key for keys in {tuple(f): 0 for _, f in rows} for key in keys))
        columns = replace(found or columns, speaker=columns.speaker, said=columns.said)
    said = Counter(_speaker(fields, columns) for _, fields in rows[:SAMPLE])
    said.pop("", None)
    people = [person for person, _ in said.most_common()]
    roles = {person: speaker_role(person, assistant) for person in people}
    known = sum(number for person, number in said.items() if roles[person])
    if assistant is not None and "assistant" not in roles.values():
        raise assistant_needed(name, people, assistant)
    if len(people) > 1 and set(roles.values()) in ({"assistant", None}, {"assistant", "system", None}):
        raise assistant_needed(name, people, assistant)  # somebody of an unknown name asks, or two answer
    if source.columns and ("assistant" not in roles.values() or known < 0.5 * said.total()):
        if 1 < len(said) <= MAX_SPEAKERS and len(rows) > len(said):
            raise assistant_needed(name, people, assistant)
        return replace(source, records=everything), None
    ids = [fields.get(columns.identity) for _, fields in rows] if columns.identity else []
    if not columns.dialogue and not columns.parent and len(set(map(str, ids))) < len(ids):
        columns = replace(columns, dialogue=columns.identity)  # not one for each turn
    turns = _Turns(columns, assistant, sorted(refusal.row for refusal in refused))
    groups, how = turns.groups(rows, name)
    taken: set[int] = set()
    conversations = []
    for group in groups:
        begins = min(row for row, _ in group)
        number = group[-1][0] if begins in taken else begins  # branches of one tree begin in the same row
        taken.add(number)
        conversations.append(turns.conversation(group, number))
    every = sorted(
        [*conversations, *refused],
        key=lambda record: record.row if isinstance(record, Refusal) else record[0],
    )
    told = f"{count(len(rows), 'row')} with one turn each became {count(len(groups), 'conversation')}: {how}."
    unusual = [f"“{printable(s)}” as the {r}" for s, r in roles.items() if r != role_of(s) and r]
    notes += (told, *([f"Taken are {' and '.join(unusual)}."] if unusual and assistant is None else []))
    return replace(source, records=every, notes=notes), columns


def _begun(records: Iterable[Record | Refusal]) -> tuple[Iterable[Record | Refusal], Any]:
    """The records, and the fields of the first one that can be read."""
    waiting = iter(records)
    first: list[Record | Refusal] = []
    for record in waiting:
        first.append(record)
        if not isinstance(record, Refusal):
            return chain(first, waiting), record[1]
    return first, None


def _holds_chat(fields: dict[str, Any], columns: TurnColumns) -> bool:
    """Tell whether a record holds a whole chat after all: a list of turns, or lists as its columns."""
    speaker = fields.get(columns.speaker, "")
    chats = [value for name, value in fields.items() if name in _chat_names(tuple(fields))]
    is_chat = any(isinstance(v, list | dict) or (isinstance(v, str) and v.lstrip()[:1] == "[") for v in chats)
    return is_chat or not isinstance(speaker, str | dict)


@cache
def _chat_names(columns: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name for name in columns if column_names.is_named(name, column_names.CHAT))


def _speaker(fields: dict[str, Any], columns: TurnColumns) -> str:
    speaker = fields.get(columns.speaker)
    if isinstance(speaker, dict):  # {"author": {"name": …}}
        speaker = speaker.get("role") or speaker.get("name")
    return str(speaker).strip() if speaker is not None else ""


@dataclass(frozen=True)
class _Turns:
    """How single turns are told apart and put together."""

    columns: TurnColumns
    assistant: str | None
    lost: Sequence[int]  # rows that cannot be read

    def role(self, fields: dict[str, Any]) -> str | None:
        return speaker_role(_speaker(fields, self.columns), self.assistant)

    def groups(self, rows: Sequence[Record], name: str) -> tuple[list[list[Record]], str]:
        """The rows of each conversation, in the order of its turns, and how they were told apart."""
        columns = self.columns
        if columns.parent and columns.identity and any(_is_id(f.get(columns.parent)) for _, f in rows):
            ranked = any(_number(fields.get(columns.rank)) is not None for _, fields in rows)
            best = f"; of several replies the best is taken, by “{columns.rank}”" if ranked else ""
            return self._paths(rows), f"each turn follows the one that “{columns.parent}” names{best}"
        key = columns.dialogue or (columns.parent if not columns.identity else None)
        if key:
            groups: dict[Any, list[Record]] = {}
            for record in rows:
                value = record[1].get(key)
                groups.setdefault(str(value) if _is_id(value) else None, []).append(record)
            return [_in_order(group, columns.order) for group in groups.values()], (
                f"those with the same “{key}”"
            )
        read = [_number(fields.get(columns.order)) for _, fields in rows] if columns.order else []
        numbers = [number for number in read if number is not None]
        if numbers and len(numbers) == len(rows) and _restarts(numbers):
            begins = [0, *(n for n in range(1, len(rows)) if numbers[n] <= numbers[n - 1])]
            return _cut(rows, begins), f"a new one begins where “{columns.order}” begins again"
        begins = [0, *(n for n in range(1, len(rows)) if rows[n][0] > rows[n - 1][0] + 1)]
        between = [_in_order(group, columns.order) for group in _cut(rows, begins)]
        if all(map(self._takes_turns, between)):
            how = "blank rows stand between them" if len(begins) > 1 else "no column says where one ends"
            return between, how
        raise ConversationFileError(
            f"{name} has one turn in each row, and no column says which turns belong to one conversation.",
            "Add a column “conversation_id” with the same value in all turns of a conversation.",
        )

    def _takes_turns(self, group: Sequence[Record]) -> bool:
        spoken = [self.role(fields) for _, fields in group]
        if None in spoken or "tool" in spoken:
            return True  # refused, with the reason, when the conversation is read
        spoken = spoken[spoken[:1] == ["system"] :]
        spoken = spoken[spoken[:1] == ["assistant"] :]  # a greeting
        return all(role == ("user", "assistant")[n % 2] for n, role in enumerate(spoken))

    def _paths(self, rows: Sequence[Record]) -> list[list[Record]]:
        """From each first turn to each last one; where replies are ranked, only the best is followed."""
        parent, identity = str(self.columns.parent), str(self.columns.identity)
        known = {str(fields.get(identity)) for _, fields in rows}
        replies: dict[str, list[Record]] = {}
        roots = []
        for record in rows:
            before = record[1].get(parent)
            if not _is_id(before) or str(before) not in known or str(before) == str(record[1].get(identity)):
                roots.append(record)
            else:
                replies.setdefault(str(before), []).append(record)
        paths: list[list[Record]] = []
        waiting = [[root] for root in reversed(roots)]
        while waiting:
            path = waiting.pop()
            following = self._best(replies.get(str(path[-1][1].get(identity)), []))
            if not following or len(path) > len(rows):
                paths.append(path)
            else:
                waiting += [[*path, reply] for reply in reversed(following)]
        seen: dict[tuple[int, ...], list[Record]] = {}
        for path in paths:  # two questions after one answer leave the same conversation
            while len(path) > 1 and self.role(path[-1][1]) == "user":
                path = path[:-1]
            seen.setdefault(tuple(row for row, _ in path), path)
        return list(seen.values())

    def _best(self, replies: list[Record]) -> list[Record]:
        """The replies that are followed: of several that are ranked the best one, of others each."""
        if len(replies) < 2:
            return replies
        marks = self._marks(replies[0][1])
        kept = [reply for reply in replies if not Exclusions().reason(reply[0], reply[1], marks)] or replies
        ranks = [_number(fields.get(self.columns.rank)) if self.columns.rank else None for _, fields in kept]
        ranked = [rank for rank in ranks if rank is not None]
        return [kept[ranks.index(min(ranked))]] if ranked else kept

    def _marks(self, fields: dict[str, Any]) -> dict[str, str]:
        return _marks_of(tuple(fields), self.columns)

    def conversation(self, group: Sequence[Record], number: int) -> Record | Refusal:
        """The turns with what is known of the first one beside them, as a conversation's own fields."""
        first, last = min(row for row, _ in group), max(row for row, _ in group)
        at = bisect_left(self.lost, first)
        if gap := next((row for row in self.lost[at : at + 1] if row <= last), None):
            return Refusal(number, f"a turn of this conversation, in row {gap}, cannot be read")
        for row, fields in group:
            marks = self._marks(fields)
            if marks and (reason := Exclusions().reason(row, fields, marks)):
                return Refusal(number, f"a turn of this conversation, in row {row}, {reason}")
        spoken = {self.columns.speaker, self.columns.said, *_kept(tuple(group[0][1]))}
        others = {key: value for key, value in group[0][1].items() if key not in spoken}
        return number, others | {"messages": list(self._turns(group))}

    def _turns(self, group: Sequence[Record]) -> Iterator[dict[str, Any]]:
        for _, fields in group:
            speaker = _speaker(fields, self.columns)
            marks = {key.casefold(): fields[key] for key in _kept(tuple(fields))}
            role = speaker_role(speaker, self.assistant) or speaker
            yield {**marks, "role": role, "content": fields.get(self.columns.said)}


@cache
def _kept(columns: tuple[str, ...]) -> tuple[str, ...]:
    """What `chat_turns` knows of a turn."""
    return tuple(column for column in columns if column.casefold() in TURN_MARKS)


@cache
def _marks_of(columns: tuple[str, ...], turns: TurnColumns) -> dict[str, str]:
    return Exclusions.columns(columns, (turns.speaker, turns.said, *_kept(columns)))


def _restarts(numbers: Sequence[float]) -> bool:
    """Numbers that begin again with the first one."""
    drops = [later for before, later in pairwise(numbers) if later <= before]
    return set(drops) == {numbers[0]}


def _cut(rows: Sequence[Record], begins: Sequence[int]) -> list[list[Record]]:
    return [list(rows[start:end]) for start, end in zip(begins, [*begins[1:], len(rows)], strict=True)]


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
    if halved := _HALF_DAY.search(time):
        hour = int(halved[1]) % 12 + (12 if halved[3] in "pP" else 0)
        time = f"{hour:02}{halved[2]}"
    return (year, month.zfill(2), day.zfill(2), re.sub(r"\b(\d):", r"0\1:", time))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number == number else None


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int | float) and value not in ("", "None", "null") and value == value


def follow_ups(source: Source, mapping: ColumnMapping | None) -> Source:
    """Return rows of question and answer with what was said before them as their `history`.

    A row names the one that it replies to (`id` and `parent_id`). Earlier answers are read there, as they are
    learned in rows of their own.
    """
    records, first = _begun(source.records)
    columns = source.columns or (tuple(map(str, first)) if isinstance(first, dict) else ())
    mapping = mapping.within(columns) if mapping else recognise(columns).mapping
    own, parent = reply_columns(columns)
    if mapping is None or own is None or parent is None or mapping.history or "history" in columns:
        return replace(source, records=records)
    rows = list(records)
    numbered = [row for row in rows if not isinstance(row, Refusal) and isinstance(row[1], dict)]
    by_id = {str(fields.get(own)): fields for _, fields in numbered}
    before: dict[int, dict[str, Any]] = {}  # by the row that follows
    for _, fields in numbered:
        above = by_id.get(str(fields.get(parent))) if _is_id(fields.get(parent)) else None
        if above is not None and above is not fields:
            before[id(fields)] = above
    said = {id(above): _spoken(above, mapping) for above in before.values()}
    earlier = [(fields, _history(fields, before, said)) for _, fields in numbered]
    for fields, history in earlier:
        if history:  # turns are read once, whichever rows follow them
            clean = all(isinstance(turn, Turn) for turn in history)
            fields["history"] = tuple(history) if clean else history
    note = f"Rows follow those that they reply to, by “{parent}”."
    notes = (*source.notes, note) if before else source.notes
    columns = (*source.columns, "history") if source.columns and before else source.columns
    return replace(source, records=rows, notes=notes, columns=columns)


def _spoken(fields: dict[str, Any], mapping: ColumnMapping) -> tuple[Turn | Spoken, Turn | Spoken]:
    """The question and the answer of an earlier row, which is read there and learned in its own."""
    with suppress(RowRefused):  # the rows that follow it are refused for the same reason
        question, answered = pair_turns(without_empty(fields), mapping, set())
        return question, replace(answered, learned=False)
    asked = [str(fields[c]) for c in mapping.asked if not is_blank(fields.get(c))]
    answer = Spoken("assistant", fields.get(mapping.output), learned=False)
    return Spoken("user", "\n\n".join(asked)), answer


def _history(
    fields: dict[str, Any],
    before: dict[int, dict[str, Any]],
    said: dict[int, tuple[Turn | Spoken, Turn | Spoken]],
) -> list[Turn | Spoken]:
    """The turns before a row, the nearest last."""
    above: dict[int, None] = {}  # from the nearest on; a circle ends where it began
    row = before.get(id(fields))
    while row is not None and id(row) not in above:
        above[id(row)] = None
        row = before.get(id(row))
    return [turn for one in reversed(above) for turn in said[one]]


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
