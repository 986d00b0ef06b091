"""What one model was measured to know, in words."""

import shutil

import pytest

from sails.models.workspace import Workspace
from sails.retention import model_report
from sails.retention.metrics import Estimate, Measures, measure
from sails.retention.model_report import Memory, memory_of, retention_map
from sails.retention.schema import Drift
from tests.support.cells import knows, matrix
from tests.support.folders import make_model
from tests.support.situations import make_line


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "workspace")


def now(workspace) -> Memory:
    return memory_of(workspace, workspace.situation().trained.fingerprint)


ALL = Estimate(100, 100, 100)


def measured(workspace, *, bwt, learned=20.0, acc=64.0, general=ALL):
    """The memory of a model of two lessons, whose figures are these."""
    known = now(workspace)
    figures = {"acc": Estimate(acc, acc - 4, acc + 4), "bwt": bwt, "learned": learned, "general": general}
    fields = {**vars(known.measures), **figures, "forgetting": (Estimate(3, 1, 5), None)}
    return Memory(known.matrix, Measures(**fields), known.newest)


def test_the_map_has_a_row_for_each_model_and_a_column_for_each_lesson(workspace):
    make_line(workspace, ["databases", "kitchen"])
    found = retention_map(now(workspace).matrix, "recall")
    assert found.rows == ("Before any lesson (base model)", "After 1. databases", "After 2. kitchen")
    assert found.columns == ("1. databases", "2. kitchen", "General knowledge")
    assert [[square.text for square in line] for line in found.squares] == [
        ["20%", "20%", "97%"],
        ["80%", "20%", "97%"],
        ["80%", "80%", "97%"],
    ]
    assert found.squares[1][0].said == "80% right, 40 examples"
    assert "drift 0.03" in found.squares[2][2].said
    unseen = retention_map(now(workspace).matrix, "held_out").squares[2][1]
    assert (unseen.text, unseen.said) == ("70%", "70% right, 10 examples, too few to judge by")


def test_what_is_missing_is_a_dash_and_says_why(workspace):
    first, _, _ = make_line(workspace, ["databases", "garden", "kitchen"])
    before = retention_map(now(workspace).matrix, "recall").squares
    assert (before[1][2].text, before[1][2].said) == ("–", "Not taught yet, and not measured")
    shutil.rmtree(first.data)
    known = now(workspace)  # what lies on the disk changed, so what is kept is read anew
    assert "databases: Its examples were deleted." in known.matrix.notes


def test_what_did_not_change_is_not_measured_again(workspace):
    make_line(workspace, ["databases", "kitchen"])
    assert now(workspace) is now(workspace)


def test_a_model_from_elsewhere_has_nothing_to_show(workspace):
    make_model(workspace.trained_model)
    known = now(workspace)
    assert known.matrix.lessons == ()
    assert known.measures.acc is None
    assert "nobody can tell" in model_report.describe_headline(known)


def test_one_lesson_leaves_nothing_to_forget(workspace):
    make_line(workspace, ["databases"])
    assert "nothing earlier that it could have forgotten" in model_report.describe_headline(now(workspace))
    assert "once two lessons are taught" in model_report.bwt_sentence(now(workspace).measures)


@pytest.mark.parametrize(
    ("bwt", "learned", "said"),
    [
        (Estimate(-9, -12, -6), 20.0, "That is not good: it forgot"),
        (Estimate(-3, -5, -1), 20.0, "That is acceptable"),
        (Estimate(-1, -4, 2), 20.0, "That is good: it learned"),
        (Estimate(-2, -30, 9), 20.0, "cannot be told"),
        (Estimate(0, -1, 1), 2.0, "learned little"),
        (Estimate(-9, float("-inf"), float("inf")), 20.0, "cannot be told"),
    ],
)
def test_the_headline_is_followed_by_whether_it_is_good(workspace, bwt, learned, said):
    make_line(workspace, ["databases", "kitchen"])
    assert said in model_report.describe_headline(measured(workspace, bwt=bwt, learned=learned, acc=90))


@pytest.mark.parametrize(
    ("acc", "general", "said"),
    [
        (87, ALL, "That is good: it learned, and kept its earlier lessons."),
        (60, ALL, "It learned, and kept its earlier lessons, but a part of the answers is not right yet."),
        (87, Estimate(97, 95, 99), "It lost a little of what it knew before any lesson."),
    ],
)
def test_only_who_gets_most_of_it_right_and_lost_nothing_is_called_good(workspace, acc, general, said):
    make_line(workspace, ["databases", "kitchen"])
    memory = measured(workspace, bwt=Estimate(0, -1, 1), acc=acc, general=general)
    assert model_report.describe_headline(memory).endswith(said)


def test_who_forgot_what_it_knew_is_led_back_to_where_there_is_something(workspace):
    forgot = Estimate(80, 72, 87)
    make_line(workspace, ["databases"])
    said = model_report.describe_headline(measured(workspace, bwt=None, general=forgot))
    assert said.endswith("or start over from the base model.")
    other = Workspace.open(workspace.root.parent / "other")
    make_line(other, ["databases", "kitchen"])
    said = model_report.describe_headline(measured(other, bwt=Estimate(0, -1, 1), general=forgot))
    assert said.endswith("or go back to the version before.")


def test_the_headline_calls_nothing_good_whose_general_knowledge_was_not_asked(workspace):
    make_line(workspace, ["databases", "kitchen"])
    memory = measured(workspace, bwt=Estimate(0, -1, 1), acc=90, general=None)
    said = model_report.describe_headline(memory)
    assert "good" not in said
    assert said.endswith("What it knew before any lesson was not asked.")


@pytest.mark.parametrize(("acc", "said"), [(85, "That is good"), (64, "a fair part"), (20, "That is little")])
def test_the_mean_over_all_lessons_stands_with_its_interval(workspace, acc, said):
    make_line(workspace, ["databases", "kitchen"])
    sentence = model_report.acc_sentence(measured(workspace, bwt=None, acc=acc).measures)
    assert f"{acc}% ({acc - 4} to {acc + 4}) of the text" in sentence
    assert said in sentence


@pytest.mark.parametrize(
    ("bwt", "said"),
    [
        (Estimate(-9, -12, -6), "lost 9 points (6 to 12) on average. That is not good"),
        (Estimate(-3, -5, -1), "lost 3 points (1 to 5) on average. That is acceptable."),
        (Estimate(1, -1, 3), "gained 1 point (−1 to 3) on average. That is good: it may as well"),
        (Estimate(4, 2, 6), "gained 4 points (2 to 6) on average. That is good."),
        (Estimate(-0.3, -0.6, -0.1), "less than a point (−1 to 0) on average. That is acceptable."),
        (Estimate(-2, -30, 9), "nobody can tell whether that is good"),
        (Estimate(-9, float("-inf"), float("inf")), "nobody can tell whether that is good"),
    ],
)
def test_what_became_of_earlier_lessons_is_a_sentence(workspace, bwt, said):
    make_line(workspace, ["databases", "kitchen"])
    assert said in model_report.bwt_sentence(measured(workspace, bwt=bwt).measures)


def test_forgetting_is_told_lesson_by_lesson_the_worst_first(workspace):
    make_line(workspace, ["databases", "garden", "kitchen"], lost=0.3)
    first, second = model_report.forgetting_sentences(now(workspace))
    assert first.startswith("1. databases: 30 points (")
    assert "below its best. That is not good" in first
    assert second.startswith("2. garden")


def told(general):
    """The memory of a model of one lesson, whose general knowledge is this."""
    found = matrix([[20], [80]], general=general)
    return Memory(found, measure(found), None)


@pytest.mark.parametrize(
    ("general", "forgot", "said"),
    [
        (None, False, "General knowledge is not measured: the base model is not known, or not here."),
        (
            # Of an earlier release, or where the base model knows none of the questions.
            Drift(divergence=0.03, agreement=0.97, prompts=24),
            False,
            "General knowledge: it would still choose 97% of the text of the base model's answers. "
            "Whether they are still right was not counted: its base model surely knows none of the "
            "questions, or an earlier release did not ask them.",
        ),
        (
            knows(100),
            False,
            "General knowledge: of 100 questions that its base model surely knows, it still answers 100 "
            "right (100%, 100 to 100), and it would still choose 90% of the text of the base model's "
            "answers. That is good.",
        ),
        (knows(99), False, "answers 99 right (99%, 97 to 100), and it would still choose 90% of the text"),
        (
            knows(95),
            False,
            "answers 95 right (95%, 90 to 99), and it would still choose 90% of the text of the base "
            "model's answers. That is acceptable: it lost a little.",
        ),
        (
            knows(80),
            True,
            "General knowledge: of 100 questions that its base model surely knows, it still answers 80 "
            "right (80%, 72 to 87). That is not good: it forgot a part of what it knew before any lesson.",
        ),
    ],
)
def test_general_knowledge_says_what_it_still_answers_right_and_how_it_sounds(general, forgot, said):
    memory = told(general)
    assert memory.measures.forgot_general == forgot
    assert said in model_report.general_sentence(memory)
    assert ("That is good" in model_report.describe_headline(memory)) <= (not forgot)
    assert ("forgot a part of what it knew before" in model_report.describe_headline(memory)) == forgot
