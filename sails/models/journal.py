"""Replace a folder as a whole: staged beside it, journaled, renamed.

Killed at any instruction, the next start finishes or undoes; meanwhile every reader resolves the folder
through its journal, so nobody ever sees it missing or half.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from sails import system
from sails.errors import WorkspaceError
from sails.models.export_record import EXPORT_RECORD
from sails.models.folder import inspect_onnx
from sails.system import read_json

Found = TypeVar("Found")


def journal_of(target: Path) -> Path:
    """Return the journal that `sails.models.publish` keeps beside a folder while it replaces it."""
    return target.with_name(f".{target.name}.journal.json")


def lock_of(target: Path) -> Path:
    """Return the lock beside a folder that whoever replaces it holds."""
    return target.with_name(f".{target.name}.lock")


def resolve(target: Path) -> Path:
    """Tell where the content of `target` lies now: between two renames it is still in its staging folder."""
    if not target.exists():
        staged = (read_json(journal_of(target)) or {}).get("staged")
        if _is_of(staged, target, "staged") and target.with_name(staged).exists():
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
    def read(cls, target: Path) -> _Journal | None:
        """Return the journal of `target`; None where there is none, or it is damaged."""
        content = read_json(journal_of(target)) or {}
        candidate, keep = content.get("candidate"), content.get("keep")
        staged, previous = content.get("staged"), content.get("previous")
        # One that does not say where the old content goes is damaged: nothing is deleted on its word.
        if "keep" not in content or not all(path is None or _is_path(path) for path in (candidate, keep)):
            return None
        if not (_is_of(staged, target, "staged") and _is_of(previous, target, "previous")):
            return None
        return cls(
            candidate=target.parent / candidate if candidate else None,
            staged=staged,
            previous=previous,
            keep=target.parent / keep if keep else None,
        )

    def write(self, target: Path) -> None:
        def written(path: Path) -> str:
            """Relative, so that a copy of the workspace moves nothing of the original; else in full."""
            here = target.parent
            return str(path.relative_to(here) if path.is_relative_to(here) else path)

        system.write_atomic(journal_of(target), json.dumps(asdict(self), default=written))


def _is_path(text: Any) -> bool:
    """Tell whether that can be a path at all, so that asking for it raises nothing."""
    if not isinstance(text, str) or not text or "\0" in text:
        return False
    try:
        return all(len(os.fsencode(part)) < 256 for part in Path(text).parts) and len(text) < 4096
    except UnicodeEncodeError:
        return False


def _is_of(name: Any, target: Path, kind: str) -> TypeGuard[str]:
    """Tell whether that is the name of a folder that lies beside `target` while it is replaced."""
    return _is_path(name) and name.startswith(f".{target.name}.{kind}-") and Path(name).name == name


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
    if os.path.lexists(journal_of(target)):
        with write_lock(target):
            pass


@contextlib.contextmanager
def write_lock(target: Path) -> Iterator[None]:
    """Hold the lock beside `target`, with whatever a dead process began finished."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with system.short_lock(lock_of(target)):
        finish(target)
        yield


def is_readable(target: Path) -> bool:
    """Tell whether the journal of `target` says what is to be done, with names that lie beside it."""
    return _Journal.read(target) is not None


def finish(target: Path) -> None:
    """Do what the journal of `target` says, if there is one; for who holds the lock, see `write_lock`.

    Raises `WorkspaceError` for a damaged one: on its word nothing is moved or deleted.
    """
    if not os.path.lexists(journal_of(target)):
        return
    noted = _Journal.read(target)
    if noted is None:
        raise WorkspaceError(
            f"The note of a change of {target} that was cut short is damaged.",
            "Mend it with `sails doctor --repair`, which loses no model.",
        )
    _carry_out(noted, target)


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
    system.require_changes()
    with write_lock(target):
        sweep(target)


def sweep(target: Path) -> None:
    ours = (f".{target.name}.staged-", f".{target.name}.previous-")
    half = (f"..{target.name}.staged-", f".{journal_of(target).name}.")  # what `system.files` was writing
    for leftover in target.parent.iterdir():
        if not leftover.name.startswith(ours + half):
            continue
        if system.built_by_living(leftover, other=True):
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
