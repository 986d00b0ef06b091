"""The process behind one session or job: `python -m sails.jobs.worker SESSION_DIR`.

It takes the session's lock before anything heavy is imported, and holds it for its whole life. All it says
goes into the session's folder. What is done lies in the module of its kind: `train`, `export`, `lr_finder`,
`replay`.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from sails import system
from sails.errors import BusyError
from sails.jobs.export import run_export
from sails.jobs.replay import run_replay
from sails.jobs.train import train_in_turn
from sails.sessions import ExportSpec, ProbeSpec, ReplaySpec, Session, live

log = logging.getLogger(__name__)


def run_worker(folder: str) -> int:
    """Run the session in `folder` to its end; returns the exit code."""
    session = Session(Path(folder).resolve())
    _set_up_log()
    own = system.LifeLock(session.lock)
    try:
        own.acquire()
    except BusyError:
        log.info("Another worker already runs %s.", session.id)
        return 0
    try:
        spec = session.spec()
        if isinstance(spec, ExportSpec):
            return live(session, lambda reporter: run_export(spec, reporter))
        if isinstance(spec, ReplaySpec):
            return live(session, lambda reporter: run_replay(session, spec, reporter))
        if isinstance(spec, ProbeSpec):
            from sails.jobs import lr_finder

            return live(session, lambda reporter: lr_finder.run_probe(session, spec, reporter))
        return train_in_turn(session, spec)
    finally:
        own.release()


def _set_up_log() -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout, force=True
    )
    logging.captureWarnings(True)


if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1]))
