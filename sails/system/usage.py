"""What a process uses of its machine now, and the machine in all: processors, memory, graphics cards.

    meter = meter_of(identity)    # one for all who look
    meter.read()                  # a Usage; of processors from the second reading on

Reads counters of the operating system; no machine-learning library is loaded.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from sails.system.load import turns
from sails.system.memory import available_memory
from sails.system.processes import ProcessIdentity, is_alive

SHORTEST = 0.8  # seconds between two readings; who asks sooner gets the last one
STEADY = 30.0  # seconds over which it is told how much a process was slowed down
CARDS_SECONDS = 5.0  # asking the graphics cards takes a while
CARDS_QUERY = ("--query-gpu=name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class ProcessorUsage:
    """Processors that were busy since the reading before, as a number of them.

    `slowdown` is how many times as long the process took in the last half minute because its threads waited
    for a processor; 1 alone.
    """

    process: float
    machine: float
    slowdown: float


@dataclass(frozen=True)
class Usage:
    """Memory in bytes, of the process and in use on the machine of its total; None: not known yet."""

    memory: int
    machine_memory: int
    machine_memory_total: int
    machine_processors: int
    processors: ProcessorUsage | None


@dataclass(frozen=True)
class CardUsage:
    """A graphics card: how busy it is, 0 to 1, and its memory in bytes."""

    name: str
    busy: float
    memory: int
    memory_total: int


@dataclass(frozen=True)
class _Reading:
    at: float  # seconds on the machine's own clock
    process: float  # seconds of processors that it used so far
    machine: float
    ran: int  # nanoseconds, of all its threads
    waited: int


class UsageMeter:
    """Reads what one process uses, from one reading to the next; any number of threads may ask."""

    def __init__(self, identity: ProcessIdentity) -> None:
        self._identity = identity
        self._guard = threading.Lock()
        self._readings: deque[_Reading] = deque()  # of the last `STEADY` seconds, and one before
        self._last: Usage | None = None

    def read(self) -> Usage | None:
        """Return what it uses; None when it does not run any more, or on another machine."""
        with self._guard:
            if self._readings and time.monotonic() - self._readings[-1].at < SHORTEST:
                return self._last
            if self._identity.host != socket.gethostname() or not is_alive(self._identity):
                return None
            try:
                self._last = self._measure()
            except psutil.Error:  # it ended just now, or belongs to somebody else
                return None
            return self._last

    def _measure(self) -> Usage:
        process = psutil.Process(self._identity.pid)
        used, machine = process.cpu_times(), psutil.cpu_times()
        ran, waited = turns(Path(f"/proc/{self._identity.pid}/task"))
        busy = machine.user + machine.system + getattr(machine, "nice", 0.0)
        now = _Reading(time.monotonic(), used.user + used.system, busy, ran, waited)
        while len(self._readings) > 1 and now.at - self._readings[1].at > STEADY:
            self._readings.popleft()
        self._readings.append(now)
        memory = psutil.virtual_memory().total
        return Usage(
            memory=process.memory_info().rss,
            machine_memory=max(memory - available_memory(), 0),
            machine_memory_total=memory,
            machine_processors=psutil.cpu_count() or 1,
            processors=_between(self._readings) if len(self._readings) > 1 else None,
        )


def _between(readings: Sequence[_Reading]) -> ProcessorUsage:
    first, before, now = readings[0], readings[-2], readings[-1]
    seconds = now.at - before.at
    ran, waited = now.ran - first.ran, now.waited - first.waited
    return ProcessorUsage(
        process=max(now.process - before.process, 0.0) / seconds,
        machine=max(now.machine - before.machine, 0.0) / seconds,
        # A thread that ended takes its counts with it, so that both may have become less.
        slowdown=1 + waited / ran if ran > 0 and waited > 0 else 1.0,
    )


@lru_cache(maxsize=8)
def meter_of(identity: ProcessIdentity) -> UsageMeter:
    """Return the one meter of a process."""
    return UsageMeter(identity)


def graphics_cards() -> tuple[CardUsage, ...]:
    """Return what the NVIDIA cards of this machine are used for; empty without one or without its tool."""
    return _cards(int(time.monotonic() / CARDS_SECONDS))


@lru_cache(maxsize=1)
def _cards(_moment: int) -> tuple[CardUsage, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        said = subprocess.run([tool, *CARDS_QUERY], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    cards = []
    for line in said.stdout.splitlines():
        name, *numbers = (part.strip() for part in line.split(","))
        if len(numbers) == 3 and all(
            number.isdigit() for number in numbers
        ):  # "[N/A]" where a card cannot tell
            busy, used, total = map(int, numbers)
            cards.append(CardUsage(name, busy / 100, used << 20, total << 20))
    return tuple(cards)
