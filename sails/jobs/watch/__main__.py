"""`python -m sails.jobs.watch ROOT TRAINED_MODEL ONNX_MODEL`: a watch in the background.

It goes on with what is written down in its workspace, and says what happens into the workspace's `watch.log`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from sails import system
from sails.errors import BusyError, SailsError, classify
from sails.jobs.watch.switch import run_watch
from sails.models import Workspace

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Watch until it is switched off or stops itself; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout, force=True)
    root, trained_model, onnx_model = map(Path, arguments)
    try:
        run_watch(Workspace(root, trained_model, onnx_model), say=log.info)
    except BusyError:
        return 0  # another one watches already
    except (SailsError, OSError) as error:
        log.info("❌ %s", classify(error).sentence)
        return 1
    return 0


if __name__ == "__main__":
    system.keep_private()
    sys.exit(main(sys.argv[1:]))
