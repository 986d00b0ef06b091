"""Who may change what, and where."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from sails import data, doctor, models, sessions
from sails.chat import ChatHistory, feedback
from sails.data import datasets
from sails.errors import AccessError, RequestError, ViewOnlyError
from sails.jobs import export, launcher, playback, submit, watch
from sails.models import publish, versions
from sails.models.workspace import Workspace, create_workspace
from sails.sessions import Settings, demo
from sails.system import AUDIT, Rules, Visitor, access, read_audit
from sails.training.plan import Choices, plan_training
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


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_what_a_command_makes_is_for_its_own_user_alone(tmp_path):
    talks = tmp_path / "talks.json"
    talks.write_text('[{"input": "Which one?", "output": "That.", "accepted": true}]')
    code = "import os; os.umask(0o022); from sails.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    command = ["corrections", "import", str(talks), "--workspace", str(tmp_path / "w")]
    command = [sys.executable, "-c", code, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = [tmp_path / "w", *(tmp_path / "w").rglob("*")]
    assert len(made) > 2
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in made if path.stat().st_mode & 0o077} == {}


# --- roles ----------------------------------------------------------------------------------------

ROLES = {
    "roles": {"admin": ["cleo@example.org"], "trainer": ["Ann@example.org"], "viewer": ["@example.org"]},
    "limits": {"trainings": 1, "questions": 2, "upload_mb": 0.001, "workspace_gb": 0.1},
    "workspaces": {"rivers": {"roles": {"trainer": ["group:rivers"], "viewer": ["ann@example.org"]}}},
}


def visit(monkeypatch, root, email, *, groups=(), signed_in=True, workspace=None):
    """From now on, somebody visits the dashboard who signed in so."""
    rules = Rules.read(ROLES, root)
    person = Visitor(email, "192.0.2.7", email, frozenset(groups), signed_in, rules, workspace)
    monkeypatch.setattr(access, "_asked_first", [lambda: person])


@pytest.mark.parametrize(
    ("email", "groups", "folder", "role"),
    [
        ("ann@example.org", (), "workspace", "trainer"),
        ("ANN@EXAMPLE.ORG", (), "workspace", "trainer"),
        ("ann@example.org", (), "rivers", "viewer"),
        ("ann@example.org", (), "rivers/sessions/one", "viewer"),
        ("ann@example.org", (), "rivers2", "trainer"),
        ("bob@example.org", (), "workspace", "viewer"),
        ("bob@example.org", (), "rivers", None),
        ("bob@example.org", ("rivers",), "rivers", "trainer"),
        ("cleo@example.org", (), "rivers", "admin"),
        ("ann@example.org.evil.example", (), "workspace", None),
        ("ann@evil.example", (), "workspace", None),
        ("group:rivers", (), "rivers", None),  # an address that looks like a group
        ("group:rivers@example.org", (), "rivers", None),
        ("", (), "workspace", None),
    ],
)
def test_a_role_is_by_address_or_group_and_a_workspace_may_have_its_own(
    tmp_path, email, groups, folder, role
):
    rules = Rules.read(ROLES, tmp_path)
    assert rules.role_of(email, frozenset(groups), tmp_path / folder) == role


@pytest.mark.parametrize(
    "table",
    [
        {"roles": {"owner": ["ann@example.org"]}},
        {"roles": {"admin": "ann@example.org"}},
        {"roles": {"admin": [""]}},
        {"role": {}},
        {"limits": {"disk": 1}},
        {"limits": {"trainings": "1"}},
        {"limits": {"trainings": -1}},
        {"workspaces": {"rivers": {"admin": ["ann@example.org"]}}},
        {"workspaces": []},
    ],
)
def test_a_table_of_roles_that_cannot_be_meant_is_refused(tmp_path, table):
    with pytest.raises(RequestError):
        Rules.read(table, tmp_path)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("who", "error"),
    [("bob@example.org", ViewOnlyError), ("dan@evil.example", AccessError), (None, AccessError)],
)
def test_who_has_not_the_role_changes_nothing_and_that_is_written_down(
    place, tmp_path, monkeypatch, change, who, error
):
    visit(monkeypatch, tmp_path, who or "", signed_in=who is not None, workspace=place.root)
    (place.root / AUDIT).touch()
    before = listing(tmp_path)
    with pytest.raises(AccessError if change in ("make a workspace", "reset") else error):
        CHANGES[change](place, tmp_path / "lesson.json")
    noted = f"{place.root.name}/{AUDIT}"
    assert {**listing(tmp_path), noted: None} == {**before, noted: None}
    if change == "rename a dataset":
        (line,) = read_audit(place.root)
        assert (line.act, line.what, line.outcome) == ("rename a dataset", "lesson", "refused")
        assert (line.who, line.address, line.role) == (
            who or "",
            "192.0.2.7",
            "viewer" if who and "bob" in who else "",
        )


def test_what_a_trainer_does_is_written_down_with_who_when_and_from_where(place, tmp_path, monkeypatch):
    visit(monkeypatch, tmp_path, "ann@example.org")
    datasets.rename(place, "lesson", "new name")
    with pytest.raises(RequestError):
        datasets.rename(place, "new-name", "...")
    with pytest.raises(AccessError):
        publish.unpublish(place)
    done, failed, refused = read_audit(place.root)
    assert (done.outcome, done.who, done.role, done.address) == (
        "done",
        "ann@example.org",
        "trainer",
        "192.0.2.7",
    )
    assert datetime.now(UTC) - datetime.fromisoformat(done.when) < timedelta(minutes=1)
    assert (failed.outcome, failed.why) == ("failed", "A name needs a letter or a digit.")
    assert (refused.outcome, refused.act) == ("refused", "take the current model away")
    monkeypatch.setattr(access, "_asked_first", [])
    monkeypatch.setenv(access.WHO, "Ben")
    datasets.rename(place, "new-name", "third name")  # on the command line
    assert [(line.who, line.address) for line in read_audit(place.root)][3:] == [("Ben", "")]


def test_without_sign_in_nothing_is_written_down_of_who_may_do_everything(place):
    datasets.rename(place, "lesson", "new name")
    assert not (place.root / AUDIT).exists()


def test_an_act_within_an_act_is_one_line(place, tmp_path, monkeypatch):
    visit(monkeypatch, tmp_path, "ann@example.org")
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    choices = Choices(datasets=("lesson",), settings=Settings())
    submit.start_training(place, choices)
    assert [line.act for line in read_audit(place.root)] == ["start a training"]


def test_the_log_of_acts_is_for_an_admin_alone(place, tmp_path, monkeypatch):
    visit(monkeypatch, tmp_path, "ann@example.org")
    datasets.rename(place, "lesson", "new name")
    with pytest.raises(AccessError):
        access.export_audit(place.root)
    visit(monkeypatch, tmp_path, "cleo@example.org")
    assert access.export_audit(place.root) == (place.root / AUDIT).read_bytes()


def test_a_workspace_of_others_is_not_opened_nor_a_model_or_a_file_in_it(tmp_path, monkeypatch):
    visit(monkeypatch, tmp_path, "bob@example.org")
    assert Workspace.open(tmp_path / "workspace").root == tmp_path / "workspace"
    with pytest.raises(AccessError, match="no role in rivers"):
        Workspace.open(tmp_path / "rivers")
    with pytest.raises(AccessError):
        Workspace.open(tmp_path / "workspace", output_dir=tmp_path / "rivers/trained_model")
    with pytest.raises(AccessError):
        access.inside(tmp_path, "rivers/watched.json")
    (tmp_path / "link").symlink_to(tmp_path / "rivers")
    with pytest.raises(AccessError):
        Workspace.open(tmp_path / "link")


def test_a_model_in_the_workspace_of_others_is_no_base_model(place, tmp_path, monkeypatch):
    theirs = make_situation(tmp_path / "rivers", 3).trained_model
    (tmp_path / "link").symlink_to(theirs)
    visit(monkeypatch, tmp_path, "dan@example.org", workspace=place.root)
    for named in (theirs, tmp_path / "link", place.root / "../rivers/trained_model"):
        with pytest.raises(AccessError):
            models.named_base_model(str(named))
        with pytest.raises(AccessError):
            plan_training(place, start="base", model_name=str(named))
    assert models.named_base_model(str(place.trained_model)).name == str(place.trained_model)
    assert [line.act for line in read_audit(tmp_path / "rivers")] == ["open the workspace"] * 6


def test_a_file_in_the_workspace_of_others_is_not_watched(place, tmp_path, monkeypatch):
    monkeypatch.setitem(ROLES["workspaces"]["rivers"], "roles", {"trainer": ["group:rivers"]})
    visit(monkeypatch, tmp_path, "ann@example.org", workspace=place.root)
    (tmp_path / "rivers").mkdir()
    order = watch.order_of(file=tmp_path / "rivers/a.jsonl", at_least=1, every=1, settings=Settings())
    with pytest.raises(AccessError, match="no role in"):
        watch.switch_on(place, order)
    assert not watch.watch_state(place).on


def test_who_tries_to_open_what_is_not_theirs_is_written_down_there(place, tmp_path, monkeypatch):
    rivers = place.root.rename(tmp_path / "rivers")
    usual = make_situation(tmp_path / "workspace", 3).root
    (new := tmp_path / "new").mkdir()
    tries = [
        ("bob@example.org", lambda: Workspace.open(rivers), rivers),
        ("bob@example.org", lambda: access.inside(tmp_path, "rivers/sessions"), rivers),
        ("bob@example.org", lambda: Workspace.open(usual, output_dir=rivers / "trained_model"), rivers),
        ("dan@evil.example", lambda: Workspace.open(usual), usual),
        ("dan@evil.example", lambda: access.inside(tmp_path, "workspace/sessions"), usual),
        ("dan@evil.example", lambda: access.inside(tmp_path, "new/sessions", [new]), new),
    ]
    for who, attempt, noted in tries:
        before = len(read_audit(noted))
        visit(monkeypatch, tmp_path, who, workspace=usual)
        with pytest.raises(AccessError):
            attempt()
        assert len(read_audit(noted)) == before + 1
        line = read_audit(noted)[-1]
        assert (line.act, line.who, line.outcome) == ("open the workspace", who, "refused")
    assert sorted(path.parent for path in tmp_path.rglob(AUDIT)) == [new, rivers, usual]


@pytest.mark.parametrize("name", ["Rivers", "RIVERS/sessions/one", "rivers"])
def test_a_name_in_other_letters_is_the_same_workspace_where_the_disk_says_so(tmp_path, monkeypatch, name):
    rules = Rules.read(ROLES, tmp_path)
    assert rules.role_of("bob@example.org", frozenset(), tmp_path / "Rivers") == "viewer"  # here, another one
    monkeypatch.setattr(os.path, "samefile", lambda one, other: str(one).lower() == str(other).lower())
    assert rules.role_of("bob@example.org", frozenset(), tmp_path / name) is None
    assert rules.role_of("bob@example.org", frozenset(), tmp_path / "rivers2") == "viewer"


RIVERS_ADMIN = {"roles": {"viewer": ["@example.org"]}, "workspaces": {"rivers": {"roles": {}}}}
RIVERS_ADMIN["workspaces"]["rivers"]["roles"]["admin"] = ["eve@example.org"]


def test_an_admin_of_one_workspace_is_none_of_what_lies_beside_it(place, tmp_path, monkeypatch):
    rivers = make_situation(tmp_path / "rivers", 3).root
    doctor.back_up(place, tmp_path / "b.zip")
    (rivers / "out").symlink_to(tmp_path)
    monkeypatch.setitem(ROLES, "workspaces", RIVERS_ADMIN["workspaces"])
    monkeypatch.setitem(ROLES, "roles", RIVERS_ADMIN["roles"])
    visit(monkeypatch, tmp_path, "eve@example.org", workspace=rivers)
    for attempt in (
        lambda: doctor.restore(tmp_path / "b.zip", rivers / "copy"),  # which holds the work of others
        lambda: doctor.restore(tmp_path / "b.zip", rivers / "../copy"),
        lambda: create_workspace(tmp_path, "rivers/../new"),
        lambda: create_workspace(tmp_path, "rivers/out/new"),
    ):
        with pytest.raises(AccessError):
            attempt()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["rivers", "workspace"]
    assert not (rivers / "copy").exists()
    assert {line.outcome for line in read_audit(rivers)} == {"refused"}
    assert len(read_audit(rivers)) == 4


def test_who_may_only_look_at_a_workspace_changes_nothing_there(place, tmp_path, monkeypatch):
    place.root.rename(tmp_path / "rivers")
    shared = Workspace.open(tmp_path / "rivers")
    visit(
        monkeypatch, tmp_path, "ann@example.org", workspace=tmp_path / "workspace"
    )  # a trainer in their own
    with pytest.raises(ViewOnlyError):
        datasets.rename(shared, "lesson", "new name")


JUDGED = b'{"input": "Which?", "output": "That.", "accepted": true}' + b" " * 2000


@pytest.mark.parametrize("who", ["ann@example.org", "cleo@example.org", None])
def test_what_is_limited_is_refused_in_a_sentence_and_not_to_an_admin(place, tmp_path, monkeypatch, who):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    monkeypatch.setenv("SAILS_WORKSPACE", str(place.root))
    if who:
        visit(monkeypatch, tmp_path, who, workspace=place.root)
    history, content = ChatHistory(), (tmp_path / "lesson.json").read_bytes()
    history.ask("One?", [])
    history.ask("Two?", [])
    steps = [
        ("You may have 1 training", lambda: submit.submit_training(place, "lesson", Settings())),
        ("A conversation may have 2 questions", lambda: history.ask("Three?", [])),
        ("The file has", lambda: data.from_file("more.json", content)),
        ("The file has", lambda: feedback.import_file(place, tmp_path / "more.json", JUDGED)),
        (
            "The workspace takes 0.2 GB, and may take 0.1 GB",
            lambda: add_dataset(place, tmp_path / "lesson.json"),
        ),
    ]
    submit.submit_training(place, "lesson", Settings())
    with open(place.root / "large", "wb") as file:
        file.truncate(200_000_000)
    for sentence, step in steps:
        if who == "ann@example.org":
            with pytest.raises(RequestError, match=sentence):
                step()
        else:
            step()


def test_a_training_that_is_resumed_counts_and_one_that_was_taken_out_of_the_queue_does_not(
    place, tmp_path, monkeypatch
):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    monkeypatch.setenv("SAILS_WORKSPACE", str(place.root))
    visit(monkeypatch, tmp_path, "ann@example.org", workspace=place.root)
    first = submit.submit_training(place, "lesson", Settings())
    sessions.stop(place, first)
    second = submit.submit_training(place, "lesson", Settings())
    with pytest.raises(RequestError, match="You may have 1 training"):
        sessions.resume(place, first)
    visit(monkeypatch, tmp_path, "cleo@example.org", workspace=place.root)
    sessions.stop(place, second)
    sessions.resume(place, second)  # from now on it is Cleo's
    visit(monkeypatch, tmp_path, "ann@example.org", workspace=place.root)
    sessions.resume(place, first)
    with pytest.raises(RequestError, match="You may have 1 training"):
        submit.submit_training(place, "lesson", Settings())


def test_of_trainings_that_one_person_starts_at_once_no_more_begin_than_may(place, tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)
    monkeypatch.setenv("SAILS_WORKSPACE", str(place.root))
    visit(monkeypatch, tmp_path, "ann@example.org", workspace=place.root)
    beside = make_situation(tmp_path / "beside", 3)
    add_dataset(beside, tmp_path / "lesson.json")
    both = threading.Barrier(4)

    def start(workspace: Workspace) -> int:
        both.wait()
        try:
            return bool(submit.submit_training(workspace, "lesson", Settings()))
        except RequestError:
            return False

    with ThreadPoolExecutor() as pool:
        assert sum(pool.map(start, [place, beside, place, beside])) == 1


@pytest.mark.parametrize("act", ["train", "reset", "export", "roll back"])
def test_a_model_of_a_workspace_that_one_may_only_look_at_is_not_changed_from_another(
    place, tmp_path, monkeypatch, act
):
    shared = make_situation(tmp_path / "rivers", 3)
    pointed = Workspace.open(place.root, output_dir=shared.trained_model)
    visit(monkeypatch, tmp_path, "ann@example.org", workspace=place.root)
    before = listing(tmp_path / "rivers")
    acts = {
        "train": lambda: submit.submit_training(pointed, "lesson", Settings()),
        "reset": lambda: publish.unpublish(pointed),
        "export": lambda: export.export_current(Workspace.open(place.root, onnx_output=shared.onnx_model)),
        "roll back": lambda: publish.roll_back(pointed, "any"),
    }
    with pytest.raises((ViewOnlyError, AccessError)):
        acts[act]()
    assert listing(tmp_path / "rivers") == before
