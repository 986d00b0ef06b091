"""The one room that knows the operating system: locks, process identity, atomic files, renames, signals.

Covers what a crash-safe workspace needs on Linux, macOS and Windows. It does not know what the files
mean. Three habits hold everything together:

- a `LifeLock` is held by a worker for its whole life and the kernel frees it on any death;
- a small file is replaced, never rewritten, so a reader sees the old one or the new one;
- a process is itself only if its id *and* its creation time agree, and a zombie is dead.

For short critical sections inside one call use `short_lock`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from sails.errors import BusyError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WINDOWS = sys.platform == "win32"

# POSIX drops a process's record locks on a file as soon as the process closes *any* handle of it, and grants
# them to every handle of the process that holds them. So a process must never open a lock file that it holds:
# this registry tells, and the guard keeps one thread from opening what another is just taking.
_held_here: dict[str, LifeLock] = {}
_guard = threading.Lock()


def _forget_in_child() -> None:
    """A forked child holds none of its parent's locks, and its guard may have been copied while taken."""
    global _guard
    _guard = threading.Lock()
    _held_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


class LifeLock:
    """An exclusive lock on a file, held until `release` or the death of the process.

    Not inherited by forked children (record locks are per process), so a child cannot outlive its
    parent's lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def acquire(self, timeout: float = 5.0) -> None:
        """Take the lock, trying for `timeout` seconds; raises `BusyError` when another process has it.

        It polls rather than blocks: readers hold the lock for microseconds while they probe it, a
        living owner holds it for hours, and only the first is worth waiting for.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + timeout
        while not self._try_to_acquire():
            if time.monotonic() >= deadline:
                raise BusyError(f"Another process holds {self.path.name}.", "Wait until it has finished.")
            time.sleep(0.02)

    def _try_to_acquire(self) -> bool:
        key = os.path.realpath(self.path)
        with _guard:
            if key in _held_here:
                raise BusyError(f"This process already holds {self.path.name}.")
            file = open(self.path, "a+b")  # noqa: SIM115 (held for life)
            if not _try_lock(file, exclusive=True):
                file.close()
                return False
            self._file = file
            _held_here[key] = self
            return True

    def release(self) -> None:
        with _guard:
            if self._file is not None:
                _held_here.pop(os.path.realpath(self.path), None)
                _unlock(self._file)
                self._file.close()
                self._file = None


def is_held(path: Path) -> bool:
    """Tell whether a living process (this one included) holds the `LifeLock` at `path`."""
    with _guard:
        if os.path.realpath(path) in _held_here:
            return True
        try:
            with open(path, "rb") as file:
                if not _try_lock(file, exclusive=False):
                    return True
                _unlock(file)
                return False
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):  # a link to itself is no file that anybody holds
                return False
            raise


@contextlib.contextmanager
def short_lock(path: Path, timeout: float = 30.0) -> Iterator[None]:
    """Hold a lock file for one short critical section; raises `BusyError` after `timeout` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path, timeout=timeout):
            yield
    except filelock.Timeout as error:
        raise BusyError(f"Another process is using {path.name}.", "Try again in a minute.") from error


if sys.platform == "win32":

    def _try_lock(file: BinaryIO, exclusive: bool) -> bool:  # noqa: ARG001 (Windows has no shared locks)
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(file: BinaryIO, exclusive: bool) -> bool:
        try:
            fcntl.lockf(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        fcntl.lockf(file, fcntl.LOCK_UN)
