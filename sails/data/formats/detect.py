"""The bytes of a file as records, whatever its format; what the records mean is `reading`'s business.

A file is known by what it holds before it is known by its name: JSON Lines called `.json`, a table
called `.txt` and an Excel workbook called `.csv` are read as what they are.

Rows are numbered as a person sees them. JSON Lines: the number of the line. JSON list: the position
from 1. Tables (CSV, Excel, Parquet): the data row, the line of column names not counted, blank rows
counted.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sails.data.formats.text_encoding import decode, printable
from sails.data.formats.xlsx import first_sheet
from sails.errors import ConversationFileError

Record = tuple[int, Any]
"""A row's number and what stands there: a dict of column (or key) to value, if all is well."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that cannot be used, and why in a few plain words."""

    row: int
    reason: str


@dataclass(frozen=True)
class Source:
    """An opened file, whose `records` can be gone through once."""

    format: str
    """`json`, `jsonl`, `csv`, `tsv`, `xlsx` or `parquet`."""
    records: Iterable[Record | Refusal]
    columns: tuple[str, ...] = ()
    """Empty for JSON, where each record names its own."""
    encoding: str = ""
    """Empty for Excel and Parquet."""
    notes: tuple[str, ...] = ()


_OTHER_KINDS = (  # what people choose by mistake, by its first bytes
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls) or one with a password"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"SQLite format 3", "a database"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
_LISTS = ("data", "conversations", "examples", "rows", "items", "records", "dataset", "pairs", "train")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_JSON = json.JSONDecoder(strict=False)  # a raw line break inside a text is common, and clear


def open_source(path: Path) -> Source:
    """Open any supported file.

    Raises ConversationFileError when it cannot be read; going through `records` may raise it too.
    """
    raw = _bytes(path)
    if raw.startswith(b"PK\x03\x04"):
        return _excel(raw, path.name)
    if raw.startswith(b"PAR1"):
        return _parquet(raw, path.name)
    for signature, kind in _OTHER_KINDS:
        if raw.startswith(signature):
            raise ConversationFileError(
                f"{path.name} is {kind}.", "Save the conversations as .jsonl, .csv, .xlsx or .parquet."
            )
    text, encoding, notes = decode(raw, path.name)
    del raw
    first, suffix = text.lstrip()[:1], path.suffix.lower()
    if not first:
        raise ConversationFileError(f"{path.name} is empty.", "Choose a file that holds conversations.")
    if suffix in (".json", ".jsonl", ".ndjson") or (first in "[{" and suffix not in (".csv", ".tsv")):
        source = _json(text, path.name)
    else:
        source = _csv(text, path.name)
    return replace(source, encoding=encoding, notes=notes + source.notes)


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise ConversationFileError(f"{path} is a folder, not a file.", "Choose a file inside it.")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ConversationFileError(f"There is no file {path}.", "Check the name and the folder.") from error
    except OSError as error:
        raise ConversationFileError(
            f"{path} cannot be opened: {error.strerror or error}.", "Check that you may read it."
        ) from error


# ---- JSON and JSON Lines --------------------------------------------------------------------------


def _json(text: str, name: str) -> Source:
    try:
        document = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        if _is_json_lines(text):
            return Source("jsonl", _json_lines(text))
        line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConversationFileError(
            f"{name} is cut short, or has a mistake in its JSON{line}.",
            "Export or copy it again, or save it as JSON Lines, where a broken line costs only itself.",
        ) from error
    if isinstance(document, dict):
        key, rows = _list_inside(document)
        notes = (f"The conversations were taken from the list “{printable(key)}”.",) if key else ()
        return Source("json", enumerate(rows, 1), notes=notes)
    if isinstance(document, list):
        one_chat = document and all(map(_is_turn, document))
        return Source("json", enumerate([document] if one_chat else document, 1))
    raise ConversationFileError(
        f"{name} holds a single value, not a list of conversations.",
        'Write it as a list of {"input": "…", "output": "…"}.',
    )


def _list_inside(document: dict[str, Any]) -> tuple[str, list[Any]]:
    """The list of rows in an object, after the key where it stands; or the object as the only row."""
    lists = {
        key: value
        for key, value in document.items()
        if isinstance(value, list) and value and isinstance(value[0], dict | list) and not _is_turn(value[0])
    }
    usual = [key for key in lists if key.lower() in _LISTS]
    if usual or len(lists) == 1:
        key = next(iter(usual or lists))
        return key, lists[key]
    return "", [document]


def _is_turn(item: Any) -> bool:
    return isinstance(item, dict) and ("role" in item or "from" in item)


def _is_json_lines(text: str) -> bool:
    """Whether at least half of the first lines are each a whole JSON object or list."""
    sample = list(islice(_json_lines(text), 20))
    whole = sum(not isinstance(record, Refusal) and isinstance(record[1], dict | list) for record in sample)
    return len(sample) > 1 and 2 * whole >= len(sample)


def _json_lines(text: str) -> Iterator[Record | Refusal]:
    for number, line in enumerate(_lines(text), 1):
        if line.isspace():
            continue
        try:
            yield number, _JSON.decode(line)
        except json.JSONDecodeError as error:
            yield Refusal(number, f"the line is not whole JSON (see character {error.colno})")
        except (ValueError, RecursionError):
            yield Refusal(number, "the line is not JSON that can be read")


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends; only `\\n` ends one (`str.splitlines` also cuts at U+2028 and others)."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


# ---- tables ---------------------------------------------------------------------------------------

Cells = Sequence[Any] | str
"""A row of a table, or the reason why it cannot be told apart into cells."""


def _csv(text: str, name: str) -> Source:
    csv.field_size_limit(2**31 - 1)  # the default refuses a cell over 128 KB; more than this fails on Windows
    delimiter = max(_DELIMITERS, key=lambda candidate: len(_column_names(_csv_rows(text, candidate))))
    notes = () if delimiter in ",\t" else (f"Columns are separated by {_DELIMITERS[delimiter]}.",)
    source = _table("tsv" if delimiter == "\t" else "csv", _csv_rows(text, delimiter), name)
    return replace(source, notes=notes)


def _csv_rows(text: str, delimiter: str) -> Iterator[Cells]:
    reader = csv.reader(_lines(text), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        before = reader.line_num
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lost = reader.line_num - before
            lines = f" ({lost} lines are lost with it)" if lost > 1 else ""
            if "end of data" in str(error):
                yield f"a quotation mark opens here and never closes{lines}"
            else:
                yield f"a quotation mark stands inside a text without being doubled{lines}"


def _excel(raw: bytes, name: str) -> Source:
    with _failing_as(name, "an Excel workbook"):
        title, rows, sheets = first_sheet(raw)
    widest = max(map(len, rows), default=0)
    for header in islice(filter(None, rows), 1):  # cells beside the table are columns without a name
        header += [None] * (widest - len(header))
    note = f"Only the sheet “{title}” was read, of {sheets}."
    return replace(_table("xlsx", rows, name), notes=(note,) if sheets > 1 else ())


def _parquet(raw: bytes, name: str) -> Source:
    with _failing_as(name, "a Parquet file"):
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(io.BytesIO(raw))
        columns = tuple(file.schema_arrow.names)

    def records() -> Iterator[Record]:
        with _failing_as(name, "a Parquet file"):
            batches = file.iter_batches(batch_size=4096)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield number, {column: value for column, value in row.items() if value is not None}

    return Source("parquet", records(), columns)


def _table(kind: str, rows: Iterable[Cells], name: str) -> Source:
    rows = iter(rows)
    columns = _column_names(rows)
    if not columns:
        raise ConversationFileError(
            f"The first row of {name} cannot be read as column names.",
            "Let the first row name the columns, for example input and output.",
        )
    return Source(kind, _records(columns, rows), columns)


def _column_names(rows: Iterator[Cells]) -> tuple[str, ...]:
    """The first row that is not blank, as names that are all there and all different."""
    header = next((row for row in rows if isinstance(row, str) or _filled(row)), ())
    names: list[str] = []
    for position, cell in enumerate(() if isinstance(header, str) else header, 1):
        name = printable(str(cell if cell is not None else "")).strip() or f"column {position}"
        names.append(name if name not in names else f"{name} ({position})")
    return tuple(names)


def _records(columns: tuple[str, ...], rows: Iterator[Cells]) -> Iterator[Record | Refusal]:
    for number, cells in enumerate(rows, 1):
        if isinstance(cells, str):
            yield Refusal(number, cells)
        elif _filled(cells[len(columns) :]):
            yield Refusal(
                number,
                f"has {len(cells)} cells where {len(columns)} columns are named; "
                "a text that holds the separator needs quotation marks around it",
            )
        elif _filled(cells):
            named = zip(columns, cells, strict=False)
            yield number, {name: cell for name, cell in named if cell not in (None, "")}


def _filled(cells: Sequence[Any]) -> bool:
    return any(cell not in (None, "") for cell in cells)


@contextmanager
def _failing_as(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into a sentence."""
    try:
        yield
    except Exception as error:
        raise ConversationFileError(
            f"{name} cannot be read as {kind}; it is damaged or of another kind.",
            "Open it in the program that made it, save it again, or save it as CSV.",
        ) from error
