"""Tokens that are kept are those that would be made anew, and nothing depends on the file that keeps them."""

import sqlite3
from dataclasses import replace

import pytest

from sails.data import ANSWERS, ONLY_LAST, Conversation, Turn
from sails.training import token_cache
from sails.training.encoding import encode_rows, encoder_in
from sails.training.token_cache import FILE, TokenCache
from tests.support.templates import wear
from tests.support.tiny import make_tiny_model


def chat(*texts, **extra):
    turns = tuple(Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(texts))
    return Conversation(turns, extra)


ROWS = (
    chat("Hi", "Hello!"),
    chat("What is <|im_end|>?", "A sign, 🦜.", "And [end]?", "Another."),
    chat("One?", "Yes.", "Two?", "No.", **{ANSWERS: ONLY_LAST}),
    Conversation((Turn("user", "Is it?"), Turn("assistant", "It is.", learned=False))),
    Conversation(
        (Turn("system", "Be short."), Turn("user", "Why?"), Turn("assistant", "<think>a</think>So."))
    ),
    chat("Empty?", ""),
    chat("Half a \ud800?", "Fine."),
    *(chat(f"Number {n}?", f"{n}. " * n) for n in range(1, 40)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return wear(make_tiny_model(tmp_path_factory.mktemp("model")), "ChatML")


@pytest.fixture
def encoder(folder):
    return encoder_in(folder)


def encoded(rows, encoder, folder, most=60):
    with TokenCache(folder, encoder) as cache:
        return encode_rows(rows, encoder, most, cache)


def made_anew(encoder, monkeypatch):
    """The answers that the encoder is asked for from now on."""
    asked = []
    encode = encoder.taught_all
    monkeypatch.setattr(encoder, "taught_all", lambda chats: (asked.extend(chats), encode(chats))[1])
    return asked


def test_rows_that_were_encoded_are_not_encoded_again_and_come_out_the_same(encoder, tmp_path, monkeypatch):
    for most in (60, 10_000):
        plain = encode_rows(ROWS, encoder, most)
        assert encoded(ROWS, encoder, tmp_path, most) == encoded(ROWS, encoder, tmp_path, most) == plain
    fewer = tuple(replace(row, row=7, extra={**row.extra, "lesson": "x"}) for row in reversed(ROWS))
    plain = encode_rows(fewer, encoder, 60)
    asked = made_anew(encoder, monkeypatch)
    assert encoded(fewer, encoder, tmp_path) == plain
    assert len(asked) == 1  # the empty answer, which has no tokens to keep


def test_what_decides_the_tokens_decides_what_is_found(encoder, folder, tmp_path, monkeypatch):
    encoded(ROWS[:2], encoder, tmp_path)
    changed = chat("Hi", "Hello!!"), chat("Hi", "Hello!", tools=[{"name": "look", "parameters": {}}])
    asked = made_anew(encoder, monkeypatch)
    assert encoded(changed, encoder, tmp_path) == encode_rows(changed, encoder_in(folder), 60)
    assert len(asked) == 2
    other = encoder_in(folder)
    other._template._text += " "
    asked = made_anew(other, monkeypatch)
    encoded(ROWS[:1], other, tmp_path)
    assert len(asked) == 1


def harm(kind, path):
    if kind == "no file of a database":
        path.write_bytes(b"nothing" * 1000)
    elif kind == "cut short":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "another table":
        path.unlink()
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE rows (other TEXT)")
        file.close()
    else:
        with sqlite3.connect(path) as file:
            said = "x'00'" if kind == "another entry" else "substr(said, 1, 20) || x'07' || substr(said, 22)"
            file.execute(f"UPDATE rows SET said = {said}")
        file.close()


@pytest.mark.parametrize(
    "kind", ["no file of a database", "cut short", "another table", "another entry", "a byte that is another"]
)
def test_what_is_damaged_is_made_anew(encoder, tmp_path, kind):
    plain = encoded(ROWS, encoder, tmp_path)
    path = tmp_path / FILE
    harm(kind, path)
    assert encoded(ROWS, encoder, tmp_path) == plain
    assert encoded(ROWS, encoder, tmp_path) == plain


def test_a_folder_that_cannot_be_had_costs_nothing_but_time(encoder, tmp_path):
    (tmp_path / "tokens").write_text("a file")
    assert encoded(ROWS, encoder, tmp_path / "tokens") == encode_rows(ROWS, encoder, 60)


def test_it_is_begun_anew_beyond_its_size(encoder, tmp_path, monkeypatch):
    encoded(ROWS, encoder, tmp_path)
    monkeypatch.setattr(token_cache, "MAX_BYTES", 1000)
    asked = made_anew(encoder, monkeypatch)
    encoded(ROWS[:1], encoder, tmp_path)
    assert len(asked) == 1
