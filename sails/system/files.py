"""Files that a crash leaves whole: replaced, never rewritten; renamed and copied durably."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tenacity

from sails.system.locks import WINDOWS


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a small file, or None when it is not there or cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` so that a reader, or a crash, sees the old content or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    with open(temporary, "wb") as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    _retry_sharing(lambda: os.replace(temporary, path))
    fsync_folder(path.parent)


def append_lines(path: Path, lines: bytes, *, durable: bool = True) -> None:
    """Append whole lines, and return when they are safely on the disk unless that need not be waited for."""
    if ends_in_half_a_line(path):
        lines = b"\n" + lines
    with open(path, "ab") as file:  # one write: they reach the file in one piece, whoever else appends to it
        file.write(lines)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def ends_in_half_a_line(path: Path) -> bool:
    """Tell whether a writer died in the middle of the last line: the next one must not be lost with it.

    What may only be written, and what is no file but a device or a pipe, counts as whole.
    """
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; Windows does this by itself."""
    if not WINDOWS:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make every file below `folder`, and the folders themselves, durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            # Windows only syncs what it may write; elsewhere a file that may only be read is synced too.
            with open(Path(parent) / name, "r+b" if WINDOWS else "rb") as file:
                os.fsync(file.fileno())
        fsync_folder(Path(parent))


def rename(source: Path, target: Path) -> None:
    """Rename within one filesystem, durably. Windows refuses while a virus scanner looks: try again."""
    _retry_sharing(lambda: os.rename(source, target))
    fsync_folder(target.parent)
    if source.parent != target.parent:
        fsync_folder(source.parent)


def move_folder(source: Path, target: Path) -> None:
    """Move a folder to where no `target` is yet, across filesystems if need be; never half a target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if same_filesystem(source, target.parent):
        rename(source, target)
        return
    copy_folder(source, target)
    shutil.rmtree(source)


def copy_folder(source: Path, target: Path, leave_out: Sequence[str] = ()) -> None:
    """Copy a folder to where no `target` is yet; a crash leaves a `.partial`, never half a target.

    Files and folders whose names match a pattern of `leave_out` are not copied.
    """
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*leave_out))
    fsync_tree(partial)
    rename(partial, target)


def same_filesystem(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _retry_sharing(action: Callable[[], None]) -> None:
    if not WINDOWS:
        action()
        return
    patient = tenacity.retry_if_exception_type(PermissionError)
    wait, stop = tenacity.wait_fixed(0.05), tenacity.stop_after_delay(5)
    tenacity.Retrying(retry=patient, wait=wait, stop=stop, reraise=True)(action)
