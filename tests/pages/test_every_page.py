"""What holds for every page: framed, harmless, readable for who may only look, and without torch."""

import shutil
import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from sails.models.workspace import Workspace
from sails.sessions import demo
from sails.ui.frame import PAGES
from tests.conftest import REPOSITORY
from tests.support.folders import listing
from tests.support.situations import make_session, make_situation, published

APP = str(REPOSITORY / "app.py")
HOSTILE = "<b>x</b>![x](http://127.0.0.1:9/x):red[x]`y` $a$"
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Workspace:
    """A workspace with recorded sessions, a trained model and its ONNX model."""
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "workspace"))
    workspace = Workspace.open()
    demo.make_demo(workspace)
    make_situation(workspace.root, 3)
    return workspace


def visit(page) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60).run()
    return app if page.script == "app.py" else app.switch_page(page.script).run()


@every_page
@pytest.mark.usefixtures("place")
def test_a_page_stands_in_the_frame_and_raises_nothing(page):
    app = visit(page)
    assert not app.exception
    assert app.title[0].value == page.title
    assert [link.proto.label for link in app.get("page_link")][: len(PAGES)] == [p.title for p in PAGES]


@every_page
def test_looking_changes_nothing_on_disk(place, page):
    before = listing(place.root)
    visit(page)
    assert listing(place.root) == before


@every_page
def test_a_page_opens_in_an_empty_workspace_too(page, tmp_path, monkeypatch):
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "nothing"))
    app = visit(page)
    assert not app.exception
    assert not app.error
    assert not (tmp_path / "nothing").exists()


@every_page
@pytest.mark.parametrize("row", [2, 3])
def test_who_may_only_look_sees_every_page_and_no_button_changes_anything(place, page, row, monkeypatch):
    if row == 2:
        shutil.rmtree(place.onnx_model)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    before = listing(place.root)
    app = visit(page)
    assert any("change nothing" in info.value for info in app.info)
    for number, button in enumerate(app.button):
        if not button.disabled:
            clicked = visit(page).button[number].click().run()
            assert not clicked.exception, button.label
            assert not [error for error in clicked.error if "only shows" in error.value], button.label
    assert listing(place.root) == before


@every_page
def test_names_that_are_markup_stay_text(place, page):
    make_session(place, "hostile", hour=23, **published(notes=(HOSTILE,), verdict_reason=HOSTILE))
    spec = next(place.sessions.glob("*-hostile/spec.json"))
    text = spec.read_text()
    spec.write_text(text.replace('"name": "hostile"', f'"name": {__import__("json").dumps(HOSTILE)}'))
    app = visit(page)
    assert not app.exception
    texts = [element.value for element in [*app.markdown, *app.caption, *app.header, *app.subheader]]
    assert not any("![x](http" in text.replace(f"`{HOSTILE}`", "") for text in texts if "``" not in text)
    assert not any(element.allow_html for element in app.markdown)


def test_no_page_loads_a_machine_learning_library(place):
    scripts = [page.script for page in PAGES if page.script != "app.py"]
    code = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({APP!r}, default_timeout=60).run()\n"
        "assert not app.exception\n"
        f"for script in {scripts!r}:\n"
        "    app = app.switch_page(script).run()\n"
        "    assert not app.exception and app.title, script\n"
        "print([m for m in ('torch', 'transformers', 'optimum', 'datasets') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert place.root.exists()
