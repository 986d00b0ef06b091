"""The sheet with conversations of an Excel workbook (.xlsx), each cell as the sheet shows it.

Such a file is a zip of XML: a workbook lists the sheets, cells point to texts in a list of shared
strings and to styles, which say how a number is shown. No more of it is read than a table of conversations
needs: of a formula its last value, of the looks only the number format. openpyxl reads it all, gives stored
values, and takes four times as long for 100,000 rows; python-calamine 0.9 is short and fast, gives stored
values too, and a damaged sheet (row number 99999999999) ends the whole process, which would be the dashboard.

Damaged files raise whatever they happen to raise; `failing_as` turns it into a sentence.
"""

from __future__ import annotations

import io
import operator
import posixpath
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import IO, Any, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from sails.data.formats import archive
from sails.data.formats.number_format import BUILT_IN, general, shown
from sails.data.formats.source import (
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_ROWS,
    SAMPLE,
    Source,
    Unshown,
    failing_as,
    header_row,
    source_of_table,
    too_many_rows,
)
from sails.data.formats.text_encoding import printable
from sails.errors import ConversationFileError
from sails.system import count, listed

_LAST_ROW = 1_048_576  # Excel's own limit
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_REFERENCE = re.compile(r"\$?([A-Z]+)\$?(\d+)")
_NO_RESULT = "a formula whose result is not in the file (open it in Excel and save it again)"


class Sheet(NamedTuple):
    """A sheet's cells as texts, None between them; a blank row is empty."""

    title: str
    rows: list[list[str | None]]
    hidden_rows: int = 0
    merged: bool = False  # cells that span several rows have their text in each of them
    headed: bool = False  # its first row looks unlike the next one, or is set up to sort or filter by


class Workbook:
    """A workbook; raises ConversationFileError where its parts expand to too much."""

    def __init__(self, raw: bytes, name: str) -> None:
        self._name = name
        self._zip = zipfile.ZipFile(io.BytesIO(raw))
        self._expanded = self._cells = 0
        (path,) = self._related("", "officeDocument").values()
        book = ElementTree.fromstring(self._part(path).read())
        paths = self._related(path, "worksheet")
        self.sheets: list[tuple[str, str]] = []
        for sheet in book.iterfind("{*}sheets/{*}sheet"):
            relation = next((value for key, value in sheet.items() if key.endswith("}id")), "")
            if relation in paths and sheet.get("state", "visible") == "visible":
                self.sheets.append((sheet.get("name", ""), paths[relation]))
        self._texts: list[str] = []
        for shared in self._related(path, "sharedStrings").values():
            self._texts += map(_text, self._elements(shared, "si"))
        self._formats: dict[str, str] = {}  # codes by the number of the style; none where it is General
        for styles in self._related(path, "styles").values():
            self._formats |= _number_formats(ElementTree.fromstring(self._part(styles).read()))
        properties = book.find("{*}workbookPr")
        self._since_1904 = properties is not None and properties.get("date1904") in ("1", "true")

    def visible_sheets(self) -> list[Sheet]:
        """Return the sheets that a person sees and that hold something, in their order."""
        sheets = (self._sheet(title, path) for title, path in self.sheets)
        return [sheet for sheet in sheets if any(sheet.rows)]

    def _sheet(self, title: str, path: str) -> Sheet:
        rows: list[list[str | None]] = []
        hidden, filled, merged, headed = 0, 0, False, False
        looks: list[list[str]] = []
        for row in self._elements(path, "row", "mergeCell", "autoFilter", "tablePart"):
            if row.tag.endswith(("}autoFilter", "}tablePart")):
                headed = True
                continue
            if row.tag.endswith("}mergeCell"):  # these come after all rows
                merged |= _fill_down(rows, row.get("ref", ""))
                continue
            number = int(row.get("r") or len(rows) + 1)
            if not len(rows) < number <= _LAST_ROW:
                raise ValueError(f"row {number} after {len(rows)}")
            rows += [[] for _ in range(number - 1 - len(rows))]
            rows.append(self._values(row))
            filled += bool(rows[-1])
            if rows[-1] and len(looks) < 2:
                looks.append([cell.get("s", "0") for cell in row])
            if filled > MAX_ROWS + SAMPLE:
                raise too_many_rows(self._name)
            hidden += row.get("hidden") in ("1", "true") and bool(rows[-1])
        headed |= len(looks) > 1 and not any(map(operator.eq, *looks))
        return Sheet(title, rows, hidden, merged, headed)

    def _values(self, row: Element) -> list[str | None]:
        values: list[str | None] = []
        column = -1
        for cell in row:
            reference = cell.get("r")
            column = _column(reference.rstrip("0123456789")) if reference else column + 1
            value = self._value(cell)
            if value not in (None, ""):  # cells that are only coloured may go on to the last column
                values += [None] * (column - len(values))
                values.append(value)
        self._cells += max(len(row), len(values))
        if self._cells > MAX_CELLS:
            raise ConversationFileError(
                f"{self._name} has more than {MAX_CELLS:,} cells, with empty ones between others.",
                "Keep the columns of the question and the answer, beside each other, and save it again.",
            )
        return values

    def _value(self, cell: Element) -> str | None:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return "".join(map(_text, cell))
        written = next((child.text for child in cell if child.tag.endswith("}v")), None)
        if written is None:
            is_formula = any(child.tag.endswith("}f") for child in cell)
            return Unshown(_NO_RESULT) if is_formula and kind != "str" else None
        if kind == "s":
            return self._texts[int(written)]
        if kind == "b":
            return "TRUE" if written == "1" else "FALSE"
        if kind == "e":
            return Unshown(f"the error {written}")
        if kind != "n":
            return _unescaped(written)
        code = self._formats.get(cell.get("s", ""))
        if code is None:
            return general(float(written))
        return shown(float(written), code, since_1904=self._since_1904)

    def _related(self, path: str, kind: str) -> dict[str, str]:
        """The parts of one kind that belong to the part at `path`, by the name of their relation."""
        folder, name = posixpath.split(path)
        relations = ElementTree.fromstring(self._part(posixpath.join(folder, "_rels", f"{name}.rels")).read())
        base = posixpath.join("/", folder)
        return {
            relation.get("Id", ""): posixpath.normpath(posixpath.join(base, relation.get("Target", "")))[1:]
            for relation in relations
            if relation.get("Type", "").endswith(f"/{kind}")
        }

    def _part(self, path: str) -> IO[bytes]:
        self._expanded += self._zip.getinfo(path).file_size
        archive.check_size(self._expanded, self._name)
        return self._zip.open(path)

    def _elements(self, path: str, *names: str) -> Iterator[Element]:
        """Every element of these names, one at a time; what was used is let go."""
        endings = tuple(f"}}{name}" for name in names)
        with self._part(path) as file:
            for _, element in ElementTree.iterparse(file):
                if element.tag.endswith(endings):
                    yield element
                    element.clear()


def _text(item: Element) -> str:
    """A text in one piece or several, without the pronunciation that may stand beside Japanese ones."""
    pieces = [piece for piece in item if not piece.tag.endswith("}rPh")]
    texts = [text.text or "" for piece in pieces for text in piece.iter() if text.tag.endswith("}t")]
    return _unescaped("".join(texts))


def _unescaped(text: str) -> str:
    """Control characters and the like are written as `_x000D_`."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


def _number_formats(styles: Element) -> dict[str, str]:
    """The codes of number formats by the number of the cell style; none where it is a plain number."""
    codes = {str(number): code for number, code in BUILT_IN.items()}
    for own in styles.iterfind("{*}numFmts/{*}numFmt"):
        codes[own.get("numFmtId", "")] = own.get("formatCode", "")
    used = enumerate(styles.iterfind("{*}cellXfs/{*}xf"))
    formats = ((str(number), codes.get(style.get("numFmtId", ""), "")) for number, style in used)
    return {number: code for number, code in formats if code and code.lower() not in ("general", "@")}


def _fill_down(rows: list[list[str | None]], reference: str) -> bool:
    """Give each row of a merged cell its text; whether there was anything to give."""
    corners = _REFERENCE.findall(reference)
    if len(corners) != 2 or corners[0][1] == corners[1][1]:
        return False
    column, first, last = _column(corners[0][0]), int(corners[0][1]) - 1, int(corners[1][1])
    text = rows[first][column] if first < len(rows) and column < len(rows[first]) else None
    filled = [row for row in rows[first + 1 : last] if any(row)] if text else []
    for row in filled:
        row += [None] * (column + 1 - len(row))
        row[column] = row[column] or text
    return bool(filled)


@cache
def _column(letters: str) -> int:
    """The number of a column, from 0: A is 0, AA is 26."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    if not 0 < number <= MAX_COLUMNS:
        raise ValueError(f"column {letters}")
    return number - 1


def read_excel(raw: bytes, name: str) -> Source:
    with failing_as(name, "an Excel workbook"):
        workbook = Workbook(raw, name)
        sheets = workbook.visible_sheets()
    if not sheets:
        raise ConversationFileError(
            f"The sheets of {name} are empty; hidden ones are not read.",
            "Put the conversations into a sheet that can be seen, and save it.",
        )
    named = [sheet for sheet in sheets if header_row(_widened(sheet.rows)) is not None]
    sheet = (named or sheets)[0]
    rows = _widened(sheet.rows)
    notes = []
    if len(workbook.sheets) > 1:
        notes.append(f"Only the sheet “{printable(sheet.title)}” was read, of {len(workbook.sheets)}.")
    if others := [f"“{printable(other.title)}”" for other in named[1:]]:
        are = f"{listed(others)} {'names' if len(others) == 1 else 'name'} question and answer, too"
        notes.append(f"{are}: save what is to be learned from there as a file of its own.")
    if sheet.merged:
        notes.append("Cells that are merged over several rows were read as if their text stood in each row.")
    if sheet.hidden_rows:
        hidden = count(sheet.hidden_rows, "row")
        notes.append(f"The sheet hides {hidden} of those that were read.")
    source = source_of_table("xlsx", rows, name, unnamed_row="sentence" if sheet.headed else "any")
    return replace(source, notes=(*notes, *source.notes), size=len(rows))


def _widened(rows: Sequence[list[Any]]) -> list[list[Any]]:
    """The rows; the first are as wide as the widest, for cells beside the table are columns, too."""
    widest = max(map(len, rows), default=0)
    first = [row + [None] * (widest - len(row)) if row else row for row in islice(rows, SAMPLE)]
    return [*first, *rows[SAMPLE:]]
