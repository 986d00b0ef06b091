"""The plan of a training is made when it is queued, and goes with it to the worker."""

import json
import shutil

import pytest

from sails import sessions
from sails.errors import RequestError
from sails.jobs import candidates, submit
from sails.models import PROVENANCE
from sails.sessions import Session, Settings, describe_plan, record
from sails.training.plan import Choices, current_plan, expect, forecast_training, plan_training
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


@pytest.fixture
def two(tmp_path, monkeypatch):
    """A first training that waits in an empty workspace, and one behind it, at a rate that a person chose."""
    workspace = make_situation(tmp_path / "empty", 1)
    for name, topic in (("first", "mountain"), ("second", "river")):
        add_dataset(workspace, write_lesson(tmp_path / f"{name}.json", topic=topic))
    first = queue_training(workspace, "first", None, monkeypatch=monkeypatch)
    return (
        workspace,
        first,
        queue_training(workspace, "second", None, monkeypatch=monkeypatch, learning_rate=1e-4),
    )


def test_what_waits_behind_another_training_is_planned_for_the_model_that_it_makes(two):
    workspace, first, second = two
    plan = second.spec().plan
    assert (first.spec().plan.start_from, first.spec().plan.after) == ("base", "")
    assert (plan.start_from, plan.automatic_learning_rate, plan.after) == ("trained", 1e-5, "first")
    assert describe_plan(plan).startswith("After first is done: 🔄 Continuing")
    forecast = forecast_training(workspace, Choices(("second",)))
    assert (forecast.plan.after, forecast.plan.start_from) == ("second", "trained")
    assert (forecast.earlier.lessons, forecast.earlier.rows) == (2, 23)  # without those that are kept back
    assert forecast.repeated > 0
    assert forecast.time is not None


@pytest.mark.parametrize("change", ["stop", "never", "elsewhere", "lost"])
def test_a_training_that_will_make_no_model_here_changes_no_plan(two, change):
    workspace, first, second = two
    sessions.dequeue(workspace, second.id)
    spec, path = first.spec(), first.folder / "spec.json"
    if change == "stop":
        first.request_stop()
    elif change == "never":
        settings = spec.settings.model_copy(update={"publish": "never"})
        path.write_text(spec.model_copy(update={"settings": settings}).model_dump_json())
    elif change == "elsewhere":
        folder = workspace.root / "another"
        path.write_text(spec.model_copy(update={"trained_model": folder}).model_dump_json())
    else:
        shutil.rmtree(first.folder)
    plan = plan_training(workspace, expected=expect(workspace))
    assert (plan.start_from, plan.after) == ("base", "" if change == "lost" else "first")


def test_what_turned_out_otherwise_is_noted_at_the_start_with_both_rates(two):
    workspace, first, second = two
    sessions.dequeue(workspace, first.id)  # it made no model
    shutil.rmtree(workspace.datasets / "second")  # it ends behind its plan, and before anything is loaded
    status = run_worker(second)
    assert (status.plan.start_from, status.plan.learning_rate, status.plan.after) == ("base", 1e-4, "")
    (note,) = [note for note in status.notes if "When it was queued" in note]
    assert (
        "continues the trained model at the learning rate 1e-4 (chosen; the automatic value is 1e-5)" in note
    )
    assert "starts from smollm2-135m-instruct at the learning rate 1e-4" in note


def test_what_turned_out_as_planned_is_not_noted(two):
    workspace, first, second = two
    sessions.dequeue(workspace, first.id)
    make_model(workspace.trained_model)
    (workspace.trained_model / PROVENANCE).write_text(json.dumps({"base": first.spec().plan.base}))
    shutil.rmtree(workspace.datasets / "second")
    status = run_worker(second)
    assert (status.plan.start_from, status.plan.after) == ("trained", "")
    assert not [note for note in status.notes if "When it was queued" in note]


def test_run_again_plans_for_the_model_of_now(workspace, monkeypatch):
    first = queue_training(workspace, "lesson", None, monkeypatch=monkeypatch)
    sessions.dequeue(workspace, first.id)  # behind it, there will be the model that it makes
    other_model(workspace)
    monkeypatch.setattr(submit.launcher, "start_worker", lambda _: None)
    again = candidates.run_again(workspace, record(first))
    assert again.spec().planned_for == workspace.situation().trained.fingerprint != first.spec().planned_for
    assert again.spec().settings == Settings()
