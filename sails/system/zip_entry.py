"""An entry of a zip file, written piece by piece: weights of any size need no memory.

for written in write_entry(archive, entry, file): …
written.digest, written.size
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PIECE = 1 << 20  # bytes that are in memory at a time
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can say


@dataclass(frozen=True)
class WrittenEntry:
    """How much of an entry is written, in bytes, and the SHA-256 of that."""

    size: int
    digest: str


def write_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, source: BinaryIO) -> Iterator[WrittenEntry]:
    """Write at most `entry.file_size` bytes of the source; gives after each piece what is written by then."""
    digest, size, most = hashlib.sha256(), 0, entry.file_size
    with archive.open(entry, "w") as member:
        while piece := source.read(min(PIECE, most - size)):
            member.write(piece)
            digest.update(piece)
            size += len(piece)
            yield WrittenEntry(size, digest.hexdigest())
    if size == 0:
        yield WrittenEntry(0, digest.hexdigest())
