"""Real models of two layers: a workspace of an earlier release goes round, and one whose session runs."""

import time
import zipfile

from sails import sessions
from sails.cli import app
from sails.doctor import back_up, examine, restore
from sails.jobs import launcher
from sails.models import Workspace, inspect_variants
from tests.support.helpers import add_dataset, queue_training, write_lesson
from tests.support.tiny import make_tiny_model
from tests.test_former_version import FORMER, TAUGHT


def test_a_taught_model_and_its_certified_onnx_models_come_back_and_answer(tmp_path, capsys):
    root = tmp_path / "workspace"
    with zipfile.ZipFile(FORMER) as archive:
        archive.extractall(root)
    for path in root.rglob("*.json"):
        path.write_bytes(path.read_bytes().replace(b"@HERE@", str(tmp_path).encode()))
    workspace = Workspace.open(root)
    assert examine(workspace).wrong == ()
    back_up(workspace, tmp_path / "b.zip")
    restore(tmp_path / "b.zip", tmp_path / "copy")
    copy = Workspace.open(tmp_path / "copy")
    assert examine(copy).wrong == ()
    fingerprint = copy.situation().trained.fingerprint
    assert fingerprint == workspace.situation().trained.fingerprint
    states = inspect_variants(copy.onnx_model, fingerprint)
    assert [(state.stale, state.certified) for state in states.values()] == [(False, True)] * 2
    answers = []
    for place in (workspace.root, copy.root):
        ask = ["chat", "--workspace", str(place), "--prompt", TAUGHT, "--max-tokens", "4"]
        assert app.main(ask) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] != ""


def test_a_session_that_runs_goes_on_during_a_backup_and_can_be_resumed_elsewhere(tmp_path, monkeypatch):
    workspace = Workspace.open(tmp_path / "w")
    base = make_tiny_model(tmp_path / "base")
    dataset = add_dataset(workspace, write_lesson(tmp_path / "lesson.json"))
    session = queue_training(workspace, dataset, base, monkeypatch=monkeypatch, epochs=400, batch_size=4)
    worker = launcher.start_module("sails.jobs.worker", [str(session.folder)], session.log)
    try:
        until = time.monotonic() + 120
        while session.status().state == "queued" and time.monotonic() < until:
            time.sleep(0.05)
        assert session.status().state == "running", session.log_tail()
        back_up(workspace, tmp_path / "b.zip")
        assert session.status().state == "running"
    finally:
        worker.kill()
        worker.wait()
    restore(tmp_path / "b.zip", tmp_path / "copy")
    copy = Workspace.open(tmp_path / "copy")
    again = sessions.Session(copy.sessions / session.id)
    assert again.status().state == "interrupted"
    assert examine(copy).wrong == ()
    waited = sessions.waiting(workspace)
    sessions.resume(copy, again)
    assert [entry.id for entry in sessions.waiting(copy)] == [session.id]
    assert sessions.waiting(workspace) == waited
    assert again.spec().trained_model == copy.trained_model
