"""The one next step for every state of a workspace."""

import pytest

from sails import jobs, sessions
from sails.ui.bridge.next_step import choose_next_step
from tests.support.situations import make_session, make_situation, published


def step(workspace, **given):
    situation = workspace.situation()
    given = {
        "freshness": jobs.freshness(workspace, situation),
        "active": None,
        "training": False,
        "datasets": (),
        "last": None,
        "exporting": False,
        **given,
    }
    return choose_next_step(situation, **given)


@pytest.mark.parametrize(
    ("row", "datasets", "kind", "target"),
    [
        (1, (), "example", ""),
        (1, ("new", "old"), "train", "new"),
        (2, ("new",), "export", ""),
        (3, ("new",), "chat", ""),
        (4, (), "example", ""),
        (5, ("new",), "train", "new"),
        (6, ("new",), "train", "new"),
    ],
)
def test_the_step_follows_from_the_models_and_the_datasets(tmp_path, row, datasets, kind, target):
    found = step(make_situation(tmp_path / "workspace", row), datasets=datasets)
    assert (found.kind, found.target) == (kind, target)
    assert found.reason.endswith(".")


def test_an_old_onnx_model_is_made_anew_before_anybody_chats(tmp_path):
    workspace = make_situation(tmp_path / "workspace", 3)
    (workspace.onnx_model / "export.json").write_text('{"fingerprint": "another"}')
    found = step(workspace)
    assert (found.kind, found.reason[:37]) == ("export", "The ONNX model is of another model. I")
    own = workspace.situation().trained.fingerprint
    make_session(workspace, "later", **published(fingerprint="another", parent=own))
    assert step(workspace).reason.startswith("The ONNX model is of a later model.")


def test_an_onnx_model_that_is_being_made_is_not_offered_once_more(tmp_path):
    workspace = make_situation(tmp_path / "workspace", 2)
    assert step(workspace, exporting=True).kind == "exporting"
    workspace = make_situation(tmp_path / "another", 3)
    assert step(workspace, exporting=True).kind == "chat"  # the one that is here fits, and answers meanwhile


def test_what_runs_comes_first(tmp_path):
    workspace = make_situation(tmp_path / "workspace", 3)
    found = step(workspace, active="20260105-090000-x", training=True)
    assert (found.kind, found.target) == ("watch", "20260105-090000-x")


def test_what_only_waits_is_not_said_to_be_under_way(tmp_path):
    found = step(make_situation(tmp_path / "workspace", 3), active="20260105-090000-x")
    assert (found.kind, found.target) == ("wait", "20260105-090000-x")
    assert found.reason == "No training runs now; the next one waits for its turn."


def test_a_held_model_waits_for_a_decision_until_it_is_gone(tmp_path):
    workspace = make_situation(tmp_path / "workspace", 3)
    session = make_session(workspace, "worse", **published(verdict="held"))
    session.model.mkdir()
    assert step(workspace, last=sessions.record(session)).kind == "decide"
    session.model.rmdir()
    assert step(workspace, last=sessions.record(session)).kind == "chat"


def test_an_interrupted_training_is_named(tmp_path):
    workspace = make_situation(tmp_path / "workspace", 2)
    session = make_session(workspace, "cut", state="running")  # nobody holds its lock
    found = step(workspace, last=sessions.record(session))
    assert (found.kind, found.target) == ("resume", session.id)
