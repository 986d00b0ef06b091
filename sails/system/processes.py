"""Process identity, and starting and ending processes.

A process is itself only if its id *and* its creation time agree, and a zombie is dead.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from sails.system.locks import WINDOWS


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
        process = _process(identity)
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_process(identity: ProcessIdentity, timeout: float = 10.0) -> bool:
    """End that very process at once; False where it was gone, still runs, or is not on this machine."""
    if identity.host != socket.gethostname():
        return False
    try:
        process = _process(identity)
        if process is None:
            return False
        process.kill()  # which looks once more whether its id went to another one
        process.wait(timeout)
    except psutil.Error:
        return False
    return True


def _process(identity: ProcessIdentity) -> psutil.Process | None:
    """The process with that id, if it is the same one. Raises `psutil.NoSuchProcess` where there is none."""
    process = psutil.Process(identity.pid)
    # Creation times are rebuilt from the boot time, which clock corrections move by a little.
    return process if abs(process.create_time() - identity.created) < 1.0 else None


def module_environment() -> dict[str, str]:
    """Return this process's environment, so that `python -m sails.…` runs the package that runs here."""
    package = Path(__file__).resolve().parents[2]
    paths = (str(package), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


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
            # CREATE_NEW_PROCESS_GROUP | CREATE_NO_WINDOW
            creationflags=0x0200 | 0x08000000 if WINDOWS else 0,
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
