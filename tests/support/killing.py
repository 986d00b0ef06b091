"""Kill a piece of work at every line at which the disk has changed since the line before.

    for death in deaths(prepare, act, lines_in=(publish, locks), watched=folder):
        ...  # what holds after a kill -9 at that very line

A first child carries out the work and looks at the watched folder before every line that it executes. Then,
for each line before which something had changed, a child of its own does the same and is killed there with
SIGKILL; at the lines between, a death would leave the same disk. The last round runs to its end. Every death
is the same each time, so a failure names the line to look at.
"""

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any


@dataclass(frozen=True)
class Death:
    """Where the child was killed: before this line, the N-th that it executed. `line` is "" for the last."""

    number: int
    line: str

    @property
    def survived(self) -> bool:
        return not self.line


def deaths(
    prepare: Callable[[], Any], act: Callable[[], Any], lines_in: tuple[ModuleType, ...], *watched: Path
) -> Iterator[Death]:
    """Prepare, act in a child, die; once for every line of those modules before which the disk changed."""
    prepare()
    changes = json.loads(_in_child(act, lines_in, _Watch(watched)))
    for number in changes:
        prepare()
        line = die_at(act, lines_in, lambda count, number=number: count == number)
        assert line, f"line {number} of {changes[-1]} was never reached"
        yield Death(number, line)
    prepare()
    assert die_at(act, lines_in, lambda _: False) == ""
    yield Death(changes[-1] + 1, "")


def die_at(act: Callable[[], Any], lines_in: tuple[ModuleType, ...], when: Callable[[int], bool]) -> str:
    """Act in a child that is killed when `when(lines executed)` says so; returns the line, "" if it lived."""

    def look(count: int, frame: FrameType, tell: int) -> None:
        if when(count):
            os.write(tell, f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return _in_child(act, lines_in, look)


class _Watch:
    """Writes the numbers of the lines before which the folders looked different from the line before."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self.folders, self.changes = folders, [1]
        self.files: dict[str, bytes] = {}
        self.before: dict[bytes, bytes] | None = None

    def __call__(self, count: int, _frame: FrameType, _tell: int) -> None:
        files = dict(_contents(self.folders))
        if self.before is not None and files == self.files:
            return
        self.files = files
        now = {_without_numbers(path.encode()): _without_numbers(text) for path, text in files.items()}
        if self.before is not None and now != self.before:
            self.changes.append(count)
        self.before = now

    def end(self, tell: int) -> None:
        os.write(tell, json.dumps(self.changes).encode())


def _contents(folders: Iterable[str | Path]) -> Iterator[tuple[str, bytes]]:
    """Whatever lies there, and what it holds; a folder holds nothing itself. Called before every line."""
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    yield entry.path, b""
                    yield from _contents([entry.path])
                else:
                    file = os.open(entry.path, os.O_RDONLY)
                    try:
                        yield entry.path, os.read(file, entry.stat().st_size)
                    finally:
                        os.close(file)


def _without_numbers(text: bytes) -> bytes:
    """Process ids and times differ in each child; weights, which are not text, must be compared whole."""
    return text if b"\0" in text else re.sub(rb"\d+", b"#", text)


def _in_child(act: Callable[[], Any], lines_in: tuple[ModuleType, ...], look: Any) -> str:
    """Act in a child, looking before every line; returns what the look wrote into its pipe."""
    where, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(where)
        try:
            for_every_line(act, lines_in, lambda count, frame: look(count, frame, tell))
            if isinstance(look, _Watch):
                look.end(tell)
            os._exit(0)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)  # the work failed: never back into pytest
    os.close(tell)
    with os.fdopen(where) as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0 or (code == -signal.SIGKILL and said), f"the work failed by itself with {code}"
    return said


def for_every_line(
    act: Callable[[], Any], lines_in: tuple[ModuleType, ...], look: Callable[[int, FrameType], Any]
) -> Any:
    """Call `look(count, frame)` before every line of those modules that `act` executes."""
    files, count = {module.__file__ for module in lines_in}, 0

    def in_file(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            look(count, frame)
        return in_file

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: in_file if frame.f_code.co_filename in files else None)
    try:
        return act()
    finally:
        sys.settrace(before)


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """An empty folder, in memory where there is such a place: hundreds of rounds need no real disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder).resolve()
