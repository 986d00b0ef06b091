"""Questions and answers in plain text: what begins a turn, and what only looks like it."""

import pytest

from sails.data.reading import parse as read
from sails.errors import ConversationFileError


def spoken(text, name="notes.txt"):
    reading = read(name, content=text.encode())
    return [[f"{turn.role[0]}: {turn.content}" for turn in row.turns] for row in reading.conversations]


@pytest.mark.parametrize(
    "text",
    [
        "Q. Where?\nA. There.\n\nQ. When?\nA. Now.\n",
        "Q1. Where?\nA1. There.\n\nQ2. When?\nA2. Now.\n",
        "Q) Where?\nA) There.\nQ) When?\nA) Now.\n",
        "F. Where?\nA. There.\nF. When?\nA. Now.\n",
        "- Q: Where?\n  A: There.\n- Q: When?\n  A: Now.\n",
        "Q: Where?\n  A: There.\nQ: When?\nA: Now.\n",
        "Q: Where?\n    A: There.\n    Q: When?\n    A: Now.\n",
    ],
)
def test_a_name_or_letter_begins_a_turn(text):
    assert spoken(text) == [["u: Where?", "a: There."], ["u: When?", "a: Now."]]


@pytest.mark.parametrize(
    ("quoted", "lines"),
    [
        ("So:\n    Q: Why?\n    A: Because.\nThat is all.", "lines 3 and 4"),
        ("So:\n```\nQ: Why?\nA: Because.\n```", "lines 4 and 5"),
        ("```\nQ: Why?\n```", "line 3"),
    ],
)
def test_a_name_that_an_answer_quotes_stays_in_it_and_that_is_said(quoted, lines):
    text = f"Q: How?\nA: {quoted}\nQ: And then?\nA: Done.\n"
    assert spoken(text) == [["u: How?", f"a: {quoted}"], ["u: And then?", "a: Done."]]
    notes = read("notes.txt", content=text.encode()).notes
    assert f"Names that are indented or in code were read as what is said, in {lines}." in notes
    chat = text.replace("Q:", "User:").replace("A:", "Assistant:")
    assert len(spoken(chat)[0]) == 4


@pytest.mark.parametrize("sign", [".", ":"])
def test_choices_are_no_answers(sign):
    with pytest.raises(ConversationFileError):
        spoken(f"Q{sign} Which?\nA{sign} Paris\nB{sign} Rome\n")


@pytest.mark.parametrize("right", ["Answer: B", "Correct: B", "Correct answer: B"])
def test_of_choices_the_right_one_is_the_answer(right):
    text = f"Q: Which?\nA: Paris\nB: Rome\n{right}\n\nQ: Where?\nA: There.\n"
    asked = ["u: Which?\n\nA: Paris\nB: Rome", "a: B"]
    assert spoken(text) == [asked, ["u: Where?", "a: There."]]


def test_all_tables_of_one_kind_are_read_and_what_is_beside_them_is_named():
    table = "| Question | Answer |\n|---|---|\n| {} | Yes. |\n"
    others = "| Name | Age |\n|---|---|\n| Ann | 5 |\n"
    text = f"# FAQ\n\n{table.format('Here?')}\nMore:\n\n{table.format('There?')}\n{others}"
    assert spoken(text, "faq.md") == [["u: Here?", "a: Yes."], ["u: There?", "a: Yes."]]
    assert read("faq.md", content=text.encode()).notes == (
        "Tables with other names than “Question”, “Answer” were not read.",
        "The text beside the table was not read.",
    )


def test_wide_letters_begin_a_turn():
    assert spoken("Ｑ：Where?\nＡ：There.\n") == [["u: Where?", "a: There."]]


def test_a_text_that_begins_with_a_bracket_is_no_json():
    with pytest.raises(ConversationFileError, match="a text without questions and answers"):
        spoken("[09:00] Nobody is here.\n")


def test_signs_of_a_template_that_an_answer_names_stay_in_it():
    said = "It is <|im_end|>, and <|im_start|>user begins one."
    text = f"<|im_start|>user\nWhat ends a turn?<|im_end|>\n<|im_start|>assistant\n{said}<|im_end|>\n"
    assert spoken(text) == [["u: What ends a turn?", f"a: {said}"]]


@pytest.mark.parametrize(("said", "kept"), [("  return x", "  return x"), ("\tpass", "\tpass"), (" x", "x")])
def test_the_indent_of_an_answer_of_one_line_is_kept(said, kept):
    assert spoken(f"question,answer\nWhat comes next?,{said}\n", "code.csv") == [
        ["u: What comes next?", f"a: {kept}"]
    ]


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        ("Вопрос", "Ответ"),
        ("Pytanie", "Odpowiedź"),
        ("Vraag", "Antwoord"),
        ("Fråga", "Svar"),
        ("Câu hỏi", "Trả lời"),
        ("질문", "답변"),
    ],
)
def test_questions_are_known_in_more_languages(asks, answers):
    text = f"{asks}: Where?\n{answers}: There.\n\n{asks}: When?\n{answers}: Now.\n"
    assert spoken(text) == [["u: Where?", "a: There."], ["u: When?", "a: Now."]]
    table = f"{asks},{answers}\nWhere?,There.\n"
    assert spoken(table, "table.csv") == [["u: Where?", "a: There."]]


def test_what_stands_below_the_number_of_a_list_has_no_indent():
    text = "1. **Where is it?**\n\n   Here.\n\n2. **When is it?**\n\n   Now:\n     at ten.\n"
    assert spoken(text, "faq.md") == [
        ["u: Where is it?", "a: Here."],
        ["u: When is it?", "a: Now:\n  at ten."],
    ]
