"""Who is taught and who is held out, for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sails.data import Conversation, Register, Turn, ledger, split_rows
from sails.data.split import ENOUGH_TO_JUDGE, Ledger


def row(question: str, answer: str = "An answer.") -> Conversation:
    return Conversation((Turn("user", question), Turn("assistant", answer)))


def rows(count: int, prefix: str = "Question") -> list[Conversation]:
    return [row(f"{prefix} {number}?") for number in range(count)]


def inputs(conversations) -> set[str]:
    return {conversation.input_fingerprint for conversation in conversations}


@pytest.fixture
def register(tmp_path) -> Register:
    return Register.load(tmp_path / "heldout")


@pytest.mark.parametrize(
    ("count", "held"),
    [(0, 0), (19, 0), (20, 5), (59, 5), (60, 6), (100, 10), (1999, 199), (2000, 200), (5000, 200)],
)
def test_a_tenth_is_held_out_at_least_five_at_most_two_hundred_and_none_below_twenty(register, count, held):
    parts = split_rows(rows(count), register)
    assert (len(parts.held_out), len(parts.train)) == (held, count - held)


def test_the_rows_with_the_lowest_fingerprints_are_held_out_whatever_their_order(register):
    some = rows(50)
    parts = split_rows(some, register)
    assert max(inputs(parts.held_out)) < min(inputs(parts.train))
    assert inputs(split_rows(some[::-1], register).held_out) == inputs(parts.held_out)
    assert [some.index(kept) for kept in parts.train] == sorted(some.index(kept) for kept in parts.train)


def test_splitting_writes_nothing(register):
    split_rows(rows(50), register)
    assert not register.path.exists()
    assert not register.held


def test_what_of_the_register_cannot_be_read_is_told(register):
    first = split_rows(rows(50), register)
    register.record(held=inputs(first.held_out), taught=inputs(first.train), session="s1")
    whole = register.path.read_text()
    register.path.write_text(f"{whole}\nheld 12\n\0\0 rubbish\n")
    found = Register.load(register.path)
    assert (found.held, found.damaged) == (register.held, 2)
    [note] = [note for note in split_rows(rows(50), found).notes if "cannot be read" in note]
    assert note.startswith("⚠️ 2 lines of the file heldout")
    assert not any("cannot be read" in note for note in first.notes)


def test_a_register_that_leads_nowhere_is_told(register):
    register.path.symlink_to(register.path)
    assert Register.load(register.path).damaged == 1


def test_rows_that_ask_the_same_stay_together(register):
    some = [row(f"Question {number // 2}?", f"Answer {number}.") for number in range(80)]
    parts = split_rows(some, register)
    assert len(parts.held_out) == 10
    assert not inputs(parts.train) & inputs(parts.held_out)


def test_a_held_out_row_never_leaks_into_a_later_session_under_another_spelling(register):
    first = split_rows(rows(50), register)
    register.record(held=inputs(first.held_out), taught=inputs(first.train), session="s1")
    later = [row(kept.input.upper() + "  ", "Another answer!") for kept in rows(50)] + rows(40, "New")
    second = split_rows(later, Register.load(register.path))
    assert not inputs(second.train) & inputs(first.held_out)
    assert not inputs(second.held_out) & inputs(first.train)
    assert len(second.held_out) == len(first.held_out) + 5
    assert any("5 of these examples were set aside" in note for note in second.notes)


def test_taught_rows_are_never_held_out(register):
    some = rows(50)
    register.record(held=[], taught=inputs(some), session="s1")
    parts = split_rows(some, register)
    assert (len(parts.train), parts.held_out) == (50, ())


def test_few_new_rows_among_many_known_ones_are_all_taught(register):
    register.record(held=[], taught=inputs(rows(100)), session="s1")
    assert split_rows([*rows(100), *rows(19, "New")], register).held_out == ()


def test_the_notes_say_when_held_out_rows_are_too_few_to_judge(register):
    assert "too few to judge" in " ".join(split_rows(rows(100), register).notes)
    assert "No examples are set aside for testing" in " ".join(split_rows(rows(10), register).notes)
    enough = split_rows(rows(ENOUGH_TO_JUDGE * 10), register)
    assert len(enough.held_out) == ENOUGH_TO_JUDGE
    assert enough.notes == ()


def test_the_register_is_text_that_a_person_can_read_and_that_only_grows(register):
    held, taught = row("a").input_fingerprint, row("b").input_fingerprint
    register.record(held=[held], taught=[taught], session="20260101T000000-first")
    before = register.path.read_bytes()
    register.record(held=[row("c").input_fingerprint], taught=[], session="second")
    assert register.path.read_bytes().startswith(before)
    assert sorted(register.path.read_text().splitlines()) == sorted(
        [
            f"held {held} 20260101T000000-first",
            f"taught {taught} 20260101T000000-first",
            f"held {row('c').input_fingerprint} second",
        ]
    )


def test_the_first_word_on_a_row_is_the_last(register):
    fingerprint = row("a").input_fingerprint
    register.record(held=[fingerprint], taught=[], session="s1")
    register.record(held=[], taught=[fingerprint], session="s2")
    assert (register.held, register.taught) == ({fingerprint}, set())
    assert len(register.path.read_text().splitlines()) == 1
    with register.path.open("a") as file:
        file.write(f"taught {fingerprint} s3\n")
    assert Register.load(register.path).taught == set()


def test_recording_the_same_again_writes_nothing(register):
    register.record(held=inputs(rows(3)), taught=[], session="s1")
    before = register.path.read_bytes()
    register.record(held=inputs(rows(3)), taught=[], session="s2")
    assert register.path.read_bytes() == before


@given(cut=st.integers(0, 400))
def test_a_register_cut_off_anywhere_loses_only_its_last_line(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("register") / "heldout"
    first, second = sorted(inputs(rows(5))), sorted(inputs(rows(5, "New")))
    Register.load(path).record(held=first[:2], taught=first[2:], session="first")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")

    survivor = Register.load(path)
    known = survivor.held | survivor.taught
    assert lines <= len(known) <= lines + 1
    assert known <= set(first)

    survivor.record(held=second, taught=[], session="second")
    again = Register.load(path)
    assert again.held | again.taught == known | set(second)
    assert again.held >= set(second)


def test_rubbish_in_a_register_is_passed_over(tmp_path):
    fingerprint = row("a").input_fingerprint
    (tmp_path / "heldout").write_bytes(
        b"\xff\x00\nheld\nheld abc s\nhello\n" + f"held {fingerprint} s\n".encode()
    )
    assert Register.load(tmp_path / "heldout").held == {fingerprint}


def test_the_ledger_counts_whole_rows():
    known = row("a", "one")
    assert ledger([known, row("a", "two"), row("b")], {known.fingerprint}) == Ledger(3, 2, 1)
    assert ledger([], set()) == Ledger(0, 0, 0)
