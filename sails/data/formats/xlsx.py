"""The first sheet with rows of an Excel workbook (.xlsx), as plain values.

Such a file is a zip of XML: a workbook lists the sheets, cells point to texts in a list of shared
strings, styles say which numbers are dates. No more of it is read than a table of conversations
needs: of a formula its last value, and nothing of how a cell looks. openpyxl reads it all, and takes
four times as long for 100,000 rows; python-calamine 0.9 is short and fast, but a damaged sheet (row number
99999999999) ends the whole process, which would be the dashboard.

Damaged files raise whatever they happen to raise; `failing_as` turns it into a sentence.
"""

from __future__ import annotations

import datetime
import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from sails.data.formats.source import Source, failing_as, source_of_table

_MAX_ROWS, _MAX_COLUMNS = 1_048_576, 16_384  # Excel's own limits
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})  # built in
_NOT_OF_A_DATE = re.compile(r'"[^"]*"|\[[^\]]*\]|[\\_*].')


class Sheet(NamedTuple):
    title: str
    rows: list[list[Any]]  # texts, numbers, booleans and dates, None between them; a blank row is empty
    of: int  # how many sheets the workbook has


def first_sheet(raw: bytes) -> Sheet:
    """Return the first sheet that has rows, or the last one if none has."""
    workbook = _Workbook(raw)
    sheet = Sheet("", [], 0)
    for title, path in workbook.sheets:
        sheet = Sheet(title, workbook.rows(path), len(workbook.sheets))
        if any(sheet.rows):
            break
    return sheet


class _Workbook:
    def __init__(self, raw: bytes) -> None:
        self._zip = zipfile.ZipFile(io.BytesIO(raw))
        (path,) = self._related("", "officeDocument").values()
        book = ElementTree.fromstring(self._zip.read(path))
        paths = self._related(path, "worksheet")
        self.sheets: list[tuple[str, str]] = []
        for sheet in book.iterfind("{*}sheets/{*}sheet"):
            relation = next((value for key, value in sheet.items() if key.endswith("}id")), "")
            if relation in paths:
                self.sheets.append((sheet.get("name", ""), paths[relation]))
        self._texts: list[str] = []
        for shared in self._related(path, "sharedStrings").values():
            self._texts += map(_text, self._elements(shared, "si"))
        self._date_styles: set[str] = set()
        for styles in self._related(path, "styles").values():
            self._date_styles |= _date_styles(ElementTree.fromstring(self._zip.read(styles)))
        properties = book.find("{*}workbookPr")
        since_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self._day_0 = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, 30)

    def rows(self, path: str) -> list[list[Any]]:
        rows: list[list[Any]] = []
        for row in self._elements(path, "row"):
            number = int(row.get("r") or len(rows) + 1)
            if not len(rows) < number <= _MAX_ROWS:
                raise ValueError(f"row {number} after {len(rows)}")
            rows += [[] for _ in range(number - 1 - len(rows))]
            rows.append(self._values(row))
        return rows

    def _values(self, row: Element) -> list[Any]:
        values: list[Any] = []
        column = -1
        for cell in row:
            reference = cell.get("r")
            column = _column(reference.rstrip("0123456789")) if reference else column + 1
            value = self._value(cell)
            if value not in (None, ""):  # cells that are only coloured may go on to the last column
                values += [None] * (column - len(values))
                values.append(value)
        return values

    def _value(self, cell: Element) -> Any:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return "".join(map(_text, cell))
        written = next((child.text for child in cell if child.tag.endswith("}v")), None)
        if written is None or kind == "e":  # an error, as #N/A
            return None
        if kind == "s":
            return self._texts[int(written)]
        if kind == "b":
            return written == "1"
        if kind != "n":
            return _unescaped(written)
        number = float(written)
        if cell.get("s") in self._date_styles:
            return self._day_0 + datetime.timedelta(days=number)
        return int(number) if number.is_integer() else number

    def _related(self, path: str, kind: str) -> dict[str, str]:
        """The parts of one kind that belong to the part at `path`, by the name of their relation."""
        folder, name = posixpath.split(path)
        relations = ElementTree.fromstring(self._zip.read(posixpath.join(folder, "_rels", f"{name}.rels")))
        base = posixpath.join("/", folder)
        return {
            relation.get("Id", ""): posixpath.normpath(posixpath.join(base, relation.get("Target", "")))[1:]
            for relation in relations
            if relation.get("Type", "").endswith(f"/{kind}")
        }

    def _elements(self, path: str, name: str) -> Iterator[Element]:
        """Every element of that name, one at a time; what was used is let go."""
        ending = f"}}{name}"
        with self._zip.open(path) as file:
            for _, element in ElementTree.iterparse(file):
                if element.tag.endswith(ending):
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


def _date_styles(styles: Element) -> set[str]:
    """The numbers of the cell styles that show a date or a time."""
    dates = {str(number) for number in _DATE_FORMATS}
    for own in styles.iterfind("{*}numFmts/{*}numFmt"):
        code = _NOT_OF_A_DATE.sub("", own.get("formatCode", "").lower())
        if re.search("[dmyhs]", code):
            dates.add(own.get("numFmtId", ""))
    used = styles.iterfind("{*}cellXfs/{*}xf")
    return {str(number) for number, style in enumerate(used) if style.get("numFmtId") in dates}


@cache
def _column(letters: str) -> int:
    """The number of a column, from 0: A is 0, AA is 26."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    if not 0 < number <= _MAX_COLUMNS:
        raise ValueError(f"column {letters}")
    return number - 1


def read_excel(raw: bytes, name: str) -> Source:
    with failing_as(name, "an Excel workbook"):
        title, rows, sheets = first_sheet(raw)
    widest = max(map(len, rows), default=0)
    for header in islice(filter(None, rows), 1):  # cells beside the table are columns without a name
        header += [None] * (widest - len(header))
    note = f"Only the sheet “{title}” was read, of {sheets}."
    return replace(source_of_table("xlsx", rows, name), notes=(note,) if sheets > 1 else ())
