"""Jobs that make ONNX models, for the page and the command line alike: start, find, follow, pack.

A job never takes the training lock, so models can be exported while a session trains. Two jobs never write
one folder at a time: the second is refused. What an export does is `sails.worker`'s and `sails.onnx`'s part.
"""

from __future__ import annotations

import shutil
import time
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

from sails import access, base_models, locks, placing, sessions, worker
from sails.errors import BusyError, RequestError, SailsError
from sails.launchers import local
from sails.onnx.export import LARGEST_OPSET, SMALLEST_OPSET
from sails.sessions import ExportSpec, Record, Session, Status
from sails.speakers import BASE, CURRENT, Speaker
from sails.variants import VARIANTS, Variant
from sails.workspace import Situation, Workspace, inspect_model, resolve

OPSETS = range(SMALLEST_OPSET, LARGEST_OPSET + 1)
PACKING_MEMORY = 2.2  # times the size of what is packed: once packed, once on its way to the browser

# --- starting -------------------------------------------------------------------------------------


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
    access.require_changes()
    state = workspace.situation().trained
    if not state.complete:
        raise RequestError(
            f"There is no complete model in {workspace.trained_model} ({state.reason or 'it is missing'}).",
            "Train one first: on the page Train, or with sails train --data-file FILE",
        )
    if opset is not None and opset < 1:
        raise RequestError(f"{opset} is no ONNX opset.", f"Choose one from {OPSETS[0]} to {OPSETS[-1]}.")
    return _start(
        workspace,
        name="export",
        model=str(workspace.trained_model),
        onnx_output=workspace.onnx_model,
        verify=verify,
        opset=opset,
        variants=variants,
        **_own_questions(workspace, state.fingerprint, verify),
    )


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
    access.require_changes()
    base_models.find(name)
    return _start(
        workspace,
        kind="baseline",
        name="baseline",
        model=name,
        onnx_output=target,
        verify=verify,
        variants=variants,
    )


def export_for(workspace: Workspace, speaker: Speaker) -> Session:
    """Start the job that lets this speaker answer, in both variants, verified; raises as `export_current`."""
    access.require_changes()
    if speaker.key == CURRENT:
        return export_current(workspace)
    if speaker.readiness == "impossible":
        raise RequestError(f"{speaker.title} is not complete, so it cannot answer.", "Choose another one.")
    if speaker.key == BASE:
        return export_base(workspace, speaker.model, speaker.onnx)
    fingerprint = inspect_model(Path(speaker.model)).fingerprint
    return _start(
        workspace,
        name="export",
        model=speaker.model,
        onnx_output=speaker.onnx,
        verify=True,
        variants=VARIANTS,
        **_own_questions(workspace, fingerprint, verify=True),
    )


def keep_failed(place: Workspace | Path, variant: Variant) -> None:
    """Put a variant that is kept apart, because its certificate failed, in its place all the same.

    A person's deliberate choice. `place` is a workspace, or an ONNX folder. The failed certificate goes with
    it. Raises `RequestError` when none is kept apart.
    """
    access.require_changes()
    placing.keep_failed(_onnx_of(place), variant)


def discard_failed(place: Workspace | Path, variant: Variant) -> None:
    """Delete a variant that is kept apart; raises `RequestError` when there is none."""
    access.require_changes()
    placing.discard_failed(_onnx_of(place), variant)


def _onnx_of(place: Workspace | Path) -> Path:
    return place.onnx_model if isinstance(place, Workspace) else place


def _own_questions(workspace: Workspace, fingerprint: str | None, verify: bool) -> dict[str, Any]:
    """The person's own questions with their answers, for the spec of an export that is verified."""
    rows = worker.verification_rows(workspace, fingerprint) if verify else []
    return {"prompts": tuple(row.input for row in rows), "answers": tuple(row.output for row in rows)}


def _start(
    workspace: Workspace, *, kind: Literal["export", "baseline"] = "export", name: str, **fields: Any
) -> Session:
    if not fields["variants"]:
        raise RequestError("No variant of the ONNX model was chosen.", "Choose one or both.")
    with locks.short_lock(workspace.root / "jobs.lock"):
        if at_work(workspace, fields["onnx_output"]):
            raise BusyError(
                "This ONNX model is being made already.", "Wait until it is done, or stop it first."
            )
        spec = ExportSpec(
            kind=kind,
            id=sessions.free_id(workspace.jobs, name),
            name=name,
            created=datetime.now(UTC),
            **fields,
        )
        return local.submit_export(workspace, spec)


# --- following ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """An export job as it is now. A worker that never came up is told from one that just starts."""

    session: Session
    spec: ExportSpec
    status: Status

    @property
    def at_work(self) -> bool:
        return self.status.state in ("queued", "running")

    @property
    def seconds(self) -> float | None:
        return Record(self.session, self.spec, self.status).seconds


def read_job(session: Session) -> Job:
    """Raises `RequestError` when it is no export job, `WorkspaceError` when it is none at all."""
    spec, status = session.spec(), session.status()
    if not isinstance(spec, ExportSpec):
        raise RequestError(f"{session.id} is no export.", "Choose one from the list of exports.")
    if status.state == "queued" and not _comes_up(session, status):
        status = status.model_copy(update={"state": "interrupted"})
    return Job(session, spec, status)


def _comes_up(session: Session, status: Status) -> bool:
    age = time.time() - status.queued.timestamp() if status.queued else 0.0
    return age < sessions.START_SECONDS or locks.is_held(session.lock)


def jobs(workspace: Workspace) -> list[Job]:
    """All export jobs, newest first; a damaged one is left out."""
    found = []
    for path in sorted(workspace.jobs.glob("*/spec.json"), reverse=True):
        try:
            found.append(read_job(Session(path.parent)))
        except SailsError:
            continue
    return found


def at_work(workspace: Workspace, target: Path) -> Job | None:
    """The job that makes the ONNX model in `target` right now."""
    return next((job for job in jobs(workspace) if job.at_work and job.spec.onnx_output == target), None)


def stop(workspace: Workspace, job: Session) -> None:
    """Ask a job to end after the piece of work that it is in; raises `RequestError` when it has ended."""
    sessions.stop(workspace, job)


# --- what there is --------------------------------------------------------------------------------

Freshness = Literal["missing", "fresh", "stale", "unknown", "orphaned"]


def freshness(situation: Situation) -> Freshness:
    """How the ONNX model stands to the trained one.

    *stale*: made from an earlier model; *unknown*: nobody noted from which; *orphaned*: the trained model
    that it was made from is not here, and no other complete one is either.
    """
    onnx = situation.onnx
    if not onnx.present:
        return "missing"
    if onnx.stale is None:
        return "unknown"
    if not onnx.stale:
        return "fresh"
    return "stale" if situation.trained.complete else "orphaned"


# --- taking a model away --------------------------------------------------------------------------


def packed_size(folder: Path) -> int:
    """Bytes of the files that `pack` takes."""
    return sum(path.stat().st_size for path in _files(resolve(folder)))


def check_room_for_packing(folder: Path) -> None:
    """Raises `RequestError` when the zip file of an ONNX folder does not fit into memory."""
    needed, free = packed_size(folder) * PACKING_MEMORY, locks.available_memory()
    if needed > free:
        raise RequestError(
            f"The download takes {needed / 1e6:,.0f} MB of memory, and {free / 1e6:,.0f} MB are free.",
            f"Copy the folder {folder} instead.",
        )


def pack(folder: Path, stream: BinaryIO) -> None:
    """Write an ONNX folder as a zip file into `stream`, piece by piece and without compressing: weights are
    noise to a compressor. Raises `BusyError` when the folder is replaced meanwhile."""
    source = resolve(folder)
    before = source.stat()
    try:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for path in _files(source):
                name = f"{folder.name}/{path.relative_to(source).as_posix()}"
                entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
                with open(path, "rb") as file, archive.open(entry, "w", force_zip64=True) as member:
                    shutil.copyfileobj(file, member, 1 << 20)
        after = resolve(folder).stat()
    except FileNotFoundError:
        after = None
    if after is None or (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino):
        raise BusyError("The ONNX model was replaced while it was packed.", "Download it again.")


def packed(folder: Path) -> BytesIO:
    """The zip file of an ONNX folder in memory, once. Raises `RequestError` when it does not fit there."""
    check_room_for_packing(folder)
    stream = BytesIO()
    pack(folder, stream)
    return stream


def _files(folder: Path) -> list[Path]:
    """Everything in an ONNX folder, also one level below, but for what is hidden."""
    found = [*folder.glob("[!.]*"), *folder.glob("[!.]*/[!.]*")]
    return sorted(path for path in found if path.is_file())
