"""Curves thinned for a chart: the lowest and highest point of each stretch of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 1000  # at most so many in a curve
Floats = NDArray[np.float32]
Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Curve:
    """Steps `x` (int64, rising) and values `y` (float32, finite), of one length."""

    x: Steps
    y: Floats

    def __len__(self) -> int:
        return len(self.x)

    def thinned(self, points: int) -> Curve:
        """Return the same curve in at most `points` points, with its lowest and highest ones."""
        if len(self) <= points:
            return self
        width = -(-len(self) // (points // 2))
        keep = _extremes(self.y, 0, len(self), width)
        return Curve(self.x[keep], self.y[keep])


def _extremes(values: Floats, begin: int, end: int, width: int) -> NDArray[np.int64]:
    """Indices of the lowest and the highest value in each stretch of `width` from `begin` to `end`, rising.

    A stretch of nothing but NaN gives none.
    """
    starts = np.arange(begin, end, width)
    padded = np.full(len(starts) * width, np.nan, np.float32)
    padded[: end - begin] = values[begin:end]
    rows = padded.reshape(len(starts), width)
    seen = np.isfinite(rows)
    low = np.where(seen, rows, np.inf).argmin(axis=1) + starts
    high = np.where(seen, rows, -np.inf).argmax(axis=1) + starts
    kept = seen.any(axis=1)
    return np.unique(np.concatenate([low[kept], high[kept]]))


def _grown(values: NDArray[Any], needed: int) -> NDArray[Any]:
    """A copy with room for `needed` values at least, and for as many again as there are."""
    grown = np.empty(max(needed, 2 * len(values)), values.dtype)
    grown[: len(values)] = values
    return grown


class _Column:
    """One growing row of values, and the extremes of its complete stretches.

    A stretch starts with two values; whenever there are too many stretches, two neighbours become one. So a
    new value costs the same among a thousand as among a million.
    """

    def __init__(self) -> None:
        self._values: Floats = np.empty(256, np.float32)
        self._count, self._done, self._width = 0, 0, 2
        self._kept: NDArray[np.int64] = np.empty(0, np.int64)

    def extend(self, values: Sequence[float]) -> None:
        with np.errstate(over="ignore"):  # what is too large for a chart is infinite, and not drawn
            new = np.asarray(values, np.float32)
        needed = self._count + len(new)
        if needed > len(self._values):
            self._values = _grown(self._values, needed)
        self._values[self._count : needed] = new
        self._count = needed
        while self._count > POINTS // 2 * self._width:
            self._widen()
        # The extremes of the stretches that are complete now.
        end = self._count // self._width * self._width
        if end > self._done:
            new_extremes = _extremes(self._values, self._done, end, self._width)
            self._kept = np.concatenate([self._kept, new_extremes])
            self._done = end

    def cut(self, count: int) -> None:
        """Keep the first `count` values."""
        self._count = count
        self._done = count // self._width * self._width
        self._kept = self._kept[self._kept < self._done]

    def _widen(self) -> None:
        self._width *= 2
        self._done = self._done // self._width * self._width
        kept = self._kept[self._kept < self._done]
        if len(kept):
            stretch, values = kept // self._width, self._values[kept]
            begins = np.flatnonzero(np.diff(stretch, prepend=-1))
            # Sorted by stretch and value; of equal values the first stays first.
            low, high = np.lexsort((values, stretch)), np.lexsort((-values, stretch))
            kept = np.unique(kept[np.concatenate([low[begins], high[begins]])])
        self._kept = kept

    def indices(self) -> NDArray[np.int64]:
        """Tell where the points to draw lie: at most `POINTS`, rising."""
        if self._count == self._done:
            return self._kept
        rest = _extremes(self._values, self._done, self._count, self._width)
        return np.concatenate([self._kept, rest])

    def means(self, parts: int) -> tuple[NDArray[np.int64], Floats]:
        """For each of at most `parts` stretches of all values, the index of its middle and its mean."""
        width = -(-self._count // parts)
        starts = np.arange(0, self._count, width)
        values = self._values[: self._count]
        seen = np.isfinite(values)
        counts = np.add.reduceat(seen, starts, dtype=np.int64)
        sums = np.add.reduceat(np.where(seen, values, 0), starts, dtype=np.float64)
        middles = (starts + np.minimum(starts + width, self._count) - 1) // 2
        kept = counts > 0
        return middles[kept], (sums[kept] / counts[kept]).astype(np.float32)

    def at(self, indices: NDArray[np.int64]) -> Floats:
        return self._values[indices]


class Table:
    """Columns that share their steps; rows after a `resume` replace those that no longer count."""

    def __init__(self, names: Sequence[str]) -> None:
        self._steps: Steps = np.empty(256, np.int64)
        self._columns = {name: _Column() for name in names}
        self.rows = 0

    def extend(self, steps: Sequence[int], values: Mapping[str, Sequence[float]]) -> None:
        needed = self.rows + len(steps)
        if needed > len(self._steps):
            self._steps = _grown(self._steps, needed)
        self._steps[self.rows : needed] = steps
        self.rows = needed
        for name, column in self._columns.items():
            column.extend(values[name])

    def cut_after(self, step: int) -> None:
        self.rows = int(np.searchsorted(self._steps[: self.rows], step, side="right"))
        for column in self._columns.values():
            column.cut(self.rows)

    def curve(self, name: str) -> Curve:
        column = self._columns[name]
        indices = column.indices()
        return Curve(self._steps[indices], column.at(indices))

    def average(self, name: str, parts: int) -> Curve:
        if not self.rows:
            return Curve(self._steps[:0], np.empty(0, np.float32))
        middles, means = self._columns[name].means(parts)
        return Curve(self._steps[middles], means)
