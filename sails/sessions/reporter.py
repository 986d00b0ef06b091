"""Where a session stands, as its worker says it: status, metrics, log, heartbeat; and how it ended.

    live(session, work)     # run work(reporter), and turn every way in which it can end into a status

The reporter is the one writer of a session's status and metrics while it runs.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sails import system
from sails.errors import UnknownError, classify
from sails.sessions import session
from sails.sessions.metrics import MetricsWriter
from sails.sessions.session import Session
from sails.sessions.status import Failure

HEARTBEAT_SECONDS = 5.0

log = logging.getLogger(__name__)


class Stopped(BaseException):
    """The person asked the session to end; raised between two pieces of work.

    No `Exception`, so that no library on the way takes it for a failure of its own.
    """


class Reporter:
    """The one writer of a session's status and metrics, with a heartbeat while long work says nothing."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.status = session.written_status()
        self._metrics = MetricsWriter(session.metrics)
        self._guard = threading.RLock()
        self._written = 0.0
        self._ended = threading.Event()
        self._stop = threading.Event()

    def start(self) -> None:
        system.on_termination(self._stop.set)
        now = datetime.now(UTC)
        self.update(state="running", started=self.status.started or now, ended=None, failure=None)
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            self.update()

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
        began = time.monotonic()
        yield
        seconds = {**self.status.results.seconds, name: round(time.monotonic() - began, 2)}
        self.result(seconds=seconds, peak_memory=system.peak_memory())

    def metric(self, kind: str, **values: Any) -> None:
        self._metrics.write(kind, **values)
        if kind == "step":
            message = f"round {values['epoch']:.1f}, loss {values['loss']:.3f}"
            with self._guard:
                counts = {"step": values["step"], "total_steps": values["total_steps"]}
                self.status = self.status.model_copy(update=counts)
            self.progress(values["step"] / values["total_steps"], message)

    def should_stop(self) -> bool:
        return self._stop.is_set() or self.session.stop_requested()

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
        self.update(state=state, ended=datetime.now(UTC), progress=1.0, **changes)
        self._ended.set()
        self._metrics.close()


def live(session: Session, work: Callable[[Reporter], None]) -> int:
    """Run `work`, and turn every way in which it can end into a status."""
    reporter = Reporter(session)
    reporter.start()
    try:
        work(reporter)
    except Stopped:
        log.info("Stopped, as asked.")
        reporter.end("stopped", message="Stopped; it can be resumed")
        return 0
    except Exception as error:  # noqa: BLE001 (the end of the line: everything becomes a status)
        failure = classify(error)
        log.error("%s\n%s", failure.sentence, "".join(traceback.format_exception(error)))
        shutil.rmtree(session.checkpoints, ignore_errors=True)  # a failed session is not resumed
        tail = session.log_tail() if isinstance(failure, UnknownError) else ()
        said = Failure(kind=failure.kind, message=str(failure), remedy=failure.remedy, log_tail=tail)
        reporter.end("failed", failure=said)
        return 1
    reporter.end("succeeded", phase="done", message="")
    log.info("Done.")
    return 0
