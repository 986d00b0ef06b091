"""The page Data without a browser: whatever a person brings is either of use or a sentence with a remedy."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from sails import sessions
from sails.data import Register, datasets
from sails.jobs import launcher
from sails.models.workspace import Workspace
from tests.conftest import REPOSITORY
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import make_session
from tests.support.tiny import make_tiny_model

APP = str(REPOSITORY / "app.py")
DATA = "pages/1_Data.py"
LONG = "A whole sentence that explains thing number"
GOOD = [{"input": f"What is thing number {n}?", "output": f"{LONG} {n}."} for n in range(1, 9)]
BAD = {"input": "And this one?", "output": "..."}
SHORT = {"input": "Is it?", "output": "Yes."}
HOSTILE = "<b>bold</b> ![x](http://127.0.0.1:9/x) :red[x] `code` :smile:"


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace.open(tmp_path / "workspace")


in_workspace = pytest.mark.usefixtures("workspace")


@pytest.fixture
def peaks(workspace, tmp_path) -> str:
    """The name of a dataset in the library."""
    return add_dataset(workspace, write_lesson(tmp_path / "peaks.json"))


def visit(**query: str) -> AppTest:
    page = AppTest.from_file(APP, default_timeout=60).run()
    page.switch_page(DATA)
    for name, value in query.items():
        page.query_params[name] = value
    return run(page)


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def click(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click()
    return run(page)


def upload(*files: tuple[str, bytes], page: AppTest | None = None) -> AppTest:
    page = page or visit()
    page.file_uploader[0].set_value([(name, content, "application/octet-stream") for name, content in files])
    return run(page)


def lesson(*records: object, name: str = "lesson.json") -> tuple[str, bytes]:
    return name, json.dumps(records).encode()


def way(page: AppTest, name: str) -> AppTest:
    page.segmented_control(key="data-way").set_value(name)
    return run(page)


def text(page: AppTest) -> str:
    """All that the page says outside of tables, with the escapes of Markdown taken out."""
    kinds = (page.title, page.header, page.caption, page.markdown, page.error, page.success)
    values = [element.value for kind in kinds for element in kind]
    values += [radio.label for radio in page.radio]
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(values)).replace("\u2060", "")


def names(workspace: Workspace) -> list[str]:
    return sorted(report.name for report in datasets.reports(workspace))


def keyed(elements, name: str):
    """The one widget whose key begins so; what follows changes whenever the desk begins afresh."""
    (found,) = [element for element in elements if element.key and element.key.startswith(f"data-{name}-")]
    return found


# --- bringing -------------------------------------------------------------------------------------


def test_an_empty_library_says_how_to_begin_and_creates_nothing(workspace):
    page = visit()
    assert "There is none yet" in text(page)
    assert not workspace.root.exists()


def test_an_uploaded_file_is_judged_saved_and_then_ready_to_be_taught(workspace):
    page = upload(lesson(*GOOD, BAD, SHORT))
    assert "Good: 9 of 10 rows can be taught as they are." in text(page)
    assert "1 row: the question or the answer is empty" in text(page)
    assert not workspace.root.exists()  # nothing is saved before a person says so
    click(page, "data-save")
    assert names(workspace) == ["lesson"]
    assert datasets.report_of(workspace, "lesson").rows == 9
    assert "`lesson` is in your library: 9 examples." in text(page)
    assert page.button(key="data-teach").label == "Teach this"


@in_workspace
def test_teach_this_leads_to_the_training_page_with_the_dataset(peaks):
    page = visit(dataset=peaks)
    page.button(key="data-teach").click()
    page.run()
    assert page.title[0].value == "Train"
    assert page.query_params["dataset"] == peaks


def test_several_files_are_saved_one_after_another(workspace):
    page = upload(lesson(*GOOD, name="one.json"), lesson(*GOOD[:5], name="two.json"))
    assert "2 files wait to be saved" in text(page)
    click(page, "data-save")
    assert names(workspace) == ["one"]
    assert page.header[0].value == "two\\.json"
    click(page, "data-save")
    assert names(workspace) == ["one", "two"]


def test_of_several_files_another_one_can_be_looked_at_first(workspace):
    page = upload(lesson(*GOOD, name="one.json"), lesson(*GOOD[:5], name="two.json"))
    page.radio[0].set_value(1)
    run(page)
    assert page.header[0].value == "two\\.json"
    click(page, "data-save")
    assert names(workspace) == ["two"]


def test_two_files_of_the_same_name_become_two_datasets_and_it_is_said(workspace):
    page = upload(lesson(*GOOD), lesson(*GOOD[:5]))
    click(page, "data-save")
    click(page, "data-save")
    assert names(workspace) == ["lesson", "lesson-2"]
    assert "The name `lesson` was taken." in text(page)


def test_the_name_that_a_person_typed_is_used_and_made_harmless(workspace):
    page = upload(lesson(*GOOD))
    keyed(page.text_input, "name").set_value("../../Help Desk 🦜")
    click(run(page), "data-save")
    assert names(workspace) == ["help-desk"]
    assert [path.name for path in workspace.root.parent.iterdir()].count("help-desk") == 0


def test_a_pasted_table_is_read_and_what_was_pasted_is_the_source(workspace):
    page = way(visit(), "paste")
    table = "question\tanswer\n" + "\n".join(f"{one['input']}\t{one['output']}" for one in GOOD)
    keyed(page.text_area, "paste").set_value(table)
    click(run(page), "data-check-paste")
    assert "Good: 8 of 8 rows" in text(page)
    click(page, "data-save")
    assert (workspace.datasets / "pasted" / "source.txt").read_text() == table


@in_workspace
def test_an_empty_paste_and_an_empty_grid_say_what_to_do():
    page = click(way(visit(), "paste"), "data-check-paste")
    assert "Nothing was pasted yet. Copy a table" in text(page)
    page = click(way(visit(), "type"), "data-check-typed")
    assert "Nothing was typed yet. Write a question" in text(page)


def test_typed_pairs_become_a_dataset(workspace):
    page = way(visit(), "type")
    typed = {"edited_rows": {0: {"Question": "What is a sail?", "Answer": "A sail catches the wind."}}}
    page.session_state["data-typed-0"] = {**typed, "added_rows": [], "deleted_rows": []}
    click(run(page), "data-check-typed")
    assert "Too few to learn from: 1 row." in text(page)
    click(page, "data-save")
    assert datasets.rows_of(workspace, "typed")[0].output == "A sail catches the wind."


@pytest.mark.parametrize("example", datasets.EXAMPLES, ids=lambda example: example.file)
def test_an_example_is_one_click_away_and_says_what_it_teaches(workspace, example):
    page = way(visit(), "example")
    assert example.teaches in text(page)
    click(page, f"data-example-{example.file}")
    assert len(names(workspace)) == 1
    assert "90 examples" in text(page)


@in_workspace
def test_how_many_examples_are_needed_is_answered_in_words():
    said = text(visit())
    assert "Fewer than 20" in said
    assert "From about 200" in said


# --- what is of no use ----------------------------------------------------------------------------

NO_USE = [
    ("empty.csv", b"", "is empty. Choose a file"),
    ("report.pdf", b"%PDF-1.7", "is a PDF. Copy its text"),
    ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel file"),
    ("broken.json", b'[{"input": "What?", "output": "That."', "cut short"),
    ("one.csv", b"only\nvalue\n", "it needs one for the question and one for the answer"),
    ("list.json", b"[1, 2]", "Each row needs a question and an answer"),
    (f"{HOSTILE}.csv", b"", "is empty"),
]


@in_workspace
@pytest.mark.parametrize(("name", "content", "sentence"), NO_USE, ids=[case[0][:8] for case in NO_USE])
def test_a_file_of_no_use_is_a_sentence_with_a_remedy(name, content, sentence):
    page = upload((name, content))
    assert sentence in text(page)
    assert len(page.error) == 1
    assert run(page).error.len == 0  # said once


@in_workspace
def test_one_file_of_no_use_does_not_keep_the_others_away():
    page = upload(("report.pdf", b"%PDF-1.7"), lesson(*GOOD))
    assert "report.pdf is a PDF" in text(page)
    assert "Good: 8 of 8 rows" in text(page)


@in_workspace
def test_a_broken_line_costs_only_itself_and_is_listed():
    lines = [json.dumps(one) for one in GOOD]
    page = upload(("x.jsonl", "\n".join([*lines[:4], '{"input": "What', *lines[4:]]).encode()))
    assert "Good: 8 of 9 rows" in text(page)
    assert "1 row: cannot be read" in text(page)
    refused = next(table.value for table in page.dataframe if "Why" in table.value)
    assert refused["Row"].tolist() == [5]


def test_a_draft_without_a_good_row_cannot_be_saved(workspace):
    page = upload(lesson(BAD))
    assert "Critical: 0 of 1 row" in text(page)
    assert page.button(key="data-save").disabled
    assert names(workspace) == []


# --- people ---------------------------------------------------------------------------------------

CHAT = """1/1/26, 10:15 PM - Guest: Is the shop open tonight?
1/1/26, 10:16 PM - Tea Shop: Yes, the shop is open until midnight.
"""


def test_a_chat_between_people_asks_who_is_the_assistant_before_anything_is_saved(workspace):
    page = upload(("chat.txt", CHAT.encode()))
    assert "Whose messages are the answers" in text(page)
    assert keyed(page.selectbox, "assistant").options == ["Guest", "Tea Shop"]
    assert page.button(key="data-use-assistant").disabled
    keyed(page.selectbox, "assistant").set_value("Tea Shop")
    click(run(page), "data-use-assistant")
    click(page, "data-save")
    (row,) = datasets.rows_of(workspace, "chat")
    assert row.input == "Is the shop open tonight?"
    assert row.output == "Yes, the shop is open until midnight."


# --- columns --------------------------------------------------------------------------------------

TICKETS = b"Ticket,Reply,Team\nHow do I log in?,Use the blue button on the right.,Web\n"


def test_unknown_columns_are_asked_for(workspace):
    page = upload(("tickets.csv", TICKETS))
    assert "names that I do not know" in text(page)
    keyed(page.selectbox, "context-column").set_value("Team")
    click(run(page), "data-use-columns")
    click(page, "data-save")
    (row,) = datasets.rows_of(workspace, "tickets")
    assert (row.input, row.output) == ("How do I log in?\n\nWeb", "Use the blue button on the right.")


@in_workspace
def test_the_same_column_twice_is_refused_and_can_be_chosen_again():
    page = upload(("tickets.csv", TICKETS))
    keyed(page.selectbox, "answer-column").set_value("Ticket")
    click(run(page), "data-use-columns")
    assert "The same column is chosen twice." in text(page)
    keyed(page.selectbox, "answer-column").set_value("Reply")
    click(run(page), "data-use-columns")
    assert "Too few to learn from: 1 row." in text(page)


def test_a_table_without_a_line_of_names_keeps_its_first_row(workspace):
    page = way(visit(), "paste")
    keyed(page.text_area, "paste").set_value(
        "What is a ship?\tA large boat.\nWhat is a sail?\tIt catches wind."
    )
    click(run(page), "data-check-paste")
    assert "The file names no columns: the first was taken as the question" in text(page)
    click(page, "data-save")
    assert [row.input for row in datasets.rows_of(workspace, "pasted")] == [
        "What is a ship?",
        "What is a sail?",
    ]


def test_what_was_understood_is_said_and_can_be_changed_before_it_is_saved(workspace):
    table = b"system,question,answer,team\nBe brief.,Is it open?,It opens at ten.,Desk\n"
    page = upload(("x.csv", table))
    assert "system = system, question = question, answer = answer; not taught: team" in text(page)
    keyed(page.selectbox, "system-column").set_value("(none)")
    keyed(page.selectbox, "instruction-column").set_value("team")
    click(run(page), "data-other-columns")
    assert "instruction = team, question = question, answer = answer; not taught: system" in text(page)
    click(page, "data-save")
    (row,) = datasets.rows_of(workspace, "x")
    assert [turn.content for turn in row.turns] == ["Desk\n\nIs it open?", "It opens at ten."]
    assert "not taught: system" in text(page)  # on the dataset's own page


def test_a_draft_of_a_dataset_has_its_rows_whatever_their_other_fields_are_called(workspace):
    page = upload(("x.csv", b"prompt,completion,question\nIs it open?,It opens at ten.,7\n"))
    keyed(page.selectbox, "question-column").set_value("prompt")
    keyed(page.selectbox, "answer-column").set_value("completion")
    click(run(page), "data-use-columns")
    click(page, "data-save")
    click(visit(dataset="x"), "data-copy")
    assert datasets.rows_of(workspace, "x")[0].extra == {"question": "7"}


@in_workspace
def test_recognised_columns_can_be_replaced_by_others():
    table = b"question,answer,better\nWhat is it?,No.,It is a small test of columns.\n"
    page = upload(("x.csv", table))
    assert "1 row: a very short answer" in text(page)
    keyed(page.selectbox, "answer-column").set_value("better")
    click(run(page), "data-other-columns")
    assert "very short" not in text(page)


# --- correcting -----------------------------------------------------------------------------------


def test_one_click_drops_the_rows_with_errors_and_one_brings_them_back(workspace):
    page = upload(lesson(*GOOD, BAD, SHORT))
    click(page, "data-drop-errors")
    click(page, "data-drop-warnings")
    assert "Good: 8 of 8 rows" in text(page)
    click(page, "data-restore")
    assert "Good: 9 of 10 rows" in text(page)
    click(page, "data-drop-errors")
    click(page, "data-save")
    assert datasets.report_of(workspace, "lesson").rows == 9


@in_workspace
def test_the_rows_with_problems_come_first_and_all_can_be_seen_and_searched():
    page = upload(lesson(*GOOD, BAD, SHORT))
    assert page.data_editor[0].value["Row"].tolist() == [9, 10]
    assert page.data_editor[0].value["What the check says"].tolist() == [
        "❌ the answer is only “...”",
        "⚠️ the answer is very short",
    ]
    keyed(page.segmented_control, "which").set_value("all")
    assert len(run(page).data_editor[0].value) == 10
    keyed(page.text_input, "search").set_value("NUMBER 3")
    assert run(page).data_editor[0].value["Row"].tolist() == [3]
    keyed(page.text_input, "search").set_value("nowhere")
    assert "No row fits." in text(run(page))


@in_workspace
def test_many_rows_and_long_texts_are_shown_in_parts():
    many = [{"input": f"What is thing {n}?", "output": f"{LONG} {n}."} for n in range(120)]
    many[0]["output"] = "A very long text. " * 5_000
    page = upload(lesson(*many))
    keyed(page.segmented_control, "which").set_value("all")
    run(page)
    first = page.data_editor[0].value
    assert len(first) == 50
    assert len(first["Answer"][0]) < 5_000
    keyed(page.number_input, "part").set_value(3)
    assert run(page).data_editor[0].value["Row"].tolist() == list(range(101, 121))


@in_workspace
def test_what_was_thrown_away_can_be_brought_back():
    page = click(upload(lesson(*GOOD)), "data-throw-away")
    assert "lesson.json was discarded." in text(page)
    assert "Good: 8 of 8 rows" in text(click(page, "data-undo"))


@in_workspace
def test_how_long_the_examples_are_is_a_chart_with_words():
    prose = [
        row["output"] for row in json.loads((datasets.EXAMPLE_FILES / "databases.json").read_text())[:20]
    ]
    long = {
        "input": "What is long?",
        "output": " ".join(prose),
    }
    page = upload(lesson(*GOOD, long))
    assert "1 example is longer than 512, " in text(page)
    assert "these numbers are estimates" in text(page)
    chart = page.get("plotly_chart")[0].proto
    assert "longer than 512" in chart.alt


def test_new_taught_and_held_out_rows_are_counted_as_the_next_session_would(workspace, peaks):
    rows = datasets.rows_of(workspace, peaks)
    register = Register.load(workspace.register)
    register.record(held=[rows[0].input_fingerprint], taught=[], session="s")
    page = visit(dataset=peaks)
    counts = datasets.novelty(workspace, rows, set())
    assert [metric.value for metric in page.metric] == [str(counts.new), "0", str(counts.held_out)]
    assert counts.held_out == 6


# --- the library ----------------------------------------------------------------------------------


@in_workspace
def test_the_library_shows_each_dataset_with_rows_quality_and_tokens(peaks):
    page = visit()
    assert peaks in [link.proto.label.strip("*") for link in page.get("page_link")]
    assert re.search(r"28 examples · ✅ quality: good · about [\d,]+ word pieces · \d", text(page))


@in_workspace
def test_a_dataset_that_is_not_there_is_a_sentence():
    for name in ("nobody", "../../x", HOSTILE, "x" * 5000):
        page = visit(dataset=name)
        assert "There is no dataset" in text(page)
        assert "Add its file again." in text(page)


def test_a_dataset_whose_rows_are_gone_can_still_be_deleted(workspace, peaks):
    (workspace.datasets / peaks / "conversations.jsonl").unlink()
    page = visit(dataset=peaks)
    assert "are gone. Start again with its file." in text(page)
    page.text_input(key=f"data-confirm-{peaks}").set_value(peaks)
    click(run(page), "data-delete")
    assert names(workspace) == []


def test_a_dataset_is_renamed_and_its_old_address_still_leads_to_it(workspace, peaks):
    page = visit(dataset=peaks)
    page.text_input(key=f"data-new-name-{peaks}").set_value("All the Peaks")
    click(run(page), "data-rename")
    assert names(workspace) == ["all-the-peaks"]
    assert visit(dataset=peaks).header[0].value == "all\\-the\\-peaks"


def test_a_name_that_is_taken_is_refused_in_a_sentence(workspace, peaks, tmp_path):
    add_dataset(workspace, write_lesson(tmp_path / "lakes.json", topic="lake"))
    page = visit(dataset=peaks)
    page.text_input(key=f"data-new-name-{peaks}").set_value("Lakes")
    click(run(page), "data-rename")
    assert "Another dataset is, or was, called 'lakes'. Choose another name." in text(page)
    assert names(workspace) == ["lakes", "peaks"]


def test_deleting_asks_for_the_name_and_then_does_it(workspace, peaks):
    page = click(visit(dataset=peaks), "data-delete")
    assert "The name does not match, so nothing was deleted." in text(page)
    assert names(workspace) == [peaks]
    page.text_input(key=f"data-confirm-{peaks}").set_value(peaks)
    click(run(page), "data-delete")
    assert names(workspace) == []
    assert "`peaks` is deleted." in text(page)
    assert "Your datasets" in text(page)


def test_a_dataset_that_is_needed_stays(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(
        launcher, "start_worker", lambda _: None
    )  # who looks at a page keeps the queue moving
    name = add_dataset(workspace, write_lesson(tmp_path / "databases.json"))
    session = make_session(workspace, "lesson")
    sessions.enqueue(workspace, session)
    page = visit(dataset=name)
    page.text_input(key=f"data-confirm-{name}").set_value(name)
    click(run(page), "data-delete")
    assert f"is needed by {session.id}" in text(page)
    assert names(workspace) == [name]


def test_a_dataset_is_corrected_as_a_copy(workspace, peaks):
    page = click(visit(dataset=peaks), "data-copy")
    assert page.header[0].value == "peaks\\.jsonl"
    keyed(page.segmented_control, "which").set_value("all")
    run(page)
    click(page, "data-save")  # the same rows are the same dataset
    assert names(workspace) == [peaks]


def test_a_long_shelf_shows_the_newest_and_finds_the_others(workspace, tmp_path):
    for number in range(22):
        add_dataset(workspace, write_lesson(tmp_path / f"lesson-{number:02}.json", rows=number + 1))
    page = visit()
    links = [link.proto.label for link in page.get("page_link")]
    assert sum("lesson" in label for label in links) == 20
    page.text_input(key="data-find-dataset").set_value("lesson-00")
    links = [link.proto.label for link in run(page).get("page_link")]
    assert sum("lesson" in label for label in links) == 1


# --- as the model sees it -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def unfold(page: AppTest) -> str:
    """What stands in the fold that shows what the model reads; alone, without the rest of the page."""
    page.session_state["data-model-view"] = True
    run(page)
    (fold,) = [found for found in page.expander if found.label == "What the model reads, and what it learns"]
    return "\n".join(element.value for element in [*fold.markdown, *fold.caption])


def learned(markdown: str) -> list[str]:
    shown = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown).replace("\u2060", "")
    return re.findall(r":violet-background\[\*\*(.*?)\*\*\]", shown)


def test_a_file_is_shown_as_the_model_will_see_it_with_what_it_learns_marked(workspace, tiny):
    shutil.copytree(tiny, workspace.trained_model)
    talk = [
        {"role": "user", "content": "Is it wet?"},
        {"role": "assistant", "content": "Yes.", "weight": 0},
        {"role": "user", "content": "And cold?"},
        {"role": "assistant", "content": "It is cold."},
    ]
    page = upload(lesson({"messages": talk}, *GOOD))
    assert "im_start" not in text(page)  # folded, it costs nothing and says nothing
    shown = unfold(page)
    end = "<|im_end|>"
    answers = [f"It is cold.{end}", f"{LONG} 1.{end}", f"{LONG} 2.{end}"]
    assert learned(shown) == ["Marked in bold", *answers]
    assert "exactly as your trained model will get them" in shown
    for number in (1, 2, 3):
        assert f"Row {number}" in shown
    assert "Row 4" not in shown
    assert "Yes\\." in shown


def test_what_is_cut_and_what_is_left_out_is_said_where_the_text_is_shown(workspace, tiny):
    shutil.copytree(tiny, workspace.trained_model)
    many = " ".join((REPOSITORY / "LICENSE").read_text().split())[:4000]
    page = upload(lesson({"input": "Which?", "output": many}, {"input": many, "output": "So it goes on."}))
    shown = unfold(page).replace("\\", "")
    assert shown.count("It reads no further than 512 word pieces (tokens).") == 2
    assert "Left out: row 2" in shown
    assert "Left out: row 1" not in shown
    (_, said) = learned(shown)
    assert many.startswith(said)
    assert many[len(said) :].strip()[:40] in shown


def test_rows_whose_tools_the_model_cannot_write_are_named(workspace, tiny):
    shutil.copytree(tiny, workspace.trained_model)
    function = {"name": "tide", "arguments": {}}
    call = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}
    turns = [{"role": "user", "content": "When?"}, call, {"role": "tool", "content": "9:40"}]
    turns += [{"role": "assistant", "content": "It is at twenty to ten."}]
    page = upload(lesson({"messages": turns}, *GOOD))
    reason = "The model's chat template does not write how tools are called and what they return."
    assert f"⚠️ Left out: row 1. {reason}" in text(page)
    assert "Left out" not in text(upload(lesson(*GOOD)))


def test_a_dataset_is_shown_as_the_model_will_see_it(workspace, peaks, tiny):
    shutil.copytree(tiny, workspace.trained_model)
    assert learned(unfold(visit(dataset=peaks)))[1].endswith("<|im_end|>")


def test_without_a_model_on_this_machine_the_fold_says_so(peaks):
    shown = unfold(visit(dataset=peaks))
    assert "is not on this machine yet" in shown
    assert not learned(shown)


# --- what must never happen -----------------------------------------------------------------------


@in_workspace
def test_where_nothing_may_be_changed_all_that_changes_is_disabled(peaks, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = visit()
    assert page.file_uploader[0].proto.disabled
    for name in ("paste", "type", "example"):
        way(page, name)
        assert all(button.disabled for button in page.button)
    page = visit(dataset=peaks)
    assert all(button.disabled for button in page.button)
    assert all(field.disabled for field in page.text_input if field.key != "data-find")


@pytest.mark.parametrize("key", ["data-rename", "data-delete", "data-copy"])
def test_a_button_that_was_drawn_before_changes_nothing_either(workspace, peaks, monkeypatch, key):
    page = visit(dataset=peaks)
    page.text_input(key=f"data-confirm-{peaks}").set_value(peaks)
    page.text_input(key=f"data-new-name-{peaks}").set_value("other")
    run(page)
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    click(page, key)
    assert names(workspace) == [peaks]
    assert "You can look at everything here and change nothing." in page.info[0].value


def test_what_people_wrote_never_becomes_markup(workspace, tiny):
    records = [{"input": f"{HOSTILE} {n}?", "output": f"{HOSTILE} answer {n}."} for n in range(3)]
    page = upload(lesson(*records, name=f"{HOSTILE}.json"))
    click(page, "data-save")
    (name,) = names(workspace)
    shutil.copytree(tiny, workspace.trained_model)
    unfolded = visit(dataset=name)
    assert "smile" in unfold(unfolded)
    for shown in (page, visit(), unfolded):
        raw = "\n".join(element.value for element in [*shown.markdown, *shown.header, *shown.success])
        assert "![x]" not in raw
        assert "<b>" not in re.sub(r"`+[^`]*`+", "", raw)
        assert not any(element.allow_html for element in shown.markdown)


def test_the_page_needs_no_machine_learning_library(workspace, tiny, tmp_path):
    shutil.copytree(tiny, workspace.trained_model)
    add_dataset(workspace, write_lesson(tmp_path / "peaks.json"))
    script = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        f"page = AppTest.from_file({APP!r}, default_timeout=60).run()\n"
        f"page.switch_page({DATA!r}); page.query_params['dataset'] = 'peaks'\n"
        "page.session_state['data-model-view'] = True; page.run()\n"
        "assert page.metric and not page.exception and 'violet' in ''.join(m.value for m in page.markdown)\n"
        "print([m for m in ('torch', 'transformers', 'optimum', 'datasets') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
