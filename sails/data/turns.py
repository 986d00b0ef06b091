"""One record as turns: texts made clean, speakers put into our three roles, or the reason why not.

Nothing is repaired by guessing. A row that calls tools keeps the calls and what they returned; where one of
the two is missing it is refused: the answer rests on it, and without it a model learns to make things up.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from sails.data import column_names, exclusions, tool_calls
from sails.data.columns import ColumnMapping
from sails.data.conversation import Turn
from sails.data.formats.source import Unshown
from sails.data.formats.text_encoding import HALF_CHARACTERS, printable
from sails.data.speakers import role_of, speaker_role


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
    WEIGHTS = "Weights other than 0 and 1 were read as 1"
    NAMED = "Speakers who are not called user and assistant were taken as such by their names"
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
    CALLS = "Tools are called, which models learn whose chat template can write it,"
    TOOLS = "Tools are called in a way that cannot be taught; refused"


SPEAKER_KEYS = ("role", "from", "speaker", "sender", "author", "sender_name", "username", "participant")
TEXT_KEYS = ("content", "value", "text", "message", "parts", "utterance", "body")
_THOUGHT_KEYS = frozenset({"reasoning_content", "thinking", "reasoning", "thought", "thoughts"})
_THOUGHT_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
_TOOL_PARTS = frozenset(
    {
        *("tool_use", "server_tool_use", "tool_result", "tool_call", "tooluse", "toolresult"),
        *("function_call", "functioncall", "function_response", "functionresponse"),
    }
)
TURN_MARKS = frozenset({"weight", "train", "loss", "learn", "trainable", *_THOUGHT_KEYS}) | frozenset(
    {"tool_calls", "function_call", "attachments", "files"}
)
_PICTURES = frozenset({"image", "images", "video", "videos", "audio", "audios"})
# What programs write for no value.
_EMPTY = frozenset(
    {"nan", "NaN", "NULL", "null", "None", "<NA>", "NaT", "#N/A", "#REF!", "#VALUE!", "#NAME?"}
)
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
    of_tools: dict[str, Any] | None = None


def chat_turns(
    items: Sequence[Any], remarks: set[Remark], assistant: str | None = None, system: Sequence[str] = ()
) -> tuple[Turn, ...]:
    """Return a list of turns: an optional system turn, then user and assistant by turns, an answer last.

    What does not come in this order is joined to what stands beside it or left out, and said. `assistant`
    is the name of the assistant among people who speak under their own names; `system` are instructions
    that stand beside the turns.
    """
    items = [turn for item in items for turn in _opened(item)]
    spoken = [_speaker(item, position, remarks, assistant) for position, item in enumerate(items, 1)]
    _require_roles(spoken, assistant)
    if any(turn.of_tools or turn.role in ("tool", tool_calls.BROKEN) for turn in spoken):
        if not tool_calls.are_whole((turn.role, bool(turn.of_tools)) for turn in spoken):
            remarks.add(Remark.TOOLS)
            raise RowRefused("calls a tool in a way that cannot be taught")
        remarks.add(Remark.CALLS)
    answered = len(spoken)
    while answered and spoken[answered - 1].role != "assistant":
        answered -= 1
    if not all(is_blank(turn.content) for turn in spoken[answered:]):
        remarks.add(Remark.TRAILING)
    instructions, turns, previous = list(system), list[Turn](), ""
    for position, (role, content, learned, _, of_tools) in enumerate(spoken[:answered], 1):
        if role == "system" and is_blank(content):
            continue
        silent = is_blank(content) and (role == "tool" or (role == "assistant" and bool(of_tools)))
        where = "the system turn" if role == "system" else f"turn {position}"
        text = "" if silent else _text(content, where, remarks)
        if role == "system" and not turns:
            instructions += [text] if text not in instructions else []
        elif role in ("assistant", "tool") and not turns:
            remarks.add(Remark.GREETING)
        elif role == "tool":
            turns.append(Turn(role, text, of_tools=of_tools))
            previous = role
        else:
            if role in ("system", previous):
                remarks.add(Remark.INSTRUCTED if role == "system" else Remark.MERGED)
            is_answer = role == "assistant"
            said = _turn(role, text, learned) if is_answer else _turn("user", text)
            _append(turns, replace(said, of_tools=of_tools) if is_answer and of_tools else said)
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


_turn = lru_cache(1024)(Turn)  # rows that reply to each other have turns in common


def _append(turns: list[Turn], turn: Turn) -> None:
    """Add a turn, joined to the one before where both are of one role."""
    if turns and turns[-1].role == turn.role:
        before = turns.pop()
        content = "\n\n".join(filter(None, (before.content, turn.content)))
        turn = Turn(turn.role, content, before.learned and turn.learned, turn.of_tools)
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


def rests_on_picture(fields: dict[str, Any], turns: Iterable[Turn]) -> bool:
    """Tell whether a record names a picture, and its text says where that belongs."""
    named = any(str(name).casefold() in _PICTURES and fields[name] for name in fields)
    return named and any(sign in turn.content for turn in turns for sign in ("<image>", "<video>", "<audio>"))


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
    return _spelled_key(tuple(item), tuple(known))


@lru_cache(4096)
def _spelled_key(names: tuple[Any, ...], known: tuple[str, ...]) -> Any:
    """The same in another spelling or language."""
    spelled = {str(name).strip().casefold(): name for name in names}
    found = next((spelled[name] for name in known if name in spelled), None)
    words = column_names.SPEAKER if known == SPEAKER_KEYS else column_names.SAID
    return found or next((name for name in names if column_names.is_named(str(name), words)), None)


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

    Two spaces are an indent; one alone stands before many a completion.
    """
    indented = _BLANK_LINES_FIRST.sub("", text.rstrip())
    return indented if indented.startswith(("  ", "\t")) else text.strip()


def kind(value: Any) -> str:
    """Name in a word what something is that should have been something else."""
    names = {dict: "a record", list: "a list", str: "a text", type(None): "empty", bytes: "binary data"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "of an unknown kind")


def _speaker(item: Any, position: int, remarks: set[Remark], assistant: str | None) -> Spoken:
    if isinstance(item, Spoken):
        return item
    if isinstance(item, Turn):
        return Spoken(item.role, item.content, item.learned)
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
    role = speaker_role(named, assistant) or ""
    if role and assistant is None and role_of(named) is None:
        remarks.add(Remark.NAMED)
    learned = True
    for key, mark in exclusions.kinds(item).items():
        if exclusions.is_marked(mark, item[key]):
            learned = False
        elif exclusions.is_partial(mark, item[key]):
            remarks.add(Remark.WEIGHTS)
    for key in item:
        if key in _THOUGHT_KEYS and not is_blank(item[key]):
            remarks.add(Remark.THOUGHTS)
        elif key in ("attachments", "files") and item[key]:
            remarks.add(Remark.FILES)
    key = text_key(item)
    content = item[key] if key else None
    if isinstance(content, dict):
        content = content.get("parts", content.get("text", content.get("body", content)))
    if isinstance(content, list):
        if any(_part_kind(part) in _TOOL_PARTS for part in content):
            return Spoken(tool_calls.BROKEN, None, learned, named.strip())
        content = _joined(content, position, remarks)
    role, of_tools, content = tool_calls.read_turn(role, named, item, content)
    return Spoken(role, content, learned, named.strip(), plain(of_tools))


def _opened(item: Any) -> list[Any]:
    """A turn, or those that it stands for where tools are called among its parts."""
    key = text_key(item) if isinstance(item, dict) else None
    parts = item[key] if key else None
    if not isinstance(parts, list) or not any(_part_kind(part) in _TOOL_PARTS for part in parts):
        return [item]
    return tool_calls.opened(item, parts, str(key))


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
            named = _part_kind(part).split("_")[0]  # `image_url`, `input_audio`, …
            what = f" (“{printable(named)[:20]}”)" if named else ""
            raise RowRefused(f"turn {position} holds something that is not text{what}")
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
    if _CONTROLS.search(text):
        remarks.add(Remark.CONTROLS)
    if not text.isascii() and HALF_CHARACTERS.search(text):
        raise RowRefused(f"{where} holds broken characters")
    text = _cleaned(text)
    if not text:
        raise RowRefused(f"{where} is empty")
    return text


@lru_cache(1024)  # a turn is asked for again in each row that follows it
def _cleaned(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return trimmed(_CONTROLS.sub("", text))


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
