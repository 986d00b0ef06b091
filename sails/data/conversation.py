"""One conversation: its turns, its fingerprints, and the clean JSON Lines form on disk.

The clean form has one conversation a line: `{"input", "output", …}` for one question with one
answer, `{"messages": [{"role", "content"}, …], …}` for anything longer or with a system turn. An answer
that is read and not learned has `"weight": 0` beside its content.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sails.errors import ConversationFileError

# Names that the clean form uses for the turns, so that a kept field can never have them.
RESERVED = frozenset({"input", "output", "messages"})
# A kept field and its value: of this conversation only the last answer is learned, the others are read.
ANSWERS, ONLY_LAST = "answers", "last"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said at a time."""

    role: str  # `system`, `user` or `assistant`
    content: str
    learned: bool = True  # False: an answer that is read and not learned


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

    @property
    def input(self) -> str:
        """The last thing the user said before the final answer."""
        return next((turn.content for turn in reversed(self.turns[:-1]) if turn.role == "user"), "")

    @property
    def output(self) -> str:
        """The final answer."""
        return self.turns[-1].content if self.turns and self.turns[-1].role == "assistant" else ""

    @property
    def fingerprint(self) -> str:
        """32 hex digits of all turns: the same for rows that differ only in case or white space."""
        return self._hashed()[0]

    @property
    def input_fingerprint(self) -> str:
        """32 hex digits of what comes before the final answer, system turn left out."""
        return self._hashed()[1]

    @property
    def identity(self) -> tuple[str, ...]:
        """What two rows have in common where one of them is enough: questions alike, answers the very same.

        Case and white space of an answer count: in code they may be the whole difference.
        """
        return (self.fingerprint, *(turn.content for turn in self.turns if turn.role == "assistant"))

    @property
    def learned(self) -> tuple[bool, ...]:
        """For each answer, in their order, whether it is learned."""
        answers = [turn.learned for turn in self.turns if turn.role == "assistant"]
        if self.extra.get(ANSWERS) == ONLY_LAST:
            answers[:-1] = [False] * (len(answers) - 1)
        return tuple(answers)

    def messages(self) -> list[dict[str, str]]:
        """Return the turns as chat templates want them."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]

    def to_json(self) -> dict[str, Any]:
        """Return the row in its clean form."""
        if tuple(turn.role for turn in self.turns) == ("user", "assistant") and self.turns[1].learned:
            return {"input": self.turns[0].content, "output": self.turns[1].content, **self.extra}
        unlearned: list[dict[str, Any]] = [{} if turn.learned else {"weight": 0} for turn in self.turns]
        turns = [message | mark for message, mark in zip(self.messages(), unlearned, strict=True)]
        return {"messages": turns, **self.extra}

    def _hashed(self) -> tuple[str, str]:
        # Asked for by reading, cleaning, splitting and the ledger alike: hashed once.
        if self._fingerprints is None:
            texts = []
            for turn in self.turns:
                text = turn.content if turn.content.isascii() else unicodedata.normalize("NFC", turn.content)
                texts.append(f"{turn.role}\x1f{' '.join(text.casefold().split())}\x1e")
            asked = texts[self.turns[0].role == "system" : -1] if self.turns else []
            # The class is frozen for everybody else.
            object.__setattr__(self, "_fingerprints", (_digest("".join(texts)), _digest("".join(asked))))
        return self._fingerprints or ("", "")


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
    roles = ("system", "user", "assistant")
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                fields = json.loads(line)
                if "messages" in fields:
                    turns = tuple(
                        Turn(turn["role"], turn["content"], turn.get("weight") != 0)
                        for turn in fields["messages"]
                    )
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
