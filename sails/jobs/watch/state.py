"""What a watch knows, as it is written down in `watch.json`, and whether one is alive."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from sails import system
from sails.errors import RequestError, WorkspaceError
from sails.models import Workspace
from sails.sessions import Settings, may_be_starting

CORRECTIONS = "corrections"

Outcome = Literal["published", "held", "discarded", "failed", "stopped", "gone"]


AT_LEAST, SECONDS = (1, 100_000), (1, 86_400)  # lowest and highest


class Order(BaseModel, frozen=True):
    """What to watch, and how to teach what comes together."""

    source: str = CORRECTIONS  # or the full path of a file
    at_least: int = Field(10, ge=AT_LEAST[0], le=AT_LEAST[1])  # rows
    every: float = Field(30.0, ge=SECONDS[0], le=SECONDS[1])  # seconds between two checks
    settings: Settings = Settings()

    @property
    def file(self) -> Path | None:
        return None if self.source == CORRECTIONS else Path(self.source)


class Batch(BaseModel, frozen=True):
    """Rows that were, or are about to be, taught together."""

    dataset: str
    rows: tuple[str, ...]  # fingerprints
    begun: datetime
    others: tuple[str, ...] = ()  # sessions with this dataset that were there before
    session: str | None = None  # None: nobody has written down yet that it was queued
    resume_after: datetime | None = None  # its session was interrupted, and goes on then
    ended: datetime | None = None
    outcome: Outcome | None = None
    reason: str = ""


class WatchState(BaseModel, frozen=True):
    """All that a watch knows; lies in the workspace as `watch.json`."""

    on: bool = False
    order: Order = Order()
    since: datetime | None = None  # when it was switched on
    pid: int | None = None
    pid_created: float | None = None
    host: str = ""
    waiting: int = 0  # approved rows that were not used yet, at the last look
    notes: tuple[str, ...] = ()  # what there was to say at the last look
    failures: tuple[str, ...] = ()  # in a row, the last one last
    not_before: datetime | None = None  # after a failure it pauses
    stopped: str = ""  # why it switched itself off
    batches: tuple[Batch, ...] = ()

    @property
    def open_batch(self) -> Batch | None:
        """The one that is under way."""
        return self.batches[-1] if self.batches and self.batches[-1].outcome is None else None


def order_of(*, file: Path | None, at_least: int, every: float, settings: Settings) -> Order:
    """Return an order from what a person chose; without a `file`, the corrections are watched.

    Raises `RequestError`, which says in words what is out of range.
    """
    path = file.expanduser().resolve() if file else None
    if path and path.is_dir():
        raise RequestError(f"{path} is a folder, not a file.", "Choose a file inside it.")
    source = str(path) if path else CORRECTIONS
    for what, value, (low, high) in (
        ("The number of examples", at_least, AT_LEAST),
        ("The time between two checks", every, SECONDS),
    ):
        if not low <= value <= high:
            limit = f"greater than or equal to {low}" if value < low else f"less than or equal to {high}"
            raise RequestError(f"{what} cannot be {value}.", f"Choose a number {limit}.")
    return Order(source=source, at_least=at_least, every=every, settings=settings)


def watch_state(workspace: Workspace) -> WatchState:
    """Return what is written down; raises `WorkspaceError` when that is damaged."""
    path = path_of(workspace)
    try:
        return WatchState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return WatchState()
    except (ValidationError, OSError) as error:
        if isinstance(error, OSError) and not system.is_absent(error):
            raise
        raise WorkspaceError(
            f"{path} is damaged, so nobody knows which rows were taught already.",
            "Delete it to begin anew; rows of a file that the model does not know are taught then.",
        ) from error


def is_alive(workspace: Workspace) -> bool:
    """Tell whether a process watches this workspace now."""
    return system.is_held(lock_of(workspace))


def is_starting(workspace: Workspace) -> bool:
    """Tell whether it was switched on a moment ago, and its process may still be on its way."""
    since = watch_state(workspace).since
    return since is not None and may_be_starting(since) and not is_alive(workspace)


def path_of(workspace: Workspace) -> Path:
    return workspace.root / "watch.json"


def lock_of(workspace: Workspace) -> Path:
    """Return the lock that a watch holds for its whole life."""
    return workspace.root / "watch.lock"


def log_of(workspace: Workspace) -> Path:
    """Return what a watch in the background says, a line for each thing that happens."""
    return workspace.root / "watch.log"


def change(workspace: Workspace, **changes: Any) -> WatchState:
    """Replace some fields. A person may switch it off while it writes, hence the lock."""
    system.require_changes()
    workspace.root.mkdir(parents=True, exist_ok=True)
    with system.short_lock(workspace.root / "watch.json.lock"):
        changed = watch_state(workspace).model_copy(update=changes)
        system.write_atomic(path_of(workspace), changed.model_dump_json(indent=1))
    return changed
