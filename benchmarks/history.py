"""The history at 10,000 sessions: its index and the whole Sessions page, cold and warm.

    .venv/bin/python -m benchmarks.history [--sessions 10000]

The numbers to reach: cold under 1.5 s, warm under 100 ms. The sessions are made in a temporary folder, most
of them published, each continuing the one before; some are held, failed, stopped or interrupted. *Cold* is
the first reading by a fresh process, though the files are in the system's cache; *warm* is the best of five
afterwards, with one session changed before each. The page is drawn by Streamlit's own test runner, without a
browser: the time of its script, up to the table as it is sent. A cold page is that of a dashboard which runs
already and has never seen this workspace. `ms` is wall clock; `busy` is processor time, the fairer figure on
a machine that does other things too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sails import sessions, system
from sails.models import Workspace
from sails.sessions import (
    Failure,
    Plan,
    Results,
    Scores,
    Session,
    SessionRecord,
    StartFrom,
    Status,
    TrainSpec,
)
from sails.training.plan import automatic_learning_rate

Took = tuple[float, float]  # milliseconds: wall clock, processor
Row = tuple[str, Took]
REPOSITORY = Path(__file__).resolve().parents[1]
WARM = 5  # repetitions, of which the best counts
START = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)
TARGETS = {"cold": "≤ 1500", "warm": "≤ 100"}


# --- ten thousand sessions ------------------------------------------------------------------------


def make_sessions(workspace: Workspace, count: int) -> None:
    """Plain files, not fsynced: nobody wants to wait for 20,000 of those."""
    workspace.sessions.mkdir(parents=True)
    for number in range(count):
        spec, status = _spec(workspace, number), _status(number)
        folder = workspace.sessions / spec.id
        folder.mkdir()
        (folder / "spec.json").write_text(spec.model_dump_json(indent=1), encoding="utf-8")
        (folder / "status.json").write_text(status.model_dump_json(indent=1), encoding="utf-8")
    # What was written a moment ago may be written again unseen, so it is not kept: these are a day old.
    for path in workspace.sessions.glob("*/*.json"):
        os.utime(path, (time.time() - 86_400,) * 2)


def _spec(workspace: Workspace, number: int) -> TrainSpec:
    created = START + timedelta(minutes=7 * number)
    name = ("databases", "kitchen", "harbour", "returns", "first aid")[number % 5]
    return TrainSpec(
        id=f"{created:%Y%m%d-%H%M%S}-{name.replace(' ', '-')}",
        name=name,
        created=created,
        dataset=name.replace(" ", "-"),
        rows=90,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
    )


def _status(number: int) -> Status:
    began = START + timedelta(minutes=7 * number, seconds=2)
    start_from: StartFrom = "trained" if number else "base"
    rate = automatic_learning_rate(start_from)
    plan = Plan(
        row=2 if number else 1,
        start_from=start_from,
        model="trained_model" if number else "smollm2-135m-instruct",
        base="smollm2-135m-instruct",
        learning_rate=3e-5 if number % 10 == 3 else rate,
        automatic_learning_rate=rate,
        learning_rate_chosen_by="person" if number % 10 == 3 else "automatic",
        reason="Continuing from the trained model",
    )
    results = Results(
        taught_before=Scores(loss=2.84, accuracy=0.4, rows=64),
        taught_after=Scores(loss=0.61 + number % 7 / 10, accuracy=0.9, rows=64),
        held_out_before=Scores(loss=2.9, accuracy=0.4, rows=9),
        held_out_after=Scores(loss=1.9, accuracy=0.5, rows=9),
        rows_taught=81,
        rows_held_out=9,
        steps=120,
        epochs=6,
        tokens=60_000,
        tokens_per_second=410.5,
        seconds={"prepare": 3.1, "train": 140.2, "judge": 4.4, "publish": 0.9},
    )
    state, failure = "succeeded", None
    if number % 40 == 7:
        state, failure = "failed", Failure(kind="disk_full", message="The disk is full.", remedy="Free some.")
    elif number % 40 == 17:
        state = "stopped"
    elif number % 400 == 27:
        state = "running"  # and its worker is dead: interrupted
    return Status(
        state=state,
        phase="done",
        step=120,
        total_steps=120,
        pid=2**22 + 1,
        pid_created=1.0,
        host="nowhere",
        heartbeat=began + timedelta(seconds=150),
        queued=began,
        started=began,
        ended=began + timedelta(seconds=150) if state != "running" else None,
        plan=plan,
        verdict=("held" if number % 25 == 9 else "published") if state == "succeeded" else None,
        parent=f"{number - 1:016x}" if number else None,
        fingerprint=f"{number:016x}" if state == "succeeded" else None,
        failure=failure,
        results=results,
    )


# --- what is measured -----------------------------------------------------------------------------


def index(workspace: Workspace) -> list[Row]:
    """Milliseconds of the history alone."""
    rows = [("history, cold", _milliseconds(lambda: sessions.read_history(workspace)))]
    rows.append(("history, warm", _warm(workspace, lambda: sessions.read_history(workspace))))
    newest: SessionRecord = sessions.read_history(workspace)[-1]
    lineage = lambda: sessions.ancestors(workspace, newest.status.fingerprint)  # noqa: E731
    rows.append(("ancestors, warm", _warm(workspace, lineage)))
    rows.append(("what runs, nothing trains", _warm(workspace, lambda: sessions.running(workspace))))
    return rows + _running(workspace, newest.session)


def _running(workspace: Workspace, session: Session) -> list[Row]:
    held = [system.LifeLock(session.lock), system.LifeLock(workspace.training_lock)]
    for lock in held:
        lock.acquire()
    status = session.written_status()
    session.write_status(status.model_copy(update={"state": "running", **sessions.this_worker()}))
    found = sessions.running(workspace)
    if found is None or found.session != session:
        raise RuntimeError("The session that runs was not found.")
    took = _warm(workspace, lambda: sessions.running(workspace))
    session.write_status(status)
    for lock in held:
        lock.release()
    return [("what runs, one trains", took)]


def page(workspace: Workspace) -> list[Row]:
    """Milliseconds of the page's script, in a process that has drawn it before, for an empty workspace."""
    from streamlit.testing.v1 import AppTest

    os.environ["SAILS_WORKSPACE"] = str(workspace.root.parent / "empty")
    test = AppTest.from_file(str(REPOSITORY / "app.py"), default_timeout=120).run()
    test.switch_page("pages/3_Sessions.py").run()
    os.environ["SAILS_WORKSPACE"] = str(workspace.root)
    rows = [("page, cold", _milliseconds(test.run))]
    assert not test.exception
    assert len(test.dataframe[0].value) > 1
    return [*rows, ("page, warm", _warm(workspace, test.run))]


def _warm(workspace: Workspace, action: Callable[[], object]) -> Took:
    times = []
    for number in range(WARM):
        changed = Session(workspace.sessions / _spec(workspace, number).id)
        changed.write_status(changed.written_status())
        times.append(_milliseconds(action))
    return min(times)


def _milliseconds(action: Callable[[], object]) -> Took:
    wall, busy = time.perf_counter(), time.process_time()
    action()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - busy) * 1000


# --- the table ------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--measure", choices=("index", "page"), help=argparse.SUPPRESS)
    parser.add_argument("--workspace", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        workspace = Workspace.open(arguments.workspace)
        for what, (wall, busy) in {"index": index, "page": page}[arguments.measure](workspace):
            print(f"{what}\t{wall:,.2f}\t{busy:,.2f}")
        return
    table = Table(title=f"The history of {arguments.sessions:,} sessions")
    table.add_column("what")
    table.add_column("ms", justify="right")
    table.add_column("busy", justify="right")
    table.add_column("to reach", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "workspace")
        make_sessions(workspace, arguments.sessions)
        for part in ("index", "page"):  # each in a process of its own: cold is cold
            command = [sys.executable, "-m", "benchmarks.history", "--measure", part]
            command += ["--workspace", str(workspace.root)]
            out = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
            for line in out.stdout.splitlines():
                what, *took = line.split("\t")
                target = TARGETS[what.rpartition(", ")[2]] if what.startswith(("history", "page")) else ""
                table.add_row(what, *took, target)
    Console().print(table)


if __name__ == "__main__":
    main()
