"""Scores for tests: cells with given shares of tokens right, and matrices of them."""

from sails.retention.matrix import Matrix, Model
from sails.retention.schema import GENERAL, Cell, Drift, Lesson, Measured

TOKENS = 10  # of each row


def cell(lesson, right, part="recall", first=0):
    """A cell with one row of ten tokens for each entry of `right`; the rows are numbered from `first`."""
    return Cell(
        lesson=lesson,
        part=part,
        rows=tuple(f"{lesson}/{part}/{n}" for n in range(first, first + len(right))),
        tokens=(TOKENS,) * len(right),
        right=tuple(right),
        loss=tuple(float(TOKENS - count) for count in right),
    )


def share(lesson, points, rows=20, part="recall"):
    """A cell in which every row has as many tokens right as `points` say, the first rows one more."""
    total = round(points * rows * TOKENS / 100)
    return cell(lesson, [total // rows + (n < total % rows) for n in range(rows)], part)


def knows(right, questions=100, agreement=0.9):
    """How far a model is from its base, of whose `questions` it still answers the first `right` right."""
    known = Cell(
        lesson=GENERAL,
        part="recall",
        rows=tuple(f"question {n}" for n in range(questions)),
        tokens=(1,) * questions,
        right=tuple(int(n < right) for n in range(questions)),
        loss=(0.0,) * questions,
    )
    return Drift(divergence=1 - agreement, agreement=agreement, prompts=40, known=known)


def measured(*cells, fingerprint="f", general=None):
    return Measured(fingerprint=fingerprint, cells=cells, general=general)


def lesson(name, missing=None):
    return Lesson(session=name, name=name, missing=missing)


def matrix(points, taught=None, rows=20, general=None):
    """A matrix of recall in points, None where nothing was measured; a list for each model.

    `general` is the drift of the last model.
    """
    names = [f"lesson {n}" for n in range(1, len(points[0]) + 1)]
    squares = tuple(
        tuple(
            None if value is None else share(name, value, rows)
            for name, value in zip(names, row, strict=True)
        )
        for row in points
    )
    models = (Model("base model"), *(Model(f"model {n}", f"model {n}") for n in range(1, len(points))))
    return Matrix(
        fingerprint="f",
        lessons=tuple(map(lesson, names)),
        models=models,
        taught=tuple(taught or range(1, len(names) + 1)),
        recall=squares,
        held_out=tuple((None,) * len(names) for _ in points),
        general=(*(None,) * (len(points) - 1), general),
    )
