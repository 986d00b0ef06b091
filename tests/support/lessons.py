"""A workspace whose model was taught a lesson, and what was measured for the next one, without waiting."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sails import sessions
from sails.data import Register, write_jsonl
from sails.jobs import lr_finder
from sails.models.workspace import Workspace
from sails.sessions import Advice, Session, Status, TrainSpec, Trial
from sails.training import mixture
from sails.training.plan.request import Choices
from tests.support.helpers import add_dataset, write_lesson
from tests.support.situations import published


def taught_workspace(folder: Path, tiny: Path) -> Workspace:
    """A workspace whose model is the tiny one, as if a session had taught it about mountains."""
    workspace = Workspace.open(folder / "workspace")
    lesson = add_dataset(workspace, write_lesson(folder / "mountains.json"))
    shutil.copytree(tiny, workspace.trained_model)
    fingerprint = workspace.situation().trained.fingerprint
    spec = TrainSpec(
        id="20260105-090000-mountains",
        name="mountains",
        created=datetime(2026, 1, 5, 9, tzinfo=UTC),
        dataset=lesson,
        rows=28,
        trained_model=workspace.trained_model,
        onnx_model=workspace.onnx_model,
    )
    session = sessions.create(workspace.sessions, spec)
    session.write_status(Status.model_validate(published(fingerprint=fingerprint, lessons=())))
    parts = mixture.peek(workspace, lesson)
    Register.load(workspace.register).record(
        held=[row.input_fingerprint for row in parts.held_out],
        taught=[row.input_fingerprint for row in parts.train],
        session=session.id,
    )
    session.data.mkdir()
    write_jsonl(session.data / "train.jsonl", parts.train)
    return workspace


def measured(workspace: Workspace, choices: Choices, rate: float | None = 5e-5, **changes: Any) -> Session:
    """A job that ended with this advice, without any measuring; its worker must not be started."""
    job = lr_finder.start_measurement(workspace, choices)
    figures = (  # learning rate, losses on new and earlier rows, divergence on general prompts
        (1e-5, 1.9, 1.0, 0.01),
        (2e-5, 1.8, 0.99, 0.012),
        (5e-5, 1.5, 1.0, 0.02),
        (1e-4, 1.2, 1.2, 0.03),
        (2e-4, 1.1, 1.5, 0.05),
    )
    trials = tuple(
        Trial(learning_rate=tried, steps=8, new_loss=new, old_loss=old, general_loss=general)
        for tried, new, old, general in figures
    )
    before = {"new_loss": 2.0, "old_loss": 1.0, "general_loss": 0.01}
    said = {**before, "trials": trials, "reason": "It was tried.", "seconds": 41.0, **changes}
    advice = Advice(learning_rate=rate, **said)
    status = job.written_status()
    results = status.results.model_copy(update={"advice": advice})
    job.write_status(status.model_copy(update={"state": "succeeded", "results": results}))
    return job
