"""Sessions: what was asked, where it stands, who waits, what became of it, and readers that read once."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sails import sessions
from sails.errors import RequestError, WorkspaceError
from sails.jobs.candidates import publish_held
from sails.models import Provenance, publish_model
from sails.models.workspace import Workspace
from sails.sessions import (
    CHECKPOINT_COMPLETE,
    ExportSpec,
    Failure,
    MetricsReader,
    ReplaySpec,
    Results,
    Scores,
    Session,
    Settings,
    Status,
    TrainSpec,
    ancestors,
    create,
    dequeue,
    enqueue,
    find,
    free_id,
    history,
    metrics,
    next_to_start,
    read_history,
    record,
    resume,
    running,
    stop,
    title,
    waiting,
    write_down_verdicts,
)
from sails.sessions.metrics import LineReader, MetricsWriter
from sails.sessions.plan import Plan
from sails.sessions.queue import MAX_STARTS, START_SECONDS, Waiting
from sails.system.locks import LifeLock
from sails.system.processes import this_process
from tests.support.folders import fingerprint_of, make_model
from tests.support.killing import for_every_line

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAN = Plan(
    row=2,
    start_from="trained",
    model="m",
    base="b",
    learning_rate=2e-5,
    automatic_learning_rate=1e-5,
    learning_rate_chosen_by="person",
    reason="because",
)


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "w")


def train_spec(workspace, identity="20260102-030405-first", **fields):
    return TrainSpec(
        id=identity,
        name=identity[16:],
        created=NOW,
        dataset="d",
        rows=80,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
        **fields,
    )


def make(workspace, identity="20260102-030405-first", **status):
    """A session, with its status changed as the worker would."""
    session = create(workspace.sessions, train_spec(workspace, identity))
    if status:
        session.write_status(session.written_status().model_copy(update=status))
    return session


def worker_fields(process=None, **changes):
    """The fields by which a status says who writes it."""
    pid = process.pid if process else os.getpid()
    created = psutil.Process(pid).create_time()
    return {"pid": pid, "pid_created": created, "host": socket.gethostname(), **changes}


# --- what is asked --------------------------------------------------------------------------------


def test_a_training_spec_comes_back_from_disk_as_it_was(workspace):
    spec = train_spec(
        workspace,
        start="base",
        model_name="gpt2",
        settings=Settings(preset="quick", epochs=3, learning_rate=2e-4, seed=7),
        export=True,
        opset=18,
        started_by="Ann",
    )
    assert create(workspace.sessions, spec).spec() == spec


def test_an_export_spec_comes_back_as_an_export_spec(workspace):
    spec = ExportSpec(
        id="j",
        name="ü",
        created=NOW,
        model=str(workspace.versions / "m"),
        onnx_output=workspace.onnx_model,
        prompts=("Why?", "„Wie“?\u2028"),
        started_by="",
    )
    read = create(workspace.jobs, spec).spec()
    assert read == spec
    assert type(read) is ExportSpec


def test_a_new_session_is_queued_at_step_zero(workspace):
    status = create(workspace.sessions, train_spec(workspace)).status()
    assert (status.state, status.phase, status.step) == ("queued", "queued", 0)
    assert abs(datetime.now(UTC) - status.queued) < timedelta(minutes=1)


@pytest.mark.parametrize("kind", ["export", "baseline"])
def test_what_a_spec_names_inside_the_workspace_moves_along_with_it(workspace, tmp_path, kind):
    spec = ExportSpec(
        kind=kind, id="j", name="j", created=NOW, model="smollm", onnx_output=workspace.root / "a" / "b"
    )
    if kind == "export":
        spec = spec.model_copy(update={"model": str(workspace.trained_model)})
    create(workspace.jobs, spec)
    workspace.root.rename(tmp_path / "moved")
    moved = Session(tmp_path / "moved" / "jobs" / "j").spec()
    assert moved.onnx_output == tmp_path / "moved" / "a" / "b"
    assert moved.model == ("smollm" if kind == "baseline" else str(tmp_path / "moved" / "trained_model"))
    assert moved.asked_in is None


def test_a_session_of_an_earlier_release_moves_along_too_but_not_what_it_has_elsewhere(workspace, tmp_path):
    session = make(workspace)
    elsewhere = str(tmp_path / "no disk is here now" / "shared")
    paths = {"trained_model": str(workspace.trained_model), "onnx_model": elsewhere}
    path = session.folder / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | paths))
    workspace.root.rename(tmp_path / "moved")
    [record] = read_history(Workspace.open(tmp_path / "moved"))
    assert record.spec.trained_model == tmp_path / "moved" / "trained_model"
    assert str(record.spec.onnx_model) == elsewhere


def test_a_spec_cannot_be_changed(workspace):
    with pytest.raises(ValidationError, match="frozen"):
        train_spec(workspace).rows = 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"epochs": 1001},
        {"batch_size": 0},
        {"max_steps": 0},
        {"seed": -1},
        {"seed": 2**32},
        {"max_length": 15},
        {"preset": "fast"},
        {"device": "tpu"},
        {"epcohs": 3},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        Settings(**wrong)


@pytest.mark.parametrize(
    "content", [b"", b"{ half", b"[]", b"{}", b"\xff\xfe\x00binary", b'{"kind": "sing"}', b"\x00" * 20]
)
def test_a_damaged_spec_is_told_in_a_sentence_and_hides_neither_its_session_nor_others(workspace, content):
    damaged, whole = make(workspace, "20260102-030405-bad"), make(workspace, "20260102-030406-good")
    (damaged.folder / "spec.json").write_bytes(content)
    with pytest.raises(WorkspaceError, match="spec of 20260102-030405-bad is damaged"):
        damaged.written_spec()
    told, other = read_history(workspace)
    assert (told.session, other.session) == (damaged, whole)
    assert (told.spec.name, told.spec.created) == ("bad", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert told.spec.trained_model == workspace.trained_model
    assert told.status.state == "queued"
    assert told.status.notes == ("⚠️ Its file spec.json is damaged, so what was asked of it is lost.",)
    assert other.status.notes == ()
    damaged.write_status(damaged.status().model_copy(update={"state": "stopped"}))
    with pytest.raises(WorkspaceError, match="is damaged"):
        resume(workspace, damaged)


def test_a_session_that_is_not_there_is_told_in_a_sentence(workspace):
    with pytest.raises(WorkspaceError, match="There is no session"):
        Session(workspace.sessions / "nobody").spec()


def test_sessions_of_one_name_are_told_apart_and_a_replay_is_called_as_what_it_plays(workspace):
    both = [make(workspace, f"20260102-0{hour}0405-rivers") for hour in (3, 4)]
    assert [title(workspace, session) for session in both] == ["rivers", "rivers (2)"]
    spec = ReplaySpec(id="20260102-050405-replay", name="rivers", created=NOW, session=both[1].id)
    assert title(workspace, create(workspace.jobs, spec)) == "rivers (2)"
    assert title(workspace, Session(workspace.sessions / "gone")) == "gone"


def test_a_free_id_is_one_that_nobody_has(tmp_path):
    first = free_id(tmp_path, "My data!")
    (tmp_path / first).mkdir()
    second = free_id(tmp_path, "My data!")
    assert second != first
    assert not (tmp_path / second).exists()
    assert "my-data" in first
    assert "my-data" in second


# --- where it stands ------------------------------------------------------------------------------


def test_a_status_comes_back_from_disk_as_it_was(workspace):
    session = make(workspace)
    status = Status(
        state="failed",
        phase="train",
        step=5,
        plan=PLAN,
        started=NOW,
        failure=Failure(kind="diverged", message="It diverged.", log_tail=("a", "b")),
        results=Results(taught_before=Scores(loss=2.5, accuracy=0.5, rows=9), seconds={"train": 1.5}),
        notes=("⚠️ two rows left out",),
    )
    session.write_status(status)
    assert session.status() == status


def test_running_with_a_living_worker_is_running(workspace):
    session = make(workspace, state="running", **worker_fields())
    lock = LifeLock(session.lock)
    lock.acquire()
    assert session.status().state == "running"
    lock.release()
    assert session.status().state == "interrupted"
    assert session.written_status().state == "running"  # it is never written by the dead


WORK = """
import sys
from pathlib import Path
from sails.system.locks import LifeLock
from sails.sessions import Session, this_worker
session = Session(Path(sys.argv[1]))
LifeLock(session.lock).acquire()
running = {"state": "running", **this_worker()}
session.write_status(session.written_status().model_copy(update=running))
print("running", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_worker_killed_with_minus_nine_leaves_its_session_interrupted(workspace):
    session = make(workspace)
    command = [sys.executable, "-c", WORK, str(session.folder)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert worker.stdout.readline() == b"running\n"
        assert session.status().state == "running"
        with pytest.raises(RequestError, match="cannot be resumed: it is running"):
            resume(workspace, session)
        os.kill(worker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # a zombie still, as below a dashboard
        assert session.status().state == "interrupted"
    finally:
        worker.kill()
        worker.communicate()
    assert session.status().state == "interrupted"
    resume(workspace, session)
    assert session.status().state == "queued"


def test_a_held_lock_with_another_process_of_that_number_is_interrupted(workspace):
    mistaken = worker_fields(pid_created=this_process().created - 100)
    session = make(workspace, state="running", **mistaken)
    lock = LifeLock(session.lock)
    lock.acquire()
    assert session.status().state == "interrupted"
    lock.release()


def test_a_held_lock_of_another_machine_is_running_and_a_free_one_is_not(workspace):
    elsewhere = worker_fields(pid_created=5.0, host="another-machine")
    session = make(workspace, state="running", **elsewhere)
    assert session.status().state == "interrupted"
    lock = LifeLock(session.lock)
    lock.acquire()
    assert session.status().state == "running"
    lock.release()


@pytest.mark.parametrize("state", ["queued", "succeeded", "failed", "stopped", "interrupted"])
def test_other_states_need_no_living_worker(workspace, state):
    assert make(workspace, state=state).status().state == state


def test_a_worker_that_ends_between_any_two_lines_of_a_reader_never_seems_interrupted(workspace):
    session, seen = make(workspace), []
    number = 0
    while True:
        number += 1
        session.write_status(Status(state="running", **worker_fields()))
        lock, ended = LifeLock(session.lock), []
        lock.acquire()

        def end(count, _frame, number=number, lock=lock, ended=ended):
            if count == number:
                session.write_status(Status(state="succeeded", **worker_fields()))
                lock.release()
                ended.append(count)

        seen.append(for_every_line(session.status, (sessions.session,), end).state)
        lock.release()
        if not ended:
            break
    assert set(seen) == {"running", "succeeded"}


@pytest.mark.parametrize("content", ["", "{ half", "[]", '{"state": "dancing"}'])
def test_a_damaged_status_is_told_in_a_sentence_and_hides_neither_its_session_nor_others(workspace, content):
    damaged, whole = make(workspace, "20260102-030405-bad"), make(workspace, "20260102-030406-good")
    (damaged.folder / "status.json").write_text(content)
    with pytest.raises(WorkspaceError, match="status of 20260102-030405-bad is damaged"):
        damaged.written_status()
    told, other = read_history(workspace)
    assert (told.session, told.spec.dataset, other.session) == (damaged, "d", whole)
    assert told.status == damaged.status()
    assert (told.status.state, told.status.failure.kind) == ("failed", "workspace")
    assert "status.json is damaged" in told.status.failure.message


def test_a_session_with_a_damaged_status_keeps_what_its_models_tell(workspace):
    session = make(workspace)
    (session.folder / "status.json").write_text("{ half")
    checkpoint = session.checkpoints / "checkpoint-9"
    checkpoint.mkdir(parents=True)
    (checkpoint / CHECKPOINT_COMPLETE).touch()
    assert session.status().state == "interrupted"
    resume(workspace, session)
    assert session.status().state == "queued"
    (session.folder / "status.json").write_text("{ half")
    make_model(session.model)
    held = session.status()
    assert (held.state, held.verdict) == ("succeeded", "held")
    assert held.fingerprint == fingerprint_of(session.model)
    lock = LifeLock(session.lock)
    lock.acquire()
    assert session.status().state == "running"
    lock.release()
    publish_held(workspace, session)
    assert session.written_status().verdict == "published"
    (session.folder / "status.json").write_text("{ half")
    assert (session.status().verdict, session.status().fingerprint) == ("published", held.fingerprint)
    candidate = make_model(workspace.root / "other", 2)
    publish_model(workspace, candidate, Provenance(session="other", created=NOW))
    assert (session.status().verdict, session.status().fingerprint) == ("published", held.fingerprint)


@pytest.mark.parametrize("state", ["running", "failed", "stopped"])
def test_who_died_between_publishing_and_saying_so_is_told_as_published(workspace, state):
    session = make(workspace)
    make_model(session.model)
    prints = fingerprint_of(session.model)
    session.write_status(Status(state=state, phase="publish", fingerprint=prints, started=NOW))
    told = {"running": "interrupted"}.get(state, state)
    assert (session.status().state, session.status().verdict) == (told, None)
    publish_model(workspace, session.model, Provenance(session=session.id, created=NOW))
    assert (session.status().state, session.status().verdict) == (told, "published")
    [record] = read_history(workspace)
    assert record.status == session.status()
    write_down_verdicts(workspace)
    assert (session.written_status().state, session.written_status().verdict) == (state, "published")


def test_verdicts_are_written_down_beside_a_damaged_session(workspace):
    session = make(workspace)
    make_model(session.model)
    publish_model(workspace, session.model, Provenance(session=session.id, created=NOW))
    (session.folder / "status.json").write_text("{ half")
    assert session.status().verdict == "published"
    write_down_verdicts(workspace)
    assert (session.folder / "status.json").read_text() == "{ half"


def test_the_newest_checkpoint_is_the_last_that_was_written_to_its_end(workspace):
    session = make(workspace)
    assert session.newest_checkpoint() is None
    for step in (9, 10, 100):
        (session.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
    assert session.newest_checkpoint() is None
    for step in (9, 10):
        (session.checkpoints / f"checkpoint-{step}" / "complete").touch()
    assert session.newest_checkpoint() == session.checkpoints / "checkpoint-10"


def test_the_end_of_the_log_is_its_last_lines_whatever_its_size(workspace):
    session = make(workspace)
    assert session.log_tail() == ()
    session.log.write_text("".join(f"line {n} ü\n" for n in range(50_000)))
    assert session.log_tail(3) == ("line 49997 ü", "line 49998 ü", "line 49999 ü")
    assert len(session.log_tail()) == 20
    session.log.write_bytes(b"\xff broken\nend")
    assert session.log_tail(1) == ("end",)


# --- the queue ------------------------------------------------------------------------------------


def in_queue(workspace):
    return [entry.id for entry in waiting(workspace)]


def test_first_come_first_served_and_nobody_waits_twice(workspace):
    made = [make(workspace, f"20260102-03040{n}-{name}") for n, name in enumerate(("c", "a", "b"))]
    for session in (*made, made[0]):
        enqueue(workspace, session)
    assert in_queue(workspace) == [session.id for session in made]
    assert dequeue(workspace, made[1].id)
    assert not dequeue(workspace, made[1].id)
    assert in_queue(workspace) == [made[0].id, made[2].id]


DAMAGED_QUEUES = ("", "{ half", "[]", "{}", "[" * 100_000, '{"waiting": [5]}', '{"waiting": {}}')
LEADING_OUT = (
    '{"waiting": [{"id": "../x"}]}',
    '{"waiting": [{"id": "a\\u0000b"}]}',
    '{"waiting": [{"id": ""}]}',
)


@pytest.mark.parametrize("content", [*DAMAGED_QUEUES, *LEADING_OUT])
def test_of_a_damaged_queue_those_who_wait_keep_their_order_and_are_started(workspace, content):
    now = datetime.now(UTC)
    later = make(workspace, "20260102-030405-later", queued=now)
    first = make(workspace, "20260102-030406-first", queued=now - timedelta(minutes=1))
    make(workspace, "20260102-030404-ended", state="stopped")
    damaged = make(workspace, "20260102-030403-damaged")
    (damaged.folder / "status.json").write_text("{")
    workspace.queue.write_text(content)
    assert in_queue(workspace) == [first.id, later.id]
    assert next_to_start(workspace) == first
    assert json.loads(workspace.queue.read_text())["waiting"][0]["starts"] == 1
    assert in_queue(workspace) == [first.id, later.id]


def test_an_empty_workspace_has_nobody_to_start(workspace):
    assert waiting(workspace) == []
    assert next_to_start(workspace) is None


def earlier(workspace, seconds=START_SECONDS + 1):
    """As if the last start of the first in the queue had been that long ago."""
    content = json.loads(workspace.queue.read_text())
    content["waiting"][0]["last_start"] -= seconds
    workspace.queue.write_text(json.dumps(content))


def test_a_session_is_not_started_twice_while_it_is_coming_up(workspace):
    first, second = make(workspace, "20260102-030405-one"), make(workspace, "20260102-030406-two")
    enqueue(workspace, first)
    enqueue(workspace, second)
    assert next_to_start(workspace) == first
    assert next_to_start(workspace) is None  # neither it nor the one behind it
    earlier(workspace, START_SECONDS - 5)
    assert next_to_start(workspace) is None
    earlier(workspace, 6)
    assert next_to_start(workspace) == first
    assert in_queue(workspace) == [first.id, second.id]  # it leaves the queue when its worker says so


def test_each_start_is_counted_and_one_that_never_comes_up_is_failed_and_passed_over(workspace):
    first, second = make(workspace, "20260102-030405-one"), make(workspace, "20260102-030406-two")
    first.log.write_text("Traceback\nImportError: no such thing\n")
    enqueue(workspace, first)
    enqueue(workspace, second)
    for starts in range(1, MAX_STARTS + 1):
        assert next_to_start(workspace) == first
        assert waiting(workspace)[0].starts == starts
        assert first.status().state == "queued"
        earlier(workspace)
    assert next_to_start(workspace) == second
    status = first.status()
    assert (status.state, status.phase) == ("failed", "done")
    assert "3 tries" in status.failure.message
    assert status.failure.log_tail[-1] == "ImportError: no such thing"
    assert status.ended is not None
    assert [(entry.id, entry.starts) for entry in waiting(workspace)] == [(second.id, 1)]
    with pytest.raises(RequestError):
        resume(workspace, first)


def test_a_session_whose_folder_is_gone_does_not_hold_up_the_queue(workspace):
    session = make(workspace)
    enqueue(workspace, Session(workspace.sessions / "gone"))
    enqueue(workspace, session)
    assert next_to_start(workspace) == session
    assert in_queue(workspace) == [session.id]


def test_a_session_with_a_damaged_status_does_not_hold_up_the_queue(workspace):
    damaged, session = make(workspace, "20260102-030405-one"), make(workspace, "20260102-030406-two")
    enqueue(workspace, damaged)
    enqueue(workspace, session)
    (damaged.folder / "status.json").write_text("{ half")
    for _ in range(MAX_STARTS):
        assert next_to_start(workspace) == damaged
        earlier(workspace)
    assert next_to_start(workspace) == session
    assert damaged.written_status().state == "failed"


def test_a_clock_that_was_set_back_does_not_hold_up_the_queue(workspace):
    session = make(workspace)
    entry = Waiting(id=session.id, starts=1, last_start=time.time() + 86_400)
    workspace.queue.write_text(json.dumps({"waiting": [entry.model_dump()]}))
    assert next_to_start(workspace) == session


ENQUEUE = """
import sys
from pathlib import Path
from sails.sessions import Session, enqueue
from sails.models.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(5):
    enqueue(workspace, Session(workspace.sessions / f"{sys.argv[2]}-{number}"))
"""


def test_eight_processes_that_queue_at_once_lose_nobody(workspace):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", ENQUEUE, str(workspace.root)]
    people = [subprocess.Popen([*command, str(number)], **pipes) for number in range(8)]
    for person in people:
        person.stdout.readline()
    for person in people:
        person.stdin.write(b"go\n")
        person.stdin.flush()
    for person in people:
        person.communicate()
        assert person.returncode == 0
    queue = in_queue(workspace)
    assert sorted(queue) == sorted(f"{person}-{number}" for person in range(8) for number in range(5))
    for person in range(8):  # and nobody overtakes himself
        own = [entry for entry in queue if entry.startswith(f"{person}-")]
        assert own == sorted(own)


# --- stop and resume ------------------------------------------------------------------------------


def test_cancelled_in_the_queue_is_stopped_at_step_zero(workspace):
    session = make(workspace)
    enqueue(workspace, session)
    stop(workspace, session)
    status = session.status()
    assert (status.state, status.step) == ("stopped", 0)
    assert status.ended is not None
    assert in_queue(workspace) == []


def test_stopping_a_running_session_asks_its_worker_and_changes_no_status(workspace):
    session = make(workspace, state="running", **worker_fields())
    lock = LifeLock(session.lock)
    lock.acquire()
    before = session.written_status()
    assert not session.stop_requested()
    stop(workspace, session)
    assert session.stop_requested()
    assert session.written_status() == before
    lock.release()


def test_stopping_a_session_whose_worker_just_came_up_leaves_the_word_to_the_worker(workspace):
    session = make(workspace)
    enqueue(workspace, session)
    lock = LifeLock(session.lock)
    lock.acquire()  # the worker lives, and has not said so yet
    stop(workspace, session)
    assert session.stop_requested()
    assert session.written_status().state == "queued"
    lock.release()


def test_a_queued_session_that_the_queue_has_lost_can_be_stopped_and_resumed(workspace):
    session = make(workspace)
    stop(workspace, session)
    assert session.status().state == "stopped"
    resume(workspace, session)
    assert in_queue(workspace) == [session.id]


@pytest.mark.parametrize("state", ["succeeded", "failed", "stopped", "interrupted"])
def test_what_has_ended_cannot_be_stopped(workspace, state):
    session = make(workspace, state=state)
    with pytest.raises(RequestError, match=f"is not running: it is {state}"):
        stop(workspace, session)
    assert not session.stop_requested()


@pytest.mark.parametrize("state", ["stopped", "interrupted"])
def test_a_stopped_or_interrupted_session_goes_back_to_the_end_of_the_queue(workspace, state):
    other = make(workspace, "20260102-030406-other")
    enqueue(workspace, other)
    session = make(workspace, state=state, step=7, plan=PLAN, pid=5, ended=NOW, message="Stopped")
    session.request_stop()
    resume(workspace, session)
    status = session.status()
    assert (status.state, status.ended, status.pid, status.message) == ("queued", None, None, "")
    assert (status.step, status.plan) == (7, PLAN)  # it goes on, it does not start anew
    assert not session.stop_requested()
    assert in_queue(workspace) == [other.id, session.id]


@pytest.mark.parametrize("state", ["queued", "succeeded", "failed"])
def test_nothing_else_can_be_resumed(workspace, state):
    session = make(workspace, state=state)
    before = session.written_status()
    with pytest.raises(RequestError, match=f"cannot be resumed: it is {state}"):
        resume(workspace, session)
    assert (session.written_status(), in_queue(workspace)) == (before, [])


# --- the history ----------------------------------------------------------------------------------


def test_the_history_is_the_training_sessions_oldest_first(workspace):
    ids = ["20260102-030405-b", "20260101-000000-z", "20260102-030406-a"]
    for identity in ids:
        make(workspace, identity)
    create(workspace.jobs, ExportSpec(id="j", name="j", created=NOW, model="m", onnx_output=Path("o")))
    assert [entry.session.id for entry in read_history(workspace)] == sorted(ids)


def test_a_workspace_without_sessions_has_an_empty_history(workspace):
    assert read_history(workspace) == []
    assert running(workspace) is None


def test_a_record_says_what_was_asked_and_what_became_of_it_as_json(workspace):
    scores = {"accuracy": 0.5, "rows": 9}
    results = Results(taught_before=Scores(loss=3, **scores), taught_after=Scores(loss=1, **scores))
    session = make(
        workspace,
        state="succeeded",
        plan=PLAN,
        verdict="published",
        results=results,
        started=NOW,
        ended=NOW + timedelta(seconds=90),
    )
    entry = record(session)
    brief, full = json.loads(json.dumps(entry.brief())), json.loads(json.dumps(entry.full()))
    assert brief["id"] == session.id
    assert (brief["state"], brief["verdict"], brief["row"], brief["seconds"]) == (
        "succeeded",
        "published",
        2,
        90,
    )
    assert (brief["learning_rate"], brief["automatic_learning_rate"]) == (2e-5, 1e-5)
    assert brief["learning_rate_chosen_by"] == "person"
    assert (brief["loss_before"], brief["loss_after"]) == (3, 1)
    assert brief.items() <= full.items()
    assert TrainSpec.model_validate(full["spec"]) == session.spec()
    assert Status.model_validate(full["status"]) == session.status()
    assert full["plan"]["reason"] == "because"
    assert full["metrics"]["taught_after"]["loss"] == 1


def test_a_session_that_has_not_started_has_taken_no_time(workspace):
    entry = record(make(workspace))
    assert entry.seconds is None
    assert entry.brief()["learning_rate"] is None
    assert entry.full()["plan"] is None


def test_the_running_session_is_found_by_the_training_lock(workspace):
    make(workspace, "20260102-030405-old", state="succeeded")
    session = make(workspace, "20260102-030406-new", state="running", **worker_fields())
    assert running(workspace) is None
    own, training = LifeLock(session.lock), LifeLock(workspace.training_lock)
    own.acquire()
    training.acquire()
    assert running(workspace).session == session
    own.release()
    assert running(workspace) is None
    training.release()


# --- the history is read once ---------------------------------------------------------------------


def settle(workspace):
    """As if all that was written so far had been written a minute ago."""
    past = time.time() - 60
    for path in workspace.sessions.glob("*/*.json"):
        os.utime(path, (past, past))


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that were opened since."""
    opened = []

    def counting(path, *args, **kwargs):
        opened.append(Path(path).name)
        return open(path, *args, **kwargs)

    monkeypatch.setattr(history, "open", counting, raising=False)
    return opened


def test_what_did_not_change_is_not_read_again(workspace, reads):
    made = [make(workspace, f"20260102-03040{n}-s", state="succeeded") for n in range(3)]
    settle(workspace)
    first = read_history(workspace)
    assert reads.count("status.json") == 3
    reads.clear()
    assert read_history(workspace) == first
    assert reads == []
    made[1].write_status(Status(state="failed"))
    assert [entry.status.state for entry in read_history(workspace)] == ["succeeded", "failed", "succeeded"]
    assert reads.count("status.json") == 1


def test_a_change_is_seen_though_neither_time_nor_size_of_the_file_tell(workspace):
    """Two changes within one tick of the clock, in place."""
    session = make(workspace, state="succeeded")
    path = session.folder / "status.json"
    before = path.stat()
    assert read_history(workspace)[0].status.state == "succeeded"
    content = path.read_text()
    path.write_text(content.replace('"succeeded"', '"stopped"  '))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert read_history(workspace)[0].status.state == "stopped"


def test_what_was_replaced_is_seen_though_time_and_size_are_the_same(workspace):
    session = make(workspace, state="succeeded")
    settle(workspace)
    assert read_history(workspace)[0].status.state == "succeeded"
    path, other = session.folder / "status.json", session.folder / "new.json"
    other.write_text(path.read_text().replace('"succeeded"', '"stopped"  '))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)
    assert read_history(workspace)[0].status.state == "stopped"


def test_new_deleted_and_damaged_sessions_are_noticed(workspace):
    one, two = make(workspace, "20260102-030405-a"), make(workspace, "20260102-030406-b")
    settle(workspace)
    assert len(read_history(workspace)) == 2
    shutil.rmtree(one.folder)
    three = make(workspace, "20260102-030407-c")
    assert [entry.session for entry in read_history(workspace)] == [two, three]
    (two.folder / "status.json").write_text("{ half")
    assert [entry.status.state for entry in read_history(workspace)] == ["failed", "queued"]
    two.write_status(Status())
    assert [entry.status.state for entry in read_history(workspace)] == ["queued", "queued"]


def test_hidden_folders_and_files_are_no_sessions(workspace):
    session = make(workspace)
    shutil.copytree(session.folder, workspace.sessions / ".20260102-030405-first.deleted")
    (workspace.sessions / "a note").write_text("not a session")
    (workspace.sessions / "empty").mkdir()
    assert [entry.session for entry in read_history(workspace)] == [session]


def test_a_session_that_dies_is_interrupted_in_the_history_though_no_file_changed(workspace):
    session = make(workspace, state="running", **worker_fields())
    settle(workspace)
    lock = LifeLock(session.lock)
    lock.acquire()
    assert read_history(workspace)[0].status.state == "running"
    lock.release()
    assert read_history(workspace)[0].status.state == "interrupted"
    lock.acquire()
    assert read_history(workspace)[0].status.state == "running"
    lock.release()


def test_many_threads_read_the_history_while_it_changes(workspace):
    for n in range(40):
        make(workspace, f"20260102-0304{n}-s", state="succeeded")

    def look(_):
        return [len(read_history(workspace)) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        counts = pool.map(look, range(8))
        for n in range(20):
            make(workspace, f"20260103-0304{n}-s")
        assert all(sorted(seen) == seen and seen[0] >= 40 for seen in counts)
    assert len(read_history(workspace)) == 60


def test_who_looks_at_what_runs_reads_one_session_of_a_hundred(workspace, reads):
    for n in range(100):
        make(workspace, f"20260102-03{n:04}-s", state="succeeded")
    session = make(workspace, "20260101-000000-old", state="running", **worker_fields())
    settle(workspace)
    assert running(workspace) is None
    assert reads == []  # the training lock is free
    locks = [LifeLock(session.lock), LifeLock(workspace.training_lock)]
    for lock in locks:
        lock.acquire()
    assert running(workspace).session == session
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "stamp_or_none", lambda path: seen.append(path))
        assert running(workspace).session == session
    assert seen == []
    for lock in locks:
        lock.release()


# --- finding a session ----------------------------------------------------------------------------


@pytest.fixture
def several(workspace):
    for identity in ("20260101-000000-intro", "20260102-000000-web", "20260103-000000-intro-2"):
        make(workspace, identity)
    create(
        workspace.jobs,
        ExportSpec(id="20260109-000000-export", name="e", created=NOW, model="m", onnx_output=Path("o")),
    )
    return workspace


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("20260102-000000-web", "20260102-000000-web"),
        ("web", "20260102-000000-web"),
        ("intro", "20260101-000000-intro"),
        ("intro-2", "20260103-000000-intro-2"),
        ("last", "20260103-000000-intro-2"),
    ],
)
def test_a_session_is_found_by_its_id_its_name_or_as_the_last(several, wanted, found):
    assert find(several, wanted) == Session(several.sessions / found)


def test_a_job_is_found_by_its_id_only(several):
    assert find(several, "20260109-000000-export") == Session(several.jobs / "20260109-000000-export")
    with pytest.raises(WorkspaceError):
        find(several, "export")


def test_a_name_that_two_sessions_have_is_refused(several):
    make(several, "20260104-000000-web")
    with pytest.raises(WorkspaceError, match="2 sessions are called web"):
        find(several, "web")


@pytest.mark.parametrize(
    "wanted",
    ["", ".", "..", "nobody", "eb", "../sessions/20260102-000000-web", "a" * 300, "a\0b", "*", "/etc", "\n"],
)
def test_nonsense_and_ways_out_of_the_folder_find_nothing(several, wanted):
    (several.root / "spec.json").write_text((find(several, "web").folder / "spec.json").read_text())
    with pytest.raises(WorkspaceError, match="There is no session"):
        find(several, wanted)
    with pytest.raises(WorkspaceError, match="There is no session"):
        find(several, str(several.sessions / "20260102-000000-web"))


def test_what_is_sought_in_vain_is_named_in_a_sentence_that_ends(several):
    with pytest.raises(WorkspaceError, match="There is no session 'aaa") as told:
        find(several, "a" * 5000)
    assert len(told.value.sentence) < 500
    assert "page Sessions" in told.value.remedy


def test_there_is_no_last_session_where_there_is_none(workspace):
    with pytest.raises(WorkspaceError, match="There is no session 'last'"):
        find(workspace, "last")


# --- lineage --------------------------------------------------------------------------------------


def taught(workspace, identity, fingerprint, parent):
    return make(workspace, identity, state="succeeded", fingerprint=fingerprint, parent=parent)


def test_lineage_follows_parents_and_not_the_calendar(workspace):
    """a ─► b ─► c, then rolled back to a, then d; and e from base."""
    taught(workspace, "20260101-000000-a", "fa", None)
    taught(workspace, "20260102-000000-b", "fb", "fa")
    taught(workspace, "20260103-000000-c", "fc", "fb")
    taught(workspace, "20260104-000000-d", "fd", "fa")
    taught(workspace, "20260105-000000-e", "fe", None)
    make(workspace, "20260106-000000-f", state="failed", parent="fe")

    def line(fingerprint):
        return [entry.session.id[-1] for entry in ancestors(workspace, fingerprint)]

    assert line("fc") == ["a", "b", "c"]
    assert line("fd") == ["a", "d"]
    assert line("fe") == ["e"]
    assert line("fa") == ["a"]
    assert line("unknown") == line(None) == []


def test_a_lineage_that_came_from_elsewhere_begins_where_it_is_known(workspace):
    taught(workspace, "20260102-000000-b", "fb", "made-elsewhere")
    assert [entry.session.id for entry in ancestors(workspace, "fb")] == ["20260102-000000-b"]


def test_a_lineage_that_bites_its_tail_ends(workspace):
    taught(workspace, "20260101-000000-a", "fa", "fb")
    taught(workspace, "20260102-000000-b", "fb", "fa")
    assert [entry.session.id[-1] for entry in ancestors(workspace, "fb")] == ["a", "b"]


# --- metrics --------------------------------------------------------------------------------------


def append(path, content):
    with open(path, "ab") as file:
        file.write(content)


def test_lines_are_read_once_and_as_soon_as_they_are_whole(tmp_path):
    reader = LineReader(tmp_path / "log")
    assert reader.read() == []
    append(reader.path, b"one\ntw")
    assert reader.read() == ["one"]
    assert reader.read() == []
    append(reader.path, b"o\n\nth")
    assert reader.read() == ["two", ""]
    append(reader.path, b"ree")
    assert reader.read() == []
    append(reader.path, b"\n")
    assert reader.read() == ["three"]


def test_a_file_that_became_shorter_is_read_anew(tmp_path):
    reader = LineReader(tmp_path / "log")
    append(reader.path, b"one\ntwo\n")
    reader.read()
    reader.path.write_bytes(b"new\n")
    assert reader.read() == ["new"]
    reader.path.unlink()
    assert reader.read() == []


def test_lines_of_windows_end_where_they_end(tmp_path):
    append(tmp_path / "log", b"one\r\ntwo\r\nhalf\r")
    reader = LineReader(tmp_path / "log")
    assert reader.read() == ["one", "two"]
    append(reader.path, b"\n")
    assert reader.read() == ["half"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), max_size=8),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_however_a_file_grows_its_lines_come_out_whole_and_in_order(tmp_path, lines, cuts):
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    content = "".join(f"{line}\n" for line in lines).encode()
    reader, read, position = LineReader(path), [], 0
    for cut in (*sorted(cuts), len(content)):
        append(path, content[position:cut])
        position = max(position, cut)
        read += reader.read()
    assert read == lines


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_a_metric_with_an_unusual_line_break_in_an_answer_is_one_metric(tmp_path, separator):
    writer, reader = MetricsWriter(tmp_path / "m"), MetricsReader(tmp_path / "m")
    writer.write("samples", answers=[f"a{separator}b"])
    writer.close()
    assert reader.read_metrics() == [{"kind": "samples", "answers": [f"a{separator}b"]}]


def test_a_broken_line_costs_that_line_only(tmp_path):
    append(tmp_path / "m", b'{"step": 1}\n{"step": 2\n[3]\n5\nnull\n\n\xff\n{"step": 4}\n{"step": 5')
    assert MetricsReader(tmp_path / "m").read_metrics() == [{"step": 1}, {"step": 4}]


def test_a_hundred_thousand_lines_are_read_from_disk_once(tmp_path, monkeypatch):
    path, counted = tmp_path / "m", []

    def counting_open(*arguments):
        file = open(*arguments)  # noqa: SIM115 (closed by who asked for it)
        read = file.read
        return CountingFile(file, lambda *size: counted.append(read(*size)) or counted[-1])

    path.write_text("".join(f'{{"kind": "step", "step": {n}}}\n' for n in range(100_000)))
    monkeypatch.setattr(metrics, "open", counting_open, raising=False)
    reader = MetricsReader(path)
    assert len(reader.read_metrics()) == 100_000
    assert sum(map(len, counted)) == path.stat().st_size
    counted.clear()
    assert reader.read_metrics() == []
    append(path, b'{"kind": "step", "step": 100000}\n')
    assert reader.read_metrics() == [{"kind": "step", "step": 100_000}]
    assert sum(map(len, counted)) == 33


class CountingFile:
    """A file whose reading is counted."""

    def __init__(self, file, read):
        self.file, self.read, self.seek = file, read, file.seek

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path):
    writer = MetricsWriter(tmp_path / "m")
    writer.write("step", loss=math.nan, up=math.inf, down=-math.inf, step=3, lr=1e-5, word="NaN", none=None)
    [line] = (tmp_path / "m").read_text().splitlines()  # without closing: a reader sees it at once
    writer.close()
    assert "NaN," not in line
    assert json.loads(line, parse_constant=pytest.fail) == {
        "kind": "step",
        "loss": None,
        "up": None,
        "down": None,
        "step": 3,
        "lr": 1e-5,
        "word": "NaN",
        "none": None,
    }


def test_a_resumed_worker_appends_behind_what_was_written(tmp_path):
    for step in (1, 2):
        writer = MetricsWriter(tmp_path / "m")
        writer.write("step", step=step, text="ü")
        writer.close()
    assert MetricsReader(tmp_path / "m").read_metrics() == [
        {"kind": "step", "step": 1, "text": "ü"},
        {"kind": "step", "step": 2, "text": "ü"},
    ]


def test_what_a_killed_worker_wrote_half_does_not_swallow_the_next_line(tmp_path):
    append(tmp_path / "m", b'{"kind": "step", "step": 1}\n{"kind": "st')
    writer = MetricsWriter(tmp_path / "m")
    writer.write("resume", step=1)
    writer.close()
    read = MetricsReader(tmp_path / "m").read_metrics()
    assert read == [{"kind": "step", "step": 1}, {"kind": "resume", "step": 1}]
