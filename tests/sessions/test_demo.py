"""The recorded sessions that come with the program, and the workspace that is made of them."""

import json

import pytest

from sails import sessions
from sails.data import datasets
from sails.errors import RequestError, ViewOnlyError
from sails.models.workspace import Workspace
from sails.sessions import demo
from tests.support.folders import listing


@pytest.fixture
def place(tmp_path):
    workspace = Workspace.open(tmp_path / "demo")
    demo.make_demo(workspace)
    return workspace


def test_the_demo_is_full_of_sessions_that_ended_and_can_be_shown(place):
    records = sessions.read_history(place)
    assert len(records) >= 4
    assert all(record.status.state in ("succeeded", "stopped") for record in records)
    assert {record.status.plan.start_from for record in records} == {"base", "trained"}
    assert {record.status.plan.learning_rate_chosen_by for record in records} == {"automatic", "person"}
    for record in records:
        kinds = {json.loads(line)["kind"] for line in record.session.metrics.read_text().splitlines()}
        assert {"step", "evaluation", "samples", "answers"} <= kinds
        assert datasets.rows_of(place, record.spec.dataset)
        assert record.spec.trained_model == place.trained_model


def test_the_recording_holds_no_weights_and_no_trace_of_a_machine():
    files = [path for path in demo.RECORDING.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_000_000
    assert not [path for path in files if path.suffix in (".safetensors", ".bin", ".onnx")]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert "/tmp/" not in text, path
        assert "/root/" not in text, path
        assert "/home/" not in text, path
    for path in demo.RECORDING.glob("sessions/*/status.json"):
        status = json.loads(path.read_text(encoding="utf-8"))
        assert (status["pid"], status["host"]) == (None, "")


def test_the_sessions_grew_from_each_other(place):
    last = [record for record in sessions.read_history(place) if record.status.verdict == "published"][-1]
    assert len(sessions.ancestors(place, last.status.fingerprint)) >= 3


def test_what_was_held_back_can_be_discarded_and_held_back_again(place):
    (held,) = [one for one in sessions.read_history(place) if one.status.verdict == "held"]
    before = held.session.status()
    demo.discard_recorded(place, held.session)
    assert held.session.status().verdict == "discarded"
    with pytest.raises(RequestError, match="holds no candidate"):
        demo.discard_recorded(place, held.session)
    demo.reset_demo(place)
    assert held.session.status() == before
    other = sessions.read_history(place)[0].session
    with pytest.raises(RequestError, match="holds no candidate"):
        demo.discard_recorded(place, other)


def test_outside_of_a_demo_and_where_nothing_may_be_changed_nothing_is_decided(place, monkeypatch):
    (held,) = [one for one in sessions.read_history(place) if one.status.verdict == "held"]
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    for change in (lambda: demo.discard_recorded(place, held.session), lambda: demo.reset_demo(place)):
        with pytest.raises(ViewOnlyError):
            change()
    monkeypatch.delenv("SAILS_VIEW_ONLY")
    (place.root / demo.MARK).unlink()
    with pytest.raises(RequestError, match="holds no candidate"):
        demo.discard_recorded(place, held.session)


def test_making_it_again_changes_nothing(place):
    before = listing(place.root)
    demo.make_demo(place)
    assert listing(place.root) == before
    assert demo.is_demo(place)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(RequestError, match="is not empty"):
        demo.make_demo(Workspace.open(tmp_path / "mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
