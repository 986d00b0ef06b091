"""Files that a crash leaves whole: replaced, never rewritten; renamed and copied durably."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tenacity

from sails.errors import DiskFullError, WorkspaceError
from sails.system.format import megabytes
from sails.system.locks import WINDOWS
from sails.system.processes import ProcessIdentity, is_alive, this_process

MARGIN = 16_000_000  # bytes that stay free on the disk, beside the files themselves


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a small file, or None when it is not there or cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def is_absent(error: OSError) -> bool:
    """Tell whether there is nothing to read: no such file, no such folder, or a link to itself."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` so that a reader, or a crash, sees the old content or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        _retry_sharing(lambda: os.replace(temporary, path))
    except BaseException as error:
        with contextlib.suppress(OSError):  # on a full disk it would take what little room there is
            temporary.unlink()
        if isinstance(error, OSError) and error.filename:
            error.filename = str(path)  # which people know
        raise
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


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, which takes no time and no room; a copy on a disk that knows no links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def digest(file: Path) -> str:
    """Return the SHA-256 of what the file holds; half a gigabyte takes about a second."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def built_beside(output: Path, needed: int) -> Iterator[Path]:
    """Where to build `output`: hidden beside it, and gone afterwards unless it was moved to its place.

    What a process that died left there goes. `needed` is in bytes: `DiskFullError` where they are not free.
    What a system says of a place that cannot be written becomes a `WorkspaceError`.
    """
    builder = this_process()
    who = f"{threading.get_ident()}.{builder.pid}-{builder.created:.0f}"
    part = output.with_name(f".{output.name}.{who}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for leftover in output.parent.glob(f".{glob.escape(output.name)}.*.part"):
            if not built_by_living(leftover):
                remove(leftover)
        needed, free = needed + MARGIN, shutil.disk_usage(output.parent).free
        if needed > free:
            raise DiskFullError(
                f"This takes {megabytes(needed)} in {output.parent}, and {megabytes(free)} are free.",
                "Free some space, or choose a place on another disk.",
            )
        yield part
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"The disk became full while {output} was written.",
                "Free some space, or choose a place on another disk.",
            ) from error
        sentence = f"{output} cannot be written: {error.strerror}."
        raise WorkspaceError(sentence, "Choose another place.") from error
    finally:
        remove(part)


def built_by_living(path: Path, *, other: bool = False) -> bool:
    """Tell whether the process lives whose id and creation time a hidden name ends in; none is named: no.

    With `other`, this process itself does not count.
    """
    builder = re.search(r"\.(\d+)-(\d+)(?:\.part|\.partial)?$", path.name)
    if builder is None or (other and int(builder[1]) == os.getpid()):
        return False
    return is_alive(ProcessIdentity(int(builder[1]), float(builder[2]), socket.gethostname()))


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder, links not followed; of one that is not there, none."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # it has just gone
                size += os.lstat(os.path.join(parent, name)).st_size
    return size


def remove(path: Path) -> None:
    """Delete a file or a folder with all that is in it, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def remove_at_once(folder: Path) -> None:
    """Delete a folder so that nobody ever sees it half deleted; does nothing where there is none."""
    deleted = folder.with_name(f".{folder.name}.deleted")
    remove(deleted)
    if folder.is_dir():
        rename(folder, deleted)
        remove(deleted)


def same_filesystem(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _retry_sharing(action: Callable[[], None]) -> None:
    if not WINDOWS:
        action()
        return
    patient = tenacity.retry_if_exception_type(PermissionError)
    wait, stop = tenacity.wait_fixed(0.05), tenacity.stop_after_delay(5)
    tenacity.Retrying(retry=patient, wait=wait, stop=stop, reraise=True)(action)
