"""The live page: what a refresh costs the server, how many viewers a core serves, how soon the page is there.

    .venv/bin/python -m benchmarks.live

Starts the real dashboard on a workspace in which a session of 1,000, 100,000 or 1,000,000 metric rows runs
(its lock is held and rows are appended; nothing is trained), and opens real connections to it, as a browser
does. A viewer asks for a refresh of the live part every second, as the page does. Prints one table:

- server time: processor time of the server for one refresh, all threads, while one viewer looks
- sent: bytes that the server sends for one refresh, before compression
- viewers per core: the most viewers, each refreshing once a second, whose 95th percentile from request to end
  is under 0.5 s, while the server runs on one core
- start: seconds from the command to the first page drawn to its end
- with --soak N: memory of the server behind a tenth of N refreshes and behind all of them; a day of one
  viewer is 86,400
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from sails import sessions, system
from sails.models import Workspace
from sails.sessions import Session, Status, TrainSpec

REPOSITORY = Path(__file__).resolve().parent.parent
SIZES = (1_000, 100_000, 1_000_000)
REFRESHES = 30
VIEWERS = (10, 25, 50, 75, 100)
SECONDS = 12  # for each number of viewers
FIRST_CHART = 3.5  # seconds after which a chart is drawn anew
LIMIT = 0.5  # seconds, of the 95th percentile


# --- a session that runs --------------------------------------------------------------------------


def metric(step: int, total: int) -> str:
    values = {
        "kind": "step",
        "step": step,
        "total_steps": total,
        "epoch": round(step / total * 4, 4),
        "loss": 0.5 + 4 / (1 + step / total * 20) + random.random() / 3,
        "learning_rate": 5e-5 * (1 - 0.9 * step / total),
        "gradient_norm": 1 + random.random(),
        "tokens": step * 480,
        "tokens_per_second": round(200 + 20 * random.random(), 1),
        "memory": 3_400_000_000,
    }
    return json.dumps(values) + "\n"


def write_session(workspace: Workspace, rows: int) -> Session:
    spec = TrainSpec(
        id=f"20260105-090000-rows-{rows}",
        name=f"{rows:,} rows",
        created=datetime.now(UTC),
        dataset="databases",
        rows=90,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
    )
    session = sessions.create(workspace.sessions, spec)
    with open(session.metrics, "w", encoding="utf-8") as file:
        for step in range(1, rows + 1):
            file.write(metric(step, 2 * rows))
        for place in range(6):
            step = place * rows // 5
            prompts = ["What is a database?", "What is a key?", "What is an index?", "Who are you?"]
            answers = [f"At step {step} it answers with a sentence or two of ordinary length."] * 4
            sample = {"kind": "samples", "step": step, "prompts": prompts, "answers": answers}
            file.write(json.dumps(sample) + "\n")
            score = {"kind": "evaluation", "step": step, "loss": 2.0, "accuracy": 0.5, "rows": 9}
            file.write(json.dumps(score) + "\n")
    session.log.write_text("".join(f"2026-01-05 09:00:00 INFO line {n} of the log\n" for n in range(2000)))
    return session


@contextmanager
def running(workspace: Workspace, session: Session, rows: int) -> Iterator[None]:
    """Hold the session's locks and append a row and a status four times a second, as a worker does."""
    held = [system.LifeLock(session.lock), system.LifeLock(workspace.training_lock)]
    for lock in held:
        lock.acquire()
    ended = threading.Event()
    now = datetime.now(UTC)
    status = Status.model_validate(
        {"state": "running", "phase": "train", "started": now, "phase_started": now, **sessions.this_worker()}
    )

    def work() -> None:
        step = rows
        while not ended.is_set():
            step += 1
            with open(session.metrics, "a", encoding="utf-8") as file:
                file.write(metric(step, 2 * rows))
            changes = {"step": step, "total_steps": 2 * rows, "progress": step / (2 * rows)}
            session.write_status(status.model_copy(update={**changes, "heartbeat": datetime.now(UTC)}))
            ended.wait(0.25)

    session.write_status(status)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        ended.set()
        worker.join()
        for lock in held:
            lock.release()


# --- the dashboard and those who look -------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def dashboard(workspace: Path, core: int | None = None) -> Iterator[tuple[psutil.Process, int, float]]:
    """The server's process, its port, and the seconds until it answered; on one core if it is named."""
    port = free_port()
    command = [sys.executable, "-m", "sails.ui", "run", "app.py", f"--server.port={port}"]
    command += ["--server.headless=true"]
    began = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "SAILS_WORKSPACE": str(workspace)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        server = psutil.Process(process.pid)
        if core is not None and hasattr(server, "cpu_affinity"):
            server.cpu_affinity([core])
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield server, port, time.monotonic() - began
        finally:
            process.terminate()


class Viewer:
    """One browser tab: it opens the page, and asks for the live part again as the page would."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._fragment = ""
        self.received = 0
        self.reading = True  # whether the page says that it has not read everything yet

    @classmethod
    async def open(cls, port: int, session: str) -> Viewer:
        connection = await _connect(port)
        viewer = cls(connection)
        message = BackMsg()
        message.rerun_script.query_string = f"session={session}"
        message.rerun_script.page_name = "Train"
        await viewer._ask(message)
        assert viewer._fragment, "The page has no part that refreshes itself."
        return viewer

    async def refresh(self) -> float:
        """Seconds until the refreshed part has arrived whole."""
        message = BackMsg()
        message.rerun_script.query_string = ""
        message.rerun_script.fragment_id = self._fragment
        message.rerun_script.is_auto_rerun = True
        began = time.monotonic()
        await self._ask(message)
        return time.monotonic() - began

    async def _ask(self, message: BackMsg) -> None:
        self.reading = False
        await self._connection.send(message.SerializeToString())
        while True:
            data = await self._connection.recv(decode=False)
            self.received += len(data)
            self.reading = self.reading or b"Reading what was written" in data
            answer = ForwardMsg()
            answer.ParseFromString(data)
            kind = answer.WhichOneof("type")
            if kind == "auto_rerun":
                self._fragment = answer.auto_rerun.fragment_id
            if kind == "script_finished":
                return

    async def close(self) -> None:
        await self._connection.close()


async def _connect(port: int) -> ClientConnection:
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    return await connect(address, subprotocols=[Subprotocol("streamlit")], max_size=None, proxy=None)


async def cost(server: psutil.Process, port: int, session: str) -> tuple[float, float, float]:
    """(seconds to the page whole, server milliseconds, KB) of the first look and of one refresh."""
    began = time.monotonic()
    viewer = await Viewer.open(port, session)
    first = time.monotonic() - began
    while viewer.reading:  # the first read goes on in the background, and the page says so
        await asyncio.sleep(0.5)
        await viewer.refresh()
    await asyncio.sleep(FIRST_CHART)
    await viewer.refresh()
    before, viewer.received = _busy(server), 0
    for _ in range(REFRESHES):
        await viewer.refresh()
        await asyncio.sleep(0.26)  # so that each refresh has something new to say
    spent = (_busy(server) - before) / REFRESHES
    await viewer.close()
    return first, spent * 1000, viewer.received / REFRESHES / 1000


def _busy(server: psutil.Process) -> float:
    used = server.cpu_times()
    return used.user + used.system


async def crowd(port: int, session: str, count: int) -> float:
    """The 95th percentile in seconds, of refreshes by so many viewers, each once a second."""
    viewers = [await Viewer.open(port, session) for _ in range(count)]
    times: list[float] = []

    async def look(viewer: Viewer, delay: float) -> None:
        await asyncio.sleep(delay)
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            took = await viewer.refresh()
            times.append(took)
            await asyncio.sleep(max(0.0, 1.0 - took))

    await asyncio.gather(*(look(viewer, number / count) for number, viewer in enumerate(viewers)))
    for viewer in viewers:
        await viewer.close()
    return statistics.quantiles(times, n=20)[-1]


async def soak(server: psutil.Process, port: int, session: str, refreshes: int) -> tuple[float, float]:
    """Megabytes of the server's memory behind a tenth of so many refreshes in a row, and behind all."""
    viewer = await Viewer.open(port, session)
    sizes = []
    for number in range(1, refreshes + 1):
        await viewer.refresh()
        if number in (max(1, refreshes // 10), refreshes):
            sizes.append(server.memory_info().rss / 1e6)
    await viewer.close()
    return sizes[0], sizes[-1]


async def first_page(port: int) -> None:
    connection = await _connect(port)
    message = BackMsg()
    message.rerun_script.query_string = ""
    await Viewer(connection)._ask(message)
    await connection.close()


# --- the table ------------------------------------------------------------------------------------


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="metric rows")
    options.add_argument("--soak", type=int, default=0, metavar="N", help="refreshes without a pause")
    sizes, refreshes = (chosen := options.parse_args()).sizes, chosen.soak
    lines = [("what", "measured", "reach")]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.open(Path(folder) / "workspace")
        with dashboard(workspace.root) as (_, port, _):
            pass  # once, so that everything is compiled and in the disk cache
        for rows in sizes:
            session = write_session(workspace, rows)
            with running(workspace, session, rows), dashboard(workspace.root) as (server, port, _):
                first, milliseconds, kilobytes = asyncio.run(cost(server, port, session.id))
            lines += [
                (f"{rows:,} rows: server time of a refresh", f"{milliseconds:.1f} ms", "≤ 25 ms"),
                (f"{rows:,} rows: sent for a refresh", f"{kilobytes:.1f} KB", "≤ 30 KB"),
                (f"{rows:,} rows: first look at the page", f"{first:.2f} s", ""),
            ]
        core = (
            sorted(psutil.Process().cpu_affinity())[0] if hasattr(psutil.Process(), "cpu_affinity") else None
        )
        reached = "none"
        with running(workspace, session, rows), dashboard(workspace.root, core) as (_, port, _):
            asyncio.run(crowd(port, session.id, 1))
            for count in VIEWERS:
                percentile = asyncio.run(crowd(port, session.id, count))
                if percentile >= LIMIT:
                    lines.append((f"95th percentile of {count} viewers", f"{percentile:.2f} s", "< 0.5 s"))
                    break
                reached = f"{count} ({percentile * 1000:.0f} ms)"
        lines.append(("viewers at 1 s on one core (95th percentile)", reached, "≥ 50"))
        if refreshes:
            with running(workspace, session, rows), dashboard(workspace.root) as (server, port, _):
                early, late = asyncio.run(soak(server, port, session.id, refreshes))
            lines.append(
                (f"memory behind {refreshes:,} refreshes", f"{early:.0f} → {late:.0f} MB", "no growth")
            )
        began = time.monotonic()
        with dashboard(workspace.root) as (_, port, _):
            asyncio.run(first_page(port))
            lines.append(("start to the first page", f"{time.monotonic() - began:.1f} s", "≤ 4 s"))
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


if __name__ == "__main__":
    main()
