"""What measures general knowledge is apart from what is rehearsed, and its answers can be checked."""

import re

import pytest

from sails.retention.general import (
    ClosedQuestion,
    closed_questions,
    is_right,
    open_prompts,
    rehearsal_prompts,
)
from sails.retention.questions import UNRELATED

# Words that say how something is asked, and not what is asked for.
ASKING = set(
    re.findall(
        r"\w+",
        """a an and are as at be between by call called can city did do does for from give had has have
        how i in into is it its made make makes many me mean much my name of on one or our say some
        stand tell that the their there they this to use used was we were what when where which who
        with would write you your""",
    )
)


def plain(text):
    return " ".join(re.findall(r"\w+", text.casefold()))


def content_words(text):
    return {word.removesuffix("s") for word in plain(text).split() if word not in ASKING}


def test_there_is_enough_of_each_kind():
    assert len(closed_questions()) >= 100
    assert len(open_prompts()) == 40
    assert len(rehearsal_prompts()) >= 150


def test_no_prompt_stands_twice_and_none_is_both_measured_and_rehearsed():
    asked = [question.question for question in closed_questions()]
    texts = [plain(text) for text in (*asked, *open_prompts(), *rehearsal_prompts())]
    assert sorted(texts) == sorted(set(texts))


def test_the_unrelated_question_is_measured_and_not_rehearsed():
    assert UNRELATED in {question.question for question in closed_questions()}
    assert UNRELATED not in rehearsal_prompts()


@pytest.mark.parametrize("question", closed_questions(), ids=lambda question: question.question)
def test_a_closed_question_does_not_say_its_answer(question):
    assert question.accepted
    assert all(word.strip() for word in question.accepted)
    assert not is_right(question, question.question)


@pytest.mark.parametrize("question", closed_questions(), ids=lambda question: question.question)
def test_no_rehearsed_prompt_asks_for_a_measured_fact(question):
    """Neither in other words nor the other way round, as far as their words can tell."""
    asked = content_words(question.question)
    for prompt in rehearsal_prompts():
        rehearsed = content_words(prompt)
        shared = asked & rehearsed
        assert not (is_right(question, prompt) and shared), f"{prompt} tells the answer"
        assert not (len(shared) >= 2 and shared in (asked, rehearsed)), f"{prompt} asks the same"


PARIS = ClosedQuestion("What is the capital of France?", ("paris",))
EIGHT = ClosedQuestion("How many bits are in a byte?", ("8", "eight"))
PI = ClosedQuestion("What is pi, to two decimals?", ("3.14",))
MORNING = ClosedQuestion("Translate good morning into Spanish.", ("buenos días", "buenos dias"))
WATER = ClosedQuestion("What is the chemical formula of water?", ("h2o",))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (PARIS, "Paris"),
        (PARIS, "The capital of France is **PARIS**."),
        (PARIS, "It's Paris, of course!"),
        (EIGHT, "8."),
        (EIGHT, "There are eight, I think."),
        (EIGHT, "Bits (8)"),
        (EIGHT, "Counted in full-width digits: ８"),
        (PI, "About 3.14."),
        (MORNING, "Buenos  Días"),
        (MORNING, "buenos di\u0301as"),
        (MORNING, '"Buenos\ndias"'),
        (WATER, "It is H₂O."),
    ],
)
def test_an_accepted_word_anywhere_makes_an_answer_right(question, answer):
    assert is_right(question, answer)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (PARIS, ""),
        (PARIS, "The capital of France is Lyon."),
        (PARIS, "Parisian life is in the comparison."),
        (EIGHT, "18"),
        (EIGHT, "80 or 8th"),
        (EIGHT, "8.5"),
        (EIGHT, "0.8"),
        (EIGHT, "8,000"),
        (EIGHT, "Eighteen, or eighty."),
        (PI, "3.141"),
        (PI, "13.14"),
        (MORNING, "Buenos amigos, días"),
        (WATER, "CH2O"),
    ],
)
def test_a_part_of_a_word_or_of_a_number_does_not(question, answer):
    assert not is_right(question, answer)
