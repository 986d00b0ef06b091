"""What the other files of a session tell, where its spec or its status is damaged.

It stays in the history, and a model that waits in its folder can still be published.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from sails.models import Workspace, inspect_model, list_versions
from sails.sessions.spec import AnySpec, TrainSpec
from sails.sessions.status import Failure, Status

UNKNOWN = "unknown"  # the dataset of a session whose spec is damaged
LOST_SPEC = "Its file spec.json is damaged, so what was asked of it is lost."
LOST_STATUS = "Its file status.json is damaged, so what was measured and decided is lost."
REMEDY = "Put the file back from a backup, or start the session anew."


def spec_from_rest(folder: Path) -> TrainSpec:
    """Return what the name of a session's folder tells of its spec, and where its models are by default."""
    root = folder.parent.parent
    begun = re.match(r"(\d{8}-\d{6})-(.+)", folder.name)
    try:
        created = datetime.strptime(begun[1] if begun else "", "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        created = datetime.fromtimestamp(folder.stat().st_ctime, UTC)
    return TrainSpec(
        id=folder.name,
        name=begun[2] if begun else folder.name,
        created=created,
        dataset=UNKNOWN,
        rows=0,
        trained_model=root / "trained_model",
        onnx_model=root / "onnx_model",
    )


def status_from_rest(folder: Path, spec: TrainSpec, *, can_resume: bool) -> Status:
    """Return where a session stands by the models that are here; one that waits in its folder is *held*."""
    candidate = inspect_model(folder / "model")
    if candidate.complete:
        return _ended(
            "succeeded", verdict="held", verdict_reason=LOST_STATUS, fingerprint=candidate.fingerprint
        )
    workspace = Workspace(folder.parent.parent, spec.trained_model, spec.onnx_model)
    made = {version.id: version.fingerprint for version in list_versions(workspace)}
    current = workspace.situation().trained
    if current.session == folder.name or folder.name in made:
        fingerprint = current.fingerprint if current.session == folder.name else made[folder.name]
        return _ended("succeeded", verdict="published", fingerprint=fingerprint)
    if can_resume:
        return _ended("interrupted")
    return _ended("failed", failure=Failure(kind="workspace", message=LOST_STATUS, remedy=REMEDY))


def is_from_rest(spec: AnySpec) -> bool:
    """Tell whether a spec is what `spec_from_rest` gave, so that nobody knows what was to be taught."""
    return isinstance(spec, TrainSpec) and (spec.dataset, spec.rows) == (UNKNOWN, 0)


def tells_of_damage(status: Status) -> bool:
    """Tell whether one of the notes of a session says that a file of it was lost, be it mended or not."""
    return any(lost in note for note in status.notes for lost in (LOST_SPEC, LOST_STATUS))


def with_note(spec: AnySpec, status: Status) -> Status:
    """Return the status with a note where the spec is what `spec_from_rest` gave."""
    if not is_from_rest(spec):
        return status
    return status.model_copy(update={"notes": (f"⚠️ {LOST_SPEC}", *status.notes)})


def _ended(state: str, **fields: object) -> Status:
    return Status.model_validate({"state": state, "phase": "done", "notes": (f"⚠️ {LOST_STATUS}",), **fields})
