"""Kept for one release: a watch that runs during an upgrade starts its successor by this name."""

import runpy

if __name__ == "__main__":
    runpy.run_module("sails.jobs.watch", run_name="__main__")
