"""What a session's metrics say so far, read once and shared by everybody who looks at it.

    monitor = monitor_of(session)
    monitor.update()               # reads what was written since the last time, whoever asks
    monitor.curve("loss")          # Curve(x, y), at most 1,000 points

One monitor per session folder lives in the process, so a second viewer costs no reading. A curve is thinned
to the lowest and the highest point of each stretch of steps, so that a spike of a single step stays visible
among a million; the stretches are kept up to date as rows arrive and never computed anew. A first read of a
long file goes on in the background, and what was read so far can be drawn. Nothing is drawn here, and
nothing is written.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sails.sessions.downsample import POINTS, Curve, Table
from sails.sessions.metrics import LineReader
from sails.sessions.session import Session
from sails.system import stamp_or_none

KEPT_MONITORS = 32  # with a million rows each, 32 MB apiece
BLOCK = 1 << 20  # bytes read and understood at a time
PATIENCE = 0.1  # seconds that an `update` may take before the rest is left to the background
LOG_BYTES = 1 << 20  # of a log that is already there, the end is enough
LOG_LINES = 5000
KEPT_SAMPLES = 200
MOST_STEPS = 2**53
MOST_ROUNDS = 10_000

STEP_CURVES = ("loss", "new_loss", "repeated_loss", "learning_rate", "tokens_per_second", "gradient_norm")
HELD_OUT_CURVES = {"held_out_loss": "loss", "held_out_accuracy": "accuracy"}


# --- one session ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LastStep:
    """The last step and its values by `STEP_CURVES`; without any before the first."""

    step: int = 0
    values: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """A round through the examples: its last step, and the share of the lesson's tokens predicted right."""

    end: int
    right: float


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question that shows what a lesson did, what it is about, and what the model answered.

    `expected` is the answer that was taught, where there is one.
    """

    about: str
    question: str
    answer: str
    expected: str | None = None


@dataclass(frozen=True)
class Samples:
    """What the model answered to the session's sample questions after `step` steps."""

    step: int
    prompts: tuple[str, ...]
    answers: tuple[str, ...]


class _Blocks(LineReader):
    """Reads in blocks of whole lines, and says when the file was begun anew."""

    def __init__(self, path: Path, keep: int | None = None) -> None:
        super().__init__(path)
        self._keep = keep  # of a file that is there already, only so many bytes at its end
        self.size = 0

    def begins_anew(self) -> bool:
        """Look at the file's size; one that is shorter than what was read of it is read from its start."""
        now = stamp_or_none(self.path)
        self.size = now.size if now else 0
        anew = self.size < self._offset
        self._offset = 0 if anew else self._offset
        return anew

    @property
    def behind(self) -> bool:
        return self.size > self._offset

    @property
    def share(self) -> float:
        """How much of the file was read, 0 to 1."""
        return min(1.0, self._offset / self.size) if self.size else 1.0

    def read_block(self) -> list[bytes]:
        """The next whole lines, about `BLOCK` bytes of them; empty when there is no whole line more."""
        try:
            with open(self.path, "rb") as file:
                if self._keep is not None:
                    self._offset = max(0, file.seek(0, 2) - self._keep)
                    self._keep = None
                file.seek(self._offset)
                block = file.read(BLOCK)
                if len(block) == BLOCK:
                    block += file.readline()
        except OSError:
            return []
        complete, newline, _ = block.rpartition(b"\n")
        self._offset += len(complete) + len(newline)
        return complete.split(b"\n") if newline else []


class SessionMonitor:
    """The metrics and the log of one session, growing. Any number of threads may use it at once."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._guard = threading.Lock()  # of what was understood so far
        self._reading = threading.Lock()  # held by the one who reads
        self._metrics = _Blocks(session.metrics)
        self._log = _Blocks(session.log, keep=LOG_BYTES)
        self._log_lines: deque[str] = deque(maxlen=LOG_LINES)
        self._reading_on = False  # in the background
        self.version = 0  # rises whenever there is something new
        self._forget()

    def _forget(self) -> None:
        self._steps = Table(STEP_CURVES)
        self._held_out = Table(tuple(HELD_OUT_CURVES))
        self._rounds: dict[int, list[float]] = {}  # by number: the last step, tokens, and those right
        self._rounds_done = 0
        self._samples: list[Samples] = []
        self._answers: dict[str, tuple[AnsweredQuestion, ...]] = {}
        self.last = LastStep()  # the last step, since a resume where there was one
        self._resumed_at = 0

    # --- what it knows ----------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Steps that count."""
        return self._steps.rows

    @property
    def share_read(self) -> float:
        """How much of the metrics file was read, 0 to 1; a half-written last line counts as read."""
        return self._metrics.share if self._reading_on else 1.0

    @property
    def steps_since_resume(self) -> int:
        """Steps since the session was resumed last, or since its start when it never was."""
        return max(0, self.last.step - self._resumed_at)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The rounds that are complete and of which somebody counted what was right, oldest first."""
        with self._guard:
            done = (self._rounds[number] for number in sorted(self._rounds) if number <= self._rounds_done)
            return tuple(Round(int(end), right / tokens) for end, tokens, right in done if tokens)

    @property
    def samples(self) -> tuple[Samples, ...]:
        with self._guard:
            return tuple(self._samples)

    @property
    def answers(self) -> dict[str, tuple[AnsweredQuestion, ...]]:
        """The questions and answers `before` and `after` the lesson, as far as they are there."""
        with self._guard:
            return dict(self._answers)

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines of the log, at most `LOG_LINES`."""
        with self._guard:
            return tuple(self._log_lines)

    def curve(self, name: str, points: int = POINTS) -> Curve:
        """One of `STEP_CURVES` or `HELD_OUT_CURVES` in at most `points` points."""
        with self._guard:
            table = self._held_out if name in HELD_OUT_CURVES else self._steps
            return table.curve(name).thinned(points)

    def average(self, name: str, parts: int = 60) -> Curve:
        """Return the mean of one of `STEP_CURVES` over each of at most `parts` stretches, at their middle."""
        with self._guard:
            return self._steps.average(name, parts)

    # --- reading ----------------------------------------------------------------------------------

    def update(self) -> None:
        """Read what is new. Returns soon: a long file is read on in the background."""
        if not self._reading.acquire(blocking=False):
            return  # somebody reads already
        handed_over = False
        try:
            self._read_log()
            if not self._read_metrics(time.monotonic() + PATIENCE):
                self._reading_on = True
                threading.Thread(target=self._read_on, daemon=True, name="sails-monitor").start()
                handed_over = True
        finally:
            if not handed_over:
                self._reading.release()

    def wait(self, seconds: float = 60.0) -> None:
        """Read to the end of the file now, for who cannot draw half of it."""
        deadline = time.monotonic() + seconds
        self.update()
        if self._reading.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._reading.release()

    def _read_on(self) -> None:
        try:
            self._read_metrics(float("inf"))
        finally:
            self._reading_on = False
            self._reading.release()

    def _read_metrics(self, deadline: float) -> bool:
        """Whether everything was read before the deadline."""
        if self._metrics.begins_anew():
            with self._guard:
                self._forget()
                self.version += 1
        while self._metrics.behind:
            if time.monotonic() > deadline:
                return False
            lines = self._metrics.read_block()
            if not lines:
                break
            metrics = [metric for metric in map(_parse, lines) if metric is not None]
            with self._guard:
                self._take(metrics)
                self.version += 1
        return True

    def _read_log(self) -> None:
        if self._log.begins_anew():
            with self._guard:
                self._log_lines.clear()
        while self._log.behind:
            lines = self._log.read_block()
            if not lines:
                break
            with self._guard:
                self._log_lines.extend(line.decode("utf-8", "replace").rstrip("\r") for line in lines)
                self.version += 1

    def _take(self, metrics: list[dict[str, Any]]) -> None:
        steps: list[dict[str, Any]] = []
        for metric in metrics:
            kind, step = metric.get("kind"), metric.get("step")
            if kind == "answers":
                when, items = metric.get("when"), metric.get("items")
                if isinstance(when, str) and isinstance(items, list):
                    self._answers[when] = tuple(filter(None, map(_answered, items)))
            elif not isinstance(step, int) or not 0 <= step < MOST_STEPS:
                continue  # rubbish, or a kind that a later version writes
            elif kind == "step":
                steps.append(metric)
            else:
                self._take_steps(steps)
                steps = []
                self._take_other(kind, step, metric)
        self._take_steps(steps)

    def _take_steps(self, metrics: list[dict[str, Any]]) -> None:
        if metrics:
            for metric in metrics:
                self._take_round(metric)
            columns = {name: [_value(metric, name) for metric in metrics] for name in STEP_CURVES}
            self._steps.extend([metric["step"] for metric in metrics], columns)
            last = {name: metrics[-1].get(name) for name in STEP_CURVES}
            known = {name: value if isinstance(value, int | float) else None for name, value in last.items()}
            self.last = LastStep(metrics[-1]["step"], known)

    def _take_round(self, metric: dict[str, Any]) -> None:
        epoch, tokens, right = (
            _number(metric.get(key)) for key in ("epoch", "taught_tokens", "taught_right")
        )
        if math.isfinite(epoch + tokens + right) and 0 < epoch < MOST_ROUNDS:
            seen = self._rounds.setdefault(math.ceil(epoch), [0.0, 0.0, 0.0])
            seen[:] = metric["step"], seen[1] + tokens, seen[2] + right
            self._rounds_done = int(epoch)

    def _take_other(self, kind: Any, step: int, metric: dict[str, Any]) -> None:
        if kind == "evaluation":
            values = {name: [_number(metric.get(key))] for name, key in HELD_OUT_CURVES.items()}
            self._held_out.extend([step], values)
        elif kind == "samples":
            sample = Samples(step, _texts(metric.get("prompts")), _texts(metric.get("answers")))
            self._samples = [*self._samples, sample]
            if len(self._samples) > KEPT_SAMPLES:  # the first stays: it is how the model answered before
                del self._samples[1]
        elif kind == "resume":
            self._resumed_at, self.last = step, LastStep()
            self._steps.cut_after(step)
            self._held_out.cut_after(step)
            self._samples = [sample for sample in self._samples if sample.step <= step]
            self._rounds = {number: seen for number, seen in self._rounds.items() if seen[0] <= step}
            self._rounds_done = min(self._rounds_done, max(self._rounds, default=0))


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _answered(item: Any) -> AnsweredQuestion | None:
    """What a worker wrote; None for anything of another shape."""
    if not isinstance(item, dict) or not isinstance(item.get("expected"), str | None):
        return None
    about, question, answer = (item.get(name) for name in ("about", "question", "answer"))
    if not (isinstance(about, str) and isinstance(question, str) and isinstance(answer, str)):
        return None
    return AnsweredQuestion(about, question, answer, item.get("expected"))


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else float("nan")
    except OverflowError:  # an integer of hundreds of digits
        return float("nan")


def _value(metric: dict[str, Any], name: str) -> float:
    """One of `STEP_CURVES` in a step; new and repeated examples as far as the step tells them apart."""
    if name == "new_loss":
        tokens = _number(metric.get("taught_tokens"))
        return _number(metric.get("taught_loss")) / tokens if tokens > 0 else math.nan
    if name == "repeated_loss" and name not in metric and metric.get("taught_tokens") == 0:
        return _number(metric.get("loss"))  # a step of a former version, of nothing but repeated ones
    return _number(metric.get(name))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


# --- all sessions ---------------------------------------------------------------------------------

_monitors: OrderedDict[tuple[str, int], SessionMonitor] = OrderedDict()
_monitors_guard = threading.Lock()


def monitor_of(session: Session) -> SessionMonitor:
    """The one monitor of this session in this process; it is forgotten when the session's folder is gone."""
    with _monitors_guard:
        key = (str(session.folder), _identity(session.folder))
        monitor = _monitors.pop(key, None)
        if monitor is None:
            for known in [known for known in _monitors if _identity(Path(known[0])) != known[1]]:
                del _monitors[known]
            while len(_monitors) >= KEPT_MONITORS:
                _monitors.popitem(last=False)
            monitor = SessionMonitor(session)
        _monitors[key] = monitor
        return monitor


def _identity(folder: Path) -> int:
    """Tells a folder from another one of the same name that came later; 0 when there is none."""
    now = stamp_or_none(folder)
    return now.inode if now else 0
