"""Backup, restore and repair killed anywhere: nothing is half under its name, and nothing is lost."""

import shutil
from pathlib import Path

import pytest

from sails import doctor, sessions, system
from sails.doctor import back_up, backup, examine, read_backup, repair, restore, snapshot
from sails.models import VERSION_RECORD, Workspace, list_versions, rescue
from sails.models.journal import journal_of
from sails.models.publish import publish_model
from sails.models.versions import Provenance
from sails.sessions import repair as session_repair
from tests.support.folders import fingerprint_of, make_model
from tests.support.killing import deaths, folder_in_memory
from tests.support.situations import make_session

OUR_LINES = (backup, snapshot, system.files)


@pytest.fixture
def disk():
    with folder_in_memory() as folder:
        workspace = Workspace.open(folder / "disk" / "w")
        for seed, name in ((1, "old"), (2, "new")):
            make_model(folder / name, seed)
            publish_model(workspace, folder / name, Provenance(session=name, created="2026-01-05T09:00:00Z"))
        yield folder


def workspace_on(disk: Path) -> Workspace:
    return Workspace.open(disk / "disk" / "w")


def remember(disk: Path):
    """Keeps what lies there now, and gives what brings it back."""
    shutil.copytree(disk / "disk", disk / "kept", dirs_exist_ok=True)

    def again():
        shutil.rmtree(disk / "disk")
        shutil.copytree(disk / "kept", disk / "disk")

    return again


def models_of(workspace: Workspace) -> set[str | None]:
    earlier = {version.fingerprint for version in list_versions(workspace)}
    return {workspace.situation().trained.fingerprint, *earlier}


def test_a_backup_killed_anywhere_is_whole_or_not_there_and_the_workspace_is_as_it_was(disk):
    workspace, file = workspace_on(disk), disk / "disk" / "b.zip"
    known, names = models_of(workspace), sorted(path.name for path in workspace.root.iterdir())
    seen = set()
    for death in deaths(remember(disk), lambda: back_up(workspace, file), OUR_LINES, disk / "disk"):
        seen.add(file.exists())
        if file.exists():
            assert read_backup(file).contents.fingerprint == workspace.situation().trained.fingerprint, death
        assert models_of(workspace) == known, death
        assert examine(workspace).wrong == (), death
        back_up(workspace, file)
        shown = sorted(path.name for path in workspace.root.iterdir() if path.suffix != ".lock")
        assert shown == [name for name in names if not name.endswith(".lock")], death
        assert [path.name for path in (disk / "disk").glob(".*")] == [], death
    assert seen == {True, False}
    assert death.number > 50


def test_a_backup_killed_while_it_replaces_an_earlier_one_leaves_one_of_the_two(disk):
    workspace, file = workspace_on(disk), disk / "disk" / "b.zip"
    back_up(workspace, file)
    (workspace.root / "acts.jsonl").write_text("{}\n")
    seen = set()
    for death in deaths(remember(disk), lambda: back_up(workspace, file), OUR_LINES, disk / "disk"):
        seen.add("acts.jsonl" in read_backup(file).contents.files)
        assert [path.name for path in (disk / "disk").iterdir() if path.suffix == ".zip"], death
        shutil.rmtree(disk / "disk" / "copy", ignore_errors=True)
        restore(file, disk / "disk" / "copy")
    assert seen == {True, False}
    assert death.survived


def test_a_restore_killed_anywhere_leaves_a_whole_workspace_or_none(disk):
    workspace, file = workspace_on(disk), disk / "disk" / "b.zip"
    target = disk / "disk" / "copy"
    back_up(workspace, file)
    known, seen = models_of(workspace), set()
    for death in deaths(remember(disk), lambda: restore(file, target), OUR_LINES, disk / "disk"):
        seen.add(target.exists())
        if not target.exists():
            restore(file, target)
        assert models_of(Workspace.open(target)) == known, death
        assert models_of(workspace) == known, death
        assert examine(Workspace.open(target)).wrong == (), death
        assert [path.name for path in (disk / "disk").glob(".*")] == [], death
    assert seen == {True, False}
    assert death.number > 50


def damage(workspace: Workspace) -> None:
    """A damaged journal with the former model beside it, a version without a note, and a broken session."""
    make_model(workspace.root / ".trained_model.previous-x.4194303-1700000000", 7)
    journal_of(workspace.trained_model).write_text("{ half")
    (version,) = workspace.versions.iterdir()
    (version / VERSION_RECORD).write_text("{")
    session = make_session(workspace, "held", 11)
    make_model(session.model, 9)
    for name in ("spec.json", "status.json"):
        (session.folder / name).write_text("{")


def test_a_repair_killed_anywhere_loses_nothing_and_is_finished_by_the_next(disk):
    workspace = workspace_on(disk)
    damage(workspace)
    found = examine(workspace).wrong
    lines = (rescue, session_repair, doctor.checkup, system.files)
    wanted = models_of(workspace) | {fingerprint_of(next(workspace.root.glob(".trained_model.previous-*")))}
    wanted |= {fingerprint_of(folder) for folder in workspace.versions.iterdir()}
    for death in deaths(remember(disk), lambda: repair(workspace, found), lines, disk / "disk"):
        assert workspace.situation().trained.complete, death
        outcome = repair(workspace, examine(workspace).wrong)
        assert outcome.failed == [], death
        assert examine(workspace).wrong == (), death
        assert models_of(workspace) == wanted, death
        (record,) = sessions.read_history(workspace)
        assert (record.status.verdict, record.session.model.exists()) == ("held", True), death
    assert death.number > 50
