"""kill -9 at every line of the watch at which the disk changes: no row is lost, and none is taught twice."""

import os
import shutil
from collections import Counter

import pytest

from sails import sessions
from sails.chat import feedback
from sails.chat.feedback import dataset, events
from sails.data import datasets
from sails.data.reading import parse
from sails.jobs import launcher, submit
from sails.jobs.watch import loop, source, state, watch_state
from sails.jobs.watch.loop import Watch
from sails.models.workspace import Workspace
from sails.sessions import queue, session
from sails.system import files, locks
from tests.support.killing import deaths, folder_in_memory
from tests.support.watched import Clock, begin, end, fail, order, questions, queued, settle, write

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
CALLERS = (loop, state, datasets, submit, launcher, session, queue)
LINES = (*CALLERS, locks, files)  # also in the midst of writing one file


class Stage:
    """A watched workspace that is brought back to the same state for every death."""

    def __init__(self, folder, file=True):
        self.disk, self.remembered = folder / "disk", folder / "remembered"
        self.workspace = Workspace.open(self.disk / "workspace")
        self.file = self.disk / "talks.jsonl"
        self.clock, self.said = Clock(), []
        self.workspace.root.mkdir(parents=True)
        begin(self.workspace, order(self.file if file else None), self.clock, self.said)

    def remember(self):
        shutil.copytree(self.disk, self.remembered)

    def restore(self):
        shutil.rmtree(self.disk)
        shutil.copytree(self.remembered, self.disk)

    def go(self):
        """A process that watches until there is nothing to do but wait."""
        return settle(Watch(self.workspace, self.said.append, self.clock))

    def finish(self):
        """Started again: every session goes well, until nothing comes any more."""
        idle = 0
        while idle < 2:
            self.go()
            waiting = queued(self.workspace)
            for session_ in waiting:
                end(session_, verdict="published")
            idle = 0 if waiting else idle + 1
            self.clock.wait(3600)

    def taught(self):
        """How often each question is in a dataset whose session went well."""
        found = Counter()
        for record in sessions.read_history(self.workspace):
            if record.status.verdict:
                found.update(questions(self.workspace, record.spec.dataset))
        return found


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch):
    """And no process for each file that is read: it changes no disk, and takes most of the time."""
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    monkeypatch.setattr(source, "read", parse)


@pytest.fixture
def folder():
    with folder_in_memory() as found:
        yield found


def things(*numbers):
    return {f"What is thing {n}?": 1 for n in numbers}


def test_killed_anywhere_before_the_session_is_queued_its_rows_are_taught_once(folder):
    stage = Stage(folder)
    write(stage.file, [1, 2, 3])
    stage.remember()
    for death in deaths(stage.restore, stage.go, LINES, stage.disk):
        stage.finish()
        assert stage.taught() == things(1, 2, 3), death
        assert len(datasets.reports(stage.workspace)) == 1, death
        assert len(watch_state(stage.workspace).batches) == 1, death
        assert watch_state(stage.workspace).failures == (), death
    assert death.survived
    assert death.number > 100


def test_a_file_that_grew_between_death_and_restart_loses_and_repeats_nothing(folder):
    stage = Stage(folder)
    write(stage.file, [1, 2, 3])
    stage.remember()
    for death in deaths(stage.restore, stage.go, LINES, stage.disk):
        write(stage.file, [2, 4, 5, 6, 1])
        stage.finish()
        assert stage.taught() == things(1, 2, 3, 4, 5, 6), death


@pytest.mark.parametrize("verdict", ["held", None])
def test_killed_anywhere_while_a_session_ends_and_the_next_begins_no_row_is_taught_twice(folder, verdict):
    """Without a verdict the session has failed, and its rows go into the next one."""
    stage = Stage(folder)
    write(stage.file, [1, 2, 3])
    stage.go()
    (first,) = queued(stage.workspace)
    end(first, verdict=verdict) if verdict else fail(first)
    write(stage.file, [4, 5, 6])
    stage.remember()

    def act():
        stage.go()
        stage.clock.wait(3600)
        stage.go()

    for death in deaths(stage.restore, act, CALLERS, stage.disk):
        batches = watch_state(stage.workspace).batches
        if verdict is None and batches[0].outcome:
            assert len(watch_state(stage.workspace).failures) == 1, death
        stage.finish()
        assert stage.taught() == things(1, 2, 3, 4, 5, 6), death
        assert len(sessions.read_history(stage.workspace)) == 2, death


def test_killed_anywhere_an_interrupted_session_is_resumed_and_its_rows_are_in_no_other(folder):
    stage = Stage(folder)
    write(stage.file, [1, 2, 3])
    stage.go()
    end(queued(stage.workspace)[0], "running", ended=None)
    stage.remember()

    def act():
        stage.go()
        stage.clock.wait(3600)
        stage.go()

    for death in deaths(stage.restore, act, LINES, stage.disk):
        assert len(watch_state(stage.workspace).failures) <= 1, death
        stage.finish()
        assert stage.taught() == things(1, 2, 3), death
        assert len(sessions.read_history(stage.workspace)) == 1, death


def test_killed_anywhere_corrections_are_taught_once(folder):
    stage = Stage(folder, file=False)
    for number in (1, 2, 3):
        given = feedback.give(
            stage.workspace,
            question=f"What is thing {number}?",
            answer="I do not know.",
            kind="corrected",
            correction=f"Thing {number} is a thing of kind {number}.",
        )
        feedback.approve(stage.workspace, given.id)
    stage.remember()
    for death in deaths(stage.restore, stage.go, (*LINES, events, dataset), stage.disk):
        stage.finish()
        assert stage.taught() == things(1, 2, 3), death
        assert len(sessions.read_history(stage.workspace)) == 1, death
