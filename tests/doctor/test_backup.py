"""A workspace in one file and back: whole, at one moment, at once or not at all; and files that do harm."""

import errno
import hashlib
import io
import itertools
import json
import os
import shutil
import stat
import time
import warnings
import zipfile
from pathlib import Path

import pytest

from sails import doctor, sessions, system
from sails.cli import app
from sails.data import BACKUP_CONTENTS, datasets, read
from sails.doctor import backup
from sails.doctor.backup import back_up, read_backup, restore
from sails.errors import (
    ConversationFileError,
    DiskFullError,
    RequestError,
    SailsError,
    ViewOnlyError,
    WorkspaceError,
)
from sails.models.publish import publish_model
from sails.models.versions import Provenance, list_versions
from sails.models.workspace import Workspace
from tests.support.folders import fingerprint_of, listing, make_model
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session, published


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """One with a current model, an earlier one, a session, a dataset, a conversation and a link."""
    workspace = Workspace.open(tmp_path / "w")
    for seed, name in ((1, "old"), (2, "new")):
        make_model(tmp_path / name, seed)
        publish_model(workspace, tmp_path / name, Provenance(session=name, created="2026-01-05T09:00:00Z"))
    add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    session = make_session(workspace, "databases", **published())
    (session.folder / "metrics.jsonl").write_text('{"step": 1}\n')
    (workspace.root / "prompts.json").write_text('{"prompts": []}')
    return workspace


def content_of(root: Path) -> dict[str, bytes]:
    """What is kept of a workspace: every file by its name, but what is hidden and what locks."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    names = {path.relative_to(root).as_posix(): path for path in files}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not any(part[0] == "." for part in name.split("/")) and path.suffix != ".lock"
    }


# --- round trip -----------------------------------------------------------------------------------


def test_what_comes_back_is_what_was_there_beside_the_original(workspace, tmp_path):
    made = back_up(workspace, tmp_path / "b.zip")
    assert made == read_backup(tmp_path / "b.zip")
    assert made.contents.fingerprint == fingerprint_of(workspace.trained_model)
    before = listing(workspace.root)
    restore(tmp_path / "b.zip", tmp_path / "elsewhere" / "copy")
    assert listing(workspace.root) == before
    copy = Workspace.open(tmp_path / "elsewhere" / "copy")
    assert content_of(copy.root) == content_of(workspace.root)
    for name in content_of(copy.root):
        assert (copy.root / name).stat().st_mtime_ns == (workspace.root / name).stat().st_mtime_ns
    assert copy.situation().trained.fingerprint == workspace.situation().trained.fingerprint
    assert [v.fingerprint for v in list_versions(copy)] == [v.fingerprint for v in list_versions(workspace)]
    (record,) = sessions.read_history(copy)
    assert record.spec.trained_model == copy.trained_model
    assert datasets.rows_of(copy, "mountains") == datasets.rows_of(workspace, "mountains")
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []
    assert [path for path in workspace.root.glob(".*") if path.suffix != ".lock"] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such modes")
def test_nobody_else_may_read_a_backup_or_what_comes_back(workspace, tmp_path):
    back_up(workspace, tmp_path / "b.zip")
    restore(tmp_path / "b.zip", tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "b.zip").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700


def test_an_earlier_backup_is_replaced_and_any_other_file_is_not(workspace, tmp_path):
    back_up(workspace, tmp_path / "b.zip")
    (workspace.root / "acts.jsonl").write_text("{}\n")
    assert "acts.jsonl" in back_up(workspace, tmp_path / "b.zip").contents.files
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(RequestError, match="is no backup"):
        back_up(workspace, tmp_path / "thesis.docx")
    assert (tmp_path / "thesis.docx").read_text() == "years of work"


def test_a_backup_of_another_workspace_is_not_replaced_even_of_one_with_the_same_name(workspace, tmp_path):
    back_up(workspace, tmp_path / "b.zip")
    (tmp_path / "team").mkdir()
    shutil.copytree(workspace.root, tmp_path / "team" / workspace.root.name)
    before = (tmp_path / "b.zip").read_bytes()
    with pytest.raises(RequestError, match="a workspace that lies elsewhere"):
        back_up(Workspace.open(tmp_path / "team" / workspace.root.name), tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == before


def test_a_backup_among_the_data_of_another_workspace_is_refused(workspace, tmp_path):
    shutil.copytree(workspace.root, tmp_path / "other")
    (tmp_path / "other/queue.json").touch()
    before = listing(tmp_path / "other")
    for place in ("other/sessions/b.zip", "other/queue.json"):
        with pytest.raises(WorkspaceError, match="among the data"):
            back_up(workspace, tmp_path / place)
    assert listing(tmp_path / "other") == before


def test_a_place_in_the_workspace_itself_a_folder_and_no_workspace_are_refused(workspace, tmp_path):
    (tmp_path / "door").symlink_to(workspace.root)
    for wrong in (
        workspace.root / "b.zip",
        workspace.sessions / "b.zip",
        tmp_path / "door" / "b.zip",
        tmp_path,
    ):
        with pytest.raises(RequestError):
            back_up(workspace, wrong)
    with pytest.raises(WorkspaceError, match="There is no workspace"):
        back_up(Workspace.open(tmp_path / "nowhere"), tmp_path / "b.zip")
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "b.zip").exists()


def test_what_a_link_leads_to_is_left_out_and_told(workspace, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (workspace.datasets / "mountains" / "link").symlink_to(tmp_path / "secret.txt")
    (workspace.datasets / "circle").symlink_to(workspace.datasets / "circle")
    (workspace.sessions / "up").symlink_to(tmp_path)
    made = back_up(workspace, tmp_path / "b.zip")
    assert set(made.contents.left_out) == {"datasets/mountains/link", "datasets/circle", "sessions/up"}
    assert not any(b"secret" in content for content in content_of_zip(tmp_path / "b.zip").values())


def content_of_zip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_folder_of_the_workspace_that_lies_on_another_disk_is_saved_with_it(workspace, tmp_path):
    shutil.move(workspace.sessions, tmp_path / "far")
    workspace.sessions.symlink_to(tmp_path / "far")
    back_up(workspace, tmp_path / "b.zip")
    restore(tmp_path / "b.zip", tmp_path / "copy")
    assert len(sessions.read_history(Workspace.open(tmp_path / "copy"))) == 1


def test_zip_files_for_a_download_and_half_a_checkpoint_are_not_saved(workspace, tmp_path):
    (session,) = sessions.read_history(workspace)
    for number in (1, 2):
        folder = session.session.checkpoints / f"checkpoint-{number}"
        folder.mkdir(parents=True)
        (folder / "weights").write_text("heavy")
    (session.session.checkpoints / "checkpoint-1" / sessions.CHECKPOINT_COMPLETE).touch()
    (workspace.jobs / "bundles").mkdir(parents=True)
    (workspace.jobs / "bundles" / "model.zip").write_text("made again at once")
    (workspace.jobs / "tokens").mkdir()
    (workspace.jobs / "tokens" / "rows.sqlite").write_text("made again by the next training")
    names = back_up(workspace, tmp_path / "b.zip").contents.files
    assert not any(one in name for name in names for one in ("bundles", "tokens", "checkpoint-2"))
    assert any("checkpoint-1/weights" in name for name in names)


def test_who_may_only_look_makes_none_and_restores_none(workspace, tmp_path, monkeypatch):
    back_up(workspace, tmp_path / "b.zip")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        back_up(workspace, tmp_path / "c.zip")
    with pytest.raises(ViewOnlyError):
        restore(tmp_path / "b.zip", tmp_path / "copy")
    assert not (tmp_path / "c.zip").exists()
    assert not (tmp_path / "copy").exists()


# --- while others write ---------------------------------------------------------------------------


def test_what_happens_after_its_first_moment_is_not_in_it(workspace, tmp_path):
    """A model is published, a dataset deleted and figures are written while the backup packs."""
    expected = content_of(workspace.root)
    make_model(tmp_path / "next", 3)
    (record,) = sessions.read_history(workspace)

    def meanwhile(_fraction, *_words):
        if (tmp_path / "next").exists():
            provenance = Provenance(session="next", created="2026-01-06T09:00:00Z")
            publish_model(workspace, tmp_path / "next", provenance)
            datasets.delete(workspace, "mountains")
            with open(record.session.metrics, "ab") as metrics:
                metrics.write(b'{"step": 2}\n')
            record.session.write_status(record.status.model_copy(update={"message": "later"}))

    back_up(workspace, tmp_path / "b.zip", meanwhile)
    assert not (tmp_path / "next").exists()
    restore(tmp_path / "b.zip", tmp_path / "copy")
    assert content_of(tmp_path / "copy") == expected


def test_a_session_that_runs_is_interrupted_in_what_comes_back_and_can_be_resumed(workspace, tmp_path):
    running = make_session(workspace, "rivers", 10)
    lock = system.LifeLock(running.lock)
    lock.acquire()
    try:
        me = {"state": "running", "phase": "train", **sessions.this_worker()} if False else {}
        identity = system.this_process()
        status = {
            "state": "running",
            "pid": identity.pid,
            "pid_created": identity.created,
            "host": identity.host,
        }
        running.write_status(sessions.Status.model_validate({**status, **me}))
        assert running.status().state == "running"
        back_up(workspace, tmp_path / "b.zip")
    finally:
        lock.release()
    restore(tmp_path / "b.zip", tmp_path / "copy")
    copy = sessions.find(Workspace.open(tmp_path / "copy"), running.id)
    assert copy.status().state == "interrupted"


# --- what is refused ------------------------------------------------------------------------------


def changed(path: Path, target: Path, change) -> Path:
    """The same backup with other entries: `change` gets and gives name, content and ZipInfo of each."""
    with zipfile.ZipFile(path) as archive:
        entries = [(archive.read(info), info) for info in archive.infolist()]
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for content, info in change(entries):
            archive.writestr(info, content)
    return target


def entry(name: str, content: bytes, mode: int = stat.S_IFREG | 0o600, packed: int = zipfile.ZIP_STORED):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, packed
    return content, info


def with_extra(name: str, content: bytes, *, told: bool = True, **how):
    """Adds an entry, which the list of files tells of or not."""

    def change(entries):
        *files, (text, info) = entries
        contents = json.loads(text)
        if told:
            digest = hashlib.sha256(content).hexdigest()
            contents["files"][name] = {"size": len(content), "sha256": digest, "modified_ns": 0}
        return [*files, entry(name, content, **how), (json.dumps(contents).encode(), info)]

    return change


def without_list(entries):
    return entries[:-1]


def with_other_content(entries):
    (content, info), *others = entries
    return [(bytes([content[0] ^ 1]) + content[1:], info), *others]


def without_a_file(entries):
    return entries[1:]


def twice(entries):
    return [entries[0], *entries]


WRONG = {
    "a path upwards": with_extra("../evil", b"x"),
    "a path upwards in the middle": with_extra("datasets/../../evil", b"x"),
    "a path from the root": with_extra("/tmp/evil", b"x"),
    "a drive": with_extra("C:/evil", b"x"),
    "a backslash": with_extra("..\\evil", b"x"),
    "a hidden file, which may be a journal": with_extra(".trained_model.journal.json", b"{}"),
    "a name that is too long": with_extra("a" * 300, b"x"),
    "a control character": with_extra("a\x1b[31m", b"x"),
    "a link": with_extra("datasets/evil", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
    "a device": with_extra("datasets/evil", b"", mode=stat.S_IFCHR | 0o666),
    "a folder where a file is": with_extra("prompts.json/evil", b"x"),
    "a file that is not in the list": with_extra("evil", b"x", told=False),
    "another way of packing": with_extra("evil", b"x" * 100, packed=zipfile.ZIP_BZIP2),
    "a bomb": with_extra("evil", bytes(101_000_000), packed=zipfile.ZIP_DEFLATED),
    "no list": without_list,
    "other content": with_other_content,
    "a file less": without_a_file,
    "a file twice": twice,
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_damaged_or_evil_backup_is_refused_in_a_sentence_and_nothing_is_written(
    workspace, tmp_path, change
):
    back_up(workspace, tmp_path / "b.zip")
    evil = changed(tmp_path / "b.zip", tmp_path / "evil.zip", change)
    refuses(evil, tmp_path)


def refuses(evil: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(WorkspaceError) as refused:
        restore(evil, tmp_path / "copy")
    assert str(evil) in str(refused.value) or str(tmp_path / "copy") in str(refused.value)
    assert refused.value.remedy
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not Path("/tmp/evil").exists()


def test_a_backup_that_was_cut_or_changed_anywhere_is_refused(workspace, tmp_path):
    back_up(workspace, tmp_path / "b.zip")
    whole = (tmp_path / "b.zip").read_bytes()
    evil = tmp_path / "evil.zip"
    for end in (0, 1, 21, 22, 98, len(whole) // 2, len(whole) - 1):
        evil.write_bytes(whole[:end])
        refuses(evil, tmp_path)
    for at in range(0, len(whole), max(1, len(whole) // 30)):
        evil.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            restore(evil, tmp_path / "copy")
        except WorkspaceError:
            assert not (tmp_path / "copy").exists()
        else:  # a byte of the zip file's own that says nothing, as the time of an entry
            assert content_of(tmp_path / "copy") == content_of(workspace.root)
            shutil.rmtree(tmp_path / "copy")


def test_a_list_of_entries_without_end_is_refused_before_it_is_read(workspace, tmp_path):
    back_up(workspace, tmp_path / "b.zip")
    whole = bytearray((tmp_path / "b.zip").read_bytes())
    whole[-10:-6] = (2**32 - 2).to_bytes(4, "little")
    (tmp_path / "evil.zip").write_bytes(whole)
    begun = time.monotonic()
    refuses(tmp_path / "evil.zip", tmp_path)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + bytes(200)], ids=["empty", "text", "zip"])
def test_another_file_is_no_backup(tmp_path, content):
    (tmp_path / "f.zip").write_bytes(content)
    refuses(tmp_path / "f.zip", tmp_path)


def test_another_zip_file_and_what_is_not_there_are_no_backups(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "f.zip").write_bytes(stream.getvalue())
    refuses(tmp_path / "f.zip", tmp_path)
    refuses(tmp_path / "nothing.zip", tmp_path)
    refuses(tmp_path, tmp_path)


def test_a_folder_that_holds_anything_is_never_restored_into(workspace, tmp_path):
    back_up(workspace, tmp_path / "b.zip")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis").write_text("years of work")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for wrong in (workspace.root, tmp_path / "full", tmp_path / "b.zip", tmp_path / "link"):
        with pytest.raises(RequestError, match="is there already"):
            restore(tmp_path / "b.zip", wrong)
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "b.zip", tmp_path / "empty")
    assert content_of(tmp_path / "empty") == content_of(workspace.root)


def test_a_workspace_that_packs_to_almost_nothing_is_no_bomb(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "ALWAYS_ALLOWED", 1000)
    (workspace.root / "zeros").write_bytes(bytes(30_000_000))
    back_up(workspace, tmp_path / "b.zip")
    restore(tmp_path / "b.zip", tmp_path / "copy")
    assert (tmp_path / "copy" / "zeros").stat().st_size == 30_000_000


def test_a_disk_without_room_is_told_before_anything_is_written(workspace, tmp_path, monkeypatch):
    back_up(workspace, tmp_path / "b.zip")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DiskFullError, match="are free"):
        back_up(workspace, tmp_path / "c.zip")
    with pytest.raises(DiskFullError, match="are free"):
        restore(tmp_path / "b.zip", tmp_path / "copy")
    assert {path.name for path in tmp_path.iterdir()} == {"w", "b.zip", "mountains.json"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("act", ["backup", "restore"])
def test_a_disk_that_fails_at_any_point_leaves_a_sentence_and_nothing_half(
    workspace, tmp_path, monkeypatch, number, act
):
    back_up(workspace, tmp_path / "b.zip")
    before = {path.name for path in tmp_path.iterdir()}
    made = tmp_path / "made"
    for failing, at in itertools.product(("fsync", "replace" if act == "backup" else "rename"), (1, 2, 5)):
        calls = []
        with monkeypatch.context() as patch:
            patch.setattr(os, failing, failing_at(at, getattr(os, failing), number, calls))
            error = raised_by(
                lambda: back_up(workspace, made) if act == "backup" else restore(tmp_path / "b.zip", made)
            )
        assert (error is None) == (len(calls) < at), (failing, at)
        if error:
            assert type(error) is (DiskFullError if number == errno.ENOSPC else WorkspaceError)
            assert error.remedy
        if made.is_file():  # whole, when nobody could say that its name is safe on the disk
            assert read_backup(made) is not None
        elif made.exists():
            assert content_of(made) == content_of(workspace.root)
        system.remove(made)
        assert {path.name for path in tmp_path.iterdir()} == before, (failing, at)
    assert [path for path in workspace.root.glob(".*") if path.suffix != ".lock"] == []


def failing_at(at: int, real, number: int, calls: list):
    def fail(*args):
        calls.append(args)
        if len(calls) == at:
            raise OSError(number, os.strerror(number))
        return real(*args)

    return fail


def raised_by(act) -> SailsError | None:
    try:
        act()
    except SailsError as error:
        return error
    return None


def test_a_backup_is_no_file_of_conversations(workspace, tmp_path):
    """It may be of a workspace that whoever brings or watches the file may not open."""
    made = back_up(workspace, tmp_path / "b.zip")
    assert any(name.startswith("datasets/") for name in made.contents.files)
    with pytest.raises(ConversationFileError, match="is a backup of a workspace"):
        read(made.path)


# --- from the command line ------------------------------------------------------------------------


def test_the_commands_say_what_they_did_and_json_says_it_to_programs(workspace, tmp_path, capsys):
    place = ["--workspace", str(workspace.root)]
    assert app.main(["backup", str(tmp_path / "b.zip"), *place]) == 0
    assert "is saved in" in capsys.readouterr().out
    assert app.main(["backup", str(tmp_path / "b.zip"), *place, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == len(content_of(workspace.root))
    assert said["bytes"] == (tmp_path / "b.zip").stat().st_size
    assert app.main(["restore", str(tmp_path / "b.zip"), str(tmp_path / "copy"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workspace"] == str(tmp_path / "copy")
    assert app.main(["restore", str(tmp_path / "b.zip"), str(tmp_path / "copy"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["kind"] == "request"


def test_a_backup_is_named_at_the_door():
    assert doctor.back_up is back_up
    assert issubclass(WorkspaceError, SailsError)
    assert BACKUP_CONTENTS.endswith(".json")
