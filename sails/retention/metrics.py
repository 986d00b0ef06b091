"""ACC, BWT and forgetting of a model, from its R matrix, and the headline that says it in words.

With T the model itself, and j the model that was first taught lesson j (points of answer tokens right):

    ACC = mean over j of R[T,j]
    BWT = mean over earlier lessons of R[T,j] − R[j,j]          backward transfer; below zero: it forgot
    forgetting of j = max over l < T of R[l,j] − R[T,j]         above zero: it was better once
    learned = mean over j of R[j,j] − R[j−1,j]

ACC and BWT are those of Lopez-Paz & Ranzato, "Gradient Episodic Memory for Continual Learning" (2017),
forgetting that of Chaudhry et al., "Riemannian Walk for Incremental Learning: Understanding Forgetting and
Intransigence" (2018). A difference is taken on the rows that both models were scored on, and a lesson that
was not measured is left out. Not here: whether a candidate may be published (`sails.retention.gate`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sails.retention.bootstrap import (
    BootstrapEstimate,
    accuracy,
    bootstrap_generator,
    difference,
    mean,
    paired,
)
from sails.retention.gate import MAX_LOSS_POINTS
from sails.retention.matrix import Matrix
from sails.retention.schema import Cell
from sails.system import count

CONFIDENCE = 0.95
NOTHING = "What this model remembers was not measured."


@dataclass(frozen=True)
class Estimate:
    """A figure in points, 0 to 100, and its 95 % interval: the paired bootstrap over the rows of each lesson.

    The interval is infinite where the rows are too few for one.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Measures:
    """What the R matrix comes to; None where nothing was measured. `forgetting` has an entry for each lesson.

    `learned` is in points. `remembered`, 0 to 1, is the share that is still there of what the earlier lessons
    had reached when they were taught. `newest` are the scores before and after the newest lesson, in points.
    `general` is the share that it still answers right of the general questions that its base answers right.
    """

    acc: Estimate | None
    bwt: Estimate | None
    forgetting: tuple[Estimate | None, ...]
    learned: float | None
    remembered: float | None
    newest: tuple[float | None, float | None]
    general: Estimate | None
    headline: str

    @property
    def forgot_general(self) -> bool:
        """Whether it lost more than a little of what its base model knew, and more than chance explains."""
        return bool(self.general and self.general.value < 100 - MAX_LOSS_POINTS and self.general.high < 100)


def measure(matrix: Matrix) -> Measures:
    """Return all figures of the model in the last row of the matrix."""
    last = len(matrix.models) - 1
    columns = range(len(matrix.lessons))
    earlier = [j for j in columns if matrix.taught[j] < last]
    newest = [j for j in columns if matrix.taught[j] == last]

    generator = bootstrap_generator()
    now = [cell for j in columns if (cell := matrix.recall[last][j])]
    acc = estimated_mean([accuracy(cell, generator) for cell in now], 0.0)
    kept = _pairs(matrix, [(matrix.taught[j], last, j) for j in earlier])
    learned = _pairs(matrix, [(matrix.taught[j] - 1, matrix.taught[j], j) for j in columns])
    bwt = estimated_mean([difference(old, new, generator) for old, new in kept], -100.0)
    reached = sum(old.accuracy for old, _ in kept)
    remembered = min(1.0, sum(new.accuracy for _, new in kept) / reached) if reached else None
    before = [cell for j in newest if (cell := matrix.recall[last - 1][j])]
    after = [cell for j in newest if (cell := matrix.recall[last][j])]
    scores = (_points(before) if len(before) == len(after) else None, _points(after))
    drift = matrix.general[last]
    general = estimated_mean([accuracy(drift.known, generator)], 0.0) if drift and drift.known else None
    return Measures(
        acc=acc,
        bwt=bwt,
        forgetting=tuple(_forgetting(matrix, j) if j in earlier else None for j in columns),
        learned=100 * _average([new.accuracy - old.accuracy for old, new in learned]) if learned else None,
        remembered=remembered,
        newest=scores,
        general=general,
        headline=_headline(acc, bwt, scores, len(earlier), len(newest), drift.known if drift else None),
    )


def _pairs(matrix: Matrix, wanted: Sequence[tuple[int, int, int]]) -> list[tuple[Cell, Cell]]:
    """For each (old model, new model, lesson) that was measured: both cells on the rows they share."""
    pairs = []
    for old, new, lesson in wanted:
        before, after = matrix.recall[old][lesson], matrix.recall[new][lesson]
        if before and after and (pair := paired(before, after)):
            pairs.append(pair)
    return pairs


def _forgetting(matrix: Matrix, lesson: int) -> Estimate | None:
    """How far the lesson is below its best; the interval is that of the difference to this best one."""
    last = len(matrix.models) - 1
    pairs = _pairs(matrix, [(row, last, lesson) for row in range(last)])
    if not pairs:
        return None
    best, now = max(pairs, key=lambda pair: pair[0].accuracy - pair[1].accuracy)
    return estimated_mean([difference(now, best, bootstrap_generator())], -100.0)


def estimated_mean(figures: Sequence[BootstrapEstimate], least: float) -> Estimate | None:
    """Return the mean of what was resampled; its interval does not go below `least` or above 100."""
    if not figures:
        return None
    figure = mean(figures)
    low, high = figure.interval(CONFIDENCE)
    if math.isinf(high):
        return Estimate(figure.value, low, high)
    return Estimate(figure.value, max(low, least), min(high, 100.0))


def _average(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _points(cells: Sequence[Cell]) -> float | None:
    return 100 * _average([cell.accuracy for cell in cells]) if cells else None


# --- in words -------------------------------------------------------------------------------------


def _headline(
    acc: Estimate | None,
    bwt: Estimate | None,
    newest: tuple[float | None, float | None],
    earlier: int,
    newly: int,
    known: Cell | None,
) -> str:
    """One sentence. What was kept never stands alone: who learns nothing forgets nothing."""
    beside = ""
    if known is not None:
        beside = f"; {sum(known.right)} of {count(len(known.rows), 'general question')} still right"
    before, after = newest
    if acc is not None and bwt is not None:
        new = "the new lesson was not measured"
        if after is not None:
            new = f"new lesson {after:.0f}%" if before is None else f"new lesson {before:.0f} → {after:.0f}%"
        return f"Gets {acc.value:.0f}% of all that it was taught right; {_change(bwt)}; {new}{beside}."
    if after is None:
        return NOTHING
    which = "newest" if earlier else "first"
    what = f"its {which} lesson" if newly == 1 else f"its {newly} lessons"
    was = "" if before is None else f" ({before:.0f}% before)"
    unknown = "; what it remembers of the earlier ones could not be measured" if earlier else ""
    return f"Gets {after:.0f}% of {what} right{was}{unknown}{beside}."


def _change(bwt: Estimate) -> str:
    """What became of the earlier lessons since each was taught, and how sure that is."""
    lost, points = "lost" if bwt.value < 0 else "gained", abs(round(bwt.value))
    amount = f"{lost} {count(points, 'point')}"
    if not points:
        amount = "lost less than a point" if bwt.value < 0 else "lost nothing"
    sure = "from too few examples to be sure" if math.isinf(bwt.high) else f"± {(bwt.high - bwt.low) / 2:.0f}"
    return f"its earlier lessons {amount} on average ({sure})"


# --- for programs ---------------------------------------------------------------------------------


def as_json(matrix: Matrix, measures: Measures) -> dict[str, Any]:
    """Return what `sails sessions retention --json` prints: all of it, null where nothing was measured.

    The squares have one list for each of `models` with one entry for each of `lessons`: shares of answer
    tokens right, 0 to 1, and losses in nats a token. `acc`, `bwt`, `forgetting` and `learned` are in points,
    and the ends of an interval are null where the rows are too few for one.
    """
    return {
        "model": matrix.fingerprint,
        "sessions": [model.session for model in matrix.models if model.session],
        "models": [asdict(model) for model in matrix.models],
        "lessons": [lesson.model_dump() for lesson in matrix.lessons],
        "taught": list(matrix.taught),
        "recall": [[cell and cell.accuracy for cell in row] for row in matrix.recall],
        "recall_loss": [[cell and cell.scores.loss for cell in row] for row in matrix.recall],
        "held_out": [[cell and cell.accuracy for cell in row] for row in matrix.held_out],
        "held_out_loss": [[cell and cell.scores.loss for cell in row] for row in matrix.held_out],
        "general": [drift and drift.model_dump() for drift in matrix.general],
        "acc": _as_json(measures.acc),
        "bwt": _as_json(measures.bwt),
        "forgetting": [_as_json(estimate) for estimate in measures.forgetting],
        "learned": measures.learned,
        "remembered": measures.remembered,
        "general_right": _as_json(measures.general),
        "newest": {"before": measures.newest[0], "after": measures.newest[1]},
        "headline": measures.headline,
        "notes": list(matrix.notes),
    }


def _as_json(estimate: Estimate | None) -> dict[str, float | None] | None:
    if estimate is None:
        return None
    return {key: value if math.isfinite(value) else None for key, value in asdict(estimate).items()}
