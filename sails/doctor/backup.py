"""A workspace in one file, and back at another place.

    made = back_up(workspace, Path("backup.zip"))
    restore(Path("backup.zip"), Path("elsewhere"))

The file is a zip file whose last entry lists the others with the SHA-256 of each. It is built beside its
place, read once more from beginning to end, and only then has its name; a restored workspace appears under
its name only when every file holds what was saved. A training may run meanwhile: see `sails.doctor.snapshot`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, Field, ValidationError

from sails import __version__, system
from sails.data import BACKUP_CONTENTS
from sails.doctor.snapshot import Snapshot, is_safe, snapshot
from sails.errors import RequestError, SailsError, WorkspaceError
from sails.models import Workspace, check_output, inspect_model
from sails.system import PIECE, Progress, silent

MAX_CONTENTS = 64_000_000  # bytes of the list of files, and of the zip file's own
MAX_RATIO = 100  # to which all files together may unpack, of the file's bytes
ALWAYS_ALLOWED = 100_000_000  # bytes that they may in any case
NOISE = (".safetensors", ".onnx", ".data", ".bin", ".pt", ".npz", ".zip", ".parquet", ".xlsx", ".docx")
ANOTHER = "Choose another file."


class SavedFile(BaseModel, frozen=True):
    """What a file held: its bytes, the SHA-256 of them, and when it was written last."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    modified_ns: int = Field(ge=0, lt=2**62)


class Contents(BaseModel, frozen=True):
    """What a backup says of itself, and the files that it holds by their names in the workspace."""

    kind: Literal["mtn-sails-backup"] = "mtn-sails-backup"
    format: Literal[1] = 1
    workspace: str  # the name of its folder
    place: str = ""  # a digest of where that lay, which tells workspaces of one name apart
    made: datetime
    release: str
    fingerprint: str | None = None  # of the current model
    left_out: tuple[str, ...] = ()  # links and the like, which are no files of the workspace
    files: Mapping[str, SavedFile]


@dataclass(frozen=True)
class Backup:
    """A backup file: what it holds, and its own bytes."""

    path: Path
    contents: Contents
    size: int

    @property
    def saved(self) -> int:
        """Bytes of all files in it, unpacked."""
        return sum(file.size for file in self.contents.files.values())


# --- making one -----------------------------------------------------------------------------------


@system.changes("make a backup", what="output")
def back_up(workspace: Workspace, output: Path, progress: Progress | None = None) -> Backup:
    """Write the whole workspace into the file `output`, verified, all at once.

    An earlier backup of this workspace is replaced at the end. Raises `WorkspaceError` where there is no
    workspace or nothing can be written, and for a place among the data of any, `RequestError` for a file that
    is no backup, or that of another workspace, `BusyError`, and `DiskFullError`.
    """
    output = Path(os.path.abspath(os.path.expanduser(output)))
    _check_output(workspace, output)
    with (
        _readable(workspace),
        snapshot(workspace) as taken,
        system.built_beside(output, taken.size) as part,
    ):
        contents = _write(workspace, taken, part, progress or silent, compress=True)
        if _unpacks_to_too_much(taken.size, part.stat().st_size):
            contents = _write(workspace, taken, part, progress or silent, compress=False)
        _verify(part, output, progress or silent)
        os.replace(part, output)
        system.fsync_folder(output.parent)
    return Backup(output, contents, output.stat().st_size)


def _check_output(workspace: Workspace, output: Path) -> None:
    if not workspace.root.is_dir():
        raise WorkspaceError(f"There is no workspace in {workspace.root}.", "Choose another folder.")
    if output.is_dir():
        raise RequestError(f"{output} is a folder.", "Name a file, for example backup.zip.")
    if Path(os.path.realpath(output)).is_relative_to(workspace.root):
        raise RequestError(
            f"{output} lies in the workspace itself, and would be lost with it.",
            "Choose a place outside of it.",
        )
    check_output(output)
    if os.path.lexists(output):
        try:
            earlier = read_backup(output).contents
        except SailsError as error:
            problem = f"{output} is there already and is no backup."
            raise RequestError(problem, "Choose another name.") from error
        if earlier.place != _place(workspace):
            problem = f"{output} is a backup of {earlier.workspace}, a workspace that lies elsewhere."
            raise RequestError(problem, "Choose another name.")


def _place(workspace: Workspace) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(workspace.root))).hexdigest()[:16]


@contextmanager
def _readable(workspace: Workspace) -> Iterator[None]:
    """Turns what the system says of a file of the workspace into a sentence."""
    try:
        yield
    except OSError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(workspace.root):
            raise
        raise WorkspaceError(
            f"{error.filename} cannot be used: {error.strerror}.", "See what `sails doctor` says of it."
        ) from error


def _write(
    workspace: Workspace, taken: Snapshot, part: Path, progress: Progress, *, compress: bool
) -> Contents:
    files: dict[str, SavedFile] = {}
    done = 0
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # for nobody else's eyes
    with open(descriptor, "wb") as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            for file in taken.files:
                packs = compress and not file.name.endswith(NOISE)
                entry = _entry(file.name, file.size, packs)
                with _opened(file.path, file.name) as source:
                    for written in system.write_entry(archive, entry, source):
                        progress((done + written.size) / (taken.size or 1) * 0.7, "saving", file.name)
                done += written.size
                files[file.name] = SavedFile(
                    size=written.size, sha256=written.digest, modified_ns=max(file.modified_ns, 0)
                )
            contents = Contents(
                workspace=workspace.root.name,
                place=_place(workspace),
                made=datetime.now(UTC),
                release=__version__,
                fingerprint=_fingerprint(taken),
                left_out=taken.left_out,
                files=files,
            )
            text = contents.model_dump_json().encode()
            if len(text) > MAX_CONTENTS:
                problem = f"{len(files):,} files are too many for a backup."
                raise WorkspaceError(problem, "Delete some sessions.")
            archive.writestr(_entry(BACKUP_CONTENTS, len(text), compress), text)
        stream.flush()
        os.fsync(stream.fileno())
    return contents


def _entry(name: str, size: int, packs: bool) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, system.ZIP_TIME)
    entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o600) << 16
    entry.file_size = size
    entry.compress_type = zipfile.ZIP_DEFLATED if packs else zipfile.ZIP_STORED
    return entry


@contextmanager
def _opened(path: Path, name: str) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as source:
            yield source
    except PermissionError as error:
        raise WorkspaceError(
            f"{name} may not be read by you.", "`sails doctor` says how to mend that."
        ) from error


def _fingerprint(taken: Snapshot) -> str | None:
    """That of the current model, as it was at the moment of the snapshot."""
    record = [file for file in taken.files if file.name.startswith("trained_model/")]
    if not record:
        return None
    folder = record[0].path.parent / "trained_model"
    folder.mkdir(exist_ok=True)
    for file in record:
        if file.name.count("/") == 1 and not (link := folder / Path(file.name).name).exists():
            system.link_or_copy(file.path, link)
    return inspect_model(folder).fingerprint


def _verify(part: Path, output: Path, progress: Progress) -> None:
    """Read it once more from beginning to end."""
    try:
        with _unpacking(part) as (archive, contents):
            done, total = 0, sum(file.size for file in contents.files.values()) or 1
            for name, file in contents.files.items():
                for piece in _checked(archive, name, file):
                    done += len(piece)
                    progress(0.7 + 0.3 * done / total, "verifying", name)
    except WorkspaceError as error:
        problem = f"{output} does not hold what was written, so it was removed."
        raise WorkspaceError(problem, "Try again, or choose a place on another disk.") from error


# --- reading one ----------------------------------------------------------------------------------


def read_backup(path: Path) -> Backup:
    """Return what a backup says of itself; raises `WorkspaceError` for a file that is none, or damaged."""
    with _unpacking(path) as (_, contents):
        return Backup(path, contents, path.stat().st_size)


@contextmanager
def _unpacking(path: Path) -> Iterator[tuple[zipfile.ZipFile, Contents]]:
    """The file, opened, with a list of files that it may hold and that lead nowhere else."""
    try:
        if not path.is_file():
            raise WorkspaceError(f"There is no file {path}.", ANOTHER)
        size = path.stat().st_size
        with open(path, "rb") as stream:
            _check_size_of_list(stream, size)
            with zipfile.ZipFile(stream) as archive:
                yield archive, _contents(archive, path, size)
    except _NotABackup as error:
        raise WorkspaceError(f"{path} is no backup of a workspace.", ANOTHER) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # an entry that begins before the file
            raise
        raise WorkspaceError(f"The backup {path} is damaged.", "Use another one.") from error


class _NotABackup(Exception):
    pass


def _check_size_of_list(stream: BinaryIO, size: int) -> None:
    """Refuse what would fill the memory before a single entry is looked at: the zip file's own list."""
    stream.seek(max(0, size - 98))  # its end, and what stands before that in a large one
    end = stream.read()
    if end[-22:-18] != b"PK\x05\x06":
        raise _NotABackup
    listed = int.from_bytes(end[-10:-6], "little")
    if end[-42:-38] == b"PK\x06\x07" and end[-98:-94] == b"PK\x06\x06":
        listed = int.from_bytes(end[-58:-50], "little")
    if listed > MAX_CONTENTS:
        raise _NotABackup
    stream.seek(0)


def _contents(archive: zipfile.ZipFile, path: Path, size: int) -> Contents:
    entries = {entry.filename: entry for entry in archive.infolist()}
    listing = entries.pop(BACKUP_CONTENTS, None)
    if listing is None or listing.file_size > MAX_CONTENTS or not _is_plain(listing):
        raise _NotABackup
    with archive.open(listing) as source:  # in pieces: what they say of their size may be wrong
        text = b"".join(iter(lambda: source.read(PIECE), b""))
    try:
        contents = Contents.model_validate_json(text)
    except (ValidationError, RecursionError) as error:
        raise _NotABackup from error
    refused = WorkspaceError(f"The backup {path} is damaged, or was made to do harm.", "Use another one.")
    if len(entries) != len(archive.infolist()) - 1 or entries.keys() != contents.files.keys():
        raise refused
    for name, entry in entries.items():
        if not (is_safe(name) and _is_plain(entry) and entry.file_size == contents.files[name].size):
            raise refused
    packed = sum(entry.compress_size for entry in entries.values())
    if packed > size or _unpacks_to_too_much(sum(entry.file_size for entry in entries.values()), size):
        raise refused
    return contents


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    """Whether it is a file, neither a link nor a secret, and packed in one of the two ways that we use."""
    is_file = stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG)
    packed = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return is_file and packed and not entry.flag_bits & 1


def _unpacks_to_too_much(unpacked: int, size: int) -> bool:
    return unpacked > ALWAYS_ALLOWED and unpacked > MAX_RATIO * size


def _checked(archive: zipfile.ZipFile, name: str, file: SavedFile) -> Iterator[bytes]:
    """The pieces of a file; raises `BadZipFile` after the last one where they are not what was saved."""
    digest, left = hashlib.sha256(), file.size
    with archive.open(name) as source:
        while piece := source.read(min(PIECE, left + 1)):
            digest.update(piece)
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if left or digest.hexdigest() != file.sha256:
        raise zipfile.BadZipFile(name)


# --- putting one back -----------------------------------------------------------------------------


@system.changes(
    "restore a backup", what="path", role="admin", folder=lambda _, target, *__, **___: Path(target)
)
def restore(path: Path, target: Path, progress: Progress | None = None) -> Backup:
    """Unpack a backup into the new folder `target`, verified, all at once.

    What was there when it was made may still be there: the restored workspace touches none of it. It takes an
    admin of where the file lies as well, as anybody's workspace may be in it. Raises `RequestError` when
    `target` holds anything, `WorkspaceError` for a file that is no backup, or damaged, and where nothing can
    be written, and `DiskFullError`. Then nothing was written.
    """
    system.require_role("admin", path)
    target = Path(os.path.abspath(os.path.expanduser(target)))
    is_empty = target.is_dir() and not target.is_symlink() and not any(target.iterdir())
    if os.path.lexists(target) and not is_empty:
        raise RequestError(f"{target} is there already.", "Choose a folder that is not there yet.")
    with _unpacking(path) as (archive, contents):
        total = sum(file.size for file in contents.files.values())
        with system.built_beside(target, total) as part:
            part.mkdir(mode=0o700)
            done = 0
            for name, file in contents.files.items():
                place = part / name
                place.parent.mkdir(parents=True, exist_ok=True)
                with open(place, "xb") as copy:
                    for piece in _checked(archive, name, file):
                        copy.write(piece)
                        done += len(piece)
                        (progress or silent)(done / (total or 1), "restoring", name)
                os.utime(place, ns=(file.modified_ns, file.modified_ns))
            if inspect_model(part / "trained_model").fingerprint != contents.fingerprint:
                raise zipfile.BadZipFile("trained_model")
            system.fsync_tree(part)
            if target.exists():
                target.rmdir()
            system.rename(part, target)
    return Backup(path, contents, path.stat().st_size)
