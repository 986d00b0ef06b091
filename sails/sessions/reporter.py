"""Where a session stands, as its worker says it: status, metrics, log, heartbeat; and how it ended.

    live(session, work)     # run work(reporter), and turn every way in which it can end into a status

The reporter is the one writer of a session's status and metrics while it runs.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sails import system
from sails.errors import BusyError, DiskFullError, SailsError, UnknownError, classify
from sails.sessions import session
from sails.sessions.metrics import MetricsWriter
from sails.sessions.session import Session
from sails.sessions.status import Failure, Status

HEARTBEAT_SECONDS = 5.0
STOP_SECONDS = 120.0  # after which work that does not look whether it should stop is ended
SAVING_SECONDS = 600.0  # the same for work that does look, and then saves what it has
RESERVE = ".reserve"
RESERVE_BYTES = 1 << 17  # given back for the last status when the disk is full
FULL_BYTES = 1 << 20  # of free space: what fails with so little left fails because of that

log = logging.getLogger(__name__)


class Stopped(BaseException):
    """The person asked the session to end; raised between two pieces of work.

    No `Exception`, so that no library on the way takes it for a failure of its own.
    """


class Reporter:
    """The one writer of a session's status and metrics, with a heartbeat while long work says nothing."""

    def __init__(self, session: Session, leave: Callable[[], None] = lambda: None) -> None:
        """`leave` is called when work that does not stop is ended with its process."""
        self.session = session
        self._leave = leave
        self.status = session.written_status()
        self._metrics = MetricsWriter(session.metrics)
        self._guard = threading.RLock()
        self._written = 0.0
        self._ended = threading.Event()
        self._stop = threading.Event()
        self._asked: float | None = None  # when it was first seen that it should stop
        self._noticed = False  # whether the work itself has seen it

    def start(self) -> None:
        system.on_termination(self._stop.set)
        now = datetime.now(UTC)
        self.update(state="running", started=self.status.started or now, ended=None, failure=None)
        with suppress(OSError):
            (self.session.folder / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self.update()
            except OSError as error:  # the work itself will say so, when it writes something
                log.warning("the heartbeat could not be written: %s", error)
            if self._stop.is_set() or self.session.stop_requested():
                self._asked = self._asked or time.monotonic()
                patience = SAVING_SECONDS if self._noticed else STOP_SECONDS
                if time.monotonic() - self._asked > patience:
                    self._give_up()

    def _give_up(self) -> None:
        """End this process, for the work in it does not stop; whatever it was doing survives that."""
        log.warning("It did not react to being stopped, so it is ended.")
        patience = SAVING_SECONDS if self._noticed else STOP_SECONDS
        try:
            self.end("stopped", **_given_up(self.session, self.status, patience))
            self._leave()
        finally:
            os._exit(1)

    def update(self, **changes: Any) -> None:
        """Change fields of the status and write it now."""
        with self._guard:
            if self._ended.is_set():
                return
            identity = session.this_worker()
            now = datetime.now(UTC)
            self.status = self.status.model_copy(update={**changes, **identity, "heartbeat": now})
            self.session.write_status(self.status)
            self._written = time.monotonic()

    def result(self, **changes: Any) -> None:
        self.update(results=self.status.results.model_copy(update=changes))

    def note(self, text: str) -> None:
        """Something to know about the session, said once however often it is resumed."""
        log.info("%s", text)
        if text not in self.status.notes:
            self.update(notes=(*self.status.notes, text))

    @contextmanager
    def unless_it_fails(self, sentence: str) -> Iterator[None]:
        """Note what goes wrong beside the work itself, which must not cost what was done, and go on."""
        try:
            yield
        except Exception as error:
            log.warning("%s", sentence, exc_info=error)
            self.note(f"{sentence}: {classify(error).sentence}")

    def progress(self, fraction: float, *words: str) -> None:
        """Progress inside a phase, written at most twice a second."""
        with self._guard:
            self.status = self.status.model_copy(update={"progress": fraction, "message": ": ".join(words)})
            if time.monotonic() - self._written > 0.5:
                self.update()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """One step of the pipeline, timed."""
        log.info("— %s", name)
        self.update(phase=name, phase_started=datetime.now(UTC), progress=0.0, message="")
        read = system.stopwatch()
        yield
        results, (seconds, alone) = self.status.results, read()
        self.result(
            seconds={**results.seconds, name: round(seconds, 2)},
            seconds_alone={**results.seconds_alone, name: round(alone, 2)},
            peak_memory=system.peak_memory(),
        )

    def metric(self, kind: str, **values: Any) -> None:
        self._metrics.write(kind, **values)
        if kind == "step":
            message = f"round {values['epoch']:.1f}, loss {values['loss']:.3f}"
            with self._guard:
                counts = {"step": values["step"], "total_steps": values["total_steps"]}
                self.status = self.status.model_copy(update=counts)
            self.progress(values["step"] / values["total_steps"], message)

    def should_stop(self) -> bool:
        self._noticed = self._stop.is_set() or self.session.stop_requested()
        return self._noticed

    def check_stop(self) -> None:
        if self.should_stop():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep, unless the person asks to stop."""
        end = time.monotonic() + seconds
        while True:
            self.check_stop()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))

    def end(self, state: str, **changes: Any) -> None:
        """Write the last status, with the room that was kept for it."""
        (self.session.folder / RESERVE).unlink(missing_ok=True)
        self.update(state=state, ended=datetime.now(UTC), progress=1.0, **changes)
        self._ended.set()
        with suppress(OSError):  # what did not fit on the disk
            self._metrics.close()


def _given_up(session: Session, status: Status, patience: float) -> dict[str, Any]:
    """What changes in the status of a session whose worker is ended because it does not stop."""
    sentence = f"⚠️ It did not react to being stopped for {patience:.0f} seconds, so it was ended."
    return {
        "message": "Ended, for it did not react; it can be resumed",
        "stopped_by": session.stop_requested_by(),
        "notes": (*status.notes, sentence),
    }


def end_if_stuck(session: Session) -> bool:
    """Wait until a worker that was asked to stop has; end one that hangs so that it cannot even end itself.

    One that says nothing for SAVING_SECONDS, by a clock that nobody sets, is ended if it is the very process
    that wrote the status, on this machine. Tells whether it was.
    """
    system.require_changes()
    heartbeat, since = None, time.monotonic()
    while session.stop_requested() and system.is_held(session.lock):
        status = session.written_status()
        if status.heartbeat != heartbeat:
            heartbeat, since = status.heartbeat, time.monotonic()
        elif time.monotonic() - since > SAVING_SECONDS and status.pid and status.pid_created:
            worker = system.ProcessIdentity(status.pid, status.pid_created, status.host)
            if is_ended := system.end_process(worker):
                _write_down_the_end(session, worker)
            return is_ended
        time.sleep(HEARTBEAT_SECONDS)
    return False


def _write_down_the_end(session: Session, worker: system.ProcessIdentity) -> None:
    """Say that it was ended, unless somebody was faster, or it goes on already."""
    own = system.LifeLock(session.lock)
    with suppress(BusyError):
        own.acquire(timeout=1.0)
        try:
            status = session.written_status()
            if (status.state, status.pid, status.pid_created) == ("running", worker.pid, worker.created):
                said = _given_up(session, status, SAVING_SECONDS)
                now = {"state": "stopped", "ended": datetime.now(UTC), **said}
                session.write_status(status.model_copy(update=now))
        finally:
            own.release()


def live(session: Session, work: Callable[[Reporter], None], leave: Callable[[], None] = lambda: None) -> int:
    """Run `work`, and turn every way in which it can end into a status.

    Work that does not stop when it should is ended with this process, after `leave`.
    """
    reporter = Reporter(session, leave)
    reporter.start()
    try:
        work(reporter)
    except Stopped:
        log.info("Stopped, as asked.")
        by = session.stop_requested_by()
        reporter.end("stopped", message="Stopped; it can be resumed", stopped_by=by)
        return 0
    except Exception as error:  # noqa: BLE001 (the end of the line: everything becomes a status)
        failure = classify(error)
        if isinstance(failure, UnknownError) and shutil.disk_usage(session.folder).free < FULL_BYTES:
            failure = classify(OSError(errno.ENOSPC, str(error)))  # some libraries say something else
        foreseen = isinstance(error, SailsError)
        trace = "" if foreseen else "\n" + "".join(traceback.format_exception(error))
        log.error("%s%s", failure.sentence, trace)
        if isinstance(failure, DiskFullError):
            session.remove_unfinished()
        else:
            shutil.rmtree(session.checkpoints, ignore_errors=True)  # a failed session is not resumed
        tail = session.log_tail() if isinstance(failure, UnknownError) else ()
        said = Failure(kind=failure.kind, message=str(failure), remedy=failure.remedy, log_tail=tail)
        reporter.end("failed", failure=said)
        return 1
    reporter.end("succeeded", phase="done", message="")
    log.info("Done.")
    return 0
