"""One conversation: its turns, its fingerprints, and the clean JSON Lines form on disk.

The clean form has one conversation a line: `{"input", "output", …}` for one question with one
answer, `{"messages": [{"role", "content"}, …], …}` for anything longer or with a system turn. An answer
that is read and not learned has `"weight": 0` beside its content, one that calls tools its `tool_calls`; what
a tool returned is a turn of the role `tool`, and the row's field `tools` has the tools that there are.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sails.errors import ConversationFileError

# Names that the clean form uses for the turns, so that a kept field can never have them.
RESERVED = frozenset({"input", "output", "messages"})
# A kept field and its value: of this conversation only the last answer is learned, the others are read.
ANSWERS, ONLY_LAST = "answers", "last"
TOOLS = "tools"  # a kept field: the tools that the assistant may call
CALLS, RESULT_OF = "tool_calls", ("tool_call_id", "name")  # what turns of tools have beside their content


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said at a time."""

    role: str  # `system`, `user`, `assistant`, or `tool` for what a tool returned
    content: str
    learned: bool = True  # False: an answer that is read and not learned
    of_tools: dict[str, Any] | None = field(default=None, hash=False)  # an answer's calls; whose result it is

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tools that an answer calls: {"type": "function", "function": {"name", "arguments"}}."""
        return (self.of_tools or {}).get(CALLS) or []

    @property
    def said(self) -> str:
        """The content; of an answer without words the tools that it calls, as JSON."""
        if self.content or not self.calls:
            return self.content
        return "\n".join(json.dumps(call.get("function"), ensure_ascii=False) for call in self.calls)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of one row, the last one an answer.

    `extra` holds the fields of the source that are kept beside the turns (a timestamp, for one), as
    values that JSON can hold. `row` is the row's number in its source, from 1; it says where a
    conversation stood, not what it is, and does not count when two are compared.
    """

    turns: tuple[Turn, ...]
    extra: dict[str, Any] = field(default_factory=dict, hash=False)
    row: int = field(default=0, compare=False)
    _fingerprints: tuple[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def known(
        cls, turns: tuple[Turn, ...], extra: dict[str, Any], row: int, fingerprints: tuple[str, str]
    ) -> Conversation:
        """Return a conversation whose two fingerprints were computed elsewhere."""
        conversation = cls(turns, extra, row)
        object.__setattr__(conversation, "_fingerprints", fingerprints)
        return conversation

    @property
    def input(self) -> str:
        """The last thing the user said before the last answer that is learned."""
        before = reversed(self.until_answer().turns[:-1])
        return next((turn.content for turn in before if turn.role == "user"), "")

    @property
    def output(self) -> str:
        """The last answer that is learned."""
        turns = self.until_answer().turns
        return turns[-1].said if turns and turns[-1].role == "assistant" else ""

    @property
    def fingerprint(self) -> str:
        """32 hex digits of all turns: the same for rows that differ only in case or white space."""
        return self._hashed()[0]

    @property
    def input_fingerprint(self) -> str:
        """32 hex digits of what comes before the last answer that is learned, system turn left out."""
        return self._hashed()[1]

    @property
    def identity(self) -> tuple[str, ...]:
        """What two rows have in common where one of them is enough: questions alike, answers the very same.

        Case and white space of an answer count: in code they may be the whole difference.
        """
        return (self.fingerprint, *(turn.said for turn in self.turns if turn.role == "assistant"))

    @property
    def learned(self) -> tuple[bool, ...]:
        """For each answer, in their order, whether it is learned."""
        answers = [turn.learned for turn in self.turns if turn.role == "assistant"]
        if self.extra.get(ANSWERS) == ONLY_LAST and any(answers):
            last = len(answers) - 1 - answers[::-1].index(True)
            answers = [number == last for number in range(len(answers))]
        return tuple(answers)

    @property
    def calls_tools(self) -> bool:
        """Whether an answer calls a tool."""
        return any(turn.of_tools for turn in self.turns)

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the assistant may call, as chat templates want them; empty where none is named."""
        tools = self.extra.get(TOOLS)
        if isinstance(tools, str):
            try:
                tools = json.loads(tools)
            except (ValueError, RecursionError):
                return []
        if not isinstance(tools, list):
            return []
        named = [tool.get("function", tool) for tool in tools if isinstance(tool, dict)]
        return [
            {"type": "function", "function": function}
            for function in named
            if isinstance(function, dict) and isinstance(function.get("name"), str)
        ]

    def until_answer(self) -> Conversation:
        """Return the conversation up to the last answer that is learned; the whole one where none is."""
        if not self.turns or self.turns[-1].learned:
            return self
        last = max((n for n, t in enumerate(self.turns) if t.role == "assistant" and t.learned), default=None)
        return self if last is None else replace(self, turns=self.turns[: last + 1])

    def messages(self) -> list[dict[str, Any]]:
        """Return the turns as chat templates want them."""
        return [{"role": turn.role, "content": turn.content, **(turn.of_tools or {})} for turn in self.turns]

    def to_json(self) -> dict[str, Any]:
        """Return the row in its clean form."""
        is_pair = tuple(turn.role for turn in self.turns) == ("user", "assistant") and not self.calls_tools
        if is_pair and self.turns[1].learned:
            return {"input": self.turns[0].content, "output": self.turns[1].content, **self.extra}
        unlearned: list[dict[str, Any]] = [{} if turn.learned else {"weight": 0} for turn in self.turns]
        turns = [message | mark for message, mark in zip(self.messages(), unlearned, strict=True)]
        return {"messages": turns, **self.extra}

    def _hashed(self) -> tuple[str, str]:
        # Asked for by reading, cleaning, splitting and the ledger alike: hashed once.
        if self._fingerprints is None:
            texts = []
            for turn in self.turns:
                calls = json.dumps(turn.calls, sort_keys=True) if turn.of_tools and turn.calls else ""
                texts.append(f"{turn.role}\x1f{_folded(turn.content)}{calls}\x1e")
            answer = len(self.until_answer().turns) - 1
            asked = texts[self.turns[0].role == "system" : answer] if self.turns else []
            # The class is frozen for everybody else.
            object.__setattr__(self, "_fingerprints", (_digest("".join(texts)), _digest("".join(asked))))
        return self._fingerprints or ("", "")


@lru_cache(1024)  # rows that reply to each other have turns in common
def _folded(text: str) -> str:
    """A text without its case and white space."""
    text = text if text.isascii() else unicodedata.normalize("NFC", text)
    return " ".join(text.casefold().split())


def write_jsonl(path: Path | str, conversations: Iterable[Conversation]) -> None:
    """Write the clean form; `read_jsonl` gives back equal conversations."""
    with open(path, "wb") as file:
        file.writelines(jsonl_lines(conversations))


def jsonl_lines(conversations: Iterable[Conversation]) -> Iterator[bytes]:
    """Yield the lines of the file that `write_jsonl` writes."""
    for conversation in conversations:
        line = json.dumps(conversation.to_json(), ensure_ascii=False) + "\n"
        # A lone half of a surrogate pair cannot be UTF-8; `\udXXX` is how JSON writes it.
        yield line.encode("utf-8", "backslashreplace")


def read_jsonl(path: Path | str) -> list[Conversation]:
    """Read what `write_jsonl` wrote, exactly as it stands; `row` becomes the line number.

    Raises ConversationFileError, naming the line, for anything that `write_jsonl` does not write.
    For files from elsewhere there is `read`.
    """
    conversations, number = [], 0
    roles = ("system", "user", "assistant", "tool")
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                fields = json.loads(line)
                if "messages" in fields:
                    turns = tuple(map(_turn, fields["messages"]))
                else:
                    turns = (Turn("user", fields["input"]), Turn("assistant", fields["output"]))
                if not all(turn.role in roles and isinstance(turn.content, str) for turn in turns):
                    raise ValueError("not a turn")
                extra = {name: fields[name] for name in fields if name not in RESERVED}
                conversations.append(Conversation(turns, extra, number))
    except OSError as error:
        raise ConversationFileError(
            f"{Path(path).name} cannot be opened: {error.strerror or error}.",
            "Check that the dataset still exists and that you may read it.",
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConversationFileError(
            f"{Path(path).name} is damaged at line {max(number, 1)}.",
            "Add the original file to the library again.",
        ) from error
    return conversations


def _turn(fields: dict[str, Any]) -> Turn:
    of_tools = {name: fields[name] for name in (CALLS, *RESULT_OF) if name in fields}
    return Turn(fields["role"], fields["content"], fields.get("weight") != 0, of_tools or None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
