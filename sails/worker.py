"""Kept for one release: a worker that runs during an upgrade starts its successor by this name."""

import sys

from sails.jobs.worker import run_worker

if __name__ == "__main__":
    sys.exit(run_worker(sys.argv[1]))
