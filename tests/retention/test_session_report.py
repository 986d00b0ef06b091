"""What one session did to each lesson, in words."""

import math

import pytest

from sails import retention
from sails.models.workspace import Workspace
from sails.retention import session_report
from sails.retention.schema import GENERAL, Changed, Decision, GateFinding
from tests.support.cells import knows
from tests.support.situations import make_line, make_session, remembered


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "workspace")


def found_in(workspace, *findings):
    """What a session measured of two lessons, with these findings; they name the lessons 0 and 1."""
    lessons = [make_session(workspace, name, hour) for hour, name in enumerate(("databases", "kitchen"), 8)]
    named = [
        finding.model_copy(
            update={"lessons": tuple(n if n == GENERAL else lessons[int(n)].id for n in finding.lessons)}
        )
        for finding in findings
    ]
    decision = Decision(held=True, reason="", findings=tuple(named))
    return remembered(lessons[1], {lessons[0]: (0.8, 0.5), lessons[1]: (0.2, 0.8)}, decision=decision)


def finding(before, after, low, high, *, best=None, lost=False, lessons="0", everything=False, rows=40):
    return GateFinding(
        lessons=(GENERAL,) if lessons == GENERAL else tuple(lessons),
        rows=rows,
        before=before,
        after=after,
        low=low,
        high=high,
        best=best,
        lost=lost,
        everything=everything,
    )


def test_nothing_is_called_good_that_rests_on_one_example(workspace):
    found = found_in(workspace, finding(100, 100, -100, 100, rows=1))
    sentence = session_report.describe_finding(found, found.decision.findings[0])
    assert sentence == "databases, 1 example: 100% → 100% right. From one alone nobody can tell."


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (finding(81, 58, -28, -18, lost=True), "23 points (18 to 28) lost. That is too much to let pass."),
        (finding(81, 80, -4, 2), "1 point (−2 to 4) lost. That may as well be chance."),
        (finding(81, 79, -3, -1), "2 points (1 to 3) lost. That is little enough to let pass."),
        (
            finding(96.1, 54.6, -58, -24, lost=True),
            "41 points (24 to 58) lost. That is too much to let pass.",
        ),
        (finding(81.4, 80.6, -2, 1), "0 points (−1 to 2) lost. That may as well be chance."),
        (finding(81, 85, 1, 7), "4 points (1 to 7) gained. That is good."),
        (finding(70, 67, -5, 1, best=80, lost=True), "Its best was 80%. That is too much to let pass."),
    ],
)
def test_a_finding_says_how_much_how_sure_and_whether_it_passes(workspace, one, said):
    found = found_in(workspace, one)
    sentence = session_report.describe_finding(found, found.decision.findings[0])
    assert sentence.startswith(f"databases, 40 examples: {one.before:.0f}% → {one.after:.0f}% right")
    assert sentence.endswith(said)


def test_the_worst_loss_is_named_first_and_what_was_kept_is_not(workspace):
    found = found_in(
        workspace,
        finding(70, 67, -5, 1, best=80, lost=True),
        finding(81, 58, -28, -18, lost=True, lessons="1"),
        finding(81, 80, -2, 1),
    )
    assert session_report.describe_losses(found) == "23 points on kitchen and 13 points on databases"


EVERYTHING = finding(80, 77, -4, -2, lost=True, lessons="01", everything=True)


def test_what_was_lost_everywhere_is_told_of_all_lessons_together(workspace):
    found = found_in(workspace, finding(80, 77, -5, 1), EVERYTHING)
    assert session_report.describe_losses(found) == "3 points over all earlier lessons together"
    assert session_report.describe_finding(found, found.decision.findings[1]) == (
        "All earlier lessons together, 40 examples: 80% → 77% right, 3 points (2 to 4) lost. "
        "That is too much to let pass."
    )
    assert session_report.before_and_after(found)[0][-1] == "Lost a little."


def test_what_was_lost_everywhere_is_not_told_beside_a_lesson_that_was_lost(workspace):
    found = found_in(workspace, finding(81, 58, -28, -18, lost=True), EVERYTHING)
    assert session_report.describe_losses(found) == "23 points on databases"
    assert session_report.before_and_after(found)[0][-1] == "Lost too much."


def test_nothing_lost_and_nothing_decided_are_no_words(workspace):
    found = found_in(workspace, finding(81, 80, -2, 1))
    assert session_report.describe_losses(found) == ""
    assert session_report.describe_losses(found.model_copy(update={"decision": None})) == ""


def test_a_table_has_each_lesson_before_and_after(workspace):
    *_, last = make_line(workspace, ["databases", "garden", "kitchen"], lost=0.3)
    first, second, third = session_report.before_and_after(retention.read_retention(last))
    assert first == ("1. databases", "80% → 50%", "70% → 40% (of only 10)", "Lost too much.")
    assert second[0] == "2. garden"
    assert third == (
        "3. kitchen",
        "20% → 80%",
        "10% → 70% (of only 10)",
        "Taught in this session: learned a part.",
    )


def test_what_was_not_measured_says_so(workspace):
    _, last = make_line(workspace, ["databases", "kitchen"])
    found = retention.read_retention(last)
    found = found.model_copy(update={"after": found.after.model_copy(update={"cells": ()})})
    assert session_report.before_and_after(found)[0] == (
        "1. databases",
        "80% → –",
        "70% → – (of only 10)",
        "Not measured.",
    )


def test_answers_are_told_apart_and_the_most_changed_comes_first(workspace):
    _, last = make_line(workspace, ["databases", "kitchen"])
    found = retention.read_retention(last)
    [lost], [gained] = session_report.lost_answers(found), session_report.gained_answers(found)
    assert (lost.question, gained.question) == ("What is a foreign key?", "How long do I boil an egg?")
    worse = lost.model_copy(update={"question": "Worse?", "share_after": 0.0})
    found = found.model_copy(update={"changed": (lost, worse)})
    assert [changed.question for changed in session_report.lost_answers(found)] == ["Worse?", lost.question]
    assert session_report.gained_answers(None) == ()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "Lyon, of course.",
            "It is the river Rhône.",
            "23% → 84% of its text right; asked, it says something else",
        ),
        ("Lyon, of course.", "The Loire, I think.", "it says this now."),
        ("The loire", "the LOIRE!", "it still says this."),
        ("The Loire.", "The Loiret.", "it does not say this any more."),
    ],
)
def test_what_it_says_when_asked_stands_beside_the_share_that_it_gets_right(before, after, said):
    changed = Changed(
        lesson="a",
        question="Which river?",
        expected="The Loire.",
        before=before,
        after=after,
        share_before=0.23,
        share_after=0.84,
    )
    assert said in session_report.describe_answer(changed)


def test_an_interval_without_ends_is_told_in_words():
    assert session_report.spread(-math.inf, math.inf) == "too few examples to say how sure that is"
    assert session_report.points(-3.2, -5.4, -1.1) == "3 points (1 to 5)"


# --- general knowledge ----------------------------------------------------------------------------


def knowledge(after, low, high, **changes):
    """A finding on a hundred general questions, all of which were answered right before."""
    return finding(100, after, low, high, lessons=GENERAL, rows=100, **changes)


BEFORE_ANY = "some of what it knew before any lesson"


@pytest.mark.parametrize(
    ("one", "lost", "beside", "line", "sentence"),
    [
        (
            knowledge(88, -19, -6, lost=True),
            f"{BEFORE_ANY} (12 of 100 questions)",
            f"{BEFORE_ANY} (12 of 100 questions)",
            ("100% → 88% (of 100 questions)", "Lost too much."),
            "12 points (6 to 19) lost. That is too much to let pass.",
        ),
        (
            finding(92, 89, -6, 1, best=100, lessons=GENERAL, rows=100, lost=True),  # little by little
            f"{BEFORE_ANY} (11 of 100 questions)",
            "",
            ("92% → 89% (of 100 questions)", "Lost too much."),
            "Its best was 100%. That is too much to let pass.",
        ),
        (
            knowledge(96, -8, -1),
            "",
            f"{BEFORE_ANY} (4 of 100 questions)",
            ("100% → 96% (of 100 questions)", "Lost a little."),
            "4 points (1 to 8) lost. That is little enough to let pass.",
        ),
        (
            knowledge(99, -3, 0),
            "",
            "",
            ("100% → 99% (of 100 questions)", "Kept, as far as one can tell."),
            "1 point (0 to 3) lost. That may as well be chance.",
        ),
        (
            knowledge(100, 0, 0),
            "",
            "",
            ("100% → 100% (of 100 questions)", "Kept. That is good."),
            "0 points (0 to 0) lost. That is good.",
        ),
    ],
)
def test_general_knowledge_is_told_in_words(workspace, one, lost, beside, line, sentence):
    found = found_in(workspace, one)
    assert session_report.describe_losses(found) == lost
    assert session_report.describe_general_loss(found) == beside
    *_, last = session_report.before_and_after(found)
    assert last == ("General knowledge", line[0], "–", line[1])
    said = session_report.describe_finding(found, one)
    assert said.startswith(f"General knowledge, 100 questions: {line[0].split(' (')[0]} right")
    assert said.endswith(sentence)


def test_general_questions_that_are_not_answered_right_any_more_are_named(workspace):
    found = found_in(workspace, knowledge(96, -8, -1))
    before = found.before.model_copy(update={"general": knows(100)})
    after = found.after.model_copy(update={"general": knows(96)})
    found = found.model_copy(update={"before": before, "after": after})
    said = session_report.describe_finding(found, found.decision.findings[0])
    assert said.endswith(
        " Not answered right any more: “question 96”, “question 97”, “question 98” and 1 more."
    )


@pytest.mark.parametrize("first", [0, 1])
def test_a_lost_lesson_and_lost_general_knowledge_are_told_the_worse_one_first(workspace, first):
    both = [finding(81, 58, -28, -18, lost=True), knowledge(88, -19, -6, lost=True)]
    assert session_report.describe_losses(found_in(workspace, both[first], both[1 - first])) == (
        f"23 points on databases and {BEFORE_ANY} (12 of 100 questions)"
    )


def test_without_general_questions_there_is_no_line_of_them(workspace):
    found = found_in(workspace, finding(81, 80, -2, 1))
    assert [name for name, *_ in session_report.before_and_after(found)] == ["1. databases", "2. kitchen"]
    assert session_report.describe_general_loss(found) == ""
    assert session_report.describe_general_loss(found.model_copy(update={"decision": None})) == ""
