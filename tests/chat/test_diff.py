"""Where two answers differ: no word is lost, and what is the same is not marked."""

import random

import pytest

from sails.chat.diff import likeness, pieces
from sails.ui.chat.transcript import mark_words


def kinds(first, other):
    return [(piece.kind, piece.text.strip()) for piece in pieces(first, other)]


def test_words_that_differ_are_found():
    assert kinds("Paris is the capital of France.", "Paris is the largest city of France.") == [
        ("same", "Paris is the"),
        ("gone", "capital"),
        ("added", "largest city"),
        ("same", "of France."),
    ]


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ("a b c", "a  b\nc", "same"),
        ("", "", "same"),
        ("a b c d", "a b c e", "similar"),
        ("a b", "x y", "other"),
        ("a", "", "other"),
        ("a " * 5000, "a " * 4999, "other"),
    ],
)
def test_how_much_two_answers_have_in_common(first, other, expected):
    assert likeness(first, other) == expected


def test_an_answer_that_has_little_in_common_is_not_marked():
    assert kinds("one two three", "four five six") == [("same", "four five six")]


def test_whatever_is_marked_the_answer_stays_word_for_word():
    chance = random.Random(3)
    words = ["a", "b", "*c*", "~~d~~", "<b>", "\n", "  ", "日本", "e."]
    for _ in range(300):
        first, other = (
            "".join(f"{chance.choice(words)}{chance.choice(' ')}" for _ in range(9)) for _ in "12"
        )
        assert "".join(piece.text for piece in pieces(first, other) if piece.kind != "gone") == other


def test_marks_are_bold_and_struck_through_and_the_text_is_only_text():
    shown = mark_words("The <b>sky</b> is blue today.\nYes.", "The <b>sky</b> is green today.\nYes, *so*.")
    assert shown == (
        "The \\<b\\>sky\\<\\/b\\> is ~~blue~~ **green** today\\. ~~Yes\\.~~  \n**Yes\\, \\*so\\*\\.**"
    )


def test_lines_and_indentation_stay_where_they_are():
    shown = mark_words("a b c d e f", "a b c d e f\n\n    g")
    assert shown == "a b c d e f  \n\u00a0  \n\u00a0\u00a0\u00a0\u00a0**g**"
