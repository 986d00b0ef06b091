"""Who rolled back, reset or deleted: what leaves no other trace, an act a line in WORKSPACE/acts.jsonl.

Nothing in it is ever changed: it grows. Who started, stopped and decided stands with the session itself, and
who judged a correction with the correction.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ValidationError

from sails import system
from sails.models.workspace import Workspace

Kind = Literal["roll back", "reset", "delete"]

ACTS = "acts.jsonl"

log = logging.getLogger(__name__)


class Act(BaseModel, frozen=True):
    """What somebody did: rolled back to a version, took the current model away, or deleted a session."""

    act: Kind
    what: str  # the id of the session, or of the version where no session is known to have made its model
    who: str = ""
    when: datetime
    name: str = ""  # of a session that is gone, or that somebody gave the version
    left: str | None = None  # fingerprint of the model that was current before a roll back


def note_act(workspace: Workspace, act: Kind, what: str, *, name: str = "", left: str | None = None) -> None:
    """Write down what was done just now and by whom. What was done is not undone where that fails."""
    line = Act(act=act, what=what, who=system.actor(), when=datetime.now(UTC), name=name, left=left)
    try:
        text = line.model_dump_json(exclude_defaults=True) + "\n"
        system.append_lines(workspace.root / ACTS, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        log.warning("who did this could not be noted: %s", error)


def list_acts(workspace: Workspace) -> list[Act]:
    """Return all that was noted, oldest first; a damaged line is left out."""
    try:
        lines = (workspace.root / ACTS).read_bytes().splitlines()
    except OSError:
        return []
    return [act for line in lines if (act := _read(line))]


def describe_act(act: Act, title: str) -> str:
    """Say who did what, with `title` for a session that is here: Ann rolled back to rivers."""
    who = system.name_of(act.who)
    who = f"{who[0].upper()}{who[1:]}" if not act.who else who
    if act.act == "roll back":
        return f"{who} rolled back to {act.name or title}"
    if act.act == "reset":
        return f"{who} took the current model away"
    return f"{who} deleted the session {act.name or act.what}"


def _read(line: bytes) -> Act | None:
    try:
        return Act.model_validate_json(line)
    except ValidationError:
        return None
