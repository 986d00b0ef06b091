"""Kill, or refuse the disk to, all that changes a workspace, at every change of a file and every fsync.

    .venv/bin/python -m benchmarks.chaos                      # every operation, every point, every fault
    .venv/bin/python -m benchmarks.chaos --points 5 --seed 3  # five points drawn at random of each
    .venv/bin/python -m benchmarks.chaos --only publish
    .venv/bin/python -m benchmarks.chaos --training 40        # points of a training and its checkpoints

Each operation runs in a child process that is killed before its N-th change, or told there that the disk is
full (ENOSPC), damaged (EIO), forbidden (EACCES) or read-only (EROFS), once or from then on. After each,
without any repair but what readers and writers do by themselves:

- the current model is complete and one of the two that it may be, and no model is lost;
- no session, dataset or correction has vanished, and none of their files is damaged;
- no session says that it runs;
- the same operation, done again, succeeds or says that it was done; then everything is as it should be;
- what was raised is something that the command line and the pages say in a sentence.

A training that was struck is resumed, or run again where it failed, and must end with a published model.

Not here: what libraries write by themselves (`benchmarks/kill9.py` kills there), a disk that is really full
(`tests/chaos/test_full_disk.py`), and power loss.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import kill9
from sails import data, doctor, jobs, models, sessions
from sails.chat import feedback
from sails.errors import SailsError
from sails.jobs import launcher, watch
from sails.jobs.watch import switch
from sails.jobs.watch.loop import Watch
from sails.models import Workspace
from sails.models.onnx_store import install
from sails.onnx import make_bundle
from sails.sessions import Session, Settings, Status, TrainSpec
from sails.sessions.spec import spec_as_json
from tests.support.faults import ERRORS, Fault, changes, strike
from tests.support.folders import fingerprint_of, make_model, make_onnx
from tests.support.helpers import add_dataset, write_lesson
from tests.support.killing import folder_in_memory
from tests.support.tiny import make_tiny_model
from tests.support.watched import Clock, settle

HELD, DONE = "20260103-000000-held", "20260102-000000-second"
EARLIER, SAVED, RESTORED = "earlier.backup.zip", "saved.backup.zip", "restored"  # beside the workspace


@dataclass(frozen=True)
class Seen:
    """What a person finds in a workspace."""

    current: str | None
    models: frozenset[str]
    sessions: frozenset[str]
    datasets: frozenset[str]
    corrections: frozenset[str]


@dataclass(frozen=True)
class Operation:
    """A change of a workspace. `goes` names the models, sessions or datasets that it takes away."""

    act: Callable[[Workspace], object]
    done: Callable[[Workspace, Seen], bool]  # whether it shows as done; gets what was seen before
    current: tuple[str, ...] = ("new",)  # which models may be the current one after it; "" for none
    goes: tuple[str, ...] = ()


def prepare(root: Path) -> Workspace:
    """A workspace with one of everything: two published models, one held back, a dataset, corrections."""
    workspace = Workspace.open(root)
    for seed, name in ((1, "20260101-000000-first"), (2, DONE)):
        made = Session(workspace.sessions / name)
        make_model(made.model, seed)
        _write_session(workspace, made, "published")
        provenance = models.Provenance(session=name, created=datetime.now(UTC))
        models.publish_model(workspace, made.model, provenance)
    held = Session(workspace.sessions / HELD)
    make_model(held.model, 3)
    _write_session(workspace, held, "held")
    make_onnx(workspace.onnx_model, fingerprint_of(workspace.trained_model))
    add_dataset(workspace, write_lesson(root.parent / "lesson.json", rows=6))
    given = feedback.give(
        workspace, question="Which one?", answer="That.", kind="corrected", correction="This."
    )
    feedback.approve(workspace, given.id)
    feedback.give(workspace, question="What else?", answer="Nothing.", kind="corrected", correction="All.")
    doctor.back_up(workspace, root.parent / EARLIER)
    return workspace


def _write_session(workspace: Workspace, session: Session, verdict: str) -> None:
    spec = TrainSpec(
        id=session.id,
        name=session.id[16:],
        created=datetime.now(UTC),
        dataset="lesson",
        rows=6,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
    )
    folder = session.folder
    (folder / "spec.json").write_text(spec_as_json(spec, workspace.root))
    fields = {"state": "succeeded", "phase": "done", "verdict": verdict, "started": datetime.now(UTC)}
    session.write_status(Status.model_validate({**fields, "fingerprint": fingerprint_of(session.model)}))


def look(workspace: Workspace) -> Seen:
    """Read as a page does; asserts that nothing which is read is damaged or untrue."""
    assert workspace.situation().trained.state != "incomplete"
    versions = models.list_versions(workspace)  # finishes what was begun
    trained = workspace.situation().trained
    records = sessions.read_history(workspace)
    for record in records:
        record.session.written_status(), record.session.written_spec()
        assert record.status.state != "running", f"{record.session.id} says that it runs"
        if record.status.verdict == "held":
            assert models.inspect_model(record.session.model).complete, "a held model is not here"
    candidates = (models.inspect_model(record.session.model).fingerprint for record in records)
    found = {trained.fingerprint, *(version.fingerprint for version in versions), *candidates}
    reports = {path.parent.name for path in workspace.datasets.glob("[!.]*/report.json")}
    assert {report.name for report in data.reports(workspace)} == reports
    for name in reports:
        assert data.rows_of(workspace, name), f"the rows of {name} are gone"
    watch.watch_state(workspace)
    for file in workspace.root.parent.glob("[!.]*.backup.zip"):
        doctor.read_backup(file)
    restored = workspace.root.parent / RESTORED
    assert not restored.exists() or models.inspect_model(restored / "trained_model").complete
    return Seen(
        trained.fingerprint,
        frozenset(filter(None, found)),
        frozenset(record.session.id for record in records),
        frozenset(reports),
        frozenset(correction.id for correction in feedback.corrections(workspace)),
    )


# --- the operations -------------------------------------------------------------------------------


def _held(workspace: Workspace) -> Session:
    return Session(workspace.sessions / HELD)


def _import(workspace: Workspace) -> None:
    add_dataset(workspace, write_lesson(workspace.root.parent / "more.json", rows=5, topic="river"))


def _submit(workspace: Workspace) -> None:
    jobs.submit_training(workspace, "lesson", Settings(epochs=1), name="queued")


def _queued(workspace: Workspace) -> list[str]:
    waiting = [entry.id for entry in sessions.waiting(workspace)]
    return [name for name in waiting if (workspace.sessions / name / "spec.json").exists()]


def _hand_over(workspace: Workspace) -> None:
    """A session is queued, started by whoever looks, and comes up; then it is stopped and resumed."""
    if not _queued(workspace):
        _submit(workspace)
    [name] = _queued(workspace)
    session = Session(workspace.sessions / name)
    sessions.stop(workspace, session)
    sessions.resume(workspace, session)
    jobs.dispatch(workspace)


def _export(workspace: Workspace) -> None:
    target = workspace.onnx_model
    staged = models.stage_path(target, "job")
    shutil.rmtree(staged, ignore_errors=True)
    install(make_onnx(staged, workspace.situation().trained.fingerprint, b"again"), target, "fp32")


def _bundle(workspace: Workspace) -> None:
    make_bundle(workspace.onnx_model, "fp32", workspace.root / "model.zip", allow_failed=True)


def _correct(workspace: Workspace) -> None:
    first, *_ = feedback.corrections(workspace)
    feedback.give(workspace, question="Third?", answer="No.", kind="corrected", correction="Yes.")
    feedback.edit(workspace, first.id, answer="This one.")
    feedback.approve(workspace, first.id)
    feedback.as_dataset(workspace)


def _back_up(workspace: Workspace) -> None:
    """Into a new file, and in the place of that."""
    for _ in range(2):
        doctor.back_up(workspace, workspace.root.parent / SAVED)


def _is_saved(workspace: Workspace, before: Seen) -> bool:
    return doctor.read_backup(workspace.root.parent / SAVED).contents.fingerprint == before.current


def _restore(workspace: Workspace) -> None:
    beside = workspace.root.parent
    doctor.restore(beside / EARLIER, beside / RESTORED)


def _is_restored(workspace: Workspace, before: Seen) -> bool:
    return look(Workspace.open(workspace.root.parent / RESTORED)) == before


def _watch(workspace: Workspace) -> None:
    """Switched on, it teaches the approved correction."""
    if not watch.watch_state(workspace).on:
        order = watch.order_of(file=None, at_least=1, every=30, settings=Settings())
        switch.begin(workspace, order)
    clock = Clock()
    clock.now = watch.watch_state(workspace).not_before or clock.now  # a failure makes it pause
    settle(Watch(workspace, lambda _: None, clock))


OPERATIONS: dict[str, Operation] = {
    "publish": Operation(
        lambda workspace: jobs.publish_held(workspace, _held(workspace)),
        lambda workspace, _: _held(workspace).status().verdict == "published",
        current=("new", "held"),
    ),
    "roll back": Operation(
        lambda workspace: models.roll_back(workspace, "20260101-000000-first"),
        lambda workspace, _: workspace.situation().trained.session == "20260101-000000-first",
        current=("new", "old"),
    ),
    "discard": Operation(
        lambda workspace: jobs.discard(workspace, _held(workspace)),
        lambda workspace, _: _held(workspace).status().verdict == "discarded",
    ),
    "reset": Operation(
        models.unpublish,
        lambda workspace, _: workspace.situation().trained.state == "missing",
        current=("new", ""),
    ),
    "export": Operation(
        _export, lambda workspace, _: (workspace.onnx_model / "model.onnx").read_bytes() == b"again"
    ),
    "bundle": Operation(_bundle, lambda workspace, _: (workspace.root / "model.zip").stat().st_size > 1000),
    "import a dataset": Operation(_import, lambda workspace, _: (workspace.datasets / "more").exists()),
    "rename a dataset": Operation(
        lambda workspace: data.rename(workspace, "lesson", "hills"),
        lambda workspace, _: data.report_of(workspace, "lesson").name == "hills",
        goes=("lesson",),
    ),
    "delete a dataset": Operation(
        lambda workspace: data.delete(workspace, "lesson"),
        lambda workspace, _: not (workspace.datasets / "lesson").exists(),
        goes=("lesson",),
    ),
    "delete a session": Operation(
        lambda workspace: sessions.delete(workspace, _held(workspace)),
        lambda workspace, _: not _held(workspace).folder.exists(),
        goes=("held", HELD),
    ),
    "corrections": Operation(
        _correct, lambda workspace, _: any(name.startswith("correction") for name in look(workspace).datasets)
    ),
    "back up": Operation(_back_up, _is_saved),
    "restore": Operation(_restore, _is_restored),
    "queue": Operation(_hand_over, lambda workspace, _: len(_queued(workspace)) == 1),
    "watch": Operation(_watch, lambda workspace, _: len(_queued(workspace)) == 1),
}


# --- striking -------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What happened, by operation: how many points there are, how many were struck, and what was wrong."""

    points: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def torment(
    folder: Path, points: int | None = None, seed: int = 0, only: str = "", until: float = float("inf")
) -> Tally:
    """Strike each operation at all points, or at so many drawn at random for each kind of fault."""
    launcher.start_worker = lambda _: None  # type: ignore[assignment] # a worker would train for real
    disk, template = folder / "disk", folder / "template"
    workspace = prepare(template / "workspace")
    named = {"new": 2, "old": 1, "held": 3}
    prints = {name: fingerprint_of(make_model(folder / "made" / name, n)) for name, n in named.items()}
    chance, tally = random.Random(seed), Tally()

    def fresh() -> Workspace:
        shutil.rmtree(disk, ignore_errors=True)
        shutil.copytree(template, disk)
        return Workspace.open(disk / "workspace")

    for name, operation in OPERATIONS.items():
        if only and name != only:
            continue
        workspace = fresh()
        found = changes(lambda at=workspace, do=operation.act: do(at), disk)
        tally.points[name] = len(found)
        faults = [Fault("kill", number) for number in range(1, len(found) + 1)]
        kinds = [(kind, lasting) for kind in ERRORS for lasting in (False, True)]
        faults += [Fault(kind, n, lasting) for kind, lasting in kinds for n in range(1, len(found) + 1)]
        if points is not None:
            kills = [fault for fault in faults if fault.kind == "kill"]
            others = [fault for fault in faults if fault.kind != "kill"]
            faults = chance.sample(kills, min(points, len(kills))) + chance.sample(
                others, min(points, len(others))
            )
        for fault in faults:
            if time.monotonic() > until:
                return tally
            workspace = fresh()
            before = look(workspace)
            tally.struck[name] += 1
            try:
                _one(workspace, operation, fault, before, prints, disk)
            except AssertionError as error:
                tally.problems.append(f"{name}, {fault}: {error}")
            except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
                tally.problems.append(f"{name}, {fault}: {type(error).__name__}: {error}")
    return tally


def _one(
    workspace: Workspace,
    operation: Operation,
    fault: Fault,
    before: Seen,
    prints: dict[str, str],
    disk: Path,
) -> None:
    ended = strike(lambda: operation.act(workspace), disk, fault)
    assert ended.foreseen, f"at {ended.at!r} it ended with {ended.error}"
    _compare(before, look(workspace), operation, prints, f"at {ended.at!r}")
    with contextlib.suppress(SailsError):  # it says that it is done
        operation.act(workspace)
    assert operation.done(workspace, before), f"after {ended.at!r} it cannot be done again"
    _compare(before, look(workspace), operation, prints, f"done again after {ended.at!r}")
    models.remove_leftovers(workspace)
    _compare(before, look(workspace), operation, prints, f"with what {ended.at!r} left removed")


def _compare(before: Seen, now: Seen, operation: Operation, prints: dict[str, str], when: str) -> None:
    allowed = {prints.get(name) for name in operation.current}
    assert now.current in allowed, f"{when}, another model is current: {now.current}"
    goes = {prints.get(name, name) for name in operation.goes}
    for kind in ("models", "sessions", "datasets", "corrections"):
        lost = getattr(before, kind) - getattr(now, kind) - goes
        assert not lost, f"{when}, {kind} vanished: {sorted(lost)}"


# --- a training -----------------------------------------------------------------------------------


def torment_training(
    folder: Path, base: Path, points: int, seed: int = 0, *, export: bool = False, until: float = float("inf")
) -> Tally:
    """Strike the worker of a training, that saves a checkpoint after each step, at points drawn at random."""
    kill9.import_everything()
    trainer: Any = importlib.import_module("sails.training.trainer")
    trainer.CHECKPOINT_SECONDS = 0.0
    launcher.start_worker = lambda _: None  # type: ignore[assignment]
    disk, template, chance, tally = folder / "disk", folder / "template", random.Random(seed), Tally()
    add_dataset(Workspace.open(template / "w"), write_lesson(folder / "lesson.json", rows=6))
    name = "train and export" if export else "train"

    def fresh() -> tuple[Workspace, Session]:
        shutil.rmtree(disk, ignore_errors=True)
        shutil.copytree(template, disk)
        workspace = Workspace.open(disk / "w")
        return workspace, _submit_training(workspace, base, export)

    _, session = fresh()
    count = len(changes(lambda: kill9.be_the_worker(session), disk))
    tally.points[name] = count
    for _ in range(points):
        if time.monotonic() > until:
            return tally
        kind, lasting = chance.choice(("kill", "kill", *ERRORS)), chance.random() < 0.5
        fault = Fault(kind, chance.randint(1, count), lasting and kind != "kill")
        workspace, session = fresh()
        tally.struck[name] += 1
        try:
            ended = strike(lambda at=session: kill9.be_the_worker(at), disk, fault)
            assert ended.foreseen, f"at {ended.at!r} it ended with {ended.error}"
            _goes_on(workspace, session, base, export, f"after {ended.at!r}")
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            tally.problems.append(f"{name}, {fault}: {type(error).__name__}: {error}")
    return tally


def _submit_training(workspace: Workspace, base: Path, export: bool) -> Session:
    settings = Settings(epochs=1, batch_size=3, seed=1, protect=0.0)
    return jobs.submit_training(workspace, "lesson", settings, model_name=str(base), export=export)


def _goes_on(workspace: Workspace, session: Session, base: Path, export: bool, when: str) -> None:
    seen = look(workspace)
    assert session.id in seen.sessions, f"{when}, the session vanished"
    status = session.status()
    assert status.state in ("queued", "interrupted", "failed", "succeeded"), f"{when}, it is {status.state}"
    assert (status.verdict == "published") == (seen.current is not None), f"{when}, its verdict is not true"
    if status.resumable:
        sessions.resume(workspace, session)
    elif status.state == "failed" and status.verdict is None:
        session = _submit_training(workspace, base, export)
    child = strike(lambda: kill9.be_the_worker(session), workspace.root, Fault("EIO", 10**9))
    assert not child.error, f"{when}, the next worker ended with {child.error}"
    assert session.status().verdict == "published", f"{when}, it does not go on: {session.status().failure}"
    assert look(workspace).current == session.status().fingerprint


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, help="of each operation, drawn at random (all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", choices=["", *OPERATIONS])
    parser.add_argument("--training", type=int, default=0, metavar="POINTS", help="strike trainings instead")
    parser.add_argument("--export", action="store_true", help="with --training: with its ONNX model")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    wanted = parser.parse_args()
    began = time.monotonic()
    with folder_in_memory() as folder:
        until = began + wanted.seconds
        if wanted.training:
            base = kill9.in_a_child(lambda: make_tiny_model(folder / "base", "gpt2"), folder / "base")
            tally = torment_training(
                folder, base, wanted.training, wanted.seed, export=wanted.export, until=until
            )
        else:
            tally = torment(folder, wanted.points, wanted.seed, wanted.only, until)
    print(f"{'operation':20} {'points':>7} {'struck':>7}")
    for name, number in tally.points.items():
        print(f"{name:20} {number:7} {tally.struck[name]:7}")
    print(f"{sum(tally.struck.values())} faults in {time.monotonic() - began:.0f} s")
    print(f"{len(tally.problems)} problems")
    for problem in tally.problems[:40]:
        print(f"  {problem}")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
