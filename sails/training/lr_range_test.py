"""The learning rate that suits a lesson, measured: a few steps at each rate of a grid, then all is undone.

    advice = probe(model, tokenizer, new=new, old=old, general=general, mixture=mixture, settings=settings, …)

A range test (Smith 2017, "Cyclical learning rates for training neural networks") with three curves: the loss
on rows of the lesson to come, that on rows of earlier lessons, and how far answers to general prompts moved.
What is tried at each rate is the whole session in small: some of its new rows for a few rounds, with old rows
as often as the session repeats them, in the trainer's own steps, protected and scheduled as the session's.
Its first steps alone would say little: there, anything new disturbs what is old, and later steps mend it.
Not here: which rows these are (`sails.jobs.lr_finder`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from sails.errors import DivergedError
from sails.sessions import Advice, Session, Settings, Trial, format_rate
from sails.system import Progress, count, listed
from sails.training.dataloader import Example, spread
from sails.training.known import KnownRule
from sails.training.loss import START_AGAIN, evaluate
from sails.training.model import Precision
from sails.training.projection import Matrices
from sails.training.rehearsal import Rehearsal, divergence, with_rehearsal
from sails.training.run import Run
from sails.training.trainer import GoodWeights, train

RATES = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4)
GRIDS = (RATES, RATES[1:6], RATES[1:6:2])  # the fewer steps the time allows, the coarser
ROWS = 24  # of each kind are scored, the same ones for all rates
ROUNDS = 3  # of the session in small
MOST_STEPS, ENOUGH_STEPS, LEAST_STEPS = 24, 9, 6  # at each rate
TIMED_STEPS = 4  # before the first trial, to know how fast they go; the first one also sets things up
RISE = 0.01  # share of the larger loss by which one that is to hold may rise
CAREFUL = 0.85  # of the time that is left is planned for
PATIENCE = 8  # times the seconds of computing may pass by the clock: a busy machine serves others too
# The rate stays the same after its warm-up, as in a session until known; so few rounds are never enough.
UNTIL_KNOWN = KnownRule(1.0, rounds=ROUNDS + 1)


@dataclass(frozen=True)
class Mixture:
    """How a session mixes its rows: so many `rows` in a batch; in a round `each` old rows for one new row.

    These are the share `repeated` of all old rows. What is rehearsed beside them, and what movements are
    projected by, is None where general knowledge is not protected.
    """

    rows: int
    each: float = 0.0
    repeated: float = 1.0
    rehearsal: Rehearsal | None = None
    matrices: Matrices | None = None


def probe(
    model: Any,
    tokenizer: Any,
    *,
    new: Sequence[Example],
    old: Sequence[Example],
    general: Rehearsal,
    mixture: Mixture,
    settings: Settings,
    precision: Precision,
    seconds: float,
    report: Progress,
    check: Callable[[], None],
) -> Advice:
    """Try each rate for the same few steps, and advise one; the model's weights are as before afterwards.

    Advised is, of the rates from the lowest up to the first one that breaks the rule, the one at which the
    loss on the new rows falls most; `follows_the_rule` says what the rule is. `general` are answers that the
    session does not rehearse; `old` may be empty. So many `seconds` may be computed, as `computed_seconds`
    counts them. Where these, or `PATIENCE` times as many by the clock, end before all that matters was tried,
    nothing is advised, and `untried` says what was not. `report(fraction, words)` hears of each trial,
    `check` may raise between two steps.
    """
    if not new:
        raise ValueError("new rows are needed")
    began = time.monotonic()
    run = _Probe(model, tokenizer, general, mixture, settings, precision, seconds, check)
    run.small = in_small(new, old, mixture, MOST_STEPS)
    before = run.score()  # to know how long that takes
    trials: list[Trial] = []
    followed: dict[float, bool] = {}  # whether each rate that was tried follows the rule
    left: tuple[float, ...] = RATES
    untried: tuple[float, ...] = ()
    try:
        rates, steps = run.affordable()
        small = in_small(new, old, mixture, steps)
        if small != run.small:
            run.small = small
            before = run.score()
        while left := still_to_try(rates, followed):
            rate, number = left[0], len(followed)
            report(number / len(rates), f"trying {format_rate(rate)}, {number + 1} of {len(rates)}")
            try:
                trials.append(run.trial(rate, steps))
                followed[rate] = follows_the_rule(trials[-1], before)
            except DivergedError:
                followed[rate] = False
    except _OutOfTime:
        # Above a rate that breaks the rule there is nothing to find.
        settled = any(rate < min(left) for rate, good in followed.items() if not good)
        untried = () if settled else tuple(sorted(left))
    trials.sort(key=lambda trial: trial.learning_rate)
    learning_rate, reason = advised(trials, before)
    if untried:
        learning_rate, reason = None, _could_not_measure(untried)
    elif gone_wrong := followed.keys() - {trial.learning_rate for trial in trials}:
        reason = f"{reason} At {format_rate(min(gone_wrong))} the training would go wrong.".strip()
    return Advice(
        learning_rate=learning_rate,
        new_loss=before.new_loss,
        old_loss=before.old_loss,
        general_loss=before.general_loss,
        trials=tuple(trials),
        untried=untried,
        seconds=round(time.monotonic() - began, 1),
        reason=reason,
    )


@dataclass(frozen=True)
class Small:
    """A session in small: rows that it learns, old ones that it should keep, and its batches by round.

    Batches are numbers of `examples`. The old rows are among them where the session repeats any.
    """

    learned: Sequence[Example]
    kept: Sequence[Example]
    batches: Sequence[Sequence[Sequence[int]]]

    @property
    def examples(self) -> list[Example]:
        return [*self.learned, *self.kept]


def in_small(new: Sequence[Example], old: Sequence[Example], mixture: Mixture, steps: int) -> Small:
    """Return a session in small, of about so many steps.

    Each round goes once through its new rows, and through the next ones of its old rows.
    """
    a_round = max(1, steps // ROUNDS) * mixture.rows
    learned = spread(new, max(1, round(a_round / (1 + mixture.each))))
    count = min(round(len(learned) * mixture.each), len(old))
    kept = spread(old, max(1, round(count / mixture.repeated))) if count else spread(old, ROWS)
    first = len(learned)
    rounds = []
    for number in range(ROUNDS):
        repeated = [first + (number * count + n) % len(kept) for n in range(count)]
        mixed = [row for pair in zip_longest(range(first), repeated) for row in pair if row is not None]
        rounds.append([mixed[n : n + mixture.rows] for n in range(0, len(mixed), mixture.rows)])
    return Small(learned, kept, rounds)


def still_to_try(rates: Sequence[float], followed: Mapping[float, bool]) -> tuple[float, ...]:
    """Return the rates that are left to try, in their order; none after two in a row that break the rule.

    `followed` tells of each rate that was tried, in that order, whether it follows the rule.
    """
    if tuple(rates) == GRIDS[-1]:  # with little time the middle one, then the half that may hold a better
        low, middle, high = rates
        halves = {0: (middle, low, high), 1: (high,) if followed.get(middle) else (low,)}
        return halves.get(len(followed), ())
    broken = len(followed) > 1 and not any([*followed.values()][-2:])
    return () if broken else tuple(rates[len(followed) :])


# --- the rule -------------------------------------------------------------------------------------


def follows_the_rule(trial: Trial, before: Trial) -> bool:
    """Whether the new rows' loss fell, and neither of the others rose by more than 1 % of the larger loss.

    Of the old rows' own loss, 1 % would be next to nothing where they are known by heart, and nothing of the
    divergence on general prompts, which begins at 0: so the loss on new rows is the measure where larger.
    """
    return not _harm(trial, before)


def _harm(trial: Trial, before: Trial) -> str:
    """Which part of the rule is broken, in words that follow on "it"; empty where none is."""
    if trial.new_loss >= before.new_loss:
        return "did not get better at the new examples"
    if _rose(trial.old_loss, before.old_loss, before.new_loss):
        old = _change(trial.old_loss, before.old_loss)
        return f"forgot: its error (loss) on the earlier examples {old}"
    if _rose(trial.general_loss, before.general_loss, before.new_loss):
        return f"forgot: its answers to general questions changed too much ({_moved(trial, before)})"
    return ""


def _rose(after: float | None, before: float | None, new_before: float) -> bool:
    if after is None or before is None:
        return False
    return after > before + RISE * max(before, new_before)


def advised(trials: Sequence[Trial], before: Trial) -> tuple[float | None, str]:
    """Return the learning rate to use, None for none of them, and why, in sentences for a person.

    Where the new rows' loss falls less than at a lower rate, a higher one has nothing to be said for it.
    """
    safe = list(takewhile(lambda trial: follows_the_rule(trial, before), trials))
    broken = next(iter(trials[len(safe) :]), None)
    if not safe:
        if not broken:
            return None, ""
        rate = format_rate(broken.learning_rate)
        return None, f"Even at {rate}, the lowest learning speed that was tried, it {_harm(broken, before)}."
    best = min(reversed(safe), key=lambda trial: trial.new_loss)
    said = [f"its error (loss) on the new examples {_change(best.new_loss, before.new_loss)}"]
    if best.old_loss is not None:
        said.append(f"on the earlier ones it {_change(best.old_loss, before.old_loss)}")
    if best.general_loss is not None:
        said.append(f"its answers to general questions hardly changed ({_moved(best, before)})")
    reason = (
        f"At {format_rate(best.learning_rate)} it learned most without forgetting: "
        f"after {count(best.steps, 'step')} {listed(said)}."
    )
    if broken:
        reason += f" At {format_rate(broken.learning_rate)} it {_harm(broken, before)}."
    return best.learning_rate, reason


def _could_not_measure(untried: Sequence[float]) -> str:
    return (
        f"It could not be measured: there was not enough time to try {listed([*map(format_rate, untried)])}. "
        "This computer is busy, or slow. Measure again when it has less to do."
    )


def _moved(trial: Trial, before: Trial) -> str:
    return f"KL divergence {before.general_loss or 0.0:.3f} → {trial.general_loss or 0.0:.3f}"


def _change(after: float | None, before: float | None) -> str:
    share = after / before - 1 if after is not None and before else 0.0
    if abs(share) < 0.0005:
        return "stayed the same"
    return f"{'rose' if share > 0 else 'fell'} by {abs(share):.1%}".replace("%", " %")


# --- the steps ------------------------------------------------------------------------------------


def computed_seconds(device: str) -> float:
    """Seconds that this process has computed with each of its threads, whatever else the machine does.

    A GPU's work is not seen there: then seconds by the clock.
    """
    return time.process_time() / torch.get_num_threads() if device == "cpu" else time.monotonic()


class _OutOfTime(Exception):
    """There is no time for the rest of a trial."""


@dataclass
class _Probe:
    model: Any
    tokenizer: Any
    general: Rehearsal
    mixture: Mixture
    settings: Settings
    precision: Precision
    seconds: float
    check: Callable[[], None]
    small: Small = field(init=False)
    scoring: float = 0.0  # seconds that scoring takes

    def __post_init__(self) -> None:
        self._weights = GoodWeights(self.model, 0)
        self._end = self.computed() + self.seconds
        self._latest = time.monotonic() + PATIENCE * self.seconds

    def computed(self) -> float:
        return computed_seconds(self.precision.device)

    def score(self, rate: float = 0.0, steps: int = 0) -> Trial:
        """Return the losses as they are now, after so many steps at that rate."""
        began = self.computed()
        padding = self.tokenizer.pad_token_id
        losses: list[float | None] = []
        for rows in (self.small.learned, self.small.kept):
            self.check()
            scores = evaluate(self.model, rows, padding, self.precision)
            losses.append(scores.loss if scores else None)
        new_loss, old_loss = losses
        assert new_loss is not None
        self.check()
        general_loss = divergence(self.model, self.general, padding, self.precision)
        self.scoring = max(self.scoring, self.computed() - began)
        return Trial(
            learning_rate=rate, steps=steps, new_loss=new_loss, old_loss=old_loss, general_loss=general_loss
        )

    def affordable(self) -> tuple[tuple[float, ...], int]:
        """Return the rates that there is time for, and how many steps at each. Raises `_OutOfTime`."""
        began = self.computed()
        try:
            times = self._take_steps(RATES[0], TIMED_STEPS)
        finally:
            self._restore()
        between = len(times) - 1
        seconds = (times[-1] - times[0]) / between
        beside = self.computed() - began - between * seconds + self.scoring
        steps = 0
        for rates in GRIDS:
            left = CAREFUL * (self._end - self.computed())
            tried = 2 if rates == GRIDS[-1] else len(rates)
            steps = int((left / tried - beside) / seconds)
            if steps >= ENOUGH_STEPS:
                break
        return rates, max(LEAST_STEPS, min(steps, MOST_STEPS))

    def trial(self, rate: float, steps: int) -> Trial:
        """Return what the session in small does at that rate. Raises `DivergedError` and `_OutOfTime`."""
        try:
            taken = self._take_steps(rate, steps)
            self._look_at_the_time(self.scoring)
            return self.score(rate, len(taken))
        finally:
            self._restore()

    def _take_steps(self, rate: float, steps: int) -> list[float]:
        """Let the trainer take at most so many steps; returns when each was done, as `computed` tells it."""
        small, rehearsal = self.small, self.mixture.rehearsal
        batches, first = small.batches, len(small.examples)
        if rehearsal:
            share, seed = self.settings.protect, self.settings.seed
            batches = with_rehearsal(batches, first=first, count=len(rehearsal), share=share, seed=seed)
        run = Run(
            examples=small.examples,
            batches=batches,
            held_out=(),
            learning_rate=rate,
            settings=self.settings.model_copy(update={"max_steps": steps}),
            known=UNTIL_KNOWN if self.settings.until_known else None,
            rehearsal=rehearsal,
            matrices=self.mixture.matrices,
        )
        times: list[float] = []
        with TemporaryDirectory() as folder:
            watcher = _Watcher(self, times)
            train(self.model, self.tokenizer, run, self.precision, Session(Path(folder)), watcher)
        return times

    def _look_at_the_time(self, needed: float = 0.0) -> None:
        """Raise `_OutOfTime` where not so many seconds are left."""
        if self.computed() + needed > self._end or time.monotonic() > self._latest:
            raise _OutOfTime

    def _restore(self) -> None:
        self._weights.restore()
        self.model.requires_grad_(True)  # steps that are projected leave some weights out


@dataclass
class _Watcher:
    """Hears of the trainer's steps, and ends them where there is no time for more."""

    probe: _Probe
    times: list[float]

    def metric(self, kind: str, **values: Any) -> None:
        if kind == "guard":
            raise DivergedError(f"In a session in small {values['reason']}.", START_AGAIN)
        self.times.append(self.probe.computed())
        self.probe.check()
        self.probe._look_at_the_time()

    def note(self, text: str) -> None:
        """What a guard notes is said by its metric."""

    def should_stop(self) -> bool:
        return False  # `check` stops it without a checkpoint
