"""How much memory is free, and how much this process took."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil


def available_memory(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory that a new process can have, a container's own limit included."""
    available = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # "max", or no control group at all
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # What was read from files counts as used, but the kernel drops it when a program needs the room.
        cache = int(statistics.get("active_file", 0)) + int(statistics.get("inactive_file", 0))
        return min(available, limit - used + cache)
    return available


def give_back_memory() -> None:
    """Hand memory that this process has freed back to the system.

    The C library keeps what it may need again; after a model of gigabytes was dropped, that is most of it.
    """
    gc.collect()  # what refers to itself is freed only now
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextlib.contextmanager
def no_collection(new: int = 1000) -> Iterator[None]:
    """Look for no garbage while so many `new` things come: they are none, and all others wait meanwhile."""
    pause = new > 500 and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


def peak_memory() -> int:
    """Return the most bytes of memory that this process ever had."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    # On Linux, getrusage counts what the starter of this process used.
    with contextlib.suppress(OSError, IndexError):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
