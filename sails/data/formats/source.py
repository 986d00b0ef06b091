"""What every file format gives: records with the number of their row, or a refusal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

from sails.data.columns import chat_column, recognise, turn_columns
from sails.data.formats.text_encoding import printable
from sails.errors import ConversationFileError

# What one file may hold: more than that would not be taught in a week, or fit into memory.
MAX_BYTES = 200_000_000  # of the file, and of what it expands to
MAX_ROWS = 200_000
MAX_COLUMNS = 16_384  # Excel's own limit
MAX_CELLS = 5_000_000
SPLIT = "Split it into smaller files, and bring them one after the other."

Record = tuple[int, Any]
SAMPLE = 30  # rows in which the line of column names is looked for


class Unshown(str):
    """A cell that shows no value, and why in a few plain words: an error of a sheet, say."""


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
    late_notes: Callable[[], tuple[str, ...]] = tuple  # what is known when all records were gone through
    messages: tuple[Any, ...] = ()  # `messengers.Message`s of a chat between people, in place of `records`
    size: int = 0  # about how many records there are; 0 where nobody knows before they were gone through


def listed_names(names: Iterable[Any]) -> str:
    """Return names as a sentence has them, each in quotation marks and short; at most twelve."""
    return ", ".join(f"“{printable(str(name))[:40]}”" for name in islice(names, 12))


def too_many_rows(name: str) -> ConversationFileError:
    return ConversationFileError(f"{name} has more than {MAX_ROWS:,} rows.", SPLIT)


def too_many_columns(name: str) -> ConversationFileError:
    problem = f"{name} has more than {MAX_COLUMNS:,} columns."
    return ConversationFileError(problem, "Keep those of the question and the answer.")


def limited(records: Iterable[Record | Refusal], name: str) -> Iterator[Record | Refusal]:
    """Yield the records of a file; raises ConversationFileError for too many, or one with too many names."""
    for number, record in enumerate(records, 1):
        if number > MAX_ROWS:
            raise too_many_rows(name)
        if isinstance(record, tuple) and isinstance(record[1], dict) and len(record[1]) > MAX_COLUMNS:
            raise too_many_columns(name)
        yield record


def text_lines(text: str) -> Iterator[str]:
    """Lines with their ends; only `\\n` ends one (`str.splitlines` also cuts at U+2028 and others)."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


UnnamedRow = Literal["no", "sentence", "any"]
Cells = Sequence[Any] | str  # a row of a table, or the reason why it cannot be told apart into cells


def source_of_table(
    kind: str, rows: Iterable[Cells], name: str, *, unnamed_row: UnnamedRow = "sentence"
) -> Source:
    """Return a table by its line of names, which need not be the first: titles may stand above it.

    Two columns without names are question and answer, if their first row may be one: `any` that is like the
    others, or only one with a `sentence`.
    """
    rows = iter(rows)
    first = list(islice(rows, SAMPLE))
    header = header_row(first)
    notes: tuple[str, ...] = ()
    if header is None:
        header = _widest(first)
        body = first[header:]
        # pandas gives columns without names their numbers.
        if body and list(_trimmed(body[0])) in (["0", "1"], ["1", "2"]):
            body = body[1:]
        if unnamed_row != "no" and _is_unnamed(body, only_sentences=unnamed_row == "sentence"):
            note = "The file names no columns: the first was taken as the question, the second as the answer."
            asks, answers = (str(cell).strip() for cell in body[0][:2])
            if not (_is_sentence(asks) or _is_sentence(answers)):
                names = listed_names((asks, answers))
                note += (
                    f" If its first row ({names}) names them, write “question” and “answer” there instead."
                )
            if any(_filled(row) for row in first[:header] if not isinstance(row, str)):
                note += f" What stands above line {header + 1} was not read."
            return unnamed(kind, chain(body, rows), note)
    if any(_filled(row) for row in first[:header] if not isinstance(row, str)):
        notes = (f"The names of the columns stand in line {header + 1}; what is above was not read.",)
    if header < len(first) and len(first[header]) > MAX_COLUMNS:
        raise too_many_columns(name)
    columns = column_names(first[header]) if header < len(first) else ()
    if not columns:
        raise ConversationFileError(
            f"The first row of {name} cannot be read as column names.",
            "Let the first row name the columns, for example input and output.",
        )
    records = _records(columns, chain(first[header + 1 :], rows))
    return Source(kind, records, columns, named_in_file=True, notes=notes)


def unnamed(kind: str, rows: Iterable[Cells], note: str) -> Source:
    """Return a table of questions and answers whose columns have no names."""
    columns = ("question", "answer")
    return Source(kind, _records(columns, rows), columns, notes=(note,))


def header_row(rows: Sequence[Cells]) -> int | None:
    """Return the position of the first row that names the columns of conversations."""
    for position, row in enumerate(rows):
        if isinstance(row, str) or len(row) > MAX_COLUMNS or not _filled(row):
            continue
        columns = column_names(row)
        below = next(
            (later for later in rows[position + 1 :] if not isinstance(later, str) and _filled(later)), ()
        )
        chat = chat_column(columns)
        lists = chat and str(dict(zip(columns, below, strict=False)).get(chat, "")).lstrip()[:1] == "["
        if recognise(columns) or turn_columns(columns) or lists:
            return position
    return None


def column_names(row: Cells) -> tuple[str, ...]:
    """Return a row as names that are all there and all different."""
    names: dict[str, None] = {}
    for position, cell in enumerate(() if isinstance(row, str) else row, 1):
        name = printable(str(cell if cell is not None else "")).strip() or f"column {position}"
        names[name if name not in names else f"{name} ({position})"] = None
    return tuple(names)


def _widest(rows: Sequence[Cells]) -> int:
    """The first row that fills as many cells as most do; titles above a table fill fewer."""
    widths = [0 if isinstance(row, str) else sum(cell not in (None, "") for cell in row) for row in rows]
    usual = max(Counter(filter(None, widths)).items(), key=lambda item: item[1:] + item[:1], default=(0, 0))[
        0
    ]
    return next((position for position, width in enumerate(widths) if width and width >= usual), 0)


def _is_unnamed(rows: Sequence[Cells], *, only_sentences: bool) -> bool:
    """Two columns whose first row is like the others: it is data, and no line of names.

    Names are short. Where most rows hold a sentence and the first does not, it may name the columns in words
    that are not known; then a person is asked.
    """
    filled = [_trimmed(row) for row in rows if not isinstance(row, str) and _filled(row)]
    pairs = [row for row in filled if len(row) == 2 and all(cell not in (None, "") for cell in row)]
    if not filled or filled[0] not in pairs or len(pairs) < 0.9 * len(filled):
        return False
    if not any(c.isalpha() for row in pairs for cell in row for c in str(cell)):
        return False  # numbers alone
    sentences = [any(_is_sentence(str(cell)) for cell in row) for row in pairs]
    return sentences[0] or (not only_sentences and len(pairs) > 1 and 2 * sum(sentences) < len(pairs))


def _trimmed(cells: Sequence[Any]) -> Sequence[Any]:
    """The cells up to the last one that is filled."""
    while cells and cells[-1] in (None, ""):
        cells = cells[:-1]
    return cells


def _is_sentence(text: str) -> bool:
    return len(text) > 40 or text.rstrip()[-1:] in tuple(".?!。？！…؟;,") or text[:1].isdigit()


def _records(columns: tuple[str, ...], rows: Iterable[Cells]) -> Iterator[Record | Refusal]:
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
            if cells[0] == columns[0] and column_names(cells)[: len(columns)] == columns:
                yield Refusal(number, "repeats the names of the columns")
                continue
            yield number, {name: cell for name, cell in named if cell not in (None, "")}


def _filled(cells: Sequence[Any]) -> bool:
    return any(cell not in (None, "") for cell in cells)


@contextmanager
def failing_as(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into a sentence."""
    try:
        yield
    except (MemoryError, ConversationFileError):
        raise
    except Exception as error:
        if "memory alloc" in str(error).lower():  # as libxml2 says it
            raise MemoryError from error
        raise ConversationFileError(
            f"{name} cannot be read as {kind}; it is damaged or of another kind.",
            "Open it in the program that made it, save it again, or save it as CSV.",
        ) from error
