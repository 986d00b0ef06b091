"""Switching the watch on and off, and its life in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sails import system
from sails.errors import BusyError
from sails.jobs import launcher
from sails.jobs.watch.loop import Say, Watch
from sails.jobs.watch.messages import begins
from sails.jobs.watch.state import Order, WatchState, change, lock_of, log_of, watch_state
from sails.models import Workspace
from sails.training import plan

FOLLOW_SECONDS = 2.0  # how often a session that waits or runs is looked at
SLICE_SECONDS = 1.0  # after which a watch that was switched off has noticed it


@system.changes("switch automatic training on")
def switch_on(workspace: Workspace, order: Order) -> None:
    """Watch from now on, in a process of its own; one that watches already takes over the order.

    Forgets earlier failures. Raises `RequestError` for an order that cannot be.
    """
    _check(workspace, order)
    begin(workspace, order)
    arguments = [str(workspace.root), str(workspace.trained_model), str(workspace.onnx_model)]
    # It ends at once beside a living one.
    launcher.start_module("sails.jobs.watch", arguments, log_of(workspace))


@system.changes("switch automatic training off")
def switch_off(workspace: Workspace) -> None:
    """Watch no longer. A session that it has queued goes on by itself."""
    if watch_state(workspace).on:
        change(workspace, on=False)


def _check(workspace: Workspace, order: Order) -> None:
    system.require_changes()
    workspace.check_publishable()
    if order.file is not None:
        system.require_look(order.file)
    plan.plan_training(workspace, learning_rate=order.settings.learning_rate)


def begin(workspace: Workspace, order: Order) -> None:
    """Write down that it is on."""
    change(
        workspace,
        on=True,
        order=order,
        since=datetime.now(UTC),
        waiting=0,
        notes=(),
        failures=(),
        not_before=None,
        stopped="",
    )


def run_watch(
    workspace: Workspace,
    order: Order | None = None,
    *,
    once: bool = False,
    say: Say = print,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> WatchState:
    """Watch until it is switched off or stops itself; returns the last state.

    With an `order` it is switched on first, else it goes on as it is written down. With `once` it looks
    once, follows the session that comes of it to its end, and is switched off. `wait` gets seconds.
    Raises `RequestError` for an order that cannot be, `BusyError` when this workspace is watched already.
    """
    system.require_changes()
    if order is not None:
        _check(workspace, order)
    own = system.LifeLock(lock_of(workspace))
    try:
        own.acquire(timeout=2 * SLICE_SECONDS)  # one that was just switched off needs a moment to end
    except BusyError as error:
        problem = f"{workspace.root} is watched already."
        raise BusyError(problem, "End that watch first: sails watch --stop.") from error
    try:
        if order is not None:
            begin(workspace, order)
        identity = system.this_process()
        change(workspace, pid=identity.pid, pid_created=identity.created, host=identity.host)
        return _live(Watch(workspace, say, clock), wait, once)
    finally:
        own.release()


def _live(watch: Watch, wait: Callable[[float], None], once: bool) -> WatchState:
    workspace = watch.workspace
    watch.say(begins(watch_state(workspace)))
    while (now := watch_state(workspace)).on:
        look = watch.step()
        if once and (look == "waits for examples" or watch_state(workspace).failures):
            switch_off(workspace)
            return watch_state(workspace)
        if look != "did something":
            every = watch_state(workspace).order.every
            seconds = min(every, FOLLOW_SECONDS) if look == "waits for a session" else every
            end = watch.clock() + timedelta(seconds=seconds)
            while (left := (end - watch.clock()).total_seconds()) > 0 and watch_state(workspace).on:
                wait(min(left, SLICE_SECONDS))
    watch.say(f"⏹️ {now.stopped}" if now.stopped else "⏹️ Switched off.")
    return now
