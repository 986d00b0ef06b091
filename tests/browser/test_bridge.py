"""Home as a person meets it: in Chromium, in both themes, on a phone, with the keyboard alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from sails import sessions
from sails.jobs import watch
from sails.models import Workspace
from sails.models.folder import PROVENANCE
from sails.sessions import make_demo
from sails.system import fit, locks
from sails.training.plan import MATRIX
from sails.ui.frame import MAX_NAME
from tests.browser.conftest import THEMES, Dashboard, settled
from tests.support.situations import ROWS, make_line, make_session, make_situation, published

ACROSS = "document.querySelector('[data-testid=stMain]').scrollWidth - window.innerWidth"
AS_A_TABLE = "How the next training is decided"
HOSTILE = "<b>bold</b>![x](http://127.0.0.1:9/x):red[x]" + "very-long" * 20


def visit(page: Page, dashboard: Dashboard) -> None:
    """Open Home and wait until it is drawn to its end."""
    page.goto(dashboard.address)
    expect(page.get_by_text("Your models on disk, health and backup", exact=True)).to_be_visible()
    expect(page.get_by_role("figure", name="A board of six squares")).to_be_visible()
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)


@pytest.mark.parametrize("number", ROWS)
def test_the_row_that_applies_is_marked_and_no_other(page, dashboard, number):
    make_situation(dashboard.workspace, number)
    visit(page, dashboard)
    row = MATRIX[number - 1]
    said = f"the trained model is {row.trained} and the ONNX model is {row.onnx}"
    expect(page.get_by_role("figure", name=said)).to_be_visible()
    board = page.get_by_role("figure", name=said)
    expect(board.get_by_text("You are here")).to_have_count(1)
    for other in (row for row in MATRIX if row.number != number):
        squares = board.locator("td", has_text=f"{other.headline}, at")
        squares.first.focus()  # as Tab, a tap and a mouse do
        expect(squares.first.locator(".more")).to_have_css("opacity", "1")
    page.get_by_text(AS_A_TABLE).click()
    rows = page.get_by_role("table").filter(has_text="Training starts from").locator("tbody tr")
    expect(rows).to_have_count(len(ROWS))
    expect(rows.filter(has_text="this one")).to_have_count(1)
    expect(rows.nth(number - 1)).to_contain_text("this one")


@pytest.mark.parametrize("demo", [False, True])
def test_the_page_is_calm_it_begins_at_the_top_and_ends_soon(page, dashboard, demo):
    workspace = Workspace.open(dashboard.workspace)
    if demo:
        make_demo(workspace)
    else:
        make_line(workspace, ["programming", "kitchen", "databases"])
    visit(page, dashboard)
    settled(page)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight") <= 1200
    for element in (page.get_by_role("figure"), page.get_by_test_id("stBaseButton-primary")):
        box = element.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900  # on the first screen
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 844})
        title = page.get_by_role("heading", level=1).bounding_box()
        assert title is not None
        assert title["y"] + title["height"] <= 100
    page.get_by_test_id("stMenuButton").get_by_role("button").click()
    page.get_by_role("menuitem", name="Sessions").click()
    expect(page.get_by_role("heading", name="Sessions", exact=True, level=1)).to_be_visible()


@pytest.mark.parametrize("theme", THEMES)
def test_the_page_follows_the_theme_of_the_system_and_fits_a_phone(page, dashboard, theme):
    workspace = make_situation(dashboard.workspace, 3)
    (workspace.trained_model / PROVENANCE).write_text(json.dumps({"base": HOSTILE, "session": HOSTILE}))
    make_session(workspace, "long", **published(verdict="held", verdict_reason=HOSTILE))
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=theme)
    visit(page, dashboard)
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", THEMES[theme])
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate(ACROSS) <= 0
    mark = page.get_by_text("◀ this one").bounding_box()
    assert mark is not None
    assert mark["x"] >= 0
    assert mark["x"] + mark["width"] <= 390


def test_what_people_wrote_is_shown_as_they_wrote_it(page, dashboard):
    workspace = make_situation(dashboard.workspace, 2)
    (workspace.trained_model / PROVENANCE).write_text(json.dumps({"base": HOSTILE}))
    make_session(workspace, "long", **published(verdict="held", verdict_reason=HOSTILE))
    visit(page, dashboard)
    page.get_by_text("Your models on disk, health and backup", exact=True).click()
    expect(page.get_by_role("heading", name="ONNX model")).to_be_visible()
    said = page.get_by_test_id("stMain").inner_text().replace("\u2060", "")
    assert said.count(HOSTILE) == 2
    assert page.locator("[data-testid=stMain] :is(img, b)").count() == 0


def test_the_keyboard_alone_reaches_the_main_button_and_what_it_does(page, dashboard):
    visit(page, dashboard)
    focused = "document.activeElement.closest('button')?.innerText ?? ''"
    for _ in range(15):
        page.keyboard.press("Tab")
        if "Load an example" in page.evaluate(focused):
            break
    else:
        pytest.fail("Tab never reached the main button.")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Train", exact=True, level=1)).to_be_visible()
    expect(page.get_by_text("programming-basics").first).to_be_visible()


def test_a_new_workspace_is_opened_and_stays_open_after_a_reload(page, dashboard):
    visit(page, dashboard)
    name = f"team-{dashboard.workspace.parent.name}"
    page.get_by_role("button", name=fit(dashboard.workspace.name, MAX_NAME)).click()
    page.get_by_label("Make a new workspace").fill(name)
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("button", name=fit(name, MAX_NAME))).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name=fit(name, MAX_NAME))).to_be_visible()
    page.get_by_role("link", name="Train").click()
    expect(page.get_by_role("heading", name="Train", exact=True, level=1)).to_be_visible()
    page.get_by_role("button", name=fit(name, MAX_NAME)).click()
    page.get_by_text("Where it lies").click()
    expect(page.get_by_text(str(dashboard.workspace.parent / name))).to_be_visible()


def test_a_running_session_is_followed_without_reloading_and_until_it_ends(page, dashboard):
    workspace = make_situation(dashboard.workspace, 2)
    running = {"state": "running", "phase": "train", "total_steps": 60, **sessions.this_worker()}
    running["started"] = datetime.now(UTC)
    session = make_session(workspace, "databases", step=12, progress=0.2, **running)
    held = [locks.LifeLock(session.lock), locks.LifeLock(workspace.training_lock)]
    for lock in held:
        lock.acquire()
    try:
        visit(page, dashboard)
        expect(page.get_by_text("step 12 of 60")).to_be_visible()
        later = session.written_status().model_copy(update={"step": 30, "progress": 0.5})
        session.write_status(later)
        expect(page.get_by_text("step 30 of 60")).to_be_visible()
        session.write_status(later.model_copy(update={"state": "stopped"}))
    finally:
        for lock in held:
            lock.release()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_text("Stopped on request")).to_be_visible()


def test_the_watch_is_switched_on_lives_through_a_reload_and_is_switched_off(page, dashboard):
    workspace = make_situation(dashboard.workspace, 3)
    visit(page, dashboard)
    page.get_by_text("Automatic training").click()
    page.get_by_role("button", name="Switch it on", exact=True).click()
    watches = page.get_by_text("It watches your approved corrections. 0 of 10 examples have come together.")
    expect(watches).to_be_visible()
    assert watch.is_alive(workspace)
    page.reload()
    expect(watches).to_be_visible()
    page.get_by_role("button", name="Switch it off").click()
    expect(page.get_by_text("It is switched off.")).to_be_visible()
    gone = locks.LifeLock(workspace.root / "watch.lock")
    gone.acquire(timeout=30)  # its process has ended
    gone.release()


def test_a_workspace_that_is_a_file_is_told_in_a_sentence(page, dashboard):
    dashboard.workspace.write_text("not a folder")
    page.goto(dashboard.address)
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("is a file, not a folder. Choose another folder.")
    assert "Traceback" not in page.content()


def test_the_page_asks_nobody_else_and_logs_no_error(page, dashboard):
    make_situation(dashboard.workspace, 3)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, dashboard)
    assert asked
    assert [url for url in asked if not url.startswith((dashboard.address, "data:", "blob:"))] == []
    assert "Traceback" not in dashboard.log.read_text(encoding="utf-8", errors="replace")
