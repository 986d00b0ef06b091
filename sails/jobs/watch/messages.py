"""What a watch says, in the terminal, in its log and on the bridge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from sails.jobs.watch.source import ACCEPTED, Approved
from sails.jobs.watch.state import Batch, Order, WatchState
from sails.sessions import SessionRecord
from sails.system import count

HELD = "The new model was held back."
DECIDE = "You decide what becomes of it; the watch goes on."
GO_ON = "Its examples are taught when you resume the session; delete it, and they are free for the next one."


def source_words(order: Order) -> str:
    return "your approved corrections" if order.file is None else f"the file {order.file}"


Standing = Literal["watching", "starting", "ended", "stopped", "off"]


def standing(now: WatchState, *, alive: bool, starting: bool) -> tuple[Standing, str]:
    """Tell how the watch stands, and a sentence that says it."""
    if now.on and alive:
        return "watching", f"It watches {source_words(now.order)}. {how_many(now)}"
    if now.on and starting:
        return "starting", "It is just starting."
    if now.on:
        return "ended", "It was switched on, but its process has ended. Nothing is lost: start it again."
    if now.stopped:
        return "stopped", now.stopped
    waits = f"Switched on, it waits for {count(now.order.at_least, 'example')} in {source_words(now.order)}."
    return "off", f"It is switched off. {waits}"


def begins(now: WatchState) -> str:
    least = now.order.at_least
    enough = "one is there that was" if least == 1 else f"{least:,} are there that were"
    return f"👀 Watching {source_words(now.order)}. As soon as {enough} not taught yet, a session begins."


def how_many(now: WatchState) -> str:
    least = now.order.at_least
    return f"{now.waiting:,} of {count(least, 'example')} {'has' if least == 1 else 'have'} come together."


def notes_on(found: Approved, held: int) -> Iterator[str]:
    if found.not_accepted:
        are = "is" if found.not_accepted == 1 else "are"
        yield f"{count(found.not_accepted, 'example')} {are} not marked as {ACCEPTED}, and never taught."
    if found.unfit:
        many = len(found.unfit)
        are = "is not" if many == 1 else "are not"
        first = "" if many == 1 else "the first is "
        yield f"{count(many, 'example')} {are} fit to be taught: {first}{found.unfit[0]}."
    if held:
        asks = "asks a question" if held == 1 else "ask questions"
        yield f"{count(held, 'example')} {asks} set aside for testing, and cannot be taught."


def what_became(batch: Batch, record: SessionRecord | None = None) -> tuple[str, str]:
    """A sign, and a sentence that says it without the sign; with a `record`, as its session stands now."""
    outcome = batch.outcome
    if record and record.status.verdict and record.status.state != "running":  # it may still be exported
        outcome = record.status.verdict
    taught = count(len(batch.rows), "example")
    match outcome:
        case None:
            if record and record.status.state == "running":
                return "▶️", f"{taught} {'is' if len(batch.rows) == 1 else 'are'} being taught now."
            return "⏳", f"{taught}: the session waits for its turn."
        case "published":
            more = f" But: {batch.reason}" if batch.reason and batch.outcome == "published" else ""
            return "✅", f"{taught} taught, and the new model is published.{more}"
        case "held":
            return "✋", f"{taught} taught, and nothing is published: {batch.reason or HELD} {DECIDE}"
        case "discarded":
            return "↩️", f"{taught} taught, and the model was discarded."
        case "stopped":
            return "⏹️", f"{taught} not taught: the session was stopped."
        case "gone":
            return "◻️", f"{taught} used in a session that was deleted."
        case "failed":
            return "❌", f"{taught} not taught. {batch.reason}"


def minutes(pause: timedelta) -> str:
    number = round(pause.total_seconds() / 60)
    return "a minute" if number == 1 else f"{number} minutes"
