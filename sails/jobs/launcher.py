"""Start workers on this machine, each in a process group of its own, and keep the queue moving.

A worker outlives whoever started it. Stopping one is a request in its folder (`sails.sessions.stop`), so
nobody ever signals a process that might be somebody else's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sails import sessions, system
from sails.models import Workspace
from sails.sessions import Session

# OpenMP's threads spin while they wait for each other. On a machine that does anything else besides, that
# made a training step five times slower and more; sleeping costs little where nothing else runs.
PATIENT_THREADS = {"GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def dispatch(workspace: Workspace) -> subprocess.Popen[bytes] | None:
    """Start the first in the queue if nothing trains. Anybody may call this at any time."""
    if system.view_only() or not sessions.waiting(workspace) or system.is_held(workspace.training_lock):
        return None
    session = sessions.next_to_start(workspace)
    return start_worker(session) if session else None


def start_worker(session: Session) -> subprocess.Popen[bytes]:
    """Start `python -m sails.jobs.worker SESSION_DIR`, detached, with its output in the session's log."""
    return start_module("sails.jobs.worker", [str(session.folder)], session.log)


def start_module(module: str, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start `python -m MODULE ARGUMENT…`, detached, with its output appended to `log`."""
    system.require_changes()
    package = Path(__file__).resolve().parents[2]
    paths = [str(package), os.environ.get("PYTHONPATH", "")]
    environment = {
        **PATIENT_THREADS,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return system.start_detached([sys.executable, "-m", module, *arguments], log, environment)
