"""What every file format gives: records with the number of their row, or a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sails.data.formats.text_encoding import printable
from sails.errors import ConversationFileError

Record = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that cannot be used, and why in a few plain words."""

    row: int
    reason: str


@dataclass(frozen=True)
class Source:
    """An opened file, whose `records` can be gone through once."""

    format: str  # `json`, `jsonl`, `csv`, `tsv`, `xlsx`, `parquet`, `yaml`, `text`, `docx`, `whatsapp`, …
    records: Iterable[Record | Refusal]
    columns: tuple[str, ...] = ()  # empty for JSON, where each record names its own
    named_in_file: bool = False  # the columns' names are the first row, which may be an example by mistake
    encoding: str = ""  # empty for Excel and Parquet
    notes: tuple[str, ...] = ()
    messages: tuple[Any, ...] = ()  # `messengers.Message`s of a chat between people, in place of `records`


def listed_names(names: Iterable[Any]) -> str:
    """Return names as a sentence has them, each in quotation marks and short; at most twelve."""
    return ", ".join(f"“{printable(str(name))[:40]}”" for name in islice(names, 12))


def text_lines(text: str) -> Iterator[str]:
    """Lines with their ends; only `\\n` ends one (`str.splitlines` also cuts at U+2028 and others)."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


Cells = Sequence[Any] | str  # a row of a table, or the reason why it cannot be told apart into cells


def source_of_table(kind: str, rows: Iterable[Cells], name: str) -> Source:
    rows = iter(rows)
    columns = column_names(rows)
    if not columns:
        raise ConversationFileError(
            f"The first row of {name} cannot be read as column names.",
            "Let the first row name the columns, for example input and output.",
        )
    return Source(kind, _records(columns, rows), columns, named_in_file=True)


def column_names(rows: Iterator[Cells]) -> tuple[str, ...]:
    """Return the first row that is not blank, as names that are all there and all different."""
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
def failing_as(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into a sentence."""
    try:
        yield
    except Exception as error:
        raise ConversationFileError(
            f"{name} cannot be read as {kind}; it is damaged or of another kind.",
            "Open it in the program that made it, save it again, or save it as CSV.",
        ) from error
