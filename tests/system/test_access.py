"""Who may change what, and where."""

import pytest

from sails import sessions
from sails.data import datasets
from sails.errors import RequestError, ViewOnlyError
from sails.jobs import launcher, playback, submit
from sails.models import publish, versions
from sails.models.workspace import create_workspace
from sails.sessions import Settings, demo
from sails.system import access
from tests.support.folders import listing
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session, make_situation, published


@pytest.fixture
def place(tmp_path):
    workspace = make_situation(tmp_path / "workspace", 3)
    for topic in ("lesson", "other lesson"):
        add_dataset(workspace, write_lesson(tmp_path / f"{topic}.json", topic=topic))
    make_session(workspace, "good", **published())
    return workspace


CHANGES = {
    "add a dataset": lambda place, file: add_dataset(place, file),
    "rename a dataset": lambda place, _: datasets.rename(place, "lesson", "new name"),
    "delete a dataset": lambda place, _: datasets.delete(place, "lesson"),
    "combine datasets": lambda place, _: datasets.combine(place, ["lesson", "other-lesson"]),
    "train": lambda place, _: submit.submit_training(place, "lesson", Settings()),
    "stop": lambda place, _: sessions.stop(place, sessions.find(place, "good")),
    "resume": lambda place, _: sessions.resume(place, sessions.find(place, "good")),
    "replay": lambda place, _: playback.start_replay(place, sessions.find(place, "good")),
    "roll back": lambda place, _: publish.roll_back(place, "any"),
    "keep": lambda place, _: versions.pin(place, "any", pinned=True),
    "reset": lambda place, _: publish.unpublish(place),
    "make a workspace": lambda place, _: create_workspace(place.root.parent, "new"),
    "make a demo": lambda place, _: demo.make_demo(place),
}


@pytest.mark.parametrize("change", CHANGES)
def test_where_nothing_may_be_changed_every_change_is_refused_and_nothing_is_written(
    place, tmp_path, monkeypatch, change
):
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    before = listing(tmp_path)
    with pytest.raises(ViewOnlyError):
        CHANGES[change](place, tmp_path / "lesson.json")
    assert listing(tmp_path) == before


def test_who_only_looks_starts_nobody_elses_training(place, monkeypatch):
    sessions.enqueue(place, make_session(place, "waits", hour=10))
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    assert launcher.dispatch(place) is None
    assert sessions.waiting(place)[0].starts == 0


@pytest.mark.parametrize(("value", "only"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_view_only_is_switched_on_by_the_environment(monkeypatch, value, only):
    monkeypatch.setenv(access.VIEW_ONLY, value)
    assert access.view_only() is only


@pytest.mark.parametrize("name", ["", " ", ".", "..", "../x", "/etc", "a/../..", "a\0b"])
def test_a_folder_outside_the_root_is_refused(tmp_path, name):
    with pytest.raises(RequestError, match="does not lie in"):
        access.inside(tmp_path / "root", name)


def test_a_link_that_leads_outside_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path)
    with pytest.raises(RequestError, match="does not lie in"):
        access.inside(tmp_path / "root", "link/other")


def test_the_root_is_the_one_that_was_set_else_where_the_usual_workspace_lies(tmp_path, monkeypatch):
    assert access.allowed_root(tmp_path / "workspace") == tmp_path
    monkeypatch.setenv(access.ROOT, str(tmp_path / "all"))
    assert access.allowed_root(tmp_path / "workspace") == tmp_path / "all"
    assert access.inside(tmp_path / "all", "a/b") == tmp_path / "all/a/b"


def test_a_workspace_is_made_once(tmp_path):
    assert create_workspace(tmp_path, "team").is_dir()
    with pytest.raises(RequestError, match="there already"):
        create_workspace(tmp_path, "team")
