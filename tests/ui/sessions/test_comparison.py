"""Sessions side by side: what differs in what was asked, who did best, and what each answered."""

import json

import pytest

from sails import sessions
from sails.models.workspace import Workspace
from sails.sessions import Advice, Results, Scores
from sails.sessions.metrics import MetricsWriter
from sails.sessions.monitor import SessionMonitor
from sails.ui.sessions.comparison import (
    NOTHING,
    compare_scores,
    compare_settings,
    last_answers,
    same_questions,
)
from tests.support.situations import make_line, make_session, published


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "w")


def asked(session, **changes):
    """The record of a session whose settings were these."""
    spec = json.loads((session.folder / "spec.json").read_text())
    spec["settings"].update(changes)
    (session.folder / "spec.json").write_text(json.dumps(spec))
    return sessions.record(session)


def found(lines, label):
    return next(line for line in lines if line.label.startswith(label))


def test_what_differs_is_told_from_what_does_not(workspace):
    one = asked(make_session(workspace, "one", 8, **published()), epochs=3)
    two = asked(make_session(workspace, "two", 9, **published()), seed=7)
    lines = compare_settings([one, two])
    assert {line.label for line in lines if line.differs} == {"Rounds (epochs)", "Number for chance (seed)"}
    assert found(lines, "Rounds").values == ("3 (chosen)", "up to 20 (preset balanced)")
    assert found(lines, "Learning speed").values == ("5e-5 (automatic)",) * 2
    assert found(lines, "Stops early").values == ("no", "no")
    assert found(lines, "Steps at most").values == ("no limit",) * 2


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (Results(), "up to 20 (preset balanced)"),
        (Results(epochs=7.0, most_epochs=24), "7 of up to 24 (preset balanced)"),
        (Results(epochs=2.5, most_epochs=20), "2.5 of up to 20 (preset balanced)"),  # it was stopped
        (Results(epochs=6.0), "6 (preset balanced)"),  # of an earlier release
    ],
)
def test_rounds_are_those_that_it_went_through_and_how_many_it_might_have(workspace, results, said):
    (line,) = found(
        compare_settings([asked(make_session(workspace, "one", 8, **published(results=results)))]), "Rounds"
    ).values
    assert line == said


def test_how_much_general_knowledge_is_protected_stands_side_by_side(workspace):
    one, two = (
        asked(make_session(workspace, name, hour, **published()), protect=share)
        for name, hour, share in (("one", 8, 0.0), ("two", 9, 0.4))
    )
    line = found(compare_settings([one, two]), "Share of a step")
    assert (line.values, line.differs) == (("0%", "40%"), True)


def test_how_it_was_trained_and_what_of_it_was_kept_stand_side_by_side(workspace):
    one, two, three = (
        asked(make_session(workspace, name, hour, **published(results=Results(blend=share))), **settings)
        for name, hour, share, settings in (
            ("one", 8, None, {}),
            ("two", 9, 0.85, {"method": "lora", "blend": True}),
            ("three", 10, None, {"blend": True}),
        )
    )
    lines = compare_settings([one, two, three])
    assert found(lines, "Trained").values == (
        "the model itself",
        "small additions to it (LoRA)",
        "the model itself",
    )
    assert found(lines, "Take back").values == ("no", "85% of the change was kept", "yes")


def test_replay_publishing_and_advice_stand_side_by_side(workspace):
    status = published(lessons=("a", "b"), results=Results(rows_taught=9, rows_replayed=7))
    one = asked(make_session(workspace, "one", 8, **status), replay_share=0.7, publish="never")
    two = make_session(workspace, "two", 9, **published())
    spec = json.loads((two.folder / "spec.json").read_text())
    spec["advice"] = Advice(learning_rate=2e-5, new_loss=2.0, old_loss=1.0).model_dump(mode="json")
    (two.folder / "spec.json").write_text(json.dumps(spec))
    lines = compare_settings([one, sessions.record(two)])
    assert found(lines, "Share of a round").values == ("70%", "50%")
    assert found(lines, "Examples of earlier lessons").values == ("7", NOTHING)
    assert found(lines, "Earlier lessons").values == ("2", NOTHING)
    assert found(lines, "Replaces").values == ("only when a person decides so", "unless it forgot")
    assert found(lines, "Teaches all earlier").values == ("no", "no")
    assert found(lines, "Learning speed that was measured").values == (NOTHING, "2e-5 (not followed)")


def test_a_session_that_never_started_is_compared_by_what_was_asked(workspace):
    record = asked(make_session(workspace, "queued"), learning_rate=3e-4)
    lines = compare_settings([record])
    assert found(lines, "Learning speed (").values == ("3e-4 (chosen)",)
    assert found(lines, "Started from").values == found(lines, "Examples taught").values == (NOTHING,)
    assert {line.values for line in compare_scores([record])} == {(NOTHING,)}


def test_the_best_is_marked_where_they_can_be_told_apart(workspace):
    def measured(name, hour, loss, accuracy):
        after = Scores(loss=loss, accuracy=accuracy, rows=9)
        results = Results(taught_after=after, held_out_after=after, steps=5)
        return sessions.record(make_session(workspace, name, hour, **published(results=results)))

    one, two, three = measured("a", 8, 0.601, 0.8), measured("b", 9, 0.5, 0.8), measured("c", 10, 0.499, 0.8)
    lines = compare_scores([one, two, three])
    assert found(lines, "Loss on taught examples, after").values == ("0.60", "0.50 ★ best", "0.50 ★ best")
    assert found(lines, "Share right on taught").values == ("80%",) * 3
    assert found(lines, "Loss on taught examples, before").values == (NOTHING,) * 3


def scored(session, loss):
    """The record of a session whose lesson ended with this loss, and that was taught the same as others."""
    spec = json.loads((session.folder / "spec.json").read_text()) | {"dataset": "rivers", "rows": 50}
    (session.folder / "spec.json").write_text(json.dumps(spec))
    status = session.status()
    after = Scores(loss=loss, accuracy=0.8, rows=9)
    results = status.results.model_copy(update={"taught_after": after})
    session.write_status(status.model_copy(update={"results": results}))
    return sessions.record(session)


def test_no_star_for_what_forgot_and_what_was_kept_stands_first(workspace):
    _, kept, held = make_line(workspace, ["lakes", "rivers", "mountains"], lost=0.3, hold_last=True)
    lines = compare_scores([scored(kept, 0.5), scored(held, 0.1)])
    assert lines[0].label == "Earlier lessons, share of the answers right"
    assert lines[0].values == ("80% → 80%", "80% → 50%: it lost too much")
    assert lines[1].label == "General knowledge, questions right"
    assert found(lines, "Loss on taught examples, after").values == ("0.50", "0.10")
    again = scored(make_session(workspace, "rivers again", 12, **published()), 0.4)
    lines = compare_scores([scored(kept, 0.5), scored(held, 0.1), again])
    assert found(lines, "Loss on taught examples, after").values == ("0.50", "0.10", "0.40 ★ best")


def test_no_star_between_sessions_that_were_taught_other_examples(workspace):
    one, two = make_line(workspace, ["lakes", "rivers"])
    lines = compare_scores([scored(one, 0.5), sessions.record(two)])
    assert all("★" not in value for line in lines for value in line.values)


def test_the_last_answers_are_those_after_the_lesson(workspace):
    session = make_session(workspace, "databases")
    why = {"about": "taught", "question": "Why?", "expected": None}
    writer = MetricsWriter(session.metrics)
    writer.write("samples", step=0, prompts=["What?", "Why?"], answers=["?", "?"])
    writer.write("samples", step=9, prompts=["What?", "Why?"], answers=["That.", "Perhaps."])
    writer.write("answers", when="before", items=[{**why, "answer": "no"}])
    writer.write("answers", when="after", items=[{**why, "answer": "So."}, {"question": 5}])
    writer.close()
    monitor = SessionMonitor(session)
    monitor.wait()
    assert last_answers(monitor) == {"What?": "That.", "Why?": "So."}


def test_questions_that_only_one_was_asked_are_left_out_and_the_most_common_come_first():
    answered = [{"a": "1", "b": "2", "only": "3"}, {"a": "4", "c": "5"}, {"b": "6", "c": "7", "a": "8"}]
    questions = same_questions(answered, {"a": "one"})
    assert [(q.text, q.answers, q.expected) for q in questions] == [
        ("a", ("1", "4", "8"), "one"),
        ("b", ("2", None, "6"), None),
        ("c", (None, "5", "7"), None),
    ]
    assert same_questions([{"a": "1"}, {"b": "1"}], {}) == []
