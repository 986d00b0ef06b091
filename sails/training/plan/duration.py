"""How long a training will take, and how long it still takes."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from statistics import fmean

from sails import system
from sails.retention import ROWS
from sails.sessions import Method, SessionRecord, Status, TrainSpec
from sails.training.plan.schedule import Schedule, rehearsed_rows

# --- how long it takes ----------------------------------------------------------------------------


BYTES_A_TOKEN = 3.0  # of rows as JSON Lines, with what a chat template adds; English, SmolLM2: 2.9
LATEST = 5  # earlier sessions that an estimate rests on
SPREAD = (0.8, 1.4)  # how much faster or slower a machine is than the last time
EFFICIENCY = (0.5, 2.5)  # training against the fp32 matrix multiplication measured; bf16 is the fast end
EARLY = 0.15  # share of the most rounds after which a lesson may be known, before any session told
REHEARSED_TOKENS = 67  # of a rehearsed answer with its question; SmolLM2
LOOKED_AT_ROWS = 64  # at most so many of those kept back are scored while it learns


@dataclass(frozen=True)
class LessonSize:
    """What is to be taught, as far as it tells how long that takes."""

    rows: int
    size: int  # bytes of the rows as JSON Lines


@dataclass(frozen=True)
class Experience:
    """What earlier sessions of this workspace on this machine took, with models of one size."""

    sessions: int
    tokens_per_second: tuple[float, float]  # slowest with all that happens beside the steps, fastest without
    bytes_a_token: float
    rounds: tuple[float, float] | None  # least and largest share of the most rounds that a lesson took
    seconds: Mapping[str, float] = field(default_factory=dict)  # mean, by phase; only those that were seen


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds from start to end, at best and at worst; `sessions` is 0 when it was measured just now."""

    low: float
    high: float
    sessions: int


def experience(
    records: Iterable[SessionRecord], base: str | None, method: Method | None = None
) -> Experience | None:
    """Return what the latest sessions from that base model on this machine took; None when there are none.

    With a `method`, only those that were trained by it count.
    """
    seen = [record for record in records if _tells_time(record, base, method)][-LATEST:]
    if not seen:
        return None
    slowest, fastest, densities, rounds = [], [], [], []
    for record in seen:
        results = record.status.results
        slowest.append(results.tokens / results.seconds["train"])
        fastest.append(results.tokens_per_second)
        file = system.stamp_or_none(record.session.data / "train.jsonl")
        if file and file.size and results.epochs:
            rehearsed = results.steps * results.rehearsed * REHEARSED_TOKENS
            densities.append(file.size * results.epochs / max(results.tokens - rehearsed, 1))
        if isinstance(record.spec, TrainSpec) and record.spec.settings.until_known and results.most_epochs:
            rounds.append(results.epochs / results.most_epochs)
    phases = {phase for record in seen for phase in record.status.results.seconds}
    return Experience(
        sessions=len(seen),
        tokens_per_second=(min(slowest), max(fastest)),
        bytes_a_token=fmean(densities) if densities else BYTES_A_TOKEN,
        rounds=(min(rounds), max(rounds)) if rounds else None,
        seconds={phase: fmean(_times(seen, phase)) for phase in phases},
    )


def _tells_time(record: SessionRecord, base: str | None, method: Method | None) -> bool:
    status, results = record.status, record.status.results
    if method and isinstance(record.spec, TrainSpec) and record.spec.settings.method != method:
        return False
    train = results.seconds.get("train", 0.0)
    if status.state != "succeeded" or status.plan is None or status.host != socket.gethostname():
        return False
    # Of a resumed session the tokens count all its parts, the seconds only the last one.
    whole = results.tokens_per_second > 0 and results.tokens / results.tokens_per_second <= train
    return status.plan.base == base and whole and results.tokens > 0


def _times(records: Sequence[SessionRecord], phase: str) -> list[float]:
    found = (record.status.results.seconds.get(phase) for record in records)
    return [seconds for seconds in found if seconds is not None]


def estimate_time(
    lesson: LessonSize,
    schedule: Schedule,
    parameters: int,
    *,
    export: bool,
    seen: Experience | None,
    speed: float,
) -> TimeEstimate:
    """How long a session will take: from what earlier ones took, else from `speed` (see `processor_speed`).

    `parameters` are the model's. A range, because the machine may be busier or idler then, and because a
    lesson may be known sooner or later: as in earlier sessions, else after any round.
    """
    soonest, latest = 1.0, 1.0  # share of the most rounds
    if schedule.until_known:
        least, largest = seen.rounds if seen and seen.rounds else (EARLY, 1.0)
        soonest, latest = SPREAD[0] * least, min(1.0, SPREAD[1] * largest)
    tokens = _tokens(lesson, schedule, seen.bytes_a_token if seen else BYTES_A_TOKEN)
    if seen:
        slowest, fastest = seen.tokens_per_second
        guessed = _guessed_seconds(lesson, parameters, fastest)
        around = {phase: seen.seconds.get(phase, guess) for phase, guess in guessed.items()}
        low, high = soonest * tokens / fastest, latest * tokens / slowest
    else:
        rates = [efficiency * speed / (6 * max(parameters, 1)) for efficiency in EFFICIENCY]
        around = _guessed_seconds(lesson, parameters, rates[1])
        low, high = soonest * tokens / rates[1], latest * tokens / rates[0]
    beside = sum(seconds for phase, seconds in around.items() if export or phase != "export")
    spread = SPREAD if seen else (SPREAD[0], 2 * SPREAD[1])
    low, high = low + spread[0] * beside, high * SPREAD[1] + spread[1] * beside
    return TimeEstimate(low, high, seen.sessions if seen else 0)


def _tokens(lesson: LessonSize, schedule: Schedule, bytes_a_token: float) -> float:
    """Tokens of the most rounds of a session, rehearsed ones too; fewer when `max_steps` ends it before."""
    tokens = lesson.size / bytes_a_token * schedule.epochs
    steps = tokens / (schedule.token_budget or 1)
    if schedule.batch_size:
        steps = lesson.rows * schedule.epochs / schedule.batch_size
    rows = lesson.rows * schedule.epochs / max(steps, 1.0)
    tokens += steps * rehearsed_rows(rows, schedule.protect) * REHEARSED_TOKENS
    return tokens * min(1.0, schedule.max_steps / max(steps, 1.0)) if schedule.max_steps else tokens


def _guessed_seconds(lesson: LessonSize, parameters: int, rate: float) -> dict[str, float]:
    """What surrounds the learning, as it was measured with 135 million parameters on two cores."""
    millions = parameters / 1e6
    judged = min(lesson.rows, ROWS) * lesson.size / max(lesson.rows, 1) / BYTES_A_TOKEN
    asking = judged / (4 * rate) + 0.05 * millions
    return {"prepare": 6 + asking, "judge": 1 + asking, **_finishing_seconds(parameters)}


def _finishing_seconds(parameters: int) -> dict[str, float]:
    return {"publish": 0.5, "export": 10 + 0.5 * parameters / 1e6}


def usual_seconds(seen: Experience | None, prepared: float | None, parameters: int) -> dict[str, float]:
    """Seconds by phase for a session that runs: as they took before, else from what it did itself.

    Judging asks what preparing asked, which took `prepared` seconds; the rest follows from the size of the
    model, 0 `parameters` if nobody knows.
    """
    guessed = _finishing_seconds(parameters) if parameters else {}
    if prepared is not None:
        guessed["judge"] = prepared
    return {**guessed, **(seen.seconds if seen else {})}


@cache
def processor_speed() -> float:
    """Multiply-and-add operations a second, times two, of this processor in fp32; takes 0.3 s once.

    The fastest of many short tries counts: whatever else the machine does now slows some of them, not all.
    """
    import numpy as np

    matrix = np.full((512, 512), 0.5, np.float32)
    end, fastest = time.perf_counter() + 0.3, math.inf
    while fastest == math.inf or time.perf_counter() < end:
        began = time.perf_counter()
        matrix @ matrix
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * 512**3 / fastest


# --- how long it still takes ----------------------------------------------------------------------


MIN_STEPS, MIN_SECONDS = 3, 5.0  # before the speed of a session says anything


@dataclass(frozen=True)
class TimeLeft:
    """Seconds that are left, None while nobody can know; without the phases whose time is not known."""

    seconds: float | None
    unknown: tuple[str, ...] = ()


def time_left(
    status: Status, phases: Sequence[str], *, steps: int, seen: Mapping[str, float], now: datetime
) -> TimeLeft:
    """What is left of a running session: its own steps measured, later phases as they took before (`seen`).

    `steps` are those that its present worker has done; a resumed session began with some already.
    """
    if status.phase not in phases:
        return TimeLeft(None)
    left = _left_of_phase(status, steps, seen.get(status.phase), now)
    later = phases[phases.index(status.phase) + 1 :]
    known = sum(seen[phase] for phase in later if phase in seen)
    unknown = tuple(phase for phase in later if phase not in seen)
    return TimeLeft(None if left is None else left + known, unknown)


def _left_of_phase(status: Status, steps: int, usual: float | None, now: datetime) -> float | None:
    if status.phase_started is None:
        return None
    elapsed = (now - status.phase_started).total_seconds()
    if status.phase != "train":
        return None if usual is None else max(usual - elapsed, 0.0)
    if steps < MIN_STEPS or elapsed < MIN_SECONDS:
        return None
    return elapsed / steps * max(status.total_steps - status.step, 0)
