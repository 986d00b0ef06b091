"""What is asked of a session or job: one model for each kind, read back by its `kind`.

A workspace may be copied or moved, and a session of the copy must not touch the original. So what lies in the
workspace is written relative to it; where something lies outside, the workspace's own place is written too.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

from sails.models import FULL_PRECISION, Variant
from sails.sessions.plan import Plan, Start
from sails.sessions.settings import Settings


class Trial(BaseModel, frozen=True):
    """What a few steps at one learning rate did to the losses, in nats a token."""

    learning_rate: float
    steps: int
    new_loss: float  # on rows of the lesson to come
    old_loss: float | None = None  # on rows of earlier lessons; None where there are none
    general_loss: float | None = None  # KL(base‖model) on general prompts; earlier releases measured none


class Advice(BaseModel, frozen=True):
    """A learning rate that was measured on a copy of the weights, and what it rests on.

    `learning_rate` is None when at no rate that was tried the new rows' loss fell and the others held, and
    where it could not be measured: then `untried` are rates that there was no time for.
    """

    learning_rate: float | None
    new_loss: float  # before the first step
    old_loss: float | None = None
    general_loss: float | None = None
    trials: tuple[Trial, ...] = ()
    untried: tuple[float, ...] = ()
    seconds: float = 0.0
    reason: str = ""


class Asked(BaseModel, frozen=True):
    """What every spec says."""

    kind: str
    id: str
    name: str
    created: datetime
    asked_in: Path | None = None  # the workspace's folder then; only where a model lies outside of it
    started_by: str | None = None  # empty: somebody without a name; None: an earlier release did not ask


class TrainSpec(Asked):
    """What was asked of a training session; never changes."""

    kind: Literal["train"] = "train"
    dataset: str  # its folder in datasets/
    rows: int
    start: Start = "auto"
    model_name: str | None = None  # a base model that the person named
    settings: Settings = Settings()
    advice: Advice | None = None  # measured before, whether or not it was followed
    plan: Plan | None = None  # as it was queued; earlier releases wrote none
    planned_for: str | None = None  # fingerprint of the trained model then; None without a complete one
    export: bool = False
    verify: bool = False
    opset: int | None = None
    variants: tuple[Variant, ...] = (FULL_PRECISION,)  # of the ONNX model; as before there were two
    trained_model: Path
    onnx_model: Path


class ExportSpec(Asked):
    """What was asked of an export job: one model folder to one ONNX folder."""

    kind: Literal["export", "baseline"] = "export"
    model: str  # a model folder, or for a baseline a base model's name
    onnx_output: Path
    verify: bool = False
    opset: int | None = None
    variants: tuple[Variant, ...] = (FULL_PRECISION,)
    prompts: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()  # of the prompts, in their order; empty when nobody knows them


class ReplaySpec(Asked):
    """A training session that is played again for an audience: nothing is trained, its files are read out."""

    kind: Literal["replay"] = "replay"
    session: str  # the id of the recorded session
    seconds: float = Field(60.0, gt=0, le=3600)  # how long the replay takes
    from_step: int = Field(0, ge=0)  # what lies before this step is there at once


class ProbeSpec(Asked):
    """A learning rate to be measured for a training to come."""

    kind: Literal["probe"] = "probe"
    dataset: str
    base: str | None = (
        None  # a base model that the training starts from; None: it continues the current model
    )
    settings: Settings = Settings()
    seconds: float = Field(60.0, gt=0)  # of computing that the trials may take
    trained_model: Path
    onnx_model: Path


AnySpec = TrainSpec | ExportSpec | ReplaySpec | ProbeSpec
SPEC: TypeAdapter[AnySpec] = TypeAdapter(Annotated[AnySpec, Field(discriminator="kind")])


def spec_as_json(spec: AnySpec, root: Path) -> str:
    """Return what is written of a spec in the workspace at `root`."""
    inside = {
        name: type(getattr(spec, name))(os.path.relpath(path, root))
        for name, path in _paths(spec).items()
        if Path(path).is_relative_to(root)
    }
    changes = inside if inside.keys() == _paths(spec).keys() else {**inside, "asked_in": root}
    return spec.model_copy(update=changes).model_dump_json(indent=1)


def read_spec(content: bytes, folder: str) -> AnySpec:
    """Return the spec of the session in `folder`, its paths in full; raises pydantic's `ValidationError`."""
    spec = SPEC.validate_json(content)
    root = os.path.dirname(os.path.dirname(folder))
    whole = {name: _in_full(path, spec, root) for name, path in _paths(spec).items()}
    changes = {name: type(getattr(spec, name))(path) for name, path in whole.items()}
    return spec.model_copy(update=changes)


def _paths(spec: AnySpec) -> dict[str, str]:
    """The model folders that it names; a baseline's model is one that is only read, or the name of one."""
    names = [name for name in ("trained_model", "onnx_model", "onnx_output") if hasattr(spec, name)]
    return {
        name: str(getattr(spec, name)) for name in (*names, *(["model"] if spec.kind == "export" else []))
    }


def _in_full(path: str, spec: AnySpec, root: str) -> str:
    if not os.path.isabs(path):
        return os.path.normpath(os.path.join(root, path))
    home, name = os.path.split(path)
    if home == root or spec.asked_in is not None or name not in ("trained_model", "onnx_model"):
        return path
    # Earlier releases wrote all paths in full. One in a workspace that holds the same session, or in a folder
    # that is gone, was written before this workspace was copied or moved.
    copied = any(os.path.exists(os.path.join(home, kind, spec.id)) for kind in ("sessions", "jobs"))
    return os.path.join(root, name) if copied or not os.path.exists(home) else path
