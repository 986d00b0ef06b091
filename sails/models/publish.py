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
from typing import Literal

from sails import system
from sails.errors import BusyError, DiskFullError, ModelLoadError, WorkspaceError
from sails.models import acts, journal, versions
from sails.models.export_record import EXPORT_RECORD
from sails.models.folder import PROVENANCE, ModelState, inspect_model, inspect_onnx
from sails.models.onnx_store import recover_onnx, writing
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


@system.changes("roll back", what="version")
def roll_back(workspace: Workspace, version: str) -> str:
    """Make a version the current model again; returns its fingerprint. The current one becomes a version.

    ONNX models go with their models: that of the version comes back, that of the current model is kept with
    it. Its name, and that it is kept for good, come back when another model takes its place. Raises
    `WorkspaceError` when there is no such version, `BusyError` while a session trains and `DiskFullError`.
    """
    workspace.check_publishable()
    source, target = _model_of(workspace, version), workspace.trained_model
    with exclusive_training(workspace), journal.write_lock(target):
        source = _model_of(workspace, version)  # somebody else may have been faster
        left, made = inspect_model(target).fingerprint, versions.provenance_of(source)
        record = versions.record_in(source)
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
        leave_out = [f".{versions.VERSION_ONNX}.*", f"{versions.VERSION_ONNX}_failed"]
        if has_export(source):
            leave_out.append(versions.VERSION_ONNX)
        system.copy_folder(source, staged, leave_out=tuple(leave_out))
        kept = versions.record_in(staged)
        if kept is None or not (kept.pinned or kept.name):  # nobody named it or keeps it for good
            (staged / versions.VERSION_RECORD).unlink(missing_ok=True)
        journal.swap(staged, target, _place_for_current(workspace))
        _take_onnx_along(workspace, source)
        versions.discard_version(source)
        name, session = record.name if record else "", made.session if made else None
        acts.note_act(workspace, "roll back", session or version, name=name, left=left)
        return str(inspect_model(target).fingerprint)


def has_export(version: Path) -> bool:
    """Whether an ONNX model was made for a version; one that came with the model is a part of it."""
    onnx = version / versions.VERSION_ONNX
    return (onnx / EXPORT_RECORD).exists() or any(onnx.glob(f"*/{EXPORT_RECORD}"))


def _own_onnx(version: Path, fingerprint: str | None) -> Path | None:
    """The ONNX model that was made for a version and fits it; None when there is none."""
    onnx = version / versions.VERSION_ONNX
    fits = has_export(version) and inspect_onnx(onnx, fingerprint).stale is False
    return onnx if fits else None


def _take_onnx_along(workspace: Workspace, source: Path) -> None:
    """Put the ONNX model of `source`, which is current now, in place; keep the other one with its own model.

    One that was made from no model that is still here stays until there is another one.
    """
    target, current = workspace.onnx_model, inspect_model(workspace.trained_model)
    recover_onnx(target)
    with journal.write_lock(target):
        here = inspect_onnx(target, current.fingerprint)
        if here.present and here.fingerprint == current.fingerprint:
            return
        home = versions.version_with(workspace, here.fingerprint)
        keep = workspace.versions / home.id / versions.VERSION_ONNX if home else None
        if journal.is_foreign(target):
            keep = journal.unused_path(target.with_name(f"{target.name}-set-aside"))
        if own := _own_onnx(source, current.fingerprint):
            target.parent.mkdir(parents=True, exist_ok=True)
            journal.swap(journal.stage_path(target, source.name), target, keep, own)
        elif home:
            journal.take_away(target, keep)


@dataclass(frozen=True)
class Prospect:
    """What rolling back to a version will do.

    `onnx` says which ONNX model will be here then: that of the version, because it lies here (*here*) or with
    the version (*kept*); *none*, also because the one that is here goes with its model; or one of another
    model (*other*), which stays.
    """

    version: Version
    current: ModelState  # complete: becomes a version; incomplete: is set aside
    onnx: Literal["here", "kept", "none", "other"]
    leaves: bool  # the ONNX model that is here is kept with the current model
    size: int  # bytes to be copied


def prospect(workspace: Workspace, version: str) -> Prospect:
    """Foretell what `roll_back` would do now; raises `WorkspaceError` when there is no such version."""
    source = _model_of(workspace, version)
    situation, model = workspace.situation(), inspect_model(source)
    record = next((v for v in versions.list_versions(workspace) if v.id == version), None)
    when = model.modified or datetime.now(UTC)
    here = situation.onnx
    leaves = here.fingerprint is not None and (
        here.fingerprint == situation.trained.fingerprint != model.fingerprint
    )
    goes = leaves or versions.version_with(workspace, here.fingerprint) is not None
    onnx: Literal["here", "kept", "none", "other"] = "none" if goes or not here.present else "other"
    if here.present and here.fingerprint == model.fingerprint:
        onnx = "here"
    elif _own_onnx(source, model.fingerprint):
        onnx = "kept"
    return Prospect(
        version=record or Version(id=version, fingerprint=model.fingerprint, retired=when),
        current=situation.trained,
        onnx=onnx,
        leaves=leaves,
        size=sum(file.size for file in model.files),
    )


def _model_of(workspace: Workspace, version: str) -> Path:
    folder = workspace.versions / version
    names = [path.name for path in journal.visible_entries(workspace.versions)]
    if version not in names or not inspect_model(folder).complete:
        raise WorkspaceError(f"There is no version {version!r}.", "See `sails sessions versions`.")
    return folder


@system.changes("take the current model away", role="admin")
def unpublish(workspace: Workspace) -> Path | None:
    """Take the current model and its ONNX export away: the model becomes a version, the export is removed.

    Returns where the model went, None when there was none. Raises `BusyError` while a session trains.
    """
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
        acts.note_act(workspace, "reset", keep.name if keep else "")
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


@contextlib.contextmanager
def models_at_rest(workspace: Workspace) -> Iterator[None]:
    """While it is held, nobody replaces or moves a model; what a dead process began is finished first."""
    with journal.write_lock(workspace.trained_model), writing(workspace.onnx_model):
        yield


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
