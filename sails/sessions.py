"""A session's spec, status and metrics; the queue; the history; readers that never read twice.

A session is a folder (`DESIGN`: spec.json, status.json, metrics.jsonl, train.log, lock, data/, model/).
The worker is its only writer while it runs; everybody else reads. Jobs (an export, say) have the same
shapes in `jobs/ID`. Nothing here knows how a worker is started or what it does.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sails import access, locks
from sails.behavior import Plan, Start
from sails.errors import RequestError, SailsError, WorkspaceError
from sails.workspace import Workspace, new_id, read_json

State = Literal["queued", "running", "succeeded", "failed", "stopped", "interrupted"]
Phase = Literal["queued", "prepare", "train", "judge", "publish", "export", "done"]
Verdict = Literal["published", "held", "discarded"]
Preset = Literal["quick", "balanced", "thorough"]

CHECKPOINT_COMPLETE = "complete"  # the file that marks a checkpoint written to its end
RESUMABLE = ("stopped", "interrupted")
_ID = re.compile(r"\w[\w.-]{0,99}")  # what a folder of a session may be called
MAX_STARTS = 3  # a worker that dies this often before it says "running" will not come up
START_SECONDS = 15  # how long a worker may take to say so

# --- what is asked --------------------------------------------------------------------------------


class Settings(BaseModel):
    """How to train. None means: the preset chooses, from the number of rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset = "balanced"
    epochs: int | None = Field(None, ge=1, le=1000)
    batch_size: int | None = Field(None, ge=1, le=4096)  # rows; fixes them instead of the token budget
    max_steps: int | None = Field(None, ge=1)
    learning_rate: float | None = None  # None: the behavior matrix chooses
    seed: int = Field(42, ge=0, lt=2**32)
    max_length: int = Field(512, ge=16)  # tokens of one conversation
    early_stop: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class TrainSpec(BaseModel):
    """What was asked of a training session; never changes."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["train"] = "train"
    id: str
    name: str
    created: datetime
    dataset: str  # its folder in datasets/
    rows: int
    start: Start = "auto"
    model_name: str | None = None  # a base model that the person named
    settings: Settings = Settings()
    export: bool = False
    verify: bool = False
    opset: int | None = None
    trained_model: Path
    onnx_model: Path


class ExportSpec(BaseModel):
    """What was asked of an export job: one model folder to one ONNX folder."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["export", "baseline"] = "export"
    id: str
    name: str
    created: datetime
    model: str  # a model folder, or for a baseline a base model's name
    onnx_output: Path
    verify: bool = False
    opset: int | None = None
    prompts: tuple[str, ...] = ()


class ReplaySpec(BaseModel):
    """A training session that is played again for an audience: nothing is trained, its files are read out."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["replay"] = "replay"
    id: str
    name: str
    created: datetime
    session: str  # the id of the recorded session
    seconds: float = Field(60.0, gt=0, le=3600)  # how long the replay takes


AnySpec = TrainSpec | ExportSpec | ReplaySpec
Spec = Annotated[AnySpec, Field(discriminator="kind")]
_SPEC: TypeAdapter[AnySpec] = TypeAdapter(Spec)

# --- what became of it ----------------------------------------------------------------------------


class Failure(BaseModel):
    """Why a session failed, in words for a person; `kind` is the error's kind in `sails.errors`."""

    kind: str
    message: str
    remedy: str = ""
    log_tail: tuple[str, ...] = ()


class Scores(BaseModel):
    """Mean loss in nats a token and share of answer tokens predicted right, over some rows."""

    loss: float
    accuracy: float
    rows: int


class Results(BaseModel):
    """What was measured: `taught` on rows that this session taught, `held_out` on rows never taught."""

    taught_before: Scores | None = None
    taught_after: Scores | None = None
    held_out_before: Scores | None = None
    held_out_after: Scores | None = None
    rows_taught: int = 0
    rows_held_out: int = 0
    rows_new: int = 0  # of the rows taught, those that this model had never been taught
    steps: int = 0
    epochs: float = 0.0
    tokens: int = 0  # without padding
    tokens_per_second: float = 0.0
    peak_memory: int = 0  # bytes
    seconds: dict[str, float] = {}  # by phase
    precision: str = ""
    device: str = ""
    certificate: dict[str, Any] | None = None  # of the ONNX export, when verified


class Status(BaseModel):
    """Where a session stands; replaced as a whole, by one writer."""

    state: State = "queued"
    phase: Phase = "queued"
    phase_started: datetime | None = None  # so that a reader can tell how fast the phase goes
    step: int = 0
    total_steps: int = 0
    progress: float = 0.0  # of the phase, 0 to 1
    message: str = ""
    pid: int | None = None
    pid_created: float | None = None
    host: str = ""
    heartbeat: datetime | None = None
    queued: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    plan: Plan | None = None
    verdict: Verdict | None = None
    verdict_reason: str = ""
    parent: str | None = None  # fingerprint of the model it started from; None from base
    replaces: str | None = None  # fingerprint of the model that was current at the start
    fingerprint: str | None = None  # of the candidate
    failure: Failure | None = None
    results: Results = Results()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Session:
    """One session's (or job's) folder and what lies in it."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        return self.folder / "train.log"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """The candidate, until it is published."""
        return self.folder / "model"

    def newest_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written to its end, and is thus safe to resume from."""
        complete = [path.parent for path in self.checkpoints.glob(f"checkpoint-*/{CHECKPOINT_COMPLETE}")]
        return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def spec(self) -> AnySpec:
        """What was asked; raises `WorkspaceError` when the file is missing or damaged."""
        try:
            return _SPEC.validate_json((self.folder / "spec.json").read_bytes())
        except FileNotFoundError as error:
            raise WorkspaceError(
                f"There is no session in {self.folder}.", "See `sails sessions list`."
            ) from error
        except ValidationError as error:
            raise WorkspaceError(f"The spec of {self.id} is damaged.", "Start the session anew.") from error

    def status(self) -> Status:
        """The status as a reader must understand it: `running` without a living worker is *interrupted*."""
        status = self.written_status()
        if status.state == "running" and not self._worker_lives(status):
            # The worker may have ended between the two reads; what it wrote last counts.
            status = self.written_status()
            if status.state == "running":
                return status.model_copy(update={"state": "interrupted"})
        return status

    def written_status(self) -> Status:
        """The status as the worker wrote it last."""
        try:
            return Status.model_validate_json((self.folder / "status.json").read_bytes())
        except FileNotFoundError:
            return Status()
        except ValidationError as error:
            raise WorkspaceError(f"The status of {self.id} is damaged.", "Start the session anew.") from error

    def write_status(self, status: Status) -> None:
        locks.write_atomic(self.folder / "status.json", status.model_dump_json(indent=1))

    def request_stop(self) -> None:
        """Ask the worker to end at its next step. A file, so that it works from any machine and system."""
        (self.folder / "stop").touch()

    def stop_requested(self) -> bool:
        return (self.folder / "stop").exists()

    def clear_stop(self) -> None:
        (self.folder / "stop").unlink(missing_ok=True)

    def log_tail(self, lines: int = 20) -> tuple[str, ...]:
        try:
            with open(self.log, "rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - 20_000))
                return tuple(file.read().decode("utf-8", "replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ()

    def _worker_lives(self, status: Status) -> bool:
        if not locks.is_held(self.lock):
            return False
        if status.pid is None or status.pid_created is None:
            return True
        return locks.is_alive(locks.ProcessIdentity(status.pid, status.pid_created, status.host))


def create(folder: Path, spec: AnySpec) -> Session:
    """Make the folder of a session or job with its spec and a first status `queued`."""
    access.require_changes()
    session = Session(folder / spec.id)
    session.folder.mkdir(parents=True)
    session.write_status(Status(queued=datetime.now(UTC)))
    locks.write_atomic(session.folder / "spec.json", spec.model_dump_json(indent=1))
    return session


def free_id(folder: Path, name: str) -> str:
    """An id that no session in `folder` has yet."""
    base = new_id(name)
    numbers = (f"{base}-{n}" for n in range(2, 10_000))
    return next(i for i in (base, *numbers) if not (folder / i).exists())


# --- the queue ------------------------------------------------------------------------------------


class Waiting(BaseModel):
    id: str
    starts: int = 0
    last_start: float = 0.0  # seconds since 1970


class _Queue(BaseModel):
    waiting: list[Waiting] = []


def waiting(workspace: Workspace) -> list[Waiting]:
    """Who waits, first first. A damaged file counts as an empty queue."""
    try:
        return _Queue.model_validate(read_json(workspace.queue) or {}).waiting
    except ValidationError:
        return []


def _write_queue(workspace: Workspace, entries: list[Waiting]) -> None:
    locks.write_atomic(workspace.queue, _Queue(waiting=entries).model_dump_json())


def _queue_lock(workspace: Workspace) -> Path:
    return workspace.root / "queue.lock"


def queue_at_rest(workspace: Workspace) -> contextlib.AbstractContextManager[None]:
    """While it is held, nobody joins or leaves the queue, and no session is started from it."""
    return locks.short_lock(_queue_lock(workspace))


def enqueue(workspace: Workspace, session: Session) -> None:
    access.require_changes()
    with locks.short_lock(_queue_lock(workspace)):
        entries = waiting(workspace)
        if all(entry.id != session.id for entry in entries):
            _write_queue(workspace, [*entries, Waiting(id=session.id)])


def dequeue(workspace: Workspace, session_id: str) -> bool:
    """Take a session out of the queue; False when it was not in it."""
    with locks.short_lock(_queue_lock(workspace)):
        entries = waiting(workspace)
        left = [entry for entry in entries if entry.id != session_id]
        if len(left) < len(entries):
            _write_queue(workspace, left)
        return len(left) < len(entries)


def next_to_start(workspace: Workspace) -> Session | None:
    """The first in the queue, with this start counted; None when there is none or it is just starting.

    One that never comes up is failed and passed over.
    """
    with locks.short_lock(_queue_lock(workspace)):
        entries = waiting(workspace)
        while entries:
            first = entries[0]
            session = Session(workspace.sessions / first.id)
            # A clock that was set back must not hold up the queue, hence the 0.
            if session.folder.exists() and 0 <= time.time() - first.last_start < START_SECONDS:
                return None
            if session.folder.exists() and first.starts < MAX_STARTS:
                first.starts, first.last_start = first.starts + 1, time.time()
                _write_queue(workspace, entries)
                return session
            entries = entries[1:]
            if session.folder.exists():
                with contextlib.suppress(WorkspaceError):  # a damaged status cannot be changed
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
    session.write_status(session.written_status().model_copy(update=changes))


def stop(workspace: Workspace, session: Session) -> None:
    """Ask a running session to end, or cancel one that waits. Raises `RequestError` when it has ended."""
    access.require_changes()
    status = session.status()
    if status.state not in ("queued", "running"):
        raise RequestError(f"{session.id} is not running: it is {status.state}.")
    session.request_stop()
    dequeue(workspace, session.id)
    # Without a worker nobody else will say so; the queue may have lost it, when its writer was killed.
    if not locks.is_held(session.lock) and (status := session.written_status()).state == "queued":
        ended = {"state": "stopped", "ended": datetime.now(UTC), "message": "Cancelled in the queue"}
        session.write_status(status.model_copy(update=ended))


def resume(workspace: Workspace, session: Session) -> None:
    """Put a stopped or interrupted session back into the queue. Raises `RequestError` otherwise."""
    access.require_changes()
    status = session.status()
    if status.state not in RESUMABLE:
        raise RequestError(
            f"{session.id} cannot be resumed: it is {status.state}.",
            "Only stopped and interrupted sessions can be resumed.",
        )
    session.clear_stop()
    changes = {"state": "queued", "queued": datetime.now(UTC), "ended": None, "pid": None, "message": ""}
    session.write_status(status.model_copy(update=changes))
    enqueue(workspace, session)


# --- the history ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One line of the history."""

    session: Session
    spec: AnySpec
    status: Status

    def brief(self) -> dict[str, Any]:
        """The short form, ready for JSON."""
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
            "dataset": getattr(self.spec, "dataset", None),
            "row": plan.row if plan else None,
            "start_from": plan.start_from if plan else None,
            "learning_rate": plan.learning_rate if plan else None,
            "automatic_learning_rate": plan.automatic_learning_rate if plan else None,
            "learning_rate_chosen_by": plan.learning_rate_chosen_by if plan else None,
            "loss_before": results.taught_before.loss if results.taught_before else None,
            "loss_after": results.taught_after.loss if results.taught_after else None,
            "seconds": self.seconds,
        }

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


def record(session: Session) -> Record:
    return Record(session, session.spec(), session.status())


def history(workspace: Workspace) -> list[Record]:
    """All training sessions, oldest first; a damaged one is left out.

    What was read once is kept, so that asking again costs one look at each session.
    """
    return _index(workspace.sessions).records()


SETTLED_SECONDS = 2.0  # a file changed more recently may change again without its time or size telling
_FileState = tuple[int, int, int]  # when it was written in ns, how long it is in bytes, and its inode


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was read of one session, and how its status file looked just before."""

    file: _FileState | None
    settled: bool
    record: Record | None  # with the state as it was written; None: damaged


class _Index:
    """The records of one folder of sessions; a file that did not change since is not read again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._guard = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._last_running: str | None = None

    def records(self) -> list[Record]:
        with self._guard:
            names = _names(self.folder)
            with _no_collection(len(names) - len(self._entries)):
                entries = {name: entry for name in names if (entry := self._entry(name))}
            self._entries = entries  # a new one, so that what was deleted is forgotten
        found = (entry.record for entry in entries.values())
        return [now for record in found if record and (now := _as_it_is_now(record))]

    def running(self) -> Record | None:
        """The session that runs, which was most likely the one that ran a moment ago."""
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
        file = _look(f"{self.folder}{os.sep}{name}/status.json")
        known = self._entries.get(name)
        # The spec never changes, so the status alone tells; without one, the session may have been deleted.
        if known is not None and known.settled and file is not None and known.file == file:
            return known
        return self._read(name, file)

    def _read(self, name: str, file: _FileState | None) -> _Entry | None:
        """The session as its files say now; None where there is no spec, or none any more."""
        folder = f"{self.folder}{os.sep}{name}"  # not a Path: of those, thousands cost more than the reading
        now = time.time_ns()
        try:
            with open(f"{folder}/spec.json", "rb") as opened:
                settled = _is_settled(os.fstat(opened.fileno()).st_mtime_ns, now)
                spec = _SPEC.validate_json(opened.read())
            status = Status()
            if file is not None:
                settled = settled and _is_settled(file[0], now)
                with open(f"{folder}/status.json", "rb") as opened:
                    status = Status.model_validate_json(opened.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValidationError):
            return _Entry(file, False, None)
        return _Entry(file, settled, Record(Session(Path(folder)), spec, status))


@contextlib.contextmanager
def _no_collection(new: int) -> Iterator[None]:
    """Reading thousands of sessions makes no garbage, and looking for it takes as long as the reading."""
    pause = new > 500 and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


def _is_settled(written: int, now: int) -> bool:
    return abs(now - written) > SETTLED_SECONDS * 1e9


def _names(folder: Path) -> list[str]:
    """What lies in a folder of sessions, in order of time; hidden are those that are just being deleted."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _look(path: str) -> _FileState | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _as_it_is_now(written: Record) -> Record | None:
    """A record whose worker may have died since it said that it runs; None when it is damaged by now."""
    if written.status.state != "running":
        return written
    try:
        return Record(written.session, written.spec, written.session.status())
    except (SailsError, OSError):
        return None


@lru_cache(maxsize=8)  # as many workspaces as one dashboard is likely to show at a time
def _index(folder: Path) -> _Index:
    return _Index(folder)


def find(workspace: Workspace, wanted: str) -> Session:
    """A session or job by its id, the end of its id, or `last`; raises `WorkspaceError` unless it is one."""
    if _ID.fullmatch(wanted):
        for folder in (workspace.sessions, workspace.jobs):
            if (folder / wanted / "spec.json").exists():
                return Session(folder / wanted)
    names = _names(workspace.sessions)
    if wanted == "last":
        for name in reversed(names):
            if (workspace.sessions / name / "spec.json").exists():
                return Session(workspace.sessions / name)
    called = (name for name in names if name.endswith(f"-{wanted}"))
    matches = [name for name in called if (workspace.sessions / name / "spec.json").exists()]
    if len(matches) == 1:
        return Session(workspace.sessions / matches[0])
    problem = f"{len(matches)} sessions are called {wanted}" if matches else f"There is no session {wanted!r}"
    raise WorkspaceError(f"{problem} in {workspace.root}.", "See `sails sessions list` for their full names.")


def running(workspace: Workspace) -> Record | None:
    """The training session that runs now; costs next to nothing while none does."""
    if not locks.is_held(workspace.training_lock):
        return None
    return _index(workspace.sessions).running()


def running_jobs(workspace: Workspace) -> list[Record]:
    """Exports and replays that run now or are just starting, oldest first."""
    return [r for r in _index(workspace.jobs).records() if r.status.state in ("queued", "running")]


def active(workspace: Workspace) -> str | None:
    """The id of the session that trains now, else of the first that waits."""
    if record := running(workspace):
        return record.spec.id
    return next((entry.id for entry in waiting(workspace)), None)


def ancestors(workspace: Workspace, fingerprint: str | None) -> list[Record]:
    """The sessions that made the model with this fingerprint, oldest first.

    Follows parents, not the calendar, so a model that was rolled back has the lineage that it had.
    """
    by_fingerprint = {r.status.fingerprint: r for r in history(workspace) if r.status.fingerprint}
    return chain(by_fingerprint, fingerprint)


def chain(by_fingerprint: Mapping[str, Record], fingerprint: str | None) -> list[Record]:
    """`ancestors`, among sessions that were read already and are known by the fingerprint of their model."""
    line: dict[str, Record] = {}
    while fingerprint is not None and fingerprint in by_fingerprint and fingerprint not in line:
        line[fingerprint] = by_fingerprint[fingerprint]
        fingerprint = line[fingerprint].status.parent
    return list(line.values())[::-1]


# --- metrics --------------------------------------------------------------------------------------


class MetricsWriter:
    """Appends one JSON object a line; numbers that are not finite are written as null."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (held for the session's life)
        if _ends_in_half_a_line(path):  # a killed worker's; the next line must not be lost with it
            self._file.write("\n")

    def write(self, kind: str, **values: Any) -> None:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._file.write(json.dumps({"kind": kind, **finite}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _ends_in_half_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        if file.seek(0, 2) == 0:
            return False
        file.seek(-1, 2)
        return file.read() != b"\n"


class LineReader:
    """Reads a growing file once: each `read` gives the lines completed since the last one.

    A half-written last line is left for the next time; a file that became shorter is read anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> list[str]:
        try:
            with open(self.path, "rb") as file:
                if self._offset > file.seek(0, 2):
                    self._offset = 0
                file.seek(self._offset)
                complete, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(complete) + len(newline)
        if not newline:
            return []
        # Not splitlines(): that also splits at characters which a text inside a line may hold.
        return [line.removesuffix("\r") for line in complete.decode("utf-8", "replace").split("\n")]


class MetricsReader(LineReader):
    """Reads metrics.jsonl once; a line that is no JSON object is left out."""

    def read_metrics(self) -> list[dict[str, Any]]:
        return [m for m in map(_parse, self.read()) if m is not None]


def _parse(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def this_worker() -> dict[str, Any]:
    """The fields of a status that say which process writes it."""
    identity = locks.this_process()
    return {"pid": identity.pid, "pid_created": identity.created, "host": socket.gethostname()}
