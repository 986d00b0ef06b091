"""All files of a workspace as they are at one moment, while others go on writing.

Each file gets a second name in a hidden folder, which takes no time and no room. What is replaced meanwhile
is a new file and leaves the second name alone; of what only grows (figures, logs), the size at that moment
counts. Models, datasets and sessions are moved by nobody in that moment: their locks are held.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sails import data, models, sessions, system
from sails.models import Workspace

MAX_NAME_BYTES = 255  # of a file or a folder, on every usual disk
LOCK = "lock"


@dataclass(frozen=True)
class SnapshotFile:
    """A file at that moment: its name in the workspace, where it can be read, and its bytes then."""

    name: str
    path: Path
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Snapshot:
    """The files, and the names of what is none of the workspace's own files: links, devices, pipes."""

    files: tuple[SnapshotFile, ...]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@contextmanager
def snapshot(workspace: Workspace) -> Iterator[Snapshot]:
    """Hold on to the files of a workspace as they are now; raises `BusyError` where it is not at rest soon.

    Left out are hidden files, locks, zip files made for a download, and checkpoints that are not complete.
    """
    for leftover in workspace.root.glob(".backup.staged-*"):
        if not system.built_by_living(leftover):
            system.remove(leftover)
    folder = models.stage_path(workspace.root / "backup", f"snapshot-{threading.get_ident()}")
    folder.mkdir(mode=0o700)
    try:
        with (
            data.library_at_rest(workspace),
            sessions.queue_at_rest(workspace),
            models.models_at_rest(workspace),
        ):
            taken = _take(workspace, folder)
        yield taken
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take(workspace: Workspace, folder: Path) -> Snapshot:
    files: list[SnapshotFile] = []
    left_out: list[str] = []
    for name, path in _entries(workspace.root, PurePosixPath(), left_out):
        if not is_safe(str(name)):
            left_out.append(str(name))
            continue
        with contextlib.suppress(FileNotFoundError):  # somebody just removed it
            second = folder / str(len(files))
            system.link_or_copy(path, second)
            state = second.stat()
            files.append(SnapshotFile(str(name), second, state.st_size, state.st_mtime_ns))
    return Snapshot(tuple(files), tuple(left_out))


def _entries(folder: Path, name: PurePosixPath, left_out: list[str]) -> Iterator[tuple[PurePosixPath, Path]]:
    """Every file below a folder with its name in the workspace."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        inside = name / entry.name
        if entry.name.startswith(".") or _is_passing(inside, Path(entry)):
            continue
        # A folder of the workspace itself may lie on another disk; any other link leads to what is not ours.
        is_placed_elsewhere = len(inside.parts) == 1 and entry.is_symlink() and entry.is_dir()
        if entry.is_dir(follow_symlinks=False) or is_placed_elsewhere:
            yield from _entries(Path(entry), inside, left_out)
        elif stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            yield inside, Path(entry)
        else:
            left_out.append(str(inside))


def _is_passing(name: PurePosixPath, path: Path) -> bool:
    """Whether it says something about now only, or can be made again at once."""
    parts = name.parts
    if name.suffix == ".lock" and len(parts) == 1:
        return True
    if parts[0] == "jobs" and parts[1:2] in (("bundles",), ("tokens",)):
        return True
    if parts[0] in ("sessions", "jobs"):
        if parts[2:] == (LOCK,):
            return True
        if parts[2:3] == ("checkpoints",) and len(parts) == 4 and path.is_dir():
            return not (path / sessions.CHECKPOINT_COMPLETE).exists()
    return False


def is_safe(name: str) -> bool:
    """Tell whether a name in a workspace leads nowhere else, on any system, and can be written down."""
    parts = name.split("/")
    try:
        sizes = [len(part.encode("utf-8")) for part in parts]
    except UnicodeEncodeError:
        return False
    if any(sign in "\\:" or not sign.isprintable() for sign in name):
        return False
    # Nothing hidden: what stands in journals and locks is acted upon.
    return all(0 < size <= MAX_NAME_BYTES and part[0] != "." for part, size in zip(parts, sizes, strict=True))
