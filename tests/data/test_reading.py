"""Every format and every way in which a file can be odd: each row used, or refused by its number."""

import csv
import datetime
import io
import json
from pathlib import Path

import docx
import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sails.data import ColumnMapping, Reading, assess
from sails.data.formats.detect import FORMATS
from sails.data.formats.source import Refusal
from sails.data.reading import parse as read
from sails.errors import ConversationFileError

PAIRS = [
    ("What is Python?", "A language."),
    ("¿Qué es «pip»?", "Un programa; instala paquetes.\nY más, 日本 🙂"),
]
RECORDS = [{"input": question, "output": answer} for question, answer in PAIRS]


@pytest.fixture
def reading(tmp_path):
    """Write a file and read it."""

    def read_content(
        content: str | bytes, name: str = "file.json", mapping: ColumnMapping | None = None
    ) -> Reading:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path, mapping)

    return read_content


def pairs(reading: Reading) -> list[tuple[str, str]]:
    return [(conversation.input, conversation.output) for conversation in reading.conversations]


def numbers(reading: Reading) -> list[int]:
    return [conversation.row for conversation in reading.conversations]


def json_lines(records: list[object]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def table(rows: list[tuple[str, ...]], delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


def workbook(*sheets: list[tuple[object, ...]]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file.getvalue()


def parquet(columns: dict[str, list[object]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def arrow(columns: dict[str, list[object]]) -> bytes:
    file, table = io.BytesIO(), pyarrow.table(columns)
    with pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    return file.getvalue()


def document(rows: list[tuple[str, ...]]) -> bytes:
    word, file = docx.Document(), io.BytesIO()
    table = word.add_table(0, len(rows[0]))
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    word.save(file)
    return file.getvalue()


# ---- formats --------------------------------------------------------------------------------------

CSV_ROWS = [("input", "output"), *PAIRS]
FILES = {
    "list.json": (json.dumps(RECORDS, indent=2), "json"),
    "lines.jsonl": (json_lines(RECORDS), "jsonl"),
    "lines_called.json": (json_lines(RECORDS), "jsonl"),
    "list_called.jsonl": (json.dumps(RECORDS), "json"),
    "object.json": (json.dumps({"version": 1, "data": RECORDS}), "json"),
    "other_object.json": (json.dumps({"my rows": RECORDS}), "json"),
    "commas.csv": (table(CSV_ROWS), "csv"),
    "semicolons.csv": (table(CSV_ROWS, ";"), "csv"),
    "bars.txt": (table(CSV_ROWS, "|"), "csv"),
    "tabs.tsv": (table(CSV_ROWS, "\t"), "tsv"),
    "tabs_called.csv": (table(CSV_ROWS, "\t"), "tsv"),
    "old_mac_lines.csv": ("input,output\r" + table(PAIRS).replace("\r\n", "\r"), "csv"),
    "book.xlsx": (workbook(CSV_ROWS), "xlsx"),
    "table.parquet": (parquet({"input": [q for q, _ in PAIRS], "output": [a for _, a in PAIRS]}), "parquet"),
    "book_without_suffix": (workbook(CSV_ROWS), "xlsx"),
    "list.yaml": (json.dumps(RECORDS, ensure_ascii=False), "yaml"),
    "text.txt": (f"Q: {PAIRS[0][0]}\nA: {PAIRS[0][1]}\n\nQ: {PAIRS[1][0]}\nA: {PAIRS[1][1]}\n", "text"),
    "document.docx": (document(CSV_ROWS), "docx"),
    "columns.arrow": (arrow({"input": [q for q, _ in PAIRS], "output": [a for _, a in PAIRS]}), "arrow"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_conversations(reading, name):
    content, kind = FILES[name]
    result = reading(content, name)
    assert pairs(result) == PAIRS
    rows = [1, 4] if kind == "text" else [1, 2]  # a text is counted in lines
    assert (result.format, numbers(result), result.refused) == (kind, rows, ())


def test_every_known_format_is_tried_and_in_the_manual():
    manual = (Path(__file__).parents[2] / "docs" / "CONTINUOUS_TRAINING.md").read_text(encoding="utf-8")
    for known in FORMATS:
        assert any(name.endswith(known.suffixes) for name in FILES), known
        assert all(title.partition(" (")[0] in manual for title in known.titles), known


@pytest.mark.parametrize("name", FILES)
def test_content_in_memory_is_read_as_the_file_would_be(reading, tmp_path, name):
    content = FILES[name][0]
    raw = content.encode() if isinstance(content, str) else content
    assert read(tmp_path / "nowhere" / name, content=raw) == reading(content, name)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32-le"),
    ],
)
def test_unicode_is_read_with_and_without_a_mark(reading, suffix, encoding, said):
    content = {"jsonl": json_lines(RECORDS), "json": json.dumps(RECORDS), "csv": table(CSV_ROWS)}[suffix]
    result = reading(content.encode(encoding), f"file.{suffix}")
    assert pairs(result) == PAIRS
    assert (result.encoding, result.notes) == (said, ())


def test_utf_16_without_a_mark_is_recognised_in_any_script(reading):
    records = [{"input": "日本の首都はどこですか。", "output": "東京です。" * 40}]
    for encoding in ("utf-16-le", "utf-16-be"):
        assert reading(json_lines(records).encode(encoding)).conversations[0].output == "東京です。" * 40


def test_windows_1252_is_accepted_and_said(reading):
    result = reading(
        "question;answer\nWo ist das Café?\t;Gleich „über“ der Straße – links.\n".encode("cp1252"), "a.csv"
    )
    assert pairs(result) == [("Wo ist das Café?", "Gleich „über“ der Straße – links.")]
    assert result.encoding == "windows-1252"
    assert "Windows-1252" in result.notes[0]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Привет, как дела?"),
        ("koi8-r", "Привет, как дела?"),
        ("cp1253", "Καλημέρα, τι κάνεις;"),
        ("cp1255", "שלום עולם"),
        ("cp1256", "مرحبا بالعالم"),
        ("shift-jis", "日本語、東京。大阪"),
        ("gb18030", "中国的首都是哪里"),
        ("euc-kr", "한국의 수도는 서울"),
    ],
)
def test_other_old_encodings_are_refused_and_not_read_as_rubbish(reading, encoding, text):
    rows = [{"input": text, "output": text, "timestamp": "2026-01-01T00:00:00", "channel": "helpdesk"}]
    with pytest.raises(ConversationFileError, match="encoding") as refused:
        reading((json_lines(RECORDS[:1]) * 3000 + json_lines(rows)).encode(encoding), "old.jsonl")
    assert "UTF-8" in refused.value.remedy


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_damaged_byte_costs_only_its_row(reading, mark):
    lines = json_lines([{"input": "Où?", "output": "Là-bas."}, {"input": "Qué?", "output": "Nada más."}])
    result = reading(mark + lines.encode().replace(b"Nada", b"N\xffda"), "file.jsonl")
    assert pairs(result) == [("Où?", "Là-bas.")]
    assert result.refused == (Refusal(2, "the answer (“output”) holds broken characters"),)
    assert "Bytes that are not UTF-8: 1" in result.notes[0]


# ---- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("question", "answer"),
        ("prompt", "completion"),
        ("prompt", "response"),
        ("input", "output"),
        ("user", "assistant"),
        ("instruction", "output"),
        (" Question", "ANSWER "),
    ],
)
def test_the_usual_columns_are_recognised(reading, question, answer):
    content = json.dumps([{"id": 7, question: "Why?", answer: "Because."}])
    result = reading(content)
    assert pairs(result) == [("Why?", "Because.")]
    assert (result.mapping.input, result.mapping.output) == (question, answer)
    assert result.columns == ("id", question, answer)
    assert result.conversations[0].extra == {"id": 7}


def test_alpaca_rows_join_instruction_and_input_where_there_is_one(reading):
    rows = [
        {"instruction": "Add.", "input": "2 and 2", "output": "4"},
        {"instruction": "Greet.", "input": "", "output": "Hello!"},
        {"instruction": "Wave.", "input": None, "output": "👋 Hi!"},
        {"instruction": "Leave.", "output": "Bye!"},
    ]
    result = reading(json.dumps(rows))
    assert pairs(result) == [
        ("Add.\n\n2 and 2", "4"),
        ("Greet.", "Hello!"),
        ("Wave.", "👋 Hi!"),
        ("Leave.", "Bye!"),
    ]
    assert result.mapping == ColumnMapping("instruction", "output", "input")


@pytest.mark.parametrize("name", ["rows.csv", "rows.xlsx", "rows.parquet", "rows.json"])
def test_a_mapping_names_columns_of_any_name(reading, name):
    rows = [("Nr", "Frage", "Antwort", "Thema"), ("1", "Was ist das?", "Ein Test.", "Probe")]
    content = {
        "rows.csv": table(rows),
        "rows.xlsx": workbook(rows),
        "rows.parquet": parquet({column: [value] for column, value in zip(*rows, strict=True)}),
        "rows.json": json.dumps([dict(zip(*rows, strict=True))]),
    }[name]
    result = reading(content, name, ColumnMapping("frage", "ANTWORT", "Thema"))
    assert pairs(result) == [("Was ist das?\n\nProbe", "Ein Test.")]
    assert result.conversations[0].extra == {"Nr": "1"}


@pytest.mark.parametrize("name", ["rows.csv", "rows.json"])
def test_unknown_columns_are_named_with_what_is_needed_and_the_way_out(reading, name):
    content = "Ticket,Info\nWas?,Das.\n" if name == "rows.csv" else '[{"Ticket": "Was?", "Info": "Das."}]'
    with pytest.raises(ConversationFileError) as refused:
        reading(content, name)
    options = ("--question-column", "--answer-column", "--system-column")
    for word in ("“Ticket”", "“Info”", "“input”", "“output”", "page Data", *options):
        assert word in refused.value.sentence


def test_a_mapping_to_a_column_that_is_not_there_is_refused_whole(reading):
    for mapping in (ColumnMapping("question", "reply"), ColumnMapping("question", "answer", "topic")):
        with pytest.raises(ConversationFileError, match="“question”, “answer”"):
            reading("question,answer\nq,a\n", "rows.csv", mapping)


def test_other_fields_are_kept_as_json_can_hold_them(reading):
    extra = {"timestamp": "2026-01-01T00:00:00", "tags": ["a", {"b": None}], "score": 0.5}
    result = reading(json.dumps([{**RECORDS[0], **extra}, {**RECORDS[1], "x": float("nan")}]))
    assert result.conversations[0].to_json() == {**RECORDS[0], **extra}
    assert result.conversations[1].extra == {"x": None}


def test_dates_and_numbers_in_a_workbook_become_text(reading):
    moment = datetime.datetime(2026, 1, 2, 3, 4)
    rows = [
        ("question", "answer", "when"),
        ("How many?", 4, moment),
        ("Pi?", 3.14, None),
        ("When?", moment.date(), None),
    ]
    result = reading(workbook(rows), "rows.xlsx")
    assert [answer for _, answer in pairs(result)] == ["4", "3.14", "2026-01-02"]
    assert [row.extra for row in result.conversations] == [{"when": "2026-01-02 3:04:00"}, {}, {}]


def test_the_first_sheet_with_rows_is_read_and_the_others_are_mentioned(reading):
    result = reading(workbook([], [("input", "output"), ("q", "a")], [("x",)]), "book.xlsx")
    assert pairs(result) == [("q", "a")]
    assert "of 3" in result.notes[0]


# ---- single rows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "text"), [(4, "4"), (4.0, "4"), (0.5, "0.5"), (True, "true"), (" Yes.\n", "Yes."), (0, "0")]
)
def test_numbers_become_text_and_space_around_goes(reading, answer, text):
    assert pairs(reading(json.dumps([{"input": "q", "output": answer}]))) == [("q", text)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"input": "q", "output": None}, "the answer (“output”) is empty"),
        ({"input": "q", "output": " \n "}, "the answer (“output”) is empty"),
        ({"input": "", "output": "a"}, "the question (“input”) is empty"),
        ({"input": "q", "output": ["a"]}, "the answer (“output”) is a list, not text"),
        ({"input": {"text": "q"}, "output": "a"}, "the question (“input”) is a record, not text"),
        ({"input": "q", "output": "\ud83d"}, "the answer (“output”) holds broken characters"),
        ({"input": "q"}, "lacks the column of the question or that of the answer"),
        ("just text", "is a text, not a record with named fields"),
        (None, "is empty, not a record with named fields"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_by_its_number(reading, row, reason):
    result = reading(json.dumps([RECORDS[0], row, RECORDS[1]]))
    assert result.refused == (Refusal(2, reason),)
    assert numbers(result) == [1, 3]


def test_control_characters_are_taken_out_and_said(reading):
    result = reading('{"input": "a\\u0000b", "output": "c\x00\\u0007d\\te\\nf"}\n' * 2, "file.jsonl")
    assert pairs(result)[0] == ("ab", "cd\te\nf")
    assert result.notes == ("Control characters were removed in 2 rows.",)


def test_code_keeps_its_indentation(reading):
    code = "\n\n    def f():\n        return 1\n"
    assert (
        pairs(reading(json.dumps([{"input": "q", "output": code}])))[0][1] == "    def f():\n        return 1"
    )


def test_very_long_rows_are_fine(reading):
    long = "A long answer. " * 100_000
    rows = [("input", "output"), ("q", long)]
    assert pairs(reading(table(rows), "rows.csv")) == [("q", long.strip())]
    assert pairs(reading(json_lines([{"input": "q", "output": long}]), "rows.jsonl")) == [("q", long.strip())]


def test_duplicates_are_counted_and_kept(reading):
    result = reading(json.dumps([*RECORDS, {"input": "WHAT is  python?", "output": "A language."}]))
    assert (result.duplicates, len(result.conversations)) == (1, 3)


# ---- damaged files --------------------------------------------------------------------------------


def test_json_lines_are_numbered_by_line_and_a_broken_one_costs_only_itself(reading):
    lines = ['{"input": "a", "output": "1"}', "", '{"input": "b", "outp', '{"input": "c", "output": "3"}']
    for name in ("file.jsonl", "file.json"):
        result = reading("\n".join(lines), name)
        assert (numbers(result), [refusal.row for refusal in result.refused]) == ([1, 4], [3])
        assert "not whole JSON" in result.refused[0].reason


def test_json_lines_may_hold_rare_line_separators(reading):
    result = reading(json_lines([{"input": "a\u2028b\x85c", "output": "d\u2029e"}] * 2), "file.jsonl")
    assert pairs(result)[0] == ("a\u2028bc", "d\u2029e")


@pytest.mark.parametrize("indent", [None, 1])
def test_json_cut_short_says_at_which_line(reading, indent):
    text = json.dumps([{"input": f"q{number}", "output": "a"} for number in range(9)], indent=indent)
    with pytest.raises(ConversationFileError, match=f"at line {text[:-20].count(chr(10)) + 1}"):
        reading(text[:-20])


def test_csv_rows_are_counted_without_the_header_and_with_blank_rows(reading):
    result = reading('question,answer\nq1,a1\n\nq3,"a, 3"\n,\nq5\n', "rows.csv")
    assert numbers(result) == [1, 3]
    assert result.refused == (Refusal(5, "the answer (“answer”) is empty"),)


def test_csv_with_wrong_quotation_marks_names_the_rows_that_are_lost(reading):
    rows = ['"q1","She said "no" twice"', "q2,a2", "q3,one, two", '"q4, a4', "q5,a5", "q6,a6"]
    result = reading("question,answer\n" + "\n".join(rows) + "\n", "rows.csv")
    assert pairs(result) == [("q2", "a2")]
    assert [refusal.row for refusal in result.refused] == [1, 3, 4]
    reasons = [refusal.reason for refusal in result.refused]
    assert "doubled" in reasons[0]
    assert "3 cells where 2 columns" in reasons[1]
    assert "never closes (3 lines are lost with it)" in reasons[2]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "file.json", "is empty"),
        (b" \n\t\n", "file.csv", "is empty"),
        (b"\xef\xbb\xbf", "file.jsonl", "is empty"),
        (b"[]", "file.json", "no conversations"),
        (b"{}", "file.json", "can be used"),
        (b"input,output\n", "file.csv", "no rows"),
        (b"7", "file.json", "single value"),
        (b"nonsense", "file.json", "at line 1"),
        (bytes(range(256)) * 20, "file.csv", "not a text file"),
        (bytes(1000), "file.txt", "not a text file"),
        (b"\xff\xfe[\x00\x00", "file.json", "damaged"),
        (b"%PDF-1.7", "file.csv", "a PDF"),
        (b"\x1f\x8b\x08", "file.jsonl", "compressed"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "file.xlsx", "old Excel"),
        (b"PK\x03\x04 and no more", "file.xlsx", "Excel workbook"),
        (b"PAR1 and no more PAR1", "file.parquet", "Parquet"),
        (b"[" * 100_000, "file.json", "cut short"),
        (b'{"input": ' + b"9" * 5000 + b"}", "file.json", "cut short"),
        (b'[{"input": "q", "output": ""}]', "file.json", "row 1: the answer"),
    ],
)
def test_a_file_with_nothing_usable_is_refused_whole_with_a_remedy(reading, content, name, message):
    with pytest.raises(ConversationFileError, match=message) as refused:
        reading(content, name)
    assert refused.value.remedy


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ConversationFileError, match="no file"):
        read(tmp_path / "gone.json")
    with pytest.raises(ConversationFileError, match="is a folder"):
        read(tmp_path)


# ---- chats ----------------------------------------------------------------------------------------


def chat(*turns: tuple[str, object]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def test_chats_keep_their_turns_and_their_system_turn(reading):
    turns = [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello!"),
        ("user", "Why?"),
        ("assistant", "So."),
    ]
    result = reading(json.dumps([{**chat(*turns), "id": 1}]))
    assert result.conversations[0].messages() == chat(*turns)["messages"]
    assert (result.mapping, result.conversations[0].extra) == (None, {"id": 1})


def test_chats_with_from_and_value_are_read(reading):
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]
    expected = [("system", "s"), ("user", "u"), ("assistant", "a")]
    for content in ([{"conversations": turns}], {"conversations": turns}, turns, [turns], {"data": [turns]}):
        spoken = reading(json.dumps(content)).conversations[0].turns
        assert [(turn.role, turn.content) for turn in spoken] == expected


def test_chats_are_read_from_tables(reading):
    turns = [("user", "u"), ("assistant", "a")]
    cell = json.dumps(chat(*turns)["messages"])
    assert pairs(reading(table([("id", "messages"), ("1", cell)]), "rows.csv")) == [("u", "a")]
    assert pairs(reading(parquet({"messages": [chat(*turns)["messages"]]}), "rows.parquet")) == [("u", "a")]


def test_content_in_parts_is_joined(reading):
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert pairs(reading(json.dumps([chat(("user", parts), ("assistant", "a"))]))) == [("onetwo", "a")]


def test_a_last_turn_without_an_answer_is_left_out_and_said(reading):
    result = reading(json.dumps([chat(("user", "u"), ("assistant", "a"), ("user", "and?"))]))
    assert pairs(result) == [("u", "a")]
    assert result.notes == ("A last turn without an answer was left out in 1 row.",)


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (chat(("user", "u")), "holds no answer"),
        (chat(), "holds no question"),
        (chat(("system", "s")), "holds no question"),
        (chat(("assistant", "a"), ("user", "u")), "holds no answer"),
        (chat(("system", "s"), ("assistant", "a")), "holds no question"),
        (chat(("user", "u"), ("assistant", "")), "turn 2 is empty"),
        (chat(("user", "u"), ("assistant", None)), "turn 2 is empty"),
        (
            chat(("user", [{"type": "image_url"}]), ("assistant", "a")),
            "turn 1 holds something that is not text",
        ),
        (chat(("cat", "miaow"), ("assistant", "a")), "turn 1 has the unknown role “cat”"),
        ({"messages": [{"content": "u"}]}, "turn 1 has no role"),
        ({"messages": ["u", "a"]}, "turn 1 is a text, not a record with a role and a text"),
        ({"messages": [chat(("user", "u"))["messages"][0], CALL]}, "calls a tool"),
        (chat(("user", "u"), ("tool", "x"), ("assistant", "a")), "calls a tool"),
    ],
)
def test_a_chat_that_cannot_be_taught_is_refused_by_its_number(reading, row, reason):
    result = reading(json.dumps([RECORDS[0], row]))
    assert [refusal.row for refusal in result.refused] == [2]
    assert result.refused[0].reason.startswith(reason)


def test_refused_tool_calls_are_said_once_for_the_file(reading):
    rows = [RECORDS[0], chat(("user", "u"), ("tool", "x"), ("assistant", "a"))]
    said = "Tools are called in a way that cannot be taught; refused in 1 row."
    assert reading(json.dumps(rows)).notes == (said,)


def called(**call):
    return {"role": "assistant", "content": None, "tool_calls": [call]}


TIDE = {"name": "tide", "arguments": '{"port": "Kiel", "day": 2}'}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "9:40"}
ASKED, SAID = {"role": "user", "content": "When?"}, {"role": "assistant", "content": "At 9:40."}


def test_calls_of_tools_are_kept_with_what_came_of_them(reading):
    tools = [{"type": "function", "function": {"name": "tide", "parameters": {}}}]
    turns = [ASKED, called(id="c1", type="function", function=TIDE), RESULT, RESULT, SAID]
    result = reading(json.dumps([{"messages": turns, "tools": tools}]))
    (row,) = result.conversations
    call = {"type": "function", "function": {"name": "tide", "arguments": {"port": "Kiel", "day": 2}}}
    assert row.messages() == [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", **call}]},
        RESULT,
        RESULT,
        SAID,
    ]
    assert (row.tools, row.learned) == (tools, (True, True))
    assert result.understood == "conversations = messages, tools = tools"
    assert assess(result.conversations).score == 1


@pytest.mark.parametrize(
    "call",
    [
        called(name="tide", args={"port": "Kiel", "day": 2}),  # as LangChain has it
        {"role": "assistant", "content": "", "function_call": TIDE},  # as OpenAI had it first
        {"role": "function_call", "content": json.dumps(TIDE)},
    ],
)
def test_calls_are_read_as_programs_write_them(reading, call):
    (row,) = reading(json.dumps([{"messages": [ASKED, call, RESULT, SAID]}])).conversations
    (found,) = row.turns[1].calls
    assert found["function"] == {"name": "tide", "arguments": {"port": "Kiel", "day": 2}}


PORT = {"port": "Kiel", "day": 2}
GOOGLES = {"name": "tide", "args": PORT}
PARTED = [
    [  # as Anthropic has it
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "c1", "name": "tide", "input": PORT},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "9:40"}]},
        SAID,
    ],
    [  # as Claude exports it: all in one turn
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "name": "tide", "input": PORT},
                {"type": "tool_result", "name": "tide", "content": [{"type": "text", "text": "9:40"}]},
                {"type": "text", "text": "At 9:40."},
            ],
        }
    ],
    [  # as Amazon has it
        {
            "role": "assistant",
            "content": [
                {"text": "Let me see."},
                {"toolUse": {"toolUseId": "c1", "name": "tide", "input": PORT}},
            ],
        },
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "9:40"}]}}]},
        {"role": "assistant", "content": [{"text": "At 9:40."}]},
    ],
    [  # as Google has it
        {
            "role": "model",
            "parts": [{"text": "Let me see."}, {"functionCall": {"name": "tide", "args": PORT}}],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "tide", "response": "9:40"}}]},
        {"role": "model", "parts": [{"text": "At 9:40."}]},
    ],
]


@pytest.mark.parametrize("turns", PARTED)
def test_calls_among_the_parts_of_a_turn_are_turns(reading, turns):
    (row,) = reading(json.dumps([{"messages": [ASKED, *turns]}])).conversations
    assert [(turn.role, turn.content) for turn in row.turns[1:]] == [
        ("assistant", "Let me see."),
        ("tool", "9:40"),
        ("assistant", "At 9:40."),
    ]
    (found,) = row.turns[1].calls
    assert found["function"] == {"name": "tide", "arguments": PORT}


def test_what_chatgpt_asked_of_tools_is_kept_with_what_they_returned(reading):
    def message(role, content, recipient="all", name=None):
        author = {"role": role, "name": name}
        return {"author": author, "content": content, "recipient": recipient}

    said = [
        message("user", {"content_type": "text", "parts": ["2 + 2?"]}),
        message("assistant", {"content_type": "code", "text": "print(2 + 2)"}, recipient="python"),
        message("tool", {"content_type": "execution_output", "text": ""}, name="python"),
        message("assistant", {"content_type": "code", "text": '{"query": "sum"}'}, recipient="web"),
        message("tool", {"content_type": "tether_browsing_display", "result": "4"}, name="web"),
        message("assistant", {"content_type": "text", "parts": ["4."]}),
    ]
    nodes = {str(n): {"parent": str(n - 1) if n else None, "message": one} for n, one in enumerate(said)}
    (row,) = reading(json.dumps([{"mapping": nodes, "current_node": "5"}])).conversations
    assert [(turn.role, turn.content) for turn in row.turns] == [
        ("user", "2 + 2?"),
        ("assistant", ""),
        ("tool", ""),
        ("assistant", ""),
        ("tool", "4"),
        ("assistant", "4."),
    ]
    called = [call["function"] for turn in row.turns for call in turn.calls]
    assert called == [
        {"name": "python", "arguments": {"input": "print(2 + 2)"}},
        {"name": "web", "arguments": {"query": "sum"}},
    ]


@pytest.mark.parametrize(
    "turns",
    [
        [ASKED, called(function=TIDE), SAID],  # what came of it is missing
        [ASKED, called(function=TIDE), ASKED, SAID],
        [ASKED, SAID, RESULT, SAID],
        [RESULT, ASKED, SAID],
        [ASKED, called(function={"name": "tide", "arguments": "not json"}), RESULT, SAID],
        [ASKED, called(function={"arguments": {}}), RESULT, SAID],
        [ASKED, called(type="web_search"), RESULT, SAID],
        [{**ASKED, "tool_calls": [{"function": TIDE}]}, RESULT, SAID],
        [ASKED, {"role": "assistant", "content": [{"type": "tool_use", "input": {}}]}, RESULT, SAID],
    ],
)
def test_a_call_that_is_not_whole_is_refused(reading, turns):
    result = reading(json.dumps([RECORDS[0], {"messages": turns}]))
    assert [refusal.reason for refusal in result.refused] == ["calls a tool in a way that cannot be taught"]


def test_a_conversation_may_end_with_a_call_and_is_no_empty_answer(reading):
    rows = [
        {"messages": [ASKED, called(function=TIDE)]},
        {"messages": [ASKED, called(function=TIDE), RESULT]},
    ]
    result = reading(json.dumps(rows))
    assert [row.output for row in result.conversations] == [
        '{"name": "tide", "arguments": {"port": "Kiel", "day": 2}}'
    ] * 2
    assert assess(result.conversations).valid == 2


# ---- anything at all ------------------------------------------------------------------------------

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".xlsx", ".parquet", "")
GOOD_FILES = [content.encode() if isinstance(content, str) else content for content, _ in FILES.values()]


@st.composite
def damaged_files(draw):
    """A good file with a piece cut out, and something else put there."""
    content = draw(st.sampled_from(GOOD_FILES))
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 40)))
    return content[:start] + draw(st.binary(max_size=20)) + content[end:]


TOKENS = ['"', "{", "}", "[", "]", ",", ":", "\n", "\\ud800", "input", "output", "role", "1e999", "null"]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.binary(max_size=300)
    | damaged_files()
    | st.lists(st.sampled_from(TOKENS)).map("".join).map(str.encode),
    suffix=st.sampled_from(SUFFIXES),
)
@example(content=b"PK\x03\x04", suffix=".xlsx")
@example(content=b'input,output\n"', suffix=".csv")
@example(content=b'[{"input":"q","output":"a","x":' + b"[" * 400 + b"]" * 400 + b"}]", suffix=".json")
def test_no_file_of_whatever_bytes_shows_a_stack_trace(tmp_path_factory, content, suffix):
    path: Path = tmp_path_factory.mktemp("any") / f"file{suffix}"
    path.write_bytes(content)
    try:
        result = read(path)
    except ConversationFileError as error:
        shown = [str(error), error.remedy]
    else:
        shown = [*result.columns, *result.notes, *(refusal.reason for refusal in result.refused)]
        shown += [json.dumps(row.to_json(), ensure_ascii=False) for row in result.conversations]
    assert all(shown)
    "".join(shown).encode()  # every sentence can be shown, and every row saved


def test_rows_that_reply_to_each_other_share_the_turns_that_they_have_in_common():
    rows = "".join(f"{n},{n - 1 if n % 4 else ''},Question {n}?,Answer {n}.\n" for n in range(8))
    reading = read("chains.csv", content=f"id,parent_id,question,answer\n{rows}".encode())
    assert [len(row.turns) for row in reading.conversations] == [2, 4, 6, 8] * 2
    second, third = reading.conversations[2].turns, reading.conversations[3].turns
    assert all(one is other for one, other in zip(second[:4], third, strict=False))
    assert [turn.learned for turn in third] == [True, False, True, False, True, False, True, True]


def test_rows_that_reply_to_one_that_cannot_be_taught_are_refused_with_it():
    reading = read(
        "x.csv", content=b"id,parent_id,question,answer\n1,,Tea?,Yes.\n2,1,Green?,\n3,2,Cup?,Two.\n"
    )
    assert [row.row for row in reading.conversations] == [1]
    assert [(one.row, one.reason) for one in reading.refused] == [
        (2, "the answer (“answer”) is empty"),
        (3, "turn 4 is empty"),
    ]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"inputs": {"question": "Hi"}, "outputs": {"answer": "Hello"}}, ["Hi", "Hello"]),
        ({"id": 1, "data": {"question": "Hi", "answer": "Hello"}}, ["Hi", "Hello"]),
        ({"body": {"messages": chat(("user", "Hi"), ("assistant", "Hello"))["messages"]}}, ["Hi", "Hello"]),
        ({"messages": chat(("user", "Hi"))["messages"], "response": "Hello"}, ["Hi", "Hello"]),
        ({"prompt": "Hi", "response": "Hello", "context": [1, 2]}, ["Hi", "Hello"]),
        ({"question": "Hi", "answer": "Hello", "meta": {"prompt": "x"}}, ["Hi", "Hello"]),
    ],
)
def test_a_question_and_its_answer_are_found_where_logs_and_tools_put_them(reading, record, said):
    (row,) = reading(json.dumps([record])).conversations
    assert [turn.content for turn in row.turns] == said


def test_what_a_model_had_in_mind_is_named_as_not_taught(reading):
    result = reading(json.dumps([{"prompt": "Hi", "response": "Hello", "context": [1, 2]}]))
    assert result.understood == "question = prompt, answer = response; not taught: context"


def test_calls_that_are_written_into_an_answer_are_calls(reading):
    call = "Let me see.\n<tool_call>\n" + json.dumps({"name": "tide", "arguments": PORT}) + "\n</tool_call>"
    turns = [ASKED, {"role": "assistant", "content": call}]
    turns += [{"role": "tool", "content": "<tool_response>\n9:40\n</tool_response>"}, SAID]
    (row,) = reading(json.dumps([{"messages": turns}])).conversations
    assert [turn.content for turn in row.turns] == ["When?", "Let me see.", "9:40", "At 9:40."]
    assert row.turns[1].calls[0]["function"] == {"name": "tide", "arguments": PORT}


def test_a_row_that_rests_on_a_picture_is_refused(reading):
    record = {"image": "a.png", "question": "<image>\nWhat is it?", "answer": "A lamp."}
    result = reading(
        json.dumps([RECORDS[0], record, {"image": "a.png", "question": "Hi", "answer": "Hello"}])
    )
    assert [(one.row, one.reason) for one in result.refused] == [
        (2, "rests on a picture or recording, which no text model sees")
    ]


def test_people_of_a_table_with_a_name_for_each_conversation_are_asked_about():
    content = b"chat,name,text\n1,Eva,Hi\n1,Max,Hello\n1,Eva,More\n1,Max,Ok\n"
    with pytest.raises(ConversationFileError, match="which one is the assistant"):
        read("people.csv", content=content)
    (row,) = read("people.csv", content=content, assistant="Max").conversations
    assert [turn.role for turn in row.turns] == ["user", "assistant"] * 2


def test_who_answers_is_known_where_all_are_called_by_what_they_do():
    reading = read("chat.txt", content=b"Kunde: Hi\nBerater: Hello\nKunde: More\nBerater: Ok\n")
    (row,) = reading.conversations
    assert [turn.role for turn in row.turns] == ["user", "assistant"] * 2
    assert any("Berater" in note and "gives the answers" in note for note in reading.notes)


def test_questions_in_groups_are_conversations_of_their_own(reading):
    pairs = [{"q": "Hi", "a": "Hello"}, {"q": "Tea?", "a": "Green."}]
    result = reading(json.dumps([{"topic": "shop", "qa": pairs}, {"topic": "more", "qa": pairs[:1]}]))
    assert [(row.input, row.output) for row in result.conversations] == [
        ("Hi", "Hello"),
        ("Tea?", "Green."),
        ("Hi", "Hello"),
    ]
    assert "Each question in “qa” became a row of its own." in result.notes
    lines = "".join(json.dumps({"topic": topic, "qa": pairs}) + "\n" for topic in "ab")
    with pytest.raises(ConversationFileError, match="several questions with their answers, “qa”"):
        read("groups.jsonl", content=lines.encode())
    (row,) = reading(json.dumps([{"topic": "shop", "chat": pairs}])).conversations
    assert len(row.turns) == 4


@pytest.mark.parametrize(
    ("chat_name", "role", "said", "user", "assistant"),
    [
        ("conversacion", "rol", "texto", "usuario", "asistente"),
        ("对话", "角色", "内容", "用户", "助手"),
        ("диалог", "роль", "текст", "пользователь", "ассистент"),
        ("gesprek", "rol", "tekst", "klant", "medewerker"),
    ],
)
def test_turns_are_known_in_other_languages(reading, chat_name, role, said, user, assistant):
    turns = [{role: user, said: "Hi"}, {role: assistant, said: "Hello"}]
    (row,) = reading(json.dumps([{chat_name: turns}])).conversations
    assert [(turn.role, turn.content) for turn in row.turns] == [("user", "Hi"), ("assistant", "Hello")]
    table = f"{chat_name},{role},{said}\n" + "".join(f"1,{turn[role]},{turn[said]}\n" for turn in turns)
    (row,) = read("turns.csv", content=table.encode()).conversations
    assert (row.input, row.output) == ("Hi", "Hello")


def test_a_table_of_numbers_is_no_table_of_questions():
    with pytest.raises(ConversationFileError, match="needs one for the question"):
        read("numbers.tsv", content=b"10\t20\n30\t40\n50\t60\n")
