"""Whether the workspace is well, as Home shows it: a card when something is wrong, and what mends it."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from sails import sessions
from sails.doctor import back_up, read_backup
from sails.models import VERSION_RECORD, Workspace
from sails.models.journal import journal_of
from sails.ui.bridge import care
from tests.pages.test_bridge import text, visit
from tests.support.folders import fingerprint_of, make_model
from tests.support.situations import make_session, make_situation, published

DAMAGED = "Something in this workspace is damaged"


@pytest.fixture(autouse=True)
def _looked_anew():
    care._quick_look.cache_clear()


@pytest.fixture
def workspace(root) -> Workspace:
    workspace = make_situation(root, 2)
    (workspace.trained_model / "sails.json").unlink()
    make_session(workspace, "rivers", **published())
    return workspace


def press(page: AppTest, label: str) -> AppTest:
    (button,) = [one for one in page.button if one.label == label]
    button.click().run()
    assert not page.exception
    return page


def with_care_open(page: AppTest) -> AppTest:
    page.session_state["care"] = True
    return page.run()


@pytest.mark.usefixtures("workspace")
def test_where_all_is_well_there_is_no_card_and_the_check_says_so():
    page = visit()
    assert DAMAGED not in text(page)
    assert "Save a backup" not in [button.label for button in page.button]
    page = press(with_care_open(page), "Check everything")
    assert "Nothing is damaged or lost." in text(page)
    rooms = [row[0] for table in page.table for row in table.value.to_numpy().tolist()]
    assert "The current model" in rooms
    assert "Free space" not in [button.label for button in page.button]


def test_what_is_damaged_is_on_a_card_and_mended_only_after_a_yes(workspace):
    session = sessions.read_history(workspace)[0].session
    (session.folder / "status.json").write_text("{ half")
    page = visit()
    assert DAMAGED in text(page)
    assert "what was measured and decided cannot be read" in text(page)
    page = press(page, "Repair it")
    assert "This is what will be done:" in text(page)
    assert "Nothing is deleted." in text(page)
    assert (session.folder / "status.json").read_text() == "{ half"
    page = press(page, "No, leave it as it is")
    assert (session.folder / "status.json").read_text() == "{ half"
    page = press(press(page, "Repair it"), "Yes, do it")
    assert json.loads((session.folder / "status.json").read_text())["state"] == "failed"
    assert DAMAGED not in text(page)
    assert [one.value for one in page.success] == ["1 repair done."]


def test_a_journal_that_is_damaged_is_mended_from_the_card(workspace):
    before = fingerprint_of(workspace.trained_model)
    make_model(workspace.root / ".trained_model.previous-x.4194303-1700000000", 7)
    journal_of(workspace.trained_model).write_text("{ half")
    page = press(press(visit(), "Repair it"), "Yes, do it")
    assert DAMAGED not in text(page)
    assert workspace.situation().trained.fingerprint == before
    assert len(list(workspace.versions.glob(f"*/{VERSION_RECORD}"))) == 1


def test_room_is_made_only_after_the_page_said_what_goes(workspace):
    bundle = workspace.jobs / "bundles" / "model.zip"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(bytes(7000))
    page = press(with_care_open(visit()), "Check everything")
    assert "7 kB can be freed" in text(page)
    page = press(page, "Free space")
    assert "Zip files of ONNX models were made to be downloaded." in text(page)
    assert "7 kB are deleted." in text(page)
    assert bundle.exists()
    page = press(page, "Yes, do it")
    assert not bundle.exists()
    assert "7 kB are free now." in page.success[0].value


def test_a_backup_is_saved_and_comes_back_as_a_workspace_of_its_own(workspace):
    page = with_care_open(visit())
    page = press(page, "Save a backup")
    (file,) = workspace.root.parent.glob("*.backup.zip")
    assert read_backup(file).contents.fingerprint == fingerprint_of(workspace.trained_model)
    assert file.name in page.success[0].value
    page = with_care_open(visit())
    page.selectbox(key="restore-file").select(file.name)
    page.text_input(key="restore-name").input("again").run()
    page = press(page, "Restore it")
    again = Workspace.open(workspace.root.parent / "again")
    assert again.situation().trained.fingerprint == fingerprint_of(workspace.trained_model)
    assert page.query_params["workspace"] == "again"


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.backup.zip", "/etc/evil.backup.zip", "workspace/inside.backup.zip", "new-team", "..", ""),
        ".backup.zip",  # hidden, so that nobody is offered it
    ],
)
def test_a_backup_to_a_place_that_is_not_for_it_is_refused_in_a_sentence(workspace, name):
    page = with_care_open(visit())
    page.text_input(key="backup-name").input(name).run()
    page = press(page, "Save a backup")
    assert len(page.error) == 1
    assert not list(workspace.root.parent.rglob("*.zip"))


def test_who_may_only_look_sees_the_card_and_can_press_nothing(workspace, monkeypatch):
    session = sessions.read_history(workspace)[0].session
    (session.folder / "status.json").write_text("{ half")
    back_up(workspace, workspace.root.parent / "b.backup.zip")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = with_care_open(visit())
    assert DAMAGED in text(page)
    off = {button.label: button.disabled for button in page.button}
    assert off["Repair it"]
    assert off["Save a backup"]
    assert off["Restore it"]
