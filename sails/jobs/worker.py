"""The process behind one session or job: `python -m sails.jobs.worker SESSION_DIR`.

It takes the session's lock before anything heavy is imported, and holds it for its whole life. All it says
goes into the session's folder. What is done lies in the module of its kind.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sails import system
from sails.errors import BusyError
from sails.jobs.export import run_export
from sails.jobs.lr_finder import run_measurement
from sails.jobs.playback import run_replay
from sails.jobs.train import train_in_turn
from sails.sessions import Reporter, Session, live

log = logging.getLogger(__name__)


def _at_once(run: Callable[[Session, Any, Reporter], None]) -> Callable[[Session, Any], int]:
    """A job that waits for nobody's turn."""
    return lambda session, spec: live(session, lambda reporter: run(session, spec, reporter))


# What is done for each kind of spec; each returns the exit code.
RUN: dict[str, Callable[[Session, Any], int]] = {
    "train": train_in_turn,
    "export": _at_once(run_export),
    "baseline": _at_once(run_export),
    "probe": _at_once(run_measurement),
    "replay": _at_once(run_replay),
}


def run_worker(folder: str) -> int:
    """Run the session in `folder` to its end; returns the exit code."""
    session = Session(Path(folder).absolute())  # not resolved: `sessions` may be a link
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout, force=True
    )
    logging.captureWarnings(True)
    own = system.LifeLock(session.lock)
    try:
        own.acquire()
    except BusyError:
        log.info("Another worker already runs %s.", session.id)
        return 0
    try:
        spec = session.written_spec()
        return RUN[spec.kind](session, spec)
    finally:
        own.release()


if __name__ == "__main__":
    system.keep_private()
    gc.set_threshold(100_000)  # what loading the libraries makes stays: it is looked through less often
    sys.exit(run_worker(sys.argv[1]))
