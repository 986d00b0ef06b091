"""Whether a training goes wrong, judged from the loss and the gradient norm of its steps alone.

    guard = Guard()
    trouble = guard.judge(loss, gradient_norm)      # a reason in words, or None

Signs of trouble: the smoothed loss is far above its best or its start, or a gradient far larger than usual.
Ratios alone would cry wolf once a lesson is nearly known by heart (0.02 to 0.06 nats is no harm), so each has
a floor and needs some steps before it means anything. A pure function of the steps seen: a resumed run shows
its guard the earlier ones again. What follows from trouble is `sails.training.trainer`'s. Needs no
machine-learning library.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

SMOOTHING = 0.9  # of the exponential mean; the last ten steps weigh two thirds
LOSS_RATIO = 2.5  # times its best: the smoothed loss means trouble
LOSS_RISE = 0.5  # nats that it must have risen as well: below that, hard and easy batches look the same
HARD_STEPS = 10  # all worse than that best: among old rows that are known by heart, new ones are no trouble
STARTING = 3  # steps whose highest loss is that of the start: the learning rate is still close to zero
START_RISE = 1.0  # nats above it are trouble for a run that only got worse: it begins too high for LOSS_RATIO
START_FLOOR = 3.5  # nats that it must exceed as well: the first batches may by chance be old, easy ones
NORM_RATIO = 10.0  # times the usual one: a gradient norm means trouble
NORM_FLOOR = 10.0  # that it must exceed as well; clipped to a norm of 1, smaller ones are everyday
LARGEST_RATIO = 2.0  # times the largest lately, as well: the few hard batches among easy ones come again
SETTLED = 10  # steps before a best loss means anything
NORMS_SETTLED = 20  # steps before a median of gradient norms does
REMEMBERED = 100  # gradient norms in the median, so that it follows the run as it learns
KEEP_EVERY = 10  # steps between two copies of the weights, so that copying takes about 1 % of the time
KEEP_WITHIN = 1.1  # times the best smoothed loss: weights up to there are good


class Guard:
    """Sees every step of a run, in order."""

    def __init__(self, earlier: Iterable[tuple[float, float]] = ()) -> None:
        """`earlier` are the (loss, gradient norm) of the steps before this process."""
        self.alarms = 0
        self._steps = 0
        self._sum = self._weight = 0.0
        self._best, self._start = math.inf, math.inf
        self._lately: deque[float] = deque(maxlen=HARD_STEPS)  # losses
        self._norms: deque[float] = deque(maxlen=REMEMBERED)
        for loss, gradient_norm in earlier:
            self.judge(loss, gradient_norm)

    def judge(self, loss: float, gradient_norm: float) -> str | None:
        """Tell why the run is in trouble after this step, in words; None when it is fine.

        `loss` in nats an answer token, `gradient_norm` before clipping; both finite. After trouble the caller
        goes back to good weights, so the smoothed loss starts at its best again.
        """
        self._steps += 1
        smoothed = self._add(loss)
        reason = self._too_large(gradient_norm) or self._too_high(smoothed)
        if reason is not None:
            self.alarms += 1
            self._lately.clear()
            if math.isfinite(self._best):
                self._sum, self._weight = self._best, 1.0
            return reason
        if self._steps <= STARTING:
            self._start = max(self._lately)
        if self._steps >= SETTLED:
            self._best = min(self._best, smoothed)
        self._norms.append(gradient_norm)
        return None

    def is_good(self, loss: float) -> bool:
        """Tell whether weights that give this loss on the batch to come are worth a copy, when one is due."""
        due = self._steps >= SETTLED and self._steps % KEEP_EVERY == 0
        smoothed = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        return due and smoothed / weight <= min(KEEP_WITHIN * self._best, self._start + LOSS_RISE)

    def _add(self, loss: float) -> float:
        """The exponential mean with this loss in it, free of the bias of its start (Kingma & Ba 2015)."""
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        self._lately.append(loss)
        return self._sum / self._weight

    def _too_high(self, smoothed: float) -> str | None:
        if len(self._lately) < HARD_STEPS:
            return None
        easiest = min(self._lately)
        if smoothed > max(LOSS_RATIO * self._best, self._best + LOSS_RISE) and easiest > self._best:
            return f"the loss rose to {smoothed:.2f}, from {self._best:.2f} at its best"
        if smoothed > max(self._start + START_RISE, START_FLOOR) and min(easiest, self._best) > self._start:
            return f"the loss rose to {smoothed:.2f}, from {self._start:.2f} at the start"
        return None

    def _too_large(self, gradient_norm: float) -> str | None:
        if len(self._norms) < NORMS_SETTLED:
            return None
        usual = median(self._norms)
        if gradient_norm <= max(NORM_FLOOR, NORM_RATIO * usual, LARGEST_RATIO * max(self._norms)):
            return None
        return f"the gradient was {gradient_norm / usual:.0f} times as large as usual"
