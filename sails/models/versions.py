"""Earlier models: which there are, their names, which are kept for good, where a model came from."""

from __future__ import annotations

import contextlib
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sails import system
from sails.errors import BusyError, RequestError, WorkspaceError
from sails.models.folder import PROVENANCE
from sails.models.journal import recover_folder, write_lock
from sails.models.workspace import Workspace
from sails.system import read_json

VERSION_RECORD = "version.json"
VERSION_ONNX = "onnx"  # a version's own ONNX model, made on demand; it stays behind when the version leaves
VERSIONS_KEPT = 5
MAX_NAME_LENGTH = 60  # characters that a person may call a version


class Provenance(BaseModel):
    """Where a model came from; lies in its folder as `sails.json` and travels with it."""

    model_config = ConfigDict(frozen=True)

    session: str | None = None
    base: str | None = None
    parent: str | None = None  # fingerprint of the model it continued; None from base
    tokenizer: str | None = None  # which tokenizer and chat template it was taught with
    created: datetime


class Version(BaseModel):
    """An earlier published model, kept in `versions/ID/`."""

    id: str
    fingerprint: str | None = None
    retired: datetime
    pinned: bool = False
    name: str = ""  # what a person calls it


def version_with(workspace: Workspace, fingerprint: str | None) -> Version | None:
    """Return the version that holds the model with this fingerprint, the one put away last of several."""
    return next((v for v in list_versions(workspace) if fingerprint and v.fingerprint == fingerprint), None)


def list_versions(workspace: Workspace) -> list[Version]:
    """Earlier models, the one that was current last first, with what a dead process was just putting away."""
    with contextlib.suppress(OSError, BusyError, WorkspaceError):  # a damaged journal is told elsewhere
        recover_folder(workspace.trained_model)
    folders = workspace.versions.glob(f"[!.]*/{VERSION_RECORD}")
    versions = [record for path in folders if (record := record_in(path.parent))]
    return sorted(versions, key=lambda version: version.retired, reverse=True)


def versions_unlisted(workspace: Workspace) -> list[Path]:
    """Return the folders of earlier models that `list_versions` leaves out, for want of a record."""
    folders = [path for path in workspace.versions.glob("[!.]*") if path.is_dir() and not path.is_symlink()]
    return sorted(folder for folder in folders if record_in(folder) is None)


def record_in(folder: Path) -> Version | None:
    with contextlib.suppress(ValidationError):
        return Version.model_validate({**(read_json(folder / VERSION_RECORD) or {}), "id": folder.name})
    return None


@system.changes("keep a version", what="version")
def pin(workspace: Workspace, version: str, *, pinned: bool) -> None:
    """Keep a version for good, or no longer; raises `WorkspaceError` when there is none of that name."""
    _change(workspace, version, pinned=pinned)


@system.changes("name a version", what="version")
def name_version(workspace: Workspace, version: str, name: str) -> None:
    """Give a version a name, an empty one for none; raises `WorkspaceError` when there is no such version.

    A name has at most `MAX_NAME_LENGTH` characters on one line; `RequestError` otherwise.
    """
    line = " ".join(name.split())
    if len(line) > MAX_NAME_LENGTH or not all(character.isprintable() for character in line):
        raise RequestError(
            f"The name of a version has at most {MAX_NAME_LENGTH} letters, figures and signs.",
            "Choose a shorter one.",
        )
    _change(workspace, version, name=line)


def _change(workspace: Workspace, version: str, **changes: Any) -> None:
    system.require_changes()
    with write_lock(workspace.trained_model):  # nobody rolls back or prunes meanwhile
        found = next((v for v in list_versions(workspace) if v.id == version), None)
        if found is None:
            raise WorkspaceError(f"There is no version {version!r}.", "See `sails sessions versions`.")
        record = workspace.versions / version / VERSION_RECORD
        system.write_atomic(record, found.model_copy(update=changes).model_dump_json(indent=1))


def prune_versions(workspace: Workspace, kept: int = VERSIONS_KEPT) -> None:
    """Delete versions beyond the newest `kept`; pinned ones stay and do not count."""
    system.require_changes()
    for version in [v for v in list_versions(workspace) if not v.pinned][kept:]:
        discard_version(workspace.versions / version.id)
    for half_deleted in workspace.versions.glob(".*.deleted"):
        shutil.rmtree(half_deleted, ignore_errors=True)


def discard_version(version: Path) -> None:
    """Delete a version, which is never seen half deleted."""
    system.require_changes()
    system.remove_at_once(version)


def provenance_of(folder: Path) -> Provenance | None:
    """Tell where the model in `folder` came from; None when nobody recorded it."""
    with contextlib.suppress(ValidationError):
        return Provenance.model_validate(read_json(folder / PROVENANCE))
    return None
