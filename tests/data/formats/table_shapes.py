"""The shapes in which tables come: a small file each, and what reading it must give.

Files of text lie in `tables/`; workbooks and Parquet files are made here. `kept` are the conversations, a
turn a string that begins with `s: `, `u: ` or `a: `; `left_out` the rows that are refused, by number with
words of the reason; `says` words of what a person is told; `refused` words of the error where the file is
refused whole.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet

FOLDER = Path(__file__).parent / "tables"
Turns = tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    file: str
    title: str
    kept: tuple[Turns, ...] = ()
    left_out: dict[int, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    make: Callable[[], bytes] | None = None

    def content(self) -> bytes:
        return self.make() if self.make else (FOLDER / self.file).read_bytes()


def qa(question: str, answer: str, system: str = "") -> Turns:
    return (*([f"s: {system}"] if system else []), f"u: {question}", f"a: {answer}")


def workbook(
    *rows: list[Any], formats: dict[str, str] | None = None, change: Callable[[Any], None] | None = None
) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    for cell, number_format in (formats or {}).items():
        book.active[cell].number_format = number_format
    if change:
        change(book)
    book.save(file)
    return file.getvalue()


def shown(title: str, value: Any, number_format: str, answer: str) -> Shape:
    rows = (["question", "answer"], ["What does it say?", value])
    make = partial(workbook, *rows, formats={"B2": number_format})
    name = f"shown_{title.replace(' ', '_')}.xlsx"
    return Shape(name, f"Excel: {title}", (qa("What does it say?", answer),), make=make)


def parquet(**columns: list[Any]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def _read_me_first(book: Any) -> None:
    note = book.create_sheet("Read me", 0)
    note.append(["How to fill in this workbook"])
    note.append(["Write one question in each row."])


def _hidden_first(book: Any) -> None:
    old = book.create_sheet("Old", 0)
    old.append(["question", "answer"])
    old.append(["Is it old?", "It is an old sheet."])
    old.sheet_state = "hidden"


def _another_sheet(book: Any) -> None:
    more = book.create_sheet("More")
    more.append(["question", "answer"])
    more.append(["Is it far?", "It is a short walk."])


def _only_hidden(book: Any) -> None:
    book.active.sheet_state = "hidden"
    book.create_sheet("Empty")


def _merged(book: Any) -> None:
    book.active.merge_cells("A2:A3")


def _hidden_row(book: Any) -> None:
    book.active.row_dimensions[3].hidden = True


OPEN = qa("Is it open?", "It opens at ten.")
FAR = qa("Is it far?", "It is a short walk.")
HOT = qa("Is tea hot?", "Tea is served hot.")
WELL = qa("Where is the well?", "Behind the barn.")
SUNDAY = ("u: And on Sunday?", "a: It is closed.")
NAMES = {
    "german": "Frage, Antwort",
    "german_plural": "Fragen:, Antworten:",
    "french": "Question, Réponse",
    "french_demand": "demande, REPONSE",
    "spanish": "Pregunta, Respuesta",
    "portuguese": "Pergunta, Resposta",
    "italian": "Domanda, Risposta",
    "polish": "Pytanie, Odpowiedź",
    "dutch": "Vraag, Antwoord",
    "chinese": "问题, 答案",
    "japanese": "質問, 回答",
    "russian": "Вопрос, Ответ",
    "letters": "Q, A",
    "cards": "Front, Back",
    "speakers": "Human, Bot",
    "query": "query, response",
    "prompt_answer": "Prompt, Answer",
    "term": "Term, Definition",
    "texts": "question_text, answer_text",
    "camel": "userMessage, modelOutput",
    "questions": "Questions, Answers",
    "bracket": "Question (EN), Answer (EN)",
    "input": "INPUT:, OUTPUT:",
    "german_cards": "Vorderseite, Rückseite",
    "user": "user, assistant",
    "expected": "prompt, expected_output",
    "word": "Wort, Bedeutung",
    "customer": "customer question, agent answer",
}

SHAPES = (
    # --- what stands beside question and answer
    Shape(
        "system.csv",
        "A column of instructions to the assistant",
        (
            qa("When does the ferry leave?", "The ferry leaves at nine.", "You are a ferry clerk."),
            qa("When is it back?", "It is back at noon."),
        ),
        says=("system = system, question = question, answer = answer; not taught: id",),
    ),
    Shape(
        "context.csv",
        "A context beside the question",
        (
            qa("How old is the mill?\n\nThe mill was built in 1712.", "It was built in 1712."),
            qa("Who owns it?", "The village owns it."),
        ),
        says=("A question is “question” followed by “context”.", "context = context"),
    ),
    Shape(
        "instruction_and_input.csv",
        "Instruction and input (Alpaca), either may be empty",
        (
            qa("Translate into French.\n\nGood evening", "Bonsoir"),
            qa("Name a tree.", "The larch is a tree."),
            qa("Just say hello.", "Hello, and welcome."),
        ),
        says=("A question is “instruction” followed by “input”.",),
    ),
    Shape(
        "instruction_and_question.csv",
        "An instruction beside the question",
        (qa("Answer in one sentence.\n\nWhat is a lock?", "A lock lifts boats."),),
        says=("instruction = instruction, question = question",),
    ),
    Shape(
        "instruction_input_and_context.csv",
        "Instruction, input and context",
        (qa("Summarise.\n\nThe harbour\n\nIt has three piers.", "A harbour with three piers."),),
    ),
    Shape(
        "history.csv",
        "Earlier turns in a column",
        (
            ("u: Is it cold?", "a: Yes, very.", "u: And tomorrow?", "a: Tomorrow is warmer."),
            qa("Will it snow?", "Not this week."),
        ),
        says=("history = history",),
    ),
    Shape(
        "context_and_response.csv",
        "Context and response, without a question",
        (qa("I cannot sleep at night.", "Try to go to bed at the same hour."),),
        says=("question = Context, answer = Response",),
    ),
    # --- rows that are not to be learned
    Shape("weight.csv", "A weight of 0", (HOT,), {2: "“weight” is 0"}),
    Shape("train.csv", "A column that switches a row off", (HOT,), {2: "“train” is false"}),
    Shape("label.csv", "A label of 0 or 1", (HOT,), {2: "“label” is 0"}),
    Shape(
        "label_of_many.csv",
        "A label of many kinds",
        (HOT, qa("Is ice cold?", "Ice is cold.")),
        says=("not taught: label",),
    ),
    Shape(
        "rating.csv",
        "A rating of one to five",
        (HOT, qa("Is rain wet?", "Rain is wet.")),
        {2: "rated low (“rating” is 1)"},
    ),
    Shape("thumbs.csv", "Thumbs up and down", (HOT,), {2: "thumbs down"}),
    Shape("deleted.csv", "Deleted rows", (HOT,), {2: "“deleted” is yes"}),
    Shape("status.csv", "Rejected rows", (HOT,), {2: "“status” is rejected"}),
    # --- what is asked, and never guessed
    Shape(
        "choices_with_letter.csv",
        "Choices with a letter as answer",
        (qa("Which floats?\n\nA) Stone\nB) Cork\nC) Iron", "B"),),
        says=("choices = A / B / C",),
    ),
    Shape("choices_with_index.csv", "Choices with an index as answer", refused=("only “1”", "choices")),
    Shape(
        "choices_with_text.csv",
        "Choices with the answer in words",
        (qa("Which floats?", "Cork floats on water."),),
        says=("not taught: A, B, C",),
    ),
    Shape("correct_column.csv", "A column says which answer is right", refused=("“answer1” or “answer2”",)),
    Shape(
        "answers_a_and_b.csv",
        "Two answers by letter",
        refused=("“Antwort A”, “Antwort B”", "--answer-column"),
    ),
    Shape("answers_as_lists.csv", "Answers that are lists", refused=("lists or records", "one answer")),
    Shape("answers_as_records.csv", "Answers that are records", refused=("lists or records",)),
    Shape("two_answers.csv", "Two columns could be the answer", refused=("“answer” or “response”",)),
    Shape("same_name_twice.csv", "The same name twice", refused=("“answer” or “answer (3)”",)),
    Shape("case_only.csv", "Names that differ in case only", refused=("“Answer” or “answer”",)),
    Shape(
        "preferred.csv",
        "A preferred and a rejected answer",
        (qa("What floats?", "Cork floats on water."),),
        says=("answer = chosen; not taught: rejected",),
    ),
    # --- tables of turns
    Shape(
        "turns.csv",
        "One turn in each row, by conversation",
        (("s: Be brief.", *OPEN, *SUNDAY), WELL),
        says=("became 2 conversations", "conversation = conversation_id"),
    ),
    Shape("turns_with_time.csv", "Turns by thread, in the order of their time", (OPEN, FAR)),
    Shape("turns_with_number.csv", "Turns in the order of their number", ((*OPEN, *SUNDAY),)),
    Shape(
        "turns_with_parent.csv",
        "Turns that name the one before, with ranked replies",
        ((*OPEN, *SUNDAY), WELL),
        says=("“parent_id”",),
    ),
    Shape("turns_numbered_again.csv", "Turn numbers that begin again", (OPEN, WELL), says=("begins again",)),
    Shape(
        "turns_with_blank_rows.csv", "Blank rows between conversations", (OPEN, WELL), says=("blank rows",)
    ),
    Shape(
        "turns_of_one_chat.csv",
        "A table that is one conversation",
        (("s: Be brief.", *OPEN, *SUNDAY),),
        says=("became 1 conversation: no column says where one ends",),
    ),
    Shape(
        "turns_mixed_without_key.csv",
        "Turns of several conversations without a key",
        refused=("no column says which turns belong to one conversation", "conversation_id"),
    ),
    Shape("turns_by_names.csv", "Speakers by their names", refused=("“Lena” and “Front desk”", "assistant")),
    Shape(
        "turns_german.csv",
        "Turns with German names",
        (
            qa("Ist offen?", "Ab zehn Uhr ist offen."),
            qa("Ist es weit?", "Es ist ein kurzer Weg."),
        ),
        says=("“Support” as the assistant", "speaker = Rolle, text = Nachricht, conversation = Gespräch"),
    ),
    Shape("turns_with_lost_row.csv", "A turn that cannot be read", (FAR,), {1: "row 2", 2: "5 cells"}),
    Shape("turns_deleted.csv", "A turn that is deleted", (FAR,), {1: "in row 2, is marked"}),
    Shape(
        "turns_with_nan.csv",
        "Turns with empty cells as pandas writes them",
        (FAR,),
        {1: "turn 2 is empty"},
        says=("read as empty in 1 row",),
    ),
    Shape("turns_by_shared_id.csv", "Turns that share an id", (OPEN, FAR), says=("conversation = id",)),
    Shape(
        "turns_with_branches.csv",
        "Turns with two replies to one",
        (OPEN, qa("Is it open?", "From ten on.")),
        says=("turn before = parent_id",),
    ),
    Shape(
        "pairs_by_conversation.csv",
        "A question and answer in each row, by conversation",
        (("s: Be brief.", *OPEN, *SUNDAY), FAR),
        says=("conversation = conversation_id, order = turn",),
    ),
    Shape(
        "pairs_with_lost_row.csv",
        "A conversation with a row that cannot be read",
        (FAR,),
        {1: "in row 2, is left out", 2: "is empty"},
    ),
    Shape("pairs_by_session.csv", "Sessions that are lessons", (OPEN, FAR), says=("not taught: session",)),
    Shape(
        "role_beside_question.csv",
        "A column called role that is none",
        (qa("When is the round?", "The round begins at seven."),),
        says=("not taught: role",),
    ),
    Shape(
        "from_beside_question.csv",
        "A column called from that is none",
        (qa("When is the round?", "The round begins at seven."),),
        says=("not taught: from, date",),
    ),
    Shape("mail.csv", "Mail is no chat", refused=("“from”, “to”, “subject”, “body”", "--question-column")),
    Shape(
        "chat_in_a_cell.csv",
        "A chat in a cell, as Python writes it",
        (qa("Is it open?", "It's open at ten."),),
        says=("conversations = messages; not taught: id",),
    ),
    # --- names
    *(
        Shape(
            f"names_{name}.csv",
            f"Columns {names}",
            (OPEN,),
            says=("question = {}, answer = {}; not taught: Nr".format(*names.split(", ")),),
        )
        for name, names in NAMES.items()
    ),
    Shape("message_and_reply.csv", "Columns Message, Reply", (OPEN,)),
    # --- where the names stand
    Shape(
        "title_rows.csv",
        "Titles above the names",
        (OPEN,),
        says=("stand in line 4", "not taught: Team"),
    ),
    Shape("sep_line.csv", "A line sep=;", (qa("How much?", "1,5 litres, no more."),)),
    Shape("comment_lines.csv", "Lines of comment above the names", (OPEN,)),
    Shape("hash_column.csv", "A column called #", (OPEN,), says=("not taught: #",)),
    Shape(
        "anki.txt",
        "Anki with HTML and tags",
        (qa("Is it open?", "It opens at ten.\nRing & wait."), FAR),
        says=("as Anki exports them",),
    ),
    Shape("anki_plain.txt", "Anki without HTML", (qa("der Hund", "the dog"), qa("die Katze", "the cat"))),
    Shape(
        "anki_empty_tags.txt", "Anki with no tags", (qa("der Hund", "the dog"), qa("die Katze", "the cat"))
    ),
    Shape("numbered_columns.csv", "Columns that pandas numbered", (OPEN, FAR), says=("names no columns",)),
    Shape("anki_columns.txt", "Anki with names", (qa("der Hund", "the dog"),), says=("question = Front",)),
    Shape(
        "quizlet.txt",
        "Quizlet",
        (qa("der Hund", "the dog"), qa("die Katze", "the cat"), qa("das Pferd", "the horse")),
        says=("names no columns",),
    ),
    Shape("unnamed.csv", "Two columns without names", (OPEN, FAR), says=("names no columns",)),
    Shape("unnamed_three.csv", "Three columns without names", refused=("Is it open?", "--question-column")),
    Shape("unknown_names.csv", "Names that are not known", refused=("“Ticket”, “Info”", "--answer-column")),
    Shape("prose.txt", "Prose is no table", refused=("--question-column",)),
    # --- quotation marks, spaces, separators
    Shape(
        "quote_swallows.tsv",
        "A quotation mark that would swallow rows",
        (
            qa("Who said it?", '"Nobody did.'),
            FAR,
            qa("Who came?", 'The neighbours"'),
            OPEN,
        ),
        says=("read as they stand, in 1 row",),
    ),
    Shape(
        "quote_swallows.csv",
        "The same between commas",
        (qa("Who said it?", "Nobody did.\nIs it far?,It is a short walk.\nWho came?,The neighbours"),),
        says=("opens in line 2 closes some lines later",),
    ),
    Shape(
        "quote_inside.tsv",
        "Quotation marks around a part of a cell",
        (qa("Who said it?", '"Nobody" did, I think.'), FAR),
        says=("in 1 row",),
    ),
    Shape("quote_open.tsv", "A quotation mark that never closes", (qa("Who said it?", '"Nobody did.'), FAR)),
    Shape(
        "quoted_lines.csv",
        "An answer of several lines",
        (qa("How?", "Like this:\n- first, open it\n- then, wait"), FAR),
    ),
    Shape("lines_in_quotes.csv", "Quotation marks around whole lines", (OPEN,)),
    Shape("quoted_code.tsv", "Code with tabs in a cell", (qa("How?", "def f():\n\treturn 1"), FAR)),
    Shape(
        "indent.csv",
        "The indent of an answer",
        (qa("How?", "    if open:\n        enter()"), qa("And then?", "    leave()")),
    ),
    Shape(
        "spaces_before_quotes.csv",
        "Spaces before quotation marks",
        (qa("Is it open?", "It opens at ten, I think."),),
    ),
    Shape(
        "decimal_commas.csv",
        "Semicolons and decimal commas",
        (qa("Wie viel?", "Es sind 1,5 Liter."), qa("Wie weit?", "Es sind 2,25 Meilen.")),
    ),
    Shape("ragged.csv", "More cells than names", (FAR,), {1: "has 3 cells where 2 columns are named"}),
    # --- encodings, empty cells, signs
    Shape(
        "polish.csv",
        "Polish in Windows-1250",
        (
            qa("Gdzie leży miasto?", "Nad Wisłą, w północnej części kraju."),
            qa("Czy jest otwarte?", "Tak, od dziesiątej."),
        ),
        says=("Windows-1250",),
    ),
    Shape("czech.csv", "Czech in Windows-1250", (qa("Kde je studna?", "Je za stodolou, říká soused."),)),
    Shape(
        "french_1252.csv",
        "French in Windows-1252",
        (qa("Où est le puits ?", "Derrière la grange, à côté du pré."),),
        says=("Windows-1252",),
    ),
    Shape(
        "utf16.tsv",
        "UTF-16, as Excel saves it",
        (qa("Wo ist der Brunnen?", "Hinter der Scheune, „über“ dem Hof."),),
    ),
    Shape("bom.csv", "UTF-8 with a mark", (OPEN,)),
    Shape(
        "nan.csv",
        "Empty cells as pandas writes them",
        (OPEN,),
        {2: "the answer (“answer”) is empty", 3: "the answer (“answer”) is empty"},
        says=("in 3 rows",),
    ),
    # --- Excel
    shown("a time", datetime.time(9, 30), "hh:mm", "09:30"),
    shown("hours over a day", 26 / 24 + 5 / 1440, "[h]:mm", "26:05"),
    shown("a percentage", 0.15, "0 %", "15 %"),
    shown("leading zeros", 1234, "00000", "01234"),
    shown("money in euros", 1234.5, "#,##0.00\\ €", "1,234.50 €"),
    shown("money in dollars", -3, '"$"#,##0.00;("$"#,##0.00)', "($3.00)"),
    shown("a date", datetime.date(2026, 3, 1), "dd.mm.yyyy", "01.03.2026"),
    shown("a short date", datetime.date(2026, 3, 1), "mm-dd-yy", "2026-03-01"),
    shown("a month", datetime.date(2026, 3, 1), "mmmm yyyy", "March 2026"),
    shown("a phone number", 49301234, "+00 000 000", "+49 301 234"),
    shown("a number", 0.1 + 0.2, "General", "0.3"),
    shown("a unit", 12, '0" km"', "12 km"),
    shown("a long number", 12345678901, "0", "12345678901"),
    shown("a truth value", True, "General", "TRUE"),
    Shape(
        "read_me.xlsx",
        "A sheet “Read me” first",
        (OPEN,),
        says=("Only the sheet “Sheet” was read, of 2.",),
        make=partial(
            workbook, ["question", "answer"], ["Is it open?", "It opens at ten."], change=_read_me_first
        ),
    ),
    Shape(
        "hidden_sheet.xlsx",
        "A hidden sheet first",
        (OPEN,),
        make=partial(
            workbook, ["question", "answer"], ["Is it open?", "It opens at ten."], change=_hidden_first
        ),
    ),
    Shape(
        "only_hidden.xlsx",
        "Only a hidden sheet",
        refused=("hidden ones are not read",),
        make=partial(
            workbook, ["question", "answer"], ["Is it open?", "It opens at ten."], change=_only_hidden
        ),
    ),
    Shape(
        "two_sheets.xlsx",
        "Two sheets with conversations",
        (OPEN,),
        says=("“More” names question and answer, too",),
        make=partial(
            workbook, ["question", "answer"], ["Is it open?", "It opens at ten."], change=_another_sheet
        ),
    ),
    Shape(
        "title.xlsx",
        "Excel: titles above the names",
        (OPEN,),
        says=("stand in line 3",),
        make=partial(
            workbook, ["Helpdesk"], [], [None, "Frage", "Antwort"], [1, "Is it open?", "It opens at ten."]
        ),
    ),
    Shape(
        "merged.xlsx",
        "Excel: cells merged over rows",
        (
            qa("Is it open?", "It opens at ten.", "Be brief."),
            qa("Is it far?", "It is a short walk.", "Be brief."),
        ),
        says=("merged",),
        make=partial(
            workbook,
            ["system", "question", "answer"],
            ["Be brief.", "Is it open?", "It opens at ten."],
            [None, "Is it far?", "It is a short walk."],
            change=_merged,
        ),
    ),
    Shape(
        "hidden_row.xlsx",
        "Excel: a hidden row",
        (OPEN, FAR),
        says=("hides 1 row",),
        make=partial(
            workbook,
            ["question", "answer"],
            ["Is it open?", "It opens at ten."],
            ["Is it far?", "It is a short walk."],
            change=_hidden_row,
        ),
    ),
    Shape(
        "error_cell.xlsx",
        "Excel: an error in a cell",
        (FAR,),
        {1: "is the error #N/A"},
        make=partial(
            workbook, ["question", "answer"], ["Is it open?", "#N/A"], ["Is it far?", "It is a short walk."]
        ),
    ),
    Shape(
        "formula.xlsx",
        "Excel: a formula without a result",
        (FAR,),
        {1: "a formula whose result is not in the file"},
        make=partial(
            workbook, ["question", "answer"], ["Is it open?", "=A1"], ["Is it far?", "It is a short walk."]
        ),
    ),
    Shape(
        "same_name_twice.xlsx",
        "Excel: the same name twice",
        refused=("“answer” or “answer (3)”",),
        make=partial(workbook, ["question", "answer", "answer"], ["Is it open?", "Yes, it is.", "No."]),
    ),
    # --- Parquet
    Shape(
        "system.parquet",
        "Parquet with instructions",
        (qa("Is it open?", "It opens at ten.", "Be brief."),),
        make=partial(parquet, system=["Be brief."], question=["Is it open?"], answer=["It opens at ten."]),
    ),
    Shape(
        "turns.parquet",
        "Parquet with one turn in each row",
        (OPEN,),
        make=partial(
            parquet,
            conversation_id=[1, 1],
            role=["user", "assistant"],
            content=["Is it open?", "It opens at ten."],
        ),
    ),
    Shape(
        "history.parquet",
        "Parquet with a history",
        ((*FAR, *OPEN),),
        make=partial(
            parquet,
            history=[[["Is it far?", "It is a short walk."]]],
            question=["Is it open?"],
            answer=["It opens at ten."],
        ),
    ),
    Shape(
        "choices.parquet",
        "Parquet with choices and an index",
        refused=("only “1”", "choices"),
        make=partial(parquet, question=["Which floats?"], choices=[["Stone", "Cork"]], answer=[1]),
    ),
)
