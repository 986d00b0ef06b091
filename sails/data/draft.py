"""Conversations on their way into the library: read, judged, corrected row by row, and then saved.

    draft = drafts.from_file("helpdesk.csv", content)   # or `Unmapped`, `Unassigned`: something must be told
    draft = draft.corrected({7: ("How?", "So.")}).dropped([9])
    report = draft.save(workspace)

A draft lives in memory only, and every change gives a new one. Not here: how files are read and judged
(`sails.data`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, groupby
from pathlib import Path, PurePosixPath, PureWindowsPath

from sails import system
from sails.data import datasets
from sails.data.columns import ColumnMapping
from sails.data.conversation import Conversation, Turn
from sails.data.datasets import DatasetReport
from sails.data.formats.source import Refusal
from sails.data.formats.text_encoding import printable
from sails.data.quality import QualityReport, RowProblem, problems_of, summarise
from sails.data.reading import Reading, reading_of
from sails.data.rows import UnknownColumns
from sails.data.sandbox import read
from sails.data.turns import trimmed
from sails.errors import AssistantNeededError, BadDataError, RequestError
from sails.models import Workspace
from sails.system import Progress, silent

LONGEST_FILE_NAME = 80  # characters; a file system allows 255 bytes
_JSON_BEGINS = re.compile(r"\s*(?:\{|\[\s*(?:[\[{\"]|\]))")  # a chat of WhatsApp may begin with a bracket
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Draft:
    """A file's conversations as they would be saved now."""

    file: str
    content: bytes
    reading: Reading  # as the file has it
    name: str  # in the library, once it is saved
    first_row_taught: bool = False  # the line of column names was an example, too
    corrections: Mapping[int, Conversation] = field(default_factory=dict)  # by row
    left_out: frozenset[int] = frozenset()  # rows that the person dropped
    problems: Mapping[int, tuple[RowProblem, ...]] = field(default_factory=dict)  # by row, those dropped too

    @cached_property
    def rows(self) -> tuple[Conversation, ...]:
        """The conversations with their corrections, without those dropped."""
        conversations = self.reading.conversations
        if not self.corrections and not self.left_out:
            return conversations
        kept = (row for row in conversations if row.row not in self.left_out)
        return tuple(self.corrections.get(row.row, row) for row in kept)

    @cached_property
    def refused(self) -> tuple[Refusal, ...]:
        """Rows of the file that could not be read, without those dropped."""
        return tuple(refusal for refusal in self.reading.refused if refusal.row not in self.left_out)

    @cached_property
    def report(self) -> QualityReport:
        """The quality of the rows as they would be saved now."""
        kept = (problems for row, problems in self.problems.items() if row not in self.left_out)
        return summarise(self.rows, self.refused, chain.from_iterable(kept))

    @cached_property
    def wrong(self) -> frozenset[int]:
        """Rows that will not be saved as they are."""
        return frozenset(problem.row for problem in self.report.errors)

    @cached_property
    def doubtful(self) -> frozenset[int]:
        """Rows that a person may want to look at."""
        return frozenset(problem.row for problem in self.report.warnings) - self.wrong

    @cached_property
    def savable(self) -> tuple[Conversation, ...]:
        """The rows that `save` keeps: without an error, each once."""
        return tuple({row.identity: row for row in self.rows if row.row not in self.wrong}.values())

    @cached_property
    def findings(self) -> dict[int, tuple[RowProblem, ...]]:
        """What was found in the rows as they would be saved now, by row."""
        problems = groupby(self.report.problems, key=lambda problem: problem.row)
        return {row: tuple(found) for row, found in problems}

    def row(self, number: int) -> Conversation | None:
        """Return a row by its number, dropped ones included; None when there is none."""
        return self.corrections.get(number) or self._by_number.get(number)

    @cached_property
    def _by_number(self) -> dict[int, Conversation]:
        return {row.row: row for row in self.reading.conversations}

    def corrected(self, texts: Mapping[int, tuple[str, str]]) -> Draft:
        """Put other words for the last question and the answer of some rows, which are judged anew."""
        corrections, problems = dict(self.corrections), dict(self.problems)
        for number, (question, answer) in texts.items():
            row = self.row(number)
            if row is not None:
                *turns, last = row.until_answer().turns
                asked = max(n for n, turn in enumerate(turns) if turn.role == "user")
                turns[asked] = replace(turns[asked], content=_typed(question))
                if answer != row.output:  # of a call without words nothing is typed anew
                    last = Turn("assistant", _typed(answer))
                turns += [last, *row.turns[len(turns) + 1 :]]
                corrections[number] = replace(row, turns=tuple(turns))
                problems[number] = tuple(problems_of(corrections[number]))
        return replace(self, corrections=corrections, problems=problems)

    def dropped(self, rows: Iterable[int]) -> Draft:
        """Leave out these rows; they can be restored."""
        return replace(self, left_out=self.left_out.union(rows))

    def restored(self, rows: Collection[int] | None = None) -> Draft:
        """Put some of the dropped rows, or all of them, back in their places."""
        return replace(self, left_out=self.left_out.difference(rows) if rows is not None else frozenset())

    def find(self, words: str, among: Collection[int] | None = None) -> list[int]:
        """Return the numbers of the rows that hold these words in question or answer; `among` limits them."""
        wanted = words.casefold().strip()
        numbers = self._by_number if among is None else [n for n in self._by_number if n in among]
        rows = filter(None, map(self.row, numbers))
        return [row.row for row in rows if any(wanted in turn.content.casefold() for turn in row.turns)]

    def save(self, workspace: Workspace, *, tokens: int | None = None) -> DatasetReport:
        """Put the rows without an error into the library; raises `BadDataError` when none is left.

        `tokens` is their number where they were counted.
        """
        if not self.savable:
            raise BadDataError("No row is fit to be taught.", "Correct one in the grid, or bring others.")
        reading = replace(
            self.reading, conversations=self.rows, refused=self.refused, duplicates=self.report.duplicates
        )
        return datasets.add(
            workspace,
            Path(self.file),
            reading,
            self.report,
            content=self.content,
            name=self.name,
            tokens=tokens,
        )


@dataclass(frozen=True)
class Unmapped:
    """A file that can be read but does not say which column asks and which one answers."""

    file: str
    content: bytes
    columns: tuple[str, ...]
    first_rows: tuple[dict[str, str], ...]  # by column
    table: bool  # it has a line of column names, which may be an example by mistake
    message: str

    def mapped(
        self, mapping: ColumnMapping, *, first_row_taught: bool = False, progress: Progress = silent
    ) -> Draft:
        """Return the draft, read with these columns; raises `ConversationFileError` and `RequestError`."""
        return mapped(self.file, self.content, mapping, first_row_taught=first_row_taught, progress=progress)


@dataclass(frozen=True)
class Unassigned:
    """A chat between people that does not say who of them is the assistant."""

    file: str
    content: bytes
    people: tuple[str, ...]  # those who speak most first
    message: str

    def assigned(self, assistant: str, *, progress: Progress = silent) -> Draft:
        """Return the draft in which this person gives the answers; raises `ConversationFileError`."""
        reading = read(self.file, content=self.content, assistant=assistant, progress=progress)
        return _draft(self.file, self.content, reading)


def from_file(file: str, content: bytes, *, progress: Progress = silent) -> Draft | Unmapped | Unassigned:
    """Read a file, whatever its name says. Raises `ConversationFileError` when it is of no use."""
    system.check_upload(len(content))
    file = file_name(file)
    try:
        return _draft(file, content, read(file, content=content, progress=progress))
    except AssistantNeededError as needed:
        return Unassigned(file, content, needed.people, str(needed))
    except UnknownColumns as error:
        if error.preview is None:
            raise
        return Unmapped(file, content, *error.preview, str(error))


def mapped(
    file: str,
    content: bytes,
    mapping: ColumnMapping,
    *,
    first_row_taught: bool = False,
    progress: Progress = silent,
) -> Draft:
    """Read a file by the columns that a person named.

    `first_row_taught`: the table has no line of column names; what stands there is its first row.
    """
    if len({name.casefold() for name in mapping.columns}) < len(mapping.columns):
        raise RequestError(
            "The same column is chosen twice.", "Choose one column for questions and another for answers."
        )
    file = file_name(file)
    reading = read(file, mapping, content=content, progress=progress)
    if first_row_taught:
        system = (Turn("system", mapping.system),) if mapping.system else ()
        asked = Turn("user", "\n\n".join(mapping.asked))
        first = Conversation((*system, asked, Turn("assistant", mapping.output)), row=0)
        problems = (*problems_of(first), *reading.problems)
        reading = replace(reading, conversations=(first, *reading.conversations), problems=problems)
    return replace(_draft(file, content, reading), first_row_taught=first_row_taught)


def from_text(text: str, *, progress: Progress = silent) -> Draft | Unmapped | Unassigned:
    """Read what a person pasted: a table copied from a sheet, CSV, or JSON."""
    if not text.strip():
        raise RequestError(
            "Nothing was pasted yet.", "Copy a table with questions and answers, and paste it into the field."
        )
    kind = "json" if _JSON_BEGINS.match(text) else "txt"
    return from_file(f"pasted.{kind}", printable(text).encode(), progress=progress)


def from_pairs(pairs: Sequence[tuple[str | None, str | None]]) -> Draft:
    """Read questions and answers that a person typed; pairs that are wholly empty are passed over."""
    typed = [(_typed(question or ""), _typed(answer or "")) for question, answer in pairs]
    records = [{"input": question, "output": answer} for question, answer in typed if question or answer]
    if not records:
        raise RequestError("Nothing was typed yet.", "Write a question and its answer into the grid.")
    content = json.dumps(records, ensure_ascii=False, indent=1).encode()
    draft = from_file("typed.json", content)
    assert isinstance(draft, Draft)  # its columns are known
    return draft


def from_dataset(workspace: Workspace, name: str) -> Draft:
    """Return the rows of a dataset, to be corrected and saved as another one; it stays as it is itself."""
    report = datasets.report_of(workspace, name)
    file = f"{report.name}.jsonl"
    content = datasets.rows_file(workspace, name).read_bytes()
    return _draft(file, content, reading_of(datasets.rows_of(workspace, name)))


def _draft(file: str, content: bytes, reading: Reading) -> Draft:
    found = groupby(reading.problems, key=lambda problem: problem.row)
    problems = {row: tuple(some) for row, some in found}
    return Draft(file, content, reading, datasets.name_from_text(Path(file).stem), problems=problems)


def file_name(name: str) -> str:
    """Return the name of a file without folders, marks that cannot be seen, and too much length."""
    last = PurePosixPath(PureWindowsPath(printable(name)).as_posix()).name
    visible = "".join("_" if c in '<>:"|?*' else c for c in last if c.isprintable()).strip()
    stem, dot, suffix = visible.rpartition(".")
    if len(visible) > LONGEST_FILE_NAME and stem:
        visible = f"{stem[: LONGEST_FILE_NAME - 10]}{dot}{suffix[:9]}"
    return visible[:LONGEST_FILE_NAME] if visible.strip(".") else "file"


def _typed(text: str) -> str:
    """A text as reading a file would have made it."""
    text = printable(text).replace("\r\n", "\n").replace("\r", "\n")
    return trimmed(_CONTROLS.sub("", text))
