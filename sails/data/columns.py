"""Which column of a file asks and which one answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnMapping:
    """The columns of the question, of the answer and, if any, of what belongs to the question.

    Upper and lower case do not count.
    """

    input: str
    output: str
    context: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in (self.input, self.output, self.context) if name)

    def within(self, columns: Iterable[str]) -> ColumnMapping | None:
        """Return the same mapping in a file's own spelling; None where question or answer is not there.

        A context that is not there is left out: Alpaca rows often have none.
        """
        spelled = {name.strip().casefold(): name for name in columns}
        question = spelled.get(self.input.strip().casefold())
        answer = spelled.get(self.output.strip().casefold())
        context = spelled.get(self.context.strip().casefold()) if self.context else None
        return ColumnMapping(question, answer, context) if question and answer else None


KNOWN_COLUMNS = (  # the first that fits is used
    ColumnMapping("instruction", "output", "input"),
    ColumnMapping("instruction", "response", "context"),
    ColumnMapping("input", "output"),
    ColumnMapping("question", "answer"),
    ColumnMapping("prompt", "completion"),
    ColumnMapping("prompt", "response"),
    ColumnMapping("user", "assistant"),
    ColumnMapping("question", "response"),
)
CHAT_COLUMNS = ("messages", "conversations", "conversation", "turns")


def recognise(columns: Iterable[str]) -> ColumnMapping | None:
    """Return the usual pair of columns among these, if there is one."""
    columns = tuple(columns)
    return next(filter(None, (known.within(columns) for known in KNOWN_COLUMNS)), None)


def chat_column(columns: Iterable[str]) -> str | None:
    """Return the column that may hold whole chats, if there is one."""
    spelled = {name.strip().casefold(): name for name in columns}
    return next((spelled[name] for name in CHAT_COLUMNS if name in spelled), None)
