"""A session as a zip file, and sessions that are deleted, or not."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from sails import sessions
from sails.errors import BusyError, RequestError, SailsError, ViewOnlyError, WorkspaceError
from sails.models.publish import publish_model
from sails.models.versions import Provenance, list_versions, prune_versions
from sails.models.workspace import Workspace
from sails.sessions import Status, archive
from sails.sessions.archive import delete, why_not_deletable, write_zip
from sails.sessions.metrics import MetricsWriter
from sails.system.locks import LifeLock
from tests.support.folders import fingerprint_of, make_model
from tests.support.killing import for_every_line
from tests.support.situations import make_session


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "w")


def packed(session):
    stream = io.BytesIO()
    write_zip(session, stream)
    return zipfile.ZipFile(stream)


# --- a file to keep -------------------------------------------------------------------------------


def test_the_zip_holds_what_was_asked_taught_measured_and_answered_and_no_model(workspace):
    session = make_session(workspace, "databases", state="succeeded")
    session.data.mkdir()
    (session.data / "train.jsonl").write_text('{"input": "Why?", "output": "Because."}\n')
    session.log.write_text("all went well\n")
    writer = MetricsWriter(session.metrics)
    writer.write("step", step=1, loss=2.0)
    writer.write("answers", when="before", items=[{"question": "Why?", "answer": "ü"}])
    writer.write("answers", when="after", items=[{"question": "Why?", "answer": "Because."}])
    writer.close()
    make_model(session.model)
    (session.checkpoints / "checkpoint-1").mkdir(parents=True)
    (session.checkpoints / "checkpoint-1" / "weights").write_text("heavy")
    zipped = packed(session)
    names = ("spec.json", "status.json", "metrics.jsonl", "train.log", "data/train.jsonl", "answers.json")
    assert sorted(zipped.namelist()) == sorted(f"{session.id}/{name}" for name in names)
    answers = json.loads(zipped.read(f"{session.id}/answers.json"))
    assert answers["before"] == [{"question": "Why?", "answer": "ü"}]
    assert answers["after"] == [{"question": "Why?", "answer": "Because."}]
    assert zipped.read(f"{session.id}/spec.json") == (session.folder / "spec.json").read_bytes()


def test_a_session_that_was_only_queued_can_be_packed_and_one_that_is_gone_cannot(workspace):
    session = make_session(workspace, "databases")
    assert len(packed(session).namelist()) == 2
    shutil.rmtree(session.folder)
    with pytest.raises(WorkspaceError, match="There is no session"):
        packed(session)


def test_a_file_from_before_1980_and_a_broken_line_do_not_stop_the_packing(workspace):
    session = make_session(workspace, "databases")
    session.metrics.write_bytes(b'{"kind": "answers", half\n{"kind": "answers"}\n\xff\n')
    os.utime(session.metrics, (0, 0))
    assert len(packed(session).namelist()) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_out_of_the_session_is_not_followed(workspace, tmp_path):
    session = make_session(workspace, "databases")
    (tmp_path / "secret").write_text("secret")
    session.log.symlink_to(tmp_path / "secret")
    session.metrics.symlink_to(tmp_path / "answers")
    (tmp_path / "answers").write_text('{"kind": "answers", "when": "before", "items": ["secret"]}\n')
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text("secret")
    session.data.symlink_to(tmp_path / "rows")
    assert len(packed(session).namelist()) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_sessions_may_lie_on_another_disk_and_a_session_elsewhere_gives_nothing(workspace, tmp_path):
    session = make_session(workspace, "databases")
    shutil.move(workspace.sessions, tmp_path / "far")
    workspace.sessions.symlink_to(tmp_path / "far")
    assert len(packed(session).namelist()) == 2
    shutil.move(tmp_path / "far" / session.id, tmp_path / "elsewhere")
    session.folder.symlink_to(tmp_path / "elsewhere")
    assert packed(session).namelist() == []


def test_the_zip_names_neither_this_machine_nor_its_folders(workspace):
    session = make_session(workspace, "databases", state="failed", host="ship-7")
    root, home = str(workspace.root), "/home/ann/models/base"
    failure = {"kind": "unknown", "message": f"{home}/config.json is not in {root}/sessions."}
    session.write_status(Status.model_validate({**session.status().model_dump(), "failure": failure}))
    session.log.write_text(f'File "{home}/x.py", line 3\nSee https://sea.example/a/b, {root}/base or 3/4.\n')
    zipped = packed(session)
    told = b"".join(map(zipped.read, zipped.namelist())).decode()
    for secret in (root, home, "ship-7", "/home"):
        assert secret not in told
    log = zipped.read(f"{session.id}/train.log").decode()
    assert log == 'File "…/x.py", line 3\nSee https://sea.example/a/b, WORKSPACE/base or 3/4.\n'
    assert Status.model_validate_json(zipped.read(f"{session.id}/status.json")).state == "failed"


# --- not wanted any more --------------------------------------------------------------------------


def publish_from(workspace, session, seed=1):
    """Publishes a model as if the session had made it; returns its fingerprint."""
    candidate = make_model(session.model, seed)
    fingerprint = fingerprint_of(candidate)
    session.write_status(Status(state="succeeded", verdict="published", fingerprint=fingerprint))
    publish_model(workspace, candidate, Provenance(session=session.id, created=datetime.now(UTC)))
    return fingerprint


def test_a_session_that_nobody_needs_is_gone_with_all_its_files(workspace):
    session, other = make_session(workspace, "wrong", 8, state="failed"), make_session(workspace, "good")
    assert why_not_deletable(workspace, sessions.record(session)) is None
    delete(workspace, session)
    assert os.listdir(workspace.sessions) == [other.id]
    assert [record.session for record in sessions.read_history(workspace)] == [other]


def test_the_session_of_the_current_model_stays(workspace):
    session = make_session(workspace, "databases")
    publish_from(workspace, session)
    with pytest.raises(RequestError, match=r"cannot be deleted\. This session made the current model"):
        delete(workspace, session)
    assert session.spec().name == "databases"


def test_the_session_of_a_version_stays_until_the_version_is_gone(workspace):
    first, second = make_session(workspace, "first", 8), make_session(workspace, "second", 9)
    publish_from(workspace, first, 1)
    publish_from(workspace, second, 2)
    with pytest.raises(RequestError, match="This session made the version first"):
        delete(workspace, first)
    prune_versions(workspace, kept=0)
    assert list_versions(workspace) == []
    delete(workspace, first)
    assert os.listdir(workspace.sessions) == [second.id]


def test_a_session_that_waits_or_runs_stays(workspace):
    waiting = make_session(workspace, "waiting")
    with pytest.raises(RequestError, match="has not ended yet: stop it first"):
        delete(workspace, waiting)
    running = make_session(workspace, "running", 10, state="running", **sessions.this_worker())
    lock = LifeLock(running.lock)
    lock.acquire()
    with pytest.raises(RequestError, match="has not ended yet"):
        delete(workspace, running)
    running.write_status(Status(state="stopped"))  # said so, and has not let go of its lock
    with pytest.raises(BusyError, match="just being worked on"):
        delete(workspace, running)
    lock.release()
    delete(workspace, running)
    assert os.listdir(workspace.sessions) == [waiting.id]


def test_an_interrupted_session_can_be_deleted(workspace):
    session = make_session(workspace, "dead", state="running", **sessions.this_worker())
    delete(workspace, session)
    assert sessions.read_history(workspace) == []


def test_a_held_session_goes_with_its_candidate_but_not_while_it_may_be_published(workspace):
    session = make_session(workspace, "held", state="succeeded", verdict="held", fingerprint="f")
    make_model(session.model)
    training = LifeLock(workspace.training_lock)
    training.acquire()
    with pytest.raises(BusyError, match="training right now"):
        delete(workspace, session)
    training.release()
    delete(workspace, session)
    assert os.listdir(workspace.sessions) == []


def test_of_two_who_delete_the_same_session_one_is_told_that_it_is_gone(workspace):
    for n in range(6):
        session = make_session(workspace, f"s{n}", state="failed")

        with ThreadPoolExecutor(2) as pool:
            tries = [pool.submit(delete, workspace, session) for _ in range(2)]
        errors = [error for error in (one.exception() for one in tries) if error]
        assert [type(error) for error in errors] == [WorkspaceError]
        assert os.listdir(workspace.sessions) == []


KILLED = """
import os, sys
from pathlib import Path
from sails.sessions import Session, archive
from sails.models.workspace import Workspace
archive.shutil.rmtree = lambda path, ignore_errors: Path(path).exists() and os._exit(9)
archive.delete(Workspace.open(sys.argv[1]), Session(Path(sys.argv[2])))
"""


def test_killed_while_deleting_the_session_is_gone_and_the_rest_goes_with_the_next(workspace):
    session, other = (
        make_session(workspace, "a", 8, state="failed"),
        make_session(workspace, "b", state="failed"),
    )
    command = [sys.executable, "-c", KILLED, str(workspace.root), str(session.folder)]
    assert subprocess.run(command, check=False).returncode == 9
    assert [record.session for record in sessions.read_history(workspace)] == [other]
    assert len(os.listdir(workspace.sessions)) == 2
    delete(workspace, other)
    assert os.listdir(workspace.sessions) == []


def test_a_session_that_is_resumed_between_any_two_lines_is_deleted_or_queued_and_never_half(workspace):
    number = 0
    while True:
        number += 1
        session = make_session(workspace, f"s{number}", state="stopped")
        resumed = []

        def resume(count, _frame, number=number, session=session, resumed=resumed):
            if count == number:
                resumed.append(count)
                with contextlib.suppress(FileNotFoundError):  # deleted already
                    session.write_status(Status(state="queued"))  # as `sessions.resume` begins

        try:
            for_every_line(lambda s=session: delete(workspace, s), (archive,), resume)
            deleted = True
        except SailsError:
            deleted = False
        assert deleted != (session.folder / "spec.json").exists()
        shutil.rmtree(workspace.sessions)
        if not resumed:
            break
    assert number > 5


def test_who_may_only_look_deletes_nothing(workspace, monkeypatch):
    session = make_session(workspace, "databases", state="failed")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        delete(workspace, session)
    assert session.folder.exists()
