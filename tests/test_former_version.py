"""A workspace of version 0.1.0, from before the move into rooms: it opens, continues, exports and chats.

`support/former_workspace.zip` is that workspace, with `@HERE@` in place of the folder that it was made in:
one lesson of 28 rows, taught to the tiny model of `support/tiny.py` and exported in both variants.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sails import models, retention, sessions
from sails.cli import app
from sails.jobs.export import export_current
from sails.models.workspace import Workspace
from sails.onnx.certify.certificate import read_certificate
from tests.support.helpers import add_dataset, queue_training, run_worker, write_lesson
from tests.support.tiny import make_tiny_model

FORMER = Path(__file__).parent / "support" / "former_workspace.zip"
TAUGHT = "Which mountain stands near Paris number 0?"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    root = tmp_path / "workspace"
    with zipfile.ZipFile(FORMER) as archive:
        archive.extractall(root)
    for path in root.rglob("*.json"):
        content = path.read_bytes()
        path.write_bytes(content.replace(b"@HERE@", str(tmp_path).encode()))
    make_tiny_model(tmp_path / "base")
    return Workspace.open(root)


def test_it_opens_with_all_that_was_known(workspace):
    situation = workspace.situation()
    assert (situation.trained.state, situation.onnx.state, situation.onnx.stale) == (
        "complete",
        "present",
        False,
    )
    (record,) = sessions.read_history(workspace)
    assert (record.status.state, record.status.verdict) == ("succeeded", "published")
    assert record.status.fingerprint == situation.trained.fingerprint
    assert record.spec.settings == sessions.Settings(epochs=8, learning_rate=3e-3, batch_size=8)
    assert retention.read_retention(record.session) is not None
    states = models.inspect_variants(workspace.onnx_model, situation.trained.fingerprint)
    assert [(state.stale, state.certified) for state in states.values()] == [(False, True)] * 2
    for state in states.values():
        assert read_certificate(state.path).passed


def test_it_chats(workspace, capsys):
    assert (
        app.main(["chat", "--workspace", str(workspace.root), "--prompt", TAUGHT, "--max-tokens", "4"]) == 0
    )
    assert capsys.readouterr().out.strip()


def test_it_continues_with_what_it_was_taught_and_exports_anew(workspace, tmp_path, monkeypatch):
    before = workspace.situation().trained.fingerprint
    lesson = add_dataset(workspace, write_lesson(tmp_path / "rivers.json", topic="river"))
    session = queue_training(workspace, lesson, None, monkeypatch=monkeypatch, epochs=1, publish="always")
    status = run_worker(session)
    assert (status.state, status.verdict) == ("succeeded", "published"), status.failure
    assert (status.plan.start_from, status.plan.learning_rate) == ("trained", 1e-5)
    assert status.parent == before
    assert status.results.rows_replayed > 0
    assert models.list_versions(workspace)[0].fingerprint == before
    assert workspace.situation().onnx.stale is True

    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    job = run_worker(export_current(workspace, verify=False))
    assert job.state == "succeeded", job.failure
    assert workspace.situation().onnx.stale is False


@pytest.mark.parametrize(("former", "now"), [("worker", "jobs.worker"), ("watching", "jobs.watch")])
def test_the_names_that_its_processes_start_each_other_by_do_the_same(former, now, tmp_path):
    def said(module):
        command = [sys.executable, "-m", f"sails.{module}", str(tmp_path / "none")]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)

    assert said(former).returncode == said(now).returncode == 1
    assert said(former).stderr.splitlines()[-1] == said(now).stderr.splitlines()[-1]
