"""A person's file is read in a process of its own, with limits: what it holds can harm nobody but that one.

    reading = read(Path("helpdesk.csv"), progress=report)

    this process ── request, content ──► python -m sails.data.sandbox ── frames of rows ──► Reading

Whatever happens there, a crash of a library, no more memory, a text that takes for ever to look through, here
it is a ConversationFileError. What comes back is plain data (numbers, texts, lists) in small pieces, so that
who waits for it is never held up for long. How a file is read is `reading`'s business.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from sails import system
from sails.data.columns import ColumnMapping
from sails.data.conversation import Conversation, Turn
from sails.data.formats.detect import read_bytes
from sails.data.formats.source import MAX_BYTES, SPLIT, Refusal
from sails.data.quality import RowProblem
from sails.data.reading import Reading, parse
from sails.data.rows import Preview, UnknownColumns
from sails.errors import AssistantNeededError, ConversationFileError, RequestError
from sails.system import Limits, Progress, silent

COMMAND = ("-P", "-m", "sails.data.sandbox")
MAX_MEMORY = 900_000_000  # bytes
MIN_SECONDS, SECONDS_A_MB = 6.0, 2.0  # of processor time: short rows take a second a MB on a busy machine
PATIENCE = 10  # times as long by the clock: other programs want the processor, too
MAX_RESULT = 400_000_000  # bytes that come back; few bytes of some formats stand for many rows alike
ROWS_A_FRAME = 500
SILENT_SECONDS, REPORT_SECONDS = 1.0, 0.3  # before the first word of progress, and between two
SIMPLER = "Split it into smaller files, or save it as CSV or JSON Lines."
_LENGTH = struct.Struct("<Q")
_ERRORS = {kind.__name__: kind for kind in (ConversationFileError, UnknownColumns, RequestError)}


def read(
    path: Path | str,
    mapping: ColumnMapping | None = None,
    *,
    content: bytes | None = None,
    assistant: str | None = None,
    keep_marked: bool = False,
    progress: Progress = silent,
) -> Reading:
    """Read and judge a file in any of the formats that `formats.detect` lists.

    `mapping` names the columns of a file whose names are not recognised by themselves, `assistant` whoever
    gives the answers among people who speak under their own names. `content` is what the file holds where
    that is in memory already; nothing needs to lie at `path` then, which names it. `keep_marked` keeps rows
    that the file marks as not to be learned.

    Raises ConversationFileError when the file cannot be read, takes too much, or has no row that can be used,
    and of this kind AssistantNeededError where it must be told who is the assistant.
    """
    path = Path(path)
    if content is None and not (path.is_dir() or path.is_file()):
        content = read_bytes(path)  # a pipe can be read once, and here
    size = _size(path, content)
    seconds = MIN_SECONDS + SECONDS_A_MB * size / 1e6
    limits = Limits(MAX_MEMORY, seconds, PATIENCE * seconds)
    request = {
        "path": str(path),
        "mapping": mapping and asdict(mapping),
        "assistant": assistant,
        "keep_marked": keep_marked,
        "has_content": content is not None,
        "limits": asdict(limits),
    }
    process = subprocess.Popen(
        [sys.executable, *COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=system.module_environment() | dict.fromkeys(_THREADS, "1"),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout, system.watched(process, limits) as watch, contextlib.ExitStack() as rows_come:
        with contextlib.suppress(OSError), process.stdin as pipe:  # it has ended already
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.write(content or b"")
        reading = _received(process.stdout, path.name, progress, rows_come)
    if reading is not None:
        return reading
    if watch.exceeded == "time":
        raise ConversationFileError(f"{path.name} took more than {seconds:.0f} seconds to read.", SIMPLER)
    if watch.exceeded == "memory" or process.returncode == -_SIGKILL:
        raise _needs_memory(path.name)
    raise ConversationFileError(
        f"{path.name} cannot be read: it is damaged, or of another kind.",
        "Open it in the program that made it, save it again, or save it as CSV.",
    )


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # each has memory of its own, and has nothing to do
_SIGKILL = 9  # what the system ends a process with when the machine runs out of memory


def _size(path: Path, content: bytes | None) -> int:
    """The bytes of a file; raises ConversationFileError when there are too many."""
    try:
        size = path.stat().st_size if content is None else len(content)
    except OSError:
        size = 0  # the reader says so
    if size > MAX_BYTES:
        raise ConversationFileError(f"{path.name} is larger than {system.size(MAX_BYTES)}.", SPLIT)
    return size


def _needs_memory(name: str) -> ConversationFileError:
    return ConversationFileError(
        f"{name} takes more than {system.size(MAX_MEMORY)} of memory to read.", SIMPLER
    )


class _PlainData(pickle.Unpickler):
    """Reads numbers, texts, lists and the like; nothing that would run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


def _received(
    pipe: IO[bytes], name: str, progress: Progress, rows_come: contextlib.ExitStack
) -> Reading | None:
    """The reading, as it comes; None when it breaks off. Raises the error that comes in its place."""
    conversations: list[Conversation] = []
    for kind, body in _frames(pipe):
        if kind == "progress":
            progress(body[0], *body[1:])
        elif kind == "rows":
            if not conversations:
                rows_come.enter_context(system.no_collection())
            conversations += map(_conversation, body)
        elif kind == "error":
            raise _error(body)
        elif kind == "memory":
            raise _needs_memory(name)
        else:
            mapping = body.pop("mapping")
            return Reading(
                conversations=tuple(conversations),
                refused=tuple(Refusal(*fields) for fields in body.pop("refused")),
                problems=tuple(RowProblem(*fields) for fields in body.pop("problems")),
                mapping=ColumnMapping(**mapping) if mapping else None,
                **body,
            )
    return None


def _frames(pipe: IO[bytes]) -> Iterator[tuple[str, Any]]:
    while len(length := pipe.read(_LENGTH.size)) == _LENGTH.size:
        body = pipe.read(_LENGTH.unpack(length)[0])
        try:
            yield _PlainData(io.BytesIO(body)).load()
        except (pickle.UnpicklingError, EOFError):  # it was ended in the middle
            return


def _conversation(fields: tuple[Any, ...]) -> Conversation:
    turns, extra, row, fingerprints = fields
    return Conversation.known(tuple(Turn(*turn) for turn in turns), extra, row, fingerprints)


def _error(fields: dict[str, Any]) -> Exception:
    if fields["people"]:
        return AssistantNeededError(fields["message"], fields["remedy"], fields["people"])
    error = _ERRORS.get(fields["kind"], ConversationFileError)(fields["message"], fields["remedy"])
    if isinstance(error, UnknownColumns) and fields["preview"]:
        error.preview = Preview(*fields["preview"])
    return error


# --- in the process that reads --------------------------------------------------------------------


class _Sender:
    """Writes frames, up to MAX_RESULT bytes of them."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._left = MAX_RESULT
        self._next = time.monotonic() + SILENT_SECONDS

    def send(self, kind: str, body: Any) -> None:
        frame = pickle.dumps((kind, body), protocol=5)
        self._left -= len(frame)
        if self._left < 0:
            raise MemoryError
        self._pipe.write(_LENGTH.pack(len(frame)) + frame)
        self._pipe.flush()

    def progress(self, fraction: float, *words: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + REPORT_SECONDS
            self.send("progress", (fraction, *words))


def _send(reading: Reading, sender: _Sender) -> None:
    rows = reading.conversations
    for start in range(0, len(rows), ROWS_A_FRAME):
        sender.send("rows", [_plain(row) for row in rows[start : start + ROWS_A_FRAME]])
    body = {name: getattr(reading, name) for name in reading.__dataclass_fields__ if name != "conversations"}
    body["refused"] = [(one.row, one.reason) for one in reading.refused]
    body["problems"] = [(one.row, one.check, one.severity, one.reason) for one in reading.problems]
    body["mapping"] = reading.mapping and asdict(reading.mapping)
    sender.send("reading", body)


def _plain(row: Conversation) -> tuple[Any, ...]:
    turns = tuple((turn.role, turn.content, turn.learned, turn.of_tools) for turn in row.turns)
    return turns, row.extra, row.row, (row.fingerprint, row.input_fingerprint)


def _main() -> None:
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no frame
    sender = _Sender(pipe)
    try:
        request = json.loads(sys.stdin.buffer.readline())
        system.limit_this_process(Limits(**request.pop("limits")))
        content = sys.stdin.buffer.read() if request.pop("has_content") else None
        path, mapping = Path(request.pop("path")), request.pop("mapping")
        known = ColumnMapping(**mapping) if mapping else None
        _send(parse(path, known, content=content, progress=sender.progress, **request), sender)
    except RequestError as error:
        preview = error.preview if isinstance(error, UnknownColumns) else None
        body = {
            "kind": type(error).__name__,
            "message": str(error),
            "remedy": error.remedy,
            "people": error.people if isinstance(error, AssistantNeededError) else (),
            "preview": preview and tuple(preview),
        }
        sender.send("error", body)
    except MemoryError:
        sender.send("memory", None)


if __name__ == "__main__":
    _main()
