"""What becomes of a candidate: published, held back or discarded; and a session run once more.

A person decides about one that was held back. Nothing is lost by any of these: a discarded candidate stays
with its session and can still become the current model.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Literal

from sails import models, retention, system
from sails.errors import RequestError
from sails.jobs.submit import submit_training
from sails.models import VARIANTS, Workspace, inspect_model
from sails.retention import replay_count
from sails.sessions import (
    Reporter,
    Session,
    SessionRecord,
    Settings,
    Status,
    TrainSpec,
    checked_settings,
    option,
)

STEP = 0.05  # of a share


@system.changes("discard a held model", what="session")
def discard(workspace: Workspace, session: Session) -> None:
    """Leave the current model in place of the candidate, whose files stay with its session.

    Raises `RequestError` unless the session holds a candidate, and `BusyError` while a session trains.
    """
    with models.exclusive_training(workspace):
        status = session.status()
        if status.verdict != "held" or not inspect_model(session.model).complete:
            problem = f"{session.id} holds no candidate."
            raise RequestError(problem, "Only a model that was held back can be discarded.")
        decided = {"verdict": "discarded", "decided_by": system.actor()}
        session.write_status(status.model_copy(update=decided))


def higher(name: Literal["replay_share", "protect"], share: float) -> float | None:
    """A higher share: the usual one instead of zero, else half way to the highest; None at the highest."""
    highest = option(name).high or 1.0
    if share >= highest:
        return None
    wanted = (share + highest) / 2 if share else getattr(Settings(), name)
    return min(highest, round(math.ceil(wanted / STEP - 1e-9) * STEP, 2))


def settings_to_try(workspace: Workspace, record: SessionRecord) -> dict[str, float]:
    """The settings with which the lesson would cost less of what it cost; empty when none can be higher.

    General knowledge that it lost asks for more `protect`, anything else for more `replay_share`.
    """
    if not isinstance(record.spec, TrainSpec):
        return {}
    measured = retention.retention_if_readable(record.session)
    lost = [finding for finding in retention.findings(measured) if finding.lost]
    shares = {}
    if any(finding.is_general for finding in lost):
        shares["protect"] = higher("protect", record.spec.settings.protect)
    if not lost or any(not finding.is_general for finding in lost):
        shares["replay_share"] = _replay_to_try(workspace, record, record.spec.settings)
    return {name: share for name, share in shares.items() if share is not None}


def _replay_to_try(workspace: Workspace, record: SessionRecord, settings: Settings) -> float | None:
    """The share with which the lesson would repeat more than it did; None when no more can be repeated."""
    if settings.teach_again:
        return None
    now, ids = settings.replay_share, record.status.lessons or ()
    train = retention.lesson_rows(workspace, record.session.id).taught
    old = retention.replayable_rows(retention.all_lesson_rows(workspace, ids, train), train)
    total, more = sum(map(len, old.values())), higher("replay_share", now)
    if more is None or replay_count(len(train), total, more) <= replay_count(len(train), total, now):
        return None
    return more


def taught_since(workspace: Workspace, record: SessionRecord) -> tuple[str, ...]:
    """The names of the lessons that the current model was taught and this session's candidate was not."""
    current = retention.taught_to(workspace, workspace.situation().trained.fingerprint)
    own = {*(record.status.lessons or ()), record.session.id}
    found = retention.lessons_of(workspace, [identity for identity in current if identity not in own])
    return tuple(lesson.name for lesson in found)


def train_again(workspace: Workspace, record: SessionRecord) -> Session:
    """Queue the session's lesson once more, with `settings_to_try`; returns the new session.

    Raises `RequestError` when there are none, and what `run_again` raises.
    """
    changes = settings_to_try(workspace, record)
    if not changes:
        problem = f"{record.spec.id} cannot repeat or protect more of what it knew."
        raise RequestError(problem, "Choose a lower learning rate instead.")
    return run_again(workspace, record, **changes)


def was_published(workspace: Workspace, status: Status) -> bool:
    """Tell whether a resumed session's candidate is, or was, the current model already."""
    if status.verdict == "published":
        return True
    current = workspace.situation().trained.fingerprint
    known = {current, *(version.fingerprint for version in models.list_versions(workspace))}
    return status.fingerprint is not None and status.fingerprint in known


def why_held(workspace: Workspace, session: Session, spec: TrainSpec, reporter: Reporter) -> str | None:
    """Return why a candidate must not become the current model by itself; None when it may."""
    status, settings = reporter.status, spec.settings
    measured = retention.retention_if_readable(session)
    decision = measured.decision if measured else None
    lost = f" {decision.reason}" if decision and decision.held else ""
    if workspace.situation().trained.fingerprint != status.replaces:
        return f"The current model changed while this session was interrupted.{lost}"
    if status.guarded:
        return f"{status.guarded}{lost}"
    if settings.publish == "never":
        return f"It was asked not to replace the current model by itself.{lost}"
    if decision is None:
        return "What it remembers could not be read." if settings.publish == "gate" else None
    if decision.held and settings.publish == "always":
        reporter.note(f"⚠️ {decision.reason} It was published all the same, as asked.")
        return None
    return decision.reason if decision.held else None


@system.changes("publish a held model", what="session")
def publish_held(workspace: Workspace, session: Session) -> None:
    """A person's decision for a candidate that was held or discarded. Raises `RequestError` without one."""
    status = session.status()
    if status.verdict not in ("held", "discarded") or not inspect_model(session.model).complete:
        is_published = status.verdict == "published"
        problem = f"{session.id} {'is published already' if is_published else 'holds no candidate'}."
        raise RequestError(problem, "Only a model that was held back can be published.")
    session.check_place()
    with models.exclusive_training(workspace):
        publish_candidate(workspace, session, status)
        decided = {"verdict": "published", "decided_by": system.actor()}
        session.write_status(status.model_copy(update=decided))


def publish_candidate(workspace: Workspace, session: Session, status: Status) -> None:
    """Make a session's candidate the current model; the one before becomes a version."""
    base, now = status.plan.base if status.plan else None, datetime.now(UTC)
    provenance = models.Provenance(
        session=session.id,
        base=base,
        parent=status.parent,
        tokenizer=models.tokenizer_digest(session.model),
        created=now,
    )
    models.publish_model(workspace, session.model, provenance)


def run_again(workspace: Workspace, record: SessionRecord, **changes: Any) -> Session:
    """Queue a new session like this one, with `changes` to its `Settings`; returns it.

    It starts from what a session would start from now, unless this one was told where to start. Raises
    `RequestError` for a setting that cannot be and `WorkspaceError` when the dataset is gone.
    """
    spec = record.spec
    if not isinstance(spec, TrainSpec):
        raise RequestError(f"{spec.id} is no training session.", "Only a training can be run again.")
    return submit_training(
        workspace,
        spec.dataset,
        checked_settings(spec.settings, **changes),
        name=spec.name,
        start=spec.start,
        model_name=spec.model_name,
        export=spec.export,
        verify=spec.verify,
        opset=spec.opset,
        variants=spec.variants if "variants" in spec.model_fields_set else VARIANTS,
    )
