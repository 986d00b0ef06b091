"""Launchers: what the one of this machine says of a worker, and that another one can take its place."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from sails import jobs, sessions
from sails.jobs import launcher, playback, watchdog
from sails.models.workspace import Workspace
from sails.sessions import Settings, queue, reporter
from sails.system import processes
from sails.system.locks import LifeLock
from tests.support.helpers import add_dataset, run_worker, write_lesson
from tests.support.situations import make_session, published


class Elsewhere:
    """A second launcher: it takes its time, and then runs the worker in this process."""

    def __init__(self):
        self.handed_over = []

    def submit(self, session):
        self.handed_over.append(session)

    def state(self, session):
        return "starting" if session.status().state == "queued" else "ended"

    def stop(self, workspace, session):
        sessions.stop(workspace, session)
        self.handed_over.remove(session)

    def logs(self, session, lines=20):
        return (f"{session.id} runs elsewhere",)[-lines:]


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def elsewhere(monkeypatch):
    monkeypatch.setattr(launcher, "LOCAL", Elsewhere())
    return launcher.LOCAL


@pytest.fixture
def recorded(workspace):
    session = make_session(workspace, "databases", **published(step=1, total_steps=1))
    step = {"kind": "step", "step": 1, "total_steps": 1, "epoch": 1.0, "loss": 1.0, "learning_rate": 5e-5}
    session.metrics.write_text(json.dumps(step) + "\n")
    return session


def test_a_worker_is_starting_running_absent_or_ended(workspace, recorded):
    session = make_session(workspace, "new", state="queued", queued=datetime.now(UTC))
    local = launcher.LocalLauncher()
    assert local.state(session) == "starting"
    long_ago = datetime.now(UTC) - timedelta(seconds=queue.START_SECONDS + 1)
    session.write_status(session.written_status().model_copy(update={"queued": long_ago}))
    assert local.state(session) == "absent"
    lock = LifeLock(session.lock)
    lock.acquire()
    try:
        assert local.state(session) == "running"  # it holds its lock, and has not said so yet
        running = session.written_status().model_copy(update={"state": "running", **sessions.this_worker()})
        session.write_status(running)
        assert local.state(session) == "running"
    finally:
        lock.release()
    assert local.state(session) == "ended"  # it died
    assert local.state(recorded) == "ended"


def test_a_clock_that_was_set_back_lets_nobody_wait(workspace):
    ahead = datetime.now(UTC) + timedelta(hours=1)
    session = make_session(workspace, "new", state="queued", queued=ahead)
    assert launcher.LocalLauncher().state(session) == "absent"


def test_another_launcher_is_handed_trainings_and_jobs_alike(workspace, recorded, elsewhere, tmp_path):
    job = playback.start_replay(workspace, recorded, seconds=1.0)
    add_dataset(workspace, write_lesson(tmp_path / "lesson.json"))
    session = jobs.submit_training(workspace, "lesson", Settings())
    assert elsewhere.handed_over == [job, session]
    assert jobs.launcher_for(session).logs(session) == (f"{session.id} runs elsewhere",)
    assert run_worker(job).state == "succeeded"
    assert jobs.launcher_for(job).state(job) == "ended"
    jobs.launcher_for(session).stop(workspace, session)
    assert (session.status().state, elsewhere.handed_over) == ("stopped", [job])


HANGS = """
import ctypes, sys
from pathlib import Path
from sails.sessions import Session, live
from sails.system import LifeLock
session = Session(Path(sys.argv[1]))
LifeLock(session.lock).acquire()
def work(_):
    print("works", flush=True)
    ctypes.PyDLL(None).sleep(600)  # a library that lets no other thread of Python run
live(session, work)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such library")
def test_one_that_hangs_is_ended_where_nobody_looks_and_the_next_is_started(workspace, monkeypatch):
    session, waits = make_session(workspace, "hangs"), make_session(workspace, "waits", hour=10)
    sessions.enqueue(workspace, waits)
    command = [sys.executable, "-c", HANGS, str(session.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        try:
            assert worker.stdout.readline() == b"works\n"
            launcher.LOCAL.stop(workspace, session)
            [left] = [process for process in processes._started if "sails.jobs.watchdog" in process.args]
            assert sessions.waiting(workspace)[0].starts == 0
            monkeypatch.setattr(reporter, "HEARTBEAT_SECONDS", 0.05)
            monkeypatch.setattr(reporter, "SAVING_SECONDS", 0.5)
            monkeypatch.setattr(launcher, "start_worker", lambda _: None)
            watchdog.watch(str(session.folder))  # as that one does, which has more patience
            assert session.status().state == "stopped"
            assert sessions.waiting(workspace)[0].starts == 1
            left.wait(60)  # it ends with what it watched
        finally:
            worker.kill()
