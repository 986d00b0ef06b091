"""What is wrong with the models of a workspace: the current one, earlier ones, held ones, ONNX models."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sails import models, sessions, system
from sails.doctor.finding import Finding, set_aside
from sails.models import EXPORT_RECORD, VARIANT_TITLES, VARIANTS, ExportRecord, Workspace, inspect_model
from sails.sessions import TrainSpec

ELSEWHERE = "Go back to an earlier model on the page Sessions, or put the folder back from a backup."
MAKE_AGAIN = "Make it again on the page ONNX export."


def changes(workspace: Workspace) -> Iterator[Finding]:
    """Changes of a model folder that a death cut short, and models that nobody would find any more."""
    for target, state in models.changes_cut_short(workspace).items():
        what = f"A change of {target.name} was cut short"
        finish = partial(models.finish_change, workspace, target)
        if state == "unfinished":
            repair = "It is carried out to its end, as its note says; no model is lost."
            yield Finding("change", "wrong", f"{what}.", target, repair, mend=finish)
        else:
            repair = "The note is set aside, and every whole model that lies there is kept."
            sentence = f"{what}, and the note that says what was to be done is damaged."
            yield Finding("change", "wrong", sentence, target, repair, mend=finish)
    for folder in models.stranded_models(workspace):
        yield Finding(
            "model",
            "wrong",
            "A whole model lies hidden beside the current one, where nothing shows it.",
            folder,
            "It becomes an earlier model, which can be rolled back to.",
            mend=partial(models.keep_stranded, workspace, folder),
        )


def trained(workspace: Workspace, *, thorough: bool) -> Iterator[Finding]:
    """The current model, earlier ones and those that wait for a decision, against what is noted of them.

    That the current one is incomplete is left out of a quick look: it is what every page begins with.
    """
    records = {record.session.id: record for record in sessions.read_history(workspace)}
    current = workspace.situation().trained
    if current.state == "incomplete" and thorough:
        sentence = f"The current model cannot be used: {current.reason}."
        yield Finding("model", "wrong", sentence, workspace.trained_model, remedy=ELSEWHERE)
    made_by = records.get(current.session or "")
    noted = made_by.status.fingerprint if made_by else None
    if current.complete and noted and noted != current.fingerprint:
        sentence = (
            f"The current model is not what the session {current.session} made: its files have changed."
        )
        yield Finding("model", "wrong", sentence, workspace.trained_model, remedy=ELSEWHERE)
    if thorough:
        yield from _beside_the_weights(workspace.trained_model, "the current model")
        for version in models.list_versions(workspace):
            title = f"the earlier model {version.name or version.id}"
            yield from _beside_the_weights(workspace.versions / version.id, title)
    yield from _versions(workspace)
    for record in records.values():
        yield from _held(workspace, record)


def _beside_the_weights(folder: Path, title: str) -> Iterator[Finding]:
    """The small files of a model, which no fingerprint covers: settings, tokenizer and chat template."""
    for file in models.found_files(folder):
        if file.name.endswith(".json") and system.read_json(folder / file.name) is None:
            sentence = f"{file.name} of {title} cannot be read."
            yield Finding("model", "wrong", sentence, folder / file.name, remedy=ELSEWHERE)
            return
    made = models.provenance_of(folder)
    if made and made.tokenizer and models.tokenizer_digest(folder) != made.tokenizer:
        sentence = f"The tokenizer or the chat template of {title} is not the one that it was taught with."
        yield Finding("model", "wrong", sentence, folder, remedy=ELSEWHERE)


def _versions(workspace: Workspace) -> Iterator[Finding]:
    for folder in models.versions_unlisted(workspace):
        whole = inspect_model(folder).complete
        yield Finding(
            "model",
            "wrong",
            f"The earlier model {folder.name} stands in no list, because the note of it is lost or damaged."
            if whole
            else f"In place of an earlier model, {folder.name} holds files that are none, or half of one.",
            folder,
            "The note is written anew from its files." if whole else "The folder is set aside, not deleted.",
            mend=partial(models.record_version, workspace, folder),
        )
    for version in models.list_versions(workspace):
        folder = workspace.versions / version.id
        state, title = inspect_model(folder), version.name or version.id
        if not state.complete:
            sentence = f"The earlier model {title} cannot be used: {state.reason or 'its files are gone'}."
            repair, mend = (
                "The folder is set aside, not deleted.",
                set_aside(workspace, folder),
            )
            yield Finding("model", "wrong", sentence, folder, repair, mend=mend)
        elif version.fingerprint and state.fingerprint != version.fingerprint:
            sentence = f"The earlier model {title} is not what was put there: its files have changed."
            remedy = "Put the folder back from a backup, or do not roll back to it."
            yield Finding("model", "wrong", sentence, folder, remedy=remedy)


def _held(workspace: Workspace, record: sessions.SessionRecord) -> Iterator[Finding]:
    """A model that waits for a decision must be there, whole, and the one that was measured."""
    session, status = record.session, record.status
    if not isinstance(record.spec, TrainSpec) or status.verdict not in ("held", "discarded"):
        return
    if not session.model.exists():
        if status.verdict == "held" and not sessions.is_recorded_candidate(workspace, session):
            yield Finding(
                "session",
                "wrong",
                f"The session {session.id} says that its model waits for a decision, and it is not there.",
                session.folder,
                "It is noted as discarded.",
                session=session.id,
                mend=partial(_note_as_gone, workspace, session),
            )
        return
    state = inspect_model(session.model)
    reason = f"cannot be used: {state.reason}" if not state.complete else "is not the one that was measured"
    if not state.complete or (status.fingerprint and state.fingerprint != status.fingerprint):
        sentence = f"The model that the session {session.id} holds {reason}."
        remedy = "Run the session again, or put its folder back from a backup."
        yield Finding("model", "wrong", sentence, session.model, remedy=remedy, session=session.id)


def _note_as_gone(workspace: Workspace, session: sessions.Session) -> None:
    system.require_changes()
    with models.exclusive_training(workspace):
        status = session.status()
        if status.verdict == "held" and not session.model.exists():
            reason = "Its model is not there any more."
            changed = {"verdict": "discarded", "verdict_reason": reason, "decided_by": system.actor()}
            session.write_status(status.model_copy(update=changed))


def onnx(workspace: Workspace, *, thorough: bool) -> Iterator[Finding]:
    """ONNX models whose files are not those that were exported; `thorough` reads them to their end."""
    for folder, title in _onnx_folders(workspace):
        if not any(folder.glob("*.onnx")):
            continue
        record = ExportRecord.read(folder)
        if record is None:
            if (folder / EXPORT_RECORD).exists():
                sentence = f"Nobody can tell from which model {title} was made: its note is damaged."
                yield Finding("onnx", "wrong", sentence, folder, remedy=MAKE_AGAIN)
            continue
        certificate = folder / models.CERTIFICATE
        problem = _problem(folder, record, thorough=thorough)
        if not problem and certificate.exists() and system.read_json(certificate) is None:
            problem = "its certificate cannot be read"
        if problem:
            sentence = f"{title[0].upper()}{title[1:]} is damaged: {problem}."
            yield Finding("onnx", "wrong", sentence, folder, remedy=MAKE_AGAIN)


def _onnx_folders(workspace: Workspace) -> Iterator[tuple[Path, str]]:
    for variant in VARIANTS:
        title = VARIANT_TITLES[variant]
        yield models.variant_folder(workspace.onnx_model, variant), f"the {title} ONNX model"
        apart = models.failed_folder(workspace.onnx_model, variant)
        yield apart, f"the {title} ONNX model that is kept apart"
        for version in models.list_versions(workspace):
            home = workspace.versions / version.id / models.VERSION_ONNX
            of = f"the {title} ONNX model of the earlier model {version.name or version.id}"
            yield models.variant_folder(home, variant), of


def _problem(folder: Path, record: ExportRecord, *, thorough: bool) -> str:
    for name, size in (record.files or {}).items():
        path = folder / name
        if Path(name).name != name:
            return "its note names files that lie elsewhere"
        if not path.is_file():
            return f"{name} is missing"
        if size is not None and path.stat().st_size != size:
            return f"{name} has {path.stat().st_size:,} of {size:,} bytes"
    for name, expected in record.sha256.items() if thorough else ():
        if name in (record.files or {}) and system.digest(folder / name) != expected:
            return f"{name} does not hold what was exported"
    return ""
