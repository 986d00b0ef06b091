"""When a training is in trouble, from its losses and gradient norms alone, and when it is not."""

import math
import random
from pathlib import Path

import pytest

from sails.sessions import MetricsReader
from sails.training.divergence import HARD_STEPS, KEEP_EVERY, LOSS_RISE, NORM_FLOOR, SETTLED, Guard

RECORDED = sorted(Path(__file__).parents[2].glob("examples/demo/sessions/*/metrics.jsonl"))


def judge(guard, steps):
    """The reasons that the guard gave, by the number of the step."""
    given = {number: guard.judge(*step) for number, step in enumerate(steps, 1)}
    return {number: reason for number, reason in given.items() if reason}


def learning(steps=60, start=4.0, end=0.5, noise=0.2, seed=0, norm=3.0):
    """A run that learns: losses that fall by and by, with batches that are easier and harder."""
    chance = random.Random(seed)
    for step in range(steps):
        loss = end + (start - end) * math.exp(-3 * step / steps)
        yield loss * chance.lognormvariate(0, noise), norm * loss * chance.lognormvariate(0, noise)


@pytest.mark.parametrize("seed", range(50))
def test_a_run_that_learns_is_never_in_trouble(seed):
    assert judge(Guard(), learning(steps=200, noise=0.4, seed=seed)) == {}


@pytest.mark.parametrize("path", RECORDED, ids=[path.parent.name for path in RECORDED])
def test_the_recorded_sessions_of_the_embedded_model_were_never_in_trouble(path):
    metrics = MetricsReader(path).read_metrics()
    steps = [(m["loss"], m["gradient_norm"]) for m in metrics if m["kind"] == "step"]
    assert len(steps) > 10
    assert judge(Guard(), steps) == {}


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
def test_new_rows_among_old_ones_known_by_heart_are_seldom_trouble(share):
    """Even where every batch is wholly old or wholly new, as when their lengths differ."""
    alarms = 0
    for seed in range(100):
        chance = random.Random(seed)
        new = list(learning(steps=200, start=3.5, end=0.3, noise=0.3, seed=seed))
        steps = [
            (0.15 * chance.lognormvariate(0, 0.3), 1.0) if chance.random() < share else step for step in new
        ]
        alarms += bool(judge(Guard(), steps))
    assert alarms <= 2


def test_a_loss_far_above_its_best_is_trouble():
    guard = Guard()
    assert judge(guard, learning()) == {}
    ((step, reason),) = judge(guard, [(6.0, 3.0)] * 12).items()
    assert step == HARD_STEPS
    assert reason.startswith("the loss rose to ")
    assert guard.alarms == 1


def test_a_loss_that_only_rises_from_the_start_is_trouble_and_its_weights_are_not_kept():
    """An untaught model begins at 4 nats and ends, when the learning rate is too high, at 7 or 8."""
    guard, kept = Guard(), []
    for step in range(30):
        loss = 4.0 + min(4.0, 0.3 * max(0, step - 1))
        kept += [step] if guard.is_good(loss) else []
        reason = guard.judge(loss, 3.0)
        if reason:
            break
    assert reason.endswith("from 4.30 at the start")
    assert step < 15
    assert kept == []


def test_one_hard_batch_is_no_trouble():
    guard = Guard()
    judge(guard, learning())
    assert judge(guard, [(5.0, 9.0), *[(0.6, 3.0)] * 20]) == {}


def test_a_loss_that_triples_close_to_zero_is_no_trouble():
    guard = Guard()
    assert judge(guard, [*[(0.02, 0.3)] * 40, *[(0.06, 0.9)] * 40]) == {}
    assert judge(guard, [(0.02 + LOSS_RISE, 0.9)] * 40) == {}
    assert judge(guard, [(0.2 + LOSS_RISE, 0.9)] * 40)


def test_a_gradient_far_above_the_usual_is_trouble():
    guard = Guard()
    judge(guard, learning())
    judge(guard, [(0.6, 3.0)] * 100)
    assert judge(guard, [(0.6, 30.0)]) == {}
    assert judge(guard, [(0.6, 75.0)]) == {1: "the gradient was 25 times as large as usual"}


def test_a_large_gradient_among_tiny_ones_is_no_trouble_while_clipping_makes_it_harmless():
    guard = Guard()
    judge(guard, [(0.02, 0.05)] * 40)
    assert judge(guard, [(0.03, NORM_FLOOR)]) == {}
    assert judge(guard, [(0.03, 2 * NORM_FLOOR + 0.1)])


def test_the_first_steps_mean_nothing_yet():
    assert judge(Guard(), [(0.4, 1.0)] * 3 + [(5.0, 60.0)] * (SETTLED - 3)) == {}


def test_after_trouble_it_measures_from_its_best_again():
    guard = Guard()
    judge(guard, learning())
    assert list(judge(guard, [(7.0, 3.0)] * 12)) == [HARD_STEPS]
    assert judge(guard, [(0.6, 3.0)] * 20) == {}
    assert list(judge(guard, [(7.0, 3.0)] * 12)) == [HARD_STEPS]
    assert guard.alarms == 2


def test_weights_are_worth_a_copy_now_and_then_while_the_loss_is_near_its_best():
    guard, kept = Guard(), []
    for step, (loss, norm) in enumerate(learning(noise=0.05)):
        if guard.is_good(loss):
            kept.append(step)
        guard.judge(loss, norm)
    assert kept == list(range(SETTLED, 60, KEEP_EVERY))
    assert not guard.is_good(5.0)
    assert not guard.is_good(math.nan)


def test_a_guard_that_is_shown_the_earlier_steps_judges_as_if_it_had_seen_them():
    steps = [*learning(), *[(7.0, 3.0)] * 14, *[(0.6, 3.0)] * 30]
    later = [(0.6, 80.0), *[(6.0, 3.0)] * 15]
    whole = Guard()
    judge(whole, steps)
    resumed = Guard(steps)
    assert resumed.alarms == 1
    assert list(judge(resumed, later)) == list(judge(whole, later)) == [1, HARD_STEPS + 1]
