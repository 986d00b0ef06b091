"""Saved questions: kept in their order, safely, and by nobody who may only look."""

import json
import threading

import pytest

from sails.chat import saved_prompts
from sails.errors import RequestError, ViewOnlyError, WorkspaceError
from sails.models.workspace import Workspace


@pytest.fixture
def place(tmp_path):
    return Workspace.open(tmp_path / "workspace")


def questions(place):
    return [prompt.question for prompt in saved_prompts.prompts(place)]


def test_there_are_none_at_first_and_looking_makes_nothing(place):
    assert saved_prompts.prompts(place) == []
    assert not place.root.exists()


def test_questions_are_added_changed_moved_and_deleted(place):
    one, two, three = (saved_prompts.add(place, text) for text in ("one", "  two\nlines ", "three"))
    assert questions(place) == ["one", "two\nlines", "three"]
    saved_prompts.change(place, two.id, question="2", name="  a   name ")
    assert saved_prompts.prompts(place)[1] == saved_prompts.SavedPrompt(two.id, "2", "a name")
    saved_prompts.move(place, three.id, -1)
    assert questions(place) == ["one", "three", "2"]
    saved_prompts.move(place, one.id, -1)
    saved_prompts.move(place, two.id, 5)
    assert questions(place) == ["one", "three", "2"]
    saved_prompts.delete(place, three.id)
    saved_prompts.delete(place, three.id)
    assert questions(place) == ["one", "2"]


@pytest.mark.parametrize(
    ("question", "name", "said"),
    [
        ("  \n", "", "The question is empty"),
        ("x" * 4001, "", "The question has 4,001 characters"),
        ("x", "n" * 61, "The name has 61 characters"),
        ("there", "", "in the list already"),
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(place, question, name, said):
    saved_prompts.add(place, "there")
    with pytest.raises(RequestError, match=said):
        saved_prompts.add(place, question, name)
    assert questions(place) == ["there"]


@pytest.mark.parametrize("text", ["<b>x</b> ![](a)", "=1+1", "日本 👩‍👩‍👧", "half \ud800", "nul \0"])
def test_any_text_is_kept_as_it_is_as_far_as_it_is_text(place, text):
    saved_prompts.add(place, text)
    assert questions(place) == [text.replace("\ud800", "?").replace("\0", "").strip()]


def test_a_question_that_somebody_took_out_cannot_be_changed(place):
    with pytest.raises(RequestError, match="no longer in the list"):
        saved_prompts.change(place, "gone", question="x")


def test_a_question_is_not_changed_into_another_one_of_the_list(place):
    first, second = saved_prompts.add(place, "one"), saved_prompts.add(place, "two")
    with pytest.raises(RequestError, match="in the list already"):
        saved_prompts.change(place, second.id, question=" one ")
    saved_prompts.change(place, first.id, question="one", name="First")
    assert questions(place) == ["one", "two"]


@pytest.mark.parametrize("content", ["{", "[]", '{"prompts": [1]}', '{"prompts": 3}', "\xff"])
def test_a_damaged_list_is_one_sentence_and_is_not_written_over(place, content):
    place.root.mkdir()
    path = place.root / saved_prompts.PROMPTS
    path.write_text(content, encoding="latin-1")
    for use in (lambda: saved_prompts.prompts(place), lambda: saved_prompts.add(place, "x")):
        with pytest.raises(WorkspaceError, match="is damaged"):
            use()
    assert path.read_text(encoding="latin-1") == content


def test_who_may_only_look_changes_nothing(place, monkeypatch):
    kept = saved_prompts.add(place, "one")
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    for change in (
        lambda: saved_prompts.add(place, "two"),
        lambda: saved_prompts.change(place, kept.id, question="two"),
        lambda: saved_prompts.delete(place, kept.id),
        lambda: saved_prompts.move(place, kept.id, 1),
    ):
        with pytest.raises(ViewOnlyError):
            change()
    assert questions(place) == ["one"]


def test_many_who_add_at_a_time_lose_nothing(place):
    threads = [threading.Thread(target=saved_prompts.add, args=(place, f"{n}")) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(questions(place), key=int) == [str(n) for n in range(12)]
    assert len(json.loads((place.root / saved_prompts.PROMPTS).read_text())["prompts"]) == 12


def test_the_list_has_an_end(place, monkeypatch):
    monkeypatch.setattr(saved_prompts, "MAX_PROMPTS", 1)
    saved_prompts.add(place, "one")
    with pytest.raises(RequestError, match="list is full"):
        saved_prompts.add(place, "two")


def test_a_long_question_without_a_name_is_called_by_its_beginning():
    assert saved_prompts.SavedPrompt("1", "why?\n" * 40).title == ("why? " * 40)[:59] + "…"
    assert saved_prompts.SavedPrompt("1", "x", "Name").title == "Name"
