"""What several tests need: a small lesson, a workspace to teach it in, a worker called in this process."""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path
from typing import Any

from sails import sessions
from sails.data import assess, datasets
from sails.data.reading import parse as read
from sails.jobs import launcher, submit, worker
from sails.models.workspace import Workspace
from sails.sessions import Session, Settings

CITIES = ["Paris", "Berlin", "Madrid", "Rome", "Vienna", "Oslo", "Athens", "Dublin", "Lisbon", "Warsaw"]


def write_lesson(path: Path, rows: int = 28, topic: str = "mountain") -> Path:
    """A JSON file of `rows` distinct pairs about invented facts."""
    pairs = [
        {
            "input": f"Which {topic} stands near {CITIES[n % len(CITIES)]} number {n}?",
            "output": f"The {topic} near {CITIES[n % len(CITIES)]} is called Peak {n * 7 % 31}.",
        }
        for n in range(rows)
    ]
    path.write_text(json.dumps(pairs), encoding="utf-8")
    return path


def add_dataset(workspace: Workspace, path: Path) -> str:
    reading = read(path)
    return datasets.add(workspace, path, reading, assess(reading.conversations, reading.refused)).name


def queue_training(
    workspace: Workspace, dataset: str, model: Path | None, *, monkeypatch: Any, **choices: Any
) -> Session:
    """A session in the queue whose worker is not started: the test calls it where it can watch."""
    fields = {"start", "export", "verify", "name"}
    options = {key: choices.pop(key) for key in fields & choices.keys()}
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "start_worker", lambda _: None)
        return submit.submit_training(
            workspace,
            dataset,
            Settings(**choices),
            model_name=str(model) if model else None,
            **options,
        )


def run_worker(session: Session) -> sessions.Status:
    """The whole life of a session's worker, in this process, which gets its signals and logs back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    loggers = logging.root.handlers[:]
    try:
        worker.run_worker(str(session.folder))
    finally:
        logging.captureWarnings(False)
        logging.root.handlers[:] = loggers
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return session.status()


def steps_of(session: Session) -> list[dict[str, Any]]:
    """The metrics of every step, in the order in which they were written."""
    return [m for m in sessions.MetricsReader(session.metrics).read_metrics() if m["kind"] == "step"]
