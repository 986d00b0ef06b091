"""What writers that died left in a workspace: half-written files and folders that nobody reads.

    find_leftovers(workspace)     what there is, and its size
    remove_leftovers(workspace)   removes it

Only names that this program gives count, and only what nobody can be writing any more. Links are not
followed.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from sails import system
from sails.models.journal import journal_of
from sails.models.rescue import stranded_models
from sails.models.workspace import Workspace

DEPTH = 4  # WORKSPACE/sessions/ID/data/FILE
AT_REST_SECONDS = 3600.0  # what did not change for so long is written by nobody
DEAD_SECONDS = 60.0  # the same, where its writer does not run on this machine; on another one it may
_WRITTEN = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)(-\d+)?\.(tmp|part)")
_BUILT = re.compile(r"\.+(?P<name>.+?)\.(staged|previous)-.+?(\.(?P<pid>\d+)-(?P<created>\d+))?(\.partial)?")
_HALF = re.compile(r"\..+\.partial")
_DELETED = re.compile(r"\..+\.deleted")  # nobody ever goes back on that

_KINDS = (_WRITTEN, _BUILT, _HALF, _DELETED)


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nobody needs; `size` in bytes."""

    path: Path
    size: int


def find_leftovers(workspace: Workspace) -> list[Leftover]:
    """Return what writers that died left behind; never raises for what it finds.

    A whole model among it that lies nowhere else is no leftover: it can be kept (`keep_stranded`).
    """
    now, models = time.time(), set(stranded_models(workspace))
    found = (one for one in _candidates(workspace) if one[0] not in models)
    return [Leftover(path, size) for path, size, changed in found if _is_left(path, now - changed)]


def remove_leftovers(workspace: Workspace) -> int:
    """Remove them; returns the bytes that are free now. What cannot be removed stays."""
    system.require_changes()
    freed = 0
    for leftover in find_leftovers(workspace):
        system.remove(leftover.path)
        freed += leftover.size if not leftover.path.exists() else 0
    return freed


def _is_left(path: Path, age: float) -> bool:
    name = path.name
    if _DELETED.fullmatch(name):
        return True
    if built := _BUILT.fullmatch(name):
        if journal_of(path.with_name(built["name"])).exists():
            return False  # it is somebody's model, on its way to its place
        if built["pid"] is None:
            return age > AT_REST_SECONDS
        builder = system.ProcessIdentity(int(built["pid"]), float(built["created"]), socket.gethostname())
        return age > DEAD_SECONDS and not system.is_alive(builder)
    if written := _WRITTEN.fullmatch(name):
        return age > (AT_REST_SECONDS if psutil.pid_exists(int(written["pid"])) else DEAD_SECONDS)
    return _HALF.fullmatch(name) is not None and age > AT_REST_SECONDS


def _candidates(workspace: Workspace) -> Iterator[tuple[Path, int, float]]:
    """Hidden entries with a name that we give, their size, and when they changed last."""
    beside = {workspace.trained_model.parent, workspace.onnx_model.parent} - {workspace.root}
    for folder, depth in ((workspace.root, DEPTH), *((folder, 1) for folder in sorted(beside))):
        for path in _hidden(folder, depth):
            with contextlib.suppress(OSError):
                yield path, *_size_and_change(path)


def _hidden(folder: Path, depth: int) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] != ".":
                if depth > 1 and entry.is_dir(follow_symlinks=False):
                    yield from _hidden(Path(entry), depth - 1)
            elif not entry.is_symlink() and any(kind.fullmatch(entry.name) for kind in _KINDS):
                yield Path(entry)


def _size_and_change(path: Path) -> tuple[int, float]:
    """Bytes of a file, or of all in a folder, and when the last of it was changed."""
    states = [path.lstat()]
    for parent, folders, names in os.walk(path):
        states += [os.lstat(os.path.join(parent, name)) for name in (*folders, *names)]
    files = sum(state.st_size for state in states if not stat.S_ISDIR(state.st_mode))
    return files, max(state.st_mtime for state in states)
