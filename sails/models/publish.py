"""Candidate ─► current model, roll back, recover: folders replaced under a journal.

A folder is replaced in five steps, each of which survives a crash:

    stage    the new content, complete and fsynced, as a hidden folder beside the target
    journal  a small file beside the target says what is staged and where the old content goes; a candidate
             is moved to its stage only now, so that no instruction can lose it
    swap     target ─► previous, staged ─► target; between the two renames readers follow the journal
    keep     previous ─► versions/ (or set aside when it was incomplete)
    done     the journal is removed

`recover` finishes whatever a dead process left, so the worst that a crash costs is the time to call it.
Every writer holds a short lock beside the target, also when two workspaces share one model folder.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sails.errors import BusyError, DiskFullError, ModelLoadError, RequestError, WorkspaceError
from sails.models.variants import VARIANTS, failed_folder
from sails.models.workspace import (
    EXPORT_RECORD,
    PROVENANCE,
    ModelState,
    OnnxState,
    Workspace,
    inspect_model,
    inspect_onnx,
    journal_of,
    new_id,
    read_json,
)
from sails.system import access, locks

VERSION_RECORD = "version.json"
VERSION_ONNX = "onnx"  # a version's own ONNX model, made on demand; it stays behind when the version leaves
VERSIONS_KEPT = 5
NAME_LENGTH = 60  # characters that a person may call a version
_NAME = re.compile(r"\w[\w.-]{0,99}")  # what a session may be called that was recorded by somebody else


class Provenance(BaseModel):
    """Where a model came from; lies in its folder as `sails.json` and travels with it."""

    model_config = ConfigDict(frozen=True)

    session: str | None = None
    base: str | None = None
    parent: str | None = None  # fingerprint of the model it continued; None from base
    created: datetime


class Version(BaseModel):
    """An earlier published model, kept in `versions/ID/`."""

    id: str
    fingerprint: str | None = None
    retired: datetime
    pinned: bool = False
    name: str = ""  # what a person calls it


class _Journal(BaseModel):
    candidate: Path | None = None  # moved to `staged` first
    staged: str  # names beside the target
    previous: str
    keep: Path | None  # where the old content goes; None deletes it afterwards


# --- replacing a folder ---------------------------------------------------------------------------


def stage_path(target: Path, tag: str) -> Path:
    """Where to build new content for `target`: a hidden folder beside it, so that a rename suffices.

    The name says which process builds it, so that `clear_leftovers` of another one spares it.
    """
    builder = locks.this_process()
    return target.with_name(f".{target.name}.staged-{tag}.{builder.pid}-{builder.created:.0f}")


def replace_folder(staged: Path, target: Path, keep: Path | None) -> None:
    """Put the complete folder `staged` (beside `target`) in the place of `target`.

    What was there goes to `keep`, or is deleted at the very end when `keep` is None; what is no ONNX
    export is never deleted but moved beside the target. Safe to be killed at any instruction:
    `recover(target)` finishes or undoes.
    """
    access.require_changes()
    if staged.parent != target.parent:
        raise ValueError(f"{staged} must lie beside {target}")
    locks.fsync_tree(staged)
    with only_writer(target):
        if keep is None and is_foreign(target):
            keep = free(target.with_name(f"{target.name}-set-aside"))
        swap(staged, target, keep)


def is_foreign(folder: Path) -> bool:
    """Whether a folder holds something and is no ONNX export, so that replacing it would cost files."""
    strange = [path for path in _visible(folder) if not (path / EXPORT_RECORD).exists()]
    if not strange or (folder / EXPORT_RECORD).exists():
        return False
    return not ((folder / "config.json").exists() and inspect_onnx(folder, None).present)


def recover(target: Path) -> None:
    """Finish what a dead process began with `target`; does nothing when there is nothing to finish."""
    if journal_of(target).exists():
        with only_writer(target):
            pass


@contextlib.contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Hold the lock beside `target`, with whatever a dead process began finished."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with locks.short_lock(_lock_of(target)):
        finish(target)
        yield


def finish(target: Path) -> None:
    """What the journal of `target` says, if there is one; for who holds the lock, see `only_writer`."""
    content = read_json(journal_of(target))
    if content is None:
        journal_of(target).unlink(missing_ok=True)
    else:
        _carry_out(_Journal.model_validate(content), target)


def swap(staged: Path, target: Path, keep: Path | None, candidate: Path | None = None) -> None:
    """Put `staged`, where `candidate` is moved to first if there is one, in the place of `target`.

    For who holds the lock, see `only_writer`; `replace_folder` does both.
    """
    previous = staged.name.replace(".staged-", ".previous-")
    journal = _Journal(candidate=candidate, staged=staged.name, previous=previous, keep=keep)
    locks.write_atomic(journal_of(target), journal.model_dump_json())
    _carry_out(journal, target)


def _take_away(target: Path, keep: Path | None) -> None:
    """Move the content of `target` to `keep`, or delete it, at once for every reader."""
    previous = target.with_name(f".{target.name}.previous-retired")
    journal = _Journal(staged=stage_path(target, "nothing").name, previous=previous.name, keep=keep)
    locks.write_atomic(journal_of(target), journal.model_dump_json())
    if target.exists():
        locks.rename(target, previous)
    _carry_out(journal, target)


def _carry_out(journal: _Journal, target: Path) -> None:
    """Every step looks at what is there, so running it again after a crash continues where it stopped."""
    staged, previous = target.with_name(journal.staged), target.with_name(journal.previous)
    if journal.candidate is not None and journal.candidate.exists():
        if staged.exists():  # copied to another filesystem, and killed while the original was removed
            shutil.rmtree(journal.candidate)
        else:
            locks.move_folder(journal.candidate, staged)
    if staged.exists() and target.exists():
        locks.rename(target, previous)
    if staged.exists():
        locks.rename(staged, target)
    if previous.exists() and journal.keep is not None and not journal.keep.exists():
        locks.move_folder(previous, journal.keep)
    shutil.rmtree(previous, ignore_errors=True)
    journal_of(target).unlink(missing_ok=True)
    locks.fsync_folder(target.parent)


def clear_leftovers(target: Path) -> None:
    """Remove what dead processes left beside `target`; what a living one builds there is spared."""
    with only_writer(target):
        _sweep(target)


def _sweep(target: Path) -> None:
    ours = (f".{target.name}.staged-", f".{target.name}.previous-")
    half = (f"..{target.name}.staged-", f".{journal_of(target).name}.")  # what locks.py was writing
    for leftover in target.parent.iterdir():
        if not leftover.name.startswith(ours + half) or _built_by_another(leftover):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _built_by_another(staged: Path) -> bool:
    builder = re.search(r"\.(\d+)-(\d+)(?:\.partial)?$", staged.name)
    if builder is None or int(builder[1]) == os.getpid():
        return False
    return locks.is_alive(locks.ProcessIdentity(int(builder[1]), float(builder[2]), socket.gethostname()))


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


# --- publishing a model ---------------------------------------------------------------------------


def publish(workspace: Workspace, candidate: Path, provenance: Provenance) -> str:
    """Make the complete model in `candidate` the current one; returns its fingerprint.

    The candidate folder is moved. The model that was current becomes a version, an incomplete one is
    set aside. Raises `ModelLoadError` when the candidate is not complete.
    """
    access.require_changes()
    workspace.check_publishable()
    locks.write_atomic(candidate / PROVENANCE, provenance.model_dump_json(indent=1))
    state = inspect_model(candidate)
    if not state.complete or state.fingerprint is None:
        raise ModelLoadError(
            f"The trained candidate is not complete: {state.reason}.", "Run the session again."
        )
    locks.fsync_tree(candidate)
    target = workspace.trained_model
    with only_writer(target):
        _sweep(target)
        staged = stage_path(target, provenance.session or "candidate")
        swap(staged, target, _place_for_current(workspace), candidate)
        prune_versions(workspace)
    return state.fingerprint


def roll_back(workspace: Workspace, version: str) -> str:
    """Make a version the current model again; returns its fingerprint. The current one becomes a version.

    Its name, and that it is kept for good, come back when another model takes its place. Raises
    `WorkspaceError` when there is no such version, `BusyError` while a session trains and `DiskFullError`.
    """
    access.require_changes()
    workspace.check_publishable()
    source, target = _model_of(workspace, version), workspace.trained_model
    with alone(workspace), only_writer(target):
        source = _model_of(workspace, version)  # somebody else may have been faster
        _sweep(target)
        _refuse_without_room(source, target.parent)
        staged = stage_path(target, version)
        locks.copy_folder(source, staged, leave_out=_made_on_demand(source))
        if not _is_cherished(staged):
            (staged / VERSION_RECORD).unlink(missing_ok=True)
        swap(staged, target, _place_for_current(workspace))
        _discard(source)
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
    """What `roll_back` would do now; raises `WorkspaceError` when there is no such version."""
    source = _model_of(workspace, version)
    situation, model = workspace.situation(), inspect_model(source)
    record = next((v for v in versions(workspace) if v.id == version), None)
    when = model.modified or datetime.now(UTC)
    return Prospect(
        version=record or Version(id=version, fingerprint=model.fingerprint, retired=when),
        current=situation.trained,
        onnx=situation.onnx,
        refreshes_onnx=situation.onnx.fingerprint is not None
        and situation.onnx.fingerprint == model.fingerprint,
        size=sum(file.size for file in model.files),
    )


def version_with(workspace: Workspace, fingerprint: str | None) -> Version | None:
    """The version that holds the model with this fingerprint, the one put away last of several."""
    return next((v for v in versions(workspace) if fingerprint and v.fingerprint == fingerprint), None)


def _model_of(workspace: Workspace, version: str) -> Path:
    folder = workspace.versions / version
    names = [path.name for path in _visible(workspace.versions)]
    if version not in names or not inspect_model(folder).complete:
        raise WorkspaceError(f"There is no version {version!r}.", "See `sails sessions versions`.")
    return folder


def _refuse_without_room(source: Path, folder: Path) -> None:
    size = sum(file.size for file in inspect_model(source).files)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DiskFullError(
            f"The model needs {size / 1e6:,.0f} MB in {folder}, and {free / 1e6:,.0f} MB are free.",
            "Free some space, then try again.",
        )


def retire(workspace: Workspace) -> Path | None:
    """Take the current model and its ONNX export away: the model becomes a version, the export is removed.

    Returns where the model went, None when there was none. Raises `BusyError` while a session trains.
    """
    access.require_changes()
    workspace.check_publishable()
    with alone(workspace):
        with only_writer(workspace.trained_model):
            _sweep(workspace.trained_model)
            keep = _place_for_current(workspace)
            if keep is not None:
                _take_away(workspace.trained_model, keep)
        with only_writer(workspace.onnx_model):
            _sweep(workspace.onnx_model)
            if not is_foreign(workspace.onnx_model):
                _take_away(workspace.onnx_model, keep=None)
            for variant in VARIANTS:
                shutil.rmtree(failed_folder(workspace.onnx_model, variant), ignore_errors=True)
        return keep


def _made_on_demand(version: Path) -> tuple[str, ...]:
    """What belongs to a version and not to its model: its ONNX model, and what a dead export left of one."""
    onnx = version / VERSION_ONNX
    made_here = (onnx / EXPORT_RECORD).exists() or any(onnx.glob(f"*/{EXPORT_RECORD}"))
    always = (f".{VERSION_ONNX}.*", f"{VERSION_ONNX}_failed")
    return (*always, VERSION_ONNX) if made_here else always


@contextlib.contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """Hold the training lock for a change of the current model; raises `BusyError` while a session trains."""
    training = locks.LifeLock(workspace.training_lock)
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
        holds_any = _visible(workspace.trained_model)
        return free(workspace.set_aside / new_id("incomplete")) if holds_any else None
    recorded = current.session if current.session and _NAME.fullmatch(current.session) else None
    place = free(workspace.versions / (recorded or new_id("imported")))
    earlier = _record_in(workspace.trained_model)  # from when it was a version before
    record = Version(
        id=place.name,
        fingerprint=current.fingerprint,
        retired=datetime.now(UTC),
        pinned=earlier is not None and earlier.pinned,
        name=earlier.name if earlier else "",
    )
    locks.write_atomic(workspace.trained_model / VERSION_RECORD, record.model_dump_json(indent=1))
    return place


def _visible(folder: Path) -> list[Path]:
    """What a person would say lies in the folder."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def free(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(free for free in itertools.chain((path,), numbered) if not free.exists())


# --- versions -------------------------------------------------------------------------------------


def versions(workspace: Workspace) -> list[Version]:
    """Earlier models, the one that was current last first."""
    folders = workspace.versions.glob(f"[!.]*/{VERSION_RECORD}")
    found = [record for path in folders if (record := _record_in(path.parent))]
    return sorted(found, key=lambda version: version.retired, reverse=True)


def _record_in(folder: Path) -> Version | None:
    with contextlib.suppress(ValidationError):
        return Version.model_validate({**(read_json(folder / VERSION_RECORD) or {}), "id": folder.name})
    return None


def _is_cherished(folder: Path) -> bool:
    """Whether a person named the version or keeps it for good."""
    record = _record_in(folder)
    return record is not None and bool(record.pinned or record.name)


def pin(workspace: Workspace, version: str, *, pinned: bool) -> None:
    """Keep a version for good, or no longer; raises `WorkspaceError` when there is none of that name."""
    _change(workspace, version, pinned=pinned)


def name_version(workspace: Workspace, version: str, name: str) -> None:
    """Give a version a name, an empty one for none; raises `WorkspaceError` when there is no such version.

    A name has at most `NAME_LENGTH` characters on one line; `RequestError` otherwise.
    """
    line = " ".join(name.split())
    if len(line) > NAME_LENGTH or not all(character.isprintable() for character in line):
        raise RequestError(
            f"The name of a version has at most {NAME_LENGTH} letters, figures and signs.",
            "Choose a shorter one.",
        )
    _change(workspace, version, name=line)


def _change(workspace: Workspace, version: str, **changes: Any) -> None:
    access.require_changes()
    with only_writer(workspace.trained_model):  # nobody rolls back or prunes meanwhile
        found = next((v for v in versions(workspace) if v.id == version), None)
        if found is None:
            raise WorkspaceError(f"There is no version {version!r}.", "See `sails sessions versions`.")
        record = workspace.versions / version / VERSION_RECORD
        locks.write_atomic(record, found.model_copy(update=changes).model_dump_json(indent=1))


def prune_versions(workspace: Workspace, kept: int = VERSIONS_KEPT) -> None:
    """Delete versions beyond the newest `kept`; pinned ones stay and do not count."""
    for version in [v for v in versions(workspace) if not v.pinned][kept:]:
        _discard(workspace.versions / version.id)
    for half_deleted in workspace.versions.glob(".*.deleted"):
        shutil.rmtree(half_deleted, ignore_errors=True)


def _discard(version: Path) -> None:
    """Delete a version, which is never seen half deleted."""
    deleted = version.with_name(f".{version.name}.deleted")
    shutil.rmtree(deleted, ignore_errors=True)
    locks.rename(version, deleted)
    shutil.rmtree(deleted, ignore_errors=True)


def provenance_of(folder: Path) -> Provenance | None:
    """Where the model in `folder` came from; None when nobody recorded it."""
    content: dict[str, Any] | None = read_json(folder / PROVENANCE)
    with contextlib.suppress(ValidationError):
        return Provenance.model_validate(content)
    return None
