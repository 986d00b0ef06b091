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
from typing import NamedTuple

from sails import data, models, retention, sessions, system
from sails.data import Conversation, ForeignRows, Register, read_jsonl, split_rows
from sails.errors import DiskFullError, OutOfMemoryError, RequestError, SailsError
from sails.models import DEFAULT_BASE_MODEL, BaseModelEntry, Workspace, base_model_path, base_models
from sails.retention import LessonRows, replay_count
from sails.sessions import Plan, Session, Status, TrainSpec
from sails.system import Stamp, stamp_or_none
from sails.training.plan import behavior, duration, resources
from sails.training.plan.duration import LessonSize, TimeEstimate
from sails.training.plan.expected import Expected, expect, lessons_then
from sails.training.plan.language import describe_foreign
from sails.training.plan.request import Choices, checked_name
from sails.training.plan.resources import ResourceNeed
from sails.training.plan.schedule import Schedule, resolve_schedule
from sails.training.token_count import preview

TAUGHT = "train.jsonl"  # in the data of a session

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
    """What a training would do, at once or after those that run and wait.

    Without a known size of the model, `need` and `time` are None.
    """

    plan: Plan
    rows: int  # of all datasets together, each once
    taught: int
    held_out: int
    left_out: int  # rows that the model cannot be taught, as far as its tokenizer is here
    earlier: Earlier
    repeated: int  # rows of earlier lessons that each round goes through
    schedule: Schedule
    need: ResourceNeed | None
    time: TimeEstimate | None
    warnings: tuple[str, ...]  # why it may not fit
    language: str = ""  # a warning where the base model does not speak that of the rows


def forecast_training(
    workspace: Workspace, choices: Choices, expected: Expected | None = None
) -> TrainingForecast:
    """Return the plan, its rounds, and what it takes; raises `RequestError` for choices that cannot be.

    `expected` is what `expect` says, for who knows it already.
    """
    checked_name(choices.name)
    expected = expected or expect(workspace)
    plan = _plan(workspace, choices, expected)
    counts = _count(workspace, choices.datasets, expected, _reader(workspace, plan, choices))
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
            # What runs here now is over when this one starts.
            slowdown=1.0
            if any(record.status.state == "running" for record in history)
            else min(system.slowdown(), duration.BUSIEST),
        )
    return TrainingForecast(
        plan,
        counts.rows,
        counts.taught,
        counts.held_out,
        counts.left_out,
        earlier,
        repeated,
        schedule,
        need,
        time,
        warnings,
        describe_foreign(plan.base, counts.foreign),
    )


def earlier_lessons(workspace: Workspace, names: Sequence[str], expected: Expected) -> Earlier:
    """Return what the model will know of earlier lessons, but for what these teach; raises as that."""
    return _count(workspace, names, expected).earlier


def current_plan(workspace: Workspace, spec: TrainSpec) -> Plan:
    """Return the plan that a session was queued with, or a new one when the models are others by now.

    Raises `RequestError` for choices that cannot be any more.
    """
    now = workspace.situation()
    row = behavior.row_for(now.trained.state, now.onnx.state).number
    # What a person saw when it was queued holds, unless a training before it changed what there is.
    if spec.plan and (spec.plan.row, spec.planned_for) == (row, now.trained.fingerprint):
        return spec.plan.model_copy(update={"after": ""})
    return _plan(workspace, spec)


def _plan(workspace: Workspace, asked: Choices | TrainSpec, expected: Expected | None = None) -> Plan:
    return behavior.plan_training(
        workspace,
        start=asked.start,
        model_name=asked.model_name,
        learning_rate=asked.settings.learning_rate,
        advice=asked.advice,
        expected=expected,
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


class _Reader(NamedTuple):
    """The model that reads the rows, if its files are here, and how much of each."""

    folder: Path | None
    tokenizer: str | None  # so that rows are read anew by another one
    max_length: int


def _reader(workspace: Workspace, plan: Plan, choices: Choices) -> _Reader:
    folder = workspace.trained_model if plan.start_from == "trained" and not plan.after else None
    if folder is None:
        with contextlib.suppress(SailsError):
            folder = base_model_path(models.find_base_model(str(plan.base) if plan.after else plan.model))
    digest = models.tokenizer_digest(folder) if folder else None
    return _Reader(folder if digest else None, digest, choices.settings.max_length)


def _parameters(workspace: Workspace, plan: Plan) -> int:
    if plan.start_from == "trained" and not (plan.after and plan.base):
        return models.count_parameters(workspace.trained_model)
    if plan.start_from == "trained":  # it may not be here yet, and is as large as what it grows from
        return models.find_base_model(str(plan.base)).parameters
    return models.find_base_model(plan.model).parameters


@dataclass(frozen=True)
class _Counts:
    rows: int
    taught: int
    held_out: int
    left_out: int
    size: int  # bytes of the rows that are taught
    earlier: Earlier
    foreign: ForeignRows | None


_File = tuple[Path, Stamp | None]  # None: it is not there


def _count(
    workspace: Workspace, names: Sequence[str], expected: Expected, reader: _Reader | None = None
) -> _Counts:
    earlier = tuple(_look(_rows_of(workspace, identity)) for identity in lessons_then(workspace, expected))
    return _count_rows(_files(workspace, names), _look(workspace.register), earlier, reader)


def _rows_of(workspace: Workspace, identity: str) -> Path:
    """The rows that a session taught; until it has chosen them, those of its dataset."""
    session = Session(workspace.sessions / identity)
    rows = session.data / TAUGHT
    if not rows.exists():
        with contextlib.suppress(SailsError):
            spec = session.spec()
            if isinstance(spec, TrainSpec) and session.status().state in ("queued", "running"):
                return data.rows_file(workspace, spec.dataset)
    return rows


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
def _count_rows(
    files: tuple[_File, ...], register: _File, earlier: tuple[_File, ...], reader: _Reader | None
) -> _Counts:
    """Rows taught, held out and repeated if a training started now."""
    size = sum(now.size for _, now in files if now)
    rows = {row.fingerprint: row for path, _ in files for row in read_jsonl(path)}
    able = _teachable(tuple(rows.values()), reader)
    parts = split_rows(able, Register.load(register[0]))
    share = len(parts.train) / len(rows) if rows else 0.0
    old = _count_earlier(earlier, parts.train, register)
    return _Counts(
        rows=len(rows),
        taught=len(parts.train),
        held_out=len(parts.held_out),
        left_out=len(rows) - len(able),
        size=round(size * share),
        earlier=old,
        foreign=data.foreign_rows(able),
    )


def _teachable(rows: tuple[Conversation, ...], reader: _Reader | None) -> tuple[Conversation, ...]:
    """The rows without those that the model cannot be taught."""
    found = preview(rows, reader.folder, reader.max_length) if reader else None
    return tuple(row for n, row in enumerate(rows) if not found or n not in found.refused)


def _count_earlier(files: tuple[_File, ...], train: Sequence[Conversation], register: _File) -> Earlier:
    read: dict[str, LessonRows] = {}
    size = 0
    for path, now in files:
        with contextlib.suppress(SailsError):
            rows = tuple(read_jsonl(path))
            if path.name != TAUGHT:  # of a session that has not chosen yet which of them it keeps back
                rows = split_rows(rows, Register.load(register[0])).train
            read[str(path)] = LessonRows(rows)
            size += now.size if now else 0
    kept = sum(map(len, retention.replayable_rows(read, train).values()))
    total = sum(len(rows.taught) for rows in read.values())
    return Earlier(len(files), len(files) - len(read), kept, round(size * kept / max(total, 1)))


@lru_cache(maxsize=32)
def _fingerprint(files: tuple[_File, ...]) -> str:
    found = {row.fingerprint for path, _ in files for row in read_jsonl(path)}
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]
