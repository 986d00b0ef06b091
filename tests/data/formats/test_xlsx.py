"""Excel workbooks as Excel, LibreOffice and Google write them; openpyxl says what is stored."""

import datetime
import io
import zipfile

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

from sails.data.formats.source import Unshown
from sails.data.formats.xlsx import Sheet, Workbook
from sails.data.reading import UnknownColumns
from sails.data.reading import parse as read

TEXTS = st.text(max_size=20).filter(lambda text: not ILLEGAL_CHARACTERS_RE.search(text) and text[:1] != "=")
DATES = st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2100, 1, 1))
NUMBERS = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.booleans()
VALUES = st.none() | TEXTS | NUMBERS | DATES.map(lambda date: date.replace(microsecond=0))


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def book_of(*rows: list[object]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return book


def written_by_hand(cells: str, texts: str = "") -> bytes:
    """A workbook made of these pieces of XML, with paths as some programs write them."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def relations(**targets: str) -> str:
        links = "".join(
            f'<Relationship Id="{kind}" Type="{office}/{kind}" Target="{path}"/>'
            for kind, path in targets.items()
        )
        return f"<Relationships>{links}</Relationships>"

    sheets = f'<sheets xmlns:r="{office}"><sheet name="Data" sheetId="1" r:id="worksheet"/></sheets>'
    parts = {
        "_rels/.rels": relations(officeDocument="/xl/book.xml"),
        "xl/_rels/book.xml.rels": relations(worksheet="/xl/sheets/one.xml", sharedStrings="texts.xml"),
        "xl/book.xml": f"<workbook {main}>{sheets}</workbook>",
        "xl/sheets/one.xml": f"<worksheet {main}><sheetData>{cells}</sheetData></worksheet>",
        "xl/texts.xml": f"<sst {main}>{texts}</sst>",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def first_sheet(raw: bytes) -> Sheet:
    return next(iter(Workbook(raw, "book.xlsx").visible_sheets()), Sheet("", []))


def as_shown(value: object) -> str:
    """A stored value in the format that openpyxl gives it."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime.datetime):
        return f"{value:%Y-%m-%d} {value.hour}:{value:%M:%S}"
    return value if isinstance(value, str) else str(value)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=5), st.booleans())
def test_values_are_read_as_openpyxl_reads_them_and_shown(rows, since_1904):
    book = book_of(*rows)
    if since_1904:
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    raw = saved(book)
    right = openpyxl.load_workbook(io.BytesIO(raw)).active
    read = first_sheet(raw).rows
    for row, values in enumerate(read, 1):
        for column, value in enumerate(values, 1):
            expected = right.cell(row, column).value
            if isinstance(expected, int | float) and not isinstance(expected, bool):
                assert float(value) == pytest.approx(expected, rel=1e-14)
            elif isinstance(expected, datetime.datetime):
                expected = right.cell(row, column).value
                assert value in (as_shown(expected), as_shown(expected + datetime.timedelta(seconds=1)))
            else:
                assert value == (None if expected is None else as_shown(expected))
    assert sum(value is not None for row in read for value in row) == sum(
        cell.value is not None for row in right.iter_rows() for cell in row
    )


def test_blank_rows_and_cells_keep_their_place():
    book = openpyxl.Workbook()
    book.active["B2"], book.active["AA4"] = "here", "there"
    rows = first_sheet(saved(book)).rows
    assert rows == [[], [None, "here"], [], [*[None] * 26, "there"]]


def test_sheets_with_rows_that_a_person_sees_are_read():
    book = openpyxl.Workbook()
    book.create_sheet("Second").append(["x"])
    book.create_sheet("Hidden").append(["y"])
    book.create_sheet("Deep").append(["z"])
    book["Hidden"].sheet_state, book["Deep"].sheet_state = "hidden", "veryHidden"
    assert Workbook(saved(book), "book.xlsx").visible_sheets() == [Sheet("Second", [["x"]])]


def test_cells_merged_over_rows_have_their_text_in_each_and_hidden_rows_are_counted():
    book = book_of(["system", "question"], ["Be brief.", "a"], [None, "b"], [None, "c"], [None, "d"])
    book.active.merge_cells("A2:A4")
    book.active.row_dimensions[3].hidden = True
    rows = [["system", "question"], ["Be brief.", "a"], ["Be brief.", "b"], ["Be brief.", "c"], [None, "d"]]
    assert first_sheet(saved(book)) == Sheet("Sheet", rows, hidden_rows=1, merged=True)


def test_a_workbook_without_rows_has_none():
    assert first_sheet(saved(openpyxl.Workbook())).rows == []


def test_pieces_of_a_text_are_joined_without_its_pronunciation():
    pieces = "<r><t>東</t></r><r><rPr/><t xml:space='preserve'>京 </t></r><rPh><t>トウキョウ</t></rPh>"
    cells = '<c r="A1" t="s"><v>1</v></c><c r="B1" t="inlineStr"><is><t>a_x000D_</t></is></c>'
    raw = written_by_hand(f"<row>{cells}</row>", f"<si><t>no</t></si><si>{pieces}</si>")
    assert first_sheet(raw) == Sheet("Data", [["東京 ", "a\r"]])


def test_of_a_formula_the_last_value_is_read_and_what_cannot_be_shown_says_why():
    cells = (
        '<c t="str"><f>A2</f><v>text</v></c><c><f>1+1</f><v>2</v></c><c t="e"><v>#N/A</v></c>'
        '<c><f>1</f></c><c t="b"><v>1</v></c>'
    )
    (row,) = first_sheet(written_by_hand(f"<row>{cells}</row>")).rows
    assert (row[:2], row[4]) == (["text", "2"], "TRUE")
    assert (row[2], isinstance(row[2], Unshown)) == ("the error #N/A", True)
    assert "formula whose result is not in the file" in row[3]


@pytest.mark.parametrize(
    "cells",
    [
        '<row r="99999999999"><c><v>1</v></c></row>',
        '<row r="2"/><row r="1"/>',
        '<row><c r="ZZZZ1"><v>1</v></c></row>',
        '<row><c t="s"><v>7</v></c></row>',
        "<row><c><v>one</v></c></row>",
        "<row><c>",
    ],
)
def test_a_damaged_sheet_raises_instead_of_filling_the_memory(cells):
    with pytest.raises((ValueError, IndexError, SyntaxError)):
        first_sheet(written_by_hand(cells))


def test_two_columns_of_single_words_without_names_are_question_and_answer():
    raw = saved(book_of(["Haus", "house"], ["Baum", "tree"], ["Hund", "dog"]))
    reading = read("words.xlsx", content=raw)
    assert (reading.conversations[0].input, reading.conversations[0].output) == ("Haus", "house")
    assert len(reading.conversations) == 3
    assert any("The file names no columns" in note for note in reading.notes)


def test_single_words_that_look_like_names_are_asked_about():
    book = book_of(["Begriffe", "Info"], ["Haus", "house"], ["Hund", "dog"])
    assert "If its first row (“Begriffe”, “Info”) names them" in read("a.xlsx", content=saved(book)).notes[0]
    for cell in book.active[1]:
        cell.font = Font(bold=True)
    with pytest.raises(UnknownColumns, match="Begriffe"):
        read("a.xlsx", content=saved(book))


def test_a_title_above_columns_without_names_is_named_as_not_read():
    reading = read("words.xlsx", content=saved(book_of(["Unit 1"], ["Haus", "house"], ["Hund", "dog"])))
    assert len(reading.conversations) == 2
    assert any("What stands above line 2 was not read." in note for note in reading.notes)
