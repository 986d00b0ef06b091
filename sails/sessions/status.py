"""What became of a session: its state, phase, verdict, results and failure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, model_validator

from sails.errors import DiskFullError
from sails.models import FULL_PRECISION
from sails.sessions.plan import Plan
from sails.sessions.spec import Advice

State = Literal["queued", "running", "succeeded", "failed", "stopped", "interrupted"]
Phase = Literal["queued", "prepare", "train", "judge", "publish", "export", "done"]
Verdict = Literal["published", "held", "discarded"]


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
    rehearsed: float = 0.0  # answers in a step that only protect general knowledge
    most_epochs: int = 0  # that it would have gone through, had it not known its lesson before
    enough: Literal["known", "level"] | None = None  # why it did not: it knew it, or got no better
    blend: float | None = None  # share of the change that was kept, where less was tried
    ends: bool | None = None  # whether an answer of the taught model ended by itself; None: not asked
    tokens: int = 0  # without padding
    tokens_per_second: float = 0.0
    peak_memory: int = 0  # bytes
    seconds: dict[str, float] = {}  # by phase
    seconds_alone: dict[str, float] = {}  # what they would have been on an idle machine
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
            return {**content, "certificates": {FULL_PRECISION: content["certificate"], **certificates}}
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
    # Names, as `started_by` of a spec: of who stopped it, resumed it last, and decided on its model.
    stopped_by: str | None = None
    resumed_by: str | None = None
    decided_by: str | None = None
    parent: str | None = None  # fingerprint of the model it started from; None from base
    replaces: str | None = None  # fingerprint of the model that was current at the start
    fingerprint: str | None = None  # of the candidate
    lessons: tuple[str, ...] | None = None  # sessions whose rows the model it makes was taught before
    guarded: str = ""  # why a guard ended the training before its last step
    failure: Failure | None = None
    results: Results = Results()
    notes: tuple[str, ...] = ()

    @property
    def resumable(self) -> bool:
        """Whether it can go on: it was stopped or interrupted, or the disk was full before its verdict."""
        disk_full = self.failure is not None and self.failure.kind == DiskFullError.kind
        failed = self.state == "failed" and disk_full and self.verdict is None
        return failed or self.state in ("stopped", "interrupted")

    @property
    def claims(self) -> bool:
        """Whether it has taught its dataset or still may: it failed only after its verdict, if at all."""
        return self.verdict is not None or self.state != "failed" or self.resumable
