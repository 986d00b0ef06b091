"""A session run again: the same lesson, with the settings as they were or as a person changed them."""

import pytest

from sails import sessions
from sails.errors import RequestError, ViewOnlyError, WorkspaceError
from sails.jobs.candidates import run_again
from sails.models.workspace import Workspace
from sails.sessions import Settings, checked_settings
from tests.support.helpers import add_dataset, queue_training, write_lesson


@pytest.fixture
def first(tmp_path, monkeypatch):
    """A queued session, in a workspace where workers are not started."""
    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    workspace = Workspace.open(tmp_path / "w")
    dataset = add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    asked = {
        "epochs": 2,
        "seed": 9,
        "learning_rate": 3e-4,
        "start": "base",
        "export": True,
        "name": "Mountains",
    }
    session = queue_training(workspace, dataset, None, monkeypatch=monkeypatch, **asked)
    return workspace, sessions.record(session)


def test_the_same_again_is_a_session_of_its_own_with_the_same_request(first):
    workspace, record = first
    again = run_again(workspace, record).spec()
    assert again.id != record.spec.id
    different = {"id", "created", "plan"}
    assert again.model_dump(exclude=different) == record.spec.model_dump(exclude=different)
    assert again.plan.row == 3  # the first one, which waits, will have made both models by then
    assert again.plan.learning_rate == record.spec.plan.learning_rate == 3e-4
    assert [entry.id for entry in sessions.waiting(workspace)] == [record.spec.id, again.id]


def test_what_is_changed_is_changed_and_the_rest_stays(first):
    workspace, record = first
    again = run_again(workspace, record, preset="quick", epochs=None, learning_rate=None).spec().settings
    assert (again.preset, again.epochs, again.learning_rate, again.seed) == ("quick", None, None, 9)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "The number of rounds cannot be 0"),
        ({"epochs": 1.5}, "The number of rounds cannot be 1.5"),
        ({"preset": "fast"}, "The preset cannot be fast"),
        ({"nonsense": 1}, "There is no setting nonsense"),
        ({"learning_rate": 0.5}, "The learning rate 0.5 is out of range"),
        ({"learning_rate": float("nan")}, "The learning rate nan is out of range"),
        ({"learning_rate": 0}, "The learning rate 0 is out of range"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_queues_nothing(first, wrong, said):
    workspace, record = first
    with pytest.raises(RequestError) as refused:
        run_again(workspace, record, **wrong)
    assert said in str(refused.value)
    assert len(sessions.read_history(workspace)) == 1


def test_a_dataset_that_is_gone_is_told_in_a_sentence(first):
    workspace, record = first
    (workspace.datasets / record.spec.dataset / "report.json").unlink()
    with pytest.raises(WorkspaceError, match="There is no dataset"):
        run_again(workspace, record)


def test_who_may_only_look_runs_nothing(first, monkeypatch):
    workspace, record = first
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        run_again(workspace, record)


def test_settings_that_stay_as_they_are_are_the_same_settings():
    assert checked_settings(Settings(epochs=4)) == Settings(epochs=4)
