"""What takes the room of a workspace, and what of that may go without anybody missing it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sails import models, onnx, sessions, system
from sails.doctor.finding import Finding
from sails.errors import BusyError, WorkspaceError
from sails.models import VERSION_ONNX, VERSIONS_KEPT, Version, Workspace, inspect_model
from sails.sessions import SessionRecord

# --- what takes it --------------------------------------------------------------------------------

# By the first part of a name in the workspace; what is not here counts as other files.
TITLES = {
    "trained_model": "The current model",
    "onnx_model": "ONNX models",
    "onnx_model_failed": "ONNX models",
    "versions": "Earlier models",
    "candidates": "Models that sessions hold",
    "checkpoints": "Checkpoints to resume from",
    "sessions": "What sessions did",
    "jobs": "Work in the background",
    "datasets": "Your conversations",
    "corrections": "Corrections and chats",
    "conversations": "Corrections and chats",
    "set_aside": "What was set aside",
}
OTHER = "Other files"


@dataclass(frozen=True)
class Room:
    """How many bytes one kind of things takes."""

    title: str
    size: int


def disk_use(workspace: Workspace) -> list[Room]:
    """Return what takes the room of a workspace, the largest first; a file with two names counts once."""
    sizes: dict[str, int] = {}
    seen: set[tuple[int, int]] = set()
    for parent, _, names in os.walk(workspace.root):
        parts = Path(parent).relative_to(workspace.root).parts
        for name in names:
            try:
                state = os.lstat(os.path.join(parent, name))
            except OSError:
                continue
            if (state.st_dev, state.st_ino) not in seen:
                seen.add((state.st_dev, state.st_ino))
                title = _title((*parts, name))
                sizes[title] = sizes.get(title, 0) + state.st_size
    rooms = [Room(title, size) for title, size in sizes.items() if size]
    return sorted(rooms, key=lambda room: (-room.size, room.title))


def _title(parts: tuple[str, ...]) -> str:
    if len(parts) == 1:
        return OTHER
    if parts[0] == "sessions" and parts[2:3] in (("model",), ("checkpoints",)):
        return TITLES["candidates" if parts[2] == "model" else "checkpoints"]
    return TITLES.get(parts[0], OTHER)


def free_bytes(workspace: Workspace) -> int:
    """Return the bytes that are free where the workspace lies."""
    return shutil.disk_usage(workspace.root).free


# --- what may go ----------------------------------------------------------------------------------


def spare(workspace: Workspace) -> Iterator[Finding]:
    """What can be made again at once, or lies here twice; nothing that a person wrote, and no model alone."""
    yield from _versions(workspace)
    for record in sessions.read_history(workspace):
        if size := _useless_checkpoints(record):
            session = record.session
            yield Finding(
                "checkpoint",
                "spare",
                f"The session {session.id} has ended, and nothing resumes from its checkpoints.",
                session.checkpoints,
                "They are deleted.",
                size=size,
                session=session.id,
                mend=partial(_drop_checkpoints, session),
            )
    bundles = workspace.jobs / onnx.DOWNLOADS
    if size := system.folder_size(bundles):
        yield Finding(
            "bundle",
            "spare",
            "Zip files of ONNX models were made to be downloaded.",
            bundles,
            "They are deleted; the page ONNX export makes them again.",
            size=size,
            mend=partial(_drop_bundles, bundles),
        )
    if size := system.folder_size(workspace.tokens):
        yield Finding(
            "tokens",
            "spare",
            "Examples that were taught are kept as word pieces (tokens), so that they need not be cut again.",
            workspace.tokens,
            "They are deleted; the next training makes those that it needs again.",
            size=size,
            mend=partial(_drop_tokens, workspace),
        )
    for version in models.list_versions(workspace):
        home = workspace.versions / version.id / VERSION_ONNX
        if models.has_export(home.parent) and (size := system.folder_size(home)):
            yield Finding(
                "export",
                "spare",
                f"An ONNX model of the earlier model {version.name or version.id} lies beside it.",
                home,
                "It is deleted; it can be made again from the model, which stays.",
                size=size,
                mend=partial(_drop_export, workspace, home),
            )


def _versions(workspace: Workspace) -> Iterator[Finding]:
    """Earlier models that lie here twice, and more of them than are kept."""
    listed = models.list_versions(workspace)
    current = workspace.situation().trained
    seen = {current.fingerprint: workspace.trained_model} if current.complete else {}
    for version in listed:
        folder = workspace.versions / version.id
        twin = seen.setdefault(inspect_model(folder).fingerprint, folder)
        is_spare = twin != folder and not version.pinned and not version.name
        if is_spare and _content(folder) == _content(twin):  # a fingerprint samples, and proves nothing
            same = (
                "the current model" if twin == workspace.trained_model else f"the earlier model {twin.name}"
            )
            yield Finding(
                "version",
                "spare",
                f"The earlier model {version.id} is the same as {same}.",
                folder,
                "It is deleted; the other one stays.",
                size=system.folder_size(folder),
                mend=partial(_drop_twin, workspace, version, twin),
            )
    too_many = [version for version in listed if not version.pinned][VERSIONS_KEPT:]
    for version in too_many:
        yield Finding(
            "version",
            "spare",
            f"The earlier model {version.name or version.id} is older than those that are kept.",
            workspace.versions / version.id,
            "It is deleted, as the next training would do.",
            size=system.folder_size(workspace.versions / version.id),
            mend=partial(_prune, workspace),
        )


def _prune(workspace: Workspace) -> None:
    system.require_changes()
    with models.models_at_rest(workspace):
        models.prune_versions(workspace)


def _drop_twin(workspace: Workspace, version: Version, twin: Path) -> None:
    """Delete an earlier model when another folder holds the same, byte for byte."""
    system.require_changes()
    folder = workspace.versions / version.id
    with models.models_at_rest(workspace):
        if not folder.is_dir():
            return
        if _content(folder) != _content(twin):
            raise WorkspaceError(f"{twin} changed meanwhile, so {version.id} stays.", "Look again.")
        models.discard_version(folder)


def _content(folder: Path) -> list[tuple[str, str]]:
    """The files of a model with what they hold, but for the notes of where it came from and went."""
    names = (file.name for file in models.found_files(folder))
    ours = (models.PROVENANCE, models.VERSION_RECORD)
    return [(name, system.digest(folder / name)) for name in names if name not in ours]


def _useless_checkpoints(record: SessionRecord) -> int:
    """Bytes of the checkpoints of a session that made its model; any other might be resumed one day."""
    done = record.status.state == "succeeded" and not system.is_held(record.session.lock)
    return system.folder_size(record.session.checkpoints) if done else 0


def _drop_checkpoints(session: sessions.Session) -> None:
    system.require_changes()
    if session.status().state != "succeeded" or system.is_held(session.lock):
        raise BusyError(f"{session.id} is just being worked on.", "Try again when it has ended.")
    system.remove_at_once(session.checkpoints)


def _drop_bundles(folder: Path) -> None:
    system.require_changes()
    with system.short_lock(folder / "lock"):
        for path in folder.glob("*.zip"):
            system.remove(path)


def _drop_tokens(workspace: Workspace) -> None:
    system.require_changes()
    system.remove_at_once(workspace.tokens)


def _drop_export(workspace: Workspace, home: Path) -> None:
    system.require_changes()
    with models.models_at_rest(workspace):
        if models.has_export(home.parent):
            system.remove_at_once(home)
