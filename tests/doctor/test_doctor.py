"""What the doctor finds, how each is mended, and that nothing of a person's is ever lost by it."""

import json
import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from sails import doctor, sessions, system
from sails.chat import feedback
from sails.cli import app
from sails.data import datasets
from sails.doctor import examine, repair
from sails.errors import ViewOnlyError, WorkspaceError
from sails.jobs import watch
from sails.models import VERSION_RECORD, list_versions
from sails.models.journal import journal_of
from sails.models.publish import publish_model
from sails.models.versions import Provenance
from sails.models.workspace import Workspace
from tests.support.folders import fingerprint_of, listing, make_model, make_onnx
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session, published

LONG_AGO = time.time() - 86_400


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """One that is well: two models, an ONNX model, a dataset, sessions, corrections, a conversation."""
    workspace = Workspace.open(tmp_path / "w")
    workspace.root.mkdir(mode=0o700)
    for seed, name in ((1, "rivers"), (2, "mountains")):
        session = make_session(workspace, name, 8 + seed)
        make_model(session.model, seed)
        fingerprint = fingerprint_of(session.model)
        provenance = Provenance(session=session.id, created="2026-01-05T09:00:00Z")
        publish_model(workspace, session.model, provenance)
        session.write_status(sessions.Status.model_validate(published(fingerprint=fingerprint)))
    make_onnx(workspace.onnx_model, fingerprint)
    add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    log = feedback.log_file(workspace)
    log.parent.mkdir()
    log.write_text('{"event": "given", "id": "a", "kind": "good", "input": "Why?", "output": "Because."}\n')
    workspace.register.write_text(f"held {'a' * 32} s\ntaught {'b' * 32} s\n")
    for path in workspace.root.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return workspace


def contents(root: Path) -> Counter:
    """How often each content lies in the workspace, but for locks and empty files."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return Counter(content for path in files if (content := path.read_bytes()))


def newest(workspace: Workspace):
    return sessions.read_history(workspace)[-1].session


def oldest_version(workspace: Workspace) -> Path:
    (version,) = list_versions(workspace)
    return workspace.versions / version.id


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_a_workspace_that_is_well_is_found_well_and_stays_as_it_is(workspace):
    before = listing(workspace.root)
    for thorough in (True, False):
        assert examine(workspace, thorough=thorough).findings == ()
    left = {name: state for name, state in listing(workspace.root).items() if not name.endswith(".lock")}
    assert {name for name in left if name != "."} >= {n for n in before if not n.endswith(".lock")}
    assert all(before[name][2] == left[name][2] for name in before if not name.endswith(".lock"))


def test_where_there_is_no_workspace_a_sentence_says_so(tmp_path):
    with pytest.raises(WorkspaceError, match="There is no workspace"):
        examine(Workspace.open(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


# --- what is damaged, and mended ------------------------------------------------------------------


def damaged_status(workspace):
    write(newest(workspace).folder / "status.json", "{ half")


def lost_status(workspace):
    (newest(workspace).folder / "status.json").unlink()


def damaged_spec(workspace):
    write(newest(workspace).folder / "spec.json", '{"kind": "train"')


def both_damaged(workspace):
    damaged_spec(workspace)
    damaged_status(workspace)


def lost_spec(workspace):
    write(newest(workspace).log, "it began\n")
    (newest(workspace).folder / "spec.json").unlink()
    os.utime(workspace.sessions / sorted(os.listdir(workspace.sessions))[-1], (LONG_AGO, LONG_AGO))


def damaged_labels(workspace):
    write(newest(workspace).folder / "labels.json", "{")


def damaged_retention(workspace):
    write(newest(workspace).folder / "retention.json", "{")


def damaged_queue(workspace):
    make_session(workspace, "waits", 11)
    write(workspace.queue, "{ half")


def lost_in_the_queue(workspace):
    session = make_session(workspace, "waits", 11)
    assert session.status().state == "queued"


def waits_for_nobody(workspace):
    write(workspace.queue, '{"waiting": [{"id": "20260101-000000-gone"}]}')


def damaged_job(workspace):
    write(workspace.jobs / "20260101-000000-export" / "spec.json", "{")


def damaged_report(workspace):
    write(workspace.datasets / "mountains" / "report.json", "{")


def lost_report(workspace):
    (workspace.datasets / "mountains" / "report.json").unlink()


def damaged_register(workspace):
    with open(workspace.register, "a") as file:
        file.write("held 123\ntau\n")


def not_registered(workspace):
    rows = datasets.rows_file(workspace, "mountains").read_bytes()
    newest(workspace).data.mkdir()
    (newest(workspace).data / "heldout.jsonl").write_bytes(rows)


def damaged_corrections(workspace):
    with open(feedback.log_file(workspace), "a") as file:
        file.write('{"event": "appro\n')


def damaged_acts(workspace):
    write(
        workspace.root / "acts.jsonl", '{"act": "reset", "what": "x", "when": "2026-01-05T09:00:00Z"}\n{"a\n'
    )


def damaged_conversation(workspace):
    write(workspace.root / "conversations" / "20260105-090000-abcdef.json", "{")


def damaged_prompts(workspace):
    write(workspace.root / "prompts.json", "[]")


def damaged_watch(workspace):
    write(watch.path_of(workspace), "{")


def a_folder_for_a_lock(workspace):
    shutil.rmtree(workspace.training_lock, ignore_errors=True)
    workspace.training_lock.unlink(missing_ok=True)
    write(workspace.training_lock / "note", "mine")


def a_folder_for_a_file(workspace):
    for path in (workspace.queue, watch.path_of(workspace), workspace.root / "prompts.json"):
        write(path / "note", "mine")


def a_folder_for_a_status(workspace):
    (newest(workspace).folder / "status.json").unlink()
    write(newest(workspace).folder / "status.json" / "note", "mine")


def link_to_itself(workspace):
    (workspace.datasets / "circle").symlink_to(workspace.datasets / "circle")


def link_to_nowhere(workspace):
    (workspace.root / "notes").symlink_to(workspace.root / "gone")


def unreadable(workspace):
    for path in (workspace.register, workspace.datasets / "mountains", newest(workspace).folder):
        path.chmod(0o000)


def version_without_a_note(workspace):
    (oldest_version(workspace) / VERSION_RECORD).unlink()


def version_with_a_damaged_note(workspace):
    write(oldest_version(workspace) / VERSION_RECORD, "{")


def half_a_version(workspace):
    (oldest_version(workspace) / "model.safetensors").unlink()


def held_and_gone(workspace):
    make_session(workspace, "held", 11, state="succeeded", verdict="held", fingerprint="f" * 16)


def stranded(workspace):
    make_model(workspace.root / ".trained_model.previous-x.4194303-1700000000", 7)


def damaged_journal(workspace):
    make_model(workspace.root / ".trained_model.previous-x.4194303-1700000000", 7)
    write(journal_of(workspace.trained_model), "{ half")


def damaged_journal_and_no_current(workspace):
    workspace.trained_model.rename(workspace.root / ".trained_model.previous-x.4194303-1700000000")
    write(journal_of(workspace.trained_model), '{"staged": "../../x", "previous": "y", "keep": null}')


def damaged_onnx_journal(workspace):
    workspace.onnx_model.rename(workspace.root / ".onnx_model.previous-x.4194303-1700000000")
    write(journal_of(workspace.onnx_model), "[]")


DAMAGES = {
    "session": [damaged_status, lost_status, damaged_spec, both_damaged, lost_spec, damaged_labels,
                damaged_retention, held_and_gone, a_folder_for_a_status],
    "queue": [damaged_queue, lost_in_the_queue, waits_for_nobody],
    "job": [damaged_job],
    "dataset": [damaged_report, lost_report],
    "register": [damaged_register, not_registered],
    "log": [damaged_corrections, damaged_acts],
    "conversation": [damaged_conversation],
    "setting": [damaged_prompts, damaged_watch],
    "lock": [a_folder_for_a_lock, a_folder_for_a_file],
    "link": [link_to_itself, link_to_nowhere],
    "permission": [unreadable],
    "model": [version_without_a_note, version_with_a_damaged_note, half_a_version, stranded],
    "change": [damaged_journal, damaged_journal_and_no_current, damaged_onnx_journal],
}  # fmt: skip
CASES = [pytest.param(kind, damage, id=damage.__name__) for kind, all_ in DAMAGES.items() for damage in all_]
CORRECTED = (waits_for_nobody, not_registered, held_and_gone)  # what is not so is written anew, or added to


@pytest.fixture
def later(monkeypatch):
    """As if everything that just began had begun long ago."""
    monkeypatch.setattr("sails.sessions.queue.START_SECONDS", 0)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(("kind", "damage"), CASES)
def test_each_damage_is_found_explained_and_mended_and_nothing_is_lost(workspace, kind, damage):
    damage(workspace)
    before = None if damage is unreadable else contents(workspace.root)
    report = examine(workspace)
    assert {finding.kind for finding in report.wrong} >= {kind}, report.findings
    for finding in report.wrong:
        assert finding.sentence[-1] == "."
        assert finding.can_be_repaired, finding
        assert finding.repair[-1] == "."
    outcome = repair(workspace, report.wrong)
    assert outcome.failed == []
    after = examine(workspace)
    assert after.wrong == (), after.wrong
    if before is not None and damage not in CORRECTED:
        assert not before - contents(workspace.root)
    assert workspace.situation().trained.complete
    assert all(record.status.state != "running" for record in sessions.read_history(workspace))
    assert len(sessions.read_history(workspace)) >= 2


def test_a_damaged_journal_costs_no_model(workspace):
    current, earlier = workspace.situation().trained.fingerprint, list_versions(workspace)[0].fingerprint
    damaged_journal(workspace)
    repair(workspace, examine(workspace).wrong)
    kept = {version.fingerprint for version in list_versions(workspace)}
    assert workspace.situation().trained.fingerprint == current
    assert earlier in kept
    assert len(kept) == 2


@pytest.mark.usefixtures("later")
def test_who_waited_in_a_damaged_queue_waits_again_in_the_same_order(workspace):
    first, second = make_session(workspace, "one", 11), make_session(workspace, "two", 12)
    for session, minute in ((second, 1), (first, 2)):
        session.write_status(sessions.Status(queued=f"2026-01-05T12:0{minute}:00Z"))
    write(workspace.queue, "{")
    repair(workspace, examine(workspace).wrong)
    assert [entry.id for entry in sessions.waiting(workspace)] == [second.id, first.id]


def test_a_repaired_session_says_what_is_lost_and_a_held_model_can_still_be_published(workspace):
    session = make_session(workspace, "held", 11)
    make_model(session.model, 9)
    both = {"spec.json", "status.json"}
    for name in both:
        write(session.folder / name, "{")
    repair(workspace, examine(workspace).wrong)
    assert sessions.damaged_files(session) == ()
    record = sessions.record(session)
    assert (record.status.state, record.status.verdict) == ("succeeded", "held")
    assert any("is damaged" in note for note in record.status.notes)
    assert record.spec.trained_model == workspace.trained_model


def test_a_session_whose_spec_was_lost_is_never_resumed(workspace):
    session = make_session(workspace, "stopped", 11, state="stopped")
    write(session.folder / "spec.json", "{")
    repair(workspace, examine(workspace).wrong)
    with pytest.raises(WorkspaceError, match="cannot be resumed"):
        sessions.resume(workspace, session)


def test_a_session_that_is_just_being_made_is_well_and_one_that_became_whole_stays(workspace):
    begun = workspace.sessions / "20260106-090000-begun"
    begun.mkdir()
    shutil.copy(newest(workspace).folder / "status.json", begun)
    assert examine(workspace, thorough=False).wrong == ()
    os.utime(begun, (LONG_AGO, LONG_AGO))
    [finding] = examine(workspace, thorough=False).wrong
    shutil.copy(newest(workspace).folder / "spec.json", begun)
    outcome = repair(workspace, [finding])
    assert (outcome.done, [why for _, why in outcome.failed]) == (
        [],
        ["It has changed since it was looked at. Look again."],
    )
    assert begun.exists()


def test_a_session_that_runs_is_left_alone(workspace):
    session = make_session(workspace, "runs", 11)
    write(session.folder / "status.json", "{")
    lock = system.LifeLock(session.lock)
    lock.acquire()
    try:
        assert examine(workspace).wrong == ()
    finally:
        lock.release()
    assert len(examine(workspace).wrong) == 1


# --- what only a person can mend ------------------------------------------------------------------


def changed_weights(workspace):
    make_model(workspace.root / "other", 9)
    os.replace(workspace.root / "other" / "model.safetensors", workspace.trained_model / "model.safetensors")
    shutil.rmtree(workspace.root / "other")


def changed_version(workspace):
    folder = oldest_version(workspace)
    make_model(workspace.root / "other", 9)
    os.replace(workspace.root / "other" / "model.safetensors", folder / "model.safetensors")
    shutil.rmtree(workspace.root / "other")


def cut_current(workspace):
    path = workspace.trained_model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def changed_onnx(workspace):
    content = (workspace.onnx_model / "model.onnx").read_bytes()
    record = {
        "fingerprint": workspace.situation().trained.fingerprint,
        "files": {"model.onnx": len(content)},
        "sha256": {"model.onnx": "0" * 64},
    }
    write(workspace.onnx_model / "export.json", json.dumps(record))


def cut_onnx(workspace):
    write(workspace.onnx_model / "export.json", json.dumps({"files": {"model.onnx": 99}}))


def damaged_tokenizer(workspace):
    write(workspace.trained_model / "tokenizer.json", "{")


def another_tokenizer(workspace):
    path = workspace.trained_model / "sails.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer": "0" * 16}))


def damaged_certificate(workspace):
    write(workspace.onnx_model / "certificate.json", "{")


def taught_rows_gone(workspace):
    status = newest(workspace).status()
    results = status.results.model_copy(update={"rows_taught": 20})
    newest(workspace).write_status(status.model_copy(update={"results": results}))


def rows_gone(workspace):
    datasets.rows_file(workspace, "mountains").unlink()


def rows_changed(workspace):
    path = datasets.rows_file(workspace, "mountains")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))


@pytest.mark.parametrize(
    ("kind", "damage"),
    [("model", changed_weights), ("model", changed_version), ("model", cut_current), ("onnx", changed_onnx),
     ("onnx", cut_onnx), ("dataset", rows_gone), ("dataset", rows_changed), ("model", damaged_tokenizer),
     ("model", another_tokenizer), ("onnx", damaged_certificate), ("session", taught_rows_gone)],
)  # fmt: skip
def test_what_nobody_can_mend_is_told_with_what_a_person_can_do(workspace, kind, damage):
    damage(workspace)
    (finding,) = examine(workspace).wrong
    assert finding.kind == kind
    assert not finding.can_be_repaired
    assert finding.remedy
    before = contents(workspace.root)
    assert repair(workspace, [finding]).done == []
    assert contents(workspace.root) == before


def test_a_check_that_fails_itself_hides_nothing_else(workspace, monkeypatch):
    def fails(_):
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr("sails.doctor.records.logs", fails)
    damaged_status(workspace)
    found = {finding.kind: finding for finding in examine(workspace).wrong}
    assert set(found) == {"permission", "session"}
    assert "nobody foresaw this" in found["permission"].sentence


# --- room -----------------------------------------------------------------------------------------


def test_what_may_go_is_told_with_its_bytes_and_nothing_else_goes(workspace):
    earlier = oldest_version(workspace)
    shutil.copytree(earlier, twin := workspace.versions / "twin")
    record = json.loads((twin / VERSION_RECORD).read_text())
    (twin / VERSION_RECORD).write_text(json.dumps({**record, "retired": "2020-01-01T00:00:00Z"}))
    make_onnx(earlier / "onnx", fingerprint_of(earlier))
    done = newest(workspace)
    (done.checkpoints / "checkpoint-1").mkdir(parents=True)
    (done.checkpoints / "checkpoint-1" / "weights").write_bytes(bytes(1000))
    resumable = make_session(workspace, "stopped", 11, state="stopped")
    (resumable.checkpoints / "checkpoint-1").mkdir(parents=True)
    (resumable.checkpoints / "checkpoint-1" / "weights").write_bytes(bytes(1000))
    (workspace.jobs / "bundles").mkdir(parents=True)
    (workspace.jobs / "bundles" / "model.zip").write_bytes(bytes(500))
    (workspace.jobs / "tokens").mkdir()
    (workspace.jobs / "tokens" / "rows.sqlite").write_bytes(bytes(400))
    (workspace.sessions / ".gone.deleted").mkdir()
    (workspace.sessions / ".gone.deleted" / "weights").write_bytes(bytes(300))
    report = examine(workspace)
    assert report.wrong == ()
    spare = {finding.kind: finding for finding in report.spare}
    assert set(spare) == {"version", "checkpoint", "bundle", "tokens", "leftover", "export"}
    assert spare["version"].path == twin
    assert (spare["checkpoint"].size, spare["bundle"].size, spare["leftover"].size) == (1000, 500, 300)
    assert spare["tokens"].size == 400
    used = sum(room.size for room in report.rooms)
    outcome = repair(workspace, report.spare)
    assert outcome.failed == []
    after = examine(workspace)
    assert after.spare == ()
    assert outcome.freed == report.freeable == used - sum(room.size for room in after.rooms)
    assert earlier.exists()
    assert (resumable.checkpoints / "checkpoint-1" / "weights").exists()
    assert not (done.checkpoints).exists()


@pytest.mark.parametrize("kept", [{"pinned": True}, {"name": "the good one"}])
def test_a_version_that_somebody_named_or_keeps_is_never_spare(workspace, kept):
    shutil.copytree(oldest_version(workspace), twin := workspace.versions / "twin")
    record = json.loads((twin / VERSION_RECORD).read_text())
    old = {"retired": "2020-01-01T00:00:00Z"}
    (twin / VERSION_RECORD).write_text(json.dumps({**record, **old, **kept}))
    assert examine(workspace).spare == ()


def test_two_models_that_only_look_the_same_both_stay(workspace):
    earlier = oldest_version(workspace)
    shutil.copytree(earlier, twin := workspace.versions / "twin")
    (twin / "tokenizer.json").write_text('{"another": true}')
    record = json.loads((twin / VERSION_RECORD).read_text())
    (twin / VERSION_RECORD).write_text(json.dumps({**record, "retired": "2020-01-01T00:00:00Z"}))
    assert examine(workspace).spare == ()
    assert twin.exists()
    assert earlier.exists()


def test_a_twin_that_changed_after_it_was_found_stays(workspace):
    earlier = oldest_version(workspace)
    shutil.copytree(earlier, twin := workspace.versions / "twin")
    record = json.loads((twin / VERSION_RECORD).read_text())
    (twin / VERSION_RECORD).write_text(json.dumps({**record, "retired": "2020-01-01T00:00:00Z"}))
    found = examine(workspace).spare
    (earlier / "tokenizer.json").write_text('{"another": true}')
    outcome = repair(workspace, found)
    assert (outcome.done, len(outcome.failed)) == ([], 1)
    assert twin.exists()


def test_the_rooms_add_up_to_what_lies_there(workspace):
    files = [path for path in workspace.root.rglob("*") if path.is_file()]
    rooms = examine(workspace).rooms
    assert sum(room.size for room in rooms) == sum(path.stat().st_size for path in files)
    assert {room.title for room in rooms} >= {"The current model", "Earlier models", "Your conversations"}


def test_who_may_only_look_mends_nothing(workspace, monkeypatch):
    damaged_status(workspace)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    report = examine(workspace)
    assert len(report.wrong) == 1
    with pytest.raises(ViewOnlyError):
        repair(workspace, report.wrong)
    assert (newest(workspace).folder / "status.json").read_text() == "{ half"


# --- from the command line ------------------------------------------------------------------------


def test_the_command_tells_what_is_wrong_by_its_exit_code_and_repairs_with_consent(workspace, capsys):
    place = ["--workspace", str(workspace.root)]
    assert app.main(["doctor", *place]) == 0
    assert "Nothing is damaged or lost." in capsys.readouterr().out
    damaged_status(workspace)
    assert app.main(["doctor", *place]) == 1
    said = capsys.readouterr().out
    assert "cannot be read" in said
    assert f"sails sessions save {newest(workspace).id}" in said
    assert app.main(["doctor", *place, "--repair"]) == 2  # nobody is there to say yes
    assert "--yes" in capsys.readouterr().err
    assert (newest(workspace).folder / "status.json").read_text() == "{ half"
    assert app.main(["doctor", *place, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["kind"], one["session"]) for one in found["findings"]] == [("session", newest(workspace).id)]
    assert app.main(["doctor", *place, "--repair", "--yes", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (len(done["repaired"]), done["findings"], done["failed"]) == (1, [], [])


def test_room_is_made_by_the_command_too(workspace, capsys):
    (workspace.jobs / "bundles").mkdir(parents=True)
    (workspace.jobs / "bundles" / "model.zip").write_bytes(bytes(5000))
    place = ["--workspace", str(workspace.root)]
    assert app.main(["doctor", *place]) == 0
    assert "5 kB can be freed" in capsys.readouterr().out
    assert app.main(["doctor", *place, "--free-space", "--yes"]) == 0
    assert "5 kB are free now" in capsys.readouterr().out
    assert app.main(["doctor", "--workspace", str(workspace.root / "gone")]) == 2


def test_every_kind_has_a_title():
    assert set(doctor.KINDS) >= set(DAMAGES)
