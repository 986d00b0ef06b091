"""Compressed files (.gz) and archives (.zip), expanded up to a limit.

A small archive can be made to expand to more than any memory holds: what is read is counted as it comes,
whatever the archive says of itself.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from sails.data.formats import arrow, messengers, training_sets
from sails.data.formats.source import MAX_BYTES, Source
from sails.data.formats.text_encoding import decode, printable
from sails.data.formats.yaml_file import documents_of
from sails.errors import ConversationFileError
from sails.system import size

GZIP, ZIP = b"\x1f\x8b", b"PK"
BACKUP_CONTENTS = "sails-backup.json"  # the entry that says what a backup of a workspace holds
MAX_FILES = 1000
_IGNORED = ("__macosx", ".ds_store", "thumbs.db", "desktop.ini")
_ABOUT = ("readme", "license", "licence", "changelog", "notice", "dataset_info", "dataset_dict", "state")
_SERVICE = (
    "user",
    "users",
    "projects",
    "memories",
    "message_feedback",
    "shared_conversations",
    "model_comparisons",
)
_TRAIN = re.compile(r"(?<![a-z])train(?![a-z])")
_TEST = re.compile(r"(?<![a-z])(?:test|valid|validation|val|dev|eval)(?![a-z])")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def expanded(raw: bytes, name: str) -> bytes:
    """Return what a file compressed with gzip holds; raises ConversationFileError."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            content = file.read(MAX_BYTES + 1)
    except _DAMAGED as error:
        raise ConversationFileError(
            f"{name} is a compressed file (gzip) that is damaged.", "Copy or export it again."
        ) from error
    if len(content) > MAX_BYTES:
        raise _too_large(name)
    return content


class Archive:
    """The files of a .zip, those that may hold conversations; `files` gives each one's bytes when called."""

    def __init__(self, raw: bytes, name: str) -> None:
        self.name = name
        self._left = MAX_BYTES
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(raw))
            found = [info for info in self._zip.infolist() if not info.is_dir()]
        except _DAMAGED as error:
            raise ConversationFileError(
                f"{name} is a damaged archive (.zip).", "Copy or export it again."
            ) from error
        if any(info.filename == BACKUP_CONTENTS for info in found):
            # It may be that of others; only an admin may restore it.
            problem = f"{name} is a backup of a workspace, and no file of conversations."
            raise ConversationFileError(problem, "Restore it, and bring a dataset out of it.")
        paths = [info for info in found if not _is_ignored(info.filename)]
        if len(paths) > MAX_FILES and not _is_slack([info.filename for info in paths]):
            raise ConversationFileError(
                f"{name} holds {len(paths):,} files, more than {MAX_FILES:,}.",
                "Put fewer of them into one archive.",
            )
        self.files: dict[str, Any] = {info.filename: partial(self._read, info) for info in paths}

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        if info.flag_bits & 1:
            raise ConversationFileError(
                f"{self.name} is locked with a password.", "Save it again without one."
            )
        try:
            with self._zip.open(info) as file:
                content = file.read(self._left + 1)
        except _DAMAGED as error:
            raise ConversationFileError(
                f"{info.filename} in {self.name} is damaged.", "Copy or export it again."
            ) from error
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(self.name)
        return content


def _too_large(name: str) -> ConversationFileError:
    return ConversationFileError(
        f"{name} expands to more than {size(MAX_BYTES)}.",
        "Expand it yourself, and bring its files one by one.",
    )


def check_size(expanded: int, name: str, limit: int = MAX_BYTES) -> None:
    """Raise ConversationFileError for too many bytes; no part of a zip expands to more than it says."""
    if expanded > limit:
        problem = f"{name} expands to more than {size(limit)}."
        raise ConversationFileError(problem, "Save what it says as CSV or plain text, and bring that.")


def _is_ignored(path: str) -> bool:
    parts = [part.casefold() for part in PurePosixPath(path.replace("\\", "/")).parts]
    return any(part in _IGNORED or part.startswith("._") for part in parts)


def is_office(raw: bytes) -> str:
    """Return which kind of document a zip is by its parts: `xlsx`, `docx`, `ods`, …; empty for an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as file:
            names = set(file.namelist())
            kind = file.open("mimetype").read(200).decode("ascii", "replace") if "mimetype" in names else ""
    except (*_DAMAGED, KeyError):
        return ""
    for part, name in (("xl/", "xlsx"), ("word/", "docx"), ("ppt/", "pptx")):
        if "[Content_Types].xml" in names and any(path.startswith(part) for path in names):
            return name
    for part, name in (
        ("spreadsheet", "ods"),
        ("opendocument.text", "odt"),
        ("presentation", "odp"),
        ("epub", "epub"),
    ):
        if part in kind:
            return name
    if any(path.startswith("collection.anki") for path in names):
        return "anki"
    return "iwork" if any(path.startswith("Index/") and path.endswith(".iwa") for path in names) else ""


def source_of(files: Mapping[str, Any], name: str) -> Source | None:
    """Return the conversations of files that only make sense together; None where each stands for itself.

    These are a dataset that `datasets` saved, an export of Slack, and the parts of a Rasa bot.
    """
    if (source := arrow.saved_dataset(files, name)) is not None:
        return source
    if _is_slack(list(files)):
        return _slack(files, name)
    parts = [path for path in files if path.lower().endswith((".yml", ".yaml"))]
    documents = [
        document for path in parts for document in documents_of(decode(files[path](), path).text, path)
    ]
    rasa = [document for document in documents if training_sets.is_rasa(document)]
    return training_sets.rasa("yaml", rasa, name) if rasa else None


def _is_slack(paths: list[str]) -> bool:
    names = {PurePosixPath(path).name for path in paths}
    return "users.json" in names and ("channels.json" in names or "integration_logs.json" in names)


def _slack(files: Mapping[str, Any], name: str) -> Source:
    people: dict[str, str] = {}
    channels: dict[str, list[Any]] = {}
    for path in sorted(files):
        if path.lower().endswith(".json"):
            try:
                document = json.loads(files[path]())
            except (ValueError, RecursionError) as error:
                raise ConversationFileError(
                    f"{path} in {name} has a mistake in its JSON.", "Export it again."
                ) from error
            if PurePosixPath(path).name == "users.json":
                people = messengers.slack_names(document)
            elif messengers.is_slack(document):
                channels.setdefault(str(PurePosixPath(path).parent), []).extend(document)
    return messengers.slack(channels, people)


def with_conversations(files: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the files that may hold conversations to be taught, and sentences on those that are left out.

    Files that only tell about the others are passed over, and beside a file to train with those to test with.
    """
    stems = {path: PurePosixPath(path).stem.casefold() for path in files}
    told = {path for path, stem in stems.items() if stem in _ABOUT}
    if "conversations" in stems.values():  # an export of ChatGPT or Claude
        told |= {path for path, stem in stems.items() if stem in _SERVICE}
        told |= {path for path in files if path.lower().endswith((".html", ".htm"))}
    notes: list[str] = []
    if any(_TRAIN.search(stem) for path, stem in stems.items() if path not in told):
        tests = [path for path, stem in stems.items() if _TEST.search(stem) and not _TRAIN.search(stem)]
        told.update(tests)
        notes = [f"“{printable(path)}” is there to test with, and was not read." for path in tests]
    return {path: read for path, read in files.items() if path not in told}, tuple(notes)
