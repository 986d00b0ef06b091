"""The watch on the bridge: switched on and off, what it did, why it stopped, and who may not touch it."""

import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from sails.jobs import launcher, watch
from sails.jobs.watch import state, watch_state
from sails.jobs.watch.state import CORRECTIONS
from sails.models.workspace import Workspace
from sails.system.locks import LifeLock
from tests.conftest import REPOSITORY
from tests.support.watched import Clock, begin, end, fail, order, queued, settle, write

APP = str(REPOSITORY / "app.py")


@pytest.fixture
def workspace(root):
    return Workspace.open(root)


@pytest.fixture(autouse=True)
def processes(monkeypatch, started):  # noqa: ARG001 (no worker comes up either)
    """Watches are not started by themselves either."""
    found = []
    monkeypatch.setattr(launcher, "start_module", lambda *arguments: found.append(arguments))
    return found


@pytest.fixture
def alive(workspace):
    """As if a watch lived."""
    lock = LifeLock(workspace.root / "watch.lock")
    lock.acquire()
    yield
    lock.release()


def visit():
    page = AppTest.from_file(APP, default_timeout=60).run()
    assert not page.exception
    return page


def text(page):
    elements = [*page.markdown, *page.error, *page.warning]
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(element.value for element in elements))


def button(page, label):
    return next(button for button in page.button if button.label == label)


def test_one_click_watches_the_corrections_and_survives_a_reload(workspace, processes):
    page = visit()
    assert ":material/radio_button_unchecked: It is switched off." in text(page)
    page = button(page, "Switch it on").click().run()
    now = watch.watch_state(workspace)
    assert (now.on, now.order.source) == (True, CORRECTIONS)
    ((module, arguments, log),) = processes
    assert (module, arguments[0], log) == (
        "sails.jobs.watch",
        str(workspace.root),
        state.log_of(workspace),
    )
    assert "It is just starting." in text(visit())


@pytest.mark.usefixtures("alive")
def test_a_living_watch_says_how_many_examples_there_are_and_is_switched_off(workspace, tmp_path):
    watch = begin(workspace, order(tmp_path / "talks.jsonl"), Clock(), [])
    write(tmp_path / "talks.jsonl", [1, 2])
    write(tmp_path / "talks.jsonl", [3], accepted=False)
    settle(watch)
    page = visit()
    assert f"It watches the file {tmp_path / 'talks.jsonl'}. 2 of 3 examples have come together." in text(
        page
    )
    assert "1 example is not marked as accepted, and never taught." in text(page)
    button(page, "Switch it off").click().run()
    assert not watch_state(workspace).on


def test_a_file_and_the_settings_are_chosen_in_the_form(workspace, processes, tmp_path):
    (tmp_path / "talks.jsonl").write_text("")
    page = visit()
    page.radio[-1].set_value("A file of conversations")
    next(field for field in page.text_input if field.label.startswith("The file")).input("talks.jsonl")
    next(field for field in page.text_input if "Learning speed" in field.label).input("2e-5")
    next(field for field in page.number_input if "Examples" in field.label).set_value(4)
    button(page, "Switch it on with this").click().run()
    now = watch.watch_state(workspace)
    assert (now.order.source, now.order.at_least) == (str(tmp_path / "talks.jsonl"), 4)
    assert now.order.settings.learning_rate == 2e-5
    assert len(processes) == 1


@pytest.mark.parametrize("name", ["", "../secret.jsonl", "/etc/passwd"])
def test_no_file_outside_of_the_allowed_root_is_watched(workspace, processes, name):
    page = visit()
    page.radio[-1].set_value("A file of conversations")
    next(field for field in page.text_input if field.label.startswith("The file")).input(name)
    page = button(page, "Switch it on with this").click().run()
    assert "No file was named" in text(page) or "does not lie in" in text(page)
    assert not watch.watch_state(workspace).on
    assert processes == []


def test_what_it_did_last_stands_there_with_links_to_the_sessions(workspace, tmp_path):
    clock = Clock()
    watch = begin(workspace, order(tmp_path / "talks.jsonl"), clock, [])
    for first, ended in ((1, "published"), (4, "held"), (7, "failed")):
        write(tmp_path / "talks.jsonl", range(first, first + 3))
        settle(watch)
        (session,) = queued(workspace)
        if ended == "failed":
            fail(session)
        else:
            end(session, verdict=ended, verdict_reason="It forgot databases.")
        settle(watch)
    page = visit()
    said = text(page)
    assert said.index("3 examples not taught") < said.index("nothing is published: It forgot databases.")
    assert "✅ 3 examples taught, and the new model is published." in said
    links = [link.proto.query_string for link in page.get("page_link") if link.proto.label == "Look at it"]
    assert sum(f"session={session.id}" in link for link in links) >= 1


def test_why_it_stopped_stands_there_and_one_click_switches_it_on_again(workspace, tmp_path, processes):
    clock = Clock()
    watch = begin(workspace, order(tmp_path / "talks.jsonl"), clock, [])
    write(tmp_path / "talks.jsonl", [1, 2, 3])
    for _ in range(5):
        settle(watch)
        fail(queued(workspace)[0])
        settle(watch)
        clock.wait(3600)
    page = visit()
    assert "⏹️ 5 tries in a row failed, so the watch has stopped. The last one: Session" in text(page)
    assert "The disk is full. Free some space." in text(page)
    button(page, "Switch it on again").click().run()
    now = watch_state(workspace)
    assert (now.on, now.failures, len(processes)) == (True, (), 1)


def test_a_watch_that_died_is_shown_as_ended_and_started_again_with_one_click(workspace, tmp_path, processes):
    begin(workspace, order(tmp_path / "talks.jsonl", 7), Clock(), [])
    file = workspace.root / "watch.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "since": "2026-01-05T09:00:00Z"}))
    page = visit()
    assert "its process has ended. Nothing is lost: start it again." in text(page)
    button(page, "Start it again").click().run()
    assert watch.watch_state(workspace).order.at_least == 7
    assert len(processes) == 1


def test_where_one_may_only_look_it_is_shown_and_cannot_be_changed(workspace, tmp_path, monkeypatch):
    begin(workspace, order(tmp_path / "talks.jsonl"), Clock(), [])
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    page = visit()
    assert "It is just starting." in text(page)
    assert button(page, "Switch it off").disabled
    assert button(page, "Watch this from now on").disabled
    assert watch.watch_state(workspace).on


def test_a_damaged_record_is_a_sentence_and_the_rest_of_the_page_is_there(workspace):
    workspace.root.mkdir()
    (workspace.root / "watch.json").write_text("[")
    page = visit()
    assert "watch.json is damaged" in text(page)
    assert page.table  # and the rest of the page is there
