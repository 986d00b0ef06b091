"""How a file looks now, so that what was read from it is read anew when it has changed.

before = stamp(path)
...
if stamp(path) != before: ...
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Stamp(NamedTuple):
    """When a file was written last, its size in bytes, and which file of the disk it is."""

    modified_ns: int
    size: int
    inode: int


def stamp(path: str | os.PathLike[str]) -> Stamp:
    """Look at a file; raises OSError, FileNotFoundError above all."""
    state = os.stat(path)
    return Stamp(state.st_mtime_ns, state.st_size, state.st_ino)


def stamp_or_none(path: str | os.PathLike[str]) -> Stamp | None:
    """Look at a file; None when it is not there, or cannot be looked at."""
    try:
        return stamp(path)
    except OSError:
        return None
