"""One conversation: what it says, its fingerprints, and the clean form on disk."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sails.data import Conversation, Turn, read_jsonl, write_jsonl
from sails.data.reading import parse as read
from sails.errors import ConversationFileError


def pair(question: str, answer: str, **extra: object) -> Conversation:
    return Conversation((Turn("user", question), Turn("assistant", answer)), extra)


CHAT = Conversation(
    (
        Turn("system", "Be brief."),
        Turn("user", "Hi"),
        Turn("assistant", "Hello!"),
        Turn("user", "Capital of Peru?"),
        Turn("assistant", "Lima."),
    ),
    {"source": "helpdesk"},
)


def test_input_and_output_are_the_last_question_and_the_final_answer():
    assert (CHAT.input, CHAT.output) == ("Capital of Peru?", "Lima.")
    assert (pair("q", "a").input, pair("q", "a").output) == ("q", "a")


def test_a_last_answer_that_is_only_read_is_not_what_is_judged():
    turns = (*CHAT.turns[:-1], Turn("assistant", "Lima.", learned=False))
    row = Conversation(turns)
    assert (row.input, row.output) == ("Hi", "Hello!")
    assert row.learned == (True, False)
    assert Conversation(turns, {"answers": "last"}).learned == (True, False)
    assert row.until_answer().turns == CHAT.turns[:3]
    assert row.input_fingerprint == pair("Hi", "x").input_fingerprint
    assert row.fingerprint == Conversation(CHAT.turns).fingerprint  # it is read all the same
    assert CHAT.until_answer() is CHAT


def test_messages_are_what_a_chat_template_wants():
    assert pair("q", "a").messages() == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
    ]


def test_a_pair_is_written_as_input_and_output_and_a_chat_as_messages():
    assert pair("q", "a", timestamp=3).to_json() == {"input": "q", "output": "a", "timestamp": 3}
    assert CHAT.to_json() == {"messages": CHAT.messages(), "source": "helpdesk"}


def test_an_answer_that_is_only_read_stays_so_on_disk_and_through_reading(tmp_path):
    read_only = Turn("assistant", "Hello!", learned=False)
    row = Conversation((*CHAT.turns[:2], read_only, *CHAT.turns[3:]), {}, 1)
    assert row.learned == (False, True)
    assert row.messages() == CHAT.messages()
    write_jsonl(tmp_path / "rows.jsonl", [row])
    assert json.loads((tmp_path / "rows.jsonl").read_text())["messages"][2]["weight"] == 0
    assert read_jsonl(tmp_path / "rows.jsonl") == [row]
    assert read(tmp_path / "rows.jsonl").conversations == (row,)


def test_where_a_row_says_so_only_its_last_answer_is_learned():
    assert CHAT.learned == (True, True)
    assert Conversation(CHAT.turns, {"answers": "last"}).learned == (False, True)


def test_case_space_and_unicode_form_do_not_change_a_fingerprint():
    assert (
        pair("Où est  le CAFÉ?", "Ici.").fingerprint == pair(" où est\nle cafe\u0301?", "ici. ").fingerprint
    )


def test_other_words_turns_and_answers_change_the_fingerprint():
    prints = {
        pair("q", "a").fingerprint,
        pair("q", "b").fingerprint,
        pair("qa", "").fingerprint,
        pair("", "qa").fingerprint,
        CHAT.fingerprint,
        Conversation(CHAT.turns[1:]).fingerprint,
    }
    assert len(prints) == 6
    assert all(len(fingerprint) == 32 and int(fingerprint, 16) >= 0 for fingerprint in prints)


def test_the_input_fingerprint_ignores_the_answer_and_the_system_turn():
    assert pair("q", "a").input_fingerprint == pair("q", "b").input_fingerprint
    assert CHAT.input_fingerprint == Conversation(CHAT.turns[1:]).input_fingerprint
    assert CHAT.input_fingerprint != pair("Capital of Peru?", "Lima.").input_fingerprint


def test_the_row_number_does_not_make_a_conversation_another_one():
    assert Conversation(CHAT.turns, row=1) == Conversation(CHAT.turns, row=2)
    assert len({Conversation(CHAT.turns, row=1), Conversation(CHAT.turns, row=2)}) == 1


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)  # lone surrogates too
CONVERSATIONS = st.builds(
    lambda exchanges, system, extra: Conversation(
        tuple(
            ([Turn("system", system)] if system else [])
            + [turn for q, a in exchanges for turn in (Turn("user", q), Turn("assistant", a))]
        ),
        extra,
    ),
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3),
    st.none() | TEXTS,
    st.dictionaries(st.text().filter(lambda name: name not in {"input", "output", "messages"}), JSON_VALUES),
)


@given(st.lists(CONVERSATIONS, max_size=4))
def test_whatever_is_written_is_read_back_equal(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("clean") / "rows.jsonl"
    write_jsonl(path, rows)
    again = read_jsonl(path)
    assert again == rows
    assert [row.row for row in again] == list(range(1, len(rows) + 1))
    assert [row.fingerprint for row in again] == [row.fingerprint for row in rows]


def test_the_clean_form_can_also_be_read_as_any_file(tmp_path):
    write_jsonl(tmp_path / "rows.jsonl", [pair("q?", "a.", timestamp="2026-01-01"), CHAT])
    assert read(tmp_path / "rows.jsonl").conversations == (pair("q?", "a.", timestamp="2026-01-01"), CHAT)


@pytest.mark.parametrize(
    "line",
    [
        '{"input": "q"',
        '{"input": "q"}',
        "7",
        '{"input": 1, "output": "a"}',
        '{"messages": [{"role": "cat"}]}',
        "",
    ],
)
def test_a_damaged_clean_file_is_refused_by_its_line(tmp_path, line):
    good = json.dumps({"input": "q", "output": "a"})
    (tmp_path / "rows.jsonl").write_text(f"{good}\n{line}\n{good}\n", encoding="utf-8")
    with pytest.raises(ConversationFileError, match="line 2"):
        read_jsonl(tmp_path / "rows.jsonl")


def test_a_clean_file_that_is_not_there_is_an_error_for_people(tmp_path):
    with pytest.raises(ConversationFileError, match="gone"):
        read_jsonl(tmp_path / "gone.jsonl")
