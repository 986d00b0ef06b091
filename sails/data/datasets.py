"""The library of datasets: `datasets/NAME/` with the clean rows, the file they came from and a report.

The rows of a dataset never change once it is there: other rows under the same name get a new name. Only the
name may change, and whoever asks for the old one (a session's spec, say) still finds it.

Not here: how a file is read and judged (`sails.data`), and rows that are still being corrected
(`sails.data.draft`).
"""

from __future__ import annotations

import hashlib
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from sails import sessions, system
from sails.data.conversation import Conversation, jsonl_lines, read_jsonl, write_jsonl
from sails.data.quality import QualityReport, assess, clean
from sails.data.reading import Reading, reading_of
from sails.data.sandbox import read
from sails.data.split import Register, ledger, split_rows
from sails.errors import BadDataError, BusyError, ConversationFileError, RequestError, WorkspaceError
from sails.models import Workspace

LONGEST_NAME = 40  # characters
CHARACTERS_A_TOKEN = 4  # of ordinary English text
MARKS_A_TURN = 10  # tokens of a chat template around a turn
ROWS, REPORT = "conversations.jsonl", "report.json"
EXAMPLE_FILES = Path(__file__).resolve().parents[2] / "examples"
_ASSESSMENT = TypeAdapter(QualityReport)


class DatasetReport(BaseModel):
    """What is known of a dataset; lies beside its rows as `report.json`."""

    model_config = ConfigDict(frozen=True)

    name: str
    source: str  # the file's name
    fingerprint: str  # of the rows
    rows: int
    left_out: int  # rows that were read and not kept
    refused: int
    duplicates: int
    encoding: str
    format: str
    quality: dict[str, Any]
    created: datetime | None = None  # None in reports of older versions
    tokens: int = 0  # of all rows; 0 in reports of older versions
    tokens_counted: bool = False  # by a model's tokenizer; else estimated
    formerly: tuple[str, ...] = ()  # names that it had before
    understood: str = ""  # which columns of its source were what; empty in reports of older versions
    combined: tuple[str, ...] = ()  # the datasets that it was made of

    @property
    def grade(self) -> str:
        """How good its rows are, in a word; empty when nobody checked them."""
        return str(self.quality.get("grade", ""))

    def assessment(self) -> QualityReport | None:
        """The quality check of its source, as it was made when it was added; None when it is damaged."""
        try:
            return _ASSESSMENT.validate_python(self.quality)
        except ValidationError:
            return None


# --- adding ---------------------------------------------------------------------------------------


@system.changes("add a dataset", what="source")
def add(
    workspace: Workspace,
    source: Path,
    reading: Reading,
    report: QualityReport,
    *,
    content: bytes | None = None,
    keep_all: bool = False,
    name: str | None = None,
    tokens: int | None = None,
) -> DatasetReport:
    """Put the clean rows of a file that was read and assessed into the library.

    `keep_all` keeps rows that the quality check calls unfit, too. The name is made from `name`, else from
    the file's; the same rows under the same name are the dataset that is there already. `tokens` is their
    number where they were counted. With `content`, the file's bytes, nothing needs to lie at `source`. Raises
    `BadDataError` when no row is left.
    """
    system.check_upload(len(content or b""))
    system.check_room(workspace.root)
    rows = _distinct(reading.conversations) if keep_all else clean(reading.conversations, report)
    if not rows:
        raise BadDataError("No row of the file is fit to be taught.", "See `sails validate` for the reasons.")
    entry = _entry(
        rows,
        source=source.name,
        left_out=len(reading.conversations) - len(rows),
        refused=len(reading.refused),
        duplicates=reading.duplicates,
        encoding=reading.encoding,
        format=reading.format,
        understood=reading.understood,
        quality=asdict(report),
        tokens=tokens,
    )
    kept: dict[str, bytes | Path] = {}
    if content is not None or not source.is_dir():  # of a folder, the rows are enough
        kept[f"source{source.suffix}"] = source if content is None else content
    return _store(workspace, name_from_text(name or source.stem), entry, rows, kept)


def add_rows(
    workspace: Workspace, rows: Sequence[Conversation], *, file: str, name: str, keep_all: bool = False
) -> DatasetReport:
    """Put rows that lie in no file into the library, as the JSON Lines file `file`; otherwise as `add`."""
    reading = reading_of(rows)
    content = b"".join(jsonl_lines(rows))
    report = reading.assess()
    return add(workspace, Path(file), reading, report, content=content, keep_all=keep_all, name=name)


def combine(workspace: Workspace, names: Sequence[str]) -> DatasetReport:
    """Join several datasets into one, each row once, under a name made of theirs: `databases-and-web`.

    One name alone, or datasets that hold nothing beyond one of them, give that one. Raises
    `RequestError` without a name, `WorkspaceError` when one is not there, `BadDataError` when its rows are
    gone.
    """
    if not names:
        raise RequestError("No dataset was chosen.", "Choose one or more.")
    parts = sorted({report.name: report for report in (report_of(workspace, name) for name in names)}.items())
    if len(parts) == 1:
        return parts[0][1]
    system.require_changes(workspace.root)
    rows = _distinct([row for name, _ in parts for row in rows_of(workspace, name)])
    rows = tuple(replace(row, row=number) for number, row in enumerate(rows, 1))
    total = sum(report.rows for _, report in parts)
    entry = _entry(
        rows,
        source=f"{len(parts)} datasets",
        left_out=total - len(rows),
        refused=0,
        duplicates=total - len(rows),
        encoding="utf-8",
        format="jsonl",
        quality=asdict(assess(rows)),
        combined=tuple(name for name, _ in parts),
    )
    for _, report in parts:
        if report.fingerprint == entry.fingerprint or report.rows == entry.rows:
            return report  # the others add nothing to it
    return _store(workspace, name_from_text("-and-".join(name for name, _ in parts)), entry, rows, {})


def _entry(rows: Sequence[Conversation], tokens: int | None = None, **fields: Any) -> DatasetReport:
    return DatasetReport(
        name="",
        fingerprint=fingerprint_of(rows),
        rows=len(rows),
        created=datetime.now(UTC),
        tokens=sum(map(estimated_tokens, rows)) if tokens is None else tokens,
        tokens_counted=tokens is not None,
        **fields,
    )


def fingerprint_of(rows: Sequence[Conversation]) -> str:
    """Return 16 hex digits over all rows in their order."""
    return hashlib.sha256("\n".join(row.fingerprint for row in rows).encode()).hexdigest()[:16]


def _store(
    workspace: Workspace,
    stem: str,
    entry: DatasetReport,
    rows: Sequence[Conversation],
    files: Mapping[str, bytes | Path],
) -> DatasetReport:
    """Write a dataset and the `files` beside it under the first free name of `stem`, `stem-2`, …, at once.

    `files` holds the content of each, or the path of what is copied.
    """
    with library_at_rest(workspace):
        taken = {name: report for report in reports(workspace) for name in (report.name, *report.formerly)}
        for name in (stem, *(f"{stem}-{n}" for n in range(2, 10_000))):
            if name not in taken and not (workspace.datasets / name).exists():
                break
            if name in taken and taken[name].fingerprint == entry.fingerprint:
                return taken[name]
        entry = entry.model_copy(update={"name": name})
        staged = workspace.datasets / f".{name}.partial"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        write_jsonl(staged / ROWS, rows)
        for file, content in files.items():
            if isinstance(content, Path):  # a large one need not fit into memory
                shutil.copyfile(content, staged / file)
            else:
                (staged / file).write_bytes(content)
        system.write_atomic(staged / REPORT, entry.model_dump_json(indent=1))
        system.rename(staged, workspace.datasets / name)
    return report_of(workspace, name)


def name_from_text(text: str) -> str:
    """Return a name for a folder and for an address: lower-case words of letters and digits in any script."""
    text = unicodedata.normalize("NFKC", text).lower()
    words = "".join(c if c.isalnum() else "-" for c in text).split("-")
    return "-".join(filter(None, words))[:LONGEST_NAME].strip("-") or "dataset"


def estimated_tokens(row: Conversation) -> int:
    """Estimate tokens by the number of characters, with the marks of a chat template around each turn."""
    return sum(-(-len(turn.content) // CHARACTERS_A_TOKEN) + MARKS_A_TURN for turn in row.turns)


def library_at_rest(workspace: Workspace) -> Any:
    """While it is held, no dataset is added, renamed or deleted."""
    return system.short_lock(workspace.root / "datasets.lock")


def _distinct(rows: Sequence[Conversation]) -> tuple[Conversation, ...]:
    return tuple({row.identity: row for row in rows}.values())


# --- looking --------------------------------------------------------------------------------------


def reports(workspace: Workspace) -> list[DatasetReport]:
    """Every dataset, the newest first; a damaged one is left out."""
    readable = filter(None, map(_read, workspace.datasets.glob(f"[!.]*/{REPORT}")))
    return sorted(readable, key=lambda report: (str(report.created), report.name), reverse=True)


def report_of(workspace: Workspace, name: str) -> DatasetReport:
    """The report of a dataset, by its name or one that it had; `WorkspaceError` when it is not there."""
    # Names come from addresses too, and must not lead out of the library.
    is_plain = bool(name) and name[0] != "." and Path(name).name == name
    report = _read(workspace.datasets / name / REPORT) if is_plain else None
    report = report or next((other for other in reports(workspace) if name in other.formerly), None)
    if report is None:
        sentence = f"There is no dataset {name[:200]!r} in {workspace.root}."
        raise WorkspaceError(sentence, "Add its file again.")
    return report


def rows_of(workspace: Workspace, name: str) -> list[Conversation]:
    """Return the rows of a dataset; raises `BadDataError` when they are gone."""
    try:
        return read_jsonl(rows_file(workspace, name))
    except (OSError, WorkspaceError, ConversationFileError) as error:
        raise BadDataError(f"The rows of dataset {name!r} are gone.", "Start again with its file.") from error


def rows_file(workspace: Workspace, name: str) -> Path:
    """The path of the clean rows, as JSON Lines; raises `WorkspaceError` when there is no such dataset."""
    return workspace.datasets / report_of(workspace, name).name / ROWS


def _read(path: Path) -> DatasetReport | None:
    """A report under the name of its folder, with the time of the file where it says none itself."""
    try:
        report = DatasetReport.model_validate_json(path.read_bytes())
        created = report.created or datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError):
        return None
    return report.model_copy(update={"name": path.parent.name, "created": created})


@dataclass(frozen=True)
class Novelty:
    """What the next training would do with the rows of a dataset."""

    new: int  # taught, and new to the model
    taught_before: int  # taught once more
    held_out: int  # kept back, to test the model with
    notes: tuple[str, ...]


def novelty(workspace: Workspace, rows: Sequence[Conversation], taught: set[str]) -> Novelty:
    """Count what would be new, repeated and held out; `taught` are the fingerprints of the model's rows."""
    parts = split_rows(rows, Register.load(workspace.register))
    counts = ledger(parts.train, taught)
    return Novelty(counts.new, counts.taught_before, len(parts.held_out), parts.notes)


# --- changing -------------------------------------------------------------------------------------


def unlisted(workspace: Workspace) -> list[str]:
    """Return the names of the folders in the library that no list shows: their report is lost or damaged."""
    folders = (path for path in workspace.datasets.glob("[!.]*") if path.is_dir() and not path.is_symlink())
    return sorted(path.name for path in folders if _read(path / REPORT) is None)


def problem_of(workspace: Workspace, name: str) -> str:
    """Say in a few words what is wrong with the rows of a dataset, listed or not; empty where nothing is."""
    folder = workspace.datasets / name
    report = _read(folder / REPORT)
    try:
        rows = read_jsonl(folder / ROWS)
    except (OSError, ConversationFileError, ValueError):
        return "cannot be read" if (folder / ROWS).exists() else "are gone"
    if report is None or fingerprint_of(rows) == report.fingerprint:
        return ""
    return "are not those that were added"


def write_report_anew(workspace: Workspace, name: str) -> DatasetReport:
    """Make the report of a dataset from its rows; raises `BadDataError` when those cannot be read."""
    system.require_changes()
    with library_at_rest(workspace):
        folder = workspace.datasets / name
        if report := _read(folder / REPORT):
            return report
        try:
            rows = read_jsonl(folder / ROWS)
        except (OSError, ConversationFileError, ValueError) as error:
            problem = f"The rows of dataset {name!r} are gone."
            raise BadDataError(problem, "Start again with its file.") from error
        source = next(iter(sorted(folder.glob("source.*"))), folder / ROWS)
        facts: dict[str, Any] = {"left_out": 0, "refused": 0, "duplicates": 0}
        facts |= {"encoding": "utf-8", "format": "jsonl", "quality": asdict(assess(rows))}
        entry = _entry(rows, source=source.name, **facts).model_copy(update={"name": name})
        system.write_atomic(folder / REPORT, entry.model_dump_json(indent=1))
    return entry


@system.changes("rename a dataset", what="name")
def rename(workspace: Workspace, name: str, wanted: str) -> DatasetReport:
    """Give a dataset another name; sessions that know the old one still find it.

    Raises `RequestError` for a name without a letter or digit and for one that another dataset has or had.
    """
    if not any(map(str.isalnum, wanted)):
        raise RequestError("A name needs a letter or a digit.", "Choose another name.")
    target = name_from_text(wanted)
    with library_at_rest(workspace):
        report = report_of(workspace, name)
        if target == report.name:
            return report
        others = [other for other in reports(workspace) if other.name != report.name]
        if any(target in (other.name, *other.formerly) for other in others):
            raise RequestError(f"Another dataset is, or was, called {target!r}.", "Choose another name.")
        former = tuple(old for old in (*report.formerly, report.name) if old != target)
        renamed = report.model_copy(update={"name": target, "formerly": former})
        # The report first: killed in between, the folder has its old name and both names find it.
        system.write_atomic(workspace.datasets / report.name / REPORT, renamed.model_dump_json(indent=1))
        system.rename(workspace.datasets / report.name, workspace.datasets / target)
    return renamed


@system.changes("delete a dataset", what="name")
def delete(workspace: Workspace, name: str) -> None:
    """Delete a dataset for good. Raises `BusyError` while a session that waits or runs needs it.

    What sessions were taught stays in their own folders.
    """
    with library_at_rest(workspace):
        report = report_of(workspace, name)
        if users := used_by(workspace, report):
            raise BusyError(
                f"The dataset {report.name!r} is needed by {users[0]}, which waits or runs.",
                "Wait until it has ended, or stop it first.",
            )
        for leftover in workspace.datasets.glob(".*.deleted"):  # of a delete that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        doomed = workspace.datasets / f".{report.name}.deleted"
        system.rename(workspace.datasets / report.name, doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    shutil.rmtree(workspace.tokens, ignore_errors=True)  # its rows may be told from them


def used_by(workspace: Workspace, report: DatasetReport) -> list[str]:
    """Return the ids of the sessions that wait or run and need this dataset."""
    running = sessions.running(workspace)
    records = [running] if running else []
    for waiting in sessions.waiting(workspace):
        with suppress(WorkspaceError):  # its folder is gone or damaged; it will never run
            records.append(sessions.record(sessions.Session(workspace.sessions / waiting.id)))
    names = (report.name, *report.formerly)
    return sorted({record.spec.id for record in records if getattr(record.spec, "dataset", None) in names})


@dataclass(frozen=True)
class ExampleDataset:
    """A small lesson that comes with the program."""

    file: str
    title: str
    teaches: str  # one sentence


EXAMPLES = (
    ExampleDataset(
        "programming_basics.json",
        "Programming basics",
        "Teaches the words of programming: variables, types, loops, functions, testing and Git.",
    ),
    ExampleDataset(
        "web_development.json",
        "Web development",
        "Teaches how web pages work: HTML, CSS, JavaScript, HTTP, security and accessibility.",
    ),
    ExampleDataset(
        "databases.json",
        "Databases",
        "Teaches how data is kept: SQL, keys, indexes, transactions, replication and backups.",
    ),
)


def add_example(workspace: Workspace, example: ExampleDataset) -> DatasetReport:
    """Put one of the examples into the library; the one that is there already is given back."""
    path = EXAMPLE_FILES / example.file
    reading = read(path)
    return add(workspace, path, reading, reading.assess())
