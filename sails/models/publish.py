"""Candidate ─► current model, roll back, recover: folders replaced under a journal.

A folder is replaced in five steps, each of which survives a crash:

    stage    the new content, complete and fsynced, as a hidden folder beside the target
    journal  a small file beside the target says what is staged and where the old content goes; a candidate
             is moved to its stage only now, so that no instruction can lose it
    swap     target ─► previous, staged ─► target; between the two renames readers follow the journal
    keep     previous ─► versions/ (or set aside when it was incomplete)
    done     the journal is removed

`recover_folder` finishes what a dead process left, so the worst that a crash costs is the time to call it.
Every writer holds a short lock beside the target, also when two workspaces share one model folder.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sails import system
from sails.errors import BusyError, DiskFullError, ModelLoadError, WorkspaceError
from sails.models import journal, versions
from sails.models.export_record import EXPORT_RECORD
from sails.models.folder import PROVENANCE, ModelState, OnnxState, inspect_model
from sails.models.variants import VARIANTS, failed_folder
from sails.models.versions import Provenance, Version
from sails.models.workspace import Workspace, new_id
from sails.system import megabytes

_NAME = re.compile(r"\w[\w.-]{0,99}")  # what a session may be called that was recorded by somebody else


def publish_model(workspace: Workspace, candidate: Path, provenance: Provenance) -> str:
    """Make the complete model in `candidate` the current one; returns its fingerprint.

    The candidate folder is moved. The model that was current becomes a version, an incomplete one is
    set aside. Raises `ModelLoadError` when the candidate is not complete.
    """
    system.require_changes()
    workspace.check_publishable()
    system.write_atomic(candidate / PROVENANCE, provenance.model_dump_json(indent=1))
    state = inspect_model(candidate)
    if not state.complete or state.fingerprint is None:
        raise ModelLoadError(
            f"The trained candidate is not complete: {state.reason}.", "Run the session again."
        )
    system.fsync_tree(candidate)
    target = workspace.trained_model
    with journal.write_lock(target):
        journal.sweep(target)
        staged = journal.stage_path(target, provenance.session or "candidate")
        journal.swap(staged, target, _place_for_current(workspace), candidate)
        versions.prune_versions(workspace)
    return state.fingerprint


def roll_back(workspace: Workspace, version: str) -> str:
    """Make a version the current model again; returns its fingerprint. The current one becomes a version.

    Its name, and that it is kept for good, come back when another model takes its place. Raises
    `WorkspaceError` when there is no such version, `BusyError` while a session trains and `DiskFullError`.
    """
    system.require_changes()
    workspace.check_publishable()
    source, target = _model_of(workspace, version), workspace.trained_model
    with exclusive_training(workspace), journal.write_lock(target):
        source = _model_of(workspace, version)  # somebody else may have been faster
        journal.sweep(target)
        size = sum(file.size for file in inspect_model(source).files)
        free = shutil.disk_usage(target.parent).free
        if size > free:
            raise DiskFullError(
                f"The model needs {megabytes(size)} in {target.parent}, and {megabytes(free)} are free.",
                "Free some space, then try again.",
            )
        staged = journal.stage_path(target, version)
        # What belongs to a version and not to its model: its ONNX model, and what a dead export left of one.
        onnx = source / versions.VERSION_ONNX
        leave_out = [f".{versions.VERSION_ONNX}.*", f"{versions.VERSION_ONNX}_failed"]
        if (onnx / EXPORT_RECORD).exists() or any(onnx.glob(f"*/{EXPORT_RECORD}")):
            leave_out.append(versions.VERSION_ONNX)
        system.copy_folder(source, staged, leave_out=tuple(leave_out))
        kept = versions.record_in(staged)
        if kept is None or not (kept.pinned or kept.name):  # nobody named it or keeps it for good
            (staged / versions.VERSION_RECORD).unlink(missing_ok=True)
        journal.swap(staged, target, _place_for_current(workspace))
        versions.discard(source)
        return str(inspect_model(target).fingerprint)


@dataclass(frozen=True)
class Prospect:
    """What rolling back to a version will do."""

    version: Version
    current: ModelState  # complete: becomes a version; incomplete: is set aside
    onnx: OnnxState
    refreshes_onnx: bool  # the ONNX model that is here was made from that very version
    size: int  # bytes to be copied


def prospect(workspace: Workspace, version: str) -> Prospect:
    """Foretell what `roll_back` would do now; raises `WorkspaceError` when there is no such version."""
    source = _model_of(workspace, version)
    situation, model = workspace.situation(), inspect_model(source)
    record = next((v for v in versions.list_versions(workspace) if v.id == version), None)
    when = model.modified or datetime.now(UTC)
    return Prospect(
        version=record or Version(id=version, fingerprint=model.fingerprint, retired=when),
        current=situation.trained,
        onnx=situation.onnx,
        refreshes_onnx=situation.onnx.fingerprint is not None
        and situation.onnx.fingerprint == model.fingerprint,
        size=sum(file.size for file in model.files),
    )


def _model_of(workspace: Workspace, version: str) -> Path:
    folder = workspace.versions / version
    names = [path.name for path in journal.visible_entries(workspace.versions)]
    if version not in names or not inspect_model(folder).complete:
        raise WorkspaceError(f"There is no version {version!r}.", "See `sails sessions versions`.")
    return folder


def unpublish(workspace: Workspace) -> Path | None:
    """Take the current model and its ONNX export away: the model becomes a version, the export is removed.

    Returns where the model went, None when there was none. Raises `BusyError` while a session trains.
    """
    system.require_changes()
    workspace.check_publishable()
    with exclusive_training(workspace):
        with journal.write_lock(workspace.trained_model):
            journal.sweep(workspace.trained_model)
            keep = _place_for_current(workspace)
            if keep is not None:
                journal.take_away(workspace.trained_model, keep)
        with journal.write_lock(workspace.onnx_model):
            journal.sweep(workspace.onnx_model)
            if not journal.is_foreign(workspace.onnx_model):
                journal.take_away(workspace.onnx_model, keep=None)
            for variant in VARIANTS:
                shutil.rmtree(failed_folder(workspace.onnx_model, variant), ignore_errors=True)
        return keep


@contextlib.contextmanager
def exclusive_training(workspace: Workspace) -> Iterator[None]:
    """Hold the training lock for a change of the current model; raises `BusyError` while a session trains."""
    training = system.LifeLock(workspace.training_lock)
    try:
        training.acquire(timeout=1.0)
    except BusyError as error:
        raise BusyError("A session is training right now.", "Wait until it has ended, or stop it.") from error
    try:
        yield
    finally:
        training.release()


def _place_for_current(workspace: Workspace) -> Path | None:
    """Where the current model goes: a new version, or set aside when incomplete; None when there is none."""
    current = inspect_model(workspace.trained_model)
    if not current.complete:  # a folder of folders is no model, but may be somebody's checkpoints
        holds_any = journal.visible_entries(workspace.trained_model)
        return journal.unused_path(workspace.set_aside / new_id("incomplete")) if holds_any else None
    recorded = current.session if current.session and _NAME.fullmatch(current.session) else None
    folder = journal.unused_path(workspace.versions / (recorded or new_id("imported")))
    earlier = versions.record_in(workspace.trained_model)  # from when it was a version before
    record = Version(
        id=folder.name,
        fingerprint=current.fingerprint,
        retired=datetime.now(UTC),
        pinned=earlier is not None and earlier.pinned,
        name=earlier.name if earlier else "",
    )
    system.write_atomic(workspace.trained_model / versions.VERSION_RECORD, record.model_dump_json(indent=1))
    return folder
