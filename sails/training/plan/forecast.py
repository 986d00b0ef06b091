"""What a training would do and need, before it is started; and starting exactly that.

    seen = forecast_training(workspace, choices)  # plan, rounds, seconds, memory, disk: nothing is written
    session = start(workspace, choices)

`Choices` are what a person chose in words and numbers, checked here and not only in a browser: whatever is
wrong is one `RequestError` with its remedy. Not here: what the worker then does.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sails import data, models, retention, sessions, system
from sails.data import Conversation, Register, read_jsonl, split_rows
from sails.errors import DiskFullError, OutOfMemoryError, RequestError, SailsError
from sails.models import DEFAULT_BASE_MODEL, BaseModelEntry, Workspace, base_model_path, base_models
from sails.retention import LessonRows, replay_count
from sails.sessions import Plan, Status, TrainSpec
from sails.system import Stamp, stamp_or_none
from sails.training.plan import behavior, duration, resources
from sails.training.plan.duration import LessonSize, TimeEstimate
from sails.training.plan.request import Choices, checked_name
from sails.training.plan.resources import ResourceNeed
from sails.training.plan.schedule import Schedule, resolve_schedule

# --- which base model -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    """A base model, and whether this machine is up to it."""

    model: BaseModelEntry
    fits: bool  # into the memory that is free now
    here: bool  # nothing needs to be downloaded
    recommended: bool


def offers() -> list[Offer]:
    """The base models of the catalogue: the recommended one, the others that fit, then those that do not.

    Recommended is the default where it fits, else the smallest.
    """
    free = system.available_memory()
    models = base_models()
    fitting = [model for model in models if model.training_memory_bytes <= free]
    smallest = min(models, key=lambda model: model.training_memory_bytes)
    best = fitting[0] if fitting and fitting[0].name == DEFAULT_BASE_MODEL else smallest
    made = [
        Offer(model, model in fitting, here=base_model_path(model) is not None, recommended=model is best)
        for model in models
    ]
    return sorted(made, key=lambda offer: (not offer.recommended, not offer.fits))


# --- what would happen ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Earlier:
    """The earlier lessons of the current model, as far as a training with these datasets may repeat them."""

    lessons: int = 0
    gone: int = 0  # of these, whose examples were deleted
    rows: int = 0  # without those that the datasets teach, or answer otherwise
    size: int = 0  # bytes


@dataclass(frozen=True)
class TrainingForecast:
    """What a training would do now. Without a known size of the model, `need` and `time` are None."""

    plan: Plan
    rows: int  # of all datasets together, each once
    taught: int
    held_out: int
    earlier: Earlier
    repeated: int  # rows of earlier lessons that each round goes through
    schedule: Schedule
    need: ResourceNeed | None
    time: TimeEstimate | None
    warnings: tuple[str, ...]  # why it may not fit


def forecast_training(workspace: Workspace, choices: Choices) -> TrainingForecast:
    """Return the plan, its rounds, and what it takes; raises `RequestError` for choices that cannot be."""
    checked_name(choices.name)
    plan = _plan(workspace, choices)
    counts = _count(workspace, choices.datasets)
    earlier = counts.earlier
    repeated = 0  # rows of earlier lessons in each round: none for a model that knows none
    if choices.settings.teach_again:
        repeated = earlier.rows
    elif plan.start_from == "trained":
        repeated = replay_count(counts.taught, earlier.rows, choices.settings.replay_share)
    schedule = resolve_schedule(choices.settings, counts.taught, repeated)
    parameters = _parameters(workspace, plan)
    need = time = None
    warnings: tuple[str, ...] = ()
    if parameters:
        need = resources.need_of(parameters, schedule, choices.settings.max_length, export=choices.export)
        folder = next(folder for folder in (workspace.root, *workspace.root.parents) if folder.exists())
        try:
            resources.refuse_if_too_big(need, folder)
        except (OutOfMemoryError, DiskFullError) as error:
            warnings = (error.sentence,)
        history = sessions.read_history(workspace)
        seen = duration.experience(history, plan.base, choices.settings.method)
        old_size = round(earlier.size * repeated / max(earlier.rows, 1))
        time = duration.estimate_time(
            LessonSize(counts.taught + repeated, counts.size + old_size),
            schedule,
            parameters,
            export=choices.export,
            seen=seen,
            speed=0.0 if seen else duration.processor_speed(),
        )
    return TrainingForecast(
        plan, counts.rows, counts.taught, counts.held_out, earlier, repeated, schedule, need, time, warnings
    )


def earlier_lessons(workspace: Workspace, names: Sequence[str]) -> Earlier:
    """Return what the current model was taught before, but for what these datasets teach; raises as that."""
    return _count(workspace, names).earlier


def current_plan(workspace: Workspace, spec: TrainSpec) -> Plan:
    """Return the plan that a session was queued with, or a new one when the models are others by now.

    Raises `RequestError` for choices that cannot be any more.
    """
    now = workspace.situation()
    row = behavior.row_for(now.trained.state, now.onnx.state).number
    # What a person saw when it was queued holds, unless a training before it changed what there is.
    if spec.plan and (spec.plan.row, spec.planned_for) == (row, now.trained.fingerprint):
        return spec.plan
    return _plan(workspace, spec)


def _plan(workspace: Workspace, asked: Choices | TrainSpec) -> Plan:
    return behavior.plan_training(
        workspace,
        start=asked.start,
        model_name=asked.model_name,
        learning_rate=asked.settings.learning_rate,
        advice=asked.advice,
    )


def usual_seconds(workspace: Workspace, status: Status) -> dict[str, float]:
    """How long each phase of a session that runs may take; phases of which nobody can know are left out."""
    if status.plan is None:
        return {}
    seen = duration.experience(sessions.read_history(workspace), status.plan.base)
    parameters = 0
    with contextlib.suppress(SailsError):  # the model it started from may be gone by now
        parameters = _parameters(workspace, status.plan)
    return duration.usual_seconds(seen, status.results.seconds.get("prepare"), parameters)


def _parameters(workspace: Workspace, plan: Plan) -> int:
    if plan.start_from == "trained":
        return models.count_parameters(workspace.trained_model)
    return models.find_base_model(plan.model).parameters


@dataclass(frozen=True)
class _Counts:
    rows: int
    taught: int
    held_out: int
    size: int  # bytes of the rows that are taught
    earlier: Earlier


_File = tuple[Path, Stamp | None]  # None: it is not there


def _count(workspace: Workspace, names: Sequence[str]) -> _Counts:
    ids = retention.taught_to(workspace, workspace.situation().trained.fingerprint)
    earlier = tuple(_look(workspace.sessions / identity / "data" / "train.jsonl") for identity in ids)
    return _count_rows(_files(workspace, names), _look(workspace.register), earlier)


def rows_fingerprint(workspace: Workspace, names: Sequence[str]) -> str:
    """Return a hash of the rows of these datasets, whatever they are called and however they are ordered."""
    return _fingerprint(_files(workspace, names))


def _files(workspace: Workspace, names: Sequence[str]) -> tuple[_File, ...]:
    if not names:
        raise RequestError("No dataset was chosen.", "Choose one or more.")
    files = [data.rows_file(workspace, name) for name in names]
    for name, path in zip(names, files, strict=True):
        if not path.exists():
            data.rows_of(workspace, name)  # which says so
    return tuple(map(_look, files))


def _look(path: Path) -> _File:
    """A file as it is now, so that what was counted before is counted anew when it has changed."""
    return path, stamp_or_none(path)


@lru_cache(maxsize=32)
def _count_rows(files: tuple[_File, ...], register: _File, earlier: tuple[_File, ...]) -> _Counts:
    """Rows taught, held out and repeated if a training started now."""
    size = sum(now.size for _, now in files if now)
    rows = {row.fingerprint: row for path, _ in files for row in read_jsonl(path)}
    parts = split_rows(tuple(rows.values()), Register.load(register[0]))
    share = len(parts.train) / len(rows) if rows else 0.0
    old = _count_earlier(earlier, parts.train)
    return _Counts(len(rows), len(parts.train), len(parts.held_out), round(size * share), old)


def _count_earlier(files: tuple[_File, ...], train: Sequence[Conversation]) -> Earlier:
    read: dict[str, LessonRows] = {}
    size = 0
    for path, now in files:
        with contextlib.suppress(SailsError):
            read[str(path)] = LessonRows(tuple(read_jsonl(path)))
            size += now.size if now else 0
    kept = sum(map(len, retention.replayable_rows(read, train).values()))
    total = sum(len(rows.taught) for rows in read.values())
    return Earlier(len(files), len(files) - len(read), kept, round(size * kept / max(total, 1)))


@lru_cache(maxsize=32)
def _fingerprint(files: tuple[_File, ...]) -> str:
    found = {row.fingerprint for path, _ in files for row in read_jsonl(path)}
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]
