"""The queue of a workspace: who waits, who is next, stopping and resuming. First come, first served."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from sails import system
from sails.errors import RequestError, WorkspaceError
from sails.models import Workspace, workspaces_in
from sails.sessions import damage
from sails.sessions.history import read_history, running
from sails.sessions.session import Session
from sails.sessions.status import Failure
from sails.system import read_json

MAX_STARTS = 3  # a worker that dies this often before it says "running" will not come up
START_SECONDS = 15  # how long a worker, or a watch, may take to say so


def may_be_starting(since: datetime | float) -> bool:
    """Tell whether a process that was started then (or at these seconds since 1970) may not be up yet.

    A clock that was set back must not hold up anybody: a start in the future counts as long ago.
    """
    moment = since.timestamp() if isinstance(since, datetime) else since
    return 0 <= time.time() - moment < START_SECONDS


class Waiting(BaseModel):
    # A folder among the sessions, and no way out of there.
    id: str = Field(pattern=r"^[^./\\\x00][^/\\\x00]*$", max_length=200)
    starts: int = 0
    last_start: float = 0.0  # seconds since 1970


class _Queue(BaseModel):
    waiting: list[Waiting]


def waiting(workspace: Workspace) -> list[Waiting]:
    """Return the sessions that wait, in their order; where the file is damaged, as the sessions tell it."""
    content = read_json(workspace.queue)
    if content is None and not workspace.queue.exists():
        return []
    try:
        return _Queue.model_validate(content).waiting
    except ValidationError:
        return _as_sessions_tell(workspace)


def _as_sessions_tell(workspace: Workspace) -> list[Waiting]:
    """The sessions that say that they wait, those that do so longest first."""
    since: dict[str, str] = {}
    for file in workspace.sessions.glob("[!.]*/status.json"):
        session = Session(file.parent)
        with contextlib.suppress(WorkspaceError):  # a damaged one does not say so
            status = session.written_status()
            if status.state == "queued" and not system.is_held(session.lock):
                since[session.id] = str(status.queued)
    return [Waiting(id=name) for name in sorted(since, key=lambda name: (since[name], name))]


def active(workspace: Workspace) -> str | None:
    """Return the id of the session that trains now, else of the first that waits."""
    if record := running(workspace):
        return record.spec.id
    return next((entry.id for entry in waiting(workspace)), None)


@contextlib.contextmanager
def one_more_training(workspace: Workspace) -> Iterator[None]:
    """Queue a training inside; `RequestError` where this person started or resumed as many as one may.

    Those in the workspaces beside count as well, so no two that are counted are queued at the same moment.
    """
    if system.limit("trainings") is None:
        yield
        return
    beside = system.allowed_root(Workspace.usual_root())
    with system.short_lock(beside / ".trainings.lock"):
        roots = {workspace.root, *workspaces_in(beside)}
        system.check_trainings(sum(_unfinished(system.actor(), root) for root in roots))
        yield


def _unfinished(who: str, root: Path) -> int:
    records = read_history(Workspace(root, root / "trained_model", root / "onnx_model"))
    going = [record for record in records if record.status.state in ("queued", "running")]
    return sum(who == (record.status.resumed_by or record.spec.started_by) for record in going)


def queue_is_damaged(workspace: Workspace) -> bool:
    """Tell whether the file is there and cannot be read, so that nobody knows who waits."""
    try:
        _Queue.model_validate_json(workspace.queue.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValidationError):
        return True
    return False


def _write_queue(workspace: Workspace, entries: list[Waiting]) -> None:
    system.write_atomic(workspace.queue, _Queue(waiting=entries).model_dump_json())


def _queue_lock(workspace: Workspace) -> Path:
    return workspace.root / "queue.lock"


def queue_at_rest(workspace: Workspace) -> contextlib.AbstractContextManager[None]:
    """While it is held, nobody joins or leaves the queue, and no session is started from it."""
    return system.short_lock(_queue_lock(workspace))


def enqueue(workspace: Workspace, session: Session) -> None:
    system.require_changes()
    with system.short_lock(_queue_lock(workspace)):
        entries = waiting(workspace)
        is_new = all(entry.id != session.id for entry in entries)
        if is_new or queue_is_damaged(workspace):  # then `entries` is what the sessions say, this one as well
            _write_queue(workspace, [*entries, Waiting(id=session.id)] if is_new else entries)


def dequeue(workspace: Workspace, session_id: str) -> bool:
    """Take a session out of the queue; False when it was not in it."""
    system.require_changes()
    with system.short_lock(_queue_lock(workspace)):
        entries = waiting(workspace)
        left = [entry for entry in entries if entry.id != session_id]
        if len(left) < len(entries):
            _write_queue(workspace, left)
        return len(left) < len(entries)


def next_to_start(workspace: Workspace) -> Session | None:
    """Return the first in the queue, with this start counted; None when there is none or it is just starting.

    One that never comes up is failed and passed over.
    """
    system.require_changes()
    with system.short_lock(_queue_lock(workspace)):
        entries = waiting(workspace)
        while entries:
            first = entries[0]
            session = Session(workspace.sessions / first.id)
            if session.folder.exists() and may_be_starting(first.last_start):
                return None
            if session.folder.exists() and first.starts < MAX_STARTS:
                first.starts, first.last_start = first.starts + 1, time.time()
                _write_queue(workspace, entries)
                return session
            entries = entries[1:]
            if session.folder.exists():
                _fail_to_start(session)
            _write_queue(workspace, entries)
    return None


def _fail_to_start(session: Session) -> None:
    failure = Failure(
        kind="unknown",
        message=f"The worker could not be started in {MAX_STARTS} tries.",
        remedy="The last lines of the log say why.",
        log_tail=session.log_tail(),
    )
    changes = {"state": "failed", "phase": "done", "ended": datetime.now(UTC), "failure": failure}
    session.write_status(session.status().model_copy(update=changes))


@system.changes("stop a session", what="session")
def stop(workspace: Workspace, session: Session) -> None:
    """Ask a running session to end, or cancel one that waits. Raises `RequestError` when it has ended."""
    status = session.status()
    if status.state not in ("queued", "running"):
        raise RequestError(f"{session.id} is not running: it is {status.state}.")
    session.request_stop()
    dequeue(workspace, session.id)
    # Without a worker nobody else will say so; the queue may have lost it, when its writer was killed.
    if not system.is_held(session.lock) and (status := session.written_status()).state == "queued":
        changes = {"state": "stopped", "ended": datetime.now(UTC), "message": "Cancelled in the queue"}
        session.write_status(status.model_copy(update={**changes, "stopped_by": system.actor()}))


@system.changes("resume a session", what="session")
def resume(workspace: Workspace, session: Session) -> None:
    """Put a stopped or interrupted session back into the queue. Raises `RequestError` otherwise."""
    status = session.status()
    if not status.resumable:
        raise RequestError(
            f"{session.id} cannot be resumed: it is {status.state}.",
            "Only sessions that were stopped or interrupted, or found the disk full, can be resumed.",
        )
    if damage.is_from_rest(session.written_spec()):
        raise WorkspaceError(f"{session.id} cannot be resumed. {damage.LOST_SPEC}", damage.REMEDY)
    session.check_place()
    with one_more_training(workspace):
        session.clear_stop()
        changes = {"state": "queued", "queued": datetime.now(UTC), "ended": None, "pid": None, "message": ""}
        who = {"stopped_by": None, "resumed_by": system.actor(), "failure": None}
        session.write_status(status.model_copy(update={**changes, **who}))
        enqueue(workspace, session)
