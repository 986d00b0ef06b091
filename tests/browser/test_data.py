"""The page Data as a person meets it: dropping files, correcting rows in a grid, saving, the library."""

from __future__ import annotations

import base64
import csv
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from sails.data import datasets
from sails.models.workspace import Workspace
from tests.browser.conftest import THEMES, Dashboard, barriers, in_each_theme, settled
from tests.browser.test_bridge import ACROSS
from tests.support.helpers import add_dataset, write_lesson

HOSTILE = "<b>bold</b>![x](http://127.0.0.1:9/x):red[x]`" + "very-long" * 20
LINE = 35  # pixels of a line of the grid, and of its heading
GOOD = [
    {"question": f"How do I reset device {n}?", "answer": f"Hold the button of device {n} for ten seconds."}
    for n in range(1, 25)
]
EMPTY = {"question": "How do I charge it?", "answer": "..."}
DROP = """([zone, name, content]) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], name));
    for (const kind of ["dragenter", "dragover", "drop"])
        zone.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


@pytest.fixture
def workspace(dashboard: Dashboard) -> Workspace:
    return Workspace.open(dashboard.workspace)


def visit(page: Page, dashboard: Dashboard, dataset: str = "") -> None:
    """Open the page and wait until it is drawn to its end."""
    page.goto(f"{dashboard.address}/Data" + (f"?dataset={dataset}" if dataset else ""))
    end = "Name and removal" if dataset else "Your datasets"
    expect(page.get_by_role("heading", name=end)).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def upload(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files(files)


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def type_into(page: Page, grid: Locator, column: float, line: int, text: str) -> None:
    """Type over a cell: `column` is where it lies across the grid, from 0 to 1, `line` counts from 0."""
    settled(page)
    box = grid.bounding_box()
    assert box is not None
    grid.dblclick(position={"x": box["width"] * column, "y": LINE * (line + 1.5)})
    editor = page.locator("#portal textarea")
    editor.fill(text)
    expect(editor).to_have_value(text)
    editor.press("Enter")
    expect(editor).to_have_count(0)


def test_a_dropped_file_is_corrected_in_the_grid_saved_and_taught(page, dashboard, workspace, tmp_path):
    visit(page, dashboard)
    content = base64.b64encode(write(tmp_path / "helpdesk.json", *GOOD, EMPTY).read_bytes()).decode()
    zone = page.get_by_test_id("stFileUploaderDropzone").element_handle()
    page.evaluate(DROP, [zone, "helpdesk.json", content])
    expect(page.get_by_text("Good: 24 of 25 rows can be taught as they are.")).to_be_visible()
    expect(page.get_by_role("button", name="Save 24 examples")).to_be_visible()
    expect(page.get_by_text("together they have")).to_be_visible()
    type_into(page, page.get_by_test_id("stDataFrame").first, 0.9, 0, "Put it on its plate for the night.")
    settled(page)
    page.get_by_role("button", name="Save 25 examples").click()
    expect(page.get_by_text("is in your library: 25 examples.")).to_be_visible()
    rows = datasets.rows_of(workspace, "helpdesk")
    assert rows[-1].output == "Put it on its plate for the night."
    page.get_by_role("button", name="Teach this").click()
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/Train\?(.*&)?dataset=helpdesk"))


def test_a_row_is_left_out_by_its_box_and_the_others_by_one_click(page, dashboard, workspace, tmp_path):
    visit(page, dashboard)
    upload(page, write(tmp_path / "helpdesk.json", *GOOD, EMPTY))
    settled(page)
    page.get_by_role("button", name="Drop the 1 row with errors").click()
    expect(page.get_by_text("Good: 24 of 24 rows")).to_be_visible()
    expect(page.get_by_text("together they have")).to_be_visible()
    grid = page.get_by_test_id("stDataFrame").first
    settled(page)
    grid.click(position={"x": 95, "y": LINE * 1.5})
    expect(page.get_by_text("Good: 23 of 23 rows")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Save 23 examples").click()
    expect(page.get_by_role("button", name="Teach this")).to_be_visible()
    assert datasets.rows_of(workspace, "helpdesk")[0].input == GOOD[1]["question"]


def test_typed_pairs_survive_a_visit_to_another_page(page, dashboard, workspace):
    visit(page, dashboard)
    page.get_by_role("radio", name="Type them").click()
    grid = page.get_by_test_id("stDataFrame").first
    type_into(page, grid, 0.25, 0, "What is a sail?")
    type_into(page, grid, 0.75, 0, "A sail catches the wind.")
    expect(page.get_by_text("So far: 1 example.")).to_be_visible()
    page.get_by_role("link", name="Chat").click()
    expect(page.get_by_role("heading", name="Chat", exact=True)).to_be_visible()
    page.get_by_role("link", name="Data", exact=True).click()
    page.get_by_role("radio", name="Type them").click()
    page.get_by_role("button", name="Check the examples").click()
    settled(page)
    page.get_by_role("button", name="Save 1 example").click()
    expect(page.get_by_role("button", name="Teach this")).to_be_visible()
    assert datasets.rows_of(workspace, "typed")[0].output == "A sail catches the wind."


def test_the_keyboard_alone_brings_an_example(page, dashboard, workspace):
    visit(page, dashboard)
    press_until(page, "Tab", "radio", "Upload files")
    press_until(page, "ArrowRight", "radio", "Use an example")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Use “Databases”")).to_be_visible()
    press_until(page, "Tab", None, "Use “Databases”")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Teach this")).to_be_visible()
    assert datasets.report_of(workspace, "databases").rows == 90


def press_until(page: Page, key: str, role: str | None, words: str) -> None:
    """Press a key until what it moves through is the element with that role and these last words."""
    focused = "[document.activeElement.role, document.activeElement.innerText.trim().split('\\n').pop()]"
    for _ in range(40):
        if page.evaluate(focused) == [role, words]:
            return
        page.keyboard.press(key)
    pytest.fail(f"{key} never led to {words}")


def test_a_large_file_shows_at_once_that_it_is_being_read(page, dashboard, tmp_path):
    path = tmp_path / "large.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question", "answer"])
        table.writerows(
            (f"What is thing number {n}?", f"It is the thing that follows {n - 1}.") for n in range(20_000)
        )
    visit(page, dashboard)
    upload(page, path)
    expect(page.get_by_text("Reading and checking")).to_be_visible()
    expect(page.get_by_text("Good: 20,000 of 20,000 rows")).to_be_visible()
    expect(page.get_by_text("20,000 rows in 400 parts")).to_be_visible()
    expect(page.get_by_text("Measured on 10,000 examples")).to_be_visible()


def test_a_dataset_is_downloaded_as_its_clean_rows(page, dashboard, workspace, tmp_path):
    name = add_dataset(workspace, write_lesson(tmp_path / "peaks.json"))
    visit(page, dashboard, name)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download", exact=True).click()
    assert downloading.value.suggested_filename == "peaks.jsonl"
    assert downloading.value.path().read_bytes() == datasets.rows_file(workspace, name).read_bytes()


def test_deleting_a_dataset_asks_for_its_name(page, dashboard, workspace, tmp_path):
    name = add_dataset(workspace, write_lesson(tmp_path / "peaks.json"))
    visit(page, dashboard, name)
    page.get_by_text("Delete this dataset").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("The name does not match, so nothing was deleted.")).to_be_visible()
    assert datasets.report_of(workspace, name)
    field = page.get_by_label("To confirm, type its name")
    field.fill(name)
    field.press("Enter")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("is deleted.")).to_be_visible()
    expect(page.get_by_text("There is none yet.")).to_be_visible()
    assert datasets.reports(workspace) == []


def test_each_view_fits_a_phone_in_both_themes(page, dashboard, workspace, tmp_path):
    name = add_dataset(workspace, write_lesson(tmp_path / "peaks.json"))
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    visit(page, dashboard)
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", THEMES["dark"])
    for way in ("Paste a table", "Type them", "Use an example", "Upload files"):
        page.get_by_role("radio", name=way).click()
        assert page.evaluate(ACROSS) <= 0, way
    upload(page, write(tmp_path / f"{'long' * 15}.json", *GOOD, EMPTY))
    expect(page.get_by_text("together they have")).to_be_visible()
    for theme in in_each_theme(page):
        assert page.evaluate(ACROSS) <= 0, theme
    visit(page, dashboard, name)
    for summary in page.locator("summary").all():
        summary.click()
    for theme in in_each_theme(page):
        assert page.evaluate(ACROSS) <= 0, theme


def test_no_view_has_a_serious_barrier(page, dashboard, workspace, tmp_path):
    name = add_dataset(workspace, write_lesson(tmp_path / "peaks.json"))
    visit(page, dashboard)
    page.get_by_text("How many examples do I need?").click()
    for way in ("Paste a table", "Type them", "Use an example", "Upload files"):
        page.get_by_role("radio", name=way).click()
        expect(page.get_by_role("radio", name=way)).to_be_checked()
        for theme in in_each_theme(page):
            assert barriers(page, theme) == [], (way, theme)
    upload(page, write(tmp_path / "a.json", *GOOD, EMPTY), write(tmp_path / "b.json", {"q": "1", "z": "2"}))
    expect(page.get_by_text("together they have")).to_be_visible()
    for theme in in_each_theme(page):
        assert barriers(page, theme) == []
    page.get_by_text("2. b.json").click()
    expect(page.get_by_role("button", name="Use these columns")).to_be_visible()
    for theme in in_each_theme(page):
        assert barriers(page, theme) == []
    visit(page, dashboard, name)
    for summary in page.locator("summary").all():
        summary.click()
    for theme in in_each_theme(page):
        assert barriers(page, theme) == []


def test_what_people_wrote_is_shown_as_they_wrote_it(page, dashboard, tmp_path):
    visit(page, dashboard)
    rows = [
        {HOSTILE: f"What is {n}? {HOSTILE}", "b": f"It is the thing that comes after {n}. {HOSTILE}"}
        for n in range(3)
    ]
    upload(page, write(tmp_path / f"{HOSTILE[:9].replace('/', '')}.json", *rows))
    page.get_by_role("button", name="Use these columns").click()
    expect(page.get_by_text("Too few to learn from: 3 rows.")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Save 3 examples").click()
    expect(page.get_by_role("button", name="Teach this")).to_be_visible()
    assert page.locator("[data-testid=stMain] :is(img, b)").count() == 0


def test_the_page_asks_nobody_else_and_logs_no_error(page, dashboard, tmp_path):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, dashboard)
    upload(page, write(tmp_path / "helpdesk.json", *GOOD))
    expect(page.get_by_text("together they have")).to_be_visible()
    assert [url for url in asked if not url.startswith((dashboard.address, "data:", "blob:"))] == []
    assert "Traceback" not in dashboard.log.read_text(encoding="utf-8", errors="replace")
