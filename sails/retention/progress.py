"""What the models that led to one model got right, session after session; for the chart of progress.

    progress = progress_of(memory.matrix)
    progress.together.points[-1]      # the model itself: an estimate, None where it was not measured

What was not measured is a gap, never a guess: the line of all lessons together has one wherever a lesson
that was taught by then was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sails.retention.bootstrap import accuracy, bootstrap_generator
from sails.retention.matrix import Matrix, Model
from sails.retention.metrics import Estimate, estimated_mean
from sails.retention.model_report import GENERAL, retention_map
from sails.retention.schema import Cell

TOGETHER = "All together"


@dataclass(frozen=True)
class ProgressCurve:
    """One line: what each model got right, in points. Of a single lesson, the ends are the value itself."""

    name: str
    points: tuple[Estimate | None, ...]  # one for each model, the base model's first


@dataclass(frozen=True)
class Progress:
    """The lines, over the models: `rows` names them in full, `ticks` in a word or by number."""

    rows: tuple[str, ...]
    ticks: tuple[str, ...]
    together: ProgressCurve
    general: ProgressCurve
    lessons: tuple[ProgressCurve, ...]

    @property
    def is_measured(self) -> bool:
        """Whether any line has two points or more, so that there is something to see."""
        lines = (self.together, self.general, *self.lessons)
        return any(sum(point is not None for point in line.points) > 1 for line in lines)


@lru_cache(maxsize=8)
def progress_of(matrix: Matrix) -> Progress:
    """Return what was measured of each model that led to the last one: lessons, all together, general."""
    labels = retention_map(matrix, "recall")
    rows, columns = range(len(matrix.models)), range(len(matrix.lessons))
    together = []
    for row in rows:
        taught = [matrix.recall[row][j] for j in columns if matrix.taught[j] <= row]
        cells = [cell for cell in taught if cell]
        together.append(_estimate(cells) if cells and len(cells) == len(taught) else None)
    numbers = {lesson.session: str(number) for number, lesson in enumerate(matrix.lessons, 1)}
    known = [drift.known if drift else None for drift in matrix.general]
    return Progress(
        rows=labels.rows,
        ticks=tuple(_tick(row, model, numbers) for row, model in enumerate(matrix.models)),
        together=ProgressCurve(TOGETHER, tuple(together)),
        general=ProgressCurve(GENERAL, tuple(_estimate([cell]) if cell else None for cell in known)),
        lessons=tuple(
            ProgressCurve(name, tuple(_plain(matrix.recall[row][j]) for row in rows))
            for j, name in zip(columns, labels.columns, strict=False)
        ),
    )


def _tick(row: int, model: Model, numbers: Mapping[str, str]) -> str:
    if model.session is None:
        return "start" if row else "before"
    return numbers.get(model.session, model.name)


def _estimate(cells: Sequence[Cell]) -> Estimate | None:
    """The mean of the scores, as ACC is, with its interval."""
    generator = bootstrap_generator()
    return estimated_mean([accuracy(cell, generator) for cell in cells], 0.0)


def _plain(cell: Cell | None) -> Estimate | None:
    """A score without an interval: one for each point of each lesson would hide the lines."""
    return None if cell is None else Estimate(100 * cell.accuracy, 100 * cell.accuracy, 100 * cell.accuracy)
