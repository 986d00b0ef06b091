"""What is wrong with the place where a workspace lies: links, permissions, leftovers."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from sails import models, system
from sails.doctor.finding import Finding, set_aside
from sails.models import Workspace

MOST_NAMED = 5  # files in a sentence; of more, only the number is told


def links(workspace: Workspace) -> Iterator[Finding]:
    """Links that lead nowhere or in a circle, and such as lead out of the workspace."""
    for path in _walk(workspace.root):
        if not path.is_symlink() or path.is_relative_to(workspace.set_aside):
            continue
        name = path.relative_to(workspace.root)
        real = Path(os.path.realpath(path))
        if real.is_symlink() or not real.exists():
            sentence = f"The link {name} leads nowhere."
            mend = set_aside(workspace, path)
            yield Finding("link", "wrong", sentence, path, "The link is set aside.", mend=mend)
        elif not real.is_relative_to(workspace.root):
            kept = "It is in a backup all the same."
            if len(name.parts) > 1 or not real.is_dir():
                kept = "What it leads to is in no backup."
            sentence = f"The link {name} leads out of the workspace. {kept}"
            yield Finding("link", "note", sentence, path, remedy="If you did not make it, remove it.")


def permissions(workspace: Workspace) -> Iterator[Finding]:
    """Files and folders that cannot be read or written, and a workspace that everybody may look into."""
    if os.name == "nt":
        return
    mine, shut, foreign = os.geteuid(), [], []
    for path in (workspace.root, *_walk(workspace.root)):
        with contextlib.suppress(OSError):
            state = path.lstat()
            if stat.S_ISLNK(state.st_mode):
                continue
            if state.st_uid == mine and state.st_mode & _needed(path, state) != _needed(path, state):
                shut.append(path)
            elif state.st_uid != mine and not os.access(path, os.R_OK):
                foreign.append(path)
    if shut:
        yield Finding(
            "permission",
            "wrong",
            f"{_named(workspace, shut)} {_are(shut)} yours, and you may not read or change "
            f"{'it' if len(shut) == 1 else 'them'}.",
            shut[0],
            "You may again; nobody else gets to see more than before.",
            mend=partial(_allow, tuple(shut)),
        )
    if foreign:
        sentence = f"{_named(workspace, foreign)} {_are(foreign)} somebody else's, and you may not read "
        sentence += f"{'it' if len(foreign) == 1 else 'them'}."
        remedy = "Ask who runs this computer to give you what is yours."
        yield Finding("permission", "wrong", sentence, foreign[0], remedy=remedy)
    root = workspace.root.stat()
    if root.st_mode & stat.S_IRWXO and root.st_uid == mine:
        sentence = "Everybody with an account on this computer may look into this workspace."
        remedy = "If you do not want that, take the permission away from its folder (chmod o-rwx)."
        yield Finding("permission", "note", sentence, workspace.root, remedy=remedy)


def _needed(path: Path, state: os.stat_result) -> int:
    """What its owner must be allowed: of a file only to read it, unless it is one that grows or locks."""
    if stat.S_ISDIR(state.st_mode):
        return stat.S_IRWXU
    grows = path.suffix in (".jsonl", ".log", ".lock") or path.name in ("heldout", "lock")
    return stat.S_IRUSR | (stat.S_IWUSR if grows else 0)


def _named(workspace: Workspace, paths: Sequence[Path]) -> str:
    root = workspace.root
    names = [str(root if path == root else path.relative_to(root)) for path in paths[:MOST_NAMED]]
    more = [system.count(len(paths) - MOST_NAMED, "more file")] if len(paths) > MOST_NAMED else []
    return system.listed([*names, *more])


def _are(paths: Sequence[Path]) -> str:
    return "is" if len(paths) == 1 else "are"


def _allow(paths: Sequence[Path]) -> None:
    """Give the owner back what is needed; of a folder that could not be looked into, for what is in it."""
    system.require_changes()
    for path in paths:
        for inside in (path, *_walk_allowing(path)):
            state = inside.lstat()
            if not stat.S_ISLNK(state.st_mode) and state.st_uid == os.geteuid():
                os.chmod(inside, stat.S_IMODE(state.st_mode) | _needed(inside, state))


def _walk_allowing(folder: Path) -> Iterator[Path]:
    """What lies in a folder, each after the folder itself was made usable by the caller."""
    if folder.is_dir() and not folder.is_symlink():
        for path in sorted(folder.iterdir()):
            yield path
            yield from _walk_allowing(path)


def leftovers(workspace: Workspace) -> Iterator[Finding]:
    """What writers that died left behind, but for whole models that lie nowhere else."""
    found = models.find_leftovers(workspace)
    if found:
        size = sum(leftover.size for leftover in found)
        yield Finding(
            "leftover",
            "spare",
            f"Work that died left {system.count(len(found), 'thing')} behind that nobody reads.",
            workspace.root,
            "It is deleted.",
            size=size,
            mend=partial(models.remove_leftovers, workspace),
        )


def _walk(root: Path) -> Iterator[Path]:
    """Everything below a folder, links not followed; a folder before what is in it, once it may be read."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        yield Path(entry)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry))
