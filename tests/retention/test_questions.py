"""The questions that show what a session did."""

import pytest

from sails.data import Conversation, Turn
from sails.retention.questions import MAX_QUESTION_LENGTH, TAUGHT, UNRELATED, questions_for, reword


def row(question, answer="Because it is so."):
    return Conversation((Turn("user", question), Turn("assistant", answer)))


def test_without_a_base_model_five_taught_one_reworded_and_one_unrelated_are_asked():
    asked = questions_for([row(f"What is number {n}?", f"It is {n}.") for n in range(50)])
    assert [question.about for question in asked] == ["taught"] * TAUGHT + ["reworded", "unrelated"]
    assert len({question.question for question in asked}) == TAUGHT + 2
    assert asked[0].expected == "It is 0."
    assert asked[TAUGHT].expected == "It is 0."
    assert (asked[-1].question, asked[-1].expected) == (UNRELATED, None)


def test_two_general_questions_that_the_base_model_answers_right_are_asked_as_well():
    rows = [row(f"Why {n}?") for n in range(50)]
    known = ["What is 2 + 2?", UNRELATED, "Who wrote Hamlet?", "Why 3?", "Which planet is red?"]
    asked = questions_for(rows, known)
    assert [question.about for question in asked[TAUGHT:]] == ["reworded", *["unrelated"] * 3]
    assert asked[-1].question == UNRELATED  # which it may never have known
    others = {question.question for question in asked[TAUGHT + 1 : -1]}
    assert len(others) == 2
    assert others <= {
        "What is 2 + 2?",
        "Who wrote Hamlet?",
        "Which planet is red?",
    }  # and none that is taught
    assert asked == questions_for(rows, known)


@pytest.mark.parametrize(
    ("known", "unrelated"), [([], 1), ([UNRELATED], 1), (["One?"], 2), (["One?", "Two?"], 3)]
)
def test_fewer_general_questions_are_asked_where_fewer_are_known(known, unrelated):
    asked = questions_for([row("Why?")], known)
    assert [question.about for question in asked].count("unrelated") == unrelated


def test_the_taught_ones_come_from_the_whole_lesson():
    asked = questions_for([row(f"What is number {n}?") for n in range(50)])
    assert [int(question.question[15:-1]) for question in asked[:TAUGHT]] == [0, 10, 20, 30, 40]


def test_the_same_rows_give_the_same_questions():
    rows = [row(f"Why {n}?") for n in range(17)]
    assert questions_for(rows) == questions_for(rows)


@pytest.mark.parametrize(("rows", "taught"), [(0, 0), (1, 1), (3, 3), (5, 5)])
def test_a_small_lesson_is_asked_what_it_has(rows, taught):
    asked = questions_for([row(f"Why {n}?") for n in range(rows)])
    assert [question.about for question in asked].count("taught") == taught
    assert asked[-1].question == UNRELATED


def test_very_long_questions_are_not_asked():
    asked = questions_for([row("x" * (MAX_QUESTION_LENGTH + 1)), row("Short?")])
    assert [question.question for question in asked if question.about == "taught"] == ["Short?"]


@pytest.mark.parametrize(
    ("question", "begins"),
    [("What is HTML?", "what is HTML?"), ("HTML is what?", "HTML is what?"), ("I lost my key.", "I lost")],
)
def test_a_reworded_question_holds_the_question_and_is_another_one(question, begins):
    assert f": {begins}" in reword(question)
    assert reword(question) != question


def test_a_lesson_that_teaches_the_general_question_is_not_asked_it_as_unrelated():
    asked = questions_for([row(UNRELATED)], ["One?", "Two?", "Three?"])
    unrelated = [question.question for question in asked if question.about == "unrelated"]
    assert UNRELATED not in unrelated
    assert len(unrelated) == 2
