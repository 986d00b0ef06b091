"""A training on a disk of its own that may only be read, and is full, in a process that tells what it saw.

    unshare -rm python -m tests.support.small_disk FOLDER BASE_MODEL

Mounts a small disk in memory at FOLDER; nobody outside of the process sees it, and it goes with it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from sails import sessions
from sails.cli.app import main as sails
from sails.jobs import launcher, submit, train
from sails.models import Workspace
from sails.sessions import Session, Settings
from tests.support.helpers import add_dataset, run_worker, write_lesson

MEGABYTE = 1 << 20


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with open(filler, "ab", buffering=0) as file:
        for piece in (b"\0" * MEGABYTE, b"\0" * 4096, b"\0"):
            with contextlib.suppress(OSError):
                while True:
                    if not file.write(piece):
                        break
    return filler


def before_training(happens: Callable[[], Any]) -> None:
    """Have something happen once, just before the first step."""
    begin = train.train

    def first(*arguments: Any) -> Any:
        train.train = begin
        happens()
        return begin(*arguments)

    train.train = first


def told(session: Session) -> dict[str, Any]:
    status = Session(session.folder).status()
    kind = status.failure.kind if status.failure else None
    return {"state": status.state, "kind": kind, "resumable": status.resumable, "verdict": status.verdict}


def commands(root: Path, *asked: str) -> dict[str, tuple[int, str]]:
    """The exit code of each command, and what it says about what was wrong."""
    answers = {}
    for command in asked:
        errors = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            answers[command] = sails([*command.split(), "--workspace", str(root)]), errors.getvalue()
    return answers


def main(disk: Path, base: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
    launcher.start_worker = lambda _: None  # type: ignore[assignment]
    workspace = Workspace.open(disk / "w")
    dataset = add_dataset(workspace, write_lesson(disk / "lesson.json", rows=8))
    settings = Settings(epochs=1, protect=0.0)
    session = submit.submit_training(workspace, dataset, settings, model_name=base)
    said: dict[str, Any] = {}

    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    reading = ("status", "sessions list", "sessions retention", "sessions versions", "datasets list")
    said["reading"] = commands(workspace.root, *reading, "corrections list", "watch --status")
    writing = (
        f"datasets delete {dataset} --force",
        f"sessions stop {session.id}",
        "watch --at-least 1 --once",
    )
    said["writing"] = commands(workspace.root, *writing)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)

    filler = fill(disk)
    os.truncate(filler, filler.stat().st_size - 300_000)
    said["early"] = _run(session)
    said["message"] = session.status().failure.message  # type: ignore[union-attr]
    filler.unlink()

    sessions.resume(workspace, session)
    before_training(lambda: fill(disk))
    said["full"] = _run(session)
    filler.unlink()

    sessions.resume(workspace, session)
    said["free"] = _run(session)
    hidden = [path for path in workspace.root.rglob(".*") if path.suffix != ".lock"]
    said["left"] = [str(path.relative_to(disk)) for path in hidden]

    limit = psutil.Process().memory_info().vms + 16 * MEGABYTE
    before_training(lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY)))
    said["memory"] = _run(submit.submit_training(workspace, dataset, settings))
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    said["model"] = workspace.situation().trained.state
    sys.stdout.write(json.dumps(said) + "\n")


def _run(session: Session) -> dict[str, Any]:
    with contextlib.redirect_stdout(sys.stderr):
        run_worker(session)
    return told(session)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
