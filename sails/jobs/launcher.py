"""Who runs sessions and jobs: what a launcher must do, the one of this machine, and how the queue moves.

A worker outlives whoever started it. Stopping one is a request in its folder (`sails.sessions.stop`); only
one that hangs is ended from outside, by its id and the time it was created (`sails.jobs.watchdog`). Another
launcher (a cluster's, say) is a class with the methods of `Launcher` in a module of its own, and a line in
`launcher_for`.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from sails import sessions, system
from sails.models import Workspace
from sails.sessions import Session

log = logging.getLogger(__name__)

# OpenMP's threads spin while they wait for each other. On a machine that does anything else besides, that
# made a training step five times slower and more; sleeping costs little where nothing else runs.
PATIENT_THREADS = {"GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}

# *starting*: none was seen yet, but one may be on its way; *absent*: it waits, and nobody works on it.
WorkerState = Literal["starting", "running", "absent", "ended"]


class Launcher(Protocol):
    """Starts the worker of a session or job, and is asked about it by the session's folder alone."""

    def submit(self, session: Session) -> None:
        """Have `python -m sails.jobs.worker SESSION_DIR` run, and return at once."""

    def state(self, session: Session) -> WorkerState:
        """Tell whether a worker is there now. Raises `WorkspaceError` when the status is damaged."""

    def stop(self, workspace: Workspace, session: Session) -> None:
        """Ask a session to end at its next step, or cancel one that waits.

        Raises `RequestError` when it has ended.
        """

    def logs(self, session: Session, lines: int = 20) -> tuple[str, ...]:
        """Return the last lines that its worker said."""


class LocalLauncher:
    """Each worker is a detached process on this machine; all that is known of it lies in its folder."""

    def submit(self, session: Session) -> None:
        start_worker(session)

    def state(self, session: Session) -> WorkerState:
        status = session.status()
        if status.state != "queued":
            return "running" if status.state == "running" else "ended"
        if system.is_held(session.lock):
            return "running"
        return "starting" if status.queued and sessions.may_be_starting(status.queued) else "absent"

    def stop(self, workspace: Workspace, session: Session) -> None:
        sessions.stop(workspace, session)
        if system.is_held(session.lock):
            try:
                start_module("sails.jobs.watchdog", [str(session.folder)], session.log)
            except OSError as error:  # it was asked; only one that hangs would go on
                log.warning("nobody sees to it that %s stops: %s", session.id, error)

    def logs(self, session: Session, lines: int = 20) -> tuple[str, ...]:
        return session.log_tail(lines)


LOCAL = LocalLauncher()


def launcher_for(_: Session) -> Launcher:
    """Return the launcher that runs this session or job: so far, all run on this machine."""
    return LOCAL


def dispatch(workspace: Workspace) -> None:
    """Start the first in the queue if nothing trains. Anybody may call this at any time."""
    if system.view_only() or not sessions.waiting(workspace) or system.is_held(workspace.training_lock):
        return
    try:
        if session := sessions.next_to_start(workspace):
            launcher_for(session).submit(session)
    except OSError as error:  # whoever looks next tries again
        log.warning("the next in the queue could not be started: %s", error)


def start_worker(session: Session) -> None:
    """Start `python -m sails.jobs.worker SESSION_DIR`, detached, with its output in the session's log."""
    start_module("sails.jobs.worker", [str(session.folder)], session.log)


def start_module(module: str, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start `python -m MODULE ARGUMENT…`, detached, with its output appended to `log`."""
    system.require_changes()
    environment = {
        **PATIENT_THREADS,
        **system.module_environment(),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return system.start_detached([sys.executable, "-m", module, *arguments], log, environment)
