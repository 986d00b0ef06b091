"""What a watch does: from rows that have come together to a session, and from a session to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from sails import data, retention, sessions, system
from sails.chat import feedback
from sails.data import Conversation, Register
from sails.errors import SailsError, WorkspaceError, classify
from sails.jobs import launcher, submit
from sails.jobs.watch.messages import GO_ON, how_many, minutes, notes_on, what_became
from sails.jobs.watch.source import approved
from sails.jobs.watch.state import Batch, Outcome, WatchState, change, watch_state
from sails.models import Workspace
from sails.sessions import Session, SessionRecord
from sails.system import count
from sails.training.plan import Choices

LONGEST_STEM = 28  # characters of a file's name in the name of its datasets
MOST_FAILURES = 5  # in a row
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)  # doubled after each failure

Say = Callable[[str], None]
Look = Literal["did something", "waits for a session", "waits for examples"]


class Watch:
    """Each `step` does one thing and writes it down, so that it can be killed between any two."""

    def __init__(self, workspace: Workspace, say: Say, clock: Callable[[], datetime]) -> None:
        self.workspace, self.say, self.clock = workspace, say, clock
        self._told: tuple[str, ...] | None = None
        self._queue_told = ""

    def step(self) -> Look:
        """Do the next thing; whatever fails is counted and said."""
        now = watch_state(self.workspace)
        try:
            if batch := now.open_batch:
                return self._follow(now, batch)
            if self._pauses(now):
                return "waits for examples"
            return self._gather(now)
        except (SailsError, OSError) as error:
            reason = classify(error).sentence
            changes, next_ = self._failed(reason)
            change(self.workspace, **changes)
            self.say(f"❌ {reason} {next_}".rstrip())
            return "did something" if now.open_batch is None else "waits for a session"

    def _pauses(self, now: WatchState) -> bool:
        return now.not_before is not None and self.clock() < now.not_before

    # --- from rows to a batch

    def _gather(self, now: WatchState) -> Look:
        """Begin a batch when there are enough rows; its dataset is there before it is written down."""
        if now.order.file is None:
            rows: Sequence[Conversation] = ()
            notes: tuple[str, ...] = ()
            count = len(feedback.to_teach(self.workspace))
        else:
            rows, notes = self._rows_of_file(now, now.order.file)
            count = len(rows)
        self._tell(count, notes)
        if count < now.order.at_least:
            return "waits for examples"
        if now.order.file is None:
            dataset = feedback.as_dataset(self.workspace)
        else:
            stem = now.order.file.stem
            name = f"{stem[:LONGEST_STEM]} batch {len(now.batches) + 1}"
            dataset = data.add_rows(self.workspace, rows, file=f"{stem}.jsonl", name=name)
        batch = Batch(
            dataset=dataset.name,
            rows=tuple(row.fingerprint for row in data.rows_of(self.workspace, dataset.name)),
            begun=self.clock(),
            others=tuple(record.spec.id for record in _sessions_with(self.workspace, dataset.name)),
        )
        change(self.workspace, batches=(*now.batches, batch), waiting=0)
        return "did something"

    def _rows_of_file(self, now: WatchState, file: Path) -> tuple[Sequence[Conversation], tuple[str, ...]]:
        """The file's rows that were not used yet, and what is to be said of it."""
        try:
            found = approved(file, self.clock().timestamp())
        except SailsError as error:
            return (), (error.sentence,)
        used, again = _used(self.workspace, now)
        known = _taught_before(self.workspace, self.workspace.situation().trained.fingerprint)
        first = {row.fingerprint: row for row in reversed(found.rows)}  # of those that differ in case alone
        fresh = [
            row for row in found.rows if row.fingerprint not in used | known and first[row.fingerprint] is row
        ]
        # A row whose lesson failed is tried again as it was, with those that this lesson kept back.
        held = Register.load(self.workspace.register).held
        rows = [row for row in fresh if row.fingerprint in again or row.input_fingerprint not in held]
        return rows, tuple(notes_on(found, len(fresh) - len(rows)))

    def _tell(self, count: int, notes: tuple[str, ...]) -> None:
        """Say and write down what is new about the source."""
        now = watch_state(self.workspace)
        if (count, notes) != (now.waiting, now.notes):
            now = change(self.workspace, waiting=count, notes=notes)
        told = (how_many(now), *notes)
        for sentence in told if self._told != told else ():
            self.say(sentence)
        self._told = told

    # --- from a batch to its end

    def _follow(self, now: WatchState, batch: Batch) -> Look:
        found = {record.spec.id: record for record in _sessions_with(self.workspace, batch.dataset)}
        # One that was queued just before a death is known by its dataset.
        known = {*batch.others, *(other.session for other in now.batches)}
        identity = batch.session or next((name for name in found if name not in known), "")
        record = found.get(identity)
        if record is None:
            return self._end(batch, "gone") if batch.session else self._submit(now, batch)
        if batch.session is None:
            return self._queued(batch, record.spec.id)
        status = record.status
        if status.resumable and status.state != "stopped":
            return self._resume(batch, record)
        if status.state in ("queued", "running"):
            if batch.resume_after:
                self._update(batch, resume_after=None)
            self._keep_going(record)
            return "waits for a session"
        if status.verdict:  # also when the ONNX model failed after the new model was published
            return self._end(batch, status.verdict, record)
        return self._end(batch, "stopped" if status.state == "stopped" else "failed", record)

    def _submit(self, now: WatchState, batch: Batch) -> Look:
        if self._pauses(now):
            return "waits for a session"
        try:
            data.report_of(self.workspace, batch.dataset)
        except WorkspaceError:  # somebody deleted it; its rows are free
            return self._end(batch, "failed", reason=f"The dataset {batch.dataset} was deleted.")
        # Whatever was asked for, the gate decides: nobody is there to look at the model first.
        settings = now.order.settings.model_copy(update={"publish": "gate", "teach_again": False})
        with system.acting_as(system.AUTOMATIC_TRAINING):
            session = submit.start_training(self.workspace, Choices((batch.dataset,), settings, export=True))
        return self._queued(batch, session.id)

    def _queued(self, batch: Batch, session: str) -> Look:
        self._update(batch, session=session)
        self.say(f"▶️ {count(len(batch.rows), 'example')} will be taught: session {session} is queued.")
        return "did something"

    def _keep_going(self, record: SessionRecord) -> None:
        """Put it back into the queue if its submitter died between the two, and keep the queue moving."""
        session = record.session
        queue = [entry.id for entry in sessions.waiting(self.workspace)]
        lost = session.id not in queue and launcher.launcher_for(session).state(session) != "running"
        if record.status.state == "queued" and lost and session.written_status().state == "queued":
            sessions.enqueue(self.workspace, session)
        if record.status.state == "queued" and queue and queue[0] != session.id and session.id in queue:
            waits = f"⏳ {session.id} waits for its turn, behind {queue.index(session.id)} more."
            if waits != self._queue_told:
                self.say(waits)
            self._queue_told = waits
        launcher.dispatch(self.workspace)

    def _resume(self, batch: Batch, record: SessionRecord) -> Look:
        """Its worker died, or the disk was full: a failure, and after a pause it goes on where it was."""
        if batch.resume_after is None:
            failure = record.status.failure
            reason = f"Session {record.spec.id} was interrupted before its end."
            if failure:
                reason = f"Session {record.spec.id}: {failure.message} {failure.remedy}"
            changes, next_ = self._failed(reason)
            self._update(batch, resume_after=changes["not_before"], **changes)
            self.say(f"❌ {reason} {next_}".rstrip())
        elif self.clock() >= batch.resume_after:
            sessions.resume(self.workspace, record.session)
            self.say(f"▶️ Session {record.spec.id} goes on from where it was interrupted.")
            self._update(batch, resume_after=None)
            launcher.dispatch(self.workspace)
        return "waits for a session"

    def _end(
        self, batch: Batch, outcome: Outcome, record: SessionRecord | None = None, reason: str = ""
    ) -> Look:
        """Write down what became of a batch, and say it."""
        name = record.spec.id if record else batch.session or batch.dataset
        failure = record.status.failure if record else None
        if failure:
            reason = f"Session {name}: {failure.message} {failure.remedy}".strip()
        elif record and outcome == "held":
            reason = record.status.verdict_reason
        changes: dict[str, Any] = {"failures": (), "not_before": None}
        next_ = ""
        if outcome == "failed" or failure:
            changes, next_ = self._failed(reason or f"Session {name} failed.")
        elif outcome == "stopped":
            stopped = f"Session {name} was stopped by hand, so the watch has stopped as well. {GO_ON}"
            changes = {"on": False, "stopped": stopped}
        ended = {"outcome": outcome, "reason": reason, "ended": self.clock(), "resume_after": None}
        closed = self._update(batch, **ended, **changes)
        self.say(" ".join((*what_became(closed.batches[-1]), next_)).rstrip())
        return "did something"

    # --- writing

    def _update(self, batch: Batch, **changes: Any) -> WatchState:
        """Change fields of the open batch, and of the state, in one go."""
        own = {name: value for name, value in changes.items() if name in Batch.model_fields}
        others = {name: value for name, value in changes.items() if name not in Batch.model_fields}
        before = watch_state(self.workspace).batches[:-1]
        return change(self.workspace, batches=(*before, batch.model_copy(update=own)), **others)

    def _failed(self, reason: str) -> tuple[dict[str, Any], str]:
        """What changes with one more failure in a row, and what happens next; the fifth stops the watch."""
        failures = (*watch_state(self.workspace).failures, reason)
        pause = min(FIRST_PAUSE * 2 ** (len(failures) - 1), LONGEST_PAUSE)
        changes: dict[str, Any] = {"failures": failures, "not_before": self.clock() + pause}
        if len(failures) < MOST_FAILURES:
            return changes, f"It is tried again in {minutes(pause)}."
        stopped = f"{MOST_FAILURES} tries in a row failed, so the watch has stopped. The last one: {reason}"
        return {**changes, "on": False, "stopped": stopped}, ""


# --- rows -----------------------------------------------------------------------------------------


def _sessions_with(workspace: Workspace, dataset: str) -> list[SessionRecord]:
    """The sessions that teach this dataset, under whatever name it had, oldest first."""
    names = {dataset}
    with contextlib.suppress(WorkspaceError):
        report = data.report_of(workspace, dataset)
        names |= {report.name, *report.formerly}
    history = sessions.read_history(workspace)
    return [record for record in history if getattr(record.spec, "dataset", "") in names]


def latest_lesson(workspace: Workspace, count: int = 5) -> list[tuple[int, Batch, SessionRecord | None]]:
    """Return the last batches with their numbers from 1 and their sessions, newest first."""
    lessons: list[tuple[int, Batch, SessionRecord | None]] = []
    for number, batch in reversed(list(enumerate(watch_state(workspace).batches, 1))[-count:]):
        record = None
        with contextlib.suppress(WorkspaceError):
            record = sessions.record(Session(workspace.sessions / batch.session)) if batch.session else None
        lessons.append((number, batch, record))
    return lessons


def _used(workspace: Workspace, now: WatchState) -> tuple[set[str], set[str]]:
    """Fingerprints of the rows that were used, and of those that are free again as their lesson failed."""
    used: set[str] = set()
    free: set[str] = set()
    for batch in now.batches:
        # A failed batch's rows are taught all the same, or may be, where its session can be resumed, say.
        failed = batch.outcome in ("failed", "stopped") and not any(
            record.status.claims for record in _sessions_with(workspace, batch.dataset)
        )
        (free if failed else used).update(batch.rows)
    return used, free - used


@lru_cache(maxsize=4)
def _taught_before(workspace: Workspace, fingerprint: str | None) -> frozenset[str]:
    return frozenset(retention.taught_before(workspace, fingerprint))
