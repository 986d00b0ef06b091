"""A file of conversations as conversations: every row either used or refused by its number.

    bytes ─► formats ─► records ─► dialogues (single turns put together) ─► rows ─► conversations

How files are opened and their rows numbered is `formats`' business, what happens to one row that of `rows`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sails.data.columns import ColumnMapping, dialogue_columns
from sails.data.conversation import Conversation
from sails.data.dialogues import as_dialogues, follow_ups, joined
from sails.data.formats import archive, messengers
from sails.data.formats.detect import is_archive, open_source, read_bytes
from sails.data.formats.source import MAX_ROWS, Refusal, Source, limited, listed_names, too_many_rows
from sails.data.formats.text_encoding import printable
from sails.data.quality import QualityReport, RowProblem, problems_of, summarise
from sails.data.rows import Preview, Rows
from sails.data.rows import UnknownColumns as UnknownColumns
from sails.data.turns import RowRefused
from sails.errors import AssistantNeededError, ConversationFileError
from sails.system import Progress, count, silent

STEP = 1000  # rows between two words of progress
MAX_RECORDS_SCANNED = 200  # records in which the columns of an unmapped file are looked for
MAX_SAMPLE_ROWS = 3  # rows of one that are kept to be shown


@dataclass(frozen=True)
class Reading:
    """A file that was read."""

    conversations: tuple[Conversation, ...]
    refused: tuple[Refusal, ...]
    duplicates: int  # conversations that repeat an earlier one; they are still among `conversations`
    columns: tuple[str, ...]
    encoding: str  # for example `utf-8`, `utf-16-le`, `windows-1252`; empty for Excel and Parquet
    format: str  # as `Source` has it
    mapping: ColumnMapping | None = None  # the columns that were used; None where the rows are chats
    notes: tuple[str, ...] = ()  # what a person should know about how the file was read, a sentence each
    understood: str = ""  # which columns are what, and which ones are not taught, in one line
    is_table: bool = False  # every row has every column; an empty cell is left out of its conversation
    unused: tuple[str, ...] = ()  # names of fields that are kept beside the turns, and not taught
    problems: tuple[RowProblem, ...] = ()  # what is wrong with single conversations, in their order

    def assess(self) -> QualityReport:
        """Return how good the conversations are, by the problems that were found when they were read."""
        rows = {row.row for row in self.conversations}
        problems = (problem for problem in self.problems if problem.row in rows)
        return summarise(self.conversations, self.refused, problems)


def reading_of(rows: Sequence[Conversation]) -> Reading:
    """Return rows that are in the clean form already, as if a file of them had been read."""
    return Reading(
        conversations=tuple(rows),
        refused=(),
        duplicates=_duplicates(rows),
        columns=("input", "output"),
        encoding="utf-8",
        format="jsonl",
        problems=_problems(rows),
    )


def _problems(rows: Iterable[Conversation]) -> tuple[RowProblem, ...]:
    return tuple(problem for row in rows for problem in problems_of(row))


def parse(
    path: Path | str,
    mapping: ColumnMapping | None = None,
    *,
    content: bytes | None = None,
    assistant: str | None = None,
    keep_marked: bool = False,
    progress: Progress = silent,
) -> Reading:
    """Read and judge a file in this process, whatever that takes; for files from outside there is `read`.

    Takes, returns and raises what that does, but for what is raised where a file takes too much.
    """
    path = Path(path)
    if content is None and not path.is_dir():
        content = read_bytes(path)
    told = _Told(mapping, assistant, keep_marked, progress)
    try:
        if content is not None and is_archive(content, path.name):
            reading = _read_archive(archive.Archive(content, path.name), told)
        else:
            reading = _read_source(open_source(path, content), path.name, told)
    except UnknownColumns as error:
        error.preview = _preview(path, content)
        raise
    del content  # the rows have what is needed of it
    problems: list[RowProblem] = []
    for number, row in enumerate(reading.conversations):
        if not number % STEP:
            progress(0.5 + 0.5 * number / len(reading.conversations), "checking the rows")
        problems += problems_of(row)
    return replace(reading, problems=tuple(sorted(problems, key=lambda problem: problem.row)))


class _Told(NamedTuple):
    """What a file does not say by itself."""

    mapping: ColumnMapping | None
    assistant: str | None
    keep_marked: bool
    progress: Progress


def _read_source(source: Source, name: str, told: _Told) -> Reading:
    size = max(source.size, 1)
    source = replace(source, records=limited(source.records, name))
    mapping, assistant = told.mapping, told.assistant
    turns = None
    if source.messages:
        messengers.check_messages(source, name)
        if assistant is None and (assistant := messengers.known_assistant(source)):
            note = f"“{printable(assistant)}” gives the answers."
            source = replace(source, notes=(*source.notes, note))
        source = replace(source, records=messengers.conversations(source, assistant, name))
        assistant = None  # from here on the turns have roles
    else:
        if mapping is None:
            source, turns = as_dialogues(source, name, assistant)
        if turns:
            assistant = None
        else:
            source = follow_ups(source, mapping)
    rows = Rows(source.columns, mapping, assistant, turns, keep_marked=told.keep_marked)
    conversations: list[Conversation] = []
    refused: list[Refusal] = []
    together: tuple[str, ...] = ()
    for number, record in enumerate(source.records):
        if not number % STEP:
            told.progress(min(number / size, 1) / 2 if source.size else 0.0, f"reading row {number + 1:,}")
        if isinstance(record, Refusal):
            refused.append(record)
            continue
        row, fields = record
        try:
            conversations.append(rows.conversation(row, fields))
        except RowRefused as reason:
            refused.append(Refusal(row, str(reason)))
    if left_out := rows.exclusions.afterwards():
        refused += [Refusal(one.row, left_out[one.row]) for one in conversations if one.row in left_out]
        conversations = [one for one in conversations if one.row not in left_out]
    key, order = dialogue_columns(rows.unused()) if rows.mapping else (None, None)
    if key and len({str(row.extra.get(key)) for row in conversations}) < len(conversations):
        before = count(len(conversations), "row")
        conversations, broken = joined(conversations, [refusal.row for refusal in refused], key, order)
        refused += broken
        became = count(len(conversations), "conversation")
        together = (
            f"{before} of question and answer became {became}: those with the same “{printable(key)}”.",
        )
        rows.use({key: "conversation"} | ({order: "order"} if order else {}))
    refused.sort(key=lambda refusal: refusal.row)
    if not conversations or not rows.has_requested_columns:
        raise rows.unusable(name, refused)
    rows.require_texts(name, conversations)
    return Reading(
        conversations=tuple(conversations),
        refused=tuple(refused),
        duplicates=_duplicates(conversations),
        columns=tuple(map(printable, rows.columns)),
        encoding=source.encoding,
        format=source.format,
        mapping=rows.mapping,
        notes=(*source.notes, *source.late_notes(), *together, *rows.notes()),
        understood=rows.understood(),
        is_table=bool(source.columns),
        unused=tuple(map(printable, rows.unused())),
    )


def _duplicates(conversations: Sequence[Conversation]) -> int:
    return len(conversations) - len({conversation.identity for conversation in conversations})


def _read_archive(found: archive.Archive, told: _Told) -> Reading:
    """The files of an archive one after another; their rows are counted on through all of them."""
    if (source := archive.source_of(found.files, found.name)) is not None:
        return _read_source(source, found.name, told)
    readings: list[tuple[str, Reading]] = []
    failed: dict[str, ConversationFileError] = {}
    files, left_out = archive.with_conversations(found.files)
    for path, read_file in files.items():
        name, content = Path(path).name, read_file()
        try:
            if is_archive(content, name):
                raise ConversationFileError(f"{name} is an archive inside another one.", "Expand it first.")
            readings.append((path, _read_source(open_source(Path(name), content), name, told)))
        except AssistantNeededError:
            raise
        except ConversationFileError as error:
            failed[path] = error
    if not readings:
        if len(failed) == 1:
            raise next(iter(failed.values()))
        raise ConversationFileError(
            f"{found.name} is an archive (.zip) without a file of conversations. "
            + (f"It holds {listed_names(failed)}." if failed else "It is empty."),
            "Put the files with the conversations into it, as .jsonl, .csv or .xlsx.",
        )
    if sum(len(reading.conversations) + len(reading.refused) for _, reading in readings) > MAX_ROWS:
        raise too_many_rows(found.name)
    if len(readings) == 1:
        path, only = readings[0]
        notes = (f"“{printable(path)}” was read from the archive.",)
        return replace(only, notes=notes + left_out + _not_read(failed) + only.notes)
    return _combined(readings, left_out + _not_read(failed))


def _combined(readings: list[tuple[str, Reading]], notes: tuple[str, ...]) -> Reading:
    conversations: list[Conversation] = []
    refused: list[Refusal] = []
    before = 0
    for path, reading in readings:
        rows = [row.row for row in reading.conversations] + [refusal.row for refusal in reading.refused]
        conversations += (replace(row, row=row.row + before) for row in reading.conversations)
        refused += (Refusal(refusal.row + before, refusal.reason) for refusal in reading.refused)
        last = before + max(rows)
        notes = (*notes, f"“{printable(path)}” is rows {before + 1:,} to {last:,}.", *reading.notes)
        before = last
    first = readings[0][1]
    return Reading(
        conversations=tuple(conversations),
        refused=tuple(refused),
        duplicates=_duplicates(conversations),
        columns=tuple(dict.fromkeys(name for _, reading in readings for name in reading.columns)),
        encoding=first.encoding,
        format=first.format,
        mapping=first.mapping,
        notes=tuple(dict.fromkeys(notes)),
        understood=" | ".join(dict.fromkeys(reading.understood for _, reading in readings)),
        unused=tuple(dict.fromkeys(name for _, reading in readings for name in reading.unused)),
    )


def _not_read(failed: dict[str, ConversationFileError]) -> tuple[str, ...]:
    if not failed:
        return ()
    return (f"Not read of the archive: {count(len(failed), 'file')} ({listed_names(islice(failed, 3))}).",)


# --- a file that does not say which column is what ------------------------------------------------


def _preview(path: Path, content: bytes | None) -> Preview | None:
    """The columns of a file that are not known, and its first rows; None where there are fewer than two."""
    columns: dict[str, None] = {}
    rows: list[dict[str, str]] = []
    try:
        source = open_source(path, content)
        columns.update(dict.fromkeys(source.columns))
        records = (record[1] for record in source.records if not isinstance(record, Refusal))
        for fields in islice(records, MAX_RECORDS_SCANNED):
            if isinstance(fields, dict):
                columns.update(dict.fromkeys(map(str, fields)))
                rows.append({str(name): _shown(value) for name, value in fields.items()})
    except ConversationFileError:
        return None
    names = tuple(columns)
    if len(names) < 2 or not (rows or source.columns):
        return None
    return Preview(names, tuple(rows[:MAX_SAMPLE_ROWS]), source.named_in_file)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return printable(text[:200])
