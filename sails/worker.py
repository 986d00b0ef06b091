"""Kept for one release: a worker that runs during an upgrade starts its successor by this name."""

import runpy

if __name__ == "__main__":
    runpy.run_module("sails.jobs.worker", run_name="__main__")
