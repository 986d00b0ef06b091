"""The rows of a file that may be taught without asking anybody: approved, and fit by the quality check.

A row of a chat's log says `accepted`. True approves it; false, null, an empty cell and anything else never
do. Where no row has that field, whoever wrote the file approved all of it.

The file may grow while it is read: a last line that is only half there waits for its end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from sails.data import Conversation, Reading, clean, read
from sails.errors import ConversationFileError
from sails.system import Stamp, stamp

ACCEPTED = "accepted"
QUIET_SECONDS = 10.0  # a table's last line without an end is whole when nobody wrote for so long
_WORDS_FOR_YES = ("true", "yes", "1")  # as tables write it
_OF_LINES = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt")
_SIXTEEN_BITS = (b"\xff\xfe", b"\xfe\xff")  # a line end is two bytes there, and anything may be half of one


@dataclass(frozen=True)
class Approved:
    """What a file holds now."""

    rows: tuple[Conversation, ...] = ()  # approved and fit, each once, without the field `accepted`
    not_accepted: int = 0
    unfit: tuple[str, ...] = ()  # why rows are not used, in a few words: “row 7: the answer is empty”


def approved(path: Path, now: float) -> Approved:
    """Read the file; `now` is in seconds since 1970. One at rest that was read already is not read again.

    Raises ConversationFileError when the file is not there or cannot be read. One that is empty holds no
    rows, and that is no error.
    """
    try:
        seen = stamp(path)
        quiet = now - seen.modified_ns / 1e9 >= QUIET_SECONDS
        return _at_rest(path, seen) if quiet else _read(path, quiet)
    except OSError as error:
        problem = f"{path} cannot be read: {(error.strerror or str(error)).lower()}."
        remedy = "It is looked for again; nothing else needs to be done."
        raise ConversationFileError(problem, remedy) from error


@lru_cache(maxsize=1)
def _at_rest(path: Path, _seen: Stamp) -> Approved:
    return _read(path, quiet=True)


def _read(path: Path, quiet: bool) -> Approved:
    content = _whole(path.read_bytes(), path.suffix.lower(), quiet)
    if not content.strip():
        return Approved()
    reading = read(path, content=content)
    rows = [row for row in reading.conversations if _is_accepted(row, reading)]
    report = replace(reading, conversations=tuple(rows), refused=()).assess()
    wrong = {problem.row: problem.reason for problem in report.errors}
    # Of the marks by which reading leaves rows out, ours is no fault of theirs.
    refused = {one.row: one.reason for one in reading.refused if f"“{ACCEPTED}”" not in one.reason.casefold()}
    wrong |= refused
    not_accepted = len(reading.conversations) - len(rows) + len(reading.refused) - len(refused)
    unfit = tuple(f"row {row}: {reason}" for row, reason in sorted(wrong.items()))
    fit = [
        replace(row, extra={name: value for name, value in row.extra.items() if not _is_mark(name)})
        for row in clean(rows, report)
    ]
    return Approved(tuple(fit), not_accepted, unfit)


def _is_accepted(row: Conversation, reading: Reading) -> bool:
    values = [value for name, value in row.extra.items() if _is_mark(name)]
    if not values:  # an empty cell of a table is not there at all, its column is
        return not (reading.is_table and any(map(_is_mark, reading.columns)))
    value = values[0]
    return value.strip().casefold() in _WORDS_FOR_YES if isinstance(value, str) else value in (True, 1)


def _is_mark(name: str) -> bool:
    return name.strip().casefold() == ACCEPTED


def _whole(content: bytes, suffix: str, quiet: bool) -> bytes:
    """The content without a last line that may still be written."""
    if content.endswith(b"\n") or content.startswith(_SIXTEEN_BITS):
        return content
    first = content.lstrip().partition(b"\n")[0]
    if not (suffix in _OF_LINES or _is_record(first)):
        return content
    before, newline, last = content.rpartition(b"\n")
    complete = _is_record(last) if first.startswith(b"{") else quiet
    return content if complete else before + newline


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
