"""ACC, BWT and forgetting, against matrices that were reckoned by hand."""

import json

import pytest

from sails.retention.metrics import as_json, measure
from tests.support.cells import knows, lesson, matrix

THREE = [[20, 10, 30], [80, 15, None], [70, 90, 25], [60, 80, 95]]


def value(estimate):
    return estimate and pytest.approx(estimate.value)


def test_the_figures_of_three_lessons():
    """ACC (60 + 80 + 95) / 3; BWT ((60 − 80) + (80 − 90)) / 2; learned (60 + 75 + 70) / 3."""
    found = measure(matrix(THREE))
    assert value(found.acc) == 235 / 3
    assert value(found.bwt) == -15
    assert list(map(value, found.forgetting)) == [20, 10, None]
    assert found.learned == pytest.approx(205 / 3)
    assert found.remembered == pytest.approx(140 / 170)
    assert found.newest == pytest.approx((25, 95))


def test_forgetting_is_measured_from_the_best_and_bwt_from_when_it_was_taught():
    """Lesson 1 rose to 90 before it fell to 70, so it forgot 20 while BWT says (70 − 60) = +10 for it."""
    found = measure(matrix([[10, 10, 10], [60, 10, None], [90, 80, 10], [70, 80, 90]]))
    assert list(map(value, found.forgetting)) == [20, 0, None]
    assert value(found.bwt) == (10 + 0) / 2
    assert found.remembered == 1  # and not 150 / 140


def test_what_was_not_measured_is_left_out():
    """Lesson 1 is gone from the last row, and nobody measured lesson 3 before it was taught."""
    found = measure(matrix([[20, None, None], [80, 15, None], [70, 90, None], [None, 80, 95]]))
    assert value(found.acc) == (80 + 95) / 2
    assert value(found.bwt) == -10
    assert list(map(value, found.forgetting)) == [None, 10, None]
    assert found.learned == pytest.approx((60 + 75) / 2)
    assert found.newest == (None, pytest.approx(95))


def test_after_a_start_over_a_lesson_counts_from_the_model_that_was_first_taught_it():
    """Model 1 was taught lessons 1 and 2 at once, model 2 lesson 3."""
    found = measure(matrix([[20, 10, 30], [80, 60, 25], [70, 64, 95]], taught=[1, 1, 2]))
    assert value(found.bwt) == ((70 - 80) + (64 - 60)) / 2
    assert found.learned == pytest.approx((60 + 50 + 70) / 3)
    assert list(map(value, found.forgetting)) == [10, -4, None]


def test_two_models_are_compared_on_the_rows_that_both_were_scored_on():
    """After lesson 2 only the first 10 rows of lesson 1 were scored: of these 90 points were right before."""
    whole = matrix([[0, 0], [80, 0], [80, 50]], rows=20)
    first = whole.recall[1][0].model_copy(update={"right": (9,) * 10 + (7,) * 10})
    last = whole.recall[2][0].only(first.rows[:10])
    recall = (whole.recall[0], (first, whole.recall[1][1]), (last, whole.recall[2][1]))
    found = measure(whole.__class__(**{**vars(whole), "recall": recall}))
    assert value(found.bwt) == 80 - 90


def test_an_interval_without_spread_is_the_figure_itself_and_one_row_gives_none():
    even = measure(matrix([[0, 0], [80, 0], [70, 50]]))
    assert (even.bwt.low, even.bwt.high) == pytest.approx((-10, -10))
    single = measure(matrix([[0, 0], [80, 0], [70, 50]], rows=1))
    assert (single.bwt.low, single.bwt.high) == (-float("inf"), float("inf"))


# --- in words -------------------------------------------------------------------------------------


def test_the_headline_says_what_is_right_now_beside_what_was_lost_and_learned():
    headline = measure(matrix(THREE)).headline
    assert headline == (
        "Gets 78% of all that it was taught right; its earlier lessons lost 15 points on average (± 0); "
        "new lesson 25 → 95%."
    )


@pytest.mark.parametrize(
    ("points", "taught", "headline"),
    [
        ([[12], [71]], None, "Gets 71% of its first lesson right (12% before)."),
        ([[None], [71]], None, "Gets 71% of its first lesson right."),
        ([[12], [None]], None, "What this model remembers was not measured."),
        ([[]], None, "What this model remembers was not measured."),
        ([[10, 20], [70, 80]], [1, 1], "Gets 75% of its 2 lessons right (15% before)."),
        (
            [[12, 9], [71, 10], [None, 80]],
            None,
            "Gets 80% of its newest lesson right (10% before); "
            "what it remembers of the earlier ones could not be measured.",
        ),
        (
            [[12, 9], [70, 10], [70, None]],
            None,
            "Gets 70% of all that it was taught right; its earlier lessons lost nothing on average (± 0); "
            "the new lesson was not measured.",
        ),
        (
            [[12, 9], [70, 10], [74, 80]],
            None,
            "Gets 77% of all that it was taught right; its earlier lessons gained 4 points on average (± 2); "
            "new lesson 10 → 80%.",
        ),
    ],
)
def test_the_headline_of_little(points, taught, headline):
    assert measure(matrix(points, taught)).headline == headline


def test_a_headline_from_single_rows_says_that_it_is_not_sure():
    headline = measure(matrix([[0, 0], [80, 0], [70, 50]], rows=1)).headline
    assert "its earlier lessons lost 10 points on average (from too few examples to be sure)" in headline


def test_everything_as_json_has_nulls_where_nothing_was_measured():
    found = matrix(THREE, rows=20)
    printed = json.loads(json.dumps(as_json(found, measure(found)), allow_nan=False))
    assert printed["sessions"] == ["model 1", "model 2", "model 3"]
    assert printed["recall"][1] == [0.8, 0.15, None]
    assert printed["recall_loss"][3] == pytest.approx([0.4, 0.2, 0.05])
    assert printed["held_out"] == [[None] * 3] * 4
    assert printed["general"] == [None] * 4
    assert printed["bwt"] == pytest.approx({"value": -15, "low": -15, "high": -15})
    assert printed["forgetting"][2] is None
    assert printed["lessons"][0] == lesson("lesson 1").model_dump()


def test_an_interval_without_ends_is_still_json():
    found = matrix([[0, 0], [80, 0], [70, 50]], rows=1)
    printed = json.loads(json.dumps(as_json(found, measure(found)), allow_nan=False))
    assert printed["bwt"] == {"value": pytest.approx(-10), "low": None, "high": None}


# --- general knowledge ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "headline"),
    [
        (
            [[12], [71]],
            "Gets 71% of its first lesson right (12% before); 90 of 100 general questions still right.",
        ),
        (
            THREE,
            "Gets 78% of all that it was taught right; its earlier lessons lost 15 points on average (± 0); "
            "new lesson 25 → 95%; "
            "90 of 100 general questions still right.",
        ),
        ([[12], [None]], "What this model remembers was not measured."),
    ],
)
def test_the_headline_says_what_is_still_there_of_general_knowledge(points, headline):
    assert measure(matrix(points, general=knows(90))).headline == headline


@pytest.mark.parametrize(
    ("right", "questions", "forgot"),
    [
        (100, 100, False),
        (96, 100, False),  # surely, and a little
        (95, 100, False),
        (94, 100, True),
        (18, 20, False),  # much, and perhaps by chance
        (14, 20, True),
        (0, 100, True),
    ],
)
def test_general_knowledge_is_forgotten_where_more_than_a_little_is_lost_and_not_by_chance(
    right, questions, forgot
):
    found = measure(matrix([[20], [80]], general=knows(right, questions)))
    assert value(found.general) == 100 * right / questions
    assert found.forgot_general == forgot


def test_general_knowledge_that_was_not_asked_for_is_no_figure():
    for drift in (None, knows(90).model_copy(update={"known": None})):
        found = measure(matrix([[20], [80]], general=drift))
        assert (found.general, found.forgot_general) == (None, False)
        assert "general" not in found.headline


def test_general_knowledge_is_in_what_programs_read():
    found = matrix([[20], [80]], general=knows(90))
    printed = json.loads(json.dumps(as_json(found, measure(found)), allow_nan=False))
    assert printed["general_right"]["value"] == pytest.approx(90)
    assert printed["general"][0] is None
    assert sum(printed["general"][1]["known"]["right"]) == 90
