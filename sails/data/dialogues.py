"""Single turns, one a record, put together as the conversations that they belong to.

Turns belong together by a column that names their conversation (`conversation_id`, `thread`, …), or by
one that names the turn which each replies to (`parent_id`). Turns of several conversations without such a
column are refused: nobody can tell any more where one ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

from sails.data import shapes
from sails.data.columns import ColumnMapping, chat_column, recognise
from sails.data.formats.source import Refusal, Source
from sails.data.turns import Remark, is_turn, role_of, speaker_key
from sails.errors import ConversationFileError

_KINDS = ("conversation", "conv", "dialog", "dialogue", "chat", "thread", "session", "ticket", "call", "case")
_KEYS = (
    *("messagetreeid", "treeid"),
    *(f"{kind}{ending}" for ending in ("id", "number", "no", "nr", "uuid", "ts", "") for kind in _KINDS),
)
_IDS = ("messageid", "msgid", "turnid", "uuid", "id")
_PARENTS = ("parentid", "parentmessageid", "parentuuid", "parent", "replyto", "replytoid", "inreplyto")
_POSITIONS = (
    "turn",
    "turnindex",
    "turnnumber",
    "turnid",
    "turnno",
    "position",
    "order",
    "seq",
    "sequence",
    "utteranceidx",
)

Numbered = tuple[int, dict[str, Any]]


def grouped(source: Source, name: str) -> Source:
    """Return a source whose records are conversations; one whose records are turns has them put together.

    Raises ConversationFileError where the turns are of several conversations and nothing says of which.
    """
    records = iter(source.records)
    first = list[Any]()
    for record in records:
        first.append(record)
        if not isinstance(record, Refusal):
            break
    records = chain(first, records)
    if not first or isinstance(first[-1], Refusal) or not _is_single_turn(first[-1][1], source.columns):
        return replace(source, records=records)
    refused: list[Refusal] = []
    turns: list[Numbered] = []
    for record in records:
        if isinstance(record, Refusal):
            refused.append(record)
        elif isinstance(record[1], dict) and speaker_key(record[1]) is not None:
            turns.append(record)
        else:
            refused.append(Refusal(record[0], "is not a turn with a speaker and a text, as the others are"))
    remarks: set[Remark] = set()
    conversations, note = _together(turns, name, remarks)
    notes = (*source.notes, note, *(f"{remark}." for remark in Remark if remark in remarks))
    gathered = [(min(number for number, _ in group), _record(group)) for group in conversations if group]
    return replace(source, records=[*refused, *gathered], columns=(), named_in_file=False, notes=notes)


def _is_single_turn(fields: Any, columns: Sequence[str]) -> bool:
    names = columns or tuple(fields) if isinstance(fields, dict) else ()
    if not is_turn(fields) or recognise(names) or chat_column(names):
        return False
    key = speaker_key(fields)
    return isinstance(fields[key], str | dict)


def follow_ups(source: Source, mapping: ColumnMapping | None) -> Source:
    """Return a source whose rows of question and answer have what was said before them as their `history`.

    A row names the one that it replies to (`id` and `parent_id`), or its conversation and its turn in it.
    Earlier answers are read there, as they are learned in rows of their own.
    """
    records = iter(source.records)
    first = next(records, None)
    fields = first[1] if first is not None and not isinstance(first, Refusal) else None
    records = chain([] if first is None else [first], records)
    names = source.columns or (tuple(map(str, fields)) if isinstance(fields, dict) else ())
    mapping = mapping.within(names) if mapping else recognise(names)
    by_name = {shapes.plain_name(name): name for name in names}
    own, parent, key = (
        next((by_name[name] for name in known if name in by_name), None) for known in (_IDS, _PARENTS, _KEYS)
    )
    position = next((by_name[name] for name in _POSITIONS if name in by_name), None)
    by_reply = own is not None and parent is not None
    if mapping is None or "history" in by_name or not (by_reply or (key and position)):
        return replace(source, records=records)
    rows = list(records)
    numbered = [row for row in rows if not isinstance(row, Refusal) and isinstance(row[1], dict)]
    before: dict[int, dict[str, Any]] = {}  # by the row that follows
    if by_reply:
        by_id = {str(fields.get(own)): fields for _, fields in numbered}
        for _, fields in numbered:
            above = by_id.get(str(fields.get(parent))) if _is_id(fields.get(parent)) else None
            if above is not None and above is not fields:
                before[id(fields)] = above
    else:
        groups: dict[str, list[Numbered]] = {}
        for row in numbered:
            groups.setdefault(str(row[1].get(key)), []).append(row)
        for group in groups.values():
            in_order = _in_order(group, by_name)
            before |= {id(after): above for (_, above), (_, after) in pairwise(in_order)}
    for _, fields in numbered:
        if history := _history(fields, before, mapping):
            fields["history"] = history
    note = f"Rows follow those that they reply to, by “{parent if by_reply else key}”."
    notes = (*source.notes, note) if before else source.notes
    columns = (*source.columns, "history") if source.columns and before else source.columns
    return replace(source, records=rows, notes=notes, columns=columns)


def _history(
    fields: dict[str, Any], before: dict[int, dict[str, Any]], mapping: ColumnMapping
) -> list[dict[str, Any]]:
    """The turns before a row, the nearest last; answers are marked as read only."""
    turns: list[dict[str, Any]] = []
    above = before.get(id(fields))
    seen: set[int] = set()
    while above is not None and id(above) not in seen:
        seen.add(id(above))
        answer = {"role": "assistant", "content": above.get(mapping.output), "weight": 0}
        turns = [{"role": "user", "content": above.get(mapping.input)}, answer, *turns]
        above = before.get(id(above))
    return turns


def _together(turns: list[Numbered], name: str, remarks: set[Remark]) -> tuple[list[list[Numbered]], str]:
    by_name = {shapes.plain_name(key): key for _, fields in turns for key in fields}
    key = next((by_name[known] for known in _KEYS if known in by_name), None)
    parent = next((by_name[known] for known in _PARENTS if known in by_name), None)
    own = next((by_name[known] for known in _IDS if known in by_name), None)
    if parent and own and any(_is_id(fields.get(parent)) for _, fields in turns):
        return _by_replies(turns, own, parent, remarks), f"Turns were put together by “{own}” and “{parent}”."
    if key is None and parent is not None:
        key = parent
    if key is not None:
        kept = [turn for turn in turns if not turn[1].get("deleted")]
        groups: dict[Any, list[Numbered]] = {}
        for number, fields in kept:
            value = fields.get(key)
            groups.setdefault(str(value) if _is_id(value) else None, []).append((number, fields))
        return [
            _in_order(group, by_name) for group in groups.values()
        ], f"Turns were put together by “{key}”."
    roles = [role_of(fields.get(speaker_key(fields) or "")) for _, fields in turns]
    user_twice = any(pair == ("user", "user") for pair in pairwise(roles))
    if user_twice or roles.count("system") > 1 or "system" in roles[1:]:
        raise ConversationFileError(
            f"The turns in {name} are of several conversations, and no column says which belong together.",
            "Add a column “conversation_id” with the same value for the turns of one conversation.",
        )
    return [_in_order(turns, by_name)], f"All {len(turns):,} turns were read as one conversation."


def _in_order(group: list[Numbered], by_name: dict[str, str]) -> list[Numbered]:
    """The turns of a conversation by their numbers, where they have some."""
    for known in _POSITIONS:
        key = by_name.get(known)
        try:
            numbers = [float(fields[key]) for _, fields in group] if key else []
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if numbers and len(set(numbers)) == len(numbers):
            order = sorted(range(len(group)), key=numbers.__getitem__)
            return [group[n] for n in order]
    return group


def _by_replies(turns: list[Numbered], own: str, parent: str, remarks: set[Remark]) -> list[list[Numbered]]:
    """One conversation for each turn that replies to none: from reply to reply, the best one of several."""
    known = {str(fields.get(own)) for _, fields in turns}
    replies: dict[str, list[dict[str, Any]]] = {}
    numbers: dict[int, int] = {}
    roots: list[Numbered] = []
    for number, fields in turns:
        numbers[id(fields)] = number
        above = fields.get(parent)
        if _is_id(above) and str(above) in known and str(above) != str(fields.get(own)):
            replies.setdefault(str(above), []).append(fields)
        else:
            roots.append((number, fields))
    conversations = []
    for root in roots:
        if root[1].get("deleted"):
            continue
        conversation = [root]
        while len(conversation) <= len(turns):
            below = replies.get(str(conversation[-1][1].get(own)), [])
            best = shapes.best_reply(below, remarks)
            if best is None:
                break
            conversation.append((numbers[id(best)], best))
        conversations.append(conversation)
    return conversations


def _record(group: Iterable[Numbered]) -> dict[str, Any]:
    """The turns with what is known of the first one beside them, as a conversation's own fields."""
    turns = [fields for _, fields in group]
    first = turns[0]
    spoken = {
        "role",
        "content",
        speaker_key(first),
        *(key for key in first if is_turn({"role": "", key: ""})),
    }
    others = {key: value for key, value in first.items() if key not in spoken}
    return {"messages": turns} | others


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int | float) and value not in ("", "None", "null") and value == value
