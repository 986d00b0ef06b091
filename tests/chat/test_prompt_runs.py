"""All saved questions asked of several models: what the table keeps, and what can be taken away."""

import csv
import io
import json
from contextlib import closing

import pytest

from sails.chat.conversation import ChatTurn, GenerationSettings, Origin, Reply
from sails.chat.model_cache import ModelCache
from sails.chat.prompt_runs import PromptRow, PromptTable, answerer_names, as_csv, as_json, ask_all
from sails.chat.saved_prompts import SavedPrompt
from tests.support.exported import make_talking

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

FULL, SMALL = Origin("Current model", variant="fp32"), Origin("Current model", variant="int8")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_talking(tmp_path_factory.mktemp("talking") / "workspace")


def asked(*questions):
    return [SavedPrompt(str(n), question) for n, question in enumerate(questions)]


def test_every_question_is_asked_of_all_and_by_itself(place):
    table = PromptTable([FULL, SMALL], GenerationSettings(max_new_tokens=4))
    for _ in ask_all(table, asked("one", "two", "one"), [place.onnx_model] * 2, ModelCache()):
        pass
    texts = [[reply.text for reply in row.turn.replies] for row in table.rows]
    assert texts[0] == texts[2] != texts[1]
    assert [row.turn.replies[1].tokens for row in table.rows] == [4, 4, 4]


def test_who_stops_keeps_what_was_answered(place):
    table = PromptTable([FULL], GenerationSettings(max_new_tokens=4))
    with closing(ask_all(table, asked("one", "two", "three"), [place.onnx_model], ModelCache())) as growing:
        for _ in growing:
            if len(table.rows) == 2:
                break
    assert [row.turn.question for row in table.rows] == ["one", "two"]
    assert (table.rows[0].turn.replies[0].tokens, table.wanted) == (4, 3)


def test_answerers_are_told_apart():
    assert answerer_names([Origin("Base model b"), FULL, SMALL]) == [
        "Base model b",
        "Current model (full precision)",
        "Current model (8-bit)",
    ]
    assert answerer_names([FULL, FULL]) == [
        "Current model (full precision), 1",
        "Current model (full precision), 2",
    ]


HOSTILE = ["=1+1", "+1", "-1", "@x", "\t=1", " =1", '"quoted", and\nlines', "plain"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_taken_for_a_formula(text):
    turn = ChatTurn(
        text, GenerationSettings(), [Reply(FULL, text, "end"), Reply(SMALL, "other", "end")], "2026"
    )
    table = PromptTable(
        [FULL, SMALL], GenerationSettings(), [PromptRow(SavedPrompt("1", text, text), turn)], 1
    )
    heading, row = csv.reader(io.StringIO(as_csv(table).removeprefix("\ufeff")))
    assert "Current model (8-bit): against Current model (full precision)" in heading
    assert "A completely different answer." in row
    for cell in row[:3]:
        assert not cell.lstrip().startswith(("=", "+", "-", "@"))
        assert cell.removeprefix("'") == text
    (found,) = json.loads(as_json(table))["rows"]
    assert (found["question"], found["replies"][0]["text"]) == (text, text)
