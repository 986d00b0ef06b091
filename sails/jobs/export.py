"""Jobs that make ONNX models, for the page and the command line alike: start, find, follow.

A job never takes the training lock, so models can be exported while a session trains. Two jobs never write
one folder at a time: the second is refused. What an export does is `sails.jobs.train`'s and `sails.onnx`'s
part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sails import models, sessions, system
from sails.chat import BASE, CURRENT, ChatModel
from sails.data import Conversation, read_jsonl
from sails.errors import BusyError, RequestError, SailsError
from sails.jobs.launcher import launcher_for
from sails.models import (
    FULL_PRECISION,
    VARIANTS,
    Freshness,
    ModelState,
    Situation,
    Variant,
    VariantState,
    Workspace,
    inspect_model,
)
from sails.onnx import MAX_OPSET, MIN_OPSET, ConversionOrder, convert_model
from sails.onnx.certify import Certificate
from sails.sessions import ExportSpec, Reporter, Session, SessionRecord

OPSETS = range(MIN_OPSET, MAX_OPSET + 1)
VERIFIED_PROMPTS = 64

# --- starting -------------------------------------------------------------------------------------


@system.changes("make the ONNX model")
def export_current(
    workspace: Workspace,
    *,
    verify: bool = True,
    opset: int | None = None,
    variants: tuple[Variant, ...] = VARIANTS,
) -> Session:
    """Start a job that makes these variants of the current model's ONNX model.

    `opset` None leaves it to the exporter, which also replaces one that it cannot write and says so. Raises
    `RequestError` when there is no complete model, no variant or the opset is no number of one, `BusyError`
    while another job makes it.
    """
    state = workspace.situation().trained
    if not state.complete:
        raise RequestError(
            f"There is no complete model in {workspace.trained_model} ({state.reason or 'it is missing'}).",
            "Train one first: on the page Train, or with sails train --data-file FILE",
        )
    if opset is not None and opset < 1:
        raise RequestError(f"{opset} is no ONNX opset.", f"Choose one from {OPSETS[0]} to {OPSETS[-1]}.")
    rows = verification_rows(workspace, state.fingerprint) if verify else []
    return _start(
        workspace,
        "export",
        rows,
        model=str(workspace.trained_model),
        onnx_output=workspace.onnx_model,
        verify=verify,
        opset=opset,
        variants=variants,
    )


@system.changes("make the ONNX model", what="name")
def export_base(
    workspace: Workspace,
    name: str,
    target: Path,
    *,
    verify: bool = True,
    variants: tuple[Variant, ...] = VARIANTS,
) -> Session:
    """Start a job that fetches a base model where necessary and makes its ONNX model in `target`.

    It is verified on the questions that never change. Raises `RequestError` for a name that is no base model,
    `BusyError` as `export_current`.
    """
    models.find_base_model(name)
    Workspace.open(workspace.root, onnx_output=target)  # refuses a place that is not for it
    return _start(
        workspace,
        "baseline",
        kind="baseline",
        model=name,
        onnx_output=target,
        verify=verify,
        variants=variants,
    )


@system.changes("make the ONNX model")
def export_for(workspace: Workspace, model: ChatModel) -> Session:
    """Start the job that lets this model answer, in all variants, verified; raises as `export_current`."""
    if model.key == CURRENT:
        return export_current(workspace)
    if model.readiness == "impossible":
        raise RequestError(f"{model.title} is not complete, so it cannot answer.", "Choose another one.")
    if model.key == BASE:
        return export_base(workspace, model.model, model.onnx)
    rows = verification_rows(workspace, inspect_model(Path(model.model)).fingerprint)
    return _start(
        workspace,
        "export",
        rows,
        model=model.model,
        onnx_output=model.onnx,
        verify=True,
        variants=VARIANTS,
    )


def _start(workspace: Workspace, name: str, rows: Sequence[Conversation] = (), **fields: Any) -> Session:
    """Start an export that is verified on these rows: the person's own questions with their answers."""
    if not fields["variants"]:
        raise RequestError("No variant of the ONNX model was chosen.", "Choose one or more.")
    with system.short_lock(workspace.root / "jobs.lock"):
        if running_export(workspace, fields["onnx_output"]):
            problem = "This ONNX model is being made already."
            raise BusyError(problem, "Wait until it is done, or stop it first.")
        fields |= {"id": sessions.free_id(workspace.jobs, name), "name": name, "created": datetime.now(UTC)}
        prompts, answers = (row.input for row in rows), (row.output for row in rows)
        spec = ExportSpec(prompts=tuple(prompts), answers=tuple(answers), **fields)
        session = sessions.create(workspace.jobs, spec)
    launcher_for(session).submit(session)  # it does not wait for the queue
    return session


# --- following ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job(SessionRecord):
    """An export job as it is now. A worker that never came up is told from one that just starts."""

    spec: ExportSpec

    @property
    def at_work(self) -> bool:
        return self.status.state in ("queued", "running")


def read_job(session: Session) -> Job:
    """Read an export job. Raises `RequestError` when it is another one, `WorkspaceError` when it is none."""
    spec, status = session.spec(), session.status()
    if not isinstance(spec, ExportSpec):
        raise RequestError(f"{session.id} is no export.", "Choose one from the list of exports.")
    if status.state == "queued" and launcher_for(session).state(session) == "absent":
        status = status.model_copy(update={"state": "interrupted"})
    return Job(session, spec, status)


def export_jobs(workspace: Workspace) -> list[Job]:
    """Return all export jobs, newest first; a damaged one is left out."""
    jobs = []
    for path in sorted(workspace.jobs.glob("*/spec.json"), reverse=True):
        with contextlib.suppress(SailsError):
            jobs.append(read_job(Session(path.parent)))
    return jobs


def running_export(workspace: Workspace, target: Path) -> Job | None:
    """Return the job that makes the ONNX model in `target` right now."""
    at_work = (job for job in export_jobs(workspace) if job.at_work)
    return next((job for job in at_work if job.spec.onnx_output == target), None)


def exporter_of(workspace: Workspace, certificate: Certificate) -> str:
    """Return who started the export or the training behind a certificate; empty where nobody noted it."""
    for record in (*export_jobs(workspace), *reversed(sessions.read_history(workspace))):
        made = record.status.results.certificates.get(certificate.variant, {})
        if (made.get("created"), made.get("source_fingerprint")) == (
            certificate.created,
            certificate.source_fingerprint,
        ):
            return system.name_of(record.spec.started_by)
    return ""


# --- what there is --------------------------------------------------------------------------------


def freshness(workspace: Workspace, situation: Situation) -> Freshness:
    """Tell how the ONNX model stands to the trained one.

    *stale*: made from a model that the trained one grew from; *newer*: from one that grew from the trained
    one; *other*: from neither; *unknown*: nobody noted from which; *orphaned*: the trained model that it was
    made from is not here, and no other complete one is either.
    """
    onnx = situation.onnx
    return _freshness(workspace, onnx.present, onnx.stale, onnx.fingerprint, situation.trained)


def freshness_of(workspace: Workspace, variant: VariantState, trained: ModelState) -> Freshness:
    """Tell how one variant stands to the trained model, in the words of `freshness`."""
    return _freshness(workspace, variant.present, variant.stale, variant.fingerprint, trained)


def answering_freshness(workspace: Workspace, model: ChatModel) -> Freshness:
    """Tell how the ONNX model through which the current model answers stands to it, in the same words."""
    state = model.variants[model.variant or FULL_PRECISION]
    return freshness_of(workspace, state, workspace.situation().trained)


_KINSHIPS: Mapping[str, Freshness] = {"earlier": "stale", "later": "newer", "other": "other"}


def _freshness(
    workspace: Workspace, present: bool, stale: bool | None, fingerprint: str | None, trained: ModelState
) -> Freshness:
    if not present:
        return "missing"
    if stale is None:
        return "unknown"
    if not stale:
        return "fresh"
    if not trained.complete:
        return "orphaned"
    return _KINSHIPS[sessions.kinship(workspace, fingerprint, trained.fingerprint)]


def to_refresh(trained: ModelState, found: Mapping[Variant, VariantState]) -> tuple[Variant, ...]:
    """The variants to make again because what lies there is not surely fresh; all when none is fresh."""
    fits = {variant: state.stale is False for variant, state in found.items() if state.present}
    old = tuple(variant for variant, fresh in fits.items() if not fresh)
    if not old or not trained.complete:
        return ()
    return old if any(fits.values()) else VARIANTS


# --- export ---------------------------------------------------------------------------------------


def run_export(job: Session, spec: ExportSpec, reporter: Reporter) -> None:
    """Make the ONNX models that a spec asks for, of one model folder or a base model."""

    def progress(fraction: float, *words: str) -> None:
        reporter.check_stop()
        reporter.progress(fraction, *words)

    job.check_place()
    models.recover_onnx(spec.onnx_output)
    reporter.check_stop()
    with reporter.phase("prepare"):
        base = spec.kind == "baseline"
        model = models.ensure_base_model(spec.model, progress) if base else Path(spec.model)
    with reporter.phase("export"):
        order = ConversionOrder(
            model=model,
            target=spec.onnx_output,
            variants=spec.variants,
            verify=spec.verify,
            opset=spec.opset,
            prompts=spec.prompts,
            answers=spec.answers,
        )
        convert_model(order, reporter, progress)


def verification_rows(workspace: Workspace, fingerprint: str | None) -> list[Conversation]:
    """Return questions with their answers for verifying the model with this fingerprint.

    Those that its lessons held out, the newest lesson first; where none were, what that one taught.
    """
    line = [record.session for record in reversed(sessions.ancestors(workspace, fingerprint))]
    rows = [row for session in line for row in _rows(session.data / "heldout.jsonl")]
    rows = rows or [row for session in line[:1] for row in _rows(session.data / "train.jsonl")]
    return list({row.fingerprint: row for row in rows}.values())[:VERIFIED_PROMPTS]


def _rows(path: Path) -> list[Conversation]:
    return read_jsonl(path) if path.exists() else []
