"""What a model thinks before it answers is no part of the answer, however its pieces come."""

import pytest

from sails.onnx.runtime.thoughts import ThoughtFilter, answer_in, is_open, without_thought

THINKING = "<think>\nTwo and two.\n</think>\n\nIt is 4."


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("said", "prompt", "shown"),
    [
        (THINKING, "Q:", "It is 4."),
        ("Two and two.\n</think>\nIt is 4.", "Q:<think>\n", "It is 4."),
        ("It is 4.", "Q:", "It is 4."),
        ("<that> is 4.", "Q:", "<that> is 4."),
        ("It is <think>4</think>.", "Q:", "It is <think>4</think>."),
        ("<thi", "Q:", "<thi"),
        ("<think>I wonder", "Q:", ""),
        ("It is 4.", "Q:<think>\n", "It is 4."),  # the turn ended, so this was the answer
    ],
)
def test_only_the_answer_is_shown(said, prompt, shown, size):
    thoughts = ThoughtFilter(is_open(prompt))
    pieces = [thoughts.add(said[start : start + size]) for start in range(0, len(said), size)]
    assert "".join(pieces) + thoughts.end(by_itself=True) == shown
    assert answer_in(said, prompt, by_itself=True) == shown


def test_a_thought_that_was_cut_off_is_no_answer():
    assert answer_in("I wonder", "Q:<think>\n", by_itself=False) == ""


def test_a_thought_is_taken_from_an_answer():
    assert without_thought(THINKING) == "It is 4."
    assert without_thought("It is 4.") == "It is 4."
