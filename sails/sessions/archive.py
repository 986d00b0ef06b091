"""A session as a file to keep, and a session that is not wanted any more.

write_zip(session, stream)      what was asked, taught, measured and answered; never a model
delete(workspace, session)      gone at once, unless a model that is still here needs it
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from sails import models, system
from sails.errors import BusyError, RequestError
from sails.models import Workspace
from sails.sessions import history, lineage, queue
from sails.sessions.history import SessionRecord
from sails.sessions.session import Session

FILES = ("spec.json", "status.json", "metrics.jsonl", "train.log", "retention.json", "labels.json")
TELLING = ("spec.json", "status.json", "train.log")  # they name folders and the machine
_PATH = re.compile(r"(?<![\w.:/…])/(?:[^\s/:;,\"'<>|]+/)+|\b[A-Za-z]:(?:\\+[^\\\s\"']+)*\\+(?=[^\\\s])")
_HOST = re.compile(r'("host": ?)"[^"]*"')
ANSWERS = "answers.json"  # made for the file: the answers before and after, which lie among the metrics


def write_zip(session: Session, stream: BinaryIO) -> None:
    """Write everything about a session but its model and checkpoints; `WorkspaceError` when it is gone.

    What a link leads to stays here, and so do the names of this machine and of its folders.
    """
    session.spec()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in (*(session.folder / name for name in FILES), *sorted(session.data.glob("*.jsonl"))):
            if not _is_own(session, path):
                continue
            name = f"{session.id}/{path.relative_to(session.folder).as_posix()}"
            with contextlib.suppress(FileNotFoundError):  # a running session replaces its status
                if path.name in TELLING:
                    text = path.read_text(encoding="utf-8", errors="replace")
                    archive.writestr(name, _without_places(text, session))
                else:
                    archive.write(path, name)
        if answers := _answers(session):
            text = json.dumps(answers, ensure_ascii=False, indent=1)
            archive.writestr(f"{session.id}/{ANSWERS}", text)


def _is_own(session: Session, path: Path) -> bool:
    """Whether a file lies in the session's folder, and no link below `sessions` leads to it."""
    sessions = session.folder.parent
    real = Path(os.path.realpath(sessions)) / path.relative_to(sessions)
    return path.is_file() and os.path.realpath(path) == str(real)


def _without_places(text: str, session: Session) -> str:
    """The text without this machine's name, and with no more of a path than its end."""
    root = str(session.folder.parent.parent)
    for place in (root, json.dumps(root)[1:-1]):
        text = text.replace(place, "WORKSPACE")
    text = _HOST.sub(r'\1""', text)
    return _PATH.sub("…/", text)


def _answers(session: Session) -> dict[str, Any]:
    """What it answered `before` and `after`; the other lines, maybe a million, are passed over."""
    found: dict[str, Any] = {}
    if not _is_own(session, session.metrics):
        return found
    with contextlib.suppress(FileNotFoundError), open(session.metrics, "rb") as lines:
        for line in lines:
            if b'"answers"' in line[:40]:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    metric = json.loads(line)
                    found[metric["when"]] = metric["items"]
    return found


def why_not_deletable(workspace: Workspace, record: SessionRecord) -> str | None:
    """Tell why a session cannot be deleted, in a sentence; None when it can."""
    if record.status.state in ("queued", "running"):
        return "It has not ended yet: stop it first."
    need = lineage.needed(workspace, history.read_history(workspace)).get(record.session.id)
    return lineage.why_needed(need) if need else None


@system.changes("delete a session", what="session")
def delete(workspace: Workspace, session: Session) -> None:
    """Delete a session with all its files, also with the model that it holds back.

    Never one that has not ended, nor one that a model which is still here goes back to: `RequestError` says
    why. `BusyError` while its candidate may just be published. It disappears at once; killed on the way, the
    rest of its files goes with the next deletion.
    """
    deleted = session.folder.with_name(f".{session.id}.deleted")
    with contextlib.ExitStack() as held:
        # Meanwhile nobody resumes or starts a session, or publishes what it holds back.
        if history.record(session).status.verdict in ("held", "discarded"):
            held.enter_context(models.exclusive_training(workspace))
        held.enter_context(queue.queue_at_rest(workspace))
        reason = why_not_deletable(workspace, history.record(session))
        if reason:
            raise RequestError(f"{session.id} cannot be deleted. {reason}")
        if system.is_held(session.lock):
            raise BusyError(f"{session.id} is just being worked on.", "Try again in a minute.")
        shutil.rmtree(deleted, ignore_errors=True)
        name = session.spec().name
        system.rename(session.folder, deleted)
        models.note_act(workspace, "delete", session.id, name=name)
    # Also what an earlier deletion left when it was killed.
    for half_deleted in workspace.sessions.glob(".*.deleted"):
        shutil.rmtree(half_deleted, ignore_errors=True)
    shutil.rmtree(workspace.tokens, ignore_errors=True)  # its rows may be told from them
