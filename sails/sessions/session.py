"""One session: what was asked, what became of it, and its folder.

A session is a folder (spec.json, status.json, metrics.jsonl, train.log, lock, data/, model/). The worker is
its only writer while it runs; everybody else reads.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from sails.errors import WorkspaceError
from sails.models.variants import Variant
from sails.models.workspace import new_id
from sails.system import access, locks
from sails.training.plan.behavior import Plan, Start

State = Literal["queued", "running", "succeeded", "failed", "stopped", "interrupted"]
Phase = Literal["queued", "prepare", "train", "judge", "publish", "export", "done"]
Verdict = Literal["published", "held", "discarded"]
Preset = Literal["quick", "balanced", "thorough"]
Publishing = Literal["gate", "always", "never"]

CHECKPOINT_COMPLETE = "complete"  # the file that marks a checkpoint written to its end

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
    replay_share: float = Field(0.5, ge=0, le=0.9)  # of an epoch's rows, as far as there are earlier ones
    teach_again: bool = False  # from base: all rows of the earlier lessons too
    publish: Publishing = "gate"


class Trial(BaseModel):
    """What a few steps at one learning rate did to the losses, in nats a token."""

    model_config = ConfigDict(frozen=True)

    learning_rate: float
    steps: int
    new_loss: float  # on rows of the lesson to come
    old_loss: float  # on rows of earlier lessons


class Advice(BaseModel):
    """A learning rate that was measured on a copy of the weights, and what it rests on.

    `learning_rate` is None when at no rate that was tried the new rows' loss fell and the old rows' held.
    """

    model_config = ConfigDict(frozen=True)

    learning_rate: float | None
    new_loss: float  # before the first step
    old_loss: float
    trials: tuple[Trial, ...] = ()
    seconds: float = 0.0
    reason: str = ""


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
    advice: Advice | None = None  # measured before, whether or not it was followed
    export: bool = False
    verify: bool = False
    opset: int | None = None
    variants: tuple[Variant, ...] = ("fp32",)  # of the ONNX model; as before there were two
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
    variants: tuple[Variant, ...] = ("fp32",)
    prompts: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()  # of the prompts, in their order; empty when nobody knows them


class ReplaySpec(BaseModel):
    """A training session that is played again for an audience: nothing is trained, its files are read out."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["replay"] = "replay"
    id: str
    name: str
    created: datetime
    session: str  # the id of the recorded session
    seconds: float = Field(60.0, gt=0, le=3600)  # how long the replay takes


class ProbeSpec(BaseModel):
    """A learning rate to be measured for a training that would continue the current model."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["probe"] = "probe"
    id: str
    name: str
    created: datetime
    dataset: str
    settings: Settings = Settings()
    seconds: float = Field(60.0, gt=0)  # that it may take
    trained_model: Path
    onnx_model: Path


AnySpec = TrainSpec | ExportSpec | ReplaySpec | ProbeSpec
Spec = Annotated[AnySpec, Field(discriminator="kind")]
SPEC: TypeAdapter[AnySpec] = TypeAdapter(Spec)

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
    rows_replayed: int = 0  # of earlier lessons, each counted once
    steps: int = 0
    epochs: float = 0.0
    tokens: int = 0  # without padding
    tokens_per_second: float = 0.0
    peak_memory: int = 0  # bytes
    seconds: dict[str, float] = {}  # by phase
    precision: str = ""
    device: str = ""
    certificates: dict[str, dict[str, Any]] = {}  # of the ONNX variants that were verified, by their names
    advice: Advice | None = None  # of a probe

    @model_validator(mode="before")
    @classmethod
    def _one_certificate(cls, content: Any) -> Any:
        """Before there were two variants, there was one `certificate`."""
        if isinstance(content, dict) and isinstance(content.get("certificate"), dict):
            certificates = content.get("certificates") or {}
            return {**content, "certificates": {"fp32": content["certificate"], **certificates}}
        return content


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
    lessons: tuple[str, ...] | None = None  # sessions whose rows the model it makes was taught before
    guarded: str = ""  # why a guard ended the training before its last step
    failure: Failure | None = None
    results: Results = Results()
    notes: tuple[str, ...] = ()

    @property
    def claims(self) -> bool:
        """Whether it has taught its dataset or still may: it failed only after its verdict, if at all."""
        return self.verdict is not None or self.state != "failed"


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
            return SPEC.validate_json((self.folder / "spec.json").read_bytes())
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


def this_worker() -> dict[str, Any]:
    """The fields of a status that say which process writes it."""
    identity = locks.this_process()
    return {"pid": identity.pid, "pid_created": identity.created, "host": socket.gethostname()}
