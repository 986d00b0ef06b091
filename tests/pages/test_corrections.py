"""From a thumb below an answer to the training page: the chat, the review list and the bridge."""

import pytest
from streamlit.testing.v1 import AppTest

from sails.chat import feedback
from sails.chat.conversation import Origin
from sails.data import datasets
from sails.models.workspace import Workspace
from tests.conftest import REPOSITORY
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session

APP = str(REPOSITORY / "app.py")
SECONDS = 60
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
QUESTION = "Which mountain stands near Oslo?"


def open_page(script: str, **parameters: str) -> AppTest:
    page = AppTest.from_file(APP, default_timeout=SECONDS).run()
    page.query_params.update(parameters)
    page.switch_page(script).run()
    assert not page.exception
    return page


@pytest.fixture
def workspace(root) -> Workspace:
    return Workspace.open(root)


def correct(workspace, number=1, **changes):
    fields = {
        "question": f"Which mountain stands near Oslo number {number}?",
        "answer": "I do not know.",
        "kind": "corrected",
        "correction": f"The mountain near Oslo is called Peak {number}.",
        "who": "Ann",
        "origin": Origin("Current model", "1a2b3c4d", "20260105-091500-databases"),
    }
    return feedback.give(workspace, **{**fields, **changes})


def button(page, label):
    return next(one for one in page.button if one.label == label)


def texts(page) -> str:
    return "\n".join(one.value for one in [*page.markdown, *page.success, *page.error, *page.caption])


# --- the chat -------------------------------------------------------------------------------------


def chat() -> AppTest:
    page = open_page("pages/5_Chat.py")
    page.number_input("chat_max_new_tokens").set_value(8)
    page.chat_input("chat_question").set_value(QUESTION).run()
    assert not page.exception
    return page


def test_a_thumb_up_waits_in_the_list_and_can_be_taken_back(talking):
    page = chat()
    button(page, "Good").click().run()
    (given,) = feedback.corrections(talking)
    assert (given.kind, given.question, given.who) == ("good", QUESTION, "somebody")
    assert given.fingerprint == talking.situation().trained.fingerprint
    assert "You called this answer good" in texts(page)
    button(page, "Take it back").click().run()
    assert feedback.corrections(talking) == []
    assert button(page, "Good")


def test_a_thumb_down_with_the_right_answer_becomes_a_correction_by_that_person(talking):
    page = chat()
    button(page, "Correct it").click().run()
    answer = next(one for one in page.text_area if one.label == "The right answer")
    assert answer.value  # what the model said, to be changed
    button(page, "Send for review").click().run()
    assert "is what the model said" in texts(page)
    assert feedback.corrections(talking) == []
    answer = next(one for one in page.text_area if one.label == "The right answer")
    answer.set_value("The highest mountain near Oslo is Peak 7.")
    page.text_input(key="who-field").set_value("Ann")
    button(page, "Send for review").click().run()
    assert not page.exception
    (given,) = feedback.corrections(talking)
    assert (given.kind, given.taught, given.who) == (
        "corrected",
        "The highest mountain near Oslo is Peak 7.",
        "Ann",
    )
    assert "You corrected this answer" in texts(page)


def test_never_say_this_proposes_a_refusal_that_nobody_confirmed(talking):
    page = chat()
    button(page, "Correct it").click().run()
    page.radio[-1].set_value("never").run()
    button(page, "Send for review").click().run()
    (given,) = feedback.corrections(talking)
    assert (given.kind, given.taught, given.confirmed) == ("never", feedback.REFUSAL, False)


def test_a_later_answer_is_corrected_with_the_conversation_before_it(talking):
    page = chat()
    page.chat_input("chat_question").set_value("And the second?").run()
    [one for one in page.button if one.label == "Correct it"][-1].click().run()
    next(one for one in page.text_area if one.label == "The right answer").set_value("Peak 8 is the second.")
    button(page, "Send for review").click().run()
    (given,) = feedback.corrections(talking)
    assert given.context[0]["content"] == QUESTION
    assert given.question == "And the second?"


@pytest.mark.usefixtures("talking")
def test_whoever_may_only_look_cannot_send_anything(monkeypatch):
    page = chat()
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page.run()
    assert button(page, "Good").disabled
    assert button(page, "Correct it").disabled


# --- the review list ------------------------------------------------------------------------------


def test_the_list_says_who_corrected_which_model_and_what_to_look_at(workspace):
    correct(workspace, 1)
    correct(workspace, 1, correction="There is none.", who="Ben")
    page = open_page("pages/1_Data.py", corrections="waiting")
    said = texts(page).replace("\\", "")
    assert "by Ann" in said
    assert "1a2b3c4d" not in said
    assert any("1a2b3c4d" in one.proto.help for one in page.markdown)
    assert "Ann gave another answer to this question" in said
    assert not any(one.label.startswith("Approve all") for one in page.button)


def test_a_correction_is_edited_in_place_and_approved(workspace):
    given = correct(workspace)
    page = open_page("pages/1_Data.py", corrections="waiting")
    _question, answer = page.text_area
    answer.set_value("The mountain is called Peak 8.").run()
    assert feedback.find(workspace, given.id).taught == "The mountain is called Peak 8."
    button(page, "Approve").click().run()
    assert not page.exception
    assert [one.taught for one in feedback.to_teach(workspace)] == ["The mountain is called Peak 8."]
    assert "Nothing waits for a review" in texts(page)


def test_what_cannot_be_approved_is_told_in_words(workspace):
    given = correct(workspace, correction="")
    page = open_page("pages/1_Data.py", corrections="waiting")
    button(page, "Approve").click().run()
    assert "It has no answer yet" in texts(page)
    assert feedback.find(workspace, given.id).state == "waiting"


def test_all_without_findings_are_approved_at_once_and_rejected_ones_come_back(workspace):
    fine = [correct(workspace, number) for number in (1, 2)]
    short = correct(workspace, 3, correction="No")
    page = open_page("pages/1_Data.py", corrections="waiting")
    button(page, "Approve all 2 without findings").click().run()
    assert [one.id for one in feedback.to_teach(workspace)] == [one.id for one in fine]
    button(page, "Reject").click().run()
    assert feedback.find(workspace, short.id).state == "rejected"
    page = open_page("pages/1_Data.py", corrections="rejected")
    button(page, "Let it wait again").click().run()
    assert feedback.find(workspace, short.id).state == "waiting"


def test_a_list_of_hundreds_shows_a_part_and_finds_words(workspace):
    for number in range(25):
        correct(workspace, number)
    page = open_page("pages/1_Data.py", corrections="waiting")
    assert len(page.text_area) == 20
    page.text_input("review-find").set_value("number 7?").run()
    assert page.text_area[0].value == "Which mountain stands near Oslo number 7?"
    assert len(page.text_area) == 2


def test_what_was_taught_is_shown_with_its_session_and_cannot_be_changed(workspace):
    given = correct(workspace)
    feedback.approve(workspace, given.id)
    name = feedback.as_dataset(workspace).name
    session = make_session(workspace, "november", state="succeeded", verdict="published")
    spec = session.spec().model_copy(update={"dataset": name})
    (session.folder / "spec.json").write_text(spec.model_dump_json())
    page = open_page("pages/1_Data.py", corrections="taught")
    assert "november" in texts(page)
    assert all(one.disabled for one in page.text_area)
    assert not any(one.label in ("Approve", "Reject") for one in page.button)


def test_in_the_list_and_on_the_bridge_nothing_can_be_pressed_by_whoever_may_only_look(
    workspace, monkeypatch
):
    feedback.approve(workspace, correct(workspace, 1).id)
    correct(workspace, 2)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = open_page("pages/1_Data.py", corrections="waiting")
    assert all(one.disabled for one in [*page.button, *page.text_area, *page.text_input])
    bridge = AppTest.from_file(APP, default_timeout=SECONDS).run()
    assert next(one for one in bridge.button if "approved correction" in one.label).disabled


@pytest.mark.parametrize("wanted", ["", "nonsense", "<b>"])
def test_an_odd_address_shows_what_waits(workspace, wanted):
    correct(workspace)
    page = open_page("pages/1_Data.py", corrections=wanted or "waiting")
    assert button(page, "Approve")


# --- the bridge -----------------------------------------------------------------------------------


def test_the_bridge_trains_on_what_is_approved_with_the_dataset_chosen(workspace, tmp_path):
    add_dataset(workspace, write_lesson(tmp_path / "lesson.json"))
    given = [correct(workspace, number) for number in (1, 2, 3)]
    feedback.approve(workspace, given[0].id, given[1].id)
    page = AppTest.from_file(APP, default_timeout=SECONDS).run()
    label = "2 approved corrections since the last session: train on them"
    assert "Few corrections must be repeated often" in texts(page)
    button(page, label).click().run()
    assert not page.exception
    assert "So few examples must be repeated often" in texts(page)
    assert page.multiselect("train_datasets").value == ["corrections"]
    assert datasets.report_of(workspace, "corrections").rows == 2


@pytest.mark.usefixtures("root")
def test_the_bridge_says_nothing_of_corrections_where_there_are_none():
    page = AppTest.from_file(APP, default_timeout=SECONDS).run()
    assert not any("correction" in one.label for one in page.button)
    assert not page.exception
