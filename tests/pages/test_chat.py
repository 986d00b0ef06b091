"""The chat page in detail, without a browser: who answers, what is kept, and what can go wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from sails import exporting
from sails.ui.chat_room import room_key
from sails.workspace import Workspace
from tests.conftest import REPOSITORY
from tests.exported import SESSION, VERSION, add_version
from tests.folders import fingerprint_of, listing
from tests.helpers import run_worker
from tests.situations import make_situation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

APP = str(REPOSITORY / "app.py")
HOSTILE = "<b>x</b> ![x](http://127.0.0.1:9/x) `y` $a$ :red[z]\n    - four spaces in"


@pytest.fixture
def place(talking):
    return talking


def visit() -> AppTest:
    page = AppTest.from_file(APP, default_timeout=60).run().switch_page("pages/5_Chat.py").run()
    assert not page.exception
    return page


def ask(page: AppTest, question: str) -> AppTest:
    page = page.chat_input[0].set_value(question).run()
    assert not page.exception
    return page


def short(page: AppTest, tokens: int = 4) -> AppTest:
    page.number_input(key="chat_max_new_tokens").set_value(tokens)
    return page


def text(page: AppTest) -> str:
    """All that the page says, with the escapes taken out."""
    elements = [*page.caption, *page.markdown, *page.error]
    said = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(element.value for element in elements))
    return said.replace("\u2060", "").replace("\u00a0", " ")


def button(page: AppTest, label: str):
    return next(button for button in page.button if button.label == label)


def two(page: AppTest) -> AppTest:
    return choose(page, "grown")


def choose(page: AppTest, choice: str) -> AppTest:
    page = page.pills(key="chat_choice").set_value(choice).run()
    assert not page.exception
    return page


def turns(page: AppTest) -> list:
    """The conversation as the page keeps it."""
    return page.session_state[room_key(Workspace.open())].conversation.turns


# --- asking ---------------------------------------------------------------------------------------


def test_a_question_gets_an_answer_that_says_from_which_model(place):
    page = ask(short(visit()), "What is a variable?")
    (turn,) = turns(page)
    assert turn.replies[0].tokens == 4
    assert [message.name for message in page.chat_message] == ["user", "assistant"]
    fingerprint = fingerprint_of(place.trained_model)
    assert (
        f"Current model (full precision, not proven, session {SESSION}, fingerprint {fingerprint})"
        in text(page)
    )
    assert "Cut off at the longest answer" in text(page)


@pytest.mark.usefixtures("place")
def test_questions_and_answers_are_shown_as_the_text_that_they_are():
    page = ask(short(visit()), HOSTILE)
    turns(page)[0].replies[0].text = HOSTILE
    page = page.run()
    raw = "\n".join(element.value for element in page.markdown)
    assert "![x](" not in raw
    assert text(page).count(HOSTILE.replace("\n", "  \n")) == 2
    assert not any(element.allow_html for element in page.markdown)


@pytest.mark.usefixtures("place")
def test_the_conversation_goes_on_and_outlives_other_pages():
    page = ask(short(visit()), "one")
    page = page.switch_page("pages/4_ONNX_export.py").run().switch_page("pages/5_Chat.py").run()
    page = ask(page, "two")
    assert [turn.question for turn in turns(page)] == ["one", "two"]
    assert turns(page)[1].settings.max_new_tokens == 4  # the settings outlive them too


@pytest.mark.usefixtures("place")
def test_every_setting_reaches_the_answer():
    page = visit()
    values = {"max_new_tokens": 5, "temperature": 1.5, "top_p": 0.9, "repetition_penalty": 1.2, "seed": 7}
    for name, value in values.items():
        page.number_input(key=f"chat_{name}").set_value(value)
    page.text_area(key="chat_system").set_value("Be short.")
    page = ask(page, "one")
    used = turns(page)[0].settings
    assert {name: getattr(used, name) for name in values} == values
    assert used.system == "Be short."
    first = turns(page)[0].replies[0].text
    again = button(page, "New conversation").click().run()
    assert turns(ask(again, "one"))[0].replies[0].text == first
    other = page.number_input(key="chat_seed").set_value(8).run()
    other = button(other, "New conversation").click().run()
    assert turns(ask(other, "one"))[0].replies[0].text != first


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("question", ["why? " * 20_000, "x" * 100_000])
def test_a_question_that_is_too_long_is_told_and_can_be_read_again(question):
    page = ask(visit(), question)
    assert "tokens, and together with its answer 512 fit" in text(page)
    assert f"All {len(question):,} characters" in [found.label for found in page.expander]
    assert question.strip() in [found.value.replace("\\", "").strip() for found in page.markdown]
    assert turns(ask(short(page), "short"))[1].replies[0].tokens == 4


@pytest.mark.usefixtures("place")
def test_blanks_are_no_question():
    page = ask(visit(), "   ")
    assert "There is nothing to answer: the question is empty. Write a question." in text(page)
    assert turns(page) == []


@pytest.mark.usefixtures("place")
def test_a_conversation_can_be_begun_anew_and_brought_back():
    page = ask(short(visit()), "one")
    page = button(page, "New conversation").click().run()
    assert turns(page) == []
    page = button(page, "Bring back the last conversation").click().run()
    assert [turn.question for turn in turns(page)] == ["one"]


@pytest.mark.usefixtures("place")
def test_a_conversation_can_be_saved():
    page = ask(short(visit()), "one")
    labels = [found.proto.label for found in page.get("download_button")]
    assert labels == ["Save as text", "Save as JSON"]


# --- who answers ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("place")
def test_one_click_puts_the_base_beside_the_current_model(started):
    page = two(visit())
    assert "Base model base: " in text(page)
    assert page.chat_input[0].disabled
    page = button(page, "Make it ready").click().run()
    (job,) = started
    assert job.spec().kind == "baseline"
    assert "is being made" in text(page)
    run_worker(job)
    page = page.run()
    assert page.pills(key="chat_choice").value == "grown"
    page = ask(short(page), "What is a variable?")
    base, current = turns(page)[0].replies
    assert (base.tokens, current.tokens) == (4, 4)
    assert base.text != current.text
    assert base.origin.title == "Base model base"
    assert current.origin.session == SESSION
    assert {"**Base model base**", "**Current model**"} <= {element.value for element in page.markdown}


def test_an_earlier_version_is_made_ready_on_demand_and_answers(place, started):
    folder = add_version(place)
    page = visit()
    page = page.selectbox(key="chat_who_0").set_value(f"version/{VERSION}").run()
    page = button(page, "Make it ready").click().run()
    run_worker(started[0])
    page = ask(short(page.run()), "one")
    assert turns(page)[0].replies[0].origin.fingerprint == fingerprint_of(folder)
    shutil.rmtree(folder)  # somebody else deleted it
    page = page.run()
    assert page.selectbox(key="chat_who_0").value == "current"
    assert not page.error


def test_how_making_it_ready_failed_is_told_and_can_be_tried_again(place, started):
    folder = add_version(place)
    page = visit().selectbox(key="chat_who_0").set_value(f"version/{VERSION}").run()
    page = button(page, "Make it ready").click().run()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
    assert run_worker(started[0]).state == "failed"
    page = page.run()
    assert f"The ONNX model of version `{VERSION}` was not made." in text(page)
    assert not button(page, "Make it ready").disabled


@pytest.mark.parametrize(
    ("row", "label", "title"), [(1, "Train a model", "Train"), (2, "Make the ONNX model", "ONNX export")]
)
def test_without_a_model_there_is_one_way_on(root, row, label, title):
    make_situation(root, row)
    page = visit()
    assert page.chat_input[0].disabled
    assert label in [found.label for found in page.button if not found.disabled]
    assert button(page, label).click().run().title[0].value == title


def test_an_export_out_of_date_answers_and_says_so(place):
    config = place.trained_model / "config.json"
    config.write_text(config.read_text() + "\n")  # another model, as its fingerprint says
    page = visit()
    assert "The current ONNX model is out of date" in text(page)
    assert ", out of date)" in text(ask(short(page), "one"))


def test_a_model_published_anew_answers_without_a_restart(place, started):
    page = ask(short(visit()), "one")
    config = place.trained_model / "config.json"
    config.write_text(config.read_text() + "\n")
    exporting.export_current(place, verify=False)
    run_worker(started[0])
    page = ask(page, "one")
    first, second = (turn.replies[0].origin.fingerprint for turn in turns(page))
    assert second == fingerprint_of(place.trained_model) != first
    assert ", out of date)" not in text(page)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "model.onnx", 1000),
        lambda folder: (folder / "model.onnx").write_bytes(b"<html>"),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / "chat_template.jinja").write_text("{% for %}"),
    ],
)
def test_a_damaged_model_is_a_sentence_in_the_place_of_an_answer(place, damage):
    damage(place.onnx_model)
    page = ask(visit(), "one")
    assert len(page.error) == 1
    assert "xport the model" in text(page)
    assert "Traceback" not in text(page)


def test_who_may_only_look_can_talk_and_changes_nothing(place, started, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    before = listing(place.root)
    page = ask(short(visit()), "one")
    assert turns(page)[0].replies[0].tokens == 4
    page = two(page)
    assert button(page, "Make it ready").disabled
    assert listing(place.root) == before
    assert started == []


# --- what must never happen -----------------------------------------------------------------------

VISIT = """
import sys
from streamlit.testing.v1 import AppTest

page = AppTest.from_file(sys.argv[1], default_timeout=60).run()
page = page.switch_page("pages/4_ONNX_export.py").run()
assert not page.exception and page.table
page = page.switch_page("pages/5_Chat.py").run()
page.number_input(key="chat_max_new_tokens").set_value(3)
page = page.chat_input[0].set_value("What is a variable?").run()
assert not page.exception and not page.error and len(page.chat_message) == 2, page
print([name for name in ("torch", "transformers", "optimum", "datasets") if name in sys.modules])
"""


@pytest.mark.usefixtures("place")
def test_exporting_and_chatting_load_no_machine_learning_library():
    command = [sys.executable, "-c", VISIT, APP]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(APP).parent)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
