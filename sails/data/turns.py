"""One record as turns: texts made clean, speakers put into our three roles, or the reason why not.

Nothing is repaired by guessing. Rows that call tools are refused: the answer rests on what the tool
returned, and taught without it a model learns to make such things up.
"""

from __future__ import annotations

import ast
import datetime
import decimal
import json
import math
import re
from enum import StrEnum
from typing import Any

from sails.data.columns import ColumnMapping
from sails.data.conversation import Turn
from sails.data.formats.source import Unshown
from sails.data.formats.text_encoding import HALF_CHARACTERS, printable


class RowRefused(Exception):
    """A row cannot be used; the text says why, in a few plain words."""


class Remark(StrEnum):
    """A change made to a row on the way in, worded to be counted: “… in 3 rows”."""

    CONTROLS = "Control characters were removed"
    TRAILING = "A last turn without an answer was left out"
    EMPTY = "Cells that hold only “nan”, “None”, “#N/A” or the like were read as empty"
    TOOLS = "Tools are called, which cannot be taught; refused"


ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "ai"), "assistant"),
    **dict.fromkeys(("tool", "tool_call", "tool_response", "function", "observation"), "tool"),
}
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BLANK_LINES_FIRST = re.compile(r"\A(?:[^\S\n]*\n)+")


def pair_turns(fields: dict[str, Any], mapping: ColumnMapping, remarks: set[Remark]) -> tuple[Turn, ...]:
    """Make turns from the columns of question and answer and from those that belong to them.

    Instruction, question and context that are not empty become one question, each a paragraph of its own.
    Raises RowRefused, and adds to `remarks`; so does `chat_turns`.
    """
    filled = [column for column in mapping.asked if not _is_blank(fields.get(column))]
    parts = [_text(fields.get(c), f"the question (“{c}”)", remarks) for c in filled or [mapping.input]]
    question = "\n\n".join(parts)
    answer = _text(fields.get(mapping.output), f"the answer (“{mapping.output}”)", remarks)
    last = (Turn("user", question), Turn("assistant", answer))
    system = fields.get(mapping.system) if mapping.system else None
    history = fields.get(mapping.history) if mapping.history else None
    earlier = _earlier(history, f"“{mapping.history}”", remarks) if history not in (None, "") else ()
    if not _is_blank(system):
        earlier = (Turn("system", _text(system, f"“{mapping.system}”", remarks)), *earlier)
    return earlier + last


def _earlier(history: Any, where: str, remarks: set[Remark]) -> tuple[Turn, ...]:
    """The turns before a question: a list of pairs or of turns, in a table as text."""
    items = listed(history)
    if items is None:
        raise RowRefused(f"{where} should hold earlier turns, and is no list of them")
    if items and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in items):
        sides = ("user", "assistant")
        items = [
            {"role": role, "content": text} for pair in items for role, text in zip(sides, pair, strict=True)
        ]
    return chat_turns(items, remarks) if items else ()


def listed(value: Any) -> list[Any] | None:
    """Return a list, also one written in a cell as JSON or as Python does; None for anything else."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            items = read(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return items if isinstance(items, list) else None
    return None


def role_of(name: Any) -> str | None:
    """Return `system`, `user`, `assistant` or `tool` for a known name of a speaker."""
    return ROLES.get(name.strip().casefold().rstrip(":")) if isinstance(name, str) else None


def chat_turns(items: list[Any], remarks: set[Remark]) -> tuple[Turn, ...]:
    """Return a list of turns: an optional system turn, then user and assistant by turns, an answer last."""
    spoken = [_speaker(item, position) for position, item in enumerate(items, 1)]
    if "tool" in (role for role, _ in spoken):
        remarks.add(Remark.TOOLS)
        raise RowRefused("calls a tool, which cannot be taught")
    answered = len(spoken)
    while answered and spoken[answered - 1][0] == "user":
        answered -= 1
    turns: list[Turn] = []
    expected = "user"
    for position, (role, content) in enumerate(spoken[:answered], 1):
        if role == "system" and position == 1:
            if not _is_blank(content):
                turns.append(Turn(role, _text(content, "the system turn", remarks)))
        elif role != expected:
            raise RowRefused(f"turn {position} is by the {role} where one by the {expected} is due")
        else:
            turns.append(Turn(role, _text(content, f"turn {position}", remarks)))
            expected = "assistant" if role == "user" else "user"
    if not turns or turns[-1].role != "assistant":
        raise RowRefused("holds no answer")
    if answered < len(spoken):
        remarks.add(Remark.TRAILING)
    return tuple(turns)


def plain(value: Any) -> Any:
    """Return a kept field as something that JSON can hold and give back."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {printable(str(key)): plain(item) for key, item in value.items()}
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


def kind(value: Any) -> str:
    """Name in a word what something is that should have been something else."""
    names = {dict: "a record", list: "a list", str: "a text", type(None): "empty", bytes: "binary data"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "of an unknown kind")


def _speaker(item: Any, position: int) -> tuple[str, Any]:
    if not isinstance(item, dict):
        raise RowRefused(f"turn {position} is {kind(item)}, not a record with a role and a text")
    named = item.get("role") or item.get("from")
    role = ROLES.get(named.strip().casefold()) if isinstance(named, str) else None
    if role is None:
        unknown = f"the unknown role “{printable(named)[:40]}”" if isinstance(named, str) else "no role"
        raise RowRefused(f"turn {position} has {unknown}")
    if item.get("tool_calls") or item.get("function_call"):
        role = "tool"
    content = item.get("content", item.get("value", item.get("text")))
    if isinstance(content, list):  # made of parts, as chat services export it; only text can be taught
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        written = [text for text in texts if isinstance(text, str)]
        if len(written) < len(content):
            raise RowRefused(f"turn {position} holds something that is not text")
        content = "\n".join(written)
    return role, content


def _text(value: Any, where: str, remarks: set[Remark]) -> str:
    text = _written(value)
    if isinstance(value, Unshown):
        raise RowRefused(f"{where} is {value}")
    if text is None:
        raise RowRefused(f"{where} is {kind(value)}, not text")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _CONTROLS.search(text):
        text = _CONTROLS.sub("", text)
        remarks.add(Remark.CONTROLS)
    if not text.isascii() and HALF_CHARACTERS.search(text):
        raise RowRefused(f"{where} holds broken characters")
    stripped = text.strip()
    if not stripped:
        raise RowRefused(f"{where} is empty")
    # Code may begin indented, and would be wrong if its first line alone were moved.
    return _BLANK_LINES_FIRST.sub("", text.rstrip()) if "\n" in stripped else stripped


def _written(value: Any) -> str | None:
    """A text, number or date as a person writes it; empty for what is missing, None for the rest."""
    if isinstance(value, str):
        return value
    if _is_blank(value):
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value).removesuffix(".0")
    if isinstance(value, decimal.Decimal | datetime.date | datetime.time):
        return str(value).removesuffix(" 00:00:00")
    return None


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))
