"""The bridge in detail, without a browser: what it says in each situation, and that it stays harmless."""

import json
import re
import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from sails import sessions
from sails.data import datasets
from sails.models.folder import PROVENANCE
from sails.models.workspace import Workspace
from sails.sessions.plan import format_rate
from sails.system import locks
from sails.training.plan.behavior import MATRIX
from sails.ui import frame
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
    assert page.header[0].value == row.headline
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
    assert "Remembers 100% of what it was taught" in text(page)
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
    assert f"`{root.parent / 'other'}`" in text(page)
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
    page = visit()
    page.text_input(key="new_workspace").input("team a")
    page = next(button for button in page.button if button.label == "Make it").click().run()
    assert (root.parent / "team a").is_dir()
    assert f"`{root.parent / 'team a'}`" in text(page)
    assert page.header[0].value == MATRIX[0].headline


def test_the_model_folder_may_lie_elsewhere_inside_the_root(root):
    make_situation(root, 1)
    make_model(root.parent / "elsewhere")
    page = visit()
    next(field for field in page.text_input if "trained model" in field.label).input("elsewhere")
    page = next(button for button in page.button if button.label == "Use this folder").click().run()
    assert page.header[0].value == MATRIX[1].headline
    assert f"`{root.parent / 'elsewhere'}`" in text(page)


# --- what was found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trained", "fingerprint", "word"),
    [
        (True, "same", "Fresh"),
        (True, "other", "Out of date"),
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
    assert "loss on the taught examples fell: 2.84 → 0.61, took 1 min" in said


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
    assert "Nothing is running" in text(visit())  # its locks are free now, so it is interrupted
    assert "Interrupted before its end" in text(visit())


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
    monkeypatch.setattr(frame, "PAGES", ())  # streamlit refuses links to pages that this app does not have
    broken = (
        'from sails.ui import page_frame\nwith page_frame("Broken"):\n    raise ValueError("an inner secret")'
    )
    (tmp_path / "app.py").write_text(broken)
    page = AppTest.from_file(tmp_path / "app.py").run()
    assert not page.exception
    assert "an inner secret" not in text(page)
    code = re.search(r"\(code (\w+)\)", text(page))
    assert code is not None
    assert code[1] in caplog.text
    assert "an inner secret" in caplog.text


@pytest.mark.usefixtures("root")
def test_a_page_that_is_listed_is_linked_from_every_page(tmp_path, monkeypatch):
    pages = (Page("app.py", "Bridge", ":material/explore:"), Page("pages/2_Train.py", "Train", "⛵"))
    monkeypatch.setattr(frame, "PAGES", pages)
    script = "from sails.ui import page_frame\nwith page_frame('A page'):\n    pass\n"
    (tmp_path / "pages").mkdir()
    for page in pages:
        (tmp_path / page.script).write_text(script)
    app = AppTest.from_file(tmp_path / "app.py").run()
    other = app.switch_page("pages/2_Train.py").run()
    for visited in (app, other):
        assert not visited.exception
        assert [link.proto.label for link in visited.get("page_link")] == ["Bridge", "Train"]


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
