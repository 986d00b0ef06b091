"""kill -9 at every line of publishing: nobody ever sees half a model, and nothing is ever lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sails.errors import RequestError
from sails.jobs import candidates
from sails.models import folder as model_folder
from sails.models import journal, publish, versions, workspace
from sails.models.folder import inspect_model, inspect_onnx
from sails.models.journal import journal_of, recover_folder, stage_path
from sails.models.onnx_store import recover_onnx
from sails.models.publish import roll_back, unpublish
from sails.models.versions import Provenance, list_versions
from sails.models.workspace import Workspace
from sails.sessions import Session, Status, TrainSpec, read_history, write_down_verdicts
from sails.sessions.spec import spec_as_json
from sails.system import files, locks
from tests.support.folders import fingerprint_of, make_model, make_onnx, replace_folder
from tests.support.killing import deaths, die_at, folder_in_memory, for_every_line

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
OUR_LINES = (publish, journal, versions, locks, files)
ALL_LINES = (*OUR_LINES, shutil)  # also in the middle of copying and deleting
OLD, NEW, NEXT = 1, 2, 3


class Stage:
    """A workspace whose state can be set up once and restored for every death."""

    def __init__(self, folder: Path, elsewhere: Path | None = None) -> None:
        root = folder / "disk" / "w"
        trained_model = (elsewhere / "disk" / "far" if elsewhere else root) / "trained_model"
        self.folder, self.elsewhere, self.disk = folder, elsewhere, folder / "disk"
        self.workspace = Workspace(root, trained_model, root / "onnx_model")
        self.candidate = root / "sessions" / "new" / "model"
        self.prints = {n: fingerprint_of(make_model(folder / "made" / str(n), n)) for n in range(1, 9)}
        root.mkdir(parents=True)

    def put(self, seed: int, place: Path) -> Path:
        return Path(shutil.copytree(self.folder / "made" / str(seed), place))

    def publish(self, seed: int, session: str) -> str:
        if not self.candidate.exists():
            self.put(seed, self.candidate)
        provenance = Provenance(session=session, created=datetime.now(UTC))
        return publish.publish_model(self.workspace, self.candidate, provenance)

    def remember(self) -> Callable[[], None]:
        """What brings the present state back, any number of times."""
        places = [place for place in (self.folder, self.elsewhere) if place]
        for place in places:
            shutil.copytree(place / "disk", place / "remembered")

        def restore() -> None:
            for place in places:
                shutil.rmtree(place / "disk")
                shutil.copytree(place / "remembered", place / "disk")

        return restore

    def current(self) -> str | None:
        """What any reader finds; it must never be half a model."""
        state = self.workspace.situation().trained
        assert state.state != "incomplete", state
        return state.fingerprint

    def kept(self) -> list[str | None]:
        """The versions, newest first; each must be whole."""
        found = list_versions(self.workspace)
        prints = {version.id: version.fingerprint for version in found}
        for folder in self.workspace.versions.glob("[!.]*"):
            assert inspect_model(folder).fingerprint == prints[folder.name], folder
        return [version.fingerprint for version in found]

    def everything(self) -> set[str]:
        """Every model that is current, a version, or a candidate still."""
        found = {self.current(), *self.kept(), inspect_model(self.candidate).fingerprint}
        return {fingerprint for fingerprint in found if fingerprint}

    def assert_at_rest(self) -> None:
        """Nothing hidden lies around any more, but for the locks."""
        for place in (self.workspace.root, self.workspace.trained_model.parent, self.workspace.versions):
            assert [path.name for path in place.glob(".*") if path.suffix != ".lock"] == []


@pytest.fixture
def stage():
    with folder_in_memory() as folder:
        yield Stage(folder)


# --- killed ---------------------------------------------------------------------------------------


def test_publishing_killed_anywhere_leaves_the_old_model_or_the_new_one_and_loses_neither(stage):
    old, new, following = (stage.prints[seed] for seed in (OLD, NEW, NEXT))
    stage.publish(OLD, "old")
    stage.put(NEW, stage.candidate)
    seen = set()
    for death in deaths(stage.remember(), lambda: stage.publish(NEW, "new"), OUR_LINES, stage.disk):
        seen.add(stage.current())
        assert stage.current() in (old, new), death
        recover_folder(stage.workspace.trained_model)
        assert not journal_of(stage.workspace.trained_model).exists(), death
        assert stage.everything() == {old, new}, death
        if stage.candidate.exists():
            assert stage.publish(NEW, "new") == new  # the session is resumed, and publishes again
        assert (stage.current(), stage.kept()) == (new, [old]), death
        assert stage.publish(NEXT, "next") == following
        assert (stage.current(), stage.kept()) == (following, [new, old]), death
        stage.assert_at_rest()
    assert seen == {old, new}
    assert death.survived
    assert death.number > 100


def test_the_first_publication_killed_anywhere_is_there_or_not_there(stage):
    new = stage.prints[NEW]
    stage.put(NEW, stage.candidate)
    seen = set()
    for death in deaths(stage.remember(), lambda: stage.publish(NEW, "new"), OUR_LINES, stage.disk):
        seen.add(stage.current())
        recover_folder(stage.workspace.trained_model)
        assert stage.everything() == {new}, death
        if stage.candidate.exists():
            stage.publish(NEW, "new")
        assert (stage.current(), stage.kept()) == (new, []), death
        stage.publish(NEXT, "next")
        stage.assert_at_rest()
    assert seen == {None, new}


def test_publishing_over_an_incomplete_model_killed_anywhere_keeps_its_files(stage):
    new, target = stage.prints[NEW], stage.workspace.trained_model
    (stage.put(OLD, target) / "config.json").unlink()
    stage.put(NEW, stage.candidate)
    weights = (target / "model.safetensors").read_bytes()

    def places_of_the_old_weights():
        found = stage.workspace.root.rglob("model.safetensors")
        return [path.parent for path in found if path.read_bytes() == weights]

    for death in deaths(stage.remember(), lambda: stage.publish(NEW, "new"), OUR_LINES, stage.disk):
        state = stage.workspace.situation().trained
        assert state.fingerprint == new or state.reason == "config.json is missing", death
        recover_folder(target)
        assert len(places_of_the_old_weights()) == 1, death
        if stage.candidate.exists():
            stage.publish(NEW, "new")
        assert stage.current() == new, death
        [kept] = places_of_the_old_weights()
        assert kept.parent == stage.workspace.set_aside, death
        stage.publish(NEXT, "next")
        stage.assert_at_rest()


def test_publishing_that_deletes_a_sixth_version_killed_anywhere_leaves_none_half_deleted(stage):
    for seed in range(1, 7):
        stage.publish(seed, f"s{seed}")
    stage.put(7, stage.candidate)
    wanted = {stage.prints[seed] for seed in range(2, 8)}
    for death in deaths(stage.remember(), lambda: stage.publish(7, "s7"), ALL_LINES, stage.disk):
        assert stage.current() in (stage.prints[6], stage.prints[7]), death
        stage.kept()
        recover_folder(stage.workspace.trained_model)
        assert wanted <= stage.everything(), death
        if stage.candidate.exists():
            stage.publish(7, "s7")
        stage.publish(8, "s8")
        stage.assert_at_rest()
        assert stage.kept() == [stage.prints[seed] for seed in (7, 6, 5, 4, 3)], death


@pytest.mark.parametrize("verdict", ["held", "discarded"])
def test_publishing_a_held_model_killed_anywhere_says_held_or_published_and_which_is_true(stage, verdict):
    old, new = stage.prints[OLD], stage.prints[NEW]
    stage.publish(OLD, "old")
    stage.put(NEW, stage.candidate)
    spec = {"dataset": "d", "rows": 1, "id": "new", "name": "new", "created": datetime.now(UTC)}
    folders = {name: getattr(stage.workspace, name) for name in ("trained_model", "onnx_model")}
    session = Session(stage.candidate.parent)
    session.write_status(Status(state="succeeded", verdict=verdict, fingerprint=new))
    (session.folder / "spec.json").write_text(
        spec_as_json(TrainSpec(**spec, **folders), stage.workspace.root)
    )
    seen = set()
    lines = (*OUR_LINES, candidates)
    for death in deaths(
        stage.remember(), lambda: candidates.publish_held(stage.workspace, session), lines, stage.disk
    ):
        [record] = read_history(stage.workspace)
        told = record.status.verdict
        assert told == session.status().verdict
        assert stage.current() == (new if told == "published" else old), death
        seen.add(told)
        if told == "published":
            with pytest.raises(RequestError, match="is published already"):
                candidates.publish_held(stage.workspace, session)
            write_down_verdicts(stage.workspace)
            assert session.written_status().verdict == "published"
        else:
            candidates.publish_held(stage.workspace, session)
        assert (stage.current(), stage.kept(), session.status().verdict) == (new, [old], "published"), death
    assert seen == {verdict, "published"}


def test_a_copy_made_in_the_middle_of_publishing_takes_nothing_from_the_original(stage):
    old, new = stage.prints[OLD], stage.prints[NEW]
    stage.publish(OLD, "old")
    stage.put(NEW, stage.candidate)

    written = journal_of(stage.workspace.trained_model)
    assert die_at(lambda: stage.publish(NEW, "new"), (journal,), lambda _: written.exists())
    copy = Workspace.open(shutil.copytree(stage.workspace.root, stage.folder / "copy"))
    recover_folder(copy.trained_model)
    assert copy.situation().trained.fingerprint == new
    assert [version.fingerprint for version in list_versions(copy)] == [old]
    assert inspect_model(stage.candidate).fingerprint == new
    assert inspect_model(stage.workspace.trained_model).fingerprint == old


def test_publishing_across_filesystems_killed_anywhere_loses_nothing(stage, tmp_path):
    if tmp_path.stat().st_dev == stage.folder.stat().st_dev:
        pytest.skip("this machine has one filesystem only, so moving across two cannot be tried")
    far = Stage(tmp_path, elsewhere=stage.folder)
    old, new = far.prints[OLD], far.prints[NEW]
    far.publish(OLD, "old")
    far.put(NEW, far.candidate)
    watched = (tmp_path / "disk", stage.folder / "disk")
    for death in deaths(far.remember(), lambda: far.publish(NEW, "new"), ALL_LINES, *watched):
        assert far.current() in (old, new), death
        far.kept()
        recover_folder(far.workspace.trained_model)
        assert far.everything() == {old, new}, death
        if far.candidate.exists():
            far.publish(NEW, "new")
        assert (far.current(), far.kept()) == (new, [old]), death
        journal.clear_leftovers(far.workspace.trained_model)
        far.assert_at_rest()


def test_rolling_back_killed_anywhere_loses_neither_model(stage):
    old, new = stage.prints[OLD], stage.prints[NEW]
    stage.publish(OLD, "old")
    stage.publish(NEW, "new")
    for death in deaths(stage.remember(), lambda: roll_back(stage.workspace, "old"), ALL_LINES, stage.disk):
        assert stage.current() in (old, new), death
        stage.kept()
        recover_folder(stage.workspace.trained_model)
        assert stage.everything() == {old, new}, death
        if death.survived:
            assert (stage.current(), stage.kept()) == (old, [new])
        stage.publish(NEXT, "next")
        assert stage.everything() == {old, new, stage.prints[NEXT]}, death
        stage.assert_at_rest()
    assert death.number > 200


def test_rolling_back_killed_anywhere_never_takes_the_onnx_model_of_one_for_that_of_another(stage):
    old, new, workspace = stage.prints[OLD], stage.prints[NEW], stage.workspace
    stage.publish(OLD, "old")
    stage.publish(NEW, "new")
    make_onnx(workspace.versions / "old" / "onnx", old, old.encode())
    make_onnx(workspace.onnx_model, new, new.encode())
    for death in deaths(stage.remember(), lambda: roll_back(workspace, "old"), OUR_LINES, stage.disk):
        recover_folder(workspace.trained_model)
        recover_onnx(workspace.onnx_model)
        assert stage.everything() == {old, new}, death
        homes = [workspace.onnx_model, *workspace.versions.glob("*/onnx")]
        answers = {home: (home / "model.onnx").read_bytes().decode() for home in homes if home.exists()}
        assert set(answers.values()) == {old, new}, death
        for home, fingerprint in answers.items():
            model = workspace.trained_model if home == workspace.onnx_model else home.parent
            state = inspect_onnx(home, inspect_model(model).fingerprint)
            assert state.fingerprint == fingerprint, death
            assert state.stale is False or home == workspace.onnx_model, death
    assert death.survived
    assert answers[workspace.onnx_model] == old


def test_a_reset_killed_anywhere_keeps_the_model(stage):
    old, workspace = stage.prints[OLD], stage.workspace
    stage.publish(OLD, "old")
    make_onnx(workspace.onnx_model, old)
    for death in deaths(stage.remember(), lambda: unpublish(workspace), ALL_LINES, stage.disk):
        assert stage.current() in (None, old), death
        assert workspace.situation().onnx.fingerprint in (None, old), death
        recover_folder(workspace.trained_model)
        recover_folder(workspace.onnx_model)
        assert stage.everything() == {old}, death
        unpublish(workspace)
        assert (stage.current(), workspace.onnx_model.exists()) == (None, False), death
        assert stage.kept() == [old]
        stage.assert_at_rest()


def test_replacing_an_onnx_model_killed_anywhere_leaves_the_old_one_or_the_new_one(stage):
    workspace, seen = stage.workspace, set()
    make_onnx(workspace.onnx_model, "old")

    def export():
        replace_folder(make_onnx(stage_path(workspace.onnx_model, "job"), "new"), workspace.onnx_model)

    for death in deaths(stage.remember(), export, ALL_LINES, stage.disk):
        onnx = workspace.situation().onnx
        seen.add(onnx.fingerprint)
        assert {file.name for file in onnx.files} == {"model.onnx", "config.json", "export.json"}, death
        recover_folder(workspace.onnx_model)
        assert workspace.situation().onnx.fingerprint in ("old", "new"), death
        export()
        assert workspace.situation().onnx.fingerprint == "new", death
        journal.clear_leftovers(workspace.onnx_model)
        stage.assert_at_rest()
    assert seen == {"old", "new"}


def killed_between_the_renames(stage):
    """A publication of NEW over OLD whose worker died while there was no folder of that name at all."""
    stage.publish(OLD, "old")
    stage.put(NEW, stage.candidate)
    target = stage.workspace.trained_model
    assert die_at(lambda: stage.publish(NEW, "new"), OUR_LINES, lambda _: not target.exists())
    assert stage.current() == stage.prints[NEW]
    return stage.remember()


def test_a_recovery_that_is_killed_itself_is_finished_by_the_next(stage):
    old, new, target = stage.prints[OLD], stage.prints[NEW], stage.workspace.trained_model
    for death in deaths(
        killed_between_the_renames(stage), lambda: recover_folder(target), ALL_LINES, stage.disk
    ):
        assert stage.current() == new, death
        recover_folder(target)
        assert (stage.current(), stage.kept()) == (new, [old]), death
        stage.assert_at_rest()


# --- readers beside a living publisher ------------------------------------------------------------


def every_interleaving(prepare, happens, read):
    """What is read when something happens just before the reader's N-th line; for every N."""
    number, states = 0, []
    while True:
        number += 1
        prepare()
        reached = []

        def meanwhile(count, _frame, number=number, reached=reached):
            if count == number:
                reached.append(count)
                happens()

        states.append(for_every_line(read, (workspace, model_folder, journal), meanwhile))
        if not reached:
            return states


def test_a_publication_between_any_two_lines_of_a_reader_never_shows(stage):
    stage.publish(OLD, "old")
    states = every_interleaving(
        stage.remember(), lambda: stage.publish(NEW, "new"), lambda: stage.workspace.situation().trained
    )
    assert {state.state for state in states} == {"complete"}
    assert {state.fingerprint for state in states} == {stage.prints[OLD], stage.prints[NEW]}
    assert len(states) > 50


def test_a_recovery_between_any_two_lines_of_a_reader_never_shows(stage):
    restore, target = killed_between_the_renames(stage), stage.workspace.trained_model
    states = every_interleaving(
        restore, lambda: recover_folder(target), lambda: stage.workspace.situation().trained
    )
    assert {(state.state, state.fingerprint) for state in states} == {("complete", stage.prints[NEW])}


def test_an_export_between_any_two_lines_of_a_reader_never_shows(stage):
    target = stage.workspace.onnx_model
    make_onnx(target, "old")

    def happens():
        replace_folder(make_onnx(stage_path(target, "job"), "new"), target)

    states = every_interleaving(stage.remember(), happens, lambda: stage.workspace.situation().onnx)
    assert {(state.state, state.fingerprint) for state in states} == {("present", "old"), ("present", "new")}


POLL = """
import sys
from pathlib import Path
from sails.models.workspace import Workspace
root = Path(sys.argv[1])
workspace, polls, seen, wrong = Workspace.open(root), 0, set(), []
print("reading", flush=True)
while not (root / "end").exists():
    situation = workspace.situation()
    polls += 1
    seen.add(situation.trained.fingerprint)
    if not situation.trained.complete or not situation.onnx.present:
        wrong.append(situation)
print(len(seen), polls, wrong[:3])
"""


def test_a_reader_that_polls_during_a_hundred_publications_never_misses_a_model(stage):
    workspace = stage.workspace
    stage.publish(OLD, "old")
    make_onnx(workspace.onnx_model, "0")
    command = [sys.executable, "-c", POLL, str(workspace.root)]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout.readline() == "reading\n"
        for number in range(100):
            stage.publish(2 + number % 7, f"s{number}")
            staged = make_onnx(stage_path(workspace.onnx_model, "job"), str(number))
            replace_folder(staged, workspace.onnx_model)
        (workspace.root / "end").touch()
        models, polls, wrong = reader.stdout.readline().split(maxsplit=2)
    finally:
        reader.kill()
        reader.communicate()
    assert wrong == "[]\n"
    assert int(models) > 2  # it did look while models changed
    assert int(polls) > 20
