"""The plan of a training is made when it is queued, and goes with it to the worker."""

import json
import shutil

import pytest

from sails.errors import RequestError
from sails.jobs import candidates, submit
from sails.sessions import Session, Settings, record
from sails.training.plan import current_plan, plan_training
from tests.support.folders import make_model, make_onnx
from tests.support.helpers import add_dataset, queue_training, run_worker, write_lesson
from tests.support.situations import make_situation


@pytest.fixture
def workspace(tmp_path):
    workspace = make_situation(tmp_path / "workspace", 2)
    add_dataset(workspace, write_lesson(tmp_path / "lesson.json"))
    return workspace


def with_reason(session: Session, reason: str) -> Session:
    """As if its plan had been made by somebody who words it otherwise."""
    spec = session.spec()
    changed = spec.model_copy(update={"plan": spec.plan.model_copy(update={"reason": reason})})
    (session.folder / "spec.json").write_text(changed.model_dump_json())
    return session


def test_a_spec_holds_the_plan_and_the_model_that_it_was_made_for(workspace, monkeypatch):
    session = queue_training(workspace, "lesson", None, monkeypatch=monkeypatch, learning_rate=3e-5)
    spec = session.spec()
    assert spec.plan == plan_training(workspace, learning_rate=3e-5)
    assert spec.planned_for == workspace.situation().trained.fingerprint


def test_the_plan_is_handed_on_while_what_it_was_made_for_holds(workspace, monkeypatch):
    session = with_reason(
        queue_training(workspace, "lesson", None, monkeypatch=monkeypatch), "As it was queued."
    )
    assert current_plan(workspace, session.spec()).reason == "As it was queued."


def test_the_worker_carries_out_the_plan_that_was_queued(workspace, monkeypatch):
    session = with_reason(queue_training(workspace, "lesson", None, monkeypatch=monkeypatch), "As queued.")
    shutil.rmtree(workspace.datasets / "lesson")  # it ends behind its plan, and before anything is loaded
    status = run_worker(session)
    assert (status.failure.kind, status.plan) == ("bad_data", session.spec().plan)


def other_model(workspace):
    shutil.rmtree(workspace.trained_model)
    make_model(workspace.trained_model, seed=9)


@pytest.mark.parametrize(
    "change",
    [
        other_model,
        lambda workspace: shutil.rmtree(workspace.trained_model),
        lambda workspace: (workspace.trained_model / "model.safetensors").write_bytes(b"half"),
        lambda workspace: make_onnx(workspace.onnx_model),
    ],
    ids=["another model", "no model", "an incomplete model", "an ONNX model"],
)
def test_it_is_planned_anew_for_what_exists_when_its_turn_comes(workspace, monkeypatch, change):
    session = with_reason(
        queue_training(workspace, "lesson", None, monkeypatch=monkeypatch), "As it was queued."
    )
    change(workspace)
    assert current_plan(workspace, session.spec()) == plan_training(workspace)


def test_what_cannot_be_any_more_is_refused_when_its_turn_comes(workspace, monkeypatch):
    session = queue_training(workspace, "lesson", None, monkeypatch=monkeypatch, start="trained")
    shutil.rmtree(workspace.trained_model)
    with pytest.raises(RequestError, match="no trained model to continue from"):
        current_plan(workspace, session.spec())


def test_a_spec_of_an_earlier_release_has_no_plan_and_is_planned_then(workspace, monkeypatch):
    session = queue_training(workspace, "lesson", None, monkeypatch=monkeypatch, learning_rate=3e-5)
    path = session.folder / "spec.json"
    earlier = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("plan", "planned_for")}
    path.write_text(json.dumps(earlier))
    assert session.spec().plan is None
    assert current_plan(workspace, session.spec()) == plan_training(workspace, learning_rate=3e-5)


def test_run_again_plans_for_the_model_of_now(workspace, monkeypatch):
    first = queue_training(workspace, "lesson", None, monkeypatch=monkeypatch)
    other_model(workspace)
    monkeypatch.setattr(submit.launcher, "start_worker", lambda _: None)
    again = candidates.run_again(workspace, record(first))
    assert again.spec().planned_for == workspace.situation().trained.fingerprint != first.spec().planned_for
    assert again.spec().settings == Settings()
