"""What a training would do and need, before it is started; and starting exactly that.

    seen = foresee(workspace, choices)       # plan, rounds, seconds, memory, disk: nothing is written
    session = start(workspace, choices)

`Choices` are what a person chose in words and numbers, checked here and not only in a browser: whatever is
wrong is one `RequestError` with its remedy. Not here: what the worker then does.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sails import base_models, library, planning, sessions
from sails.base_models import BaseModel
from sails.behavior import Plan, Start
from sails.conversations import Register, read_jsonl, split
from sails.errors import DiskFullError, OutOfMemoryError, RequestError, SailsError
from sails.launchers import local
from sails.locks import available_memory
from sails.planning import Lesson, Need, Pace, TimeEstimate
from sails.sessions import Session, Settings, Status
from sails.workspace import Workspace

LONGEST_NAME = 80  # characters
MOST_STEPS = 10**9

# --- what a person chose --------------------------------------------------------------------------


@dataclass(frozen=True)
class Choices:
    """One training as a person asks for it; `export` also verifies the ONNX model."""

    datasets: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)
    name: str = ""
    start: Start = "auto"
    model_name: str | None = None
    export: bool = False


def read_learning_rate(text: str) -> float | None:
    """A learning rate as people write it: 3e-5, 0.00003, 0,00003 or 3×10^-5; None for an empty text.

    Raises `RequestError` for what is no number. Whether it is a sensible one, `behavior.plan` says.
    """
    written = unicodedata.normalize("NFKC", text).strip().replace("−", "-")
    if not written:
        return None
    written = re.sub(r"\s*[×*x·]\s*10\s*(\^|\*\*)\s*", "e", written)
    if "." not in written:
        written = written.replace(",", ".")
    try:
        if "_" in written:  # Python's own way to group digits
            raise ValueError
        return float(written)
    except ValueError as error:
        raise RequestError(
            f"“{text.strip()[:40]}” is not a number.",
            "Write a learning rate such as 3e-5 or 0.00003, or leave the field empty for the automatic one.",
        ) from error


WORDS = {
    "preset": "The preset",
    "epochs": "The number of rounds",
    "batch_size": "The batch size",
    "max_steps": "The highest number of steps",
    "seed": "The seed",
    "max_length": "The longest conversation",
    "device": "The device",
}


def settings_of(**values: Any) -> Settings:
    """Settings from what was chosen; `RequestError` names in words the first that is out of range."""
    steps = values.get("max_steps")
    if steps is not None and steps > MOST_STEPS:
        raise RequestError(f"{WORDS['max_steps']} cannot be {steps:,}.", f"Choose at most {MOST_STEPS:,}.")
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        what = WORDS.get(str(first["loc"][0]), str(first["loc"][0]))
        remedy = first["msg"].replace("Input should be", "Choose a value").replace("a value a ", "a ")
        raise RequestError(f"{what} cannot be {str(first['input'])[:40]}.", f"{remedy}.") from error


def checked_name(name: str) -> str:
    """A session's name as one line; raises `RequestError` when it is too long to be read in a list."""
    line = " ".join(name.split())
    if len(line) > LONGEST_NAME:
        raise RequestError(
            f"The name has {len(line)} characters.", f"Choose one of at most {LONGEST_NAME} characters."
        )
    return line


# --- which base model -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    """A base model, and whether this machine is up to it."""

    model: BaseModel
    fits: bool  # into the memory that is free now
    here: bool  # nothing needs to be downloaded
    recommended: bool


def offers() -> list[Offer]:
    """The base models of the catalogue: the recommended one, the others that fit, then those that do not.

    Recommended is the default where it fits, else the smallest.
    """
    free = available_memory()
    models = base_models.catalogue()
    fitting = [model for model in models if model.training_memory_bytes <= free]
    smallest = min(models, key=lambda model: model.training_memory_bytes)
    best = fitting[0] if fitting and fitting[0].name == base_models.DEFAULT else smallest
    made = [
        Offer(
            model,
            fits=model in fitting,
            here=base_models.local_path(model) is not None,
            recommended=model is best,
        )
        for model in models
    ]
    return sorted(made, key=lambda offer: (not offer.recommended, not offer.fits))


# --- what would happen ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Foresight:
    """What a training would do now. Without a known size of the model, `need` and `time` are None."""

    plan: Plan
    rows: int  # of all datasets together, each once
    taught: int
    held_out: int
    pace: Pace
    need: Need | None
    time: TimeEstimate | None
    warnings: tuple[str, ...]  # why it may not fit


def foresee(workspace: Workspace, choices: Choices) -> Foresight:
    """The plan, its rounds, and what it takes; raises `RequestError` for choices that cannot be."""
    checked_name(choices.name)
    plan = local.plan_training(
        workspace,
        start=choices.start,
        model_name=choices.model_name,
        learning_rate=choices.settings.learning_rate,
    )
    counts = _count(workspace, choices.datasets)
    pace = planning.choose_pace(choices.settings, counts.taught)
    parameters = _parameters(workspace, plan)
    need = time = None
    warnings: tuple[str, ...] = ()
    if parameters:
        need = planning.need_of(parameters, pace, choices.settings.max_length, export=choices.export)
        warnings = _too_big(need, workspace)
        seen = planning.experience(sessions.history(workspace), plan.base)
        time = planning.estimate_time(
            Lesson(counts.taught, counts.size),
            pace,
            parameters,
            export=choices.export,
            seen=seen,
            speed=0.0 if seen else planning.processor_speed(),
        )
    return Foresight(plan, counts.rows, counts.taught, counts.held_out, pace, need, time, warnings)


def usual_seconds(workspace: Workspace, status: Status) -> dict[str, float]:
    """How long each phase of a session that runs may take; phases of which nobody can know are left out."""
    if status.plan is None:
        return {}
    seen = planning.experience(sessions.history(workspace), status.plan.base)
    parameters = 0
    with contextlib.suppress(SailsError):  # the model it started from may be gone by now
        parameters = _parameters(workspace, status.plan)
    return planning.usual_seconds(seen, status.results.seconds.get("prepare"), parameters)


def start(workspace: Workspace, choices: Choices) -> Session:
    """Queue that training and start it if nothing else trains. Raises `SailsError` before anything starts."""
    name = checked_name(choices.name)
    dataset = library.combine(workspace, choices.datasets)
    return local.submit(
        workspace,
        dataset.name,
        choices.settings,
        name=name or None,
        start=choices.start,
        model_name=choices.model_name,
        export=choices.export,
        verify=choices.export,
    )


def _parameters(workspace: Workspace, plan: Plan) -> int:
    if plan.start_from == "trained":
        return planning.count_parameters(workspace.trained_model)
    return base_models.find(plan.model).parameters


def _too_big(need: Need, workspace: Workspace) -> tuple[str, ...]:
    folder = next(folder for folder in (workspace.root, *workspace.root.parents) if folder.exists())
    try:
        planning.refuse_if_too_big(need, folder)
    except (OutOfMemoryError, DiskFullError) as error:
        return (error.sentence,)
    return ()


@dataclass(frozen=True)
class _Counts:
    rows: int
    taught: int
    held_out: int
    size: int  # bytes of the rows that are taught


def _count(workspace: Workspace, names: Sequence[str]) -> _Counts:
    if not names:
        raise RequestError("No dataset was chosen.", "Choose one or more.")
    files = [library.rows_file(workspace, name) for name in names]
    for name, path in zip(names, files, strict=True):
        if not path.exists():
            library.rows_of(workspace, name)  # which says so
    return _count_rows(tuple(map(_look, files)), _look(workspace.register))


def _look(path: Path) -> tuple[Path, int, int]:
    """A file as it is now, so that what was counted before is counted anew when it has changed."""
    try:
        found = path.stat()
    except OSError:
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=32)
def _count_rows(files: tuple[tuple[Path, int, int], ...], register: tuple[Path, int, int]) -> _Counts:
    """Rows taught and held out if a training started now."""
    size = sum(bytes_ for _, _, bytes_ in files)
    rows = {row.fingerprint: row for path, _, _ in files for row in read_jsonl(path)}
    parts = split(tuple(rows.values()), Register.load(register[0]))
    share = len(parts.train) / len(rows) if rows else 0.0
    return _Counts(len(rows), len(parts.train), len(parts.held_out), round(size * share))
