"""Publishing: the new model is in place, the old one is a version, and nobody's files are lost."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sails.errors import BusyError, DiskFullError, ModelLoadError, RequestError, WorkspaceError
from sails.models.folder import inspect_model
from sails.models.journal import (
    clear_leftovers,
    is_foreign,
    journal_of,
    recover_folder,
    stage_path,
    swap,
)
from sails.models.onnx_store import install
from sails.models.publish import prospect, roll_back, unpublish
from sails.models.publish import publish_model as publish
from sails.models.versions import (
    VERSIONS_KEPT,
    Provenance,
    list_versions,
    name_version,
    pin,
    provenance_of,
    prune_versions,
    version_with,
)
from sails.models.workspace import Workspace
from tests.support.folders import fingerprint_of, listing, make_model, make_onnx, replace_folder


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "w")


def origin(session=None, **fields):
    return Provenance(session=session, created=datetime.now(UTC), **fields)


def publish_model(workspace, seed, session=None):
    """Makes a model and publishes it; returns its fingerprint."""
    candidate = make_model(workspace.sessions / f"{seed}-candidate" / "model", seed)
    return publish(workspace, candidate, origin(session or f"2026010{seed}-000000-lesson"))


def beside(target):
    """What lies hidden beside a folder, but for its lock."""
    return sorted(p.name for p in target.parent.iterdir() if p.name[0] == "." and p.suffix != ".lock")


# --- publish --------------------------------------------------------------------------------------


def test_the_first_candidate_becomes_the_current_model(workspace):
    candidate = make_model(workspace.root / "sessions" / "s" / "model", seed=1)
    fingerprint = fingerprint_of(candidate)
    provenance = origin("s", base="gpt2", parent="abc")
    assert publish(workspace, candidate, provenance) == fingerprint
    assert not candidate.exists()
    state = workspace.situation().trained
    assert (state.state, state.fingerprint) == ("complete", fingerprint)
    assert (state.base, state.session) == ("gpt2", "s")
    assert provenance_of(workspace.trained_model) == provenance
    assert list_versions(workspace) == []
    assert beside(workspace.trained_model) == []


def test_the_model_before_becomes_a_version_with_everything_in_it(workspace):
    first = publish_model(workspace, 1)
    files = {path.name for path in workspace.trained_model.iterdir()}
    second = publish_model(workspace, 2)
    assert fingerprint_of(workspace.trained_model) == second
    [version] = list_versions(workspace)
    assert (version.id, version.fingerprint, version.pinned) == ("20260101-000000-lesson", first, False)
    assert datetime.now(UTC) - version.retired < timedelta(minutes=1)
    folder = workspace.versions / version.id
    assert fingerprint_of(folder) == first
    assert {path.name for path in folder.iterdir()} == files | {"version.json"}


def test_a_model_from_elsewhere_becomes_a_version_too(workspace):
    make_model(workspace.trained_model, seed=1)
    first = fingerprint_of(workspace.trained_model)
    publish_model(workspace, 2)
    [version] = list_versions(workspace)
    assert version.fingerprint == first
    assert version.id.endswith("-imported")


def test_two_models_of_the_same_session_are_two_versions(workspace):
    prints = [publish_model(workspace, seed, session="again") for seed in (1, 2, 3)]
    assert {version.id: version.fingerprint for version in list_versions(workspace)} == {
        "again": prints[0],
        "again-2": prints[1],
    }


def test_an_incomplete_model_is_set_aside_with_all_its_files_and_is_no_version(workspace):
    model = make_model(workspace.trained_model, seed=1)
    (model / "config.json").unlink()
    (model / "checkpoint-9").mkdir()
    (model / "checkpoint-9" / "optimizer.pt").write_bytes(b"moments")
    before = listing(model)
    publish_model(workspace, 2)
    [aside] = workspace.set_aside.iterdir()
    assert listing(aside) == before
    assert list_versions(workspace) == []


def test_a_folder_of_checkpoints_is_set_aside_though_it_is_no_model(workspace):
    """As a training of the original leaves it when it is killed before the end."""
    make_model(workspace.trained_model / "checkpoint-500", seed=1)
    publish_model(workspace, 2)
    [aside] = workspace.set_aside.iterdir()
    assert inspect_model(aside / "checkpoint-500").complete


def test_an_empty_folder_is_not_kept(workspace):
    workspace.trained_model.mkdir(parents=True)
    (workspace.trained_model / ".gitkeep").touch()
    publish_model(workspace, 1)
    assert not workspace.set_aside.exists()
    assert not workspace.versions.exists()


def test_an_incomplete_candidate_is_refused_and_nothing_is_touched(workspace):
    first = publish_model(workspace, 1)
    candidate = make_model(workspace.root / "bad" / "model", seed=2)
    os.truncate(candidate / "model.safetensors", 300)
    with pytest.raises(ModelLoadError, match="cut off at 300 of"):
        publish(workspace, candidate, origin())
    assert fingerprint_of(workspace.trained_model) == first
    assert (candidate / "model.safetensors").stat().st_size == 300
    assert list_versions(workspace) == []


def test_a_recorded_session_that_is_no_plain_name_is_not_followed(workspace):
    model = make_model(workspace.trained_model, seed=1)
    (model / "sails.json").write_text(json.dumps({"session": "../../stolen"}))
    publish_model(workspace, 2)
    [version] = list_versions(workspace)
    assert version.id.endswith("-imported")
    assert not (workspace.root.parent / "stolen").exists()


def test_publishing_where_the_workspace_itself_would_be_replaced_is_refused(tmp_path):
    workspace = Workspace.open(tmp_path / "w", output_dir=tmp_path, onnx_output=tmp_path / "w" / "onnx")
    candidate = make_model(tmp_path / "w" / "candidate")
    before = listing(tmp_path)
    for change in (
        lambda: publish(workspace, candidate, origin()),
        lambda: roll_back(workspace, "x"),
        lambda: unpublish(workspace),
    ):
        with pytest.raises(WorkspaceError, match="would take the place of"):
            change()
    assert listing(tmp_path) == before


def test_a_model_folder_on_another_filesystem_is_published_to_and_versions_come_home(tmp_path):
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one filesystem only")
    with tempfile.TemporaryDirectory(dir=shared) as elsewhere:
        workspace = Workspace.open(tmp_path / "w", output_dir=Path(elsewhere) / "model")
        first, second = publish_model(workspace, 1), publish_model(workspace, 2)
        assert fingerprint_of(workspace.trained_model) == second
        [version] = list_versions(workspace)
        assert fingerprint_of(workspace.versions / version.id) == first
        assert roll_back(workspace, version.id) == first
        assert [v.fingerprint for v in list_versions(workspace)] == [second]
        assert os.listdir(workspace.versions) == ["20260102-000000-lesson"]
        assert beside(workspace.trained_model) == []


PUBLISH_MANY = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from sails.models import Provenance, Workspace, publish_model
workspace = Workspace(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[1]) / "onnx_model")
print("ready", flush=True)
sys.stdin.readline()
for candidate in sorted((workspace.root / "candidates").iterdir()):
    publish_model(workspace, candidate, Provenance(session="lesson", created=datetime.now(UTC)))
"""


def test_two_workspaces_that_share_a_model_folder_lose_no_version(tmp_path):
    shared, prints, publishers = tmp_path / "shared" / "model", set(), []
    for number, name in enumerate(("one", "two")):
        for seed in range(5):
            model = make_model(tmp_path / name / "candidates" / str(seed), seed=10 * number + seed)
            prints.add(fingerprint_of(model))
        command = [sys.executable, "-c", PUBLISH_MANY, str(tmp_path / name), str(shared)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        publishers.append(subprocess.Popen(command, **pipes))
    for publisher in publishers:
        publisher.stdout.readline()
    for publisher in publishers:
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    for publisher in publishers:
        publisher.communicate()
        assert publisher.returncode == 0
    kept = [path for name in ("one", "two") for path in (tmp_path / name / "versions").iterdir()]
    assert {fingerprint_of(path) for path in (shared, *kept)} == prints
    assert beside(shared) == []


# --- versions -------------------------------------------------------------------------------------


def test_versions_are_listed_the_last_one_first(workspace):
    prints = [publish_model(workspace, seed) for seed in range(1, 5)]
    assert [version.fingerprint for version in list_versions(workspace)] == prints[2::-1]


def test_only_the_newest_five_versions_are_kept(workspace):
    prints = [publish_model(workspace, seed) for seed in range(1, 9)]
    assert [version.fingerprint for version in list_versions(workspace)] == prints[6:1:-1]
    assert len(os.listdir(workspace.versions)) == 5


def test_pinned_versions_stay_and_do_not_count(workspace):
    prints = [publish_model(workspace, 1), publish_model(workspace, 2)]
    pin(workspace, list_versions(workspace)[0].id, pinned=True)
    prints += [publish_model(workspace, seed) for seed in range(3, 9)]
    kept = list_versions(workspace)
    assert [version.fingerprint for version in kept] == [*prints[6:1:-1], prints[0]]
    assert [version.pinned for version in kept] == [False] * 5 + [True]
    prune_versions(workspace, kept=0)
    assert [version.fingerprint for version in list_versions(workspace)] == [prints[0]]


def test_what_is_half_written_half_deleted_or_damaged_is_no_version(workspace):
    publish_model(workspace, 1)
    publish_model(workspace, 2)
    [version] = list_versions(workspace)
    good = workspace.versions / version.id
    shutil.copytree(good, workspace.versions / ".half.partial")
    shutil.copytree(good, workspace.versions / ".half.deleted")
    shutil.copytree(good, workspace.versions / "damaged")
    (workspace.versions / "damaged" / "version.json").write_text("{ half")
    shutil.copytree(good, workspace.versions / "renamed")
    assert {found.id for found in list_versions(workspace)} == {
        version.id,
        "renamed",
    }  # by folder, not by record
    prune_versions(workspace)
    assert not (workspace.versions / ".half.deleted").exists()


def test_a_workspace_without_versions_has_none(workspace):
    assert list_versions(workspace) == []
    prune_versions(workspace)


# --- roll back ------------------------------------------------------------------------------------


def test_rolling_back_brings_the_old_model_back_and_keeps_the_new_one(workspace):
    first, second = publish_model(workspace, 1), publish_model(workspace, 2)
    assert roll_back(workspace, "20260101-000000-lesson") == first
    state = workspace.situation().trained
    assert (state.fingerprint, state.session) == (first, "20260101-000000-lesson")
    assert not (workspace.trained_model / "version.json").exists()
    assert [v.fingerprint for v in list_versions(workspace)] == [second]
    assert roll_back(workspace, "20260102-000000-lesson") == second
    assert [v.fingerprint for v in list_versions(workspace)] == [first]
    assert beside(workspace.trained_model) == []
    assert sorted(os.listdir(workspace.versions)) == ["20260101-000000-lesson"]


def test_the_onnx_model_made_for_a_version_changes_nothing_in_it_and_stays_behind(workspace):
    first, second = publish_model(workspace, 1), publish_model(workspace, 2)
    version = workspace.versions / "20260101-000000-lesson"
    make_onnx(version / "onnx", first)
    (version / ".onnx.lock").touch()
    make_onnx(version / ".onnx.staged-20260103-000000-export.1-2")  # a dead export's
    assert fingerprint_of(version) == first
    assert [v.fingerprint for v in list_versions(workspace)] == [first]
    assert roll_back(workspace, version.name) == first
    assert {path.name for path in workspace.trained_model.iterdir()} == {
        "config.json",
        "model.safetensors",
        "sails.json",
        "tokenizer.json",
    }
    assert not version.exists()
    make_onnx(workspace.versions / "20260102-000000-lesson" / "onnx", second)
    prune_versions(workspace, kept=0)
    assert list(workspace.versions.iterdir()) == []


def test_rolling_back_takes_the_onnx_models_along_and_so_does_undoing_it(workspace):
    first, second = publish_model(workspace, 1), publish_model(workspace, 2)
    former, latter = (workspace.versions / f"2026010{number}-000000-lesson" for number in (1, 2))
    make_onnx(workspace.onnx_model, second, b"second")
    make_onnx(workspace.onnx_model / "int8", second, b"second")
    roll_back(workspace, former.name)
    assert not workspace.situation().onnx.present
    assert {path.name for path in (latter / "onnx").iterdir()} == {
        "config.json",
        "export.json",
        "int8",
        "model.onnx",
    }
    make_onnx(workspace.onnx_model, first, b"first")
    for back, kept, content in ((latter, former, b"second"), (former, latter, b"first")):
        roll_back(workspace, back.name)
        assert (workspace.onnx_model / "model.onnx").read_bytes() == content
        assert workspace.situation().onnx.stale is False
        assert (kept / "onnx" / "model.onnx").exists()
        assert [version.id for version in list_versions(workspace)] == [kept.name]


def test_an_onnx_model_of_no_model_that_is_here_stays_until_another_one_takes_its_place(workspace):
    first, _ = publish_model(workspace, 1), publish_model(workspace, 2)
    version = workspace.versions / "20260101-000000-lesson"
    make_onnx(workspace.onnx_model, "gone")
    roll_back(workspace, version.name)
    assert workspace.situation().onnx.fingerprint == "gone"
    roll_back(workspace, "20260102-000000-lesson")
    make_onnx(version / "onnx", "of what lay here before")
    roll_back(workspace, version.name)  # what does not fit the version is no ONNX model of it
    assert workspace.situation().onnx.fingerprint == "gone"
    roll_back(workspace, "20260102-000000-lesson")
    make_onnx(version / "onnx", first)
    roll_back(workspace, version.name)
    assert workspace.situation().onnx.stale is False


def test_what_is_no_onnx_model_of_ours_is_set_aside_by_a_roll_back_and_not_deleted(workspace):
    first, _ = publish_model(workspace, 1), publish_model(workspace, 2)
    make_onnx(workspace.versions / "20260101-000000-lesson" / "onnx", first)
    workspace.onnx_model.mkdir()
    (workspace.onnx_model / "diary.txt").write_text("mine")
    roll_back(workspace, "20260101-000000-lesson")
    assert workspace.situation().onnx.stale is False
    assert (workspace.root / "onnx_model-set-aside" / "diary.txt").read_text() == "mine"


def test_an_onnx_folder_that_came_with_a_model_is_rolled_back_with_it(workspace):
    first = publish_model(workspace, 1)
    make_onnx(workspace.trained_model / "onnx")
    publish_model(workspace, 2)
    assert roll_back(workspace, "20260101-000000-lesson") == first
    assert (workspace.trained_model / "onnx" / "model.onnx").exists()


def test_rolling_back_over_an_incomplete_or_missing_model_works(workspace):
    first = publish_model(workspace, 1)
    publish_model(workspace, 2)
    (workspace.trained_model / "model.safetensors").unlink()
    roll_back(workspace, "20260101-000000-lesson")
    assert fingerprint_of(workspace.trained_model) == first
    assert len(os.listdir(workspace.set_aside)) == 1
    publish_model(workspace, 3)
    shutil.rmtree(workspace.trained_model)
    roll_back(workspace, "20260101-000000-lesson")
    assert fingerprint_of(workspace.trained_model) == first


@pytest.mark.parametrize(
    "wanted", ["", ".", "..", "../w", "nobody", ".hidden", "a" * 300, "a\0b", "/etc", "\n"]
)
def test_a_version_that_is_none_is_refused_in_a_sentence(workspace, wanted):
    first = publish_model(workspace, 1)
    publish_model(workspace, 2)
    shutil.copytree(workspace.versions / "20260101-000000-lesson", workspace.versions / ".hidden")
    make_model(workspace.root / "stray")
    for name in ("config.json", "model.safetensors"):  # the workspace itself could be taken for a model
        shutil.copyfile(workspace.root / "stray" / name, workspace.root / name)
    with pytest.raises(WorkspaceError, match="There is no version"):
        roll_back(workspace, wanted)
    assert list_versions(workspace)[0].fingerprint == first


def test_an_incomplete_version_is_not_rolled_back_to(workspace):
    publish_model(workspace, 1)
    second = publish_model(workspace, 2)
    os.truncate(workspace.versions / "20260101-000000-lesson" / "model.safetensors", 100)
    with pytest.raises(WorkspaceError):
        roll_back(workspace, "20260101-000000-lesson")
    assert fingerprint_of(workspace.trained_model) == second


TRAIN = """
import sys
from pathlib import Path
from sails.system.locks import LifeLock
LifeLock(Path(sys.argv[1])).acquire()
print("training", flush=True)
sys.stdin.readline()
"""


def test_while_a_session_trains_nobody_rolls_back_or_resets(workspace):
    publish_model(workspace, 1)
    second = publish_model(workspace, 2)
    command = [sys.executable, "-c", TRAIN, str(workspace.training_lock)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        worker.stdout.readline()
        with pytest.raises(BusyError, match="A session is training"):
            roll_back(workspace, "20260101-000000-lesson")
        with pytest.raises(BusyError, match="A session is training"):
            unpublish(workspace)
        assert fingerprint_of(workspace.trained_model) == second
    finally:
        worker.communicate(b"end\n")
    roll_back(workspace, "20260101-000000-lesson")


# --- names, and what a roll back will do ----------------------------------------------------------


def test_a_version_has_a_name_until_it_is_taken_away(workspace):
    publish_model(workspace, 1)
    publish_model(workspace, 2)
    name_version(workspace, "20260101-000000-lesson", "  before\n the   summer ")
    assert list_versions(workspace)[0].name == "before the summer"
    name_version(workspace, "20260101-000000-lesson", "")
    assert list_versions(workspace)[0].name == ""


@pytest.mark.parametrize("name", ["x" * 61, "a\0b", "a\x1b[31mb", "\u202ereversed"])
def test_a_name_that_is_too_long_or_holds_what_nobody_sees_is_refused(workspace, name):
    publish_model(workspace, 1)
    publish_model(workspace, 2)
    with pytest.raises(RequestError, match="at most 60"):
        name_version(workspace, "20260101-000000-lesson", name)
    with pytest.raises(WorkspaceError, match="There is no version"):
        name_version(workspace, "../trained_model", "a name")


def test_name_and_keeping_survive_becoming_the_current_model_and_being_replaced(workspace):
    first = publish_model(workspace, 1)
    publish_model(workspace, 2)
    name_version(workspace, "20260101-000000-lesson", "the good one")
    pin(workspace, "20260101-000000-lesson", pinned=True)
    roll_back(workspace, "20260101-000000-lesson")
    assert fingerprint_of(workspace.trained_model) == first
    for seed in range(3, 3 + VERSIONS_KEPT + 2):
        publish_model(workspace, seed)
    kept = next(v for v in list_versions(workspace) if v.fingerprint == first)
    assert (kept.name, kept.pinned) == ("the good one", True)
    assert sum(v.pinned for v in list_versions(workspace)) == 1  # the next model did not inherit it


def test_what_a_roll_back_will_do_is_known_before(workspace):
    first, second = publish_model(workspace, 1), publish_model(workspace, 2)
    ahead = prospect(workspace, "20260101-000000-lesson")
    assert (ahead.version.fingerprint, ahead.current.fingerprint) == (first, second)
    assert (ahead.onnx, ahead.leaves) == ("none", False)
    assert ahead.size == sum(f.stat().st_size for f in (workspace.versions / ahead.version.id).iterdir())
    own = workspace.versions / ahead.version.id / "onnx"
    for here, kept, expected in (
        (second, None, ("none", True)),
        (second, first, ("kept", True)),
        (first, None, ("here", False)),
        ("gone", None, ("other", False)),
        ("gone", first, ("kept", False)),
    ):
        make_onnx(workspace.onnx_model, here)
        if kept:
            make_onnx(own, kept)
        ahead = prospect(workspace, "20260101-000000-lesson")
        assert (ahead.onnx, ahead.leaves) == expected, (here, kept)
        shutil.rmtree(workspace.onnx_model)
        shutil.rmtree(own, ignore_errors=True)
    with pytest.raises(WorkspaceError, match="There is no version"):
        prospect(workspace, "nobody")
    assert fingerprint_of(workspace.trained_model) == second


def test_a_roll_back_is_undone_through_the_fingerprint_of_what_was_current(workspace):
    publish_model(workspace, 1)
    second = publish_model(workspace, 2)
    roll_back(workspace, "20260101-000000-lesson")
    former = version_with(workspace, second)
    assert roll_back(workspace, former.id) == second
    assert version_with(workspace, second) is None
    assert version_with(workspace, None) is None


def test_a_roll_back_without_room_on_the_disk_is_refused_and_touches_nothing(workspace, monkeypatch):
    publish_model(workspace, 1)
    second = publish_model(workspace, 2)
    before = listing(workspace.versions)
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(DiskFullError, match="0 MB are free"):
        roll_back(workspace, "20260101-000000-lesson")
    assert fingerprint_of(workspace.trained_model) == second
    assert listing(workspace.versions) == before
    assert beside(workspace.trained_model) == []


# --- retire ---------------------------------------------------------------------------------------


def test_retiring_keeps_the_model_as_a_version_and_removes_its_export(workspace):
    first = publish_model(workspace, 1)
    make_onnx(workspace.onnx_model, first)
    kept = unpublish(workspace)
    assert kept == workspace.versions / "20260101-000000-lesson"
    situation = workspace.situation()
    assert (situation.trained.state, situation.onnx.state) == ("missing", "missing")
    assert roll_back(workspace, kept.name) == first
    assert beside(workspace.trained_model) == []


def test_retiring_an_incomplete_model_sets_it_aside(workspace):
    (make_model(workspace.trained_model) / "config.json").unlink()
    assert unpublish(workspace).parent == workspace.set_aside
    assert workspace.situation().trained.state == "missing"


def test_retiring_nothing_does_nothing(workspace):
    assert unpublish(workspace) is None
    assert not workspace.trained_model.exists()


def test_retiring_deletes_no_folder_that_is_no_export(workspace):
    workspace.onnx_model.mkdir(parents=True)
    (workspace.onnx_model / "thesis.txt").write_text("years of work")
    unpublish(workspace)
    assert (workspace.onnx_model / "thesis.txt").read_text() == "years of work"


# --- replacing an ONNX folder ---------------------------------------------------------------------


def stage(target, fingerprint="new"):
    return make_onnx(stage_path(target, "job"), fingerprint)


def test_an_export_takes_the_place_of_the_one_before(workspace):
    make_onnx(workspace.onnx_model, "old")
    (workspace.onnx_model / "int8").mkdir()
    staged = stage(workspace.onnx_model)
    replace_folder(staged, workspace.onnx_model)
    assert workspace.situation().onnx.fingerprint == "new"
    assert not (workspace.onnx_model / "int8").exists()
    assert not staged.exists()
    assert sorted(os.listdir(workspace.root)) == [".onnx_model.lock", "onnx_model"]


def test_an_export_without_a_record_is_replaced_as_well(workspace):
    make_onnx(workspace.onnx_model)
    replace_folder(stage(workspace.onnx_model), workspace.onnx_model)
    assert sorted(os.listdir(workspace.root)) == [".onnx_model.lock", "onnx_model"]


@pytest.mark.parametrize("name", ["thesis.txt", "sub/thesis.txt", "model.onnx"])
def test_a_folder_that_is_no_export_is_moved_aside_and_not_deleted(tmp_path, name):
    target = tmp_path / "documents"
    (target / name).parent.mkdir(parents=True)
    (target / name).write_text("years of work")
    assert is_foreign(target)
    for number in ("", "-2"):
        install(stage(target), target, "fp32")
        shutil.copytree(tmp_path / "documents-set-aside", target, dirs_exist_ok=True)
        (target / "export.json").unlink()
        (target / "config.json").unlink()
        assert (tmp_path / f"documents-set-aside{number}" / name).read_text() == "years of work"


def test_an_empty_folder_and_an_export_are_not_foreign(tmp_path):
    assert not is_foreign(tmp_path / "never made")
    (tmp_path / ".gitkeep").touch()
    assert not is_foreign(tmp_path)
    assert not is_foreign(make_onnx(tmp_path / "onnx"))
    assert not is_foreign(make_onnx(tmp_path / "half", "of-a-model", content=b""))


def test_a_staged_folder_must_lie_beside_its_target(tmp_path):
    make_onnx(tmp_path / "elsewhere" / "staged")
    with pytest.raises(ValueError, match="must lie beside"):
        swap(tmp_path / "elsewhere" / "staged", tmp_path / "onnx_model", None)


# --- what the dead leave --------------------------------------------------------------------------


def test_leftovers_of_the_dead_are_removed_and_nothing_else(tmp_path):
    target = tmp_path / "model[1]"
    dead = [
        ".model[1].staged-s.999999-1",
        ".model[1].previous-s.999999-1",
        "..model[1].staged-s.999999-1.partial",
        ".model[1].staged-of-another-time",
    ]
    others = [
        "model[1]",
        "model[1]-old",
        ".model[1]2.staged-s",
        ".model1.staged-s",
        ".other.staged-s.999999-1",
    ]
    for name in (*dead, *others):
        make_model(tmp_path / name)
    half = tmp_path / f".{journal_of(target).name}.999999-1.tmp"
    half.write_text("{")
    clear_leftovers(target)
    assert {path.name for path in tmp_path.iterdir()} == {*others, ".model[1].lock"}


EXPORT = """
import sys
from pathlib import Path
from sails.models.journal import stage_path
staged = stage_path(Path(sys.argv[1]), "job")
staged.mkdir(parents=True)
(staged / "model.onnx").write_text("half")
print(staged, flush=True)
sys.stdin.readline()
"""


def test_what_a_living_process_still_builds_is_spared(workspace):
    """An export takes minutes; another one that starts meanwhile must not sweep it away."""
    command = [sys.executable, "-c", EXPORT, str(workspace.onnx_model)]
    exporter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        staged = Path(exporter.stdout.readline().strip())
        clear_leftovers(workspace.onnx_model)
        assert (staged / "model.onnx").read_text() == "half"
        shutil.copytree(staged, own := stage_path(workspace.onnx_model, "failed earlier"))
    finally:
        exporter.kill()
        exporter.communicate()
    clear_leftovers(workspace.onnx_model)
    assert not staged.exists()
    assert not own.exists()


def test_recovering_where_nothing_happened_does_nothing(workspace):
    publish_model(workspace, 1)
    before = listing(workspace.root)
    recover_folder(workspace.trained_model)
    recover_folder(workspace.onnx_model)
    assert listing(workspace.root) == before


@pytest.mark.parametrize(
    "journal", ["{ half", "", "[]", "{}", '{"staged": "../x", "previous": "", "keep": 5}']
)
def test_a_journal_that_cannot_be_read_stops_every_writer_and_no_reader(workspace, journal):
    first = publish_model(workspace, 1)
    journal_of(workspace.trained_model).write_text(journal)
    for write in (lambda: publish_model(workspace, 2), lambda: recover_folder(workspace.trained_model)):
        with pytest.raises(WorkspaceError, match="is damaged") as refused:
            write()
        assert "sails doctor --repair" in refused.value.remedy
    assert workspace.situation().trained.fingerprint == first
    assert list_versions(workspace) == []


# --- provenance -----------------------------------------------------------------------------------


def test_provenance_that_nobody_recorded_or_that_is_damaged_is_none(tmp_path):
    assert provenance_of(tmp_path / "gone") is None
    for content in ("{", "[]", "{}", '{"created": "yesterday"}'):
        (tmp_path / "sails.json").write_text(content)
        assert provenance_of(tmp_path) is None


def test_a_journal_that_does_not_say_where_the_old_content_goes_deletes_nothing(workspace):
    make_model(workspace.trained_model, 1)
    old = make_model(workspace.root / ".trained_model.previous-x", 2)
    journal_of(workspace.trained_model).write_text(json.dumps({"staged": "none", "previous": old.name}))
    before = listing(old)
    with pytest.raises(WorkspaceError):
        recover_folder(workspace.trained_model)
    assert listing(old) == before
