"""The R matrix of one model: how each of its ancestors scored on each lesson that it was taught.

Rows are models: the base model, then those that led to this one, in the order in which they came to be.
Columns are lessons. Mostly each lesson made one model. There are fewer models than lessons where a model was
started over and taught the earlier lessons again, and one more where the first was trained elsewhere. A
square is None where nothing was measured; `notes` say why.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from sails import sessions
from sails.errors import SailsError
from sails.models import Workspace
from sails.retention import lessons, schema
from sails.retention.schema import Cell, Drift, Lesson, Measured, Part, Retention
from sails.sessions import Session, SessionRecord

BASE = "base model"
ELSEWHERE = "the model that it started from"


@dataclass(frozen=True)
class Model:
    """One row: the session that made the model, None for the base model and for one from elsewhere."""

    name: str
    session: str | None = None


@dataclass(frozen=True)
class Matrix:
    """R[i][j], the scores of model i on lesson j; `taught[j]` is the first model that was taught lesson j.

    `models` and `general` have one entry for each row of `recall` and `held_out`: the base model's first,
    this model's last. `lessons` and `taught` have one for each column, oldest first.
    """

    fingerprint: str | None  # of this model
    lessons: tuple[Lesson, ...]
    models: tuple[Model, ...]
    taught: tuple[int, ...]
    recall: tuple[tuple[Cell | None, ...], ...]
    held_out: tuple[tuple[Cell | None, ...], ...]
    general: tuple[Drift | None, ...]
    notes: tuple[str, ...] = ()


def retention_matrix(workspace: Workspace, fingerprint: str | None) -> Matrix:
    """Return what was measured of the model with this fingerprint and of its ancestors; never raises."""
    made_by = sessions.ancestors(workspace, fingerprint)
    taught_lessons = lessons.lessons_of(workspace, lessons.taught_to(workspace, fingerprint))
    notes = [] if made_by else ([lessons.ELSEWHERE] if fingerprint else [])
    retentions = [_read(record, notes) for record in made_by]
    from_elsewhere = bool(made_by) and made_by[0].status.parent is not None
    if from_elsewhere:
        notes.append(lessons.ELSEWHERE)
    models = [Model(BASE), *[Model(ELSEWHERE)] * from_elsewhere]
    first = len(models)
    models += [Model(record.spec.name, record.session.id) for record in made_by]

    # What a session measured before it began are the scores of the model that it started from.
    measured: list[list[Measured]] = [[] for _ in models]
    for row, retention in enumerate(retentions, first):
        if retention and retention.after:
            measured[row].append(retention.after)
        if retention and (row > first or from_elsewhere or retention.before.fingerprint is None):
            measured[row - 1].append(retention.before)
    measured[0] += _base(workspace, made_by, retentions, taught_lessons)
    notes += [f"{lesson.name}: {lesson.missing}" for lesson in taught_lessons if lesson.missing]
    makers = [model.session for model in models]
    line_begins = first - 1 if from_elsewhere else first  # the row of a lesson that no model here was made by
    return Matrix(
        fingerprint=fingerprint,
        lessons=taught_lessons,
        models=tuple(models),
        taught=tuple(
            makers.index(lesson.session) if lesson.session in makers else line_begins
            for lesson in taught_lessons
        ),
        recall=_squares(measured, taught_lessons, "recall"),
        held_out=_squares(measured, taught_lessons, "held_out"),
        general=tuple(next((m.general for m in row if m.general), None) for row in measured),
        notes=tuple(notes),
    )


def _read(record: SessionRecord, notes: list[str]) -> Retention | None:
    try:
        retention = schema.read_retention(record.session)
    except SailsError as error:
        notes.append(str(error))
        return None
    if retention is None:
        notes.append(f"{record.spec.name}: Its session measured nothing of what the model remembers.")
    return retention


def _base(
    workspace: Workspace,
    made_by: Sequence[SessionRecord],
    retentions: Sequence[Retention | None],
    taught_lessons: Sequence[Lesson],
) -> list[Measured]:
    """The base model's scores, each from the session that taught the lesson, if it had the same base."""
    here = {record.session.id: retention for record, retention in zip(made_by, retentions, strict=True)}
    bases = {record.status.plan.base for record in made_by[:1] if record.status.plan}
    scored = []
    for lesson in taught_lessons:
        if lesson.session in here:
            retention = here[lesson.session]
        else:
            # It was taught to another line of models, before one was started over, maybe from another base.
            retention = None
            with contextlib.suppress(SailsError):
                session = Session(workspace.sessions / lesson.session)
                plan = session.written_status().plan
                retention = schema.read_retention(session) if plan and plan.base in bases else None
        if retention and retention.base:
            scored.append(retention.base)
        elif retention and retention.before.fingerprint is None:
            scored.append(retention.before)
    return scored


def _squares(
    measured: Sequence[Sequence[Measured]], taught_lessons: Sequence[Lesson], part: Part
) -> tuple[tuple[Cell | None, ...], ...]:
    """For each model and each lesson the first cell that was measured."""
    return tuple(
        tuple(
            next((cell for scores in row if (cell := scores.cell(lesson.session, part))), None)
            for lesson in taught_lessons
        )
        for row in measured
    )
