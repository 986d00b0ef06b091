"""What stands in a record beside its question and answer, or beside its turns, and belongs to them.

Instructions become the system turn, a history earlier turns, a passage and choices a part of the question.
Whatever is not named here is kept and not taught.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from sails.data import column_names, shapes
from sails.data.column_names import is_named
from sails.data.columns import ColumnMapping, named_as
from sails.data.conversation import Turn
from sails.data.turns import Remark, RowRefused, Spoken, is_blank, kind

_CHOICE = re.compile(r"(?:^|.*[^a-z])([a-f])|.*?(\d)", re.IGNORECASE)  # “A”, “Option B”, “choice_1”
_COUNTED = re.compile(r"\(?([A-Ha-h]|\d)[).]?")  # an answer that only names a choice


class Beside(NamedTuple):
    """The keys of what belongs to the turns; empty where a record has none."""

    system: tuple[str, ...] = ()
    history: str | None = None
    context: str | None = None  # of a chat
    choices: tuple[str, ...] = ()  # lists of them
    choice_columns: tuple[tuple[str, str], ...] = ()  # label and key: (“a”, “Option A”)


def beside_pair(columns: Iterable[str], mapping: ColumnMapping) -> Beside:
    """Return what belongs to a question and its answer in records with these columns."""
    named = [
        column
        for column in columns
        if column not in mapping.columns and is_named(column, column_names.CHOICES)
    ]
    labels = [(_label(column), column) for column in named]
    answers = [column for column in columns if is_named(column, column_names.CHOICES, column_names.ANSWER)]
    labels += [(_label(c), c) for c in answers if _label(c) and c not in (*named, *mapping.columns)]
    apart = tuple(sorted((label, column) for label, column in labels if label))
    return Beside(
        system=(mapping.system,) if mapping.system else (),
        history=mapping.history or None,
        choices=tuple(column for label, column in labels if not label),
        choice_columns=apart if len(apart) > 1 else (),
    )


@cache
def beside_chat(columns: tuple[str, ...], taken: frozenset[str]) -> Beside:
    """Return what belongs to the turns of chats; `taken` are the columns of the turns."""
    free = [column for column in columns if column not in taken]
    systems = named_as("system", free)
    return Beside(
        system=systems + named_as("instruction", (column for column in free if column not in systems)),
        history=next((c for c in free if is_named(c, column_names.HISTORY, column_names.CHAT)), None),
        context=next(iter(named_as("context", free)), None),
    )


def _label(column: str) -> str:
    match = _CHOICE.fullmatch(column.strip().rstrip(":"))
    return (match[1] or match[2]).casefold() if match else ""


def system_of(fields: dict[str, Any], keys: Beside, remarks: set[Remark]) -> list[str]:
    """Return the instructions for the whole conversation."""
    texts = [text for name in keys.system if (text := _system_text(fields.get(name), name))]
    if texts:
        remarks.add(Remark.SYSTEM)
    return list(dict.fromkeys(texts))


def _system_text(value: Any, name: str) -> str:
    if isinstance(value, dict):
        value = value.get("parts", value.get("content", value.get("text", value)))
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n".join(value)
    if isinstance(value, list) and all(isinstance(part, str | dict) for part in value):
        texts = [part.get("text") if isinstance(part, dict) else part for part in value]
        value = "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else value
    if is_blank(value):
        return ""
    if not isinstance(value, str):
        raise RowRefused(f"the instructions (“{name}”) are {kind(value)}, not text")
    return value.strip()


def without_records(keys: Beside, fields: dict[str, Any]) -> Beside:
    """Return the keys without those of a persona that is a record: it has a name and more, and is no text."""
    if not any(isinstance(fields.get(name), dict) for name in keys.system):
        return keys
    is_record = {
        name: isinstance(fields.get(name), dict) and is_named(name, column_names.PERSONA)
        for name in keys.system
    }
    return keys._replace(system=tuple(name for name in keys.system if not is_record[name]))


def history_of(
    fields: dict[str, Any], keys: Beside, remarks: set[Remark]
) -> list[Any] | tuple[Turn, ...] | None:
    """Return the turns before the question, as `chat_turns` takes them; a tuple of those that are clean.

    None for a text that is no chat: a subject, perhaps; it is named as not taught.
    """
    value = fields.get(keys.history) if keys.history else None
    if is_blank(value) or value == []:
        return []
    if isinstance(value, tuple):
        remarks.add(Remark.EARLIER)
        return value
    value = shapes.listed(value)
    items = shapes.marked_text(value, remarks)
    if isinstance(value, list) and all(isinstance(turn, Spoken | Turn) for turn in value):
        items = value
    elif isinstance(value, list):
        pairs = [pair for pair in value if isinstance(pair, list | tuple) and len(pair) == 2]
        if len(pairs) == len(value):
            roles = ("user", "assistant")
            spoken = [zip(roles, pair, strict=True) for pair in pairs]
            items = [
                {"role": role, "content": text}
                for pair in spoken
                for role, text in pair
                if not is_blank(text)
            ]
        else:
            items = shapes.turns_of(value, remarks, texts_too=len(value) % 2 == 0)
    if items is None:
        if isinstance(value, str):
            return None
        raise RowRefused(f"its earlier turns (“{keys.history}”) cannot be read")
    remarks.add(Remark.EARLIER)
    return items


def part_of(fields: dict[str, Any], key: str | None) -> str:
    """Return what stands in a field as a part of a question; empty where there is nothing."""
    value = fields.get(key) if key else None
    if isinstance(value, dict) and isinstance(value.get("contexts"), list):
        value = value["contexts"]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = "\n\n".join(value)
    if is_blank(value) or is_numbers(value):
        return ""
    if not isinstance(value, str | int | float):
        raise RowRefused(f"“{key}” is {kind(value)}, not text")
    return str(value).strip("\r\n").rstrip()


def is_numbers(value: Any) -> bool:
    """Tell whether a value is a list of numbers, as programs keep what a model had in mind."""
    return isinstance(value, list) and all(isinstance(one, int | float) for one in value)


def choices_of(answer: str, fields: dict[str, Any], keys: Beside) -> tuple[list[str], list[str]]:
    """Return the lines of the choices, and their keys.

    Raises RowRefused where the answer only counts them, and nobody says how.
    """
    said = answer.strip().strip("().").casefold()
    for key in keys.choices:
        value = shapes.listed(fields.get(key))
        if isinstance(value, dict) and {"text", "label"} <= set(value):
            value = dict(zip(map(str, value["label"]), value["text"], strict=False))
        if isinstance(value, dict) and all(isinstance(text, str | int | float) for text in value.values()):
            return [f"{label}) {text}" for label, text in value.items()], [key]
        if isinstance(value, list) and value:
            texts = [item.get("text") if isinstance(item, dict) else item for item in value]
            if said not in {str(text).strip().casefold() for text in texts} and len(said) < 3:
                raise _only_counted(answer)
            return [f"- {text}" for text in texts if not is_blank(text)], [key]
        if isinstance(value, str) and said and not is_blank(value):  # “A) red B) blue”, “red; blue”
            if re.search(rf"(?<!\w){re.escape(said)}(?!\w)", value.casefold()):
                return [value.strip()], [key]
            if _COUNTED.fullmatch(answer.strip()):
                raise _only_counted(answer)
    labelled = [(label, fields.get(key)) for label, key in keys.choice_columns]
    filled = [
        (label, text)
        for label, text in labelled
        if isinstance(text, str | int | float) and not is_blank(text)
    ]
    names = {key.strip().casefold() for _, key in keys.choice_columns} | {label for label, _ in filled}
    if said in {str(text).strip().casefold() for _, text in filled} or said in names:
        lines = [f"{label.upper()}) {text}" for label, text in filled]
        return lines, [key for _, key in keys.choice_columns]
    if filled and _COUNTED.fullmatch(answer.strip()):
        raise _only_counted(answer)
    return [], []


def _only_counted(answer: str) -> RowRefused:
    return RowRefused(f"the answer is only “{answer[:20]}”, one of the choices; write its text")
