"""Tables in every shape of `table_shapes`: each turn, system turn and blank kept, or a sentence why not."""

import pytest

from sails.data import ColumnMapping, assess, read
from sails.data.columns import recognise
from sails.errors import ConversationFileError
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
