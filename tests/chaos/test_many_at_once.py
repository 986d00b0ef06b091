"""Two dashboards and three command lines on one workspace, and a clock that jumps: nothing is lost or untrue.

SAILS_CHAOS_SECONDS=600 pytest tests/chaos/test_many_at_once.py      for longer
"""

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks.chaos import look, prepare
from sails import jobs, models, sessions
from sails.jobs import launcher
from sails.models import Workspace
from sails.sessions import Session, Settings

SECONDS = float(os.environ.get("SAILS_CHAOS_SECONDS", "2"))
# What a page reads at every refresh, and what people do meanwhile on the command line.
LOOKS = """
import sys, time
from pathlib import Path
from sails import data, jobs, models, sessions
from sails.chat import feedback
from sails.jobs import launcher, watch
from sails.models import Workspace
launcher.start_worker = lambda _: None
workspace, names, number = Workspace.open(Path(sys.argv[1])), set(), 0
print("up", flush=True)
while not (workspace.root / "end").exists():
    assert workspace.situation().trained.complete
    assert all(record.status.state != "running" for record in sessions.read_history(workspace))
    now = {report.name for report in data.reports(workspace)}
    assert names <= now, names - now
    models.list_versions(workspace), feedback.corrections(workspace), watch.watch_state(workspace)
    sessions.running(workspace), sessions.running_jobs(workspace), jobs.dispatch(workspace)
    names, number = now, number + 1
print(number)
"""
ACTS = """
import json, random, sys
from pathlib import Path
from sails import data, jobs, models, sessions
from sails.chat import feedback
from sails.errors import SailsError
from sails.jobs import launcher
from sails.models import Workspace
from sails.sessions import Settings
from tests.support.helpers import add_dataset, write_lesson
launcher.start_worker = lambda _: None
root, seed = Path(sys.argv[1]), int(sys.argv[2])
workspace, chance, done, made = Workspace.open(root), random.Random(seed), 0, {"datasets": [], "sessions": []}

def add():
    name = f"d{seed}-{done}"
    made["datasets"].append(add_dataset(workspace, write_lesson(root.parent / f"{name}.json", 4, name)))

def queue():
    made["sessions"].append(jobs.submit_training(workspace, "lesson", Settings(epochs=1)).id)

def stop():
    for session in made["sessions"][-1:]:
        sessions.stop(workspace, sessions.find(workspace, session))

def roll_back():
    versions = models.list_versions(workspace)
    models.roll_back(workspace, chance.choice(versions).id)

def correct():
    feedback.give(workspace, question=f"{seed} {done}?", answer="No.", kind="corrected", correction="Yes.")

print("up", flush=True)
while not (root / "end").exists():
    try:
        chance.choice((add, queue, stop, roll_back, correct))()
    except (SailsError, OSError):
        pass  # another one was faster; the command line says so in a sentence
    done += 1
print(json.dumps({"done": done, **made}))
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    return prepare(tmp_path / "w")


def test_two_dashboards_and_three_command_lines_lose_nothing(workspace):
    before = look(workspace)

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, str(workspace.root), *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    processes = [start(LOOKS), start(LOOKS), *(start(ACTS, seed) for seed in range(3))]
    for process in processes:
        process.stdout.readline()  # it is up
    time.sleep(SECONDS)
    (workspace.root / "end").touch()
    told = [process.communicate(timeout=120) for process in processes]
    assert [error for (_, error), process in zip(told, processes, strict=True) if process.returncode] == []
    assert min(int(said) for said, _ in told[:2]) > 0
    after = look(workspace)
    for made in (json.loads(said) for said, _ in told[2:]):
        assert made["done"] > 0
        assert set(made["datasets"]) <= after.datasets
        assert set(made["sessions"]) <= after.sessions
    assert before.models <= after.models | {after.current}
    assert before.sessions <= after.sessions
    queued = [entry.id for entry in sessions.waiting(workspace)]
    states = {record.session.id: record.status.state for record in sessions.read_history(workspace)}
    assert sorted(queued) == sorted(name for name, state in states.items() if state == "queued")


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_that_jumps_neither_loses_a_session_nor_holds_it_up(workspace, monkeypatch, years):
    started = []
    monkeypatch.setattr(launcher, "start_worker", started.append)
    session = jobs.submit_training(workspace, "lesson", Settings(epochs=1))
    started.clear()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + years * 3e7)
    jobs.dispatch(workspace)
    assert [one.id for one in started] == [session.id]
    assert models.find_leftovers(workspace) == []
    other = jobs.submit_training(workspace, "lesson", Settings(epochs=1))
    monkeypatch.setattr(time, "time", now)
    seen = look(Workspace.open(workspace.root))
    assert {session.id, other.id} <= seen.sessions
    assert Session(session.folder).status().state == "queued"
