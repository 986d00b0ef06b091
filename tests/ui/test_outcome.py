"""Did it work? What is said of a recorded session, and of answers that changed where they should not."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from sails import sessions
from sails.models.workspace import Workspace
from sails.sessions import demo
from tests.conftest import REPOSITORY

APP = str(REPOSITORY / "app.py")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SAILS_WORKSPACE", str(tmp_path / "workspace"))
    workspace = Workspace.open()
    demo.make_demo(workspace)
    return workspace


def said_of(session) -> str:
    page = AppTest.from_file(APP, default_timeout=60).run()
    page = page.switch_page("pages/2_Train.py")
    page.query_params["session"] = session.id
    page.run()
    assert not page.exception
    return "\n".join(element.value for element in [*page.header, *page.markdown]).replace("\\", "")


def test_the_verdict_the_next_step_and_the_answers_are_told(place):
    session = sessions.find(place, "programming-basics")
    results, said = session.status().results, said_of(session)
    assert "Did it work?" in said
    shares = f"{results.taught_before.accuracy:.0%} → {results.taught_after.accuracy:.0%}"
    assert f"Learned well: {shares}" in said
    assert "What to do next" in said
    assert "What is rubber duck debugging?" in said


@pytest.mark.parametrize(("changed", "warned"), [(True, True), (False, False)])
def test_who_answers_unrelated_questions_differently_is_warned_of(place, changed, warned):
    session = sessions.find(place, "programming-basics")
    metrics = [json.loads(line) for line in session.metrics.read_text().splitlines()]
    before, after = [metric for metric in metrics if metric["kind"] == "answers"]
    after["items"][-1]["answer"] = "Something else." if changed else before["items"][-1]["answer"] + " \n"
    session.metrics.write_text("".join(json.dumps(metric) + "\n" for metric in metrics))
    assert ("has nothing to do with it: see the last question" in said_of(session)) is warned


def test_a_session_that_was_stopped_is_not_judged(place):
    assert "Did it work?" not in said_of(sessions.find(place, "programming-once-more"))
