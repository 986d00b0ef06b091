"""Models that a death left beside their place, and whatever is set aside because it is damaged.

A publication that died is finished by its journal (`sails.models.journal`). Where the journal itself is
damaged, or gone, nobody knows any more what was to be done: then the models are found by looking, and kept.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sails import system
from sails.errors import BusyError
from sails.models import journal
from sails.models.folder import inspect_model
from sails.models.onnx_store import places, recover_onnx
from sails.models.versions import (
    VERSION_RECORD,
    Version,
    list_versions,
    provenance_of,
    record_in,
)
from sails.models.workspace import Workspace, new_id

JournalState = Literal["none", "unfinished", "damaged"]


def journal_state(target: Path) -> JournalState:
    """Tell whether a change of `target` was cut short; *none* also while somebody carries it out."""
    note = journal.journal_of(target)
    if not os.path.lexists(note) or _is_at_work(target):
        return "none"
    return "unfinished" if journal.is_readable(target) else "damaged"


def _is_at_work(target: Path) -> bool:
    try:
        with system.short_lock(journal.lock_of(target), timeout=0):
            return False
    except BusyError:
        return True
    except OSError:
        return False


def changes_cut_short(workspace: Workspace) -> dict[Path, JournalState]:
    """Return the model folders whose change a death cut short, and whether its journal can be read."""
    targets = (workspace.trained_model, workspace.onnx_model, *places(workspace.onnx_model))
    states = {target: journal_state(target) for target in targets}
    return {target: state for target, state in states.items() if state != "none"}


def finish_change(workspace: Workspace, target: Path) -> None:
    """Finish what a dead process began with a model folder; a damaged journal is set aside first.

    Then what lies beside the folder is looked through: the newest whole one takes its place where that is
    empty, a model that is nowhere else becomes an earlier one.
    """
    system.require_changes()
    with system.short_lock(journal.lock_of(target)):
        if os.path.lexists(journal.journal_of(target)) and not journal.is_readable(target):
            put_aside(workspace, journal.journal_of(target))
            beside = [folder for folder in _beside(target) if _is_whole(workspace, target, folder)]
            if beside and not target.exists():
                system.rename(
                    max(beside, key=lambda folder: (".staged-" in folder.name, folder.name)), target
                )
        else:
            journal.finish(target)
    if target == workspace.trained_model:
        for folder in stranded_models(workspace):
            keep_stranded(workspace, folder)
    else:
        recover_onnx(workspace.onnx_model)


def _beside(target: Path) -> list[Path]:
    """What was staged for a folder, or made room for it, by nobody who still lives."""
    found = (
        path for kind in ("staged", "previous") for path in target.parent.glob(f".{target.name}.{kind}-*")
    )
    return [path for path in found if path.is_dir() and not system.built_by_living(path)]


def _is_whole(workspace: Workspace, target: Path, folder: Path) -> bool:
    if target == workspace.trained_model:
        return inspect_model(folder).complete
    return any(folder.glob("*.onnx"))


def stranded_models(workspace: Workspace) -> list[Path]:
    """Return the complete models beside the current one that nobody reads, and that lie nowhere else."""
    target = workspace.trained_model
    if os.path.lexists(journal.journal_of(target)) and journal.is_readable(target):
        return []  # they are on their way
    beside = _beside(target)
    if not beside:
        return []
    known = {
        inspect_model(target).fingerprint,
        *(version.fingerprint for version in list_versions(workspace)),
    }
    prints = {folder: inspect_model(folder).fingerprint for folder in beside}
    return [folder for folder, fingerprint in prints.items() if fingerprint and fingerprint not in known]


def keep_stranded(workspace: Workspace, folder: Path) -> None:
    """Make a model that was found beside the current one an earlier one; one that is gone is no error."""
    system.require_changes()
    with journal.write_lock(workspace.trained_model):
        if folder not in stranded_models(workspace):
            return
        made = provenance_of(folder)
        name = (
            made.session if made and made.session and re.fullmatch(r"\w[\w.-]{0,99}", made.session) else None
        )
        home = journal.unused_path(workspace.versions / (name or new_id("found")))
        _write_record(folder, home.name)
        system.move_folder(folder, home)


def record_version(workspace: Workspace, folder: Path) -> None:
    """Write the record of an earlier model anew, from its files; an incomplete one is set aside instead."""
    system.require_changes()
    with journal.write_lock(workspace.trained_model):
        if record_in(folder) is not None:
            return
        if not inspect_model(folder).complete:
            put_aside(workspace, folder)
            return
        if os.path.lexists(folder / VERSION_RECORD):
            put_aside(workspace, folder / VERSION_RECORD)
        _write_record(folder, folder.name)


def _write_record(folder: Path, identity: str) -> None:
    state = inspect_model(folder)
    when = state.modified or datetime.now(UTC)
    record = Version(id=identity, fingerprint=state.fingerprint, retired=when)
    system.write_atomic(folder / VERSION_RECORD, record.model_dump_json(indent=1))


def put_aside(workspace: Workspace, path: Path, *, keep: bool = False) -> Path:
    """Move a file, folder or link of the workspace to `set_aside`; with `keep`, copy a file there.

    Returns where it lies then, under the name that it had in the workspace. Nothing is ever overwritten, and
    what is gone already is no error.
    """
    system.require_changes()
    if not os.path.lexists(path):
        return path
    name = path.relative_to(workspace.root) if path.is_relative_to(workspace.root) else Path(path.name)
    shown = Path(*(part.lstrip(".") or "hidden" for part in name.parts))
    home = journal.unused_path(workspace.set_aside / new_id("damaged") / shown)
    if keep and path.is_file() and not path.is_symlink():
        system.write_atomic(home, path.read_bytes())
        return home
    try:
        os.rename(path, home)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(path, home)
    with contextlib.suppress(OSError):
        system.fsync_folder(home.parent)
        system.fsync_folder(path.parent)
    return home
