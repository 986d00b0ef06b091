"""What a training that is queued now will find when its turn comes: the models as those before it leave them.

expected = expect(workspace)
expected.after       # what the training is called that it waits for; empty when it starts at once
expected.situation   # the models as they will be then
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from sails import retention, sessions
from sails.errors import SailsError
from sails.models import ModelState, Situation, Workspace
from sails.sessions import Session, SessionRecord, TrainSpec


@dataclass(frozen=True)
class Expected:
    """The models when a training starts, and `before`, those of the trainings before it that make one.

    A model that is yet to be made has no fingerprint.
    """

    situation: Situation
    after: str = ""
    before: tuple[SessionRecord, ...] = ()


def expect(workspace: Workspace) -> Expected:
    """Return what is expected if all that run and wait end well: nothing is known of what a gate will say."""
    ahead = _ahead(workspace)
    situation = workspace.situation()
    before = tuple(record for record in ahead if _will_publish(workspace, record))
    for record in before:
        plan = record.status.plan or (record.spec.plan if isinstance(record.spec, TrainSpec) else None)
        trained = ModelState(workspace.trained_model, "complete", base=plan.base if plan else None)
        onnx = situation.onnx
        if isinstance(record.spec, TrainSpec) and record.spec.export:
            onnx = type(onnx)(onnx.path, "present")
        situation = Situation(trained, onnx)
    return Expected(situation, sessions.title(workspace, ahead[-1].session) if ahead else "", before)


def lessons_then(workspace: Workspace, expected: Expected) -> tuple[str, ...]:
    """Return the ids of the sessions whose lessons the model will have been taught then, oldest first."""
    ids = retention.taught_to(workspace, workspace.situation().trained.fingerprint)
    for record in expected.before:
        if record.status.lessons is not None:
            ids = record.status.lessons
        elif isinstance(record.spec, TrainSpec) and record.spec.plan:
            continues = record.spec.plan.start_from == "trained" or record.spec.settings.teach_again
            ids = ids if continues else ()
        ids = (*ids, record.session.id)
    return ids


def _ahead(workspace: Workspace) -> list[SessionRecord]:
    """The training that runs and those that wait, in their order."""
    running = sessions.running(workspace)
    ahead = [running] if running else []
    for entry in sessions.waiting(workspace):
        with contextlib.suppress(SailsError):
            record = sessions.record(Session(workspace.sessions / entry.id))
            if record.status.state == "queued":
                ahead.append(record)
    return ahead


def _will_publish(workspace: Workspace, record: SessionRecord) -> bool:
    """Whether it may yet make the model of this workspace, as far as it was asked."""
    spec = record.spec
    return (
        isinstance(spec, TrainSpec)
        and spec.trained_model == workspace.trained_model
        and spec.settings.publish != "never"
        and record.status.verdict is None
        and not record.session.stop_requested()
    )
