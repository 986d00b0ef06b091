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
from sails.data.columns import chat_column, recognise
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
