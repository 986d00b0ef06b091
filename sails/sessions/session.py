"""One session: what was asked, what became of it, and its folder.

A session is a folder (spec.json, status.json, metrics.jsonl, train.log, lock, data/, model/). The worker is
its only writer while it runs; everybody else reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sails import system
from sails.errors import WorkspaceError
from sails.models import new_id
from sails.sessions.spec import SPEC, AnySpec
from sails.sessions.status import Status

CHECKPOINT_COMPLETE = "complete"  # the file that marks a checkpoint written to its end


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
    def projection(self) -> Path:
        """What steps are projected by to protect general knowledge; written with a first checkpoint."""
        return self.checkpoints / "projection.safetensors"

    @property
    def model(self) -> Path:
        """The candidate, until it is published."""
        return self.folder / "model"

    def newest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint that was written to its end, and is thus safe to resume from."""
        complete = [path.parent for path in self.checkpoints.glob(f"checkpoint-*/{CHECKPOINT_COMPLETE}")]
        return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)

    def spec(self) -> AnySpec:
        """Return what was asked; raises `WorkspaceError` when the file is missing or damaged."""
        try:
            return SPEC.validate_json((self.folder / "spec.json").read_bytes())
        except FileNotFoundError as error:
            problem = f"There is no session in {self.folder}."
            raise WorkspaceError(problem, "See `sails sessions list`.") from error
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
        """Return the status as the worker wrote it last."""
        try:
            return Status.model_validate_json((self.folder / "status.json").read_bytes())
        except FileNotFoundError:
            return Status()
        except ValidationError as error:
            raise WorkspaceError(f"The status of {self.id} is damaged.", "Start the session anew.") from error

    def write_status(self, status: Status) -> None:
        system.write_atomic(self.folder / "status.json", status.model_dump_json(indent=1))

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
        if not system.is_held(self.lock):
            return False
        if status.pid is None or status.pid_created is None:
            return True
        return system.is_alive(system.ProcessIdentity(status.pid, status.pid_created, status.host))


def create(folder: Path, spec: AnySpec) -> Session:
    """Make the folder of a session or job with its spec and a first status `queued`."""
    system.require_changes()
    session = Session(folder / spec.id)
    session.folder.mkdir(parents=True)
    session.write_status(Status(queued=datetime.now(UTC)))
    system.write_atomic(session.folder / "spec.json", spec.model_dump_json(indent=1))
    return session


def free_id(folder: Path, name: str) -> str:
    """Return an id that no session in `folder` has yet."""
    base = new_id(name)
    numbers = (f"{base}-{n}" for n in range(2, 10_000))
    return next(i for i in (base, *numbers) if not (folder / i).exists())


def this_worker() -> dict[str, Any]:
    """Return the fields of a status that say which process writes it."""
    identity = system.this_process()
    return {"pid": identity.pid, "pid_created": identity.created, "host": identity.host}
