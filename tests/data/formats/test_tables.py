"""Tables in every shape of `table_shapes`: each turn, system turn and blank kept, or a sentence why not."""

import json

import pytest

from sails.data import ColumnMapping, assess
from sails.data.columns import recognise
from sails.data.reading import parse as read
from sails.errors import AssistantNeededError, ConversationFileError
from tests.data.formats.table_shapes import FOLDER, SHAPES, Shape


def turns(conversation) -> tuple[str, ...]:
    return tuple(f"{turn.role[0]}: {turn.content}" for turn in conversation.turns)


def each(shapes: list[Shape]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shape", shapes, ids=[shape.file for shape in shapes])


@each([shape for shape in SHAPES if not shape.refused])
def test_a_table_is_kept_whole(shape: Shape):
    reading = read(shape.file, content=shape.content())
    assert tuple(map(turns, reading.conversations)) == shape.kept
    left_out = {refusal.row: refusal.reason for refusal in reading.refused}
    assert left_out.keys() == shape.left_out.keys()
    assert all(words in left_out[row] for row, words in shape.left_out.items()), left_out
    told = "\n".join((reading.understood, *reading.notes))
    assert all(words in told for words in shape.says), told
    assert reading.understood


@each([shape for shape in SHAPES if shape.refused])
def test_a_table_is_refused_with_what_to_do(shape: Shape):
    with pytest.raises(ConversationFileError) as refused:
        read(shape.file, content=shape.content())
    assert refused.value.remedy
    assert all(words in refused.value.sentence for words in shape.refused), refused.value.sentence


def test_each_file_has_its_shape():
    named = {shape.file for shape in SHAPES if not shape.make}
    judged = {"html.csv", "case_differs.csv", "contradiction.csv"}
    assert {path.name for path in FOLDER.iterdir()} == named | judged
    assert len({shape.file for shape in SHAPES}) == len(SHAPES)


@pytest.mark.parametrize(
    ("file", "check", "rows"),
    [
        ("html.csv", "markup", [1]),
        ("case_differs.csv", "contradiction", [2]),
        ("contradiction.csv", "contradiction", [3]),
    ],
)
def test_a_table_is_kept_and_warned_of(file, check, rows):
    reading = read(FOLDER / file)
    report = assess(reading.conversations, reading.refused)
    assert [problem.row for problem in report.warnings if problem.check == check] == rows
    assert (report.duplicates, report.valid) == (0, len(reading.conversations))


@pytest.mark.parametrize(
    ("column", "kept", "left_out"),
    [
        ("Freigegeben", "ja", "nein"),
        ("validé", "oui", "non"),
        ("activo", "sí", "no"),
        ("verified", "TRUE", "FALSE"),
        ("thumbs_up", "true", "false"),
        ("obsolete", "no", "yes"),
        ("to_delete", "", "ja"),
        ("do not use", "", "x"),
        ("Do not learn", "", "x"),
        ("Don't train", "no", "yes"),
        ("Entwurf", "nein", "ja"),
        ("judgement", "correct", "incorrect"),
        ("Status", "Freigegeben", "Entwurf"),
        ("Bewertung", "gut", "schlecht"),
        ("helpful", "yes", "no"),
        ("like", "👍", "👎"),
        ("reward", "1", "-1"),
        ("split", "train", "test"),
        ("partition", "Training", "validation"),
    ],
)
def test_rows_are_left_out_by_marks_in_other_words(column, kept, left_out):
    content = f"question,answer,{column}\nIs it open?,It is.,{kept}\nIs it far?,It is not.,{left_out}\n"
    reading = read("marks.csv", content=content.encode())
    assert [row.row for row in reading.conversations] == [1]
    assert [(one.row, f"(“{column}” is {left_out.casefold()})" in one.reason) for one in reading.refused] == [
        (2, True)
    ]


def test_rows_to_test_with_are_kept_where_the_file_has_no_others():
    content = b"question,answer,split\nIs it open?,It is.,test\nIs it far?,It is not.,validation\n"
    reading = read("test.csv", content=content)
    assert len(reading.conversations) == 2
    assert reading.understood.endswith("not taught: split")


@pytest.mark.parametrize(
    ("columns", "first"), [("persona", "s: A pirate."), ("system,persona", "s: Be brief.")]
)
def test_a_persona_is_the_system_turn_where_there_is_no_other(columns, first):
    cells = "Be brief.,A pirate." if "," in columns else "A pirate."
    reading = read("x.csv", content=f"{columns},question,answer\n{cells},Is it far?,Arr.\n".encode())
    assert turns(reading.conversations[0]) == (first, "u: Is it far?", "a: Arr.")


def test_a_persona_in_several_sentences_is_the_system_turn_of_a_chat():
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Arr."}]
    row = {"personality": ["I am a pirate.", "I sail."], "messages": chat}
    reading = read("x.jsonl", content=json.dumps(row).encode())
    assert turns(reading.conversations[0])[0] == "s: I am a pirate.\nI sail."


def test_a_persona_that_is_a_record_is_named_as_not_taught():
    row = {"character": {"name": "Ann"}, "question": "Is it far?", "answer": "No."}
    reading = read("x.jsonl", content=json.dumps(row).encode())
    assert turns(reading.conversations[0]) == ("u: Is it far?", "a: No.")
    assert reading.understood == "question = question, answer = answer; not taught: character"


def test_a_column_of_yes_and_no_that_is_not_known_is_named():
    content = b"question,answer,toxic,number\nIs it open?,It is.,no,0\nIs it far?,It is not.,yes,1\n"
    reading = read("marks.csv", content=content)
    assert len(reading.conversations) == 2
    assert [note for note in reading.notes if "yes or no" in note] == [
        "“toxic” says yes or no of each row, and is not looked at. "
        "Leave out the rows that should not be taught."
    ]


def test_names_are_refused_where_they_stand_again():
    content = b"question,answer\nIs it open?,It is.\nquestion,answer\nIs it far?,It is not.\n"
    reading = read("twice.csv", content=content)
    assert [row.row for row in reading.conversations] == [1, 3]
    assert [(one.row, one.reason) for one in reading.refused] == [(2, "repeats the names of the columns")]


@pytest.mark.parametrize(
    "columns",
    [
        "question,answer,correct_answer",
        "question,answer,corrected_answer",
        "prompt,response,edited response",
        "question,answer,ground_truth",
        "question_title,question_body,answer",
        "Frage,Antwort,Korrigierte Antwort",
    ],
)
def test_of_two_columns_that_could_be_one_is_asked(columns):
    with pytest.raises(ConversationFileError) as asked:
        read("two.csv", content=f"{columns}\nIs it open?,It is.,It is not.\n".encode())
    assert " could stand in " in asked.value.sentence
    assert "--answer-column" in asked.value.remedy


@pytest.mark.parametrize(
    "columns",
    [
        "Kundenanfrage,Unsere Antwort",
        "お問い合わせ内容,回答",
        "Pergunta,Resposta esperada",
        "patterns,response",
        "question,ground_truth",
        "question,correct_answer",
        "Запитання,Відповідь",
        "Issue,Resolution",
        "article,summary",
        "src,tgt",
    ],
)
def test_more_names_are_known(columns):
    reading = read("names.csv", content=f"{columns}\nIs it open?,It is.\n".encode())
    assert turns(reading.conversations[0]) == ("u: Is it open?", "a: It is.")


def test_what_a_person_names_is_not_asked_again():
    two = ColumnMapping("question", "response", system="")
    reading = read(FOLDER / "two_answers.csv", two)
    assert turns(reading.conversations[0]) == ("u: What floats?", "a: Wood floats.")
    assert reading.understood == "question = question, answer = response; not taught: answer"
    exact = read(FOLDER / "case_only.csv", ColumnMapping("question", "Answer"))
    assert turns(exact.conversations[0]) == ("u: What floats?", "a: Cork floats.")


def test_instructions_that_nobody_named_are_found_beside_the_columns_that_were():
    mapping = ColumnMapping("Ticket", "Info")
    content = b"Ticket,Info,system\nIs it open?,It opens at ten.,Be brief.\n"
    assert turns(read("x.csv", mapping, content=content).conversations[0])[0] == "s: Be brief."
    without = ColumnMapping("Ticket", "Info", system="", history="")
    reading = read("x.csv", without, content=content)
    assert turns(reading.conversations[0]) == ("u: Is it open?", "a: It opens at ten.")
    assert reading.understood == "question = Ticket, answer = Info; not taught: system"


@pytest.mark.parametrize(
    "columns",
    [
        ("question_id", "answer_id"),
        ("question type", "answer type"),
        ("question", "A", "B", "C"),
        ("name", "model"),
        ("input_tokens", "output_tokens"),
        ("title", "text"),
    ],
)
def test_names_that_only_look_alike_are_not_taken(columns):
    assert recognise(columns).mapping is None


@pytest.mark.parametrize(
    ("column", "moments"),
    [
        ("time", ("10:05 PM", "9:05 pm", "11:00 AM")),
        ("sent", ("2025-01-02 12:05 PM", "2025-01-02 11:05 a.m.", "2025-01-02 12:00 AM")),
        ("ts", ("1700000030", "1700000020", "1700000010")),
    ],
)
def test_turns_come_in_the_order_of_their_moments(column, moments):
    late, middle, early = moments
    content = (
        f"chat,{column},role,text\n1,{late},assistant,Hello\n1,{middle},user,Hi\n1,{early},system,Be brief.\n"
    )
    (row,) = read("moments.csv", content=content.encode()).conversations
    assert turns(row) == ("s: Be brief.", "u: Hi", "a: Hello")


def test_the_users_of_a_log_are_asked_about():
    content = b"time,user,message\n09:00,Anna,Is it far?\n09:01,Ben,No.\n09:02,Anna,Open?\n09:03,Ben,Yes.\n"
    with pytest.raises(AssistantNeededError, match="“Anna” and “Ben” speak"):
        read("log.csv", content=content)
    (row,) = read("log.csv", content=content, assistant="Ben").conversations
    assert turns(row) == ("u: Is it far?", "a: No.", "u: Open?", "a: Yes.")


def test_lines_of_json_may_end_with_a_comma():
    content = b'{"question": "Is it far?", "answer": "No."},\n{"question": "Open?", "answer": "Yes."}\n'
    assert len(read("lines.jsonl", content=content).conversations) == 2


@pytest.mark.parametrize(
    ("columns", "cells", "asked"),
    [
        ("Choice A,Choice B", "red,blue", "A) red\nB) blue"),
        ("answer_a,answer_b", "red,blue", "A) red\nB) blue"),
        ("options", '"A) red, B) blue"', "A) red, B) blue"),
    ],
)
def test_choices_are_known_in_more_columns(columns, cells, asked):
    right = "Choice B" if "Choice" in columns else "B"
    content = f"question,{columns},correct_answer\nWhich?,{cells},{right}\n".encode()
    assert turns(read("x.csv", content=content).conversations[0]) == (f"u: Which?\n\n{asked}", f"a: {right}")


def test_a_letter_that_no_choice_has_is_refused():
    content = b"question,options,answer\nWhich?,red or blue,B\nHow?,by ship,By ship\n"
    reading = read("x.csv", content=content)
    assert [refusal.row for refusal in reading.refused] == [1]
    assert turns(reading.conversations[0]) == ("u: How?\n\nby ship", "a: By ship")


def test_a_mark_that_some_rows_lack_is_named():
    content = b"question,answer,correct?\nIs it far?,No.,x\nOpen?,Yes.,\n"
    notes = read("x.csv", content=content).notes
    assert "“correct?” is empty in some rows; those are taught, too." in notes
    content = b"question,answer,deleted,approved\nIs it far?,No.,no,yes\nOpen?,Yes.,yes,yes\n"
    assert not read("x.csv", content=content).notes
