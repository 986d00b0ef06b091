"""The interval of a difference: it covers the truth as often as it says, also from few rows."""

import numpy as np
import pytest

from sails.retention import bootstrap
from sails.retention.bootstrap import (
    accuracy,
    bootstrap_generator,
    difference,
    mean,
    moderated,
    paired,
    pooled,
    student_t_quantile,
)
from tests.support.cells import cell, share


@pytest.mark.parametrize(
    ("degrees", "tail", "value"),
    [(1, 0.025, 12.706), (2, 0.025, 4.303), (5, 0.005, 4.032), (19, 0.0025, 3.174), (100, 0.005, 2.626)],
)
def test_students_t_is_that_of_the_tables(degrees, tail, value):
    assert student_t_quantile(tail, degrees) == pytest.approx(value, abs=0.001)


@pytest.fixture
def quick(monkeypatch):
    """Fewer resamples, where many intervals are asked for."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 4000)


def one_sample(generator, rows, loss):
    """Two cells of a model before and after it lost `loss` points; rows are hard or easy for both."""
    ease = generator.beta(4, 2, rows)
    before = generator.binomial(10, ease)
    kept = generator.beta(20 * (1 - loss), 20 * loss + 1e-9, rows)
    return cell("a", before.tolist()), cell("a", generator.binomial(before, kept).tolist())


@pytest.mark.parametrize(("rows", "confidence"), [(20, 0.95), (60, 0.95), (20, 0.99)])
@pytest.mark.usefixtures("quick")
def test_the_interval_of_a_difference_covers_the_truth_as_often_as_it_says(rows, confidence):
    """600 samples of rows: the share that covers has a standard deviation of 0.9 points."""
    generator = np.random.default_rng(1)
    truth = 100 * (4 / 6) * -0.1
    covered = 0
    for _ in range(600):
        low, high = difference(*one_sample(generator, rows, 0.1), bootstrap_generator()).interval(confidence)
        covered += low <= truth <= high
    assert covered / 600 == pytest.approx(confidence, abs=0.025)


@pytest.mark.usefixtures("quick")
def test_the_interval_of_a_mean_over_lessons_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(2)
    truth = 100 * (4 / 6) * -0.1
    covered = 0
    for _ in range(400):
        resamples = bootstrap_generator()
        parts = [difference(*one_sample(generator, rows, 0.1), resamples) for rows in (8, 20, 40)]
        low, high = mean(parts).interval(0.95)
        covered += low <= truth <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


@pytest.mark.usefixtures("quick")
def test_the_interval_of_an_accuracy_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        right = generator.binomial(10, generator.beta(4, 2, 30)).tolist()
        low, high = accuracy(cell("a", right), bootstrap_generator()).interval(0.95)
        covered += low <= 100 * 4 / 6 <= high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def width(figure):
    low, high = figure.interval(0.95)
    return high - low


def test_what_is_known_of_the_spread_is_shared_and_few_rows_take_more_of_it():
    """One difference of twenty rows is ten times as wide as another: each becomes more like the other."""
    resamples = bootstrap_generator()
    wide = difference(cell("a", [0, 10] * 10), cell("a", [10, 0] * 10), resamples)
    narrow, more = (
        difference(cell("b", [5] * rows), cell("b", [4, 6] * (rows // 2)), resamples) for rows in (20, 200)
    )
    drawn = moderated([wide, narrow, more])
    assert width(drawn[0]) < 0.9 * width(wide)
    assert width(drawn[1]) > 1.5 * width(narrow)
    assert width(drawn[2]) / width(more) < width(drawn[1]) / width(narrow)
    assert [figure.value for figure in drawn] == [wide.value, narrow.value, more.value]


def test_one_difference_alone_has_its_own_spread():
    alone = difference(cell("a", [0, 10] * 10), cell("a", [10, 0] * 10), bootstrap_generator())
    assert moderated([alone])[0].interval(0.95) == pytest.approx(alone.interval(0.95))
    assert moderated([]) == []


def test_the_same_cells_give_the_same_interval():
    before, after = one_sample(np.random.default_rng(4), 30, 0.2)
    first, again = (difference(before, after, bootstrap_generator()).interval(0.95) for _ in range(2))
    assert first == again


def test_what_makes_a_row_hard_for_both_models_cancels_out():
    """Each row loses one or two tokens of ten, however many it had: far less spread than there is of rows."""
    before = cell("a", [2, 9] * 20)
    after = cell("a", [1, 7] * 10 + [0, 8] * 10)
    low, high = difference(before, after, bootstrap_generator()).interval(0.95)
    assert low < -15 < high
    assert high - low < 5
    wide = accuracy(before, bootstrap_generator()).interval(0.95)
    assert wide[1] - wide[0] > 20


def test_nothing_follows_from_one_row():
    assert difference(cell("a", [10]), cell("a", [0]), bootstrap_generator()).interval(0.95) == (
        -np.inf,
        np.inf,
    )


def test_only_rows_that_both_have_are_compared_in_the_same_order():
    before, after = cell("a", [1, 2, 3, 4]), cell("a", [7, 8, 9], first=2)
    old, new = paired(before, after)
    assert old.rows == new.rows == ("a/recall/2", "a/recall/3")
    assert (old.right, new.right) == ((3, 4), (7, 8))
    assert paired(before, cell("a", [5], first=9)) is None
    longer = new.model_copy(update={"tokens": (10, 20)})
    for other in (after, longer):
        with pytest.raises(ValueError, match="same rows"):
            difference(before if other is after else old, other, bootstrap_generator())


def test_a_row_without_an_answer_is_not_compared():
    empty = cell("a", [0, 5]).model_copy(update={"tokens": (0, 10)})
    old, new = paired(empty, cell("a", [4, 6]))
    assert old.rows == new.rows == ("a/recall/1",)


def test_pooled_cells_have_the_rows_of_all():
    both = pooled([share("a", 50, rows=3), share("b", 100, rows=1)])
    assert len(both.rows) == 4
    assert both.accuracy == (15 + 10) / 40
