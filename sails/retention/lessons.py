"""Which lessons a model was ever taught, and where their rows lie.

A session that made a model has written down the lessons taught before it (`status.lessons`), so the answer
follows the ancestors of a model, not the calendar. Rows whose files are gone are said to be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sails import sessions
from sails.conversations import Conversation, read_jsonl
from sails.errors import SailsError
from sails.retention.scores import Lesson
from sails.sessions import Session
from sails.workspace import Workspace

GONE = "Its examples were deleted."
ELSEWHERE = "The model came from elsewhere: what it was taught there cannot be measured."


def taught_to(workspace: Workspace, fingerprint: str | None) -> tuple[str, ...]:
    """The ids of the sessions whose lessons the model with this fingerprint was taught, oldest first."""
    made_by = sessions.ancestors(workspace, fingerprint)
    if not made_by:
        return ()
    maker = made_by[-1]
    if maker.status.lessons is not None:
        return (*maker.status.lessons, maker.session.id)
    return tuple(record.session.id for record in made_by)


def lessons(workspace: Workspace, ids: Sequence[str]) -> tuple[Lesson, ...]:
    """Each lesson with its name, and why it cannot be measured where that is so."""
    return tuple(_lesson(Session(workspace.sessions / identity)) for identity in ids)


def _lesson(session: Session) -> Lesson:
    try:
        name = session.spec().name
    except SailsError:
        return Lesson(session=session.id, name=session.id, missing=GONE)
    missing = None if (session.data / "train.jsonl").exists() else GONE
    return Lesson(session=session.id, name=name, missing=missing)


@dataclass(frozen=True)
class Rows:
    """The rows of one lesson, in the order in which they are sampled for measuring."""

    taught: tuple[Conversation, ...]
    held_out: tuple[Conversation, ...]


def rows_of(workspace: Workspace, identity: str) -> Rows:
    """The rows of a lesson, empty where they are gone or damaged."""
    data = Session(workspace.sessions / identity).data
    return Rows(_read(data / "train.jsonl"), _read(data / "heldout.jsonl"))


def _read(path: Path) -> tuple[Conversation, ...]:
    try:
        return tuple(sorted(read_jsonl(path), key=lambda row: row.fingerprint))
    except SailsError:
        return ()
