"""Queue a training."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sails import data, sessions, system
from sails.jobs import launcher
from sails.models import VARIANTS, Variant, Workspace, workspaces_in
from sails.sessions import Advice, Session, Settings, Start, TrainSpec
from sails.training.plan import Choices, check_device, checked_name, expect, plan_training


@system.changes("start a training", what="dataset")
def submit_training(
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
    system.check_trainings(lambda: _started_by(system.actor(), workspace))
    system.check_room(workspace.root)
    check_device(settings.device)
    workspace.check_publishable()
    expected = expect(workspace)  # looked at first: what changes then is seen
    plan = plan_training(
        workspace,
        start=start,
        model_name=model_name,
        learning_rate=settings.learning_rate,
        advice=advice,
        expected=expected,
    )
    report = data.report_of(workspace, dataset)
    title = name or dataset
    with system.short_lock(workspace.root / "sessions.lock"):
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
            plan=plan,
            planned_for=expected.situation.trained.fingerprint,
            export=export,
            verify=verify,
            opset=opset,
            variants=variants,
            trained_model=workspace.trained_model,
            onnx_model=workspace.onnx_model,
        )
        session = sessions.create(workspace.sessions, spec)
    sessions.enqueue(workspace, session)
    launcher.dispatch(workspace)
    return session


def _started_by(who: str, workspace: Workspace) -> int:
    """How many trainings of this person wait or run, here and in the workspaces beside."""
    roots = {workspace.root, *workspaces_in(system.allowed_root(Workspace.usual_root()))}
    return sum(_unfinished(who, root) for root in roots)


def _unfinished(who: str, root: Path) -> int:
    records = sessions.read_history(Workspace(root, root / "trained_model", root / "onnx_model"))
    return sum(not record.ended and record.spec.started_by == who for record in records)


@system.changes("start a training")
def start_training(workspace: Workspace, choices: Choices) -> Session:
    """Queue that training and start it if nothing else trains. Raises `SailsError` before anything starts."""
    name = checked_name(choices.name)
    dataset = data.combine(workspace, choices.datasets)
    return submit_training(
        workspace,
        dataset.name,
        choices.settings,
        name=name or None,
        start=choices.start,
        model_name=choices.model_name,
        export=choices.export,
        verify=choices.export,
        advice=choices.advice,
    )
