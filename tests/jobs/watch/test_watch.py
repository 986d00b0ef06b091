"""The watch: which rows come together, when they are taught, how often, and what becomes of them."""

import json
import os
import shutil
import signal
import sys
import time
from datetime import timedelta

import pytest

from sails import sessions
from sails.chat import feedback
from sails.cli import app
from sails.data import datasets, reading, write_jsonl
from sails.errors import BusyError, RequestError, ViewOnlyError, WorkspaceError
from sails.jobs import launcher, submit
from sails.jobs.watch import (
    is_alive,
    latest_lesson,
    order_of,
    run_watch,
    standing,
    switch_off,
    switch_on,
    watch_state,
    what_became,
)
from sails.jobs.watch.loop import Watch
from sails.jobs.watch.state import log_of
from sails.models.workspace import Workspace
from sails.sessions import archive
from sails.system import access, processes
from sails.system.locks import LifeLock
from tests.support.helpers import add_dataset, run_worker, write_lesson
from tests.support.situations import make_line, rows_of
from tests.support.tiny import make_tiny_model
from tests.support.watched import Clock, begin, end, fail, order, questions, queued, settle, write

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def log(tmp_path):
    """The file that is watched."""
    return tmp_path / "talks.jsonl"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """Workers are not started; their sessions end as a test says."""
    found = []
    monkeypatch.setattr(launcher, "start_worker", found.append)
    return found


@pytest.fixture
def watch(workspace, log, clock, said):
    """Watching the file for three rows."""
    return begin(workspace, order(log), clock, said)


def again(watch):
    """Another process in place of the one that died."""
    return Watch(watch.workspace, watch.say, watch.clock)


# --- which rows -----------------------------------------------------------------------------------


def test_nothing_happens_before_enough_rows_have_come_together(watch, log, workspace):
    write(log, [1, 2])
    assert settle(watch) == "waits for examples"
    assert watch_state(workspace).waiting == 2
    assert queued(workspace) == []
    assert datasets.reports(workspace) == []
    write(log, [3])
    assert settle(watch) == "waits for a session"
    (session,) = queued(workspace)
    assert questions(workspace, session.spec().dataset) == [f"What is thing {n}?" for n in (1, 2, 3)]


def test_a_session_is_gated_exported_and_verified_with_the_settings_that_were_chosen(
    workspace, log, clock, said, started
):
    wanted = order(log, preset="quick", learning_rate=2e-5, replay_share=0.3, publish="always")
    watch = begin(workspace, wanted, clock, said)
    write(log, [1, 2, 3])
    settle(watch)
    (session,) = queued(workspace)
    spec = session.spec()
    assert (spec.settings.preset, spec.settings.learning_rate, spec.settings.replay_share) == (
        "quick",
        2e-5,
        0.3,
    )
    assert (spec.settings.publish, spec.export, spec.verify) == ("gate", True, True)
    assert spec.variants == ("fp32", "int8")
    assert started == [session]


def test_rows_that_were_not_accepted_never_train(watch, log, workspace):
    for value in (False, None, "false", "no", 0, "", [], {}):
        write(log, range(10, 15), accepted=value)
    write(log, [1], accepted=True)
    write(log, [2])
    assert settle(watch) == "waits for examples"
    write(log, [3], accepted=True)
    settle(watch)
    (session,) = queued(workspace)
    assert questions(workspace, session.spec().dataset) == [f"What is thing {n}?" for n in (1, 2, 3)]
    rows = datasets.rows_of(workspace, session.spec().dataset)
    assert all("accepted" not in row.extra for row in rows)
    assert "are not marked as accepted, and never taught." in watch_state(workspace).notes[0]


def test_in_a_table_an_empty_cell_is_no_approval(workspace, tmp_path, clock, said):
    table = tmp_path / "talks.csv"
    rows = ["a,the answer a.,TRUE", "b,the answer b.,", "c,the answer c.,false", "d,the answer d.,yes"]
    table.write_text("\n".join(["question,answer,Accepted", *rows, ""]))
    watch = begin(workspace, order(table, 2), clock, said)
    assert settle(watch) == "waits for a session"
    assert questions(workspace, queued(workspace)[0].spec().dataset) == ["a", "d"]


def test_a_half_last_line_waits_for_its_end(watch, log, workspace):
    write(log, [1, 2])
    with log.open("a", encoding="utf-8") as file:
        file.write('{"input": "What is thing 3?", "output": "Thing')
    assert settle(watch) == "waits for examples"
    now = watch_state(workspace)
    assert (now.waiting, now.notes) == (2, ())
    with log.open("a", encoding="utf-8") as file:
        file.write(' 3 is whole."}')  # and no line end
    settle(watch)
    assert len(datasets.rows_of(workspace, queued(workspace)[0].spec().dataset)) == 3


def test_a_line_that_ends_in_half_a_letter_changes_no_other_row(watch, log, workspace):
    umlauts = [
        json.dumps({"input": f"Größe {n}?", "output": f"Übergröße {n} ist da."}, ensure_ascii=False)
        for n in range(2)
    ]
    log.write_bytes("\n".join([*umlauts, '{"input": "Grö']).encode()[:-1])
    settle(watch)
    write(log.with_name("talks.jsonl"), [])
    assert watch_state(workspace).waiting == 2
    log.write_bytes("\n".join([*umlauts, umlauts[0].replace("0", "9"), ""]).encode())
    settle(watch)
    asked = questions(workspace, queued(workspace)[0].spec().dataset)
    assert asked == ["Größe 0?", "Größe 1?", "Größe 9?"]


def test_the_last_line_of_a_table_counts_once_nobody_writes_any_more(workspace, tmp_path, clock, said):
    table = tmp_path / "talks.csv"
    table.write_text("question,answer\na,the answer a.\nb,the ans")
    watch = begin(workspace, order(table, 2), clock, said)
    settle(watch)
    assert watch_state(workspace).waiting == 1
    table.write_text("question,answer\na,the answer a.\nb,the answer b.")
    settle(watch)
    assert watch_state(workspace).waiting == 1
    clock.wait(60)
    assert settle(watch) == "waits for a session"
    assert [row.output for row in datasets.rows_of(workspace, "talks-batch-1")] == [
        "the answer a.",
        "the answer b.",
    ]


def test_rows_that_are_not_fit_are_left_out_and_said(watch, log, workspace, said):
    write(log, [1, 2])
    with log.open("a", encoding="utf-8") as file:
        file.write('{"input": "What is thing 3?", "output": ""}\n')
        file.write('{"input": "Say it!", "output": "Say it!"}\n')
        file.write("this is no row\n")
    assert settle(watch) == "waits for examples"
    assert watch_state(workspace).waiting == 2
    assert any("3 examples are not fit to be taught: the first is row 3" in sentence for sentence in said)


def test_a_row_is_used_once_however_often_it_is_written(watch, log, workspace):
    write(log, [1, 1, 2, 1])
    with log.open("a", encoding="utf-8") as file:
        file.write('{"input": " what IS thing   2? ", "output": "thing 2 is a THING of kind 2."}\n')
    settle(watch)
    assert watch_state(workspace).waiting == 2
    write(log, [3])
    settle(watch)
    (session,) = queued(workspace)
    end(session, verdict="published")
    write(log, [1, 2, 3, 3, 2, 1])
    assert settle(watch) == "waits for examples"
    assert watch_state(workspace).waiting == 0


def test_what_the_model_was_taught_by_another_session_is_not_new(watch, log, workspace):
    lesson, held = make_line(workspace, ["databases", "kitchen"], hold_last=True)
    write_jsonl(log, [*rows_of(lesson, 2), *rows_of(held, 2)])
    assert settle(watch) == "waits for examples"
    assert watch_state(workspace).waiting == 2  # what was held back is not in the current model


def test_questions_that_are_kept_back_do_not_count(watch, log, workspace):
    write(log, [1, 2, 3])
    held = reading.parse(log).conversations[0].input_fingerprint
    workspace.root.mkdir(exist_ok=True)
    workspace.register.write_text(f"held {held} some-session\n")
    assert settle(watch) == "waits for examples"
    now = watch_state(workspace)
    assert now.waiting == 2
    assert now.notes == ("1 example asks a question set aside for testing, and cannot be taught.",)


# --- a file that changes under it -----------------------------------------------------------------


def test_a_file_that_is_not_there_or_cannot_be_read_is_said_and_not_fatal(watch, log, workspace, said):
    assert settle(watch) == "waits for examples"
    assert "cannot be read: no such file" in watch_state(workspace).notes[0]
    log.write_text("")
    settle(watch)
    assert watch_state(workspace).notes == ()
    log.write_bytes(b"\x89PNG and more\n")
    settle(watch)
    assert "is a picture" in watch_state(workspace).notes[0]
    log.unlink()
    log.mkdir()
    settle(watch)
    assert "is a directory" in watch_state(workspace).notes[0]
    log.rmdir()
    write(log, [1, 2, 3])
    assert settle(watch) == "waits for a session"
    now = watch_state(workspace)
    assert (now.failures, now.stopped) == ((), "")
    assert sum("is a picture" in sentence for sentence in said) == 1


def test_a_file_may_shrink_and_be_replaced_and_no_row_is_used_twice(watch, log, workspace):
    write(log, [1, 2, 3])
    settle(watch)
    (first,) = queued(workspace)
    end(first, verdict="published")
    log.unlink()
    write(log, [3, 4])
    assert settle(watch) == "waits for examples"
    assert watch_state(workspace).waiting == 1
    log.unlink()
    write(log, [5, 1, 6, 2, 4])
    settle(watch)
    (second,) = queued(workspace)
    assert questions(workspace, second.spec().dataset) == [f"What is thing {n}?" for n in (5, 6, 4)]


# --- one batch after the other --------------------------------------------------------------------


def test_it_waits_behind_others_and_the_next_batch_waits_for_its_end(watch, log, workspace, tmp_path, said):
    other = submit.submit_training(
        workspace, add_dataset(workspace, write_lesson(tmp_path / "a.json")), sessions.Settings()
    )
    write(log, [1, 2, 3])
    settle(watch)
    ahead, own = queued(workspace)
    assert ahead == other
    assert any(f"{own.id} waits for its turn, behind 1 more" in sentence for sentence in said)
    write(log, [4, 5, 6])
    assert settle(watch) == "waits for a session"
    assert len(queued(workspace)) == 2
    end(other, verdict="published")
    assert settle(watch) == "waits for a session"
    end(own, verdict="published")
    assert settle(watch) == "waits for a session"
    (following,) = queued(workspace)
    assert questions(workspace, following.spec().dataset) == [f"What is thing {n}?" for n in (4, 5, 6)]


def test_over_restarts_each_row_is_in_one_dataset(watch, log, workspace):
    taught = []
    for number in range(30):
        write(log, [number, max(0, number - 1)])
        while watch_state(workspace).on and (look := (watch := again(watch)).step()) == "did something":
            pass
        if look == "waits for a session":
            (session,) = queued(workspace)
            taught += questions(workspace, session.spec().dataset)
            end(session, verdict=("published", "held", "discarded")[number % 3])
    settle(watch)
    assert len(taught) == len(set(taught)) == 30


@pytest.mark.parametrize("verdict", ["held", "discarded"])
def test_what_the_gate_held_counts_as_used_and_the_watch_goes_on(watch, log, workspace, said, verdict):
    write(log, [1, 2, 3])
    settle(watch)
    (session,) = queued(workspace)
    end(session, verdict=verdict, verdict_reason="It forgot databases.")
    assert settle(watch) == "waits for examples"
    now = watch_state(workspace)
    assert (now.on, now.waiting, now.failures, now.batches[0].outcome) == (True, 0, (), verdict)
    assert session.status().verdict == verdict
    if verdict == "held":
        assert "✋ 3 examples taught, and nothing is published: It forgot databases." in said[-2]


def test_what_a_person_decided_later_is_shown(watch, log, workspace):
    write(log, [1, 2, 3])
    settle(watch)
    (session,) = queued(workspace)
    end(session, verdict="held", verdict_reason="It forgot databases.")
    settle(watch)
    end(session, verdict="published")
    ((number, batch, record),) = latest_lesson(workspace)
    assert (number, batch.outcome) == (1, "held")
    assert what_became(batch, record) == ("✅", "3 examples taught, and the new model is published.")


# --- failures -------------------------------------------------------------------------------------


def test_rows_of_a_failed_session_are_tried_again_after_a_pause_with_those_that_came_since(
    watch, log, workspace, clock
):
    write(log, [1, 2, 3])
    settle(watch)
    fail(queued(workspace)[0])
    write(log, [4])
    assert settle(watch) == "waits for examples"
    assert queued(workspace) == []
    clock.wait(59)
    settle(watch)
    assert queued(workspace) == []
    clock.wait(1)
    settle(watch)
    (session,) = queued(workspace)
    assert questions(workspace, session.spec().dataset) == [f"What is thing {n}?" for n in (1, 2, 3, 4)]
    end(session, verdict="published")
    settle(watch)
    now = watch_state(workspace)
    assert (now.failures, now.waiting, now.not_before) == ((), 0, None)


def test_five_failures_in_a_row_stop_it_and_switching_on_begins_anew(watch, log, workspace, clock, said):
    write(log, [1, 2, 3])
    pauses = []
    for number in range(5):
        settle(watch)
        fail(queued(workspace)[0], f"The disk is full for the {number}th time.")
        watch = again(watch)
        settle(watch)
        pauses.append((watch_state(workspace).not_before - clock.now) / timedelta(minutes=1))
        clock.wait(3600)
    assert pauses == [1, 2, 4, 8, 16]
    now = watch_state(workspace)
    assert not now.on
    assert len(now.failures) == 5
    assert "5 tries in a row failed" in now.stopped
    assert "The disk is full for the 4th time. Free some space." in now.stopped
    assert queued(workspace) == []
    watch = begin(workspace, now.order, clock, said)
    assert settle(watch) == "waits for a session"
    now = watch_state(workspace)
    assert (now.on, now.failures, now.stopped) == (True, (), "")
    assert len(queued(workspace)) == 1


def test_a_session_that_went_well_ends_the_row_of_failures(watch, log, workspace, clock):
    write(log, [1, 2, 3])
    for ended in ("failed", "failed", "failed", "failed", "held", "failed"):
        settle(watch)
        if ended == "held":
            end(queued(workspace)[0], verdict="held")
            write(log, [4, 5, 6])
        else:
            fail(queued(workspace)[0])
        settle(watch)
        clock.wait(3600)
        settle(watch)
    assert watch_state(workspace).on


def test_what_cannot_even_be_queued_is_a_failure_and_the_same_rows_are_tried_again(
    watch, log, workspace, clock
):
    write(log, [1, 2, 3])
    workspace.queue.mkdir(parents=True)  # nothing can be written there
    assert settle(watch) == "waits for a session"
    assert len(watch_state(workspace).failures) == 1
    workspace.queue.rmdir()
    clock.wait(60)
    settle(watch)
    (session,) = queued(workspace)
    assert len(sessions.read_history(workspace)) == 1
    end(session, verdict="published")
    settle(watch)
    assert watch_state(workspace).failures == ()


def test_a_new_model_whose_onnx_model_failed_was_taught_all_the_same(watch, log, workspace, clock, said):
    write(log, [1, 2, 3])
    settle(watch)
    fail(queued(workspace)[0], "The ONNX model answers differently.", verdict="published")
    settle(watch)
    now = watch_state(workspace)
    assert (now.batches[0].outcome, len(now.failures)) == ("published", 1)
    clock.wait(3600)
    assert settle(watch) == "waits for examples"
    assert watch_state(workspace).waiting == 0
    assert any("The ONNX model answers differently." in sentence for sentence in said)


def test_an_interrupted_session_goes_on_after_a_pause(watch, log, workspace, clock):
    write(log, [1, 2, 3])
    settle(watch)
    (session,) = queued(workspace)
    end(session, "running", ended=None)  # and no worker holds its lock
    assert settle(watch) == "waits for a session"
    now = watch_state(workspace)
    assert len(now.failures) == 1
    settle(again(watch))
    assert len(watch_state(workspace).failures) == 1
    assert queued(workspace) == []
    clock.wait(60)
    settle(again(watch))
    assert queued(workspace) == [session]
    end(session, verdict="published")
    settle(watch)
    assert watch_state(workspace).failures == ()
    assert len(sessions.read_history(workspace)) == 1


def test_a_session_that_a_person_stopped_stops_the_watch_and_loses_no_row(watch, log, workspace, clock, said):
    write(log, [1, 2, 3])
    settle(watch)
    (session,) = queued(workspace)
    sessions.stop(workspace, session)
    assert settle(watch) == "off"
    now = watch_state(workspace)
    assert "was stopped by hand" in now.stopped
    assert now.failures == ()
    sessions.resume(workspace, session)
    watch = begin(workspace, now.order, clock, said)
    assert settle(watch) == "waits for examples"  # a person resumed it: its rows are in use
    sessions.stop(workspace, session)
    assert settle(watch) == "waits for examples"  # it may be resumed once more
    taught = questions(workspace, session.spec().dataset)
    archive.delete(workspace, session)
    assert settle(watch) == "waits for a session"
    (other,) = queued(workspace)
    assert questions(workspace, other.spec().dataset) == taught


def test_a_session_that_was_deleted_leaves_its_rows_used(watch, log, workspace):
    write(log, [1, 2, 3])
    settle(watch)
    (session,) = queued(workspace)
    sessions.dequeue(workspace, session.id)
    shutil.rmtree(session.folder)
    assert settle(watch) == "waits for examples"
    now = watch_state(workspace)
    assert (now.waiting, now.batches[0].outcome) == (0, "gone")


# --- corrections ----------------------------------------------------------------------------------


def give(workspace, number, approved=True):
    found = feedback.give(
        workspace,
        question=f"What is thing {number}?",
        answer="I do not know.",
        kind="corrected",
        correction=f"Thing {number} is a thing of kind {number}.",
    )
    if approved:
        feedback.approve(workspace, found.id)


def test_approved_corrections_are_taught_once(workspace, clock, said):
    watch = begin(workspace, order(None, 2), clock, said)
    give(workspace, 1)
    give(workspace, 2, approved=False)
    assert settle(watch) == "waits for examples"
    give(workspace, 3)
    settle(watch)
    (session,) = queued(workspace)
    assert questions(workspace, session.spec().dataset) == ["What is thing 1?", "What is thing 3?"]
    end(session, verdict="held")
    give(workspace, 4)
    assert settle(watch) == "waits for examples"
    assert watch_state(workspace).waiting == 1
    give(workspace, 5)
    settle(watch)
    (session,) = queued(workspace)
    assert questions(workspace, session.spec().dataset) == ["What is thing 4?", "What is thing 5?"]


def test_corrections_of_a_failed_session_are_tried_again(workspace, clock, said):
    watch = begin(workspace, order(None, 2), clock, said)
    give(workspace, 1)
    give(workspace, 2)
    settle(watch)
    fail(queued(workspace)[0])
    settle(watch)
    clock.wait(60)
    settle(watch)
    (session,) = queued(workspace)
    assert len(questions(workspace, session.spec().dataset)) == 2
    end(session, verdict="published")
    assert settle(watch) == "waits for examples"


# --- the loop -------------------------------------------------------------------------------------


def test_it_lives_until_it_is_switched_off(workspace, log, clock, said):
    write(log, [1, 2, 3])

    def wait(seconds):
        clock.wait(seconds)
        for session in queued(workspace):
            end(session, verdict="published")
        batches = watch_state(workspace).batches
        if batches and batches[-1].outcome:
            switch_off(workspace)

    last = run_watch(workspace, order(log), say=said.append, wait=wait, clock=clock)
    assert (last.on, last.batches[0].outcome) == (False, "published")
    assert said[0].startswith("👀 Watching the file")
    assert said[-1] == "⏹️ Switched off."
    assert not is_alive(workspace)


def test_once_follows_what_comes_of_one_look(workspace, log, clock, said):
    def wait(seconds):
        clock.wait(seconds)
        for session in queued(workspace):
            end(session, verdict="published")

    write(log, [1, 2])
    last = run_watch(workspace, order(log), once=True, say=said.append, wait=wait, clock=clock)
    assert (last.on, last.batches) == (False, ())
    write(log, [3])
    last = run_watch(workspace, order(log), once=True, say=said.append, wait=wait, clock=clock)
    assert (last.on, last.batches[0].outcome, last.failures) == (False, "published", ())


def test_once_ends_with_the_first_failure(workspace, log, clock, said):
    def wait(seconds):
        clock.wait(seconds)
        for session in queued(workspace):
            fail(session)

    write(log, [1, 2, 3])
    last = run_watch(workspace, order(log), once=True, say=said.append, wait=wait, clock=clock)
    assert (last.on, len(last.failures)) == (False, 1)


def test_a_workspace_has_one_watch_only(workspace, log, said):
    held = LifeLock(workspace.root / "watch.lock")
    held.acquire()
    try:
        assert is_alive(workspace)
        with pytest.raises(BusyError, match="is watched already"):
            run_watch(workspace, order(log), say=said.append)
        assert not watch_state(workspace).on
    finally:
        held.release()


def test_where_one_may_only_look_nothing_is_watched(workspace, log, said, monkeypatch):
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    for act in (
        lambda: switch_on(workspace, order(log)),
        lambda: switch_off(workspace),
        lambda: run_watch(workspace, order(log), say=said.append),
    ):
        with pytest.raises(ViewOnlyError):
            act()
    assert not workspace.root.exists()


def test_an_order_that_cannot_be_is_refused_in_words(workspace, log, tmp_path):
    for changes, words in (
        ({"at_least": 0}, "The number of examples cannot be 0. Choose a number greater than or equal to 1."),
        ({"every": 0.1}, "The time between two checks cannot be 0.1."),
        ({"file": tmp_path}, "is a folder, not a file."),
    ):
        with pytest.raises(RequestError) as error:
            order_of(**{"file": log, "at_least": 3, "every": 30, "settings": sessions.Settings(), **changes})
        assert words in error.value.sentence
    with pytest.raises(RequestError, match="learning rate"):
        switch_on(workspace, order(log, learning_rate=0.5))
    assert not watch_state(workspace).on


def test_a_damaged_state_is_never_taken_for_an_empty_one(watch, workspace):
    (workspace.root / "watch.json").write_text("{}x")
    with pytest.raises(WorkspaceError, match=r"watch\.json is damaged"):
        watch_state(workspace)
    with pytest.raises(WorkspaceError, match="damaged"):
        watch.step()


# --- a process of its own -------------------------------------------------------------------------


def until(true, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_switched_on_it_lives_by_itself_and_killed_it_is_shown_as_ended(workspace, log):
    switch_on(workspace, order(log))
    try:
        until(lambda: is_alive(workspace))
        until(lambda: watch_state(workspace).notes)  # there is no such file
        now = watch_state(workspace)
        identity = processes.ProcessIdentity(now.pid, now.pid_created, now.host)
        assert processes.is_alive(identity)
        assert now.pid != os.getpid()
        switch_on(workspace, order(log, 4))  # while it lives, the order is changed
        assert watch_state(workspace).pid == now.pid
        os.kill(now.pid, signal.SIGKILL)
        until(lambda: not is_alive(workspace))
        later = watch_state(workspace)
        assert (later.on, later.order.at_least) == (True, 4)
        assert standing(later, alive=False, starting=False)[0] == "ended"
        switch_on(workspace, later.order)
        until(lambda: is_alive(workspace) and watch_state(workspace).pid != now.pid)
    finally:
        switch_off(workspace)
        until(lambda: all(process.poll() is not None for process in processes._started))
    assert not is_alive(workspace)
    assert "Switched off." in log_of(workspace).read_text(encoding="utf-8")


# --- the command ----------------------------------------------------------------------------------


def run(capsys, *words):
    code = app.main(list(words))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_the_command_says_what_happens_and_ctrl_c_leaves_the_session_running(
    workspace, log, capsys, monkeypatch
):
    monkeypatch.setenv("SAILS_WORKSPACE", str(workspace.root))
    write(log, [1, 2])

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    code, out = run(capsys, "watch", "--data-file", str(log), "--at-least", "2")
    assert code == 0
    (session,) = queued(workspace)
    assert "2 examples will be taught" in out
    assert f"The watch has ended. Session {session.id} goes on by itself" in out
    assert not watch_state(workspace).on
    code, out = run(capsys, "daemon", "--status")
    assert (code, "It is switched off." in out, session.id in out) == (0, True, True)


def test_the_status_can_be_read_by_programs_and_changes_nothing(workspace, watch, log, capsys):
    write(log, [1, 2])
    settle(watch)
    before = (workspace.root / "watch.json").read_bytes()
    code, out = run(capsys, "watch", "--status", "--json", "--workspace", str(workspace.root))
    found = json.loads(out)
    assert (code, found["standing"], found["on"], found["waiting"]) == (0, "starting", True, 2)
    assert (workspace.root / "watch.json").read_bytes() == before
    code, out = run(capsys, "watch", "--stop", "--workspace", str(workspace.root))
    assert (code, "switched off" in out) == (0, True)
    assert not watch_state(workspace).on


@pytest.mark.parametrize(
    "words",
    [
        ("--corrections", "--data-file", "x.jsonl"),
        ("--at-least", "0"),
        ("--every", "0"),
        ("--learning-rate", "1"),
        ("--replay-share", "2"),
        ("--data-file", "."),
        ("--data-file", "nothing.jsonl", "--once"),
    ],
)
def test_a_wrong_request_is_one_sentence(workspace, capsys, words):
    code, out = run(capsys, "watch", "--workspace", str(workspace.root), *words)
    assert code == 2
    assert len(out.strip().splitlines()) == 1
    assert not workspace.root.exists()


# --- with a real model ----------------------------------------------------------------------------


def test_a_real_lesson_is_taught_and_exported_and_what_the_gate_holds_is_never_published(
    workspace, tmp_path, clock, said, monkeypatch
):
    """One lesson goes well; then rubbish at a high rate makes the model forget it."""
    monkeypatch.setattr(launcher, "start_worker", run_worker)
    make_tiny_model(workspace.trained_model, "llama")
    good, bad = (tmp_path / name for name in ("good.json", "bad.json"))
    write_lesson(good, 30)
    numbers = [
        {"input": f"{n} {n * n}?", "output": f"{n * 7919 % 1000} {n * 104729 % 997}"} for n in range(1, 31)
    ]
    bad.write_text(json.dumps(numbers))
    before = workspace.situation().trained.fingerprint
    wanted = order(good, 10, learning_rate=5e-3, epochs=15)
    last = run_watch(workspace, wanted, once=True, say=said.append, wait=clock.wait, clock=clock)
    assert last.batches[-1].outcome == "published", said
    situation = workspace.situation()
    assert situation.trained.fingerprint != before
    assert (situation.onnx.present, situation.onnx.stale) == (True, False)
    wanted = order(bad, 10, learning_rate=1e-2, epochs=12, replay_share=0.0)
    last = run_watch(workspace, wanted, once=True, say=said.append, wait=clock.wait, clock=clock)
    assert last.batches[-1].outcome == "held", said
    assert workspace.situation().trained.fingerprint == situation.trained.fingerprint
    assert sessions.read_history(workspace)[-1].status.verdict == "held"
    assert sum(len(batch.rows) for batch in last.batches) == 60
