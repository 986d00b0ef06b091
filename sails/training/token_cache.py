"""Tokens of conversations that were encoded before, on the disk of a workspace.

    with TokenCache(workspace.tokens, encoder) as cache:
        encoded = encode_rows(conversations, encoder, max_length=512, cache=cache)

An entry is found by all that decides the tokens of a row: its turns, what of them is learned, its tools, and
the tokenizer and chat template. So the same rows are found in whichever dataset and part of it they stand.
Nothing here is needed: what is missing, damaged or cannot be written is encoded again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sails.data import Conversation

if TYPE_CHECKING:
    from sails.onnx import ChatEncoder

FILE = "rows.sqlite"
MAX_BYTES = 2_000_000_000  # more than that is begun anew
WRITTEN_TOGETHER = 5000  # rows
_CHECK = 8  # bytes in front of an entry that say whether it is whole


class Entry(NamedTuple):
    """The examples of a row, each its tokens and which of them are learned."""

    examples: tuple[tuple[list[int], list[bool]], ...]
    thought_left_out: bool


class TokenCache:
    """Finds and keeps entries; to be closed, as the block does. Never raises for its file."""

    def __init__(self, folder: Path, encoder: ChatEncoder) -> None:
        self._encoder = encoder.identity
        self._path = folder / FILE
        self._new: dict[bytes, bytes] = {}
        self._file: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.Error):
            self._file = self._open()

    def __enter__(self) -> TokenCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        if self._file is not None:
            self._file.close()

    def find(self, rows: Sequence[Conversation]) -> dict[int, Entry]:
        """Return the entries that are here, by the position of their rows."""
        keys = [self._key(row) for row in rows]
        said = {key: self._new[key] for key in keys if key in self._new}
        wanted = [key for key in dict.fromkeys(keys) if key not in said]
        if self._file is not None:
            marks = ",".join("?" * len(wanted))
            try:
                said |= dict(self._file.execute(f"SELECT row, said FROM rows WHERE row IN ({marks})", wanted))
            except sqlite3.Error:
                self._give_up()
        entries = {key: entry for key, value in said.items() if (entry := _read(key, value)) is not None}
        return {number: entries[key] for number, key in enumerate(keys) if key in entries}

    def keep(self, row: Conversation, entry: Entry) -> None:
        """Remember the tokens of a row."""
        key = self._key(row)
        self._new[key] = _written(key, entry)
        if len(self._new) >= WRITTEN_TOGETHER:
            self._write()

    def _key(self, row: Conversation) -> bytes:
        said = json.dumps([row.messages(), row.learned, row.tools])
        return hashlib.sha256(self._encoder + said.encode()).digest()[:16]

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            if self._path.exists() and self._path.stat().st_size > MAX_BYTES:
                self._path.unlink()
            file = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
            try:
                file.execute("PRAGMA synchronous = OFF")  # each entry says itself whether it is whole
                file.execute(
                    "CREATE TABLE IF NOT EXISTS rows (row BLOB PRIMARY KEY, said BLOB) WITHOUT ROWID"
                )
                return file
            except sqlite3.OperationalError:  # somebody else writes for long, or nobody may
                file.close()
                raise
            except sqlite3.DatabaseError:  # damaged
                file.close()
                self._path.unlink()
        raise sqlite3.DatabaseError

    def _write(self) -> None:
        new, self._new = self._new, {}
        if self._file is None or not new:
            return
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", new.items())
            self._file.execute("COMMIT")
        except sqlite3.Error:
            self._give_up()

    def _give_up(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


def _written(key: bytes, entry: Entry) -> bytes:
    content = bytearray([entry.thought_left_out])
    for tokens, learned in entry.examples:
        content += len(tokens).to_bytes(4, "little") + array("I", tokens).tobytes() + bytes(learned)
    return _checksum(key, content) + bytes(content)


def _read(key: bytes, value: object) -> Entry | None:
    """What was written; None for anything else."""
    if not isinstance(value, bytes) or value[:_CHECK] != _checksum(key, value[_CHECK:]):
        return None
    content = value[_CHECK:]
    return Entry(tuple(_examples(content[1:])), bool(content[0]))


def _examples(content: bytes) -> Iterator[tuple[list[int], list[bool]]]:
    while content:
        count = int.from_bytes(content[:4], "little")
        tokens, end = array("I"), 4 + count * array("I").itemsize
        tokens.frombytes(content[4:end])
        yield tokens.tolist(), [bool(one) for one in content[end : end + count]]
        content = content[end + count :]


def _checksum(key: bytes, content: bytes | bytearray) -> bytes:
    return hashlib.blake2b(content, key=key, digest_size=_CHECK).digest()
