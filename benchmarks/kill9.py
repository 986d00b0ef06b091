"""`kill -9` a worker at random moments of its whole life, and count what is lost.

    .venv/bin/python -m benchmarks.kill9 --kills 500

A process that has imported everything but has never computed forks one worker after another, so that a
kill costs a second instead of a cold start. Each worker is killed in a phase drawn at random (prepare,
train, judge, publish, export), at a random moment of it, or let through. After every kill the current model
must be complete, every session must be in the history and none may say that it runs; then the session is
resumed and killed again, until one run is let through. Prints one table and exits 1 when anything is lost.

Not here: a full disk and power loss (fsync is called, but no virtual machine is pulled from under it).
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sails import jobs, models, sessions
from sails.jobs import launcher
from sails.models import Workspace
from sails.sessions import Session, Settings
from tests.support.helpers import add_dataset, write_lesson

PHASES = ("queued", "prepare", "train", "judge", "publish", "export", "done")


@dataclass
class Tally:
    """What happened; everything but `kills` and `killed_in` must stay at zero."""

    kills: int = 0
    killed_in: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    unloadable: int = 0
    lost_sessions: int = 0
    said_running: int = 0
    lost_versions: int = 0
    problems: list[str] = field(default_factory=list)


def torment(root: Path, base: Path, kills: int, seed: int = 0, until: float = float("inf")) -> Tally:
    """Kill workers `kills` times, or until then, in a workspace at `root`, training the model in `base`."""
    import_everything()
    launcher.start_worker = lambda _: None  # type: ignore[assignment] # this program forks
    chance, tally = random.Random(seed), Tally()
    workspace = Workspace.open(root)
    dataset = add_dataset(workspace, write_lesson(root.parent / "lesson.json"))
    first = _submit(workspace, dataset, base)
    _one_life(first, None, tally)
    lengths = first.status().results.seconds
    published = [workspace.situation().trained.fingerprint]
    session, count = _submit(workspace, dataset, None), 2
    while tally.kills < kills and time.monotonic() < until:
        phase = chance.choice([*lengths, None])
        _one_life(session, (phase, chance.uniform(0, lengths[phase])) if phase else None, tally)
        _check(workspace, published, count, tally)
        status = session.status()
        if status.resumable:
            sessions.resume(workspace, session)
        elif status.state != "queued":
            published.append(status.fingerprint)
            session, count = _submit(workspace, dataset, None), count + 1
    return tally


def import_everything() -> None:
    heavy = ("optimum.exporters.onnx", "transformers.models.gpt2.modeling_gpt2")
    for name in (*heavy, "sails.training.trainer", "sails.onnx.export", "sails.onnx.certify.verify"):
        importlib.import_module(name)


def _submit(workspace: Workspace, dataset: str, base: Path | None) -> Session:
    settings = Settings(epochs=2, batch_size=8, seed=1)
    return jobs.submit_training(workspace, dataset, settings, model_name=base and str(base), export=True)


def _one_life(session: Session, death: tuple[str, float] | None, tally: Tally) -> None:
    """Fork a worker for `session`; kill it `death` = (phase, seconds into it), or let it end."""
    child = os.fork()
    if child == 0:
        try:
            be_the_worker(session)
        finally:
            os._exit(0)
    if death is None:
        os.waitpid(child, 0)
        return
    phase, seconds = death
    reached: float | None = None
    tally.kills += 1
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        now = session.written_status().phase
        if reached is None and PHASES.index(now) >= PHASES.index(phase):
            reached = time.monotonic()
        if reached is not None and time.monotonic() - reached >= seconds:
            tally.killed_in[now] += 1
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(0.002)
    tally.killed_in["after its end"] += 1


def be_the_worker(session: Session) -> None:
    """What `python -m sails.jobs.worker` does, in a process that was forked."""
    import torch

    torch.set_num_threads(1)
    output = os.open(session.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    jobs.run_worker(str(session.folder))


def _check(workspace: Workspace, published: list[str | None], count: int, tally: Tally) -> None:
    situation = workspace.situation()
    if not situation.trained.complete:
        tally.unloadable += 1
        tally.problems.append(f"model {situation.trained.state}: {situation.trained.reason}")
    records = sessions.read_history(workspace)
    if len(records) != count:
        tally.lost_sessions += 1
        tally.problems.append(f"{len(records)} of {count} sessions are in the history")
    if any(record.status.state == "running" for record in records):
        tally.said_running += 1
    known = {version.fingerprint for version in models.list_versions(workspace)}
    known.add(situation.trained.fingerprint)
    newest = published[-models.VERSIONS_KEPT :]
    tally.lost_versions += sum(fingerprint not in known for fingerprint in newest)
    tally.finished = sum(record.status.state == "succeeded" for record in records)
    for record in records:
        if record.status.state == "failed" and record.status.failure:
            tally.problems.append(record.status.failure.message)


def _load(workspace: Workspace) -> None:
    """The proof of the pudding: transformers and onnxruntime load what is current."""
    from sails.onnx import Generator
    from sails.training import load_model

    load_model(workspace.trained_model, "cpu")
    if workspace.situation().onnx.present:
        Generator.open(workspace.onnx_model).answer("Which mountain?", max_new_tokens=2)


def main() -> int:
    from tests.support.tiny import make_tiny_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = in_a_child(lambda: make_tiny_model(Path(folder) / "base", "gpt2"), Path(folder) / "base")
        began = time.monotonic()
        tally = torment(Path(folder) / "workspace", base, wanted.kills, wanted.seed, began + wanted.seconds)
        _load(Workspace.open(Path(folder) / "workspace"))
    print(f"{tally.kills} kills in {time.monotonic() - began:.0f} s, {tally.finished} sessions finished")
    print("killed in: " + ", ".join(f"{phase} {number}" for phase, number in tally.killed_in.most_common()))
    for name in ("unloadable", "lost_sessions", "lost_versions", "said_running"):
        print(f"{name:16} {getattr(tally, name)}")
    for problem in tally.problems[:10]:
        print(f"  {problem}")
    return 1 if tally.problems or tally.said_running or tally.lost_versions else 0


def in_a_child(make: object, result: Path) -> Path:
    """Compute in another process: one that has used OpenMP's threads must not be forked afterwards."""
    child = os.fork()
    if child == 0:
        make()  # type: ignore[operator]
        os._exit(0)
    os.waitpid(child, 0)
    return result


if __name__ == "__main__":
    sys.exit(main())
