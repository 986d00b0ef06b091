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
from sails.sessions import Method, Preset, Round, SessionRecord, Status, TrainSpec
from sails.training.plan.schedule import Schedule, rehearsed_rows

# --- how long it takes ----------------------------------------------------------------------------


BYTES_A_TOKEN = 3.0  # of rows as JSON Lines, with what a chat template adds; English, SmolLM2: 2.9
LATEST = 5  # earlier sessions that an estimate rests on
SPREAD = (0.8, 1.4)  # how much faster or slower a machine is than the last time
FIRST_SPREAD = (0.7, 1.6)  # the same of what surrounds the learning, before any session told
EFFICIENCY = (0.55, 1.4)  # training against the fp32 matrix multiplication measured; bf16 is the fast end
KNOWN = (4, 12)  # rounds after which lessons were known, before any session told
BUSIEST = 2.0  # times as long as alone: a training outlasts a busy minute, recorded ones took 1.8 times
WIDEST = 3.0  # times the least seconds; wider than that, an estimate helps nobody
REHEARSED_TOKENS = 67  # of a rehearsed answer with its question; SmolLM2
SPEED_MATRIX, SPEED_TRIES = 64, 50  # rows of a matrix, and products in a row, that tell a processor's speed
LOOKED_AT_ROWS = 64  # at most so many of those kept back are scored while it learns


@dataclass(frozen=True)
class LessonSize:
    """What is to be taught, as far as it tells how long that takes."""

    rows: int
    size: int  # bytes of the rows as JSON Lines


@dataclass(frozen=True)
class Experience:
    """What earlier sessions of this workspace on this machine took alone, with models of one size."""

    sessions: int
    tokens_per_second: tuple[float, float]  # slowest with all that happens beside the steps, fastest without
    bytes_a_token: float
    rounds: tuple[float, float] | None  # least and largest share of the most rounds that a lesson took
    seconds: Mapping[str, float] = field(default_factory=dict)  # mean, by phase; only those that were seen


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds from start to end, at best and at worst; `sessions` is 0 when it was measured just now.

    They are those of an idle machine times `slowdown`, which is 1 on one.
    """

    low: float
    high: float
    sessions: int
    slowdown: float = 1.0


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
        waited = results.seconds["train"] / _alone(record, "train", results.seconds["train"])
        slowest.append(waited * results.tokens / results.seconds["train"])
        fastest.append(waited * results.tokens_per_second)
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
    found = ((record, record.status.results.seconds.get(phase)) for record in records)
    return [_alone(record, phase, seconds) for record, seconds in found if seconds is not None]


def _alone(record: SessionRecord, phase: str, seconds: float) -> float:
    """What a phase would have taken on an idle machine; `seconds` where that was not measured."""
    return record.status.results.seconds_alone.get(phase) or seconds


def estimate_time(
    lesson: LessonSize,
    schedule: Schedule,
    parameters: int,
    *,
    export: bool,
    seen: Experience | None,
    speed: float,
    slowdown: float = 1.0,
) -> TimeEstimate:
    """How long a session will take: from what earlier ones took, else from `speed` (see `processor_speed`).

    `parameters` are the model's, `slowdown` is how much longer all takes now than alone. A range, because a
    lesson may be known sooner or later: as in earlier sessions, else as usual. It is at most `WIDEST`.
    """
    soonest, latest = 1.0, 1.0  # share of the most rounds
    if schedule.until_known:
        soonest, latest = (min(1.0, rounds / schedule.epochs) for rounds in KNOWN)
        if seen and seen.rounds:
            soonest, latest = SPREAD[0] * seen.rounds[0], min(1.0, SPREAD[1] * seen.rounds[1])
    tokens = _tokens(lesson, schedule, seen.bytes_a_token if seen else BYTES_A_TOKEN)
    if seen:
        slowest, fastest = seen.tokens_per_second
        guessed = _guessed_seconds(lesson, parameters, fastest)
        around = {phase: seen.seconds.get(phase, guess) for phase, guess in guessed.items()}
        low, high = soonest * tokens / fastest, SPREAD[1] * latest * tokens / slowest
    else:
        rates = [efficiency * speed / (6 * max(parameters, 1)) for efficiency in EFFICIENCY]
        around = _guessed_seconds(lesson, parameters, rates[1])
        low, high = soonest * tokens / rates[1], latest * tokens / rates[0]
    beside = sum(seconds for phase, seconds in around.items() if export or phase != "export")
    spread = SPREAD if seen else FIRST_SPREAD
    low, high = low + spread[0] * beside, high + spread[1] * beside
    if high > WIDEST * low:
        low, high = (math.sqrt(low * high) * factor for factor in (WIDEST**-0.5, WIDEST**0.5))
    return TimeEstimate(slowdown * low, slowdown * high, seen.sessions if seen else 0, slowdown)


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
    return {"prepare": 6 + asking, "judge": 0.3 * millions + asking, **_finishing_seconds(parameters)}


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
    """Multiply-and-add operations a second, times two, of all processors in fp32; takes 0.1 s once.

    Counted is the time in which this thread calculated, not the time in which others did, and of many short
    tries the fastest: a busy machine looks as fast as it is alone. The matrices are so small that one thread
    multiplies them; several would wait for each other on a busy machine, a hundred times as long.
    """
    import numpy as np

    matrix = np.full((SPEED_MATRIX, SPEED_MATRIX), 0.5, np.float32)
    product = np.empty_like(matrix)
    end, fastest = time.perf_counter() + 0.1, math.inf
    while time.perf_counter() < end or fastest == math.inf:
        began = time.thread_time()
        for _ in range(SPEED_TRIES):
            np.matmul(matrix, matrix, out=product)
        fastest = min(fastest, (time.thread_time() - began) / SPEED_TRIES or math.inf)
    return 2 * SPEED_MATRIX**3 / fastest * system.processors()


# --- how long it still takes ----------------------------------------------------------------------


MIN_STEPS, MIN_SECONDS = 3, 5.0  # before the speed of a session says anything


LATEST_ROUNDS = 3  # from which it is told how fast a lesson is learned


@dataclass(frozen=True)
class TimeLeft:
    """Seconds that are left, None while nobody can know; without the phases whose time is not known.

    `seconds` are the most, `least` the fewest where a lesson may be known before.
    """

    seconds: float | None
    unknown: tuple[str, ...] = ()
    least: float | None = None


def time_left(
    status: Status,
    phases: Sequence[str],
    *,
    steps: int,
    seen: Mapping[str, float],
    now: datetime,
    known: tuple[float, float] | None = None,
) -> TimeLeft:
    """What is left of a running session: its own steps measured, later phases as they took before (`seen`).

    `steps` are those that its present worker has done; a resumed session began with some already. `known` is
    the first and the last step at which it may know its lesson (see `steps_to_know`).
    """
    if status.phase not in phases:
        return TimeLeft(None)
    later = phases[phases.index(status.phase) + 1 :]
    after = sum(seen[phase] for phase in later if phase in seen)
    unknown = tuple(phase for phase in later if phase not in seen)
    ends = [min(end, status.total_steps) for end in known or ()] or [status.total_steps]
    left = [_left_of_phase(status, steps, end, seen.get(status.phase), now) for end in ends]
    if left[-1] is None:
        return TimeLeft(None, unknown)
    least = left[0] + after if known and status.phase == "train" and left[0] is not None else None
    return TimeLeft(left[-1] + after, unknown, least)


def _left_of_phase(
    status: Status, steps: int, end: float, usual: float | None, now: datetime
) -> float | None:
    if status.phase_started is None:
        return None
    elapsed = (now - status.phase_started).total_seconds()
    if status.phase != "train":
        return None if usual is None else max(usual - elapsed, 0.0)
    if steps < MIN_STEPS or elapsed < MIN_SECONDS:
        return None
    return elapsed / steps * max(end - status.step, 0)


def steps_to_know(rounds: Sequence[Round], preset: Preset) -> tuple[float, float] | None:
    """Return the first and the last step at which a lesson may be known; None while nobody can tell.

    What is wrong becomes less by about equal parts of all at first, and by equal shares of the rest in the
    end: so it is known between the two. In the demo's recorded sessions that held after each round but the
    first. The range is at most `WIDEST`.
    """
    wrong = [1 - one.right for one in rounds[-LATEST_ROUNDS:]]
    target = 1 - preset.known_share
    if len(wrong) < 2 or wrong[-1] >= wrong[0]:
        return None
    more = len(wrong) - 1
    least = most = 1.0  # rounds
    if wrong[-1] > target:
        least = max(1.0, (wrong[-1] - target) / (wrong[0] - wrong[-1]) * more)
        most = max(least, math.log(wrong[-1] / target) / math.log(wrong[0] / wrong[-1]) * more)
    if most > WIDEST * least:
        least, most = (math.sqrt(least * most) * factor for factor in (WIDEST**-0.5, WIDEST**0.5))
    per_round, last = rounds[-1].end / len(rounds), preset.known_rounds - 1
    first, final = (rounds[-1].end + per_round * (math.ceil(count) + last) for count in (least, most))
    return first, final
