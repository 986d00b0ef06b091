"""A dashboard in use for a long time: whether its memory, files, processes and threads grow.

    .venv/bin/python -m benchmarks.soak --minutes 20

One tab looks at the live page all the time. Meanwhile, over and over, new tabs bring a file, save it as a
dataset, train on it with a tiny model, visit every page, ask the model something, and are closed. Prints a
line after a tenth of the time, when all has been loaded once, and then every five minutes, each at rest: all
that was started has ended.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from sails import sessions
from sails.models import Provenance, Workspace, publish_model
from sails.system import megabytes
from sails.ui.frame import PAGES
from tests.browser.conftest import Dashboard, start_dashboard
from tests.support.forging import Forger, Widget, pressed
from tests.support.helpers import CITIES

EVERY = 300.0  # seconds between two lines
QUESTION = "Which lake"
REFRESH = 1.0  # seconds, of the tab that stays open
REST = 5.0  # seconds until what a closed tab had is given back
HEAD = ("minute", "trainings", "answers", "pages", "memory", "files", "processes", "threads", "disk")


class Soak:
    """What is done with a dashboard, and how much of it."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard, self.workspace = dashboard, Workspace.open(dashboard.workspace)
        self.trainings = self.answers = self.pages = 0

    def watch(self, ended: threading.Event) -> None:
        with Forger(self.dashboard.address) as tab:
            while not ended.wait(REFRESH):
                tab.visit("Train", f"session={sessions.active(self.workspace) or ''}")
                self.pages += 1

    def once(self) -> None:
        self.trainings += 1
        name = f"lesson-{self.trainings}"
        lines = [f"What is lake {n} near {city} in {name}?,Lake {n}." for n, city in enumerate(CITIES)]
        with Forger(self.dashboard.address) as tab:
            [uploader] = [one for one in tab.visit("Data") if one.kind == "file_uploader"]
            content = "\n".join(("question,answer", *lines)).encode()
            states = [tab.uploaded(uploader, f"{name}.csv", content)]
            tab.visit("Data", "", [*states, pressed(named(tab.visit("Data", "", states), "data-save"))])
            query = f"dataset={name}"
            tab.visit("Train", query, [pressed(named(tab.visit("Train", query), "train_go"))])
        while sessions.active(self.workspace):
            time.sleep(REFRESH)
        for page in PAGES:
            with Forger(self.dashboard.address) as tab:
                tab.visit_opened(page.title.replace(" ", "_"))
                self.pages += 1
        with Forger(self.dashboard.address) as tab:
            tab.visit("Chat", "", [pressed(named(tab.visit("Chat"), "chat_question"), QUESTION)])
            self.answers += QUESTION in tab.said and "Current model" in tab.said[-2]


def named(widgets: list[Widget], key: str) -> Widget:
    return next(widget for widget in widgets if widget.id.endswith(key))


def figures(server: psutil.Process, folder: Path) -> tuple[object, ...]:
    """Memory of the server alone, its open files, processes (zombies too), threads; all on the disk."""
    memory, processes = server.memory_full_info().uss, len(server.children(recursive=True))
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return megabytes(memory), server.num_fds(), processes, server.num_threads(), megabytes(disk)


def run(folder: Path, seconds: float) -> bool:
    """Print the table; tells whether all trainings succeeded."""
    with start_dashboard(folder) as dashboard:
        [server] = psutil.Process().children()
        soak, ended = Soak(dashboard), threading.Event()
        watching = threading.Thread(target=soak.watch, args=(ended,))
        watching.start()
        began, due, gone = time.monotonic(), seconds / 10, 0.0
        print(*HEAD, sep=" | ", flush=True)
        try:
            while gone < seconds:
                soak.once()
                gone = time.monotonic() - began
                if gone >= due:
                    due = min((gone // EVERY + 1) * EVERY, seconds)
                    time.sleep(REST)
                    done = (f"{gone / 60:.0f}", soak.trainings, soak.answers, soak.pages)
                    print(*done, *figures(server, folder), sep=" | ", flush=True)
        finally:
            ended.set()
            watching.join()
        states = [record.status.state for record in sessions.read_history(soak.workspace)]
    print(f"{states.count('succeeded')} of {len(states)} trainings succeeded")
    return set(states) == {"succeeded"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        make_base(Path(folder))
        return 0 if run(Path(folder), minutes * 60) else 1


def make_base(folder: Path) -> None:
    """Publish a tiny model, made in another process: this one is to stay small."""
    if os.fork() == 0:
        from tests.support.tiny import make_tiny_model

        model = make_tiny_model(folder / "base", "gpt2")
        publish_model(Workspace.open(folder / "workspace"), model, Provenance(created="2026-01-05T09:00:00Z"))
        os._exit(0)
    os.wait()


if __name__ == "__main__":
    sys.exit(main())
