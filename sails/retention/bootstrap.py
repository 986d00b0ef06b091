"""How sure a score, or a difference between two models, is: the paired bootstrap over rows.

A score is sum(right) / sum(tokens) over rows that are a sample of a lesson. Rows are resampled, not tokens,
because the tokens of a row are right or wrong together. Both models of a difference get the same resample
(paired), so that what makes a row hard for both cancels out; different lessons get their own.

A percentile interval is too narrow for few rows. The one here is wider by what a t interval would be wider
than a normal one: the deviations are stretched by sqrt(n / (n − 1)) and by t / z (after Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015, who moves the percentiles instead). From one row alone
nothing follows, and its interval has no ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sails.retention.schema import Cell

# The gate compares a dozen lessons at most, so that its tails have 0.002 of the draws and more: 40 of these.
RESAMPLES = 20_000
SEED = 20_260_101
BLOCK = 100_000  # rows that are drawn at a time
SHARED_DEGREES = 20  # a quarter of what the gate knows of the spread of sixty rows

Floats = NDArray[np.float64]
Places = NDArray[np.uint32]


def bootstrap_generator() -> np.random.Generator:
    """Return the source of resamples; always seeded alike, so the same figures give the same interval."""
    return np.random.default_rng(SEED)


@dataclass(frozen=True)
class BootstrapEstimate:
    """A figure in points, what it was in each resample, and the degrees of freedom of its spread."""

    value: float
    draws: Floats  # (RESAMPLES,)
    degrees: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return where the true figure lies with this confidence, as far as the rows are a fair sample."""
        if self.degrees < 1:
            return -math.inf, math.inf
        tail = (1 - confidence) / 2
        stretch = _wider(tail, self.degrees)
        low, high = np.quantile(self.draws, [tail, 1 - tail]) - self.value
        return self.value + stretch * float(low), self.value + stretch * float(high)


def accuracy(cell: Cell, generator: np.random.Generator) -> BootstrapEstimate:
    """Return the share of answer tokens right, in points."""
    drawn = _resamples(len(cell.rows), generator)
    draws = _points(np.array(cell.right), np.array(cell.tokens), drawn)
    return _sampled(100 * cell.accuracy, draws, len(cell.rows))


def difference(before: Cell, after: Cell, generator: np.random.Generator) -> BootstrapEstimate:
    """Return after − before, in points; both cells have the same rows in the same order."""
    if (before.rows, before.tokens) != (after.rows, after.tokens):
        raise ValueError("Two models are compared on the same rows only.")
    drawn = _resamples(len(after.rows), generator)
    draws = _points(np.array(after.right) - np.array(before.right), np.array(after.tokens), drawn)
    return _sampled(100 * (after.accuracy - before.accuracy), draws, len(after.rows))


def mean(figures: Sequence[BootstrapEstimate]) -> BootstrapEstimate:
    """The mean of figures that were resampled independently; its degrees of freedom after Satterthwaite."""
    spreads = [float(figure.draws.var()) for figure in figures]
    unsure = sum(v**2 / figure.degrees for v, figure in zip(spreads, figures, strict=True) if figure.degrees)
    degrees = sum(figure.degrees for figure in figures)
    return BootstrapEstimate(
        value=math.fsum(figure.value for figure in figures) / len(figures),
        draws=np.mean([figure.draws for figure in figures], axis=0),
        degrees=min(sum(spreads) ** 2 / unsure, degrees) if unsure else degrees,
    )


def moderated(figures: Sequence[BootstrapEstimate]) -> list[BootstrapEstimate]:
    """Draw the spread of each difference towards that of all, as if `SHARED_DEGREES` were known from all.

    How much luck moves the rows is much alike for all lessons, and the few rows of one tell it badly (after
    Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression", 2004, with the
    variance of single rows). The figures were resampled independently; each keeps its degrees of freedom.
    """
    of_a_row = [float(figure.draws.var()) * (figure.degrees + 1) for figure in figures]
    degrees = sum(figure.degrees for figure in figures)
    known = math.fsum(v * figure.degrees for v, figure in zip(of_a_row, figures, strict=True))
    found = []
    for own, figure in zip(of_a_row, figures, strict=True):
        scale = 1.0
        if own and degrees:
            both = figure.degrees * own + SHARED_DEGREES * known / degrees
            scale = math.sqrt(both / (figure.degrees + SHARED_DEGREES) / own)
        found.append(replace(figure, draws=figure.value + scale * (figure.draws - figure.value)))
    return found


def lowest(figures: Sequence[BootstrapEstimate], confidence: float) -> float:
    """The end above the lowest of several figures with shared resamples (see `BootstrapEstimate.interval`).

    The lowest of many is partly the unluckiest, so its end is where the lowest would be in a resample if all
    were the same (after White, "A Reality Check for Data Snooping", 2000).
    """
    lowest_figure = min(figures, key=lambda figure: figure.value)
    if lowest_figure.degrees < 1:
        return math.inf
    tail = (1 - confidence) / 2
    unluckiest = np.min([figure.draws - figure.value for figure in figures], axis=0)
    return lowest_figure.value - _wider(tail, lowest_figure.degrees) * float(np.quantile(unluckiest, tail))


def _wider(tail: float, degrees: float) -> float:
    return student_t_quantile(tail, math.floor(degrees)) / -NormalDist().inv_cdf(tail)


def _resamples(rows: int, generator: np.random.Generator) -> Places:
    """(RESAMPLES, rows): which rows are drawn, with replacement."""
    return generator.integers(rows, size=(RESAMPLES, rows), dtype=np.uint32)


def _points(right: NDArray[np.int64], tokens: NDArray[np.int64], drawn: Places) -> Floats:
    # A few resamples at a time: of hundreds of rows, all at once would fill no cache.
    points = []
    for some in np.array_split(drawn, math.ceil(drawn.size / BLOCK)):
        rows = some.astype(np.intp)
        right_drawn, tokens_drawn = (of.take(rows, mode="clip").sum(axis=1) for of in (right, tokens))
        points.append(100 * right_drawn / tokens_drawn)
    return np.concatenate(points)


def _sampled(value: float, draws: Floats, rows: int) -> BootstrapEstimate:
    stretch = math.sqrt(rows / (rows - 1)) if rows > 1 else 1.0
    return BootstrapEstimate(value, value + stretch * (draws - value), rows - 1)


def paired(before: Cell, after: Cell) -> tuple[Cell, Cell] | None:
    """Return both cells on the rows that both have, in the order of `after`; None when there are none.

    A row whose answer was cut at another length for one of them is not the same row.
    """
    tokens_before = dict(zip(before.rows, before.tokens, strict=True))
    rows = zip(after.rows, after.tokens, strict=True)
    common = [row for row, count in rows if count and tokens_before.get(row) == count]
    return (before.only(common), after.only(common)) if common else None


def pooled(cells: Sequence[Cell]) -> Cell:
    """Join the rows of several cells into one cell."""
    return cells[0].model_copy(
        update={
            "rows": tuple(row for cell in cells for row in cell.rows),
            "tokens": tuple(count for cell in cells for count in cell.tokens),
            "right": tuple(count for cell in cells for count in cell.right),
            "loss": tuple(loss for cell in cells for loss in cell.loss),
        }
    )


@lru_cache(maxsize=1024)
def student_t_quantile(tail: float, degrees: int) -> float:
    """Return the value that Student's t exceeds with probability `tail`, below one half; found by halving."""
    low, high = 0.0, 1.0
    while _beyond(high, degrees) > tail:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _beyond(middle, degrees) > tail else (low, middle)
    return high


def _beyond(t: float, degrees: int) -> float:
    """P(T > t) for t ≥ 0 (Abramowitz & Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    odd = degrees % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for n in range(2 + odd, degrees + 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (n - 1) / n
    inside = total * math.sin(angle)
    if odd:
        inside = 2 / math.pi * (angle + inside)
    return (1 - inside) / 2
