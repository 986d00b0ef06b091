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
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import filelock
import psutil
import tenacity

from sails.errors import BusyError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WINDOWS = sys.platform == "win32"
_DETACHED_WINDOWS = 0x0200 | 0x08000000 if WINDOWS else 0  # CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW

# --- locks ----------------------------------------------------------------------------------------

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
        key = _key(self.path)
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
                _held_here.pop(_key(self.path), None)
                _unlock(self._file)
                self._file.close()
                self._file = None


def is_held(path: Path) -> bool:
    """Whether a living process (this one included) holds the `LifeLock` at `path`."""
    with _guard:
        if _key(path) in _held_here:
            return True
        try:
            with open(path, "rb") as file:
                if not _try_lock(file, exclusive=False):
                    return True
                _unlock(file)
                return False
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def short_lock(path: Path, timeout: float = 30.0) -> Iterator[None]:
    """Hold a lock file for one short critical section; raises `BusyError` after `timeout` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path, timeout=timeout):
            yield
    except filelock.Timeout as error:
        raise BusyError(f"Another process is using {path.name}.", "Try again in a minute.") from error


def _key(path: Path) -> str:
    return os.path.realpath(path)


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


# --- process identity -----------------------------------------------------------------------------


@dataclass(frozen=True)
class ProcessIdentity:
    """A process id with its creation time in seconds since 1970, and the machine that it runs on."""

    pid: int
    created: float
    host: str


def this_process() -> ProcessIdentity:
    return ProcessIdentity(os.getpid(), psutil.Process().create_time(), socket.gethostname())


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process still runs. On another machine nobody can tell, so it counts as alive."""
    if identity.host != socket.gethostname():
        return True
    try:
        process = psutil.Process(identity.pid)
        # Creation times are rebuilt from the boot time, which clock corrections move by a little.
        same = abs(process.create_time() - identity.created) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- files ----------------------------------------------------------------------------------------


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` by `text` so that a reader, or a crash, sees the old content or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _retry_sharing(lambda: os.replace(temporary, path))
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; Windows does this by itself."""
    if not WINDOWS:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make every file below `folder`, and the folders themselves, durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            # Windows only syncs what it may write; elsewhere a file that may only be read is synced too.
            with open(Path(parent) / name, "r+b" if WINDOWS else "rb") as file:
                os.fsync(file.fileno())
        fsync_folder(Path(parent))


def rename(source: Path, target: Path) -> None:
    """Rename within one filesystem, durably. Windows refuses while a virus scanner looks: try again."""
    _retry_sharing(lambda: os.rename(source, target))
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def move_folder(source: Path, target: Path) -> None:
    """Move a folder to where no `target` is yet, across filesystems if need be; never half a target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if same_filesystem(source, target.parent):
        rename(source, target)
        return
    copy_folder(source, target)
    shutil.rmtree(source)


def copy_folder(source: Path, target: Path, leave_out: Sequence[str] = ()) -> None:
    """Copy a folder to where no `target` is yet; a crash leaves a `.partial`, never half a target.

    Files and folders whose names match a pattern of `leave_out` are not copied.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*leave_out))
    fsync_tree(partial)
    rename(partial, target)


def same_filesystem(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _retry_sharing(action: Callable[[], None]) -> None:
    if not WINDOWS:
        action()
        return
    tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(PermissionError),
        wait=tenacity.wait_fixed(0.05),
        stop=tenacity.stop_after_delay(5),
        reraise=True,
    )(action)


# --- starting and ending processes ----------------------------------------------------------------


_started: list[subprocess.Popen[bytes]] = []


def start_detached(command: Sequence[str], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, so that it outlives this one, its terminal and Ctrl-C.

    Its output is appended to `log`; it has no standard input.
    """
    _started[:] = [process for process in _started if process.poll() is None]  # no zombies
    with open(log, "ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            close_fds=True,
            start_new_session=not WINDOWS,
            creationflags=_DETACHED_WINDOWS,
        )
    _started.append(process)
    return process


def on_termination(callback: Callable[[], None]) -> None:
    """Call `callback` instead of dying when asked politely to end (Ctrl-C, SIGTERM, Ctrl-Break).

    A closing terminal (SIGHUP) is ignored: a worker outlives it.
    """
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: callback())
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


# --- the machine ----------------------------------------------------------------------------------


def available_memory(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that a new process can have, a container's own limit included."""
    available = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # "max", or no control group at all
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # What was read from files counts as used, but the kernel drops it when a program needs the room.
        cache = int(statistics.get("active_file", 0)) + int(statistics.get("inactive_file", 0))
        return min(available, limit - used + cache)
    return available


def give_back_memory() -> None:
    """Hand memory that this process has freed back to the system.

    The C library keeps what it may need again; after a model of gigabytes was dropped, that is most of it.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def peak_memory() -> int:
    """The most bytes of memory that this process ever had."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    with contextlib.suppress(
        OSError, IndexError
    ):  # on Linux, getrusage counts what the starter of this process used
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
