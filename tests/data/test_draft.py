"""Drafts: what a person uploads, pastes or types, corrected and dropped row by row, and then saved."""

import json

import pytest

from sails.data import ColumnMapping, assess, datasets, draft
from sails.data.draft import Draft, Unassigned, Unmapped, from_file, from_pairs, from_text
from sails.errors import BadDataError, ConversationFileError, RequestError, ViewOnlyError
from sails.models.workspace import Workspace

GOOD = [
    {"input": f"What is number {n}?", "output": f"Number {n} is the one after {n - 1}."} for n in range(1, 6)
]
LOOP = {"input": "What is a loop?", "output": "again and again and again and again and again and again"}
SHORT = {"input": "Is it?", "output": "Yes."}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


def draft_of(*records, file="lesson.json") -> Draft:
    draft = from_file(file, json.dumps(records).encode())
    assert isinstance(draft, Draft)
    return draft


# --- correcting -----------------------------------------------------------------------------------


def test_a_draft_is_judged_like_its_file():
    draft = draft_of(*GOOD, LOOP, SHORT)
    assert draft.report == assess(draft.reading.conversations, draft.reading.refused)
    assert (draft.wrong, draft.doubtful) == ({6}, {7})
    assert len(draft.savable) == 6


def test_a_corrected_row_is_judged_anew_and_the_others_are_not_touched():
    draft = draft_of(*GOOD, LOOP).corrected(
        {6: ("What is a loop?", "A loop repeats its lines until it is done.")}
    )
    assert draft.wrong == set()
    assert draft.report == assess(draft.rows)
    assert draft.rows[5].output == "A loop repeats its lines until it is done."
    assert draft.rows[:5] == draft.reading.conversations[:5]
    worse = draft.corrected({1: ("What is number 1?", "")})
    assert worse.wrong == {1}
    assert worse.report.score < draft.report.score


def test_dropped_rows_count_no_more_and_come_back_when_they_are_wanted():
    draft = draft_of(*GOOD, LOOP, SHORT)
    dropped = draft.dropped(draft.wrong).dropped(draft.doubtful)
    assert [row.row for row in dropped.rows] == [1, 2, 3, 4, 5]
    assert dropped.report.score == 1.0
    assert dropped.restored([7]).doubtful == {7}
    assert dropped.restored().report == draft.report


def test_refused_rows_are_dropped_like_others():
    draft = from_file("x.jsonl", b'{"input": "What is it?", "output": "It is a small test."}\n{"input": 1\n')
    assert isinstance(draft, Draft)
    assert draft.wrong == {2}
    assert draft.dropped([2]).refused == ()
    assert draft.dropped([2]).report.score == 1.0


def test_in_a_chat_the_last_question_and_answer_are_corrected_and_the_rest_stays():
    turns = [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Who are you?"),
        ("assistant", "asdf asdf asdf"),
    ]
    chat = {"messages": [{"role": role, "content": text} for role, text in turns], "when": "today"}
    row = draft_of(chat).corrected({1: ("Who are you?", "I am a small model.")}).rows[0]
    assert [turn.content for turn in row.turns] == ["Hi", "Hello", "Who are you?", "I am a small model."]
    assert row.extra == {"when": "today"}


def test_a_row_that_calls_tools_keeps_its_calls_when_it_is_corrected():
    function = {"name": "tide", "arguments": {"port": "Kiel"}}
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    result = {"role": "tool", "content": "9:40"}
    asked, said = {"role": "user", "content": "When?"}, {"role": "assistant", "content": "At 9:40."}
    draft = draft_of({"messages": [asked, call, result, said]}, {"messages": [asked, call]})
    first, last = draft.corrected(
        {1: ("When is it?", "At ten."), 2: ("When then?", draft.rows[1].output)}
    ).rows
    assert [turn.content for turn in first.turns] == ["When is it?", "", "9:40", "At ten."]
    assert first.turns[1].calls == draft.rows[0].turns[1].calls
    assert last.turns[0].content == "When then?"
    assert last.turns[1] == draft.rows[1].turns[1]
    (row,) = draft.corrected({2: ("When?", "I do not know.")}).rows[1:]
    assert (row.output, row.calls_tools) == ("I do not know.", False)


def test_what_is_corrected_is_the_last_answer_that_is_learned():
    turns = [("user", "Hi", 1), ("assistant", "Helo", 1), ("user", "Why?", 1), ("assistant", "x", 0)]
    messages = [{"role": role, "content": text, "weight": weight} for role, text, weight in turns]
    row = draft_of({"messages": messages}).corrected({1: ("Hi", "Hello")}).rows[0]
    assert [turn.content for turn in row.turns] == ["Hi", "Hello", "Why?", "x"]
    assert row.learned == (True, False)


def test_typed_text_is_cleaned_like_text_from_a_file():
    draft = draft_of(*GOOD).corrected({1: (" What\x00 is\r\nit? ", "\ud83d It is.")})
    assert draft.rows[0].input == "What is\nit?"
    assert draft.rows[0].output == "\ufffd It is."


def test_a_row_that_is_not_there_cannot_be_corrected():
    draft = draft_of(*GOOD)
    assert draft.corrected({99: ("a", "b")}).rows == draft.rows


def test_rows_are_found_by_words_in_any_case_and_with_their_corrections():
    draft = draft_of(*GOOD, SHORT).corrected({2: ("What is a ship?", "A ship has SAILS.")})
    assert draft.find("sails") == [2]
    assert draft.find("") == [1, 2, 3, 4, 5, 6]
    assert draft.find("number", among={1, 6}) == [1]


# --- saving ---------------------------------------------------------------------------------------


def test_what_is_saved_are_the_rows_as_corrected_and_the_source_as_it_came(workspace):
    draft = draft_of(*GOOD, LOOP, LOOP, SHORT, file="My Lesson.json")
    report = draft.corrected({1: ("What is one?", "One is the first number.")}).dropped([8]).save(workspace)
    assert report.name == "my-lesson"
    assert (report.rows, report.left_out) == (5, 2)
    assert datasets.rows_of(workspace, "my-lesson")[0].output == "One is the first number."
    source = next((workspace.datasets / "my-lesson").glob("source*"))
    assert source.read_bytes() == draft.content


def test_a_draft_without_a_good_row_is_not_saved(workspace):
    with pytest.raises(BadDataError, match="No row is fit"):
        draft_of(LOOP).save(workspace)
    assert datasets.reports(workspace) == []


def test_where_nothing_may_be_changed_nothing_is_saved(workspace, monkeypatch):
    monkeypatch.setenv("SAILS_VIEW_ONLY", "1")
    with pytest.raises(ViewOnlyError):
        draft_of(*GOOD).save(workspace)


def test_a_dataset_is_corrected_as_a_copy(workspace):
    draft_of(*GOOD).save(workspace)
    copy = draft.from_dataset(workspace, "lesson")
    assert copy.rows == draft_of(*GOOD).rows
    saved = copy.corrected({1: ("What is one?", "One is the first number.")}).save(workspace)
    assert saved.name == "lesson-2"
    assert datasets.rows_of(workspace, "lesson")[0].input == GOOD[0]["input"]


# --- columns --------------------------------------------------------------------------------------

TICKETS = b"Ticket,Reply,Team\nHow do I log in?,Use the blue button on the right.,Web\n"


def test_a_file_with_unknown_columns_asks_for_them_and_is_read_with_those_named():
    unmapped = from_file("tickets.csv", TICKETS)
    assert isinstance(unmapped, Unmapped)
    assert unmapped.columns == ("Ticket", "Reply", "Team")
    assert unmapped.first_rows[0]["Team"] == "Web"
    draft = unmapped.mapped(ColumnMapping("Ticket", "Reply", "Team"))
    assert draft.rows[0].input == "How do I log in?\n\nWeb"
    assert draft.rows[0].output == "Use the blue button on the right."


def test_a_chat_between_people_asks_for_the_assistant():
    chat = "[31.12.25, 22:15:03] Guest: Are you open?\n[31.12.25, 22:16:00] Tea Shop: Yes, until midnight.\n"
    for unassigned in (from_file("chat.txt", chat.encode()), from_text(chat)):
        assert isinstance(unassigned, Unassigned)
        assert unassigned.people == ("Guest", "Tea Shop")
        (row,) = unassigned.assigned("Tea Shop").rows
        assert (row.input, row.output) == ("Are you open?", "Yes, until midnight.")


def test_a_corrected_answer_keeps_its_indent():
    draft = from_file("x.json", b'[{"input": "Body?", "output": "return 1"}]')
    (row,) = draft.corrected({1: ("Body?", "\n    a = 1\n    return a ")}).rows
    assert row.output == "    a = 1\n    return a"


def test_the_columns_of_json_are_found_in_its_records():
    unmapped = draft.from_file("x.json", b'[{"x": "What is it?"}, {"x": "And now?", "y": "A small test."}]')
    assert isinstance(unmapped, Unmapped)
    assert unmapped.columns == ("x", "y")
    assert not unmapped.table
    assert len(unmapped.mapped(ColumnMapping("x", "y")).rows) == 1


def test_a_table_without_column_names_loses_no_row():
    lines = ("What is a ship?\tA ship is a large boat.", "What is a sail?\tA sail catches the wind.")
    two = from_text("\n".join(lines))
    assert isinstance(two, Draft)
    assert [row.input for row in two.rows] == ["What is a ship?", "What is a sail?"]
    three = from_text("\n".join(f"{line}\tSea" for line in lines))
    assert isinstance(three, Unmapped)
    question, answer, topic = three.columns
    draft = three.mapped(ColumnMapping(question, answer, system=topic), first_row_taught=True)
    assert [row.input for row in draft.rows] == ["What is a ship?", "What is a sail?"]
    assert [row.turns[0].content for row in draft.rows] == ["Sea", "Sea"]


@pytest.mark.parametrize(
    "mapping", [ColumnMapping("Ticket", "ticket"), ColumnMapping("Ticket", "Reply", "Reply")]
)
def test_one_column_is_not_both_question_and_answer(mapping):
    with pytest.raises(RequestError, match="twice"):
        draft.mapped("tickets.csv", TICKETS, mapping)


def test_columns_that_are_not_there_are_refused_in_a_sentence():
    with pytest.raises(ConversationFileError, match="not all of"):
        draft.mapped("tickets.csv", TICKETS, ColumnMapping("Ticket", "Nothing"))


# --- what is of no use ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.json", b" \n ", "is empty"),
        ("one.csv", b"only\nvalue\n", "it needs one for the question"),
        ("report.pdf", b"%PDF-1.7 \x00\x01", "is a PDF"),
        ("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel file"),
        ("broken.json", b'[{"input": "a", "output": "b"},', "cut short"),
        ("header.csv", b"input,output\n", "has no rows"),
        ("numbers.json", b"[1, 2, 3]", "No conversation"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "a picture"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused_with_a_remedy(file, content, sentence):
    with pytest.raises(ConversationFileError, match=sentence) as refused:
        draft.from_file(file, content)
    assert file in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_paste_says_what_to_do(text):
    with pytest.raises(RequestError, match="Nothing was pasted"):
        draft.from_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "input\toutput\nWhat is it?\tIt is a small test.",
        "question;answer\nWhat is it?;It is a small test.",
        '[{"input": "What is it?", "output": "It is a small test."}]',
        '{"input": "What is it?", "output": "It is a small test."}\n{"input": "And?", "output": "No more."}',
    ],
)
def test_pasted_text_is_known_by_what_it_holds(text):
    draft = from_text(text)
    assert isinstance(draft, Draft)
    assert draft.rows[0].input == "What is it?"
    assert draft.name == "pasted"


def test_typed_pairs_become_rows_and_what_was_forgotten_is_told():
    draft = from_pairs([(None, None), ("What is it?", "It is a small test."), ("And this?", None), (" ", "")])
    assert [row.input for row in draft.rows] == ["What is it?"]
    assert [refusal.row for refusal in draft.refused] == [2]
    with pytest.raises(RequestError, match="Nothing was typed"):
        from_pairs([(None, ""), ("  ", None)])


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/x.csv", "x.csv"),
        ("C:\\Users\\x.csv", "x.csv"),
        ("🦜.json", "🦜.json"),
        ("a\0b\u202ec.csv", "abc.csv"),
        ("..", "file"),
        ("", "file"),
        ("<b>x</b>.csv", "b_.csv"),
        ("x" * 300 + ".csv", "x" * 70 + ".csv"),
    ],
)
def test_a_file_name_is_made_harmless_and_stays_readable(given, shown):
    assert draft.file_name(given) == shown
