"""A worker that does not stop when it should is ended, and says so; one that saves what it has may."""

import signal
import subprocess
import sys
import time

import pytest

from sails.models.workspace import Workspace
from sails.sessions import Session, reporter
from sails.sessions.reporter import RESERVE
from tests.support.situations import make_session

DEAF = """
import ctypes, sys, time
from pathlib import Path
from sails import sessions
from sails.sessions import Session, reporter
from sails.system import LifeLock
LifeLock(Session(Path(sys.argv[1])).lock).acquire()  # as every worker does
reporter.HEARTBEAT_SECONDS, reporter.STOP_SECONDS = 0.1, 0.5
def work(says):
    print("works", flush=True)
    if sys.argv[2] == "hangs":
        ctypes.PyDLL(None).sleep(600)  # a library that lets no other thread of Python run
    if sys.argv[2] == "saves":
        while not says.should_stop():
            time.sleep(0.05)
        time.sleep(1.5)
        raise sessions.Stopped
    end = time.monotonic() + 600
    while time.monotonic() < end:
        time.sleep(0.05)
sys.exit(sessions.live(Session(Path(sys.argv[1])), work, lambda: print("left", flush=True)))
"""


def stopped(session: Session, how: str, sign: int | None = None) -> tuple[int, str]:
    """The exit code of a worker that was asked to stop, or got a signal, and what it printed."""
    command = [sys.executable, "-c", DEAF, str(session.folder), how]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert worker.stdout.readline() == "works\n"
        worker.send_signal(sign) if sign else session.request_stop()
        said, _ = worker.communicate(timeout=60)
    finally:
        worker.kill()
        worker.communicate()
    return worker.returncode, said


@pytest.fixture
def session(tmp_path):
    return make_session(Workspace.open(tmp_path / "w"), "databases")


def test_a_worker_that_does_not_react_is_ended_says_so_and_can_be_resumed(session):
    began = time.monotonic()
    assert stopped(session, "sleeps") == (1, "left\n")
    assert time.monotonic() - began < 30
    status = session.written_status()
    assert (status.state, status.resumable) == ("stopped", True)
    assert "did not react to being stopped" in status.notes[-1]
    assert not (session.folder / RESERVE).exists()


@pytest.mark.parametrize("sign", [None, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="a signal ends a process there")
def test_a_worker_that_saves_what_it_has_is_waited_for(session, sign):
    assert stopped(session, "saves", sign) == (0, "")
    status = session.written_status()
    assert (status.state, status.notes) == ("stopped", ())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such library")
@pytest.mark.parametrize("same", [True, False])
def test_a_worker_that_hangs_is_ended_from_outside_if_it_is_that_very_process(session, monkeypatch, same):
    monkeypatch.setattr(reporter, "SAVING_SECONDS", 0.5)
    monkeypatch.setattr(reporter, "HEARTBEAT_SECONDS", 0.05)
    command = [sys.executable, "-c", DEAF, str(session.folder), "hangs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        try:
            assert worker.stdout.readline() == "works\n"
            assert not reporter.end_if_stuck(session)  # nobody asked it to stop
            session.request_stop()
            if not same:  # its id went to another process
                status = session.written_status()
                session.write_status(status.model_copy(update={"pid_created": status.pid_created - 60}))
            assert reporter.end_if_stuck(session) == same
            assert (worker.poll() is not None) == same
        finally:
            worker.kill()
    status = session.status()
    assert status.resumable
    assert status.state == ("stopped" if same else "interrupted")
    assert ("did not react" in "".join(status.notes)) == same


FAILS = """
import logging, sys
from pathlib import Path
from sails import sessions
from sails.errors import RequestError
logging.basicConfig(stream=sys.stdout)
def work(_):
    ours = RequestError("The template refuses this.", "Choose another.")
    raise ours if sys.argv[2] == "ours" else KeyError("x")
sys.exit(sessions.live(sessions.Session(Path(sys.argv[1])), work))
"""


@pytest.mark.parametrize(("whose", "traced"), [("ours", False), ("theirs", True)])
def test_a_failure_that_was_foreseen_is_a_sentence_in_the_log_and_any_other_has_its_trace(
    session, whose, traced
):
    command = [sys.executable, "-c", FAILS, str(session.folder), whose]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ("Traceback" in done.stdout) == traced
    if not traced:
        assert "The template refuses this. Choose another." in done.stdout
