"""What a person decides about a candidate that was held back."""

import json

import pytest

from sails import retention, sessions
from sails.data import write_jsonl
from sails.errors import BusyError, RequestError, ViewOnlyError
from sails.jobs import candidates
from sails.models.workspace import Workspace
from sails.retention.schema import GENERAL, Decision, GateFinding
from sails.sessions import Status
from sails.system import access
from sails.system.locks import LifeLock
from tests.support.folders import fingerprint_of, make_model
from tests.support.helpers import add_dataset, queue_training, write_lesson
from tests.support.situations import make_line, make_session, published, rows_of


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def held(workspace):
    make_model(workspace.trained_model, seed=1)
    session = make_session(workspace, "worse")
    fingerprint = fingerprint_of(make_model(session.model, seed=2))
    status = published(verdict="held", verdict_reason="It forgot databases.", fingerprint=fingerprint)
    session.write_status(Status.model_validate(status))
    return session


def test_a_discarded_candidate_stays_and_so_does_the_current_model(workspace, held):
    before = workspace.situation().trained.fingerprint
    candidates.discard(workspace, held)
    status = held.status()
    assert (status.verdict, status.verdict_reason) == ("discarded", "It forgot databases.")
    assert workspace.situation().trained.fingerprint == before
    assert fingerprint_of(held.model) == status.fingerprint


def test_a_discarded_candidate_can_still_be_made_current(workspace, held):
    candidates.discard(workspace, held)
    candidates.publish_held(workspace, held)
    assert held.status().verdict == "published"
    assert workspace.situation().trained.fingerprint == held.status().fingerprint


def test_only_a_held_candidate_is_discarded(workspace, held):
    candidates.discard(workspace, held)
    with pytest.raises(RequestError, match="holds no candidate"):
        candidates.discard(workspace, held)
    empty = make_session(workspace, "empty", 10, **published(verdict="held"))
    with pytest.raises(RequestError, match="holds no candidate"):
        candidates.discard(workspace, empty)


def test_nothing_is_discarded_while_a_session_trains_or_where_one_may_only_look(workspace, held, monkeypatch):
    lock = LifeLock(workspace.training_lock)
    lock.acquire()
    with pytest.raises(BusyError):
        candidates.discard(workspace, held)
    lock.release()
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    with pytest.raises(ViewOnlyError):
        candidates.discard(workspace, held)
    assert held.status().verdict == "held"


@pytest.mark.parametrize(
    ("share", "more"),
    [(0.0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.85), (0.85, 0.9), (0.88, 0.9), (0.9, None)],
)
def test_more_replay_goes_half_way_to_the_highest(share, more):
    assert candidates.higher("replay_share", share) == more


@pytest.mark.parametrize(("share", "more"), [(0.0, 0.3), (0.3, 0.4), (0.4, 0.45), (0.45, 0.5), (0.5, None)])
def test_more_protection_goes_half_way_to_the_highest(share, more):
    assert candidates.higher("protect", share) == more


def lost_general(session, *others):
    """Let the gate have found that the session lost general knowledge, beside what it found already."""
    found = retention.read_retention(session)
    lost = GateFinding(lessons=(GENERAL,), rows=77, before=100, after=80, low=-25, high=-15, lost=True)
    kept = found.decision.findings if others else ()
    decision = Decision(held=True, reason="It forgot.", findings=(*kept, lost))
    retention.write_retention(session, found.model_copy(update={"decision": decision}))


def test_who_lost_general_knowledge_is_taught_again_with_more_protection(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    dataset = add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    *_, held = make_line(workspace, ["rivers", "mountains"], hold_last=True)
    spec = json.loads((held.folder / "spec.json").read_text()) | {"dataset": dataset}
    (held.folder / "spec.json").write_text(json.dumps(spec))
    lost_general(held)
    record = sessions.record(held)
    assert candidates.settings_to_try(workspace, record) == {"protect": 0.4}
    assert candidates.train_again(workspace, record).spec().settings.protect == 0.4


def test_a_first_lesson_that_lost_general_knowledge_has_more_protection_to_try(workspace):
    [held] = make_line(workspace, ["rivers"], hold_last=True)
    assert candidates.settings_to_try(workspace, sessions.record(held)) == {}
    lost_general(held)
    assert candidates.settings_to_try(workspace, sessions.record(held)) == {"protect": 0.4}


def test_who_lost_both_tries_both(workspace):
    *_, held = make_line(workspace, ["lakes", "rivers", "mountains"], lost=0.3, hold_last=True)
    lost_general(held, "earlier lessons")
    assert candidates.settings_to_try(workspace, sessions.record(held)) == {
        "protect": 0.4,
        "replay_share": 0.7,
    }


def test_the_lesson_is_taught_again_with_more_of_the_earlier_ones(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    dataset = add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    earlier = make_session(workspace, "rivers", **published())
    session = queue_training(workspace, dataset, None, monkeypatch=monkeypatch, name="Mountains", epochs=3)
    for lesson, rows in ((earlier, 60), (session, 20)):
        lesson.data.mkdir()
        write_jsonl(lesson.data / "train.jsonl", rows_of(lesson, rows))
    session.write_status(session.status().model_copy(update={"lessons": (earlier.id,)}))
    again = candidates.train_again(workspace, sessions.record(session)).spec()
    assert (again.dataset, again.settings.epochs, again.settings.replay_share) == (dataset, 3, 0.7)


def test_where_all_earlier_examples_are_repeated_already_more_is_not_offered(workspace):
    *_, held = make_line(workspace, ["rivers", "mountains"], lost=0.3, hold_last=True)
    record = sessions.record(held)
    assert record.spec.settings.replay_share == 0.5  # of forty and forty, each round has all
    assert candidates.settings_to_try(workspace, record) == {}
    with pytest.raises(RequestError, match="cannot repeat or protect more"):
        candidates.train_again(workspace, record)


def test_keeping_a_model_says_what_the_current_one_was_taught_since(workspace):
    first, _, third = make_line(workspace, ["rivers", "mountains", "lakes"])
    assert candidates.taught_since(workspace, sessions.record(first)) == ("mountains", "lakes")
    assert candidates.taught_since(workspace, sessions.record(third)) == ()


def test_who_repeats_the_most_already_is_told_what_else_helps(workspace, held):
    path = held.folder / "spec.json"
    spec = json.loads(path.read_text())
    spec["settings"]["replay_share"] = 0.9
    path.write_text(json.dumps(spec))
    with pytest.raises(RequestError, match="cannot repeat or protect more"):
        candidates.train_again(workspace, sessions.record(held))
