"""The library of datasets: `datasets/NAME/` with the clean rows, the file they came from and a report.

A dataset never changes once it is there: a file with other rows under the same name gets a new name.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sails import access, locks
from sails.conversations import (
    Conversation,
    QualityReport,
    Reading,
    clean,
    read_jsonl,
    write_jsonl,
)
from sails.errors import BadDataError, ConversationFileError, WorkspaceError
from sails.workspace import Workspace, new_id


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


def add(
    workspace: Workspace, source: Path, reading: Reading, report: QualityReport, *, keep_all: bool = False
) -> DatasetReport:
    """Put the clean rows of a file that was read and assessed into the library.

    `keep_all` keeps rows that the quality check calls unfit, too. Raises `BadDataError` when no row is
    left.
    """
    access.require_changes()
    rows = _distinct(reading.conversations) if keep_all else clean(reading.conversations, report)
    if not rows:
        raise BadDataError("No row of the file is fit to be taught.", "See `sails validate` for the reasons.")
    fingerprint = hashlib.sha256("\n".join(row.fingerprint for row in rows).encode()).hexdigest()[:16]
    stem = new_id(source.stem)[16:]
    for name in (stem, *(f"{stem}-{n}" for n in range(2, 10_000))):
        folder = workspace.datasets / name
        if not folder.exists():
            break
        if (existing := report_of(workspace, name)).fingerprint == fingerprint:
            return existing
    staged = workspace.datasets / f".{name}.partial"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    write_jsonl(staged / "conversations.jsonl", rows)
    shutil.copyfile(source, staged / f"source{source.suffix}")
    entry = DatasetReport(
        name=name,
        source=source.name,
        fingerprint=fingerprint,
        rows=len(rows),
        left_out=len(reading.conversations) - len(rows),
        refused=len(reading.refused),
        duplicates=reading.duplicates,
        encoding=reading.encoding,
        format=reading.format,
        quality=asdict(report),
    )
    locks.write_atomic(staged / "report.json", entry.model_dump_json(indent=1))
    locks.rename(staged, folder)
    return entry


def report_of(workspace: Workspace, name: str) -> DatasetReport:
    """What is known of a dataset; raises `WorkspaceError` when it is not there."""
    path = workspace.datasets / name / "report.json"
    try:
        return DatasetReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceError(
            f"There is no dataset {name!r} in {workspace.root}.", "Add its file again."
        ) from error


def rows_of(workspace: Workspace, name: str) -> list[Conversation]:
    """The rows of a dataset; raises `BadDataError` when they are gone."""
    try:
        return read_jsonl(workspace.datasets / name / "conversations.jsonl")
    except (OSError, ConversationFileError) as error:
        raise BadDataError(f"The rows of dataset {name!r} are gone.", "Start again with its file.") from error


def _distinct(rows: tuple[Conversation, ...]) -> tuple[Conversation, ...]:
    return tuple({row.fingerprint: row for row in rows}.values())
