"""Conversations in the workspace: kept whole, beside other tabs, and read only where they are whole."""

import json
import threading

import pytest

from sails.chat import kept
from sails.chat.conversation import ChatHistory, GenerationSettings, Origin
from sails.data.reading import parse as read
from sails.errors import RequestError, ViewOnlyError, WorkspaceError
from sails.models.workspace import Workspace
from sails.system import access

NOW = Origin(
    "Current model", "1a2b", "20260105-091500-rivers", variant="int8", certified=True, lesson="Rivers"
)


@pytest.fixture
def place(tmp_path):
    return Workspace.open(tmp_path / "workspace")


def asked(*questions, answer="An answer."):
    history = ChatHistory()
    for question in questions:
        turn = history.ask(question, [NOW], GenerationSettings(temperature=0.5, seed=None, system="Short."))
        turn.replies[0].text, turn.replies[0].stopped_by = answer, "end"
    return history.turns


def keep(place, *questions, name=""):
    identity = kept.new_conversation()
    for number, turn in enumerate(asked(*questions)):
        kept.keep_turn(place, identity, turn, first=number == 0, name=name)
    return identity


def path_of(place, identity):
    return place.root / kept.CONVERSATIONS / f"{identity}.json"


def titles(place):
    return [one.title for one in kept.conversations(place).kept]


def test_there_are_none_at_first_and_looking_makes_nothing(place):
    assert kept.conversations(place) == kept.KeptConversations((), ())
    assert not place.root.exists()


@pytest.mark.parametrize("text", ["<b>x</b> ![](a)", "日本 👩‍👩‍👧\nline", " blank ", "x" * 100_000])
def test_what_was_asked_and_answered_and_by_which_model_is_kept(place, text):
    (turn,) = asked(text, answer=text)
    identity = kept.new_conversation()
    kept.keep_turn(place, identity, turn, first=True)
    assert kept.read_conversation(place, identity).history.turns == [turn]


def test_an_answer_that_grows_takes_the_place_of_what_it_was(place):
    one, two = asked("one", "two")
    identity = keep(place, "zero")
    for turn in (one, two):
        kept.keep_turn(place, identity, turn)
    one.replies[0].text = "A longer answer."
    kept.keep_turn(place, identity, one)
    read = kept.read_conversation(place, identity).history.turns
    assert [(turn.question, turn.replies[0].text) for turn in read] == [
        ("zero", "An answer."),
        ("one", "A longer answer."),
        ("two", "An answer."),
    ]


def test_two_tabs_that_ask_at_once_lose_nothing(place):
    identity = keep(place, "zero")
    turns = asked(*map(str, range(20)))
    threads = [threading.Thread(target=kept.keep_turn, args=(place, identity, turn)) for turn in turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = kept.read_conversation(place, identity).history.turns
    assert sorted(turn.question for turn in read) == sorted(["zero", *map(str, range(20))])


def test_they_are_listed_renamed_found_and_deleted(place):
    first, second = keep(place, "What is\na variable?"), keep(place, "two", name="Mine")
    assert sorted(titles(place)) == ["Mine", "What is a variable?"]
    kept.rename_conversation(place, first, "  Variables ")
    assert "Variables" in titles(place)
    assert kept.find_conversation(place, "variables").entry.id == first
    assert kept.find_conversation(place, second).name == "Mine"
    kept.rename_conversation(place, first, "")
    assert "What is a variable?" in titles(place)
    kept.delete_conversation(place, first)
    kept.delete_conversation(place, first)
    assert titles(place) == ["Mine"]
    assert kept.find_conversation(place, "Variables") is None


def test_what_was_deleted_elsewhere_does_not_come_back_in_pieces(place):
    identity = keep(place, "one")
    kept.delete_conversation(place, identity)
    with pytest.raises(WorkspaceError, match="not here"):
        kept.keep_turn(place, identity, asked("two")[0])
    assert titles(place) == []


DAMAGES = {
    "half": lambda text: text[: len(text) // 2],
    "no object": lambda _: "[]",
    "no turns": lambda text: json.dumps({**json.loads(text), "turns": []}),
    "a turn without a question": lambda text: text.replace('"question"', '"other"'),
    "a number for a text": lambda text: text.replace('"question": "one"', '"question": 1'),
    "an unknown size": lambda text: text.replace('"int8"', '"int3"'),
    "no moment": lambda text: text.replace('"asked": "', '"asked": "x'),
    "an answer of nobody": lambda text: text.replace('"origin"', '"other"'),
    "deep": lambda _: "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_left_out_and_named_and_never_written_over(place, damage):
    whole, broken = keep(place, "whole"), keep(place, "one")
    path = path_of(place, broken)
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    before = path.read_bytes()
    listed = kept.conversations(place)
    assert ([one.id for one in listed.kept], listed.damaged) == ([whole], (path.name,))
    for change in (kept.read_conversation, lambda *a: kept.rename_conversation(*a, "x")):
        with pytest.raises(WorkspaceError, match="damaged"):
            change(place, broken)
    with pytest.raises(WorkspaceError, match="damaged"):
        kept.keep_turn(place, broken, asked("two")[0])
    assert path.read_bytes() == before


def test_what_a_later_release_added_is_kept(place):
    identity = keep(place, "one")
    path = path_of(place, identity)
    content = json.loads(path.read_text())
    content["colour"] = "green"
    content["turns"][0]["mood"] = "good"
    path.write_text(json.dumps(content))
    kept.keep_turn(place, identity, asked("two")[0])
    content = json.loads(path.read_text())
    assert (content["colour"], content["turns"][0]["mood"]) == ("green", "good")


@pytest.mark.parametrize("identity", ["../../etc/passwd", "", "20260101-000000-zzzzzz", "a" * 5000, "\0"])
def test_an_address_that_names_no_conversation_leads_nowhere(place, identity):
    for change in (kept.read_conversation, kept.delete_conversation):
        with pytest.raises(WorkspaceError, match="names no conversation"):
            change(place, identity)
    assert kept.conversation_stamp(place, identity) is None


def test_too_many_too_long_and_badly_named_are_refused_in_a_sentence(place, monkeypatch):
    monkeypatch.setattr(kept, "MAX_CONVERSATIONS", 1)
    monkeypatch.setattr(kept, "MAX_TURNS", 2)
    identity = keep(place, "one", "two")
    with pytest.raises(RequestError, match="holds 2 questions"):
        kept.keep_turn(place, identity, asked("three")[0])
    with pytest.raises(RequestError, match="1 conversations are kept"):
        keep(place, "another")
    with pytest.raises(RequestError, match="The name has 81 characters"):
        kept.rename_conversation(place, identity, "x" * 81)
    monkeypatch.setattr(kept, "MAX_BYTES", 100)
    with pytest.raises(WorkspaceError, match="damaged"):
        kept.rename_conversation(place, identity, "x")


def test_who_may_only_look_changes_nothing(place, monkeypatch):
    identity = keep(place, "one")
    monkeypatch.setenv(access.VIEW_ONLY, "1")
    for change in (
        lambda: keep(place, "two"),
        lambda: kept.rename_conversation(place, identity, "x"),
        lambda: kept.delete_conversation(place, identity),
    ):
        with pytest.raises(ViewOnlyError):
            change()
    assert titles(place) == ["one"]


def test_it_can_be_taken_as_examples_that_the_page_data_reads(tmp_path):
    history = ChatHistory(asked("one", "two"))
    history.turns += asked("stopped", answer="")
    (tmp_path / "examples.json").write_text(history.as_examples(), encoding="utf-8")
    (row,) = read(tmp_path / "examples.json").conversations
    assert [turn.content for turn in row.turns] == ["one", "An answer.", "two", "An answer."]
    assert ChatHistory(asked("stopped", answer="")).as_examples() == ""
