"""Files of a session that are lost or damaged, and new ones in their place from what the others tell.

damaged_files(session)              their names; empty for one that is well
repair_session(workspace, session)  the damaged ones are set aside, never deleted
"""

from __future__ import annotations

import os
import time

from pydantic import ValidationError

from sails import models, system
from sails.errors import BusyError, WorkspaceError
from sails.models import Workspace
from sails.sessions import damage
from sails.sessions.labels import LABELS, Labels
from sails.sessions.session import Session
from sails.sessions.spec import TrainSpec, read_spec, spec_as_json

SPEC, STATUS = "spec.json", "status.json"
NEW_SECONDS = 60.0  # so young a session may just be written by who asks for it


def damaged_files(session: Session) -> tuple[str, ...]:
    """Return which of its small files are missing or damaged; none while it is being made or runs."""
    try:
        if (
            time.time() - session.folder.stat().st_mtime < NEW_SECONDS
            and not (session.folder / SPEC).exists()
        ):
            return ()
    except OSError:
        return ()
    if system.is_held(session.lock):
        return ()
    damaged = []
    try:
        read_spec((session.folder / SPEC).read_bytes(), str(session.folder))
    except (OSError, ValidationError):
        damaged.append(SPEC)
    try:
        session.written_status()
    except (OSError, WorkspaceError):
        damaged.append(STATUS)
    else:
        if not (session.folder / STATUS).exists():
            damaged.append(STATUS)
    try:
        Labels.model_validate_json((session.folder / LABELS).read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, ValidationError):
        damaged.append(LABELS)
    return tuple(damaged)


def repair_session(workspace: Workspace, session: Session) -> None:
    """Write new files in place of the damaged ones; raises `BusyError` while its worker lives.

    What was asked stays lost, and so does what was measured: the new ones say so.
    """
    system.require_changes()
    if system.is_held(session.lock):
        raise BusyError(f"{session.id} is just being worked on.", "Try again when it has ended.")
    damaged = damaged_files(session)
    for name in damaged:
        if os.path.lexists(session.folder / name):
            models.put_aside(workspace, session.folder / name, keep=True)
    if SPEC in damaged:
        spec = damage.spec_from_rest(session.folder)
        system.write_atomic(session.folder / SPEC, spec_as_json(spec, workspace.root))
    if STATUS in damaged:
        asked = session.spec()
        if isinstance(asked, TrainSpec):
            can_resume = session.newest_checkpoint() is not None
            told = damage.status_from_rest(session.folder, asked, can_resume=can_resume)
            session.write_status(told)
    if LABELS in damaged:
        (session.folder / LABELS).unlink(missing_ok=True)
