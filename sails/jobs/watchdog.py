"""Ends a worker that was asked to stop and hangs: `python -m sails.jobs.watchdog SESSION_DIR`.

Whoever asks starts it, and it ends with the worker; so nobody has to look.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sails import sessions, system
from sails.jobs import launcher
from sails.models import Workspace
from sails.sessions import Session


def watch(folder: str) -> None:
    """Wait until the worker of the session in `folder` has stopped, or end it and start the next."""
    session = Session(Path(folder).absolute())
    if sessions.end_if_stuck(session):
        launcher.dispatch(Workspace.open(session.folder.parent.parent))


if __name__ == "__main__":
    system.keep_private()
    watch(sys.argv[1])
