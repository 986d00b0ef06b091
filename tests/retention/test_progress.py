"""Progress over sessions: lessons, all of them together, general knowledge; gaps where nothing is known."""

import dataclasses
import math

from sails.retention.matrix import Model
from sails.retention.metrics import measure
from sails.retention.progress import TOGETHER, progress_of
from tests.support.cells import knows, matrix


def values(line):
    return [None if point is None else round(point.value) for point in line.points]


def test_each_line_says_what_was_measured_after_each_session_and_nothing_else():
    made = matrix([[20, 10], [80, 12], [70, 90]], general=knows(90))
    progress = progress_of(made)
    assert [values(line) for line in progress.lessons] == [[20, 80, 70], [10, 12, 90]]
    assert (progress.together.name, values(progress.together)) == (TOGETHER, [None, 80, 80])
    assert values(progress.general) == [None, None, 90]
    assert progress.rows[0].startswith("Before any lesson")
    assert progress.ticks == ("before", "model 1", "model 2")
    by_lessons = (made.models[0], Model("x", "lesson 1"), Model("y", "lesson 2"))
    assert progress_of(dataclasses.replace(made, models=by_lessons)).ticks == ("before", "1", "2")
    assert progress.is_measured


def test_the_line_of_all_together_ends_where_its_figure_stands_in_the_headline():
    made = matrix([[20, 10], [80, 12], [70, 90]])
    assert progress_of(made).together.points[-1] == measure(made).acc


def test_a_lesson_that_was_not_measured_is_a_gap_in_its_line_and_in_that_of_all_together():
    progress = progress_of(matrix([[20, 10], [80, 12], [None, 90]]))
    assert values(progress.lessons[0]) == [20, 80, None]
    assert values(progress.together) == [None, 80, None]


def test_intervals_are_those_of_the_examples_and_a_single_lesson_has_none():
    progress = progress_of(matrix([[20, 10], [75, 12], [73, 90]], general=knows(90)))
    general = progress.general.points[-1]
    assert general.low < general.value < general.high
    lesson = progress.lessons[0].points[1]
    assert lesson.low == lesson.value == lesson.high
    alone = progress_of(matrix([[20], [75]], rows=1)).together.points[-1]
    assert math.isinf(alone.high)


def test_an_earlier_release_that_asked_no_questions_leaves_a_gap():
    drift = knows(90).model_copy(update={"known": None})
    assert values(progress_of(matrix([[20], [80]], general=drift)).general) == [None, None]


def test_where_there_is_a_single_point_there_is_nothing_to_see():
    made = matrix([[None], [80]])
    assert not progress_of(made).is_measured
    assert not progress_of(dataclasses.replace(made, recall=((None,), (None,)))).is_measured
