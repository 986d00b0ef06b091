"""Which conversations are taught, and which are kept back so that what was learned can be measured.

A row that a model has been taught can never measure it, and a row that measures it must never be
taught, in no later session and under no other spelling. The workspace's `heldout` file remembers
both for ever, by the fingerprint of the question, one line each:

    held FINGERPRINT SESSION
    taught FINGERPRINT SESSION
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from sails import system
from sails.data.conversation import Conversation

ENOUGH_ROWS = 20  # with fewer new questions, all are taught
ENOUGH_TO_JUDGE = 20  # with fewer held-out rows, a measurement says little
MIN_HELD_OUT, MAX_HELD_OUT = 5, 200

_LINE = re.compile(r"(held|taught) ([0-9a-f]{32}) \S")


class Register:
    """The `heldout` file. Once held out, held out for ever; once taught, never held out.

    `held` and `taught` are sets of input fingerprints without a common member: the first word that
    the file says of a question is the one that counts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: set[str] = set()
        self.taught: set[str] = set()
        self.damaged = 0  # lines that say nothing

    @classmethod
    def load(cls, path: Path | str) -> Register:
        """Read the file; one that does not exist yet is empty. Damaged lines are counted, and passed over."""
        register = cls(Path(path))
        if register.path.exists():
            with register.path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    if entry := _LINE.match(line):
                        register._enter(entry[1], entry[2])
                    elif line.strip():
                        register.damaged += 1
        elif register.path.is_symlink():  # it leads nowhere
            register.damaged += 1
        return register

    def record(self, *, held: Iterable[str], taught: Iterable[str], session: str) -> None:
        """Append what is new, and return when it is safely on the disk.

        `held` and `taught` are input fingerprints; one that is registered stays what it is.
        """
        words = dict.fromkeys(taught, "taught") | dict.fromkeys(held, "held")
        new = {fingerprint: word for fingerprint, word in words.items() if not self._knows(fingerprint)}
        if not new:
            return
        lines = "".join(f"{word} {fingerprint} {session}\n" for fingerprint, word in new.items())
        system.append_lines(self.path, lines.encode())
        for fingerprint, word in new.items():
            self._enter(word, fingerprint)

    def _knows(self, fingerprint: str) -> bool:
        return fingerprint in self.held or fingerprint in self.taught

    def _enter(self, word: str, fingerprint: str) -> None:
        if not self._knows(fingerprint):
            (self.held if word == "held" else self.taught).add(fingerprint)


def is_register_line(line: str) -> bool:
    """Tell whether a line of the register says something; what is only half written says nothing."""
    return _LINE.match(line) is not None


@dataclass(frozen=True)
class Split:
    """The two parts of a dataset, each in the order of its rows; `notes` are for a person to read."""

    train: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]
    notes: tuple[str, ...]


def split_rows(conversations: Sequence[Conversation], register: Register) -> Split:
    """Keep rows back for measuring. Writes nothing: `register.record` is the caller's to call.

    What the register holds out stays held out. Of the questions that it does not know, one in ten is
    added, at least 5 and at most 200, those with the lowest fingerprint; none when there are fewer
    than 20. Rows that ask the same always stay together.
    """
    unknown = {row.input_fingerprint for row in conversations} - register.held - register.taught
    wanted = min(max(MIN_HELD_OUT, len(unknown) // 10), MAX_HELD_OUT)
    chosen = sorted(unknown)[:wanted] if len(unknown) >= ENOUGH_ROWS else []
    held = register.held.union(chosen)
    train = tuple(row for row in conversations if row.input_fingerprint not in held)
    held_out = tuple(row for row in conversations if row.input_fingerprint in held)
    return Split(train, held_out, tuple(_notes(train, held_out, register)))


def _notes(
    train: Collection[Conversation], held_out: Collection[Conversation], register: Register
) -> Iterator[str]:
    if register.damaged:
        yield (
            f"⚠️ {system.count(register.damaged, 'line')} of the file {register.path.name}, which remembers "
            "what is set aside for testing, cannot be read: such questions may be taught now."
        )
    earlier = sum(row.input_fingerprint in register.held for row in held_out)
    if earlier:
        were = "was" if earlier == 1 else "were"
        yield f"{earlier} of these examples {were} set aside for testing in an earlier session: it stays so."
    if not train:
        yield "Nothing is left to teach: every example is set aside for testing."
    if not held_out:
        yield (
            f"No examples are set aside for testing: that takes {ENOUGH_ROWS} or more that were not taught "
            "before."
        )
    elif len(held_out) < ENOUGH_TO_JUDGE:
        few = f"{system.count(len(held_out), 'example')} {'is' if len(held_out) == 1 else 'are'}"
        yield f"Only {few} set aside for testing: too few to judge the model by new questions."


@dataclass(frozen=True)
class Ledger:
    """Of `total` rows, how many are new to a model and how many it was taught before."""

    total: int
    new: int
    taught_before: int


def ledger(conversations: Iterable[Conversation], taught_fingerprints: AbstractSet[str]) -> Ledger:
    """Count by the fingerprint of the whole row: a known question with another answer is new."""
    was_taught = [conversation.fingerprint in taught_fingerprints for conversation in conversations]
    return Ledger(len(was_taught), was_taught.count(False), was_taught.count(True))
