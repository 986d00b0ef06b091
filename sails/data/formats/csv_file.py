"""CSV and TSV, and what Anki and Quizlet export."""

from __future__ import annotations

import csv
import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from sails.data.formats.source import (
    MAX_ROWS,
    SAMPLE,
    Cells,
    Source,
    UnnamedRow,
    column_names,
    header_row,
    source_of_table,
    text_lines,
    too_many_rows,
    unnamed,
)
from sails.system import count, listed

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# `#separator:tab`, `#tags column:3`: how Anki says what is in its text files.
_DIRECTIVE = re.compile(r"#([a-z]+(?: column)?):(.*)")
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " ", "colon": ":"}
_COMMENT = re.compile(r"#[^,;\t|]*\n")
DELIMITER_SAMPLE = 1 << 22  # characters in which it is seen what separates the columns
QUOTED_SAMPLE = 1 << 17  # characters in which it is seen whether spaces stand before quotation marks
_LINE_TAGS = re.compile(r"<br\s*/?>|</(?:div|p|li)>", re.IGNORECASE)
_TAGS = re.compile(r"</?[a-zA-Z][^<>]*>")


def read_csv(text: str, name: str) -> Source:
    csv.field_size_limit(2**31 - 1)  # the default refuses a cell over 128 KB; more than this fails on Windows
    delimiter, whole = "", text
    if said := re.match(r"sep=(.)\n", text):
        delimiter, text = said[1], text[said.end() :]
    directives: dict[str, str] = {}
    start = 0
    for line in text_lines(text):
        if not ((found := _DIRECTIVE.match(line)) or _COMMENT.fullmatch(line)):
            break
        directives |= {found[1]: found[2].strip()} if found else {}
        start += len(line)
    text = text[start:]
    if "separator" in directives:
        delimiter = _SEPARATORS.get(directives["separator"].casefold(), directives["separator"][:1])
    text = _unwrapped(text)
    delimiter = delimiter or _delimiter(text)
    lines = text.count("\n")
    if lines > MAX_ROWS:  # said at once, not when so many were read
        filled = (row for row in _Rows(text, delimiter) if row)
        if next(islice(filled, MAX_ROWS + SAMPLE, None), None) is not None:
            raise too_many_rows(name)
    rows = _Rows(text, delimiter, 1 + whole.count("\n", 0, len(whole) - len(text)))
    kind = "tsv" if delimiter == "\t" else "csv"
    if directives:
        source = _of_anki(kind, rows, directives, name)
    else:
        # Prose has commas, too; and a file that calls itself CSV hardly ever lacks names.
        is_csv = name.lower().endswith(".csv")
        unnamed_row: UnnamedRow = "sentence" if is_csv else "any" if delimiter != "," else "no"
        source = source_of_table(kind, rows, name, unnamed_row=unnamed_row)
    notes: tuple[str, ...] = ()
    if delimiter not in ",\t":
        notes = (f"Columns are separated by {_DELIMITERS.get(delimiter, f'“{delimiter}”')}.",)
    return replace(source, notes=notes + source.notes, late_notes=rows.notes, size=lines)


def _unwrapped(text: str) -> str:
    """The text without quotation marks that a program put around whole lines."""
    if not text.startswith('"') or any(len(row) != 1 or isinstance(row, str) for row in _Rows(text, "\0")):
        return text
    lines = "".join(f"{row[0]}\n" for row in _Rows(text, "\0"))
    return lines if header_row(list(islice(_Rows(lines, _delimiter(lines)), 1))) == 0 else text


def _delimiter(text: str) -> str:
    """The separator under which a line names known columns, or the first rows have equally many cells."""

    def fitness(candidate: str) -> tuple[bool, int, float, int]:
        rows = list(islice(_Rows(text[:DELIMITER_SAMPLE], candidate), SAMPLE))
        header = header_row(rows)
        named = len(column_names(rows[header])) if header is not None else 0
        widths = [len(row) for row in rows if not isinstance(row, str) and any(row)]
        ((width, often),) = Counter(widths).most_common(1) or [(0, 0)]
        return header is not None, named, often / max(1, len(rows)) if width > 1 else 0.0, width

    return max(_DELIMITERS, key=fitness)


def _of_anki(kind: str, rows: _Rows, directives: dict[str, str], name: str) -> Source:
    """The notes of an Anki file: the columns that are neither tags nor deck are question and answer."""
    others = {int(at) - 1 for what, at in directives.items() if what.endswith(" column") and at.isdigit()}
    cells: Iterator[Cells] = map(_without_html, rows) if directives.get("html") == "true" else iter(rows)
    if "columns" in directives:
        named: Cells = directives["columns"].split(rows.delimiter)
        return source_of_table(kind, [named, *cells], name)
    kept: Iterator[Cells] = (
        row if isinstance(row, str) else [cell for at, cell in enumerate(row) if at not in others]
        for row in cells
    )
    first = list(islice(kept, SAMPLE))
    if all(isinstance(row, str) or not any(row[2:]) for row in first):
        note = "The first column was taken as the question, the second as the answer, as Anki exports them."
        return unnamed(kind, [*first, *kept], note)
    return source_of_table(kind, [*first, *kept], name)


def _without_html(row: Cells) -> Cells:
    """The cells of a file that says that they are HTML, as text."""
    if isinstance(row, str):
        return row
    return [html.unescape(_TAGS.sub("", _LINE_TAGS.sub("\n", cell))).strip() for cell in row]


class _Rows:
    """The rows of a text; what went wrong with quotation marks is among them, or told by `notes`."""

    def __init__(self, text: str, delimiter: str, first_line: int = 1) -> None:
        self.delimiter = delimiter
        self._text, self._first_line = text, first_line
        apart = re.escape(delimiter)
        # Spaces before a cell are the indent of an answer, unless they stand before its quotation mark.
        quoted_later = re.search(rf'{apart} {{1,20}}"[^"\n]+" *(?:{apart}|\n|\Z)', text[:QUOTED_SAMPLE])
        self._skips_spaces = bool(quoted_later)
        self._unquoted = 0
        self._odd: list[int] = []

    def __iter__(self) -> Iterator[Cells]:
        if '"' not in self._text:  # there is nothing to watch
            yield from self._reader(text_lines(self._text))
            return
        taken: list[str] = []  # the lines of one row

        def watched() -> Iterator[str]:
            for line in text_lines(self._text):
                taken.append(line)
                yield line

        reader = self._reader(watched())
        width = 0
        line = self._first_line
        while True:
            line += len(taken)
            taken.clear()
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if self.delimiter == "\t" and len(self._cells(taken[0])) == width:
                    yield from map(self._alone, taken)
                    continue
                lost = f" ({len(taken)} lines are lost with it)" if len(taken) > 1 else ""
                if "end of data" in str(error):
                    yield f"a quotation mark opens here and never closes{lost}"
                else:
                    yield f"a quotation mark stands inside a text without being doubled{lost}"
                continue
            if len(taken) > 1 and self._are_rows(taken, width):
                if self.delimiter == "\t":
                    yield from map(self._alone, taken)
                    continue
                self._odd.append(line)
            width = len(row) or width
            yield row

    def _reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=self._skips_spaces)

    def _cells(self, line: str) -> list[str]:
        return line.rstrip("\n").split(self.delimiter)

    def _alone(self, line: str) -> list[str]:
        """A line as a row of its own; quotation marks that make no cells stand as they are."""
        try:
            (row,) = self._reader([line])
        except (csv.Error, ValueError):
            self._unquoted += 1
            return self._cells(line)
        return row

    def _are_rows(self, lines: Sequence[str], width: int) -> bool:
        """Whether lines that quotation marks hold together would be whole rows without them."""
        rows = list(map(self._cells, lines))
        filled = all(all(cells) and not any(cell[:1] == " " for cell in cells) for cells in rows[1:])
        return width > 1 and filled and all(len(cells) == width for cells in rows)

    def notes(self) -> tuple[str, ...]:
        """Tell what a person should look at; known when all rows were gone through."""
        notes = []
        if self._unquoted:
            rows = count(self._unquoted, "row")
            notes.append(f"Quotation marks that enclose no cell were read as they stand, in {rows}.")
        if self._odd:
            lines = listed([str(line) for line in self._odd[:10]])
            notes.append(
                f"A quotation mark that opens in line {lines} closes some lines later: "
                "see whether it swallowed the rows between."
            )
        return tuple(notes)
