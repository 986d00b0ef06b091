"""The history of a workspace: every session, found and read once; what runs; which model came from which."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sails import system
from sails.errors import SailsError, WorkspaceError
from sails.models import Workspace
from sails.sessions import damage
from sails.sessions.labels import NONE, Labels, labels_of
from sails.sessions.session import Session
from sails.sessions.spec import AnySpec, ReplaySpec, read_spec
from sails.sessions.status import Status
from sails.system import Stamp, stamp_or_none


@dataclass(frozen=True)
class SessionRecord:
    """One line of the history."""

    session: Session
    spec: AnySpec
    status: Status
    labels: Labels = NONE

    def brief(self) -> dict[str, Any]:
        """Return the short form, ready for JSON."""
        plan, results = self.status.plan, self.status.results
        return {
            "id": self.spec.id,
            "name": self.spec.name,
            "kind": self.spec.kind,
            "created": self.spec.created.isoformat(),
            "state": self.status.state,
            "phase": self.status.phase,
            "step": self.status.step,
            "total_steps": self.status.total_steps,
            "verdict": self.status.verdict,
            "started_by": system.name_of(self.spec.started_by) or None,
            "stopped_by": system.name_of(self.status.stopped_by) or None,
            "resumed_by": system.name_of(self.status.resumed_by) or None,
            "decided_by": system.name_of(self.status.decided_by) or None,
            "dataset": getattr(self.spec, "dataset", None),
            "row": plan.row if plan else None,
            "start_from": plan.start_from if plan else None,
            "learning_rate": plan.learning_rate if plan else None,
            "automatic_learning_rate": plan.automatic_learning_rate if plan else None,
            "learning_rate_chosen_by": plan.learning_rate_chosen_by if plan else None,
            "loss_before": results.taught_before.loss if results.taught_before else None,
            "loss_after": results.taught_after.loss if results.taught_after else None,
            "seconds": self.seconds,
            "tags": list(self.labels.tags) or None,
            "note": self.labels.note or None,
        }

    @property
    def ended(self) -> bool:
        """Whether it began and does not go on; what was taken out of the queue never was a training."""
        cancelled = self.status.state == "stopped" and self.status.started is None
        return self.status.state not in ("queued", "running") and not cancelled

    @property
    def seconds(self) -> float | None:
        """How long it has run, in seconds; None when it has not started."""
        if not self.status.started:
            return None
        end = self.status.ended or self.status.heartbeat or datetime.now(UTC)
        return round((end - self.status.started).total_seconds(), 1)

    def full(self) -> dict[str, Any]:
        """Everything: spec, status, plan as carried out, final metrics, verdict."""
        return {
            **self.brief(),
            "spec": self.spec.model_dump(mode="json"),
            "status": self.status.model_dump(mode="json"),
            "plan": self.status.plan.model_dump(mode="json") if self.status.plan else None,
            "metrics": self.status.results.model_dump(mode="json"),
        }


def record(session: Session) -> SessionRecord:
    spec = session.spec()
    return SessionRecord(session, spec, damage.with_note(spec, session.status()), labels_of(session))


def titles(records: Iterable[SessionRecord]) -> dict[str, str]:
    """Return what to call each session, by its id: its name, with a number where an earlier one has it too.

    `records` are all of a workspace, oldest first, so that a session is called the same everywhere.
    """
    called: dict[str, str] = {}
    numbers: Counter[str] = Counter()
    taken: set[str] = set()
    for record in records:
        title = name = record.spec.name
        while title in taken:
            numbers[name] += 1
            title = f"{name} ({numbers[name] + 1})"
        taken.add(title)
        called[record.session.id] = title
    return called


def title(workspace: Workspace, session: Session) -> str:
    """Return what to call a session among all of its workspace, as `titles` does; a job by its own name.

    A replay is called as the session that it plays.
    """
    called = titles(read_history(workspace))
    if session.id in called:
        return called[session.id]
    try:
        spec = session.spec()
    except SailsError:
        return session.id
    return called.get(spec.session, spec.name) if isinstance(spec, ReplaySpec) else spec.name


def read_history(workspace: Workspace) -> list[SessionRecord]:
    """Return all training sessions, oldest first; of a damaged one what its other files tell.

    What was read once is kept, so that asking again costs one look at each session.
    """
    return _index(workspace.sessions).records()


def write_down_verdicts(workspace: Workspace) -> None:
    """Write *published* where somebody published a held model and died before it could be written.

    Until then it is told by the model's fingerprint, which is gone one day with the oldest version.
    """
    system.require_changes()
    for record in read_history(workspace):
        if record.status.verdict != "published":
            continue
        with contextlib.suppress(WorkspaceError):  # damaged: what its models tell is told anew each time
            written = record.session.written_status()
            if written.verdict != "published":
                record.session.write_status(written.model_copy(update={"verdict": "published"}))


SETTLED_SECONDS = 2.0  # a file changed more recently may change again without its time or size telling


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was read of one session, and how its status file looked just before."""

    file: Stamp | None
    settled: bool
    record: SessionRecord | None  # with the state as it was written; None: damaged


class _Index:
    """The records of one folder of sessions; a file that did not change since is not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._guard = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._last_running: str | None = None

    def records(self) -> list[SessionRecord]:
        with self._guard:
            names = _names(self.folder)
            with system.no_collection(len(names) - len(self._entries)):
                entries = {name: entry for name in names if (entry := self._entry(name))}
            self._entries = entries  # a new one, so that what was deleted is forgotten
        found = (entry.record for entry in entries.values())
        return [now for record in found if record and (now := _as_it_is_now(record))]

    def running(self) -> SessionRecord | None:
        """Return the session that runs, which was most likely the one that ran a moment ago."""
        last = self._last_running
        if last is not None:
            with contextlib.suppress(SailsError):
                found = record(Session(self.folder / last))
                if found.status.state == "running":
                    return found
        runs = next((r for r in reversed(self.records()) if r.status.state == "running"), None)
        self._last_running = runs.session.id if runs else None
        return runs

    def _entry(self, name: str) -> _Entry | None:
        """What is known of a session, read again if need be; None where there is no spec (any more)."""
        folder = f"{self.folder}{os.sep}{name}"  # not a Path: of those, thousands cost more than the reading
        file = stamp_or_none(f"{folder}/status.json")
        known = self._entries.get(name)
        # The spec never changes, so the status alone tells; without one, the session may have been deleted.
        if known is not None and known.settled and file is not None and known.file == file:
            return known
        now = time.time_ns()
        try:
            with open(f"{folder}/spec.json", "rb") as opened:
                settled = _is_settled(os.fstat(opened.fileno()).st_mtime_ns, now)
                spec = read_spec(opened.read(), folder)
            status = Status()
            if file is not None:
                settled = settled and _is_settled(file.modified_ns, now)
                with open(f"{folder}/status.json", "rb") as opened:
                    status = Status.model_validate_json(opened.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValidationError:
            return _Entry(file, False, _damaged(Session(Path(folder))))
        except OSError as error:
            damaged = _damaged(Session(Path(folder))) if system.is_absent(error) else None
            return _Entry(file, False, damaged)
        session = Session(Path(folder))
        return _Entry(file, settled, SessionRecord(session, spec, status, labels_of(session)))


def _damaged(session: Session) -> SessionRecord | None:
    """What the other files of a session tell; None for a job, and when nothing can be read."""
    with contextlib.suppress(SailsError, OSError):
        return record(session)
    return None


def _is_settled(written: int, now: int) -> bool:
    return abs(now - written) > SETTLED_SECONDS * 1e9


def _names(folder: Path) -> list[str]:
    """What lies in a folder of sessions, in order of time; hidden are those that are just being deleted."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        if system.is_absent(error):
            return []
        raise


def _as_it_is_now(written: SessionRecord) -> SessionRecord | None:
    """A record whose worker, or who published its model, may have died; None when it is damaged by now."""
    if written.status.state != "running" and not written.session.may_be_published(written.status):
        return written
    try:
        return replace(written, status=written.session.status())
    except (SailsError, OSError):
        return None


@lru_cache(maxsize=8)  # as many workspaces as one dashboard is likely to show at a time
def _index(folder: Path) -> _Index:
    return _Index(folder)


def find(workspace: Workspace, wanted: str) -> Session:
    """A session or job by its id, the end of its id, or `last`; raises `WorkspaceError` unless it is one."""
    if re.fullmatch(r"\w[\w.-]{0,99}", wanted):  # what a folder of a session may be called
        for folder in (workspace.sessions, workspace.jobs):
            if (folder / wanted / "spec.json").exists():
                return Session(folder / wanted)
    names = _names(workspace.sessions)
    called = reversed(names) if wanted == "last" else (n for n in names if n.endswith(f"-{wanted}"))
    there = (name for name in called if (workspace.sessions / name / "spec.json").exists())
    matches = list(islice(there, 1) if wanted == "last" else there)
    if len(matches) == 1:
        return Session(workspace.sessions / matches[0])
    name = wanted[:100]  # it may come from an address, of any length
    problem = f"{len(matches)} sessions are called {name}" if matches else f"There is no session {name!r}"
    remedy = "All that there are stand on the page Sessions, and in `sails sessions list`."
    raise WorkspaceError(f"{problem} in {workspace.root}.", remedy)


def running(workspace: Workspace) -> SessionRecord | None:
    """Return the training session that runs now; costs next to nothing while none does."""
    if not system.is_held(workspace.training_lock):
        return None
    return _index(workspace.sessions).running()


def running_jobs(workspace: Workspace) -> list[SessionRecord]:
    """Return the exports and replays that run now or are just starting, oldest first."""
    return [r for r in _index(workspace.jobs).records() if r.status.state in ("queued", "running")]
