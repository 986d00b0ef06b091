"""Replace a folder as a whole: staged beside it, journaled, renamed.

Killed at any instruction, the next start finishes or undoes; meanwhile every reader resolves the folder
through its journal, so nobody ever sees it missing or half.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from sails import system
from sails.errors import WorkspaceError
from sails.models.export_record import EXPORT_RECORD
from sails.models.folder import inspect_onnx
from sails.system import read_json

Found = TypeVar("Found")


def journal_of(target: Path) -> Path:
    """Return the journal that `sails.models.publish` keeps beside a folder while it replaces it."""
    return target.with_name(f".{target.name}.journal.json")


def resolve(target: Path) -> Path:
    """Tell where the content of `target` lies now: between two renames it is still in its staging folder."""
    if not target.exists():
        staged = (read_json(journal_of(target)) or {}).get("staged")
        if isinstance(staged, str) and target.with_name(staged).exists():
            return target.with_name(staged)
    return target


def steadily(target: Path, inspect: Callable[[Path], Found]) -> Found:
    """Inspect until nothing was renamed or removed in the meantime."""
    vanished: FileNotFoundError | None = None
    for _ in range(1000):
        before = _generation(target)
        try:
            state = inspect(resolve(target))
        except FileNotFoundError as error:
            vanished = error
            continue
        if _generation(target) == before:
            return state
    raise WorkspaceError(f"{target} changes all the time.", "Wait until it is at rest.") from vanished


def _generation(target: Path) -> tuple[int, ...]:
    """Which folder it is now, and as it is now: inode numbers are used again, so the times count too."""
    journal = journal_of(target).exists()
    try:
        folder = target.stat()
    except FileNotFoundError:
        return (journal,)
    return folder.st_ino, folder.st_mtime_ns, folder.st_ctime_ns, journal


@dataclass(frozen=True, kw_only=True)
class _Journal:
    """What a replacement is about to do. Without pydantic: every reader of a model folder comes by here."""

    candidate: Path | None = None  # moved to `staged` first
    staged: str  # names beside the target
    previous: str
    keep: Path | None  # where the old content goes; None deletes it afterwards

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> _Journal:
        # A journal that does not say where the old content goes is damaged: nothing is deleted on its word.
        candidate, keep = content.get("candidate"), content["keep"]
        return cls(
            candidate=candidate and Path(candidate),
            staged=content["staged"],
            previous=content["previous"],
            keep=keep and Path(keep),
        )

    def write(self, target: Path) -> None:
        system.write_atomic(journal_of(target), json.dumps(asdict(self), default=str))


def stage_path(target: Path, tag: str) -> Path:
    """Tell where to build new content for `target`: a hidden folder beside it, so that a rename suffices.

    The name says which process builds it, so that `clear_leftovers` of another one spares it.
    """
    builder = system.this_process()
    return target.with_name(f".{target.name}.staged-{tag}.{builder.pid}-{builder.created:.0f}")


def is_foreign(folder: Path) -> bool:
    """Tell whether a folder holds something and is no ONNX export, so that replacing it would cost files."""
    strange = [path for path in visible_entries(folder) if not (path / EXPORT_RECORD).exists()]
    if not strange or (folder / EXPORT_RECORD).exists():
        return False
    return not ((folder / "config.json").exists() and inspect_onnx(folder, None).present)


def recover_folder(target: Path) -> None:
    """Finish what a dead process began with `target`; does nothing when there is nothing to finish."""
    if journal_of(target).exists():
        with write_lock(target):
            pass


@contextlib.contextmanager
def write_lock(target: Path) -> Iterator[None]:
    """Hold the lock beside `target`, with whatever a dead process began finished."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with system.short_lock(target.with_name(f".{target.name}.lock")):
        finish(target)
        yield


def finish(target: Path) -> None:
    """Do what the journal of `target` says, if there is one; for who holds the lock, see `write_lock`."""
    content = read_json(journal_of(target))
    if content is None:
        journal_of(target).unlink(missing_ok=True)
    else:
        _carry_out(_Journal.from_json(content), target)


def swap(staged: Path, target: Path, keep: Path | None, candidate: Path | None = None) -> None:
    """Put `staged`, where `candidate` is moved to first if there is one, in the place of `target`.

    For who holds the lock, see `write_lock`. What was there goes to `keep`, or is deleted at the very end
    when that is None. Safe to be killed at any instruction: `recover_folder(target)` finishes or undoes.
    """
    if staged.parent != target.parent:
        raise ValueError(f"{staged} must lie beside {target}")
    previous = staged.name.replace(".staged-", ".previous-")
    journal = _Journal(candidate=candidate, staged=staged.name, previous=previous, keep=keep)
    journal.write(target)
    _carry_out(journal, target)


def take_away(target: Path, keep: Path | None) -> None:
    """Move the content of `target` to `keep`, or delete it, at once for every reader."""
    previous = target.with_name(f".{target.name}.previous-retired")
    journal = _Journal(staged=stage_path(target, "nothing").name, previous=previous.name, keep=keep)
    journal.write(target)
    if target.exists():
        system.rename(target, previous)
    _carry_out(journal, target)


def _carry_out(journal: _Journal, target: Path) -> None:
    """Every step looks at what is there, so running it again after a crash continues where it stopped."""
    staged, previous = target.with_name(journal.staged), target.with_name(journal.previous)
    if journal.candidate is not None and journal.candidate.exists():
        if staged.exists():  # copied to another filesystem, and killed while the original was removed
            shutil.rmtree(journal.candidate)
        else:
            system.move_folder(journal.candidate, staged)
    if staged.exists() and target.exists():
        system.rename(target, previous)
    if staged.exists():
        system.rename(staged, target)
    if previous.exists() and journal.keep is not None and not journal.keep.exists():
        system.move_folder(previous, journal.keep)
    shutil.rmtree(previous, ignore_errors=True)
    journal_of(target).unlink(missing_ok=True)
    system.fsync_folder(target.parent)


def clear_leftovers(target: Path) -> None:
    """Remove what dead processes left beside `target`; what a living one builds there is spared."""
    with write_lock(target):
        sweep(target)


def sweep(target: Path) -> None:
    ours = (f".{target.name}.staged-", f".{target.name}.previous-")
    half = (f"..{target.name}.staged-", f".{journal_of(target).name}.")  # what `system.files` was writing
    for leftover in target.parent.iterdir():
        if not leftover.name.startswith(ours + half):
            continue
        builder = re.search(r"\.(\d+)-(\d+)(?:\.partial)?$", leftover.name)
        if builder and int(builder[1]) != os.getpid():
            pid, created = int(builder[1]), float(builder[2])
            if system.is_alive(system.ProcessIdentity(pid, created, socket.gethostname())):
                continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries that are not hidden; none where there is no folder."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []


def unused_path(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbered = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(free for free in itertools.chain((path,), numbered) if not free.exists())
