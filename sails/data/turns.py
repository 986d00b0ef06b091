"""One record as turns: texts made clean, speakers put into our three roles, or the reason why not.

Nothing is repaired by guessing. Rows that call tools are refused: the answer rests on what the tool
returned, and taught without it a model learns to make such things up.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sails.data.columns import ColumnMapping
from sails.data.conversation import Turn
from sails.data.formats.source import Unshown
from sails.data.formats.text_encoding import HALF_CHARACTERS, printable


class RowRefused(Exception):
    """A row cannot be used; the text says why, in a few plain words."""


class UnknownSpeaker(RowRefused):
    """Nobody said which of the people who speak in a row is the assistant; `people` are their names."""

    def __init__(self, reason: str, people: Iterable[str]) -> None:
        super().__init__(reason)
        self.people = tuple(dict.fromkeys(people))


class Remark(StrEnum):
    """A change made to a row on the way in, worded to be counted: “… in 3 rows”."""

    CONTROLS = "Control characters were removed"
    TRAILING = "A last turn without an answer was left out"
    EMPTY = "Cells that hold only “nan”, “None”, “#N/A” or the like were read as empty"
    GREETING = "What the assistant said before any question was left out"
    MERGED = "Turns of one speaker that follow each other were joined"
    INSTRUCTED = "A system turn in the middle was joined to the question beside it"
    THOUGHTS = "Thoughts (reasoning) were left out; the answers are taught"
    UNLEARNED = "Some answers are read and not learned"
    FILES = "Attached files were not read"
    BRANCHES = "Of several replies the best or latest was taken, and what follows it"
    CHOSEN = "The preferred answer was taken; the rejected one is not taught"
    MARKUP = "The turns were told apart by the signs of a chat inside the text"
    BY_TURNS = "Texts without a speaker were taken as user and assistant by turns"
    EARLIER = "Earlier turns were put before the question"
    SYSTEM = "Instructions that stand beside the turns became the system turn"
    CHOICES = "The choices were put below the question"
    CONTEXT = "A passage that stands beside a chat was put below its first question"
    FIRST_ANSWER = "Of several answers the first was taken"
    TOOLS = "Tools are called, which cannot be taught; refused"


ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer", "client", "you", "you said"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai"), "assistant"),
    **dict.fromkeys(("agent", "claude", "chatgpt said"), "assistant"),
    **dict.fromkeys(("tool", "tool_call", "tool_response", "tool_result"), "tool"),
    **dict.fromkeys(("function", "function_call", "observation", "ipython"), "tool"),
}
SPEAKER_KEYS = ("role", "from", "speaker", "sender", "author", "sender_name", "username", "participant")
TEXT_KEYS = ("content", "value", "text", "message", "parts", "utterance", "body")
_THOUGHT_KEYS = frozenset({"reasoning_content", "thinking", "reasoning", "thought", "thoughts"})
_THOUGHT_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_TOOL_PARTS = frozenset({"tool_use", "tool_result", "tool_call", "function_call", "functioncall"})
_LEARNED_KEYS = ("weight", "train", "loss", "learn", "trainable")  # a false one: read only
TURN_MARKS = frozenset(
    {*_LEARNED_KEYS, *_THOUGHT_KEYS, "tool_calls", "function_call", "attachments", "files"}
)
# What programs write for no value.
_EMPTY = frozenset(
    {"nan", "NaN", "NULL", "null", "None", "<NA>", "NaT", "#N/A", "#REF!", "#VALUE!", "#NAME?"}
)
_NO = frozenset({"false", "no", "0", "0.0", "n"})
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BLANK_LINES_FIRST = re.compile(r"\A(?:[^\S\n]*\n)+")


def pair_turns(fields: dict[str, Any], mapping: ColumnMapping, remarks: set[Remark]) -> tuple[Turn, Turn]:
    """Make question and answer from their columns.

    Instruction, question and context that are not empty become one question, each a paragraph of its own.
    Raises RowRefused, and adds to `remarks`; so does `chat_turns`.
    """
    filled = [column for column in mapping.asked if not is_blank(fields.get(column))]
    parts = [_text(fields.get(c), f"the question (“{c}”)", remarks) for c in filled or [mapping.input]]
    answer = _text(fields.get(mapping.output), f"the answer (“{mapping.output}”)", remarks)
    return Turn("user", "\n\n".join(parts)), Turn("assistant", answer)


class Spoken(NamedTuple):
    """A turn as the file has it."""

    role: str
    content: Any
    learned: bool = True
    speaker: str = ""  # as the file names them


def chat_turns(
    items: Sequence[Any], remarks: set[Remark], assistant: str | None = None, system: Sequence[str] = ()
) -> tuple[Turn, ...]:
    """Return a list of turns: an optional system turn, then user and assistant by turns, an answer last.

    What does not come in this order is joined to what stands beside it or left out, and said. `assistant`
    is the name of the assistant among people who speak under their own names; `system` are instructions
    that stand beside the turns.
    """
    spoken = [_speaker(item, position, remarks, assistant) for position, item in enumerate(items, 1)]
    _require_roles(spoken, assistant)
    if any(turn.role == "tool" for turn in spoken):
        remarks.add(Remark.TOOLS)
        raise RowRefused("calls a tool, which cannot be taught")
    answered = len(spoken)
    while answered and spoken[answered - 1].role != "assistant":
        answered -= 1
    if not all(is_blank(turn.content) for turn in spoken[answered:]):
        remarks.add(Remark.TRAILING)
    instructions, turns, previous = list(system), list[Turn](), ""
    for position, (role, content, learned, _) in enumerate(spoken[:answered], 1):
        if role == "system" and is_blank(content):
            continue
        text = _text(content, "the system turn" if role == "system" else f"turn {position}", remarks)
        if role == "system" and not turns:
            instructions += [text] if text not in instructions else []
        elif role == "assistant" and not turns:
            remarks.add(Remark.GREETING)
        else:
            if role in ("system", previous):
                remarks.add(Remark.INSTRUCTED if role == "system" else Remark.MERGED)
            _append(turns, Turn(role, text, learned) if role == "assistant" else Turn("user", text))
            previous = role
    if not turns or turns[-1].role != "assistant":
        raise RowRefused(
            "holds no answer" if any(turn.role == "user" for turn in spoken) else "holds no question"
        )
    if not all(turn.learned for turn in turns):
        if not any(turn.learned for turn in turns if turn.role == "assistant"):
            raise RowRefused("marks every answer as not to be learned")
        remarks.add(Remark.UNLEARNED)
    if instructions:
        turns.insert(0, Turn("system", "\n\n".join(instructions)))
    return tuple(turns)


def _append(turns: list[Turn], turn: Turn) -> None:
    """Add a turn, joined to the one before where both are of one role."""
    if turns and turns[-1].role == turn.role:
        before = turns.pop()
        turn = Turn(turn.role, f"{before.content}\n\n{turn.content}", before.learned and turn.learned)
    turns.append(turn)


def _require_roles(spoken: Sequence[Spoken], assistant: str | None) -> None:
    people = [printable(turn.speaker) for turn in spoken]
    for position, turn in enumerate(spoken, 1):
        if not turn.role:
            unknown = f"turn {position} has the unknown role “{printable(turn.speaker)[:40]}”"
            raise UnknownSpeaker(unknown, people)
    if assistant is not None and spoken and "assistant" not in {turn.role for turn in spoken}:
        raise UnknownSpeaker(f"holds nothing that “{printable(assistant)[:40]}” said", people)


def by_turns(texts: Sequence[Any]) -> list[dict[str, Any]]:
    """Return texts without a speaker as turns: the user begins."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def is_turn(item: Any) -> bool:
    """Tell whether a record is what one speaker said: it has a speaker and a text."""
    return isinstance(item, dict) and speaker_key(item) is not None and text_key(item) is not None


def turn_of(item: Any) -> dict[str, Any] | None:
    """Return a turn as LangChain has it ({"type": "human", "data": {…}}) or as a pair; None for others."""
    if isinstance(item, list | tuple) and len(item) == 2 and role_of(item[0]):
        return {"role": item[0], "content": item[1]}
    if isinstance(item, dict) and role_of(item.get("type")) and speaker_key(item) is None:
        data = item.get("data")
        content = data.get("content") if isinstance(data, dict) else item.get("content")
        calls = item.get("tool_calls") or (data.get("tool_calls") if isinstance(data, dict) else None)
        return {"role": item["type"], "content": content, "tool_calls": calls}
    return None


def speaker_key(item: dict[str, Any]) -> str | None:
    """Return the key of a turn's speaker."""
    return _key(item, SPEAKER_KEYS)


def text_key(item: dict[str, Any]) -> str | None:
    """Return the key of what was said in a turn."""
    return _key(item, TEXT_KEYS)


def _key(item: dict[str, Any], known: Iterable[str]) -> str | None:
    for name in known:
        if name in item:
            return name
    spelled = {str(name).strip().casefold(): name for name in item}
    return next((spelled[name] for name in known if name in spelled), None)


def role_of(name: Any) -> str | None:
    """Return `system`, `user`, `assistant` or `tool` for a known name of a speaker."""
    return ROLES.get(name.strip().casefold().rstrip(":")) if isinstance(name, str) else None


def is_no(value: Any) -> bool:
    """Tell whether a mark is false, as a truth value, a number or a word."""
    if isinstance(value, str):
        return value.strip().casefold() in _NO
    return value is False or (isinstance(value, int | float) and value == 0)


def is_blank(value: Any) -> bool:
    """Tell whether a value is missing: nothing, not a number, or white space."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def without_empty(cells: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of a row without those that say that they are empty; the same row where none does."""
    if not any(isinstance(value, str) and value in _EMPTY for value in cells.values()):
        return cells
    return {name: cell for name, cell in cells.items() if not (isinstance(cell, str) and cell in _EMPTY)}


def first_answer(value: Any, remarks: set[Remark]) -> Any:
    """Return the answer of a list of them, as SQuAD has it: {"text": ["…"]}, or ["…"].

    Raises RowRefused for none, and for several that are not variants of one.
    """
    is_squad = isinstance(value, dict) and isinstance(value.get("text"), list)
    found = value["text"] if is_squad else value
    if not isinstance(found, list):
        return value
    found = [one.get("text") if isinstance(one, dict) else one for one in found]
    if not found:
        raise RowRefused("has no answer: the file marks the question as one that cannot be answered")
    if len(set(map(str, found))) > 1:
        if not is_squad:
            raise RowRefused(f"has {len(found)} answers; keep the one that is to be taught")
        remarks.add(Remark.FIRST_ANSWER)
    return found[0]


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


def trimmed(text: str) -> str:
    """Return a text without space around it, but with the indent of its first line where it may be code.

    Of several lines two spaces are an indent, of one line four; one alone stands before many a completion.
    """
    stripped = text.strip()
    indented = _BLANK_LINES_FIRST.sub("", text.rstrip())
    indent = "  " if "\n" in stripped else "    "
    return indented if indented.startswith((indent, "\t")) else stripped


def kind(value: Any) -> str:
    """Name in a word what something is that should have been something else."""
    names = {dict: "a record", list: "a list", str: "a text", type(None): "empty", bytes: "binary data"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "of an unknown kind")


def _speaker(item: Any, position: int, remarks: set[Remark], assistant: str | None) -> Spoken:
    if not isinstance(item, dict):
        raise RowRefused(f"turn {position} is {kind(item)}, not a record with a role and a text")
    named = item.get("role") or item.get("from")
    if not isinstance(named, str):
        key = speaker_key(item)
        named = item[key] if key else None
        if isinstance(named, dict):  # {"author": {"name": …}}
            named = named.get("role") or named.get("name")
    if not isinstance(named, str):
        raise RowRefused(f"turn {position} has no role")
    if assistant is not None and named.strip().casefold() == assistant.strip().casefold():
        role = "assistant"
    else:
        role = role_of(named) or ("user" if assistant is not None else "")
        if assistant is not None and role == "assistant":
            role = "user"
    if item.get("tool_calls") or item.get("function_call"):
        role = "tool"
    learned = True
    for key in item:
        if key in _LEARNED_KEYS and item[key] is not None and is_no(item[key]):
            learned = False
        elif key in _THOUGHT_KEYS and not is_blank(item[key]):
            remarks.add(Remark.THOUGHTS)
        elif key in ("attachments", "files") and item[key]:
            remarks.add(Remark.FILES)
    key = text_key(item)
    content = item[key] if key else None
    if isinstance(content, dict):
        content = content.get("parts", content.get("text", content.get("body", content)))
    if isinstance(content, list):
        if any(_part_kind(part) in _TOOL_PARTS for part in content):
            role = "tool"
        else:
            content = _joined(content, position, remarks)
    return Spoken(role, content, learned, named.strip())


def _joined(parts: list[Any], position: int, remarks: set[Remark]) -> str:
    """The text of a message that is made of parts, as chat services export it."""
    texts = []
    for part in parts:
        if _part_kind(part) in _THOUGHT_PARTS or (isinstance(part, dict) and part.get("thought") is True):
            remarks.add(Remark.THOUGHTS)
            continue
        text = part.get("text") if isinstance(part, dict) else part
        text = text.get("value") if isinstance(text, dict) else text
        if not isinstance(text, str):
            raise RowRefused(f"turn {position} holds something that is not text")
        texts.append(text)
    return "".join(texts)


def _part_kind(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    named = part.get("type")
    if isinstance(named, str):
        return named
    return next((key.casefold() for key in part if str(key).casefold() in _TOOL_PARTS), "")


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
    text = trimmed(text)
    if not text:
        raise RowRefused(f"{where} is empty")
    return text


def _written(value: Any) -> str | None:
    """A text, number or date as a person writes it; empty for what is missing, None for the rest."""
    if isinstance(value, str):
        return value
    if is_blank(value):
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value).removesuffix(".0")
    if isinstance(value, decimal.Decimal | datetime.date | datetime.time):
        return str(value).removesuffix(" 00:00:00")
    return None
