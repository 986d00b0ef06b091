"""The bridge in detail, without a browser: what it says in each situation, and that it stays harmless."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from sails import jobs, sessions
from sails.data import datasets
from sails.jobs import launcher
from sails.models.folder import PROVENANCE
from sails.models.workspace import Workspace
from sails.sessions.plan import format_rate
from sails.system import locks
from sails.training.plan.behavior import MATRIX
from sails.ui import frame, onnx_status
from sails.ui.frame import Page
from sails.ui.text import plain
from tests.conftest import REPOSITORY
from tests.support.folders import make_model, make_onnx
from tests.support.situations import ROWS, failed, make_line, make_session, make_situation, published

APP = str(REPOSITORY / "app.py")


def visit() -> AppTest:
    page = AppTest.from_file(APP, default_timeout=60).run()
    assert not page.exception
    return page


def text(page: AppTest) -> str:
    """All that the page says outside of tables, as Markdown, with the escapes taken out."""
    elements = [*page.title, *page.header, *page.subheader, *page.caption, *page.markdown, *page.error]
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(element.value for element in elements))


@pytest.fixture
def patient_worker(monkeypatch) -> None:
    """Nothing that waits is started."""
    monkeypatch.setattr(launcher, "start_worker", lambda _: None)


def with_switcher_open(page: AppTest, workspace: Path) -> AppTest:
    page.session_state[f"switcher {workspace}"] = True
    return page.run()


# --- what happens next ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", ROWS)
def test_exactly_the_row_that_applies_is_marked_in_words(root, number):
    make_situation(root, number)
    table = visit().table[-1].value
    assert len(table) == len(MATRIX)
    marked = ["this\u00a0one" in " ".join(row) for row in table.to_numpy().tolist()]
    assert marked == [row == number for row in ROWS]


@pytest.mark.parametrize("number", ROWS)
def test_the_headline_and_the_learning_rate_are_those_of_the_matrix(root, number):
    make_situation(root, number)
    page, row = visit(), MATRIX[number - 1]
    assert f"**{row.headline}**" in text(page)
    assert f"{format_rate(row.learning_rate)} (automatic)" in text(page)


def test_why_a_model_is_incomplete_is_said_with_the_figures(root):
    workspace = make_situation(root, 5)
    reason = workspace.situation().trained.reason
    assert reason is not None
    assert "cut off at 1,000 of" in reason
    assert text(visit()).count(reason) == 2  # where the plan is explained, and where the folder is described


def test_looking_at_an_empty_workspace_creates_nothing(root):
    visit()
    assert not root.exists()


def test_what_is_still_remembered_stands_there_once_it_was_measured(root):
    workspace = Workspace.open(root)
    make_line(workspace, ["databases", "kitchen"])
    page = visit()
    assert "its earlier lessons lost nothing" in text(page)
    links = {link.proto.label: link.proto.query_string for link in page.get("page_link")}
    assert "view=What" in links["See what it still remembers"]


def test_where_nothing_was_measured_nothing_is_said_of_it(root):
    make_situation(root, 3)
    assert "What it still remembers" not in text(visit())


# --- the main button ------------------------------------------------------------------------------


def main_button(page: AppTest):
    return page.button(key="main_button")


def test_from_nothing_the_main_button_loads_an_example_and_goes_to_train(root):
    page = visit()
    assert main_button(page).label == "Load an example"
    page = main_button(page).click().run()
    assert page.title[0].value == "Train"
    assert (root / "datasets/programming-basics/conversations.jsonl").exists()


@pytest.mark.parametrize(
    ("number", "label"), [(1, "Train"), (2, "Make the ONNX model"), (3, "Chat with it"), (5, "Train")]
)
def test_the_main_button_follows_from_what_is_there(root, number, label):
    workspace = make_situation(root, number)
    datasets.add_example(workspace, datasets.EXAMPLES[0])
    assert main_button(visit()).label == label


def test_a_held_model_is_the_first_thing_to_decide_about(root):
    workspace = make_situation(root, 3)
    session = make_session(workspace, "worse", **published(verdict="held"))
    session.model.mkdir()
    page = visit()
    assert main_button(page).label == "Look at it and decide"
    assert main_button(page).click().run().title[0].value == "Sessions"


def test_where_nothing_may_be_changed_everything_is_shown_and_no_button_changes_anything(root, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    make_situation(root, 1)
    page = visit()
    assert main_button(page).disabled
    assert "change nothing" in page.info[0].value
    assert len(page.table[-1].value) == len(MATRIX)


# --- which workspace ------------------------------------------------------------------------------


def test_another_workspace_is_opened_by_the_address_and_kept_by_every_link(root):
    make_situation(root.parent / "other", 2)
    page = AppTest.from_file(APP, default_timeout=60)
    page.query_params["workspace"] = "other"
    page.run()
    assert f"`{root.parent / 'other'}`" in text(with_switcher_open(page, root.parent / "other"))
    assert all("workspace=other" in link.proto.query_string for link in page.get("page_link"))


@pytest.mark.parametrize("name", ["..", "../..", "/etc", "/", "x/../..", ".", "a\0b"])
@pytest.mark.usefixtures("root")
def test_no_address_leads_out_of_the_allowed_root(name):
    page = AppTest.from_file(APP, default_timeout=60)
    page.query_params["workspace"] = name
    page.run()
    assert not page.exception
    assert "does not lie in" in text(page)
    assert not page.table


def test_a_new_workspace_is_made_and_opened(root):
    make_situation(root, 2)
    page = with_switcher_open(visit(), root)
    page.text_input(key="new_workspace").input("team a")
    page = next(button for button in page.button if button.label == "Make it").click().run()
    assert (root.parent / "team a").is_dir()
    assert f"`{root.parent / 'team a'}`" in text(with_switcher_open(page, root.parent / "team a"))
    assert f"**{MATRIX[0].headline}**" in text(page)


def test_the_model_folder_may_lie_elsewhere_inside_the_root(root):
    make_situation(root, 1)
    make_model(root.parent / "elsewhere")
    page = with_switcher_open(visit(), root)
    next(field for field in page.text_input if "trained model" in field.label).input("elsewhere")
    page = next(button for button in page.button if button.label == "Use this folder").click().run()
    assert f"**{MATRIX[1].headline}**" in text(page)
    assert f"`{root.parent / 'elsewhere'}`" in text(page)


# --- what was found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained", "fingerprint", "word"),
    [
        (True, "same", "Fresh"),
        (True, "other", "Of another model"),
        (True, None, "Unknown"),
        (False, "x", "Orphaned"),
    ],
)
def test_how_fresh_the_onnx_model_is_stands_there_in_words(root, trained, fingerprint, word):
    workspace = make_situation(root, 2 if trained else 1)
    own = workspace.situation().trained.fingerprint
    make_onnx(workspace.onnx_model, own if fingerprint == "same" else fingerprint)
    assert f"**{word}" in text(visit())


def test_base_fingerprint_folders_and_files_of_the_models_are_shown(root):
    workspace = make_situation(root, 3)
    page = visit()
    found = text(page)
    trained = workspace.situation().trained
    for fact in (
        trained.base,
        trained.session,
        trained.fingerprint,
        workspace.trained_model,
        workspace.onnx_model,
    ):
        assert f"`{fact}`" in found
    files = {name for table in page.table[:-1] for name in table.value["File"]}
    assert {"`model.safetensors`", "`model.onnx`"} <= files


# --- sessions -------------------------------------------------------------------------------------


def test_the_last_three_sessions_are_told_newest_first(root):
    workspace = make_situation(root, 3)
    make_session(workspace, "oldest", 8, **published())
    make_session(workspace, "good", 9, **published())
    make_session(workspace, "full", 10, **failed())
    make_session(workspace, "worse", 11, **published(verdict="held", verdict_reason="It forgot databases."))
    said = text(visit())
    assert said.index("worse") < said.index("full") < said.index("good")
    assert "oldest" not in said
    assert "Held back" in said
    assert "It forgot databases." in said
    assert "Failed: The disk is full. Free some space, then resume." in said
    assert "Done: the new model" in said
    assert "5 Jan 2026, 09:00, took 1 min" in said


def test_what_was_cancelled_before_it_began_takes_the_place_of_no_training(root):
    workspace = make_situation(root, 3)
    held = make_session(workspace, "worse", 9, **published(verdict="held"))
    held.model.mkdir()
    for number, name in enumerate(("one", "two", "three"), 10):
        session = make_session(workspace, name, number, state="queued")
        sessions.enqueue(workspace, session)
        sessions.stop(workspace, session)
        assert session.status().state == "stopped"
    page = visit()
    assert "worse" in text(page)
    assert not [name for name in ("one", "two", "three") if f"**{name}**" in text(page)]
    assert main_button(page).label == "Look at it and decide"


def test_a_running_session_shows_its_phase_step_and_progress(root):
    workspace = make_situation(root, 2)
    session = make_session(
        workspace,
        "databases",
        state="running",
        phase="train",
        step=12,
        total_steps=60,
        progress=0.2,
        message="round 0.8",
        **sessions.this_worker(),
    )
    own, training = locks.LifeLock(session.lock), locks.LifeLock(workspace.training_lock)
    own.acquire()
    training.acquire()
    try:
        page = visit()
    finally:
        own.release()
        training.release()
    progress = page.get("progress")[0].proto
    assert (progress.value, progress.text) == (20, "Learning\\, step 12 of 60\\: round 0\\.8")
    assert "**databases** is running" in text(page)
    assert text(page).count("**databases**") == 1
    assert not visit().get("progress")  # its locks are free now, so it is interrupted
    assert "Interrupted before its end" in text(visit())


@pytest.mark.usefixtures("patient_worker")
def test_an_export_is_said_to_be_made_until_its_worker_has_not_come(root):
    job = jobs.export_current(make_situation(root, 2))
    assert "**An ONNX model** is being made." in text(visit())
    queued = datetime(2026, 1, 5, tzinfo=UTC)
    job.write_status(job.written_status().model_copy(update={"queued": queued}))
    page = visit()
    assert "is being made" not in text(page)
    assert main_button(page).label == "Make the ONNX model"


@pytest.mark.usefixtures("patient_worker")
def test_what_only_waits_is_not_said_to_run(root):
    workspace = make_situation(root, 2)
    for hour in (9, 10):
        sessions.enqueue(workspace, make_session(workspace, "databases", hour))
    page = visit()
    assert "**databases** waits. It is about to start." in text(page)
    assert "One more training waits behind it." in text(page)
    assert "under way" not in text(page)
    assert main_button(page).label == "Look at what waits"
    training = locks.LifeLock(workspace.training_lock)
    training.acquire()
    try:
        assert "another program is changing them now" in text(visit())
    finally:
        training.release()


def test_a_page_is_drawn_anew_when_a_training_ends_and_when_another_model_answers(root, monkeypatch):
    workspace = make_situation(root, 2)
    looks, drawn = [], []
    monkeypatch.setattr(st, "fragment", lambda look, **_: lambda *given: looks.append(partial(look, *given)))
    monkeypatch.setattr(st, "rerun", lambda: drawn.append("anew"))
    training = locks.LifeLock(workspace.training_lock)
    training.acquire()
    onnx_status.redraw_when_models_change(workspace)
    looks[-1]()
    assert not drawn
    training.release()
    looks[-1]()
    assert drawn == ["anew"]
    onnx_status.redraw_when_models_change(workspace)
    looks[-1]()
    assert drawn == ["anew"]
    make_onnx(workspace.onnx_model)
    looks[-1]()
    assert drawn == ["anew", "anew"]


# --- what must never happen -----------------------------------------------------------------------


def test_a_workspace_that_is_a_file_is_a_sentence_with_a_remedy(root):
    root.write_text("not a folder")
    page = visit()
    assert "is a file, not a folder. Choose another folder." in text(page)
    assert not page.table


@pytest.mark.usefixtures("root")
def test_an_error_that_nobody_foresaw_is_a_sentence_with_a_code_that_the_log_explains(
    tmp_path, caplog, monkeypatch
):
    # Streamlit refuses links to pages that this app does not have.
    monkeypatch.setattr(frame, "PAGES", (Page("app.py", "Broken", "⛵"),))
    broken = (
        'from sails.ui import page_frame\nwith page_frame("Broken"):\n    raise ValueError("an inner secret")'
    )
    (tmp_path / "app.py").write_text(broken)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/1_Another.py").touch()
    page = AppTest.from_file(tmp_path / "app.py").run()
    assert not page.exception
    assert "an inner secret" not in text(page)
    code = re.search(r"\(code (\w+)\)", text(page))
    assert code is not None
    assert code[1] in caplog.text
    assert "an inner secret" in caplog.text


@pytest.mark.usefixtures("root")
def test_a_page_that_is_listed_is_linked_from_every_page(tmp_path, monkeypatch):
    pages = (Page("app.py", "Home", ":material/home:"), Page("pages/2_Train.py", "Train", "⛵"))
    monkeypatch.setattr(frame, "PAGES", pages)
    script = "from sails.ui import page_frame\nwith page_frame('A page'):\n    pass\n"
    (tmp_path / "pages").mkdir()
    for page in pages:
        (tmp_path / page.script).write_text(script)
    app = AppTest.from_file(tmp_path / "app.py").run()
    other = app.switch_page("pages/2_Train.py").run()
    for visited in (app, other):
        assert not visited.exception
        assert [link.proto.label for link in visited.get("page_link")] == ["Home", "Train"]


def test_what_people_wrote_never_becomes_markup(root):
    workspace = make_situation(root, 2)
    hostile = "![x](http://127.0.0.1/x) `` <b>:red[bold]</b>"
    record = workspace.trained_model / PROVENANCE
    record.write_text(json.dumps({"base": hostile, "session": hostile}))
    session = make_session(workspace, "databases", **published(verdict="held", verdict_reason=hostile))
    spec = json.loads((session.folder / "spec.json").read_text())
    (session.folder / "spec.json").write_text(json.dumps({**spec, "name": hostile}))
    page = visit()
    raw = "\n".join(element.value for element in page.markdown)
    assert raw.count(f"``` {hostile} ```") + raw.count(f"```{hostile}```") == 2  # as code, or else escaped
    assert f"**{plain(hostile)}**" in raw
    assert not any(element.allow_html for element in page.markdown)


def test_the_page_needs_no_machine_learning_library(root):
    make_situation(root, 3)
    code = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        f"page = AppTest.from_file({APP!r}, default_timeout=60).run()\n"
        "assert page.table and not page.exception\n"
        "print([m for m in ('torch', 'transformers', 'optimum', 'datasets') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.usefixtures("root")
def test_looking_at_the_page_changes_nothing_on_disk(root):
    workspace: Workspace = make_situation(root, 6)
    before = sorted(path.relative_to(root) for path in workspace.root.rglob("*"))
    visit()
    assert sorted(path.relative_to(root) for path in workspace.root.rglob("*")) == before
