"""What dead writers left is found and removed; what anybody may still write, or is somebody's, is spared."""

import os
import time
from pathlib import Path

import pytest

from sails.errors import ViewOnlyError
from sails.models import Workspace, find_leftovers, remove_leftovers
from sails.models.journal import journal_of, stage_path
from tests.support.folders import make_model

DEAD = 2**22 - 1  # no system gives this process id


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.open(tmp_path / "w")
    for folder in ("datasets/a", "sessions/s/data", "versions", "jobs/bundles"):
        (workspace.root / folder).mkdir(parents=True)
    return workspace


def put(path: Path, age: float) -> Path:
    """A file, or for a name that is a folder's one with a file in it, last changed so many seconds ago."""
    is_folder = path.name.endswith((".partial", ".deleted")) or ".staged-" in path.name
    if is_folder:
        path.mkdir(parents=True)
    file = path / "weights" if is_folder else path
    file.write_bytes(b"12345")
    for one in {file, path}:
        os.utime(one, (time.time() - age,) * 2)
    return path


def test_what_dead_writers_left_is_found_everywhere_and_removed(workspace):
    left = {
        put(workspace.root / name, 7200)
        for name in (
            f".queue.json.{DEAD}-140.tmp",
            f"sessions/s/.status.json.{DEAD}-140.tmp",
            f"sessions/s/data/.train.jsonl.{os.getpid()}-140.tmp",  # this process forgot it
            "sessions/.s2.deleted",
            "sessions/s/.model.partial",
            "datasets/.b.partial",
            "versions/.v.deleted",
            f"jobs/bundles/.model.zip.{DEAD}.part",
            f".trained_model.staged-s.{DEAD}-1700000000",
            f"..trained_model.staged-s.{DEAD}-1700000000.partial",
        )
    }
    found = find_leftovers(workspace)
    assert {leftover.path for leftover in found} == left
    assert remove_leftovers(workspace) == sum(leftover.size for leftover in found) == 5 * len(left)
    assert not any(path.exists() for path in left)
    assert find_leftovers(workspace) == []


def test_what_somebody_may_be_writing_is_spared(workspace):
    kept = [
        put(workspace.root / f".queue.json.{os.getpid()}-140.tmp", 600),
        put(workspace.root / f".queue.json.{DEAD}-140.tmp", 5),  # it may be written on another machine
        put(workspace.datasets / ".b.partial", 600),
        put(stage_path(workspace.trained_model, "s"), 7200),  # this process builds it
        put(workspace.root / f".queue.json.{DEAD}-141.tmp", -3600),  # the clock was set back meanwhile
    ]
    assert find_leftovers(workspace) == []
    remove_leftovers(workspace)
    assert all(path.exists() for path in kept)


def test_what_a_person_put_there_is_no_leftover(workspace):
    kept = [
        put(workspace.root / name, 10**6)
        for name in ("notes.tmp", ".hidden", ".git", "old.partial", "datasets/a/source.part", ".x.tmp")
    ]
    assert find_leftovers(workspace) == []
    assert all(path.exists() for path in kept)


def test_a_model_on_its_way_to_its_place_is_no_leftover(workspace):
    staged = workspace.root / f".trained_model.staged-s.{DEAD}-1700000000"
    make_model(staged)
    os.utime(staged, (1, 1))
    journal_of(workspace.trained_model).write_text("{}")
    assert find_leftovers(workspace) == []


def test_links_are_neither_followed_nor_removed(workspace, tmp_path):
    outside = put(tmp_path / "elsewhere" / ".a.deleted", 7200)
    (workspace.datasets / "link").symlink_to(outside.parent)
    (workspace.datasets / ".b.deleted").symlink_to(outside)
    (workspace.datasets / "circle").symlink_to(workspace.datasets / "circle")
    assert find_leftovers(workspace) == []
    assert outside.exists()


def test_nothing_is_removed_where_nothing_may_be_changed(workspace, monkeypatch):
    left = put(workspace.sessions / ".s2.deleted", 0)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        remove_leftovers(workspace)
    assert left.exists()
