"""The Sessions page in detail, without a browser: what it shows, what it does, and what it never does."""

import io
import json
import re
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from sails import retention, sessions
from sails.data import write_jsonl
from sails.data.reading import parse as read
from sails.jobs import candidates
from sails.models import versions
from sails.models.publish import publish_model
from sails.models.versions import Provenance
from sails.models.workspace import Workspace
from sails.sessions.metrics import MetricsWriter
from sails.system import access
from sails.system.locks import LifeLock
from sails.ui.sessions.table import STATES, matching
from tests.conftest import REPOSITORY
from tests.support.folders import fingerprint_of, make_model, make_onnx
from tests.support.helpers import add_dataset, queue_training, write_lesson
from tests.support.situations import failed, make_line, make_session, published

APP = str(REPOSITORY / "app.py")
PAGE = "pages/3_Sessions.py"
HOSTILE = "![x](http://127.0.0.1/x) :red[red] <b>bold</b> `code`"


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "workspace"))
    (tmp_path / "workspace").mkdir()
    return Workspace.open(tmp_path / "workspace")


def visit(**address: str) -> AppTest:
    page = AppTest.from_file(APP, default_timeout=60).run()
    page.switch_page(PAGE)
    for name, value in address.items():
        page.query_params[name] = value
    return checked(page.run())


def checked(page: AppTest) -> AppTest:
    assert not page.exception
    return page


def text(page: AppTest) -> str:
    """All that the page says outside of tables, as Markdown, with the escapes taken out."""
    elements = [*page.title, *page.header, *page.subheader, *page.caption, *page.markdown, *page.code]
    elements += [*page.error, *page.success]
    said = "\n".join(element.value for element in elements)
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", said).replace("\u2060", "")


def publish_from(workspace, name, hour, seed, parent=None):
    """A session whose model is published; returns the session and the model's fingerprint."""
    session = make_session(workspace, name, hour)
    candidate = make_model(session.model, seed)
    fingerprint = fingerprint_of(candidate)
    session.write_status(sessions.Status(**published(fingerprint=fingerprint, parent=parent)))
    publish_model(
        workspace, candidate, Provenance(session=session.id, parent=parent, created=datetime.now(UTC))
    )
    return session, fingerprint


def taught(workspace, tmp_path, monkeypatch, name="Mountains"):
    """A session of a real dataset, which ended without a worker."""
    dataset = add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    session = queue_training(workspace, dataset, None, monkeypatch=monkeypatch, name=name, epochs=2)
    sessions.dequeue(workspace, session.id)
    session.write_status(sessions.Status(**published()))
    return session


# --- the history ----------------------------------------------------------------------------------


def test_an_empty_history_says_so_and_where_to_begin(workspace):
    page = visit()
    assert "There has been no training yet" in text(page)
    assert "Teach the model something" in [link.proto.label for link in page.get("page_link")]
    assert not page.dataframe
    assert list(workspace.root.iterdir()) == []


def test_each_session_is_a_row_in_words_newest_first(workspace):
    publish_from(workspace, "first lesson", 8, 1)
    publish_from(workspace, "second lesson", 9, 2)
    make_session(workspace, "broken", 10, **failed())
    make_session(workspace, "in the queue", 11)
    make_session(workspace, "dead", 12, state="running")
    make_session(workspace, "kept", 13, **published(verdict="held"))
    table = visit().dataframe[0].value
    rows = table.set_index("Name")
    assert list(table["Name"]) == ["kept", "dead", "in the queue", "broken", "second lesson", "first lesson"]
    assert list(rows["State"])[1:4] == ["⚠️ Interrupted", "Waiting", "❌ Failed"]
    assert rows.loc["second lesson", "Verdict"] == "★ Current"
    assert rows.loc["first lesson", "Verdict"] == "Was current"
    assert rows.loc["kept", "Verdict"] == "✋ Held back"
    first = rows.loc["first lesson"]
    assert (first["From"], first["Set by"], first["Examples"]) == ("base", "automatic", "databases")
    assert (first["Learning rate"], first["Loss before"], first["Loss after"]) == (5e-5, 2.84, 0.61)
    assert first["Minutes"] == pytest.approx(74 / 60)
    assert first["Begun"].isoformat() == "2026-01-05T08:00:00+00:00"


def test_searching_and_filtering_leave_what_fits_and_say_how_much(workspace):
    make_session(workspace, "databases", 8, **published())
    make_session(workspace, "kitchen", 9, **failed())
    make_session(workspace, "kitchen again", 10, **published())
    page = visit()
    page.text_input(key="search").set_value("KITCHEN").run()
    assert list(checked(page).dataframe[0].value["Name"]) == ["kitchen again", "kitchen"]
    assert "2 of 3 sessions" in text(page)
    page.multiselect(key="state").set_value([STATES["failed"]]).run()
    assert list(checked(page).dataframe[0].value["Name"]) == ["kitchen"]
    page.text_input(key="search").set_value("nobody").run()
    assert not checked(page).dataframe
    assert "No session is like that" in text(page)


def test_the_search_looks_for_every_word_wherever_it_stands(workspace):
    make_session(workspace, "databases", 8, **published(verdict="held", verdict_reason="It forgot kitchens."))
    page = visit(search="kitchens held")
    assert len(page.dataframe[0].value) == 1
    assert matching([], "anything", []) == []


def test_one_session_is_opened_and_several_are_compared(workspace):
    for hour in range(6, 13):
        make_session(workspace, f"s{hour}", hour, **published())
    ids = [record.session.id for record in reversed(sessions.read_history(workspace))]
    page = visit()
    assert page.button(key="open").disabled
    page.multiselect(key="chosen").set_value(ids[:1]).run()
    page.button(key="open").click().run()
    assert checked(page).query_params["session"] == ids[0]
    page = visit()
    page.multiselect(key="chosen").set_value(ids[:3]).run()
    assert page.button(key="open").label == "Compare 3 sessions"
    page.button(key="open").click().run()
    assert checked(page).query_params["compare"] == ",".join(ids[:3])
    assert "3 sessions side by side" in text(page)


@pytest.mark.parametrize("file", ["status.json", "spec.json"])
def test_a_damaged_session_is_told_and_the_others_stay(workspace, file):
    whole = make_session(workspace, "whole", 8, **published())
    damaged = make_session(workspace, "damaged", 9, **published())
    (damaged.folder / file).write_text("{ half")
    assert list(visit().dataframe[0].value["Name"]) == ["damaged", "whole"]
    page = visit(session=damaged.id)
    assert f"{file} is damaged" in text(page)
    for tab in ("Sample answers", "Examples", "Log", "Settings and results"):
        opened(page, tab)
        assert not page.error
    assert "2 sessions side by side" in text(visit(compare=f"{damaged.id},{whole.id}"))
    for view in ("What it still remembers", "Family tree", "Versions"):
        checked(visit(view=view))


def test_a_model_that_waits_in_a_damaged_session_can_still_be_published(workspace):
    damaged = make_session(workspace, "damaged", 9, **published())
    make_model(damaged.model)
    (damaged.folder / "status.json").write_text("{ half")
    (damaged.folder / "spec.json").write_text("")
    page = visit(session=damaged.id)
    assert "status.json is damaged" in text(page)
    assert "spec.json is damaged" in text(page)
    candidates.publish_held(workspace, damaged)
    assert workspace.situation().trained.complete
    assert damaged.status().verdict == "published"


# --- one session ----------------------------------------------------------------------------------


def test_everything_that_is_known_of_a_session_stands_on_its_page(workspace, tmp_path):
    session = make_session(workspace, "databases", 8, **published(notes=("Two rows were shortened.",)))
    session.data.mkdir()
    lesson = read(write_lesson(tmp_path / "lesson.json", rows=12)).conversations
    write_jsonl(session.data / "train.jsonl", lesson[:10])
    write_jsonl(session.data / "heldout.jsonl", lesson[10:])
    session.log.write_text(
        "2026-01-05 09:00:00 INFO reading\nTraceback (most recent call last):\n  File x\n"
        "2026-01-05 09:00:01 INFO end\n"
    )
    writer = MetricsWriter(session.metrics)
    writer.write("samples", step=0, prompts=["Why?"], answers=[""])
    for step in range(1, 4):
        writer.write("step", step=step, total_steps=3, epoch=1, loss=3 - step / 2, learning_rate=1e-5)
    writer.write("evaluation", step=3, epoch=1, loss=1.5, accuracy=0.7, rows=2)
    writer.write("samples", step=3, prompts=["Why?"], answers=[HOSTILE])
    writer.close()
    page = visit(session=session.id)
    said = text(page)
    for fact in (
        "Done: the new model became the current one",
        "5e-5 (automatic)",
        "Two rows were shortened",
        "1 min",
    ):
        assert fact in said
    assert len(page.get("plotly_chart")) == 3
    page = opened(page, "Sample answers")
    assert HOSTILE in text(page)
    assert "After step 3" in text(page)
    page = opened(page, "Examples")
    assert "10** taught" in text(page)
    assert list(page.dataframe[0].value["Used"]) == ["taught"] * 10 + ["set aside for testing"] * 2
    page = opened(page, "Log")
    assert "INFO reading" in page.code[0].value
    assert "Traceback" not in page.code[0].value
    page.text_input(key="log-search").set_value("END").run()
    assert page.code[0].value == "2026-01-05 09:00:01 INFO end"
    page = opened(page, "Settings and results")
    assert ["Rounds (epochs)", "up to 20 \\(preset balanced\\)"] in page.table[0].value.to_numpy().tolist()
    assert session.id in page.json[0].value


def opened(page: AppTest, tab: str) -> AppTest:
    page.session_state["part"] = tab
    return checked(page.run())


def test_a_session_that_never_started_has_a_page_as_well(workspace):
    session = make_session(workspace, "databases", 8, **failed())
    page = visit(session=session.id)
    assert "Failed: The disk is full. Free some space, then resume." in text(page)
    assert "Nothing was measured" in text(page)
    for tab in ("Sample answers", "Examples", "Log", "Settings and results"):
        opened(page, tab)
        assert not page.error


@pytest.mark.parametrize(
    "wanted", ["nobody", "../x", "../sessions", "last", ".", "/etc", "a" * 300, "%00", HOSTILE]
)
def test_an_id_that_is_none_is_a_sentence_and_a_way_back(workspace, wanted):
    make_session(workspace, "databases", 8, **published())
    for page in (visit(session=wanted), visit(compare=f"{wanted},20260105-080000-databases")):
        assert "is not here, or its files are damaged" in text(page)
        assert "All sessions" in [link.proto.label for link in page.get("page_link")]


def test_a_session_that_vanishes_while_it_is_shown_is_a_sentence(workspace):
    session = make_session(workspace, "databases", 8, **published())
    page = visit(session=session.id)
    shutil.rmtree(session.folder)
    assert "is not here, or its files are damaged" in text(checked(page.run()))
    assert "There has been no training yet" in text(visit())


def test_running_again_queues_the_same_lesson(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    session = taught(workspace, tmp_path, monkeypatch)
    page = visit(session=session.id)
    page.button(key="again").click().run()
    [again] = [r.spec for r in sessions.read_history(workspace) if r.session != session]
    assert (again.dataset, again.settings) == (session.spec().dataset, session.spec().settings)
    assert checked(page).query_params["session"] == again.id


def test_running_again_with_other_settings_reaches_the_spec(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    session = taught(workspace, tmp_path, monkeypatch)
    page = visit(session=session.id)
    page.selectbox(key="again-preset").set_value("thorough")
    page.number_input(key="again-epochs").set_value(7)
    page.number_input(key="again-rate").set_value(3e-5)
    page.button(key="again-changed").click().run()
    [again] = [r.spec for r in sessions.read_history(workspace) if r.session != session]
    settings = again.settings
    assert (settings.preset, settings.epochs, settings.learning_rate) == ("thorough", 7, 3e-5)


def test_a_learning_rate_that_cannot_be_is_refused_on_the_server(workspace, tmp_path, monkeypatch):
    session = taught(workspace, tmp_path, monkeypatch)
    page = visit(session=session.id)
    page.number_input(key="again-rate").set_value(0.5)
    page.button(key="again-changed").click().run()
    assert "The learning rate 0.5 is out of range" in text(checked(page))
    assert len(sessions.read_history(workspace)) == 1


def test_a_dataset_that_is_gone_is_a_sentence(workspace):
    session = make_session(workspace, "databases", 8, **published())
    page = visit(session=session.id)
    page.button(key="again").click().run()
    assert "There is no dataset 'databases'" in text(checked(page))


def test_a_stopped_session_is_resumed(workspace, monkeypatch):
    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    session = make_session(workspace, "databases", 8, state="stopped")
    page = visit(session=session.id)
    page.button(key="resume").click().run()
    checked(page)
    assert [entry.id for entry in sessions.waiting(workspace)] == [session.id]


def test_a_waiting_session_is_stopped_and_cannot_be_deleted_before(workspace):
    session = make_session(workspace, "databases", 8)
    page = visit(session=session.id)
    assert page.button(key=f"ask-delete-{session.id}").disabled
    assert "has not ended yet: stop it first" in text(page)
    page.button(key="stop").click().run()
    assert session.status().state == "stopped"
    assert not checked(page).button(key=f"ask-delete-{session.id}").disabled


def test_a_held_model_is_taken_over_when_asked_and_confirmed(workspace):
    session = make_session(workspace, "databases", 8)
    fingerprint = fingerprint_of(make_model(session.model))
    held = published(verdict="held", verdict_reason="It forgot databases.", fingerprint=fingerprint)
    session.write_status(sessions.Status(**held))
    page = visit(session=session.id)
    page.button(key=f"ask-publish-{session.id}").click().run()
    assert workspace.situation().trained.state == "missing"
    assert "becomes the current one" in text(page)
    page.button(key=f"yes-publish-{session.id}-1").click().run()
    assert workspace.situation().trained.fingerprint == fingerprint
    assert "Done: the new model" in text(checked(page))


def test_the_download_is_the_session_as_a_zip(workspace):
    session = make_session(workspace, "databases", 8, **published())
    [button] = visit(session=session.id).get("download_button")
    assert button.proto.label == "Download"
    assert not button.proto.disabled


# --- a model that was held back -------------------------------------------------------------------


def held_back(workspace) -> sessions.Session:
    *_, held = make_line(workspace, ["databases", "kitchen"], lost=0.3, hold_last=True)
    return held


def test_who_decides_sees_the_reason_what_was_found_and_both_answers(workspace):
    page = visit(session=held_back(workspace).id)
    said = text(page)
    assert "✋ Decide" in said
    assert "Why you are asked:** It lost 30 points on databases" in said
    assert "⚠️ databases, 40 examples: 80% → 50% right" in said
    assert "That is too much to let pass" in said
    for answer in ("A column that points at another table.", "A key that is foreign.", "(no answer)"):
        assert answer in said
    assert "↘ Lost (1)" in said
    assert "↗ Gained (1)" in said
    assert said.count("A key that is foreign.") == 1


def test_while_something_trains_nothing_is_decided(workspace):
    session = held_back(workspace)
    lock = LifeLock(workspace.training_lock)
    lock.acquire()
    page = visit(session=session.id)
    lock.release()
    assert page.button(key=f"ask-publish-{session.id}").disabled
    assert page.button(key="discard").disabled
    assert "While something trains" in text(page)


def test_undo_leaves_the_current_model_and_the_other_one_can_be_made_current_later(workspace):
    held, before = held_back(workspace), workspace.situation().trained.fingerprint
    page = visit(session=held.id)
    page.button(key="discard").click().run()
    assert held.status().verdict == "discarded"
    assert workspace.situation().trained.fingerprint == before
    assert "Discarded: the old model stays." in text(checked(page))
    assert "✋ Decide" not in text(page)
    page.button(key=f"ask-publish-{held.id}").click().run()
    page.button(key=f"yes-publish-{held.id}-1").click().run()
    assert "Done: the new model" in text(checked(page))
    assert workspace.situation().trained.fingerprint == held.status().fingerprint


def test_the_lesson_is_taught_again_with_more_of_the_earlier_ones(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("sails.jobs.launcher.start_worker", lambda _: None)
    *_, held = make_line(workspace, ["databases", "garden", "kitchen"], lost=0.3, hold_last=True)
    dataset = add_dataset(workspace, write_lesson(tmp_path / "mountains.json"))
    path = held.folder / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": dataset}))
    page = visit(session=held.id)
    assert "70% of each round repeats earlier lessons instead of 50%" in text(page)
    page.button(key="keep-more").click().run()
    again = sessions.read_history(workspace)[-1].spec
    assert (again.dataset, again.settings.replay_share) == (dataset, 0.7)
    assert checked(page).query_params["session"] == again.id
    assert held.status().verdict == "held"


def test_a_first_lesson_that_is_held_back_has_nothing_to_repeat_more_of(workspace):
    [held] = make_line(workspace, ["databases"], hold_last=True)
    page = visit(session=held.id)
    assert page.button(key="discard")
    assert "keep-more" not in [button.key for button in page.button]


def test_what_cannot_be_decided_is_a_sentence(workspace):
    held = held_back(workspace)
    page = visit(session=held.id)
    lock = LifeLock(workspace.training_lock)
    lock.acquire()
    page.button(key="discard").click().run()
    lock.release()
    assert "While something trains, no other model becomes the current one." in text(checked(page))
    assert held.status().verdict == "held"
    assert held.status().verdict == "held"


def test_a_session_shows_what_it_did_to_each_lesson(workspace):
    first, last = make_line(workspace, ["databases", "kitchen"])
    page = visit(session=last.id)
    assert "On balance it lost nothing of what it knew, as far as that was measured." in text(page)
    table = next(t.value for t in page.table if "Lesson" in t.value.columns)
    rows = [[cell.replace("\\", "") for cell in row] for row in table.to_numpy().tolist()]
    assert rows[0][:3] == ["1. databases", "80% → 80%", "70% → 70% (of only 10)"]
    assert rows[1][1] == "20% → 80%"
    (last.folder / retention.RETENTION_FILE).write_text("{ half")
    assert "is damaged" in text(visit(session=last.id))
    (first.folder / retention.RETENTION_FILE).unlink()
    assert "What it still remembers" not in text(visit(session=first.id))


# --- what is still remembered ---------------------------------------------------------------------

TAB = "What it still remembers"


def test_what_the_current_model_remembers_stands_in_figures_sentences_and_a_table(workspace):
    make_line(workspace, ["databases", "garden", "kitchen"], lost=0.1)
    page = visit(view=TAB)
    said = text(page)
    assert page.header[0].value.replace("\\", "").startswith("Gets 7")
    for part in ("points", "That is", "General knowledge", "1. databases:", "2. garden:"):
        assert part in said
    assert not re.search("ACC|BWT", said)  # behind the question mark
    progress, chart = page.get("plotly_chart")
    assert "Now: All together 73%, General knowledge not measured, 1. databases 70%" in progress.proto.alt
    assert "1. databases 70%" in chart.proto.alt
    table = page.table[1].value
    assert len(table) == 4
    assert "70% right, 40 examples" in table.to_numpy()[3][1].replace("\\", "")
    assert "What is a foreign key?" in said


def test_the_map_shows_what_it_never_saw_as_well(workspace):
    make_line(workspace, ["databases", "kitchen"])
    page = visit(view=TAB)
    page.radio(key="remembered").set_value("held_out").run()
    _, chart = checked(page).get("plotly_chart")
    assert "1. databases 70%" in chart.proto.alt
    assert "never taught" in text(page)


def test_of_many_lessons_the_picture_has_the_last_and_the_table_all(workspace):
    make_line(workspace, [f"lesson {n}" for n in range(12)])
    page = visit(view=TAB)
    assert "The last 10 of 12 lessons" in text(page)
    assert "A map of 11 rows and 11 columns" in page.get("plotly_chart")[1].proto.alt
    assert page.table[1].value.shape == (13, 14)


def test_without_lessons_the_tab_says_so_and_where_to_begin(workspace):
    for _ in range(2):
        page = visit(view=TAB)
        assert "was taught nothing here yet" in text(page)
        assert "Teach the model something" in [link.proto.label for link in page.get("page_link")]
        if not workspace.trained_model.exists():
            make_model(workspace.trained_model)


def test_deleted_examples_are_missing_and_said_so(workspace):
    first, *_ = make_line(workspace, ["databases", "garden", "kitchen"])
    shutil.rmtree(first.data)
    assert "databases: Its examples were deleted." in text(visit(view=TAB))


# --- deleting -------------------------------------------------------------------------------------


def test_a_session_is_deleted_after_two_questions(workspace):
    session = make_session(workspace, "databases", 8, **failed())
    other = make_session(workspace, "kitchen", 9, **failed())
    page, key = visit(session=session.id), f"delete-{session.id}"
    page.button(key=f"ask-{key}").click().run()
    assert "This deletes the session" in text(page)
    page.button(key=f"yes-{key}-1").click().run()
    assert "It cannot be brought back" in text(page)
    assert session.folder.exists()
    page.button(key=f"no-{key}").click().run()
    assert "This deletes the session" not in text(page)
    for step in (f"ask-{key}", f"yes-{key}-1", f"yes-{key}-2"):
        page.button(key=step).click().run()
    assert not session.folder.exists()
    assert list(checked(page).dataframe[0].value["Name"]) == [other.spec().name]


def test_the_session_of_the_current_model_and_its_line_cannot_be_deleted(workspace):
    first, fingerprint = publish_from(workspace, "first", 8, 1)
    second, _ = publish_from(workspace, "second", 9, 2, parent=fingerprint)
    for session, reason in (
        (first, "grew from what this session taught"),
        (second, "made the current model"),
    ):
        page = visit(session=session.id)
        assert page.button(key=f"ask-delete-{session.id}").disabled
        assert reason in text(page)


def test_deleting_in_a_second_tab_what_the_first_has_deleted_is_a_sentence(workspace):
    session = make_session(workspace, "databases", 8, **failed())
    tabs, key = [visit(session=session.id) for _ in range(2)], f"delete-{session.id}"
    for tab in tabs:
        for step in (f"ask-{key}", f"yes-{key}-1"):
            tab.button(key=step).click().run()
    for tab in tabs:
        tab.button(key=f"yes-{key}-2").click().run()
        checked(tab)
    assert "There has been no training yet" in text(tabs[0])
    assert "is not here, or its files are damaged" in text(tabs[1])


# --- side by side ---------------------------------------------------------------------------------


def test_settings_that_differ_stand_apart_from_those_that_do_not(workspace):
    one, two = (
        make_session(workspace, "one", 8, **published()),
        make_session(workspace, "two", 9, **published()),
    )
    path = two.folder / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": "kitchen"}))
    for session, answer in ((one, "This."), (two, HOSTILE)):
        writer = MetricsWriter(session.metrics)
        writer.write("step", step=1, total_steps=1, epoch=1, loss=2.0, learning_rate=1e-5)
        item = {"about": "taught", "question": "What?", "expected": None, "answer": answer}
        writer.write("answers", when="after", items=[item])
        writer.close()
    page = visit(compare=f"{one.id},{two.id}")
    different, same, scores = (table.value.to_numpy().tolist() for table in page.table[:3])
    assert different == [["Examples \\(dataset\\)", "databases", "kitchen"]]
    assert ["Rounds \\(epochs\\)", "up to 20 \\(preset balanced\\)", "up to 20 \\(preset balanced\\)"] in same
    assert scores[2] == ["Loss on taught examples\\, before", "2\\.84", "2\\.84"]
    assert "≠ **Different** in 1 of" in text(page)
    assert "This." in text(page)
    assert HOSTILE in text(page)
    assert len(page.get("plotly_chart")) == 1


@pytest.mark.parametrize("count", [1, 6])
def test_fewer_than_two_and_more_than_five_are_not_compared(workspace, count):
    made = [make_session(workspace, f"s{n}", n, **published()) for n in range(count)]
    page = visit(compare=",".join(session.id for session in made))
    assert "Choose two to 5 of them" in text(page)


# --- which came from which, and versions ----------------------------------------------------------


def test_the_family_tree_names_every_model_and_marks_the_current_one(workspace):
    _, first = publish_from(workspace, "first", 8, 1)
    publish_from(workspace, "second", 9, 2, parent=first)
    page = visit(view="Family tree")
    assert [link.proto.label for link in page.get("page_link")][-2:] == ["first", "second"]
    assert text(page).count("★ the current model") == 1
    assert "from the base model" in text(page)
    assert "No session has made a model yet" not in text(page)


def test_a_version_is_named_and_kept_for_good(workspace):
    session, _ = publish_from(workspace, "first", 8, 1)
    publish_from(workspace, "second", 9, 2)
    page = visit(view="Versions")
    page.button(key=f"pin-{session.id}").click().run()
    assert versions.list_versions(workspace)[0].pinned
    page.text_input(key=f"name-of-{session.id}").set_value(HOSTILE)
    page.button(key=f"save-{session.id}").click().run()
    assert versions.list_versions(workspace)[0].name == HOSTILE
    assert f"{HOSTILE} :material/keep: kept for good" in text(checked(page))


def test_rolling_back_says_what_will_happen_does_it_and_can_be_undone(workspace):
    session, first = publish_from(workspace, "first", 8, 1)
    _, second = publish_from(workspace, "second", 9, 2)
    page, key = visit(view="Versions"), f"roll-{session.id}"
    page.button(key=f"ask-{key}").click().run()
    said = text(page)
    assert "first becomes the current model again" in said
    assert "current now is kept as a version" in said
    assert "There is no ONNX model" in said
    assert workspace.situation().trained.fingerprint == second
    page.button(key=f"yes-{key}-1").click().run()
    assert workspace.situation().trained.fingerprint == first
    assert "first is the current model again." in text(checked(page))
    page.button(key="undo").click().run()
    assert workspace.situation().trained.fingerprint == second
    assert "is the current model again." not in text(checked(page))
    assert [version.fingerprint for version in versions.list_versions(workspace)] == [first]


def test_rolling_back_makes_the_onnx_model_anew_and_undoing_brings_the_former_one_back(workspace, started):
    session, first = publish_from(workspace, "first", 8, 1)
    _, second = publish_from(workspace, "second", 9, 2)
    make_onnx(workspace.onnx_model, second)
    page, key = visit(view="Versions"), f"roll-{session.id}"
    page.button(key=f"ask-{key}").click().run()
    assert "Its ONNX model is made at once" in text(page)
    assert "is kept with the model that it was made from" in text(page)
    page.button(key=f"yes-{key}-1").click().run()
    assert not workspace.situation().onnx.present
    (job,) = started
    assert job.spec().model == str(workspace.trained_model)
    checked(page).button(key="undo").click().run()
    assert job.stop_requested()
    situation = workspace.situation()
    assert (situation.trained.fingerprint, situation.onnx.stale) == (second, False)
    make_onnx(workspace.versions / session.id / "onnx", first)
    page.button(key=f"ask-{key}").click().run()
    assert "Its own ONNX model comes back with it" in text(page)


def test_while_a_session_trains_nobody_rolls_back(workspace):
    session, _ = publish_from(workspace, "first", 8, 1)
    _, second = publish_from(workspace, "second", 9, 2)
    page, key = visit(view="Versions"), f"roll-{session.id}"
    page.button(key=f"ask-{key}").click().run()
    lock = LifeLock(workspace.training_lock)
    lock.acquire()
    page.button(key=f"yes-{key}-1").click().run()
    lock.release()
    assert "A session is training right now. Wait until it has ended, or stop it." in text(checked(page))
    lock.acquire()
    page = visit(view="Versions")
    lock.release()
    assert page.button(key=f"ask-{key}").disabled
    assert "While something trains, no other model becomes the current one." in text(page)
    assert not visit(view="Versions").button(key=f"ask-{key}").disabled
    assert workspace.situation().trained.fingerprint == second


def test_a_version_that_vanished_meanwhile_is_a_sentence(workspace):
    session, _ = publish_from(workspace, "first", 8, 1)
    publish_from(workspace, "second", 9, 2)
    page, key = visit(view="Versions"), f"roll-{session.id}"
    page.button(key=f"ask-{key}").click().run()
    (workspace.versions / session.id / "model.safetensors").unlink()
    assert "There is no version" in text(checked(page.run()))


# --- what must never happen -----------------------------------------------------------------------


def test_who_may_only_look_sees_everything_and_changes_nothing(workspace, monkeypatch):
    first, fingerprint = publish_from(workspace, "first", 8, 1)
    publish_from(workspace, "second", 9, 2, parent=fingerprint)
    stopped = make_session(workspace, "stopped", 10, state="stopped")
    held = make_session(workspace, "held", 11, **published(verdict="held", verdict_reason="It forgot."))
    make_model(held.model, 3)
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    before = listing(workspace.root)
    pages = [visit(), visit(view="Versions"), visit(session=first.id), visit(session=stopped.id)]
    pages += [visit(view=TAB), visit(session=held.id)]
    changing = [b for page in pages for b in page.button if b.key and not b.key.startswith("open")]
    assert {button.key.partition("-")[0] for button in changing} >= {
        *("ask", "pin", "save", "again", "resume", "discard", "keep")
    }
    assert all(button.disabled for button in changing)
    assert listing(workspace.root) == before


def listing(root: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))


def test_what_people_wrote_never_becomes_markup(workspace):
    session = make_session(workspace, "databases", 8, **published(verdict="held", verdict_reason=HOSTILE))
    path = session.folder / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": HOSTILE, "dataset": HOSTILE}))
    session.log.write_text(HOSTILE)
    for page in (visit(), visit(session=session.id), visit(view="Family tree")):
        raw = "\n".join(element.value for element in [*page.markdown, *page.header, *page.subheader])
        assert "![x](" not in re.sub(r"(`+) .*? \1", "", raw)
        assert not any(element.allow_html for element in page.markdown)


# --- who, tags and notes --------------------------------------------------------------------------


def test_the_name_that_a_browser_was_told_stands_beside_what_is_done_there(workspace):
    session = make_session(workspace, "databases", 8)
    page = visit(session=session.id)
    page.text_input(key="who-field").set_value("  Ann of\tthe office ").run()
    page.button(key="stop").click().run()
    assert session.status().stopped_by == "Ann of the office"
    assert "stopped by Ann of the office" in text(checked(page))
    nameless = make_session(workspace, "kitchen", 9)
    visit(session=nameless.id).button(key="stop").click().run()
    assert nameless.status().stopped_by == ""
    assert "stopped by someone in the browser" in text(visit(session=nameless.id))


def test_the_browser_keeps_the_name_whatever_signs_are_in_it(workspace):
    make_session(workspace, "databases", 8)
    page = visit()
    page.text_input(key="who-field").set_value("O'Hara</script>; Zoë").run()
    scripts = [one.proto.body for one in page.get("html") if "cookie" in one.proto.body]
    assert scripts == [
        "<script>document.cookie = 'sails_who=O%27Hara%3C%2Fscript%3E%3B%20Zo%C3%AB; path=/; "
        "max-age=31536000; samesite=lax'</script>"
    ]


def test_who_may_only_look_is_not_asked_for_a_name(workspace, monkeypatch):
    make_session(workspace, "databases", 8)
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    assert "who-field" not in [field.key for field in visit().text_input]


def test_tags_and_a_note_are_written_on_the_page_found_in_the_table_and_go_into_the_download(workspace):
    session = make_session(workspace, "databases", 8, **published())
    make_session(workspace, "kitchen", 9, **published())
    visit()  # the history is kept from here on
    page = visit(session=session.id)
    page.text_input(key="labels-tags").set_value("baseline, Baseline, with *stars*")
    page.text_area(key="labels-note").set_value("Compare with\nthe *kitchen*.")
    page.button(key="save-labels").click().run()
    assert "the *kitchen*." in text(checked(page))
    assert sessions.labels_of(session).tags == ("baseline", "with *stars*")
    page = visit(search="compare")
    rows = page.dataframe[0].value.set_index("Name")
    assert list(rows.index) == ["databases"]
    assert list(rows.loc["databases", "Tags"]) == ["baseline", "with *stars*"]
    assert rows.loc["databases", "Note"] == "Compare with the *kitchen*."
    assert rows.loc["databases", "By"] == access.actor()
    page = visit()
    page.multiselect(key="tag").set_value(["baseline"]).run()
    assert list(checked(page).dataframe[0].value["Name"]) == ["databases"]
    with zipfile.ZipFile(io.BytesIO(_zip(session))) as archive:
        assert f"{session.id}/labels.json" in archive.namelist()


def _zip(session) -> bytes:
    stream = io.BytesIO()
    sessions.write_zip(session, stream)
    return stream.getvalue()


def test_a_form_asks_for_the_name_first_and_then_sends_what_was_written(workspace, monkeypatch):
    cookies = property(lambda _: {"another": "1"})  # of a browser that keeps them and gave no name yet
    monkeypatch.setattr(type(st.context), "cookies", cookies)
    session = make_session(workspace, "databases", 8, **published())
    page = visit(session=session.id)
    page.text_input(key="labels-tags").set_value("baseline")
    page.button(key="save-labels").click().run()
    assert sessions.labels_of(session) == sessions.Labels()
    page.text_input(key="who-answer").set_value("Ann")
    next(button for button in page.button if button.label == "Go on").click().run()
    assert sessions.labels_of(session).tags == ("baseline",)
    assert "who-answer" not in [field.key for field in checked(page).text_input]


def test_a_tag_that_is_too_long_is_a_sentence(workspace):
    session = make_session(workspace, "databases", 8, **published())
    page = visit(session=session.id)
    page.text_input(key="labels-tags").set_value("x" * 31)
    page.button(key="save-labels").click().run()
    assert "is too long. Use at most 30 characters." in text(checked(page))
    assert sessions.labels_of(session) == sessions.Labels()


def test_two_sessions_of_one_name_are_told_apart_wherever_they_are_listed(workspace):
    first, _ = publish_from(workspace, "rivers", 8, 1)
    second, _ = publish_from(workspace, "lakes", 9, 2)
    for session in (first, second):
        path = session.folder / "spec.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "name": "rivers"}))
    page = visit()
    assert list(page.dataframe[0].value["Name"]) == ["rivers (2)", "rivers"]
    assert any("rivers (2)" in option for option in page.multiselect(key="chosen").options)
    assert "rivers (2)" in [header.value.replace("\\", "") for header in visit(session=second.id).header]
    links = [link.proto.label.replace("\\", "") for link in visit(view="Family tree").get("page_link")]
    assert links[-2:] == ["rivers", "rivers (2)"]
    compared = visit(compare=f"{first.id},{second.id}").get("page_link")
    assert any("rivers (2)" in link.proto.label.replace("\\", "") for link in compared)
    page = AppTest.from_file(APP, default_timeout=60).run()
    assert any("rivers (2)" in element.value.replace("\\", "") for element in page.markdown)


def test_who_rolled_back_is_told_below_the_versions(workspace):
    session, _ = publish_from(workspace, "first", 8, 1)
    publish_from(workspace, "second", 9, 2)
    page, key = visit(view="Versions"), f"roll-{session.id}"
    page.text_input(key="who-field").set_value("Ann").run()
    page.button(key=f"ask-{key}").click().run()
    page.button(key=f"yes-{key}-1").click().run()
    assert "Ann rolled back to first" in text(checked(page))
