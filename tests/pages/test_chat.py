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

from sails.chat import feedback, kept, saved_prompts
from sails.jobs import export
from sails.models import onnx_store
from sails.models.workspace import Workspace
from sails.ui.chat.state import chat_state_key
from tests.conftest import REPOSITORY
from tests.support.certified import add_variant, certify
from tests.support.exported import SESSION, VERSION, add_version
from tests.support.folders import fingerprint_of, listing
from tests.support.helpers import run_worker
from tests.support.situations import make_situation

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
    return page.session_state[chat_state_key(Workspace.open())].conversation.turns


# --- asking ---------------------------------------------------------------------------------------


def test_a_question_gets_an_answer_that_says_from_which_model(place):
    page = ask(short(visit()), "What is a variable?")
    (turn,) = turns(page)
    assert turn.replies[0].tokens == 4
    assert [message.name for message in page.chat_message] == ["user", "assistant"]
    fingerprint = fingerprint_of(place.trained_model)
    (about,) = (one for one in page.caption if one.value.startswith("Current model"))
    assert about.value.replace("\\", "").startswith("Current model (full precision, not verified) · ")
    assert about.proto.help.replace("\\", "") == f"Session {SESSION}, fingerprint {fingerprint}"
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
    assert labels == ["Save as text", "Save as JSON", "Save as an example"]


# --- what is kept ---------------------------------------------------------------------------------


def open_chat(**parameters: str) -> AppTest:
    """A browser of its own, or the same one after a reload: it knows only the address."""
    page = AppTest.from_file(APP, default_timeout=60).run()
    page.query_params.update(parameters)
    page = page.switch_page("pages/5_Chat.py").run()
    assert not page.exception
    return page


def address(page: AppTest) -> dict[str, str]:
    shown = page.query_params.items()
    return {name: value if isinstance(value, str) else value[0] for name, value in shown}


@pytest.mark.usefixtures("place")
def test_a_conversation_outlives_a_reload_with_the_model_that_answered():
    page = ask(short(visit()), "one")
    page = ask(page, "two")
    named = address(page)
    assert list(named) == ["conversation"]
    again = open_chat(**named)
    assert turns(again) == turns(page)
    assert turns(again)[0].replies[0].origin.session == SESSION
    assert [message.name for message in again.chat_message] == ["user", "assistant"] * 2
    ask(short(again), "three")
    assert [turn.question for turn in turns(page.run())] == ["one", "two", "three"]  # the other tab sees it


def test_conversations_are_listed_opened_renamed_and_deleted(place):
    page = ask(short(visit()), HOSTILE)
    first = address(page)["conversation"]
    page = button(page, "New conversation").click().run()
    assert address(page) == {}
    page = ask(short(page), "two")
    second = address(page)["conversation"]
    page = page.button(key=f"conversation-{first}").click().run()
    assert [turn.question for turn in turns(page)] == [HOSTILE]
    page.text_input(key=next(f.key for f in page.text_input if f.label == "Name")).set_value("Mine")
    page = button(page, "Rename").click().run()
    page = page.button(key=f"conversation-{second}").click().run()
    assert page.button(key=f"conversation-{first}").label.startswith("Mine · ")
    page = button(page, "Delete").click().run()
    assert [one.id for one in kept.conversations(place).kept] == [second, first]  # it asks first
    page = button(page, "Yes, delete it").click().run()
    assert not page.exception
    assert ([one.title for one in kept.conversations(place).kept], turns(page), address(page)) == (
        ["Mine"],
        [],
        {},
    )


def test_what_was_deleted_elsewhere_or_never_was_is_said_and_a_new_one_begins(place):
    page = ask(short(visit()), "one")
    kept.delete_conversation(place, address(page)["conversation"])
    page = page.run()
    assert "This conversation is not here; it may have been deleted." in text(page)
    assert (turns(page), address(page)) == ([], {})
    assert not page.run().error
    assert "names no conversation" in text(open_chat(conversation="../../etc"))


def test_a_damaged_conversation_is_left_out_with_a_sentence(place):
    page = ask(short(visit()), "one")
    identity = address(page)["conversation"]
    (place.root / kept.CONVERSATIONS / f"{identity}.json").write_text("{")
    page = open_chat()
    assert f"`{identity}.json` is damaged and is left out." in text(page)
    assert not page.error
    assert "is damaged, so it cannot be shown." in text(open_chat(conversation=identity))


def test_where_nothing_may_be_changed_a_conversation_lives_in_its_tab_and_that_is_said(place, monkeypatch):
    identity = address(ask(short(visit()), "one"))["conversation"]
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    before = listing(place.root)
    page = ask(short(open_chat(conversation=identity)), "two")
    assert [turn.question for turn in turns(page)] == ["one", "two"]
    assert "kept in this tab only: a reload ends it." in text(page)
    assert button(page, "Rename").disabled
    page = ask(button(page, "New conversation").click().run(), "three")
    assert address(page) == {}
    assert listing(place.root) == before


@pytest.mark.usefixtures("place")
def test_where_a_conversation_cannot_be_kept_the_chat_goes_on_and_why_is_said(monkeypatch):
    monkeypatch.setattr(kept, "MAX_TURNS", 1)
    page = ask(ask(short(visit()), "one"), "two")
    assert [turn.replies[0].tokens for turn in turns(page)] == [4, 4]
    assert "This is kept in this tab only. This conversation holds 1 questions" in text(page)


def test_what_was_said_about_an_answer_is_still_known_after_a_reload(place):
    page = ask(short(visit()), "one")
    page = button(page, "Good").click().run()
    again = open_chat(**address(page))
    assert "You called this answer good." in text(again)
    again = button(again, "Take it back").click().run()
    assert feedback.corrections(place) == []
    assert "You called this answer good." not in text(page.run())


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
    gone = "The model that was chosen is no longer here, so the current one answers."
    assert gone in text(page)
    page = page.selectbox(key="chat_who_0").set_value("base").run()
    assert gone not in text(page.selectbox(key="chat_who_0").set_value("current").run())


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
    assert "The ONNX model is of another model" in text(page)
    assert ", made from another model)" in text(ask(short(page), "one"))


def test_a_model_published_anew_answers_without_a_restart(place, started):
    page = ask(short(visit()), "one")
    config = place.trained_model / "config.json"
    config.write_text(config.read_text() + "\n")
    export.export_current(place, verify=False)
    run_worker(started[0])
    page = ask(page, "one")
    first, second = (turn.replies[0].origin.fingerprint for turn in turns(page))
    assert second == fingerprint_of(place.trained_model) != first
    assert ", made from another model)" not in text(page)


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


# --- sizes, side by side --------------------------------------------------------------------------


def test_8_bit_is_offered_said_to_be_unproven_and_taken_by_itself_once_certified(place):
    add_variant(place.onnx_model, "int8")
    page = visit()
    assert "Full precision, not verified" in text(page)
    page = page.selectbox(key="chat_size_0").set_value("int8").run()
    assert ":material/help: 8-bit, not verified" in text(page)
    assert "Current model (8-bit, not verified)" in text(ask(short(page), "one"))
    certify(place.onnx_model, "int8")
    page = page.selectbox(key="chat_size_0").set_value("automatic").run()
    assert "✅ 8-bit" in text(page)
    page = ask(page, "two")
    assert [turn.replies[0].origin.certified for turn in turns(page)] == [None, True]


def test_a_size_that_failed_is_kept_apart_and_one_put_in_place_is_marked(place):
    add_variant(place.onnx_model, "int8", apart=True)
    certify(place.onnx_model, "int8", apart=True)
    page = visit().selectbox(key="chat_size_0").set_value("int8").run()
    assert "Current model in 8-bit failed its certificate" in text(page)
    assert page.chat_input[0].disabled
    onnx_store.keep_failed(place.onnx_model, "int8")
    page = page.run()
    assert "⚠️ 8-bit, failed its certificate" in text(page)
    assert "(8-bit, failed its certificate)" in text(ask(short(page), "one"))


def test_full_precision_and_8_bit_answer_the_same_question_and_the_same_is_said(place):
    add_variant(place.onnx_model, "int8")
    page = ask(short(choose(visit(), "sizes")), "one")
    full, small = turns(page)[0].replies
    assert (full.origin.variant, small.origin.variant) == ("fp32", "int8")
    assert {"**Current model \\(full precision\\)**", "**Current model \\(8\\-bit\\)**"} <= {
        element.value for element in page.markdown
    }
    assert "= The same answer, word for word." in text(page)
    full.text, small.text = "It is *red* and round today.", "It is *red* and green today."
    page = page.run()
    assert "It is \\*red\\* and ~~round~~ **green** today\\." in [one.value for one in page.markdown]
    assert "≈ Differs in some words." in text(page)
    page = page.toggle(key="chat_marking").set_value(False).run()
    assert "≈" not in text(page)
    assert not any("~~" in one.value for one in page.markdown)


def test_before_and_after_the_last_lesson_is_one_click_once_there_is_one_before(place):
    assert "lesson" not in choices(visit())
    add_version(place)
    page = visit()
    assert choices(page) == ["one", "lesson", "grown", "sizes", "all", "own"]
    assert f"Version {VERSION}: not made yet · Current model: " in text(choose(page, "lesson")).replace(
        ":material/help: ", ""
    )
    assert "· Current model: " in text(choose(page, "all"))


def choices(page: AppTest) -> list[str]:
    shown = {"One model": "one", "Before and after the last lesson": "lesson", "Base and current": "grown"}
    shown |= {"Full precision and 8-bit": "sizes", "All side by side": "all", "My own choice": "own"}
    return [shown[option] for option in page.pills(key="chat_choice").options]


def test_four_of_ones_own_answer_at_once(place):
    add_variant(place.onnx_model, "int8")
    page = choose(visit(), "own")
    page = page.number_input(key="chat_count").set_value(4).run()
    for number, size in ((1, "fp32"), (2, "int8"), (3, "automatic"), (4, "int8")):
        page.selectbox(key=f"chat_who_{number}").set_value("current")
        page.selectbox(key=f"chat_size_{number}").set_value(size)
    page = ask(short(page.run()), "one")
    assert [reply.origin.variant for reply in turns(page)[0].replies] == ["fp32", "int8", "fp32", "int8"]
    assert [reply.tokens for reply in turns(page)[0].replies] == [4, 4, 4, 4]


# --- what is kept in mind -------------------------------------------------------------------------


@pytest.mark.usefixtures("place")
def test_how_much_is_kept_in_mind_is_shown_before_and_after_a_question():
    page = visit()
    assert "This model keeps about 512 word pieces in mind; none is used yet." in text(page)
    assert re.search(r"in mind; \d\d are used", text(ask(short(page), "What is a variable?")))


def test_without_a_place_for_it_the_system_message_stands_in_the_first_question_and_it_is_said(place):
    page = visit().text_area(key="chat_system").set_value("Be short.").run()
    assert not page.text_area(key="chat_system").disabled
    deaf = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    (place.onnx_model / "chat_template.jinja").write_text(deaf)
    page = page.run()
    assert "This model takes no system message, so it stands in the first question" in text(page)
    (turn,) = turns(ask(short(page), "one"))
    assert (turn.settings.system, turn.replies[0].system_in_question) == ("Be short.", True)


# --- saved questions ------------------------------------------------------------------------------


def saved(place) -> list[str]:
    return [prompt.question for prompt in saved_prompts.prompts(place)]


def test_questions_are_saved_changed_moved_asked_and_deleted(place):
    page = ask(short(visit()), "one")
    page = button(page, "Save the last question").click().run()
    page.text_input(key="prompt-new-name").set_value("Second")
    page.text_area(key="prompt-new-question").set_value(HOSTILE)
    page = button(page, "Add it to the list").click().run()
    assert not page.exception
    assert saved(place) == ["one", HOSTILE]
    first = saved_prompts.prompts(place)[0].id
    page = page.button(key=f"prompt-change-{first}").click().run()
    page.text_area(key=f"prompt-{first}-question").set_value("first")
    page = page.button(key=f"prompt-save-{first}").click().run()
    page = page.button(key=f"prompt-change-{first}").click().run()
    page = page.button(key=f"prompt-Down-{first}").click().run()
    assert saved(place) == [HOSTILE, "first"]
    page = page.button(key=f"prompt-ask-{saved_prompts.prompts(place)[0].id}").click().run()
    assert [turn.question for turn in turns(page)] == ["one", HOSTILE]
    assert turns(page)[1].replies[0].tokens == 4
    page = page.button(key=f"prompt-delete-{first}").click().run()
    assert saved(place) == [HOSTILE]
    assert not page.error


def test_all_saved_questions_are_asked_of_both_into_a_table_that_can_be_taken(place):
    add_variant(place.onnx_model, "int8")
    saved_prompts.add(place, "one", name="First")
    saved_prompts.add(place, HOSTILE)
    page = short(choose(visit(), "sizes"))
    page = button(page, "Ask both models all of these").click().run()
    assert not page.exception
    assert "2 questions answered by Current model (full precision), Current model (8-bit)." in text(page)
    assert text(page).count("The same answer, word for word. Cut off at") == 2
    labels = [found.proto.label for found in page.get("download_button")]
    assert labels == ["Save the table as CSV", "Save the table as JSON"]
    assert not any(element.allow_html for element in page.markdown)
    page = page.switch_page("pages/4_ONNX_export.py").run().switch_page("pages/5_Chat.py").run()
    assert "2 questions answered by" in text(page)
    page = button(page, "Clear the table").click().run()
    assert "questions answered by" not in text(page)


def test_a_damaged_list_is_a_sentence_and_the_chat_goes_on(place):
    (place.root / saved_prompts.PROMPTS).write_text("{")
    page = visit()
    assert "The list of saved questions (prompts.json) is damaged." in text(page)
    assert turns(ask(short(page), "one"))[0].replies[0].tokens == 4


def test_who_may_only_look_asks_saved_questions_and_changes_none(place, monkeypatch):
    kept = saved_prompts.add(place, "one")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = short(visit())
    assert page.button(key=f"prompt-change-{kept.id}").disabled
    assert button(page, "Add it to the list").disabled
    page = button(page, "Ask all of these").click().run()
    assert "1 question answered by Current model." in text(page)


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
