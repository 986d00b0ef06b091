"""What tests of the watch need: a clock that waits at once, a file that grows, sessions that end as told."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sails import sessions
from sails.jobs import watch
from sails.jobs.watch import Order, switch, watch_state
from sails.jobs.watch.loop import Watch
from sails.models.workspace import Workspace
from sails.sessions import Failure, Session, Settings, Status


class Clock:
    """Waiting takes no time, and the clock goes on by as much."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def lines(numbers: Iterable[int], **fields: Any) -> str:
    """A row for each number, as `sails chat` writes it."""
    return "".join(
        json.dumps({"input": f"What is thing {n}?", "output": f"Thing {n} is a thing of kind {n}.", **fields})
        + "\n"
        for n in numbers
    )


def write(path: Path, numbers: Iterable[int], **fields: Any) -> None:
    """Append the rows."""
    with path.open("a", encoding="utf-8") as file:
        file.write(lines(numbers, **fields))


def order(file: Path | None, at_least: int = 3, **settings: Any) -> Order:
    return watch.order_of(file=file, at_least=at_least, every=30, settings=Settings(**settings))


def begin(workspace: Workspace, wanted: Order, clock: Clock, said: list[str]) -> Watch:
    """Switched on, and nothing done yet; no process is started."""
    switch.begin(workspace, wanted)
    return Watch(workspace, said.append, clock)


def settle(watch: Watch) -> str:
    """Step until there is nothing to do but wait, and for what."""
    while watch_state(watch.workspace).on:
        look = watch.step()
        if look != "did something":
            return look
    return "off"


def queued(workspace: Workspace) -> list[Session]:
    """The sessions that wait in the queue."""
    return [Session(workspace.sessions / entry.id) for entry in sessions.waiting(workspace)]


def end(session: Session, state: str = "succeeded", **status: Any) -> None:
    """Let a session that waits end like this, without a worker."""
    workspace = Workspace.open(session.folder.parent.parent)
    sessions.dequeue(workspace, session.id)
    found = {"phase": "done", "ended": datetime.now(UTC), **status}
    session.write_status(
        Status.model_validate({**session.written_status().model_dump(), "state": state, **found})
    )


def fail(session: Session, message: str = "The disk is full.", **status: Any) -> None:
    failure = Failure(kind="unknown", message=message, remedy="Free some space.")
    end(session, "failed", failure=failure, **status)


def questions(workspace: Workspace, dataset: str) -> list[str]:
    text = (workspace.datasets / dataset / "conversations.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["input"] for line in text.splitlines()]
