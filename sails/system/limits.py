"""Limits on another process: memory, processor time, time by the clock.

    with watched(process, Limits(memory=10**9, processor=10, clock=60)) as watch:
        ...                     # wait for it; it is killed when it goes beyond one of them
    watch.exceeded              # "memory", "time", or empty

The process calls `limit_this_process` first: where the system keeps limits itself, it is told before it is
killed, and its memory never goes beyond.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

POLL_SECONDS = 0.1
SLACK = 1.15  # of the system's own limit: libraries, which are files, count for one who looks and not for it


@dataclass(frozen=True)
class Limits:
    """Bytes of memory, seconds of processor time, and seconds by the clock."""

    memory: int
    processor: float
    clock: float


@dataclass
class Watch:
    """What became of a process that was watched."""

    exceeded: Literal["", "memory", "time"] = ""


def limit_this_process(limits: Limits) -> None:
    """Hold this process to its memory and processor time, as far as the system can.

    Beyond its memory it gets MemoryError, where a library does not end it; beyond its time it is ended. macOS
    and Windows keep no limit on memory: there, `watched` is all.
    """
    if sys.platform == "win32":
        return
    import resource

    seconds = math.ceil(limits.processor)
    with contextlib.suppress(OSError, ValueError):  # a lower one is set already
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sys.platform == "linux":  # RLIMIT_AS would count what libraries reserve and never use
            resource.setrlimit(resource.RLIMIT_DATA, (limits.memory, limits.memory))
    with contextlib.suppress(OSError):  # if the machine runs out, the kernel ends this one first
        Path("/proc/self/oom_score_adj").write_text("1000")


@contextlib.contextmanager
def watched(process: subprocess.Popen[Any], limits: Limits) -> Iterator[Watch]:
    """Kill a process as soon as it goes beyond its limits, and whenever the block is left while it runs."""
    watch, ended = Watch(), threading.Event()
    thread = threading.Thread(target=_watch, args=(process, limits, watch, ended), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        process.kill()
        process.wait()
        thread.join()
        if not watch.exceeded and process.returncode == -_SIGXCPU:
            watch.exceeded = "time"


_SIGXCPU = 24  # the same number on Linux and macOS; Windows has none


def _watch(process: subprocess.Popen[Any], limits: Limits, watch: Watch, ended: threading.Event) -> None:
    import psutil  # not in the process that reads: it starts faster without

    began = time.monotonic()
    with contextlib.suppress(psutil.Error):  # it has ended
        meter = psutil.Process(process.pid)
        while not ended.wait(POLL_SECONDS):
            with meter.oneshot():
                times, memory = meter.cpu_times(), meter.memory_info().rss
            if memory > limits.memory * SLACK:
                watch.exceeded = "memory"
            elif times.user + times.system > limits.processor + 1 or time.monotonic() - began > limits.clock:
                watch.exceeded = "time"
            if watch.exceeded:
                process.kill()
                return
