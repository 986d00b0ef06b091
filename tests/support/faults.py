"""A process that is killed, or is refused by its disk, at the N-th change of a file or at a sync of one.

    points = changes(act, folder)                       # what act() does to the disk, in order
    ended = strike(act, folder, Fault("kill", 7))       # the same in another child, which dies before the 7th
    ended = strike(act, folder, Fault("ENOSPC", 7))     # which is told there that the disk is full

Counted is what Python asks the system for: opening to write, renaming, removing, making, linking, and each
fsync. What a library writes by itself in between is not; `benchmarks/kill9.py` kills there. With `lasting`,
every later change fails as well, but for removing: as on a disk that is full, or may only be read.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sails.errors import SailsError

ERRORS = ("ENOSPC", "EIO", "EACCES", "EROFS")
KINDS = ("kill", *ERRORS)
_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
_REMOVING = {"os.remove", "os.rmdir"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class Fault:
    """What happens at the N-th change, counted from 1: "kill", or the name of an error."""

    kind: str
    number: int
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.kind} at {self.number}{', and from then on' if self.lasting else ''}"


@dataclass(frozen=True)
class Ended:
    """How a child ended: `error` is what was raised, `foreseen` whether a person reads a sentence for it."""

    at: str = ""  # the change; empty when it was never reached
    killed: bool = False
    error: str = ""
    foreseen: bool = True


def changes(act: Callable[[], Any], folder: Path) -> list[str]:
    """Act in a child to the end, and return what it changed in `folder`."""
    said = _in_child(act, folder, None)
    assert not said["error"], f"the work failed by itself: {said}"
    return said["changes"]


def strike(act: Callable[[], Any], folder: Path, fault: Fault) -> Ended:
    """Act in a child that the fault strikes."""
    said = _in_child(act, folder, fault)
    return Ended(said["at"], said["killed"], said["error"], said["foreseen"])


def _in_child(act: Callable[[], Any], folder: Path, fault: Fault | None) -> dict[str, Any]:
    where, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(where)
        said: dict[str, Any] = {"changes": [], "at": "", "error": "", "foreseen": True}

        def report() -> None:
            os.write(tell, json.dumps(said).encode()[-60_000:] if fault else json.dumps(said).encode())

        code = 1
        try:
            _count(str(folder), fault, said, report)
            try:
                act()
            except BaseException as error:  # noqa: BLE001  it is told, not handled
                said["error"] = f"{type(error).__name__}: {error}"
                said["foreseen"] = isinstance(error, SailsError | OSError)
            report()
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    with os.fdopen(where) as pipe:
        content = pipe.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    killed = ended == -signal.SIGKILL
    assert killed or ended == 0, f"the child ended with {ended}"
    return {**json.loads(content or '{"changes":[],"at":"","error":"","foreseen":true}'), "killed": killed}


def _count(folder: str, fault: Fault | None, said: dict[str, Any], report: Callable[[], None]) -> None:
    done = 0

    def change(what: str, path: Any, removing: bool = False) -> None:
        nonlocal done
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if not os.path.abspath(name).startswith(folder):
            return
        done += 1
        if fault is None:
            said["changes"].append(f"{what} {name.removeprefix(folder)}")
            return
        if done < fault.number or (done > fault.number and (not fault.lasting or removing)):
            return
        said["at"] = said["at"] or f"{what} {name.removeprefix(folder)}"
        if fault.kind == "kill":
            report()
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, fault.kind)
        raise OSError(number, os.strerror(number), name)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                change("write", path)
        elif event in _EVENTS:
            change(event.removeprefix("os."), arguments[0], event in _REMOVING)

    sync = os.fsync

    def fsync(handle: int) -> None:
        change("sync", _path_of(handle))
        sync(handle)

    os.fsync = fsync
    sys.addaudithook(hook)


def _path_of(handle: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{handle}")
    except OSError:
        return ""
