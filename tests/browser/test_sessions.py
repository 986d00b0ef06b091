"""The Sessions page as a person uses it: real sessions, compared, rolled back, taken back, deleted."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from sails import sessions
from sails.models import versions
from sails.models.workspace import Workspace
from sails.sessions import Session
from tests.browser.conftest import Dashboard, barriers, in_each_theme, settled
from tests.support.helpers import add_dataset, queue_training, run_worker, write_lesson
from tests.support.situations import failed, make_line, make_session
from tests.support.tiny import make_tiny_model

ACROSS = "document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth"
ROW = 35  # pixels of a row of the table


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def taught_once(server: Dashboard, tiny: Path, tmp_path_factory) -> tuple[Path, tuple[Session, Session]]:
    """A copy of a workspace with two sessions, one behind the other, and where these lie in the workspace."""
    folder, workspace = tmp_path_factory.mktemp("taught"), Workspace.open(server.workspace)
    dataset = add_dataset(workspace, write_lesson(folder / "mountains.json"))
    with pytest.MonkeyPatch.context() as patch:
        first = queue_training(
            workspace, dataset, tiny, monkeypatch=patch, name="First", epochs=2, learning_rate=5e-3
        )
        assert run_worker(first).verdict == "published"
        second = queue_training(workspace, dataset, None, monkeypatch=patch, name="Second", epochs=1)
        assert run_worker(second).verdict == "published"
    return shutil.move(server.workspace, folder / "workspace"), (first, second)


@pytest.fixture
def trained(dashboard: Dashboard, taught_once) -> tuple[Session, Session]:
    """Two sessions that taught a model of two layers; and one that failed."""
    template, sessions_of_it = taught_once
    shutil.copytree(template, dashboard.workspace)
    make_session(Workspace.open(dashboard.workspace), "broken", 9, **failed())
    return sessions_of_it


def visit(page: Page, dashboard: Dashboard, query: str = "") -> None:
    page.goto(f"{dashboard.address}/Sessions{query}")
    drawn(page)


def drawn(page: Page) -> None:
    """Wait until the page is drawn to its end."""
    expect(page.get_by_role("heading", name="Sessions", exact=True, level=1)).to_be_visible()
    settled(page)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def mark(page: Page, row: int) -> None:
    """Click the box in front of a row of the table, the first one being 0."""
    box = page.get_by_test_id("stDataFrame").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + ROW * (row + 1.5))


def test_two_sessions_marked_in_the_table_are_compared_and_one_is_opened(page, dashboard, trained):
    first, second = trained
    visit(page, dashboard)
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    mark(page, 0)
    expect(page.get_by_role("button", name="Open the session")).to_be_enabled()
    mark(page, 1)
    page.get_by_role("button", name="Compare 2 sessions").click()
    expect(page.get_by_role("heading", name="2 sessions side by side")).to_be_visible()
    expect(page).to_have_url(re.compile(f"compare={second.id}%2C{first.id}"))
    different = page.get_by_role("table").first
    expect(different).to_contain_text("Learning speed (learning rate)")
    expect(different).to_contain_text("5e-3 (chosen; the automatic value is 5e-5)")
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(2)
    expect(page.get_by_text("What is the capital of France?")).to_be_visible()
    page.get_by_role("link", name=re.compile("First")).click()
    expect(page.get_by_role("heading", name="First", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Did it work?")).to_be_visible()
    page.get_by_text("More about this session").click()
    page.get_by_role("tab", name="Examples").click()
    expect(page.get_by_text("Examples: 23 taught, 5 set aside for testing")).to_be_visible()
    expect(page).to_have_url(re.compile(f"session={first.id}$"))
    page.get_by_role("link", name="All sessions").click()
    expect(page.get_by_text("3 sessions, newest first.")).to_be_visible()
    expect(page).to_have_url(re.compile("/Sessions$"))
    page.go_back(wait_until="commit")
    expect(page.get_by_role("heading", name="First", exact=True)).to_be_visible()


def test_a_click_on_a_name_in_the_table_opens_its_session_and_the_way_back_leads_to_the_table(
    page, dashboard
):
    workspace = Workspace.open(dashboard.workspace)
    make_session(workspace, "earlier", 8, **failed())
    make_session(workspace, "later", 9, **failed())
    visit(page, dashboard)
    expect(page.get_by_test_id("data-grid-canvas")).to_be_visible()
    box = page.get_by_test_id("stDataFrame").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 60, box["y"] + ROW * 2.5)
    expect(page.get_by_role("heading", name="earlier", exact=True)).to_be_visible()
    page.get_by_role("link", name="All sessions").click()
    expect(page.get_by_text("2 sessions, newest first.")).to_be_visible()
    mark(page, 0)
    expect(page.get_by_role("button", name="Open the session")).to_be_enabled()


@pytest.mark.usefixtures("trained")
def test_searching_stays_in_the_address_and_survives_a_reload(page, dashboard):
    visit(page, dashboard)
    page.get_by_role("searchbox", name="Search").fill("second")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 of 3 sessions")).to_be_visible()
    expect(page).to_have_url(re.compile("search=second"))
    page.reload()
    drawn(page)
    expect(page.get_by_text("1 of 3 sessions")).to_be_visible()


@pytest.mark.usefixtures("trained")
def test_a_session_is_found_and_opened_with_the_keyboard_alone(page, dashboard):
    visit(page, dashboard)
    page.get_by_role("combobox", name="Open one session").focus()
    page.keyboard.type("First")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    button = page.get_by_role("button", name="Open the session")
    expect(button).to_be_enabled()
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="First", exact=True)).to_be_visible()


@pytest.mark.usefixtures("trained")
def test_rolling_back_is_asked_done_and_undone(page, dashboard):
    workspace = Workspace.open(dashboard.workspace)
    now, before = workspace.situation().trained.fingerprint, versions.list_versions(workspace)[0].fingerprint
    visit(page, dashboard)
    page.get_by_role("tab", name="Versions").click()
    page.get_by_role("button", name="Roll back to it").click()
    expect(page.get_by_text("becomes the current model again")).to_be_visible()
    expect(page.get_by_text("kept as a version, so nothing is lost")).to_be_visible()
    page.get_by_role("button", name="Yes, roll back").click()
    expect(page.get_by_text("First is the current model again.")).to_be_visible()
    assert workspace.situation().trained.fingerprint == before
    page.get_by_role("tab", name="Family tree").click()
    expect(page.get_by_text("★ the current model")).to_have_count(1)
    page.get_by_role("tab", name="Versions").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone: the model that was current before")).to_be_visible()
    expect(page.get_by_text("First is the current model again.")).to_have_count(0)
    assert workspace.situation().trained.fingerprint == now


@pytest.mark.usefixtures("trained")
def test_a_version_gets_a_name(page, dashboard):
    visit(page, dashboard, "?view=Versions")
    page.get_by_role("button", name="Name it").click()
    page.get_by_role("textbox", name="Name of this version").fill("before the *summer*")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="before the *summer*")).to_be_visible()


def test_deleting_is_asked_twice_and_not_possible_for_the_current_model(page, dashboard, trained):
    first, second = trained
    for needed in (first, second):
        visit(page, dashboard, f"?session={needed.id}")
        expect(page.get_by_role("button", name="Delete")).to_be_disabled()
    workspace = Workspace.open(dashboard.workspace)
    broken = next(r for r in sessions.read_history(workspace) if r.spec.name == "broken").session
    visit(page, dashboard, f"?session={broken.id}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Really delete it?")).to_be_visible()
    assert broken.folder.exists()
    page.get_by_role("button", name="Delete it for good").click()
    expect(page.get_by_text("2 sessions, newest first.")).to_be_visible()
    assert not broken.folder.exists()


def test_a_session_is_downloaded_as_a_zip(page, dashboard, trained, tmp_path):
    first, _ = trained
    visit(page, dashboard, f"?session={first.id}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "session.zip")
    assert download.value.suggested_filename == f"{first.id}.zip"
    names = {name.partition("/")[2] for name in zipfile.ZipFile(tmp_path / "session.zip").namelist()}
    assert {"spec.json", "status.json", "metrics.jsonl", "answers.json", "data/train.jsonl"} <= names


@pytest.mark.usefixtures("trained")
def test_what_came_of_two_sessions_has_no_serious_barrier_and_fits_a_phone(page, dashboard):
    page.set_viewport_size({"width": 390, "height": 844})
    for query in ("?view=Family+tree", "?view=Versions"):
        visit(page, dashboard, query)
        for theme in in_each_theme(page):
            assert barriers(page, theme) == []
            assert page.evaluate(ACROSS) <= 0


@pytest.fixture
def held(dashboard: Dashboard) -> Session:
    """The last of four sessions, held back because it lost what the others taught."""
    names = ["databases", "<b>tools", "cooking for beginners", "kitchen"]
    return make_line(Workspace.open(dashboard.workspace), names, lost=0.3, hold_last=True)[-1]


@pytest.mark.usefixtures("held")
def test_what_is_still_remembered_is_shown_for_what_it_was_taught_and_never_saw(page, dashboard):
    visit(page, dashboard, "?view=What+it+still+remembers")
    expect(page.get_by_role("heading", name=re.compile("its earlier lessons lost nothing"))).to_be_visible()
    chart = page.get_by_test_id("stPlotlyChart")
    expect(chart.get_by_text("20%").first).to_be_visible()
    expect(chart.get_by_text("2. <b>tools")).not_to_have_count(0)
    page.get_by_text("What it never saw").click()
    expect(chart.get_by_text("10%").first).to_be_visible()
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table")).to_contain_text("After 3. cooking for beginners")
    expect(page.get_by_role("table")).to_contain_text("70% right, 10 examples")


def test_a_person_decides_about_a_model_that_was_held_back(page, dashboard, held):
    visit(page, dashboard, f"?session={held.id}")
    expect(page.get_by_role("heading", name="✋ Decide")).to_be_visible()
    expect(page.get_by_text("Why you are asked:")).to_be_visible()
    expect(page.get_by_text("A key that is foreign.")).to_be_visible()
    expect(page.get_by_role("button", name="Train again, keeping more of what it knew")).to_be_enabled()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Discarded: the old model stays.")).to_be_visible()
    assert held.status().verdict == "discarded"
    page.get_by_role("button", name="Make it the current model").click()
    page.get_by_role("button", name="Yes, make it current").click()
    expect(page.get_by_text("Done: the new model became the current one.")).to_be_visible()


def test_remembering_and_deciding_have_no_serious_barrier_and_fit_a_phone(page, dashboard, held):
    page.set_viewport_size({"width": 390, "height": 844})
    for query in ("?view=What+it+still+remembers", f"?session={held.id}"):
        visit(page, dashboard, query)
        for theme in in_each_theme(page):
            assert barriers(page, theme) == []
            assert page.evaluate(ACROSS) <= 0
