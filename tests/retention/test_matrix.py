"""The R matrix of a model, from what its ancestors' sessions measured."""

from datetime import UTC, datetime

import pytest

from sails import retention, sessions
from sails.models.workspace import Workspace
from sails.retention import schema
from sails.retention.lessons import ELSEWHERE, GONE
from sails.retention.matrix import retention_matrix
from sails.retention.metrics import measure
from sails.retention.schema import Drift, Lesson, Measured, Retention
from sails.sessions import Session, Status, TrainSpec
from sails.sessions.plan import Plan
from tests.support.cells import share


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "w")


def identity(letter):
    return f"20260101-00000{ord(letter) - ord('a')}-{letter}"


def model(fingerprint, points):
    """A model's scores, given as {letter of a lesson: points}."""
    cells = tuple(share(identity(letter), value) for letter, value in points.items())
    general = Drift(divergence=0.1, agreement=0.9, prompts=24)
    return Measured(fingerprint=fingerprint, cells=cells, general=general)


def taught(workspace, letter, parent, before, after, *, base=None, earlier=None, of="small-model"):
    """A session called by its letter that made the model of the same fingerprint, and what it measured."""
    spec = TrainSpec(
        id=identity(letter),
        name=letter.upper(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        dataset="d",
        rows=9,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
    )
    session = sessions.create(workspace.sessions, spec)
    plan = Plan(
        row=2 if parent else 1,
        start_from="trained" if parent else "base",
        model="trained_model" if parent else of,
        base=of,
        learning_rate=1e-5,
        automatic_learning_rate=1e-5,
        learning_rate_chosen_by="automatic",
        reason="",
    )
    lessons = earlier if earlier is None else tuple(map(identity, earlier))
    session.write_status(
        Status(state="succeeded", fingerprint=letter, parent=parent, plan=plan, lessons=lessons)
    )
    session.data.mkdir()
    (session.data / "train.jsonl").touch()
    found = Retention(
        lessons=tuple(Lesson(session=identity(name), name=name.upper()) for name in after),
        base=model(None, {letter: base}) if base is not None else None,
        before=model(parent, before),
        after=model(letter, after),
    )
    retention.write_retention(session, found)
    return session


def three_lessons(workspace):
    taught(workspace, "a", None, {"a": 20}, {"a": 80})
    taught(workspace, "b", "a", {"a": 80, "b": 15}, {"a": 70, "b": 90}, base=10)
    taught(workspace, "c", "b", {"a": 70, "b": 90, "c": 25}, {"a": 60, "b": 80, "c": 95}, base=30)


def points(squares):
    return [[cell and round(100 * cell.accuracy) for cell in row] for row in squares]


def test_each_row_is_a_model_and_each_column_a_lesson(workspace):
    three_lessons(workspace)
    found = retention_matrix(workspace, "c")
    assert points(found.recall) == [
        [20, 10, 30],
        [80, 15, None],
        [70, 90, 25],
        [60, 80, 95],
    ]
    assert [made.name for made in found.models] == ["base model", "A", "B", "C"]
    assert [made.session for made in found.models] == [None, *map(identity, "abc")]
    assert [lesson.name for lesson in found.lessons] == ["A", "B", "C"]
    assert found.taught == (1, 2, 3)
    assert found.notes == ()
    assert len(found.general) == 4
    assert measure(found).headline.startswith("Gets 78% of all that it was taught right")


def test_an_earlier_model_has_the_matrix_of_its_own_ancestors(workspace):
    three_lessons(workspace)
    assert points(retention_matrix(workspace, "b").recall) == [[20, 10], [80, 15], [70, 90]]


def test_held_out_rows_have_squares_of_their_own(workspace):
    session = taught(workspace, "a", None, {"a": 20}, {"a": 80})
    kept = model("a", {"a": 80})
    both = kept.model_copy(update={"cells": (*kept.cells, share(identity("a"), 40, part="held_out"))})
    retention.write_retention(session, retention.read_retention(session).model_copy(update={"after": both}))
    found = retention_matrix(workspace, "a")
    assert points(found.held_out) == [[None], [40]]
    assert points(found.recall) == [[20], [80]]


def test_what_a_session_did_not_measure_is_known_from_what_the_next_one_measured_before(workspace):
    three_lessons(workspace)
    (Session(workspace.sessions / identity("b")).folder / schema.RETENTION_FILE).unlink()
    found = retention_matrix(workspace, "c")
    assert points(found.recall) == [[20, None, 30], [80, None, None], [70, 90, 25], [60, 80, 95]]
    assert found.notes == ("B: Its session measured nothing of what the model remembers.",)


def test_a_damaged_file_is_said_and_its_squares_are_empty(workspace):
    three_lessons(workspace)
    (Session(workspace.sessions / identity("c")).folder / schema.RETENTION_FILE).write_text("{")
    found = retention_matrix(workspace, "c")
    assert points(found.recall) == [[20, 10, None], [80, 15, None], [70, 90, None], [None, None, None]]
    assert found.notes == (f"What {identity('c')} measured of earlier lessons is damaged.",)
    assert measure(found).headline == "What this model remembers was not measured."


def test_a_lesson_whose_examples_were_deleted_is_said(workspace):
    three_lessons(workspace)
    (workspace.sessions / identity("a") / "data" / "train.jsonl").unlink()
    assert retention_matrix(workspace, "c").notes == (f"A: {GONE}",)


def test_a_model_from_elsewhere_has_a_row_before_its_first_lesson(workspace):
    taught(workspace, "a", "imported", {"a": 35}, {"a": 80}, base=20)
    taught(workspace, "b", "a", {"a": 80, "b": 15}, {"a": 70, "b": 90}, base=10)
    found = retention_matrix(workspace, "b")
    assert points(found.recall) == [[20, 10], [35, None], [80, 15], [70, 90]]
    assert [made.name for made in found.models] == ["base model", "the model that it started from", "A", "B"]
    assert found.taught == (2, 3)
    assert found.notes == (ELSEWHERE,)
    assert measure(found).learned == pytest.approx((45 + 75) / 2)


def test_lessons_of_sessions_that_are_gone_belong_to_the_model_that_it_started_from(workspace):
    taught(workspace, "c", "b", {"a": 70, "c": 25}, {"a": 60, "c": 95}, earlier="a")
    found = retention_matrix(workspace, "c")
    assert points(found.recall) == [[None, None], [70, 25], [60, 95]]
    assert found.taught == (1, 2)
    assert f"{identity('a')}: {GONE}" in found.notes
    assert measure(found).bwt.value == pytest.approx(-10)


def test_after_a_start_over_that_taught_all_again_there_are_fewer_models_than_lessons(workspace):
    taught(workspace, "a", None, {"a": 20}, {"a": 80})
    taught(workspace, "b", "a", {"a": 80, "b": 15}, {"a": 70, "b": 90}, base=10)
    taught(workspace, "c", None, {"c": 30}, {"a": 85, "b": 86, "c": 88}, earlier="ab")
    taught(
        workspace,
        "d",
        "c",
        {"a": 85, "b": 86, "c": 88, "d": 5},
        {"a": 80, "b": 86, "c": 88, "d": 90},
        base=4,
        earlier="abc",
    )
    found = retention_matrix(workspace, "d")
    assert points(found.recall) == [[20, 10, 30, 4], [85, 86, 88, 5], [80, 86, 88, 90]]
    assert [made.name for made in found.models] == ["base model", "C", "D"]
    assert found.taught == (1, 1, 1, 2)
    assert measure(found).bwt.value == pytest.approx(-5 / 3)


def test_the_base_models_scores_of_before_a_start_over_count_for_the_same_base_alone(workspace):
    taught(workspace, "a", None, {"a": 20}, {"a": 80}, of="large-model")
    taught(workspace, "b", None, {"b": 30}, {"a": 85, "b": 88}, earlier="a")
    assert points(retention_matrix(workspace, "b").recall) == [[None, 30], [85, 88]]


def test_a_model_that_no_session_made_has_no_lessons(workspace):
    found = retention_matrix(workspace, "unknown")
    assert (found.lessons, found.recall, found.notes) == ((), ((),), (ELSEWHERE,))
    assert retention_matrix(workspace, None).notes == ()
    assert measure(found).headline == "What this model remembers was not measured."
