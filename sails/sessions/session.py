"""One session: what was asked, what became of it, and its folder.

A session is a folder (spec.json, status.json, metrics.jsonl, train.log, lock, data/, model/). The worker is
its only writer while it runs; everybody else reads.
"""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sails import system
from sails.errors import WorkspaceError
from sails.models import Workspace, list_versions, new_id
from sails.sessions import damage
from sails.sessions.spec import AnySpec, TrainSpec, read_spec, spec_as_json
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

    def remove_unfinished(self) -> None:
        """Remove what was not written to its end: room, on a full disk."""
        shutil.rmtree(self.folder / f".{self.model.name}.partial", ignore_errors=True)
        for checkpoint in self.checkpoints.glob("checkpoint-*"):
            if not (checkpoint / CHECKPOINT_COMPLETE).exists():
                shutil.rmtree(checkpoint, ignore_errors=True)

    def spec(self) -> AnySpec:
        """Return what was asked, or of a session whose file is damaged, what else is known of that.

        Raises `WorkspaceError` when there is no session here, and for a damaged job.
        """
        try:
            return self._read_spec()
        except ValidationError as error:
            if self._is_job:
                raise WorkspaceError(f"The spec of {self.id} is damaged.", damage.REMEDY) from error
            return damage.spec_from_rest(self.folder)

    def written_spec(self) -> AnySpec:
        """Return what was asked; raises `WorkspaceError` when the file is missing or damaged."""
        try:
            return self._read_spec()
        except ValidationError as error:
            raise WorkspaceError(f"The spec of {self.id} is damaged.", damage.REMEDY) from error

    def _read_spec(self) -> AnySpec:
        try:
            return read_spec(_content(self.folder / "spec.json"), str(self.folder))
        except FileNotFoundError as error:
            problem = f"There is no session in {self.folder}."
            raise WorkspaceError(problem, "See `sails sessions list`.") from error

    @property
    def _is_job(self) -> bool:
        return self.folder.parent.name == "jobs"

    def check_place(self) -> None:
        """Raise `WorkspaceError` where its models lie outside of the workspace, which was elsewhere then."""
        asked_in = self.spec().asked_in
        if asked_in is not None and asked_in != self.folder.parent.parent:
            raise WorkspaceError(
                f"{self.id} was asked for in {asked_in}, and a model that it uses lies outside of it.",
                "Start a new one like it here.",
            )

    def status(self) -> Status:
        """The status as a reader must understand it.

        `running` without a living worker is *interrupted*, and what is held or undecided is *published* where
        that was done and whoever did it died, or failed, before it could say so. Of a session whose file is
        damaged, what its models tell.
        """
        try:
            status = self.written_status()
        except WorkspaceError:
            spec = None if self._is_job else self.spec()
            if not isinstance(spec, TrainSpec):
                raise
            if system.is_held(self.lock):  # its worker writes another one soon
                return Status(state="running", phase="prepare")
            can_resume = self.newest_checkpoint() is not None
            return damage.status_from_rest(self.folder, spec, can_resume=can_resume)
        if status.state == "running" and not self._worker_lives(status):
            # The worker may have ended between the two reads; what it wrote last counts.
            status = self.written_status()
            if status.state == "running":
                status = status.model_copy(update={"state": "interrupted"})
        if self.may_be_published(status) and self._is_published(status):
            return status.model_copy(update={"verdict": "published"})
        return status

    def may_be_published(self, status: Status) -> bool:
        """Tell whether a candidate that waits for a decision by its status is not where it waited.

        Or that was just being published when its session ended.
        """
        ended = status.state in ("failed", "interrupted", "stopped")
        undecided = ended and status.verdict is None and status.fingerprint is not None
        return (status.verdict in ("held", "discarded") or undecided) and not self.model.exists()

    def _is_published(self, status: Status) -> bool:
        spec = self.spec()
        if not isinstance(spec, TrainSpec) or status.fingerprint is None:
            return False
        workspace = Workspace(self.folder.parent.parent, spec.trained_model, spec.onnx_model)
        earlier = {version.fingerprint for version in list_versions(workspace)}  # finishes a publication
        return status.fingerprint in earlier | {workspace.situation().trained.fingerprint}

    def written_status(self) -> Status:
        """Return the status as the worker wrote it last."""
        try:
            return Status.model_validate_json(_content(self.folder / "status.json"))
        except FileNotFoundError:
            return Status()
        except ValidationError as error:
            raise WorkspaceError(f"The status of {self.id} is damaged.", damage.REMEDY) from error

    def write_status(self, status: Status) -> None:
        system.write_atomic(self.folder / "status.json", status.model_dump_json(indent=1))

    def request_stop(self) -> None:
        """Ask the worker to end at its next step. A file, so that it works from any machine and system.

        It holds a line with the name of who asks.
        """
        system.write_atomic(self.folder / "stop", system.actor() + "\n")

    def stop_requested(self) -> bool:
        return (self.folder / "stop").exists()

    def stop_requested_by(self) -> str | None:
        """Return the name of who asked the worker to end, None when nobody did or it was not noted."""
        try:
            line = (self.folder / "stop").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return system.clean_name(line) if line else None

    def clear_stop(self) -> None:
        (self.folder / "stop").unlink(missing_ok=True)

    def log_tail(self, lines: int = 20) -> tuple[str, ...]:
        try:
            with open(self.log, "rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - 20_000))
                return tuple(file.read().decode("utf-8", "replace").splitlines()[-lines:])
        except OSError as error:
            if system.is_absent(error):
                return ()
            raise

    def _worker_lives(self, status: Status) -> bool:
        if not system.is_held(self.lock):
            return False
        if status.pid is None or status.pid_created is None:
            return True
        return system.is_alive(system.ProcessIdentity(status.pid, status.pid_created, status.host))


def _content(path: Path) -> bytes:
    """What a small file holds; nothing where it is a link to itself, which counts as damaged."""
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return b""
        raise


def create(folder: Path, spec: AnySpec) -> Session:
    """Make the folder of a session or job with its spec, which names who starts it, and a status `queued`."""
    system.require_changes()
    if spec.started_by is None:
        spec = spec.model_copy(update={"started_by": system.actor()})
    session = Session(folder / spec.id)
    session.folder.mkdir(parents=True)
    session.write_status(Status(queued=datetime.now(UTC)))
    system.write_atomic(session.folder / "spec.json", spec_as_json(spec, folder.parent))
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
