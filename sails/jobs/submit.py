"""Queue a training."""

from __future__ import annotations

from datetime import UTC, datetime

from sails import data, sessions, system
from sails.jobs import launcher
from sails.models import VARIANTS, Variant, Workspace
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
    with sessions.one_more_training(workspace), system.short_lock(workspace.root / "sessions.lock"):
        system.check_room(workspace.root)
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
