"""Replay: how many old rows an epoch repeats, and that they are drawn fairly and always the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sails.retention.replay import draw, replay_count

SIZES = some.lists(some.integers(0, 30), max_size=8)
SEEDS = some.integers(0, 2**32 - 1)
EPOCHS = some.integers(0, 1000)


def numbered(sizes):
    """Lessons of these sizes, whose rows are numbered one after the other."""
    first = [sum(sizes[:n]) for n in range(len(sizes))]
    return [list(range(start, start + size)) for start, size in zip(first, sizes, strict=True)]


def given_by(lessons, rows):
    """How many rows each lesson gave."""
    return [len(set(lesson) & set(rows)) for lesson in lessons]


@pytest.mark.parametrize(
    ("new", "old", "share", "count"),
    [
        (60, 500, 0.5, 60),
        (60, 500, 0.0, 0),
        (60, 500, 0.9, 500),
        (60, 600, 0.9, 540),
        (60, 500, 0.25, 20),
        (60, 40, 0.5, 40),
        (60, 0, 0.5, 0),
        (0, 40, 0.5, 0),
    ],
)
def test_the_share_is_that_of_all_rows_of_an_epoch_as_far_as_there_are_old_ones(new, old, share, count):
    assert replay_count(new, old, share) == count


@given(new=some.integers(0, 5000), old=some.integers(0, 5000), share=some.floats(0, 0.9))
def test_never_more_old_rows_than_there_are_and_never_more_than_the_share(new, old, share):
    count = replay_count(new, old, share)
    assert 0 <= count <= old
    assert count <= share * (new + count) + 0.5


@given(sizes=SIZES, count=some.integers(0, 300), seed=SEEDS, epoch=EPOCHS)
def test_exactly_so_many_rows_are_drawn_and_none_twice(sizes, count, seed, epoch):
    lessons = numbered(sizes)
    rows = draw(lessons, count, seed=seed, epoch=epoch)
    assert len(rows) == len(set(rows)) == min(count, sum(sizes))
    assert set(rows) <= {row for lesson in lessons for row in lesson}


@given(sizes=SIZES, count=some.integers(0, 300), seed=SEEDS, epoch=EPOCHS)
def test_lessons_give_the_same_number_or_one_more_unless_they_have_too_few(sizes, count, seed, epoch):
    lessons = numbered(sizes)
    counts = given_by(lessons, draw(lessons, count, seed=seed, epoch=epoch))
    most = max(counts, default=0)
    for size, drawn in zip(sizes, counts, strict=True):
        assert drawn in (most, most - 1) or drawn == size


@given(sizes=SIZES, count=some.integers(0, 300), seed=SEEDS, epoch=EPOCHS)
def test_the_same_arguments_draw_the_same_rows_and_change_nothing(sizes, count, seed, epoch):
    lessons = numbered(sizes)
    again = draw(numbered(sizes), count, seed=seed, epoch=epoch)
    assert draw(lessons, count, seed=seed, epoch=epoch) == again
    assert lessons == numbered(sizes)


@given(seed=SEEDS, epoch=EPOCHS)
def test_each_epoch_and_each_seed_draws_anew(seed, epoch):
    lessons = numbered([100, 100])
    rows = set(draw(lessons, 100, seed=seed, epoch=epoch))
    assert rows != set(draw(lessons, 100, seed=seed, epoch=epoch + 1))
    assert rows != set(draw(lessons, 100, seed=seed + 1, epoch=epoch))


def test_over_many_epochs_every_row_comes_about_equally_often():
    """1000 epochs of 7 of 20 rows: 350 times each, with a standard deviation of 15."""
    lessons = numbered([10, 10])
    counts = [0] * 20
    for epoch in range(1000):
        for row in draw(lessons, 7, seed=42, epoch=epoch):
            counts[row] += 1
    assert min(counts) > 350 - 5 * 15
    assert max(counts) < 350 + 5 * 15


def test_the_draw_is_the_same_on_every_machine():
    assert draw([[0, 1, 2, 3], [4, 5]], 4, seed=42, epoch=0) == [3, 4, 1, 5]
