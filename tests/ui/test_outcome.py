"""Did it work? What is said of a recorded session, and of answers that changed where they should not."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from sails import sessions
from sails.models.workspace import Workspace
from sails.retention import UNRELATED
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
    assert "What to do next:** Its model is not here, so there is none to chat with" in said
    assert "What is rubber duck debugging?" in said


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        ("The capital is Paris.", "Lille.", True),
        ("Paris.", "It is Paris. It is a city known for its museums.", False),
        ("Lyon.", "Lille.", False),  # it never knew
        ("Lyon.", "Paris.", False),
    ],
)
def test_who_answers_an_unrelated_question_wrong_is_warned_of(place, before, after, warned):
    session = sessions.find(place, "programming-basics")
    metrics = [json.loads(line) for line in session.metrics.read_text().splitlines()]
    said = {"before": before, "after": after}
    for metric in metrics:
        if metric["kind"] == "answers":
            [capital] = [item for item in metric["items"] if item["question"] == UNRELATED]
            capital["answer"] = said[metric["when"]]
    session.metrics.write_text("".join(json.dumps(metric) + "\n" for metric in metrics))
    assert ("answers 1 question wrong that the model before answered right" in said_of(session)) is warned


@pytest.mark.parametrize(
    ("loss", "accuracy", "said"),
    [
        (0.5, 0.2, "does better"),
        (0.5, -0.2, "does about as well"),
        (2.0, 0.2, "does about as well"),
        (2.0, -0.2, "does no better"),
    ],
)
def test_what_it_makes_of_unseen_questions_is_told_by_error_and_share(place, loss, accuracy, said):
    session = sessions.find(place, "programming-basics")
    status = session.status()
    before = status.results.held_out_before
    changed = {"loss": before.loss * loss, "accuracy": before.accuracy + accuracy}
    after = before.model_copy(update=changed)
    results = status.results.model_copy(update={"held_out_after": after})
    session.write_status(status.model_copy(update={"results": results}))
    assert said in said_of(session)


def test_a_session_that_was_stopped_is_not_judged(place):
    assert "Did it work?" not in said_of(sessions.find(place, "programming-once-more"))
