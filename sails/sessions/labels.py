"""What people write beside a session: tags and a note, in a small file of its folder.

label(session, tags=("baseline",), note="Compare with the next one.")
labels_of(session).tags
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from pydantic import BaseModel, ValidationError

from sails import system
from sails.errors import RequestError, WorkspaceError
from sails.sessions.session import Session

LABELS = "labels.json"
LONGEST_TAG = 30  # characters
MAX_TAGS = 10
LONGEST_NOTE = 2_000  # characters


class Labels(BaseModel, frozen=True):
    tags: tuple[str, ...] = ()
    note: str = ""


NONE = Labels()


def labels_of(session: Session) -> Labels:
    """Return the tags and the note of a session; none where nobody wrote any, or the file is damaged."""
    try:
        return Labels.model_validate_json((session.folder / LABELS).read_bytes())
    except (OSError, ValidationError):
        return NONE


@system.changes(
    "write tags or a note", what="session", folder=lambda session, **_: session.folder.parent.parent
)
def label(session: Session, *, tags: Iterable[str] | None = None, note: str | None = None) -> Labels:
    """Write other tags, another note, or both; returns what the session has now.

    Raises `RequestError` for too many or too long ones, `WorkspaceError` when the session is gone.
    """
    labels = labels_of(session)
    if tags is not None:
        labels = labels.model_copy(update={"tags": _checked_tags(tags)})
    if note is not None:
        labels = labels.model_copy(update={"note": _checked_note(note)})
    if not (session.folder / "spec.json").exists():
        raise WorkspaceError(f"There is no session {session.id} any more.", "It may have been deleted.")
    system.write_atomic(session.folder / LABELS, labels.model_dump_json(indent=1))
    with contextlib.suppress(OSError):  # whoever keeps the history looks at the status alone to see a change
        os.utime(session.folder / "status.json")
    return labels


def _checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    wanted: dict[str, str] = {}
    for tag in tags:
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in tag).split())
        if len(line) > LONGEST_TAG:
            raise RequestError(
                f"The tag {line[:LONGEST_TAG]}… is too long.", f"Use at most {LONGEST_TAG} characters."
            )
        if line:
            wanted.setdefault(line.casefold(), line)
    if len(wanted) > MAX_TAGS:
        raise RequestError(f"{len(wanted)} tags are too many.", f"Use at most {MAX_TAGS}.")
    return tuple(wanted.values())


def _checked_note(note: str) -> str:
    text = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in note).strip()
    if len(text) > LONGEST_NOTE:
        raise RequestError(
            f"The note has {len(text):,} characters.", f"Shorten it to {LONGEST_NOTE:,} at the most."
        )
    return text
