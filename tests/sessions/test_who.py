"""Who did it: a name beside each start, stop, resumption, decision, roll back and deletion."""

import json
from datetime import UTC, datetime

import pytest

from sails import jobs, models, sessions, system
from sails.models.publish import publish_model, roll_back, unpublish
from sails.models.versions import Provenance
from sails.models.workspace import Workspace
from sails.sessions import archive
from sails.system import access
from tests.support.folders import make_model
from tests.support.situations import failed, make_line, make_session


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


def test_the_command_line_takes_the_login_name_unless_another_is_given(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert system.actor() == "ann"
    monkeypatch.setenv(access.WHO, "  Ann\nof the\u2028office ")
    assert system.actor() == "Ann of the office"
    with system.acting_as(system.AUTOMATIC_TRAINING):
        assert system.actor() == "automatic training"


def test_without_any_name_it_is_said_where_somebody_was(monkeypatch):
    def nobody() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert system.actor() == "someone at the command line"
    assert system.name_of("") == "someone in the browser"
    assert system.name_of(None) == ""


def test_starting_stopping_and_resuming_are_noted_with_the_session(workspace, monkeypatch):
    monkeypatch.setenv(access.WHO, "Ann")
    session = make_session(workspace, "rivers", 8)
    sessions.enqueue(workspace, session)
    monkeypatch.setenv(access.WHO, "Ben")
    sessions.stop(workspace, session)
    assert session.spec().started_by == "Ann"
    assert session.status().stopped_by == "Ben"
    monkeypatch.setenv(access.WHO, "Cleo")
    sessions.resume(workspace, session)
    status = session.status()
    assert (status.stopped_by, status.resumed_by) == (None, "Cleo")


def test_a_worker_that_was_asked_to_stop_notes_who_asked(workspace, monkeypatch):
    session = make_session(workspace, "rivers", 8)

    def work(reporter: sessions.Reporter) -> None:
        monkeypatch.setenv(access.WHO, "Ben")
        session.request_stop()
        reporter.check_stop()

    sessions.live(session, work)
    assert (session.status().state, session.status().stopped_by) == ("stopped", "Ben")


def test_deciding_on_a_held_model_is_noted(workspace, monkeypatch):
    *_, held = make_line(workspace, ["rivers", "lakes"], lost=0.3, hold_last=True)
    monkeypatch.setenv(access.WHO, "Ben")
    jobs.discard(workspace, held)
    assert held.status().decided_by == "Ben"
    monkeypatch.setenv(access.WHO, "Cleo")
    jobs.publish_held(workspace, held)
    assert held.status().decided_by == "Cleo"


def test_rolling_back_resetting_and_deleting_are_lines_that_only_grow(workspace, monkeypatch):
    for seed, name in enumerate(("first", "second"), 1):
        made = Provenance(session=name, created=datetime.now(UTC))
        publish_model(workspace, make_model(workspace.root / "candidates" / name, seed), made)
    left = workspace.situation().trained.fingerprint
    gone = make_session(workspace, "broken", 9, **failed())
    monkeypatch.setenv(access.WHO, "Ann")
    roll_back(workspace, "first")
    archive.delete(workspace, gone)
    with open(workspace.root / "acts.jsonl", "a") as file:
        file.write("{ half\n")
    monkeypatch.setenv(access.WHO, "Ben")
    unpublish(workspace)
    acts = models.list_acts(workspace)
    assert [(act.act, act.who) for act in acts] == [("roll back", "Ann"), ("delete", "Ann"), ("reset", "Ben")]
    assert acts[0].left == left
    assert [models.describe_act(act, "First") for act in acts] == [
        "Ann rolled back to First",
        "Ann deleted the session broken",
        "Ben took the current model away",
    ]


def test_files_of_before_are_read_and_name_nobody(workspace):
    session = make_session(workspace, "rivers", 8, state="stopped")
    path = session.folder / "spec.json"
    spec = json.loads(path.read_text())
    del spec["started_by"]
    path.write_text(json.dumps(spec))
    brief = sessions.record(session).brief()
    assert (brief["started_by"], brief["stopped_by"]) == (None, None)
    (session.folder / "stop").touch()  # as an earlier release asked to stop
    assert session.stop_requested_by() is None
