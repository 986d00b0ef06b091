"""How busy the processors are, and how long this process had to wait for one."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

TASKS = Path("/proc/self/task")
IDLE = 0.25  # programs for each processor that may run beside without being called busy


def processors() -> int:
    """Return how many processors this process may use."""
    with contextlib.suppress(AttributeError):  # no such call on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slowdown() -> float:
    """How many times as long a calculation on all processors takes now as on an idle machine, 1.0 at least.

    From the mean number of programs that wanted a processor in the last minute, or in the last five where
    that is less: what has just begun, as the dashboard itself, may be over soon, and what is over is no load.
    1.0 where nobody counts it.
    """
    try:
        running = min(os.getloadavg()[:2]) / processors()
    except (AttributeError, OSError):
        return 1.0
    return 1.0 + running if running > IDLE else 1.0


def stopwatch() -> Callable[[], tuple[float, float]]:
    """Begin to measure; what is returned gives the seconds by the clock, and what they would have been alone.

    Alone is the share of the time in which threads that wanted to calculate did, and did not wait for others
    (Linux: schedstat, in Documentation/scheduler/sched-stats.rst); elsewhere both are the same.
    """
    began, before = time.monotonic(), turns(TASKS)

    def read() -> tuple[float, float]:
        seconds = time.monotonic() - began
        ran, waited = (now - then for now, then in zip(turns(TASKS), before, strict=True))
        return seconds, seconds * ran / (ran + waited) if ran > 0 and waited > 0 else seconds

    return read


def turns(tasks: Path) -> tuple[int, int]:
    """Return the nanoseconds that all threads of a process ran, and that they were ready to and waited.

    `tasks` is its folder of threads, /proc/PID/task; 0 of both where there is none.
    """
    ran = waited = 0
    for file in tasks.glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # the thread has just ended
            on, off, _ = file.read_text().split()
            ran, waited = ran + int(on), waited + int(off)
    return ran, waited
