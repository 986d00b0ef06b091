"""The learning rate that suits a lesson, measured: a few steps at each rate of a grid, then all is undone.

    advice = probe(model, tokenizer, new=new, old=old, batches=batches, precision=precision, seconds=60, …)

A range test (Smith 2017, "Cyclical learning rates for training neural networks") with two curves: the loss on
rows of the lesson to come, and the loss on rows of earlier lessons. What is tried at each rate is the whole
session in small: some of its new rows for a few rounds, with old rows as often as the session repeats them,
at a rate that rises and falls as in the session. Its first steps alone would say little: there, anything new
disturbs what is old, and later steps mend it. Not here: which rows these are (`sails.jobs.lr_finder`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from typing import Any

import torch
from torch.nn import functional

from sails.errors import DivergedError
from sails.sessions import Advice, Trial, format_rate
from sails.system import Progress
from sails.training.dataloader import Example, collate, spread
from sails.training.loss import AnswerLogits, evaluate
from sails.training.model import Precision

RATES = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4)
GRIDS = (RATES, RATES[1:6], RATES[1:6:2])  # the fewer steps the time allows, the coarser
ROWS = 24  # of each kind are scored, the same ones for all rates
ROUNDS = 3  # of the session in small
MOST_STEPS, ENOUGH_STEPS, LEAST_STEPS = 24, 9, 6  # at each rate
TIMED_STEPS = 3  # before the first trial, to know how fast they go
WARM_UP = 2  # steps below the full rate
LOWEST = 0.1  # of the rate, at the last step
RISE = 0.01  # share of the larger loss by which that on old rows may rise
CAREFUL = 0.85  # of the time that is left is planned for


@dataclass(frozen=True)
class Mixture:
    """How a session mixes its rows: so many `rows` in a batch; in a round `each` old rows for one new row.

    These are the share `repeated` of all old rows.
    """

    rows: int
    each: float = 0.0
    repeated: float = 1.0


def probe(
    model: Any,
    tokenizer: Any,
    *,
    new: Sequence[Example],
    old: Sequence[Example],
    mixture: Mixture,
    precision: Precision,
    seconds: float,
    report: Progress,
    check: Callable[[], None],
) -> Advice:
    """Try each rate for the same few steps, and advise one; the model's weights are as before afterwards.

    Advised is, of the rates from the lowest up to the first one that breaks the rule, the one at which the
    loss on the new rows falls most; `follows_the_rule` says what the rule is. `seconds` from now it ends,
    whatever it has tried by then. `report(fraction, words)` hears of each trial, `check` may raise between
    two steps.
    """
    if not new or not old:
        raise ValueError("rows of both kinds are needed")
    began = time.monotonic()
    run = _Probe(model, tokenizer.pad_token_id, precision, began + seconds, check)
    run.score((spread(new, ROWS), spread(old, ROWS)))  # to know how long that takes
    run.batches, samples = in_small(new, old, mixture, MOST_STEPS)
    rates, steps = run.affordable()
    run.batches, samples = in_small(new, old, mixture, steps)
    before = run.score(samples)
    trials: list[Trial] = []
    ended = ""
    coarse = rates == GRIDS[-1]  # with little time the middle one first, then the half that may hold a better
    queue = [rates[1]] if coarse else list(rates)
    while queue:
        rate = queue.pop(0)
        report(len(trials) / len(rates), f"trying {format_rate(rate)}, {len(trials) + 1} of {len(rates)}")
        try:
            trial = run.trial(rate, samples)
        except DivergedError:
            ended = f"At {format_rate(rate)} its error was no number any more."
            queue = [rates[0]] if coarse and rate == rates[1] else []
            continue
        if trial is None:
            ended = f"There was no time to try {format_rate(rate)} and more."
            break
        trials.append(trial)
        if coarse and rate == rates[1]:
            queue = [rates[2] if follows_the_rule(trial, *before) else rates[0]]
        elif len(trials) > 1 and not any(follows_the_rule(one, *before) for one in trials[-2:]):
            break
    trials.sort(key=lambda trial: trial.learning_rate)
    learning_rate, reason = advised(trials, *before)
    return Advice(
        learning_rate=learning_rate,
        new_loss=before[0],
        old_loss=before[1],
        trials=tuple(trials),
        seconds=round(time.monotonic() - began, 1),
        reason=f"{reason} {ended}".strip(),
    )


Batches = list[list[Example]]
Samples = tuple[Sequence[Example], Sequence[Example]]


def in_small(
    new: Sequence[Example], old: Sequence[Example], mixture: Mixture, steps: int
) -> tuple[Batches, Samples]:
    """At most so many batches of a session in small, and its new and old rows, which are scored.

    Each round goes once through its new rows, and through the next ones of its old rows.
    """
    a_round = max(1, steps // ROUNDS) * mixture.rows
    learned = spread(new, max(1, round(a_round / (1 + mixture.each))))
    count = min(round(len(learned) * mixture.each), len(old))
    kept = spread(old, max(1, round(count / mixture.repeated))) if count else spread(old, ROWS)
    batches: Batches = []
    for number in range(ROUNDS):
        repeated = [kept[(number * count + n) % len(kept)] for n in range(count)]
        mixed = [row for pair in zip_longest(learned, repeated) for row in pair if row is not None]
        batches += [mixed[n : n + mixture.rows] for n in range(0, len(mixed), mixture.rows)]
    return batches[:steps], (learned, kept)


# --- the rule -------------------------------------------------------------------------------------


def follows_the_rule(trial: Trial, new_before: float, old_before: float) -> bool:
    """Whether the new rows' loss fell and the old rows' did not rise by more than 1 % of the larger of both.

    Of the old rows' own loss, 1 % would be next to nothing where they are known by heart.
    """
    allowed = RISE * max(old_before, new_before)
    return trial.new_loss < new_before and trial.old_loss <= old_before + allowed


def advised(trials: Sequence[Trial], new_before: float, old_before: float) -> tuple[float | None, str]:
    """Return the learning rate to use, None for none of them, and why, in a sentence for a person.

    Where the new rows' loss falls less than at a lower rate, a higher one has nothing to be said for it.
    """
    safe = list(takewhile(lambda trial: follows_the_rule(trial, new_before, old_before), trials))
    if safe:
        best = min(reversed(safe), key=lambda trial: trial.new_loss)
        new, old = _change(best.new_loss, new_before), _change(best.old_loss, old_before)
        return best.learning_rate, (
            f"At {format_rate(best.learning_rate)} it learned most without forgetting: after {best.steps} "
            f"steps its error (loss) on the new examples {new}, on the earlier ones it {old}."
        )
    if not trials:
        return None, "There was not enough time to try a single learning speed."
    first = trials[0]
    what = f"Even at {format_rate(first.learning_rate)}, the lowest learning speed that was tried,"
    if first.new_loss >= new_before:
        return None, f"{what} it did not get better at the new examples."
    old = _change(first.old_loss, old_before)
    return None, f"{what} it forgot: its error (loss) on the earlier examples {old}."


def _change(after: float, before: float) -> str:
    share = after / before - 1 if before else 0.0
    if abs(share) < 0.0005:
        return "stayed the same"
    return f"{'rose' if share > 0 else 'fell'} by {abs(share):.1%}".replace("%", " %")


# --- the steps ------------------------------------------------------------------------------------


@dataclass
class _Probe:
    model: Any
    padding: int
    precision: Precision
    deadline: float  # on the machine's own clock
    check: Callable[[], None]
    batches: Batches = field(default_factory=list)
    scoring: float = 0.0  # seconds that scoring takes

    def __post_init__(self) -> None:
        self.weights: list[torch.Tensor] = [weight.detach().clone() for weight in self.model.parameters()]
        self.answer_logits = AnswerLogits(self.model)

    def score(self, samples: Samples) -> tuple[float, float]:
        """Loss on the new and on the old rows, in nats an answer token."""
        began = time.monotonic()
        losses = []
        for rows in samples:
            self.check()
            scores = evaluate(self.model, rows, self.padding, self.precision)
            assert scores is not None
            losses.append(scores.loss)
        self.scoring = max(self.scoring, time.monotonic() - began)
        return losses[0], losses[1]

    def affordable(self) -> tuple[tuple[float, ...], int]:
        """Return the rates that there is time for, and how many steps at each."""
        try:
            self._take_steps(RATES[0], 1)  # which also sets things up
            began = time.monotonic()
            self._take_steps(RATES[0], TIMED_STEPS)
            seconds = (time.monotonic() - began) / TIMED_STEPS
        finally:
            self._restore()
        steps = 0
        for rates in GRIDS:
            time_left = CAREFUL * (self.deadline - time.monotonic())
            tried = 2 if rates == GRIDS[-1] else len(rates)
            steps = int((time_left / tried - self.scoring) / seconds)
            if steps >= ENOUGH_STEPS:
                break
        return rates, max(LEAST_STEPS, min(steps, MOST_STEPS))

    def trial(self, rate: float, samples: Samples) -> Trial | None:
        """Return the session in small at that rate, and what it did; None when the time does not suffice."""
        steps = len(self.batches)
        try:
            if not self._take_steps(rate, steps) or time.monotonic() + self.scoring > self.deadline:
                return None
            new_loss, old_loss = self.score(samples)
            return Trial(learning_rate=rate, steps=steps, new_loss=new_loss, old_loss=old_loss)
        finally:
            self._restore()

    def _take_steps(self, rate: float, steps: int) -> bool:
        """As `trainer` takes them: fused AdamW, clipped gradients, and a warm-up of a few steps.

        False when the time is over before the last one.
        """
        was_training = self.model.training
        self.model.train()
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        fused = self.precision.device != "mps"
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0, fused=fused)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # for models with dropout
                for step in range(steps):
                    self.check()
                    if time.monotonic() > self.deadline:
                        return False
                    # Up in the first steps, then down a cosine, as in a session.
                    done = (step - WARM_UP) / max(1, steps - WARM_UP)
                    down = LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * done)) / 2
                    for group in optimizer.param_groups:
                        group["lr"] = rate * ((step + 1) / (WARM_UP + 1) if step < WARM_UP else down)
                    self._step(self.batches[step % len(self.batches)], parameters, optimizer)
            return True
        finally:
            optimizer.zero_grad(set_to_none=True)
            self.model.train(was_training)

    def _step(self, examples: Sequence[Example], parameters: list[Any], optimizer: Any) -> None:
        batch = {key: value.to(self.model.device) for key, value in collate(examples, self.padding).items()}
        with self.precision.autocast():
            logits, targets = self.answer_logits(self.model, batch)
        functional.cross_entropy(logits, targets).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _restore(self) -> None:
        for parameter, kept in zip(self.model.parameters(), self.weights, strict=True):
            parameter.copy_(kept)
