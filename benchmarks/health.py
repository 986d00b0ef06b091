"""How long the dashboard's health check takes while a large file is uploaded, read and shown.

    .venv/bin/python -m benchmarks.health --rows 100000

Starts a dashboard of its own, uploads a good table of questions and answers as a browser does, and asks for
the health check without a pause meanwhile. Prints the slowest ones, beside those of a dashboard at rest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from tests.browser.conftest import Dashboard, start_dashboard
from tests.support import forging

AT_REST = 10.0  # seconds
PATIENCE = 600.0
MOST = 0.5  # seconds that one may take


def measure(dashboard: Dashboard, ended: threading.Event) -> list[float]:
    """Ask until the end; returns the seconds that each answer took, the slowest first."""
    took = []
    while not ended.wait(0.02):
        began = time.monotonic()
        urllib.request.urlopen(f"{dashboard.address}/_stcore/health", timeout=PATIENCE).close()
        took.append(time.monotonic() - began)
    return sorted(took, reverse=True)


def bring(dashboard: Dashboard, content: bytes) -> None:
    with forging.Forger(dashboard.address) as forger:
        [uploader] = [widget for widget in forger.visit("Data") if widget.kind == "file_uploader"]
        drawn = forger.visit("Data", "", [forger.uploaded(uploader, "rivers.csv", content)])
        assert any(widget.id.endswith("data-save") for widget in drawn), forger.said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    forging.PATIENCE = PATIENCE
    lines = (f"What is river number {n} called?,It is called the River {n}." for n in range(rows))
    content = "\n".join(("question,answer", *lines)).encode()
    with tempfile.TemporaryDirectory() as folder, start_dashboard(Path(folder)) as dashboard:
        rest, ended = threading.Event(), threading.Event()
        threading.Timer(AT_REST, rest.set).start()
        print("at rest  ", *(f"{seconds:.2f}" for seconds in measure(dashboard, rest)[:5]))

        def work() -> None:
            try:
                bring(dashboard, content)
            finally:
                ended.set()

        worker, began = threading.Thread(target=work), time.monotonic()
        worker.start()
        slowest = measure(dashboard, ended)
        worker.join()
        print("uploading", *(f"{seconds:.2f}" for seconds in slowest[:5]))
        print(f"{len(content) / 1e6:.0f} MB, {rows:,} rows, {time.monotonic() - began:.0f} s")
    return 1 if slowest[0] > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
