"""A recorded session, played again for an audience: its files are read out at a chosen speed.

Nothing is trained and nothing is published. The replay is a job with the shapes of a session (spec, status,
metrics, log), so that the live view draws it as any other; its spec says `replay`. Each step takes its share
of the time that it took when it was recorded. A replay may begin in the middle, at the moment in which the
answers change.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

from sails import sessions, system
from sails.errors import RequestError
from sails.jobs import launcher
from sails.models import Workspace
from sails.sessions import MetricsReader, Phase, ReplaySpec, Reporter, Session, TrainSpec

log = logging.getLogger(__name__)

LEAD = 0.05  # of all steps are played before the moment that a replay begins at

# Wall-clock shares of the phases where nobody measured them.
UNKNOWN_SHARES = {"prepare": 0.1, "train": 0.7, "judge": 0.15, "publish": 0.05}


@system.changes("replay a session", what="recorded")
def start_replay(
    workspace: Workspace, recorded: Session, seconds: float = 60.0, *, from_start: bool = True
) -> Session:
    """Start a replay in the background, else shortly before the answers change for the first time.

    Raises `RequestError` for a session that never got anywhere.
    """
    spec, status = recorded.spec(), recorded.status()
    if not isinstance(spec, TrainSpec) or status.plan is None or not recorded.metrics.exists():
        raise RequestError(f"{recorded.id} holds nothing to replay.", "Choose a session that has trained.")
    if not 1 <= seconds <= 3600:
        raise RequestError(f"A replay cannot take {seconds:g} seconds.", "Choose 1 to 3600.")
    identity, now = sessions.free_id(workspace.jobs, f"replay {spec.name}"), datetime.now(UTC)
    from_step = 0 if from_start else interesting_step(recorded)
    asked = ReplaySpec(
        id=identity,
        name=spec.name,
        created=now,
        session=recorded.id,
        seconds=seconds,
        from_step=from_step,
    )
    job = sessions.create(workspace.jobs, asked)
    launcher.launcher_for(job).submit(job)
    return job


def interesting_step(recorded: Session) -> int:
    """Return a step shortly before the first sample in which an answer differs from the first; 0 without."""
    metrics = MetricsReader(recorded.metrics).read_metrics()
    samples = [metric for metric in metrics if metric["kind"] == "samples"]
    steps = [metric["step"] for metric in metrics if metric["kind"] == "step"]
    for sample in samples[1:]:
        if sample["answers"] != samples[0]["answers"]:
            return max(0, sample["step"] - round(max(steps, default=0) * LEAD))
    return 0


def play(recorded: Session, seconds: float, reporter: Reporter, from_step: int = 0) -> None:
    """Write a recorded session's phases, metrics and results again, spread over `seconds`.

    What lies before `from_step` is written at once.
    """
    status = recorded.status()
    measured = {phase: time for phase, time in status.results.seconds.items() if phase in get_args(Phase)}
    times = measured if measured.get("train") else UNKNOWN_SHARES
    reporter.update(plan=status.plan)
    if from_step:
        times = {**times, "prepare": 0.0}
    for phase, time in times.items():
        share = seconds * time / sum(times.values())
        with reporter.phase(phase):
            if phase == "train":
                _play_metrics(recorded, share, reporter, from_step)
                continue
            for part in range(10):
                reporter.progress(part / 10, "")
                reporter.wait(share / 10)
    keep = {"verdict": status.verdict, "verdict_reason": status.verdict_reason, "results": status.results}
    # Its notes say how it ended, so they come in the end.
    reporter.update(**keep, step=status.step, total_steps=status.total_steps, notes=status.notes)


def _play_metrics(recorded: Session, seconds: float, reporter: Reporter, from_step: int = 0) -> None:
    """All metrics in their order; between two steps, each step's share of the time."""
    metrics = MetricsReader(recorded.metrics).read_metrics()
    steps = [metric["step"] for metric in metrics if metric["kind"] == "step"]
    lengths = [
        length if step >= from_step else 0.0
        for step, length in zip(steps, _step_seconds(metrics), strict=True)
    ]
    per_second = seconds / max(sum(lengths), 1e-9)
    times = iter(lengths)
    for metric in metrics:
        reporter.metric(**metric)
        if metric["kind"] == "step":
            reporter.wait(next(times) * per_second)


def _step_seconds(metrics: list[dict[str, Any]]) -> Iterator[float]:
    """How long each step took when it was recorded, from its tokens and its speed."""
    before = 0
    for metric in metrics:
        if metric["kind"] == "resume":
            before = 0
        if metric["kind"] == "step":
            tokens, speed = metric.get("tokens") or 0, metric.get("tokens_per_second") or 0
            yield max(tokens - before, 0) / speed if speed else 0.0
            before = tokens


def run_replay(job: Session, spec: ReplaySpec, reporter: Reporter) -> None:
    """Play a recorded session of the same workspace again; raises `WorkspaceError` when it is gone."""
    recorded = Session(job.folder.parent.parent / "sessions" / spec.session)
    log.info("This is a replay of %s: nothing is trained.", recorded.spec().id)
    play(recorded, spec.seconds, reporter, spec.from_step)
