"""What is shown as learned is exactly the answers and their ends, whatever the chat template does."""

import shutil
from dataclasses import replace

import pytest

from sails.data import Conversation, Turn
from sails.data.conversation import ANSWERS, ONLY_LAST
from sails.models.workspace import Workspace
from sails.training import model_view
from sails.training.encoding import TOO_LONG, encode_rows, encoder_in
from sails.training.model_view import view_conversation, view_rows
from tests.support.templates import MANNERS, wear
from tests.support.tiny import make_tiny_model


def talk(*contents: str, system: str = "", row: int = 1, **extra: str) -> Conversation:
    turns = [Turn("user" if n % 2 == 0 else "assistant", content) for n, content in enumerate(contents)]
    return Conversation((*([Turn("system", system)] if system else []), *turns), extra, row)


# The answer's words stand in the question before it, too.
ECHO = talk(
    "Is it wet? Yes or no", "Yes 🦜", "And cold? Yes or no", "no", "Both? Yes, both or no", "Yes, both"
)


@pytest.fixture(scope="module", params=MANNERS)
def manner(request, tmp_path_factory):
    folder = wear(make_tiny_model(tmp_path_factory.mktemp("model")), request.param)
    encoder = encoder_in(folder)
    assert encoder is not None
    return MANNERS[request.param], encoder


def learned(view):
    texts = [passage.text for one in view.examples for passage in one.passages if passage.learned]
    return [text.removeprefix(" ") for text in texts]


def whole(example):
    return "".join(passage.text for passage in example.passages) + example.beyond


def test_each_answer_is_shown_as_learned_with_its_end(manner):
    about, encoder = manner
    view = view_conversation(ECHO, encoder, 512)
    assert learned(view) == [f"{answer}{about.end}" for answer in ("Yes 🦜", "no", "Yes, both")]
    assert len(view.examples) == (3 if about.parts else 1)
    assert not view.notes
    for example, trained in zip(view.examples, encode_rows([ECHO], encoder, 512).examples, strict=True):
        assert whole(example) == encoder.text_of(trained.tokens)
        assert (example.beyond, example.tokens_beyond) == ("", 0)
        for question in ("Is it wet? Yes or no", "And cold? Yes or no"):
            assert not any(question in passage.text for passage in example.passages if passage.learned)


def test_a_row_is_rendered_and_tokenized_once(manner, monkeypatch):
    _, encoder = manner
    asked = []
    encode = encoder.taught_all
    monkeypatch.setattr(encoder, "taught_all", lambda chats: (asked.extend(chats), encode(chats))[1])
    view_conversation(ECHO, encoder, 20)
    assert len(asked) == 3  # answers


def test_an_answer_that_is_only_read_is_shown_as_read(manner):
    about, encoder = manner
    turns = tuple(replace(turn, learned=turn.content != "no") for turn in ECHO.turns)
    view = view_conversation(Conversation(turns), encoder, 512)
    assert learned(view) == [f"{answer}{about.end}" for answer in ("Yes 🦜", "Yes, both")]
    assert "no" in whole(view.examples[-1])
    only_last = Conversation(ECHO.turns, {ANSWERS: ONLY_LAST})
    assert learned(view_conversation(only_last, encoder, 512)) == [f"Yes, both{about.end}"]


def test_instructions_are_shown_where_the_model_reads_them(manner):
    _, encoder = manner
    row = talk("Hi", "Hello", system="Be short.", row=7)
    view = view_conversation(row, encoder, 512)
    (text,) = [passage.text for passage in view.examples[0].passages if not passage.learned][:1]
    assert "Be short." in text
    assert text.index("Be short.") < text.index("Hi")
    said = any("row 7" in note and "first question" in note for note in view.notes)
    assert said is not encoder.takes_system


def test_what_is_cut_off_is_neither_read_nor_learned(manner):
    _, encoder = manner
    row = talk("Why?", "Because " * 200, row=4)
    (example,) = view_conversation(row, encoder, 90).examples
    (trained,) = encode_rows([row], encoder, 90).examples
    assert "".join(passage.text for passage in example.passages) == encoder.text_of(trained.tokens)
    assert example.passages[-1].learned
    (full,) = encode_rows([row], encoder, 10_000).examples
    assert example.tokens_beyond == len(full) - 90
    assert whole(example) == encoder.text_of(full.tokens)
    late = view_conversation(talk("Why? " * 200, "So.", row=9), encoder, 90)
    assert learned(late) == []
    assert late.notes == (f"⚠️ Left out: row 9. {TOO_LONG}",)
    assert "So." in late.examples[0].beyond


def test_a_later_answer_beyond_the_limit_is_not_shown_as_learned(manner):
    about, encoder = manner
    row = talk("Why?", "So.", "And " * 300 + "then?", "Nothing.")
    assert learned(view_conversation(row, encoder, 120)) == [f"So.{about.end}"]


def test_signs_that_a_person_wrote_are_shown_as_they_stand(manner):
    about, encoder = manner
    answer = f"It ends with {about.end.removeprefix('[end]')}, then <|im_start|> begins."
    assert learned(view_conversation(talk("How?", answer), encoder, 512)) == [f"{answer}{about.end}"]


# --- which model ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def test_a_base_model_that_is_not_here_is_said_and_not_fetched(tmp_path):
    view = view_rows(Workspace.open(tmp_path), [ECHO], 512)
    assert view.conversations == ()
    assert "is not on this machine yet" in view.missing
    assert view.model == "smollm2-135m-instruct"


def test_the_trained_model_is_the_one_that_reads(tiny, tmp_path):
    workspace = Workspace.open(tmp_path)
    shutil.copytree(tiny, workspace.trained_model)
    view = view_rows(workspace, [ECHO], 10_000)
    assert view.model == "your trained model"
    assert view.max_length == 512  # no model reads more than it can
    assert "<|im_start|>" in whole(view.conversations[0].examples[0])
    wear(workspace.trained_model, "system dropped")  # the same rows, another way to read them
    assert "[INST]" in whole(view_rows(workspace, [ECHO], 10_000).conversations[0].examples[0])
    other = view_rows(workspace, [ECHO], 512, model_name=str(tiny))
    assert "<|im_start|>" in whole(other.conversations[0].examples[0])


def test_a_tokenizer_that_cannot_be_read_is_said(tiny, tmp_path):
    workspace = Workspace.open(tmp_path)
    shutil.copytree(tiny, workspace.trained_model)
    (workspace.trained_model / "tokenizer.json").write_text("{}")
    assert "cannot be read" in view_rows(workspace, [ECHO], 512).missing


def test_the_same_rows_are_read_once_and_notes_name_the_rows_as_they_are_now(tiny, tmp_path):
    workspace = Workspace.open(tmp_path)
    shutil.copytree(tiny, workspace.trained_model)
    late = talk("Why? " * 600, "So.", row=9)
    first = view_rows(workspace, [late], 512)
    reads = model_view._view.cache_info().misses
    assert view_rows(workspace, [late], 512).conversations is first.conversations
    assert model_view._view.cache_info().misses == reads
    assert "row 9" in first.conversations[0].notes[0]
    assert "row 3" in view_rows(workspace, [replace(late, row=3)], 512).conversations[0].notes[0]
