"""Start workers on this machine, each in a process group of its own, and keep the queue moving.

A worker outlives whoever started it. Stopping one is a request in its folder (`sails.sessions.stop`), so
nobody ever signals a process that might be somebody else's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sails import sessions
from sails.data import datasets as library
from sails.models import catalog as base_models
from sails.models.variants import VARIANTS, Variant
from sails.models.workspace import Workspace
from sails.sessions import Advice, ExportSpec, Session, Settings, TrainSpec
from sails.system import access, locks
from sails.training.plan import behavior
from sails.training.plan.behavior import Plan, Start

# OpenMP's threads spin while they wait for each other. On a machine that does anything else besides, that
# made a training step five times slower and more; sleeping costs little where nothing else runs.
PATIENT_THREADS = {"GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}


def plan_training(
    workspace: Workspace,
    *,
    start: Start = "auto",
    model_name: str | None = None,
    learning_rate: float | None = None,
    advice: Advice | None = None,
) -> Plan:
    """What a training started now would do; raises `RequestError` for choices that cannot be."""
    situation = workspace.situation()
    if model_name is not None:
        base_models.find(model_name)
    same = model_name is None or (
        situation.trained.base is not None and base_models.same(model_name, situation.trained.base)
    )
    return behavior.plan(
        situation,
        default_base=base_models.DEFAULT,
        model_name=model_name,
        same_base=same,
        start=start,
        learning_rate=learning_rate,
        advised=advice.learning_rate if advice else None,
    )


def submit(
    workspace: Workspace,
    dataset: str,
    settings: Settings,
    *,
    name: str | None = None,
    start: Start = "auto",
    model_name: str | None = None,
    export: bool = False,
    verify: bool = False,
    opset: int | None = None,
    variants: tuple[Variant, ...] = VARIANTS,
    advice: Advice | None = None,
) -> Session:
    """Queue a training session and start it if nothing else trains. Raises `RequestError` before that.

    With `export` it also makes these `variants` of the ONNX model, once its model is published.
    """
    access.require_changes()
    workspace.check_publishable()
    plan_training(workspace, start=start, model_name=model_name, learning_rate=settings.learning_rate)
    report = library.report_of(workspace, dataset)
    title = name or dataset
    with locks.short_lock(workspace.root / "sessions.lock"):
        spec = TrainSpec(
            id=sessions.free_id(workspace.sessions, title),
            name=title,
            created=datetime.now(UTC),
            dataset=dataset,
            rows=report.rows,
            start=start,
            model_name=model_name,
            settings=settings,
            advice=advice,
            export=export,
            verify=verify,
            opset=opset,
            variants=variants,
            trained_model=workspace.trained_model,
            onnx_model=workspace.onnx_model,
        )
        session = sessions.create(workspace.sessions, spec)
    sessions.enqueue(workspace, session)
    dispatch(workspace)
    return session


def submit_export(workspace: Workspace, spec_fields: ExportSpec) -> Session:
    """Start an export job; it does not wait for the queue."""
    session = sessions.create(workspace.jobs, spec_fields)
    start_worker(session)
    return session


def dispatch(workspace: Workspace) -> subprocess.Popen[bytes] | None:
    """Start the first in the queue if nothing trains. Anybody may call this at any time."""
    if access.view_only() or not sessions.waiting(workspace) or locks.is_held(workspace.training_lock):
        return None
    session = sessions.next_to_start(workspace)
    return start_worker(session) if session else None


def start_worker(session: Session) -> subprocess.Popen[bytes]:
    """Start `python -m sails.jobs.train SESSION_DIR`, detached, with its output in the session's log."""
    return start_module("sails.jobs.train", [str(session.folder)], session.log)


def start_module(module: str, arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start `python -m MODULE ARGUMENT…`, detached, with its output appended to `log`."""
    access.require_changes()
    package = Path(__file__).resolve().parents[2]
    paths = [str(package), os.environ.get("PYTHONPATH", "")]
    environment = {
        **PATIENT_THREADS,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return locks.start_detached([sys.executable, "-m", module, *arguments], log, environment)
