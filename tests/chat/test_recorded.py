"""What the demo's models answered: every answer is one that was recorded, and nothing else is ever said."""

import json

import pytest

from sails import sessions
from sails.chat import recorded
from sails.chat.conversation import ChatHistory
from sails.errors import RequestError
from sails.models.workspace import Workspace
from sails.sessions import demo


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    workspace = Workspace.open(tmp_path_factory.mktemp("demo") / "workspace")
    demo.make_demo(workspace)
    return workspace


def everything_recorded(place) -> set[tuple[str, str]]:
    """Each question with each of its answers, from the files themselves."""
    pairs = set()
    for record in sessions.read_history(place):
        for line in record.session.metrics.read_text(encoding="utf-8").splitlines():
            metric = json.loads(line)
            if metric["kind"] == "answers":
                pairs |= {(item["question"], item["answer"]) for item in metric["items"]}
        retention = json.loads((record.session.folder / "retention.json").read_text(encoding="utf-8"))
        for one in retention["changed"]:
            pairs |= {(one["question"], one["before"]), (one["question"], one["after"])}
    return pairs


def test_the_models_of_the_recording_answer_and_only_what_they_answered(place):
    found = recorded.recordings(place)
    assert found[0].title == "Base model smollm2-135m-instruct"
    assert "After Databases in a hurry (held back)" in [one.title for one in found]
    assert found[-1].title == "After Databases"  # that which was published last
    true = everything_recorded(place)
    for one in found:
        assert one.answers
        assert one.origin.recorded
        assert set(one.answers.items()) <= true


def test_one_models_answers_are_not_those_of_another(place):
    by_title = {one.title: one for one in recorded.recordings(place)}
    question = "What is a variable in programming?"
    base, taught = (
        by_title[title].answers[question]
        for title in ("Base model smollm2-135m-instruct", "After Programming basics")
    )
    record = sessions.read_history(place)[0]
    monitor = sessions.monitor_of(record.session)
    monitor.wait()
    assert (base, taught) == tuple(monitor.answers[when][0].answer for when in ("before", "after"))


def test_a_recorded_question_is_answered_by_each_that_was_asked_it(place):
    found = recorded.recordings(place)
    history = ChatHistory()
    turn = recorded.ask_recording(history, "  what is a DATABASE? ", [found[0], found[-1]])
    assert history.turns == [turn]
    assert turn.question == "What is a database?"
    assert (turn.replies[0].text, turn.replies[0].problem) == ("", recorded.NOT_ASKED)
    assert turn.replies[1].text == found[-1].answers["What is a database?"]
    first = recorded.recorded_questions([found[0], found[-1]])[0]
    assert first in found[0].answers
    assert first in found[-1].answers


def test_what_nobody_recorded_is_not_answered(place):
    history = ChatHistory()
    with pytest.raises(RequestError, match="No answer to this was recorded"):
        recorded.ask_recording(history, "Who are you?", recorded.recordings(place))
    assert history.turns == []


def test_outside_of_a_demo_there_are_none(tmp_path):
    assert recorded.recordings(Workspace.open(tmp_path)) == []
