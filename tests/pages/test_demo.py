"""The demo in the pages, without a browser: the tour, the recorded answers, the decision, the replay."""

import json
import re
import shutil

import pytest
from streamlit.testing.v1 import AppTest

from sails import sessions
from sails.chat import feedback, kept
from sails.models.workspace import Workspace
from sails.sessions import demo
from tests.conftest import REPOSITORY
from tests.support.folders import listing

APP = str(REPOSITORY / "app.py")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def place(root) -> Workspace:
    workspace = Workspace.open(root)
    demo.make_demo(workspace)
    return workspace


def visit(script: str = "app.py", **parameters: str) -> AppTest:
    page = AppTest.from_file(APP, default_timeout=60)
    if script == "app.py":
        page.query_params.update(parameters)
        page.run()
    else:
        page.run()
        page.query_params.update(parameters)
        page.switch_page(script).run()
    assert not page.exception
    return page


def text(page: AppTest) -> str:
    elements = [*page.caption, *page.markdown, *page.error, *page.info]
    said = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(element.value for element in elements))
    return said.replace("\u2060", "").replace("\u00a0", " ")


def button(page: AppTest, label: str):
    return next(one for one in page.button if one.label.replace("\\", "").startswith(label))


def press(page: AppTest, label: str) -> AppTest:
    page = button(page, label).click().run()
    assert not page.exception
    return page


def verdicts(place: Workspace) -> list[str | None]:
    return [record.status.verdict for record in sessions.read_history(place)]


@pytest.mark.usefixtures("place")
def test_the_link_leads_through_four_stops_and_ends_where_one_is():
    page = visit(tour="1")
    titles = []
    for number in range(1, 5):
        assert f"Tour, stop {number} of 4" in text(page)
        titles.append(page.title[0].value)
        if number < 4:
            page = press(page, "Next: ")
    assert titles == ["Sessions", "Sessions", "Chat", "ONNX export"]
    assert not [one for one in page.button if one.label.startswith("Next: ")]
    assert "The 8-bit model answers like the original." in text(page)
    page = press(page, "End the tour")
    assert "Tour, stop" not in text(page)
    assert page.title[0].value == "ONNX export"
    assert not page.error


def test_the_tour_says_only_what_was_recorded(place):
    (held,) = [one for one in sessions.read_history(place) if one.status.verdict == "held"]
    page = visit("pages/3_Sessions.py", tour="2", session=held.session.id)
    assert "*Databases in a hurry* was taught at 30 times the automatic learning speed." in text(page)
    page = press(page, "Next: ")
    asked = re.search(r"Ask: \*(.+?)\* Its answer is not what was taught", text(page))
    record = [one for one in sessions.read_history(place) if one.status.verdict == "published"][-1]
    monitor = sessions.monitor_of(record.session)
    item = next(item for item in monitor.answers["after"] if item.question == asked[1])
    assert item.expected != item.answer


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("named", ["0", "99", "x", "٣", "-1", ""])
def test_any_number_in_the_address_leads_to_a_stop(named):
    assert re.search(r"Tour, stop [14] of 4", text(visit(tour=named)))


def test_outside_of_the_demo_the_tour_says_where_it_is(root):
    Workspace.open(root).root.mkdir()
    page = visit(tour="1")
    assert "The tour leads through the demo." in text(page)
    assert page.title[0].value == "Home"


@pytest.mark.usefixtures("place")
def test_elsewhere_on_the_way_the_tour_leads_back():
    page = visit("pages/1_Data.py", tour="3")
    page = press(page, "Back to this stop")
    assert page.title[0].value == "Chat"
    assert "Tour, stop 3 of 4" in text(page)


@pytest.mark.usefixtures("place")
def test_the_main_button_replays_at_once_from_where_the_answers_change(started):
    page = press(visit(), "Watch a model learn")
    (job,) = started
    assert page.title[0].value == "Train"
    assert job.spec().name == "Programming basics"
    assert 0 < job.spec().from_step < 112  # its first changed answers came at step 112
    page = visit()
    page.toggle(key="replay_from_start").set_value(True)
    press(page, "Replay it")
    assert started[1].spec().from_step == 0


def test_recorded_models_answer_side_by_side_and_are_marked(place):
    page = visit("pages/5_Chat.py")
    page = (
        page.multiselect(key="chat_recorded")
        .set_value(["Base model smollm2-135m-instruct", "After Databases"])
        .run()
    )
    page = page.chat_input[0].set_value("what is the capital of france?").run()
    assert not page.exception
    assert [message.name for message in page.chat_message] == ["user", "assistant", "assistant"]
    assert text(page).count("Recorded answer") == 2
    assert len(kept.conversations(place).kept) == 1
    page = page.chat_input[0].set_value("Who are you?").run()
    assert "No answer to this was recorded" in text(page)
    assert len(page.chat_message) == 3


def test_two_recorded_trainings_of_one_name_are_told_apart(place, tmp_path, monkeypatch):
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "same"))
    shutil.copytree(place.root, tmp_path / "same")
    for spec in (tmp_path / "same/sessions").glob("*/spec.json"):
        spec.write_text(json.dumps(json.loads(spec.read_text()) | {"name": "Databases"}))
    names = ["Databases", *(f"Databases ({number})" for number in range(2, 7))]
    (choice,) = [one for one in visit().selectbox if one.label == "A recorded training"]
    assert choice.options == names
    (who,) = [one for one in visit("pages/5_Chat.py").multiselect if one.label == "Who answers"]
    assert len(set(who.options)) == len(who.options) == 6


@pytest.mark.usefixtures("place")
def test_the_page_of_exports_denies_no_model_above_what_was_recorded_of_it():
    page = visit("pages/4_ONNX_export.py")
    assert page.header[0].value == "Recorded certificates"
    assert "There is no" not in text(page)
    assert "the recorded ones are not in this demo" in text(page)
    assert button(page, "Train a model first")


@pytest.mark.usefixtures("place")
def test_a_recorded_question_is_asked_at_a_click():
    page = press(visit("pages/5_Chat.py"), "What is a database?")
    assert [message.name for message in page.chat_message] == ["user", "assistant"]
    (field,) = [one for one in page.selectbox if one.label == "All 18 recorded questions"]
    page = field.set_value("What is the capital of France?").run()
    assert len(page.chat_message) == 4
    assert not page.exception


def test_a_recorded_answer_can_be_corrected(place):
    page = visit("pages/5_Chat.py", tour="3").chat_input[0].set_value("What is a database?").run()
    assert "After Databases · recorded answer" in text(page)
    page = press(page, "Correct it")
    page = page.text_area[-1].set_value("A place for tables.").run()
    page = press(page, "Send for review")
    (sent,) = feedback.corrections(place)
    assert (sent.question, sent.correction) == ("What is a database?", "A place for tables.")
    assert "Tour, stop 3 of 4" in text(page)


@pytest.mark.usefixtures("place")
def test_without_recorded_answers_the_models_that_are_here_are_offered():
    page = visit("pages/5_Chat.py")
    page = page.segmented_control(key="chat_source").set_value("A model that is here").run()
    assert "There is no model yet" in text(page)
    assert page.chat_input[0].disabled


def test_the_held_session_is_decided_and_held_again(place):
    before = verdicts(place)
    (held,) = [one for one in sessions.read_history(place) if one.status.verdict == "held"]
    page = visit("pages/3_Sessions.py", session=held.session.id)
    assert "Keeping the new one cannot be tried here" in text(page)
    page = press(page, "Undo")
    assert verdicts(place).count("discarded") == 1
    assert "You discarded it" in text(page)
    press(page, "Decide again")
    assert verdicts(place) == before


def test_who_may_only_look_takes_the_tour_and_changes_nothing(place, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    before = listing(place.root)
    page = visit()
    assert button(page, "Watch a model learn").disabled
    page = press(page, "Take the tour")
    assert button(page, "Watch it learn").disabled
    page = press(page, "Next: ")
    assert button(page, "Undo").disabled
    page = press(page, "Next: ")
    page = page.chat_input[0].set_value("What is a database?").run()
    assert "kept in this tab only: a reload ends it." in text(page)
    assert listing(place.root) == before
