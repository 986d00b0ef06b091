"""What is wrong with what is written down: sessions, the queue, datasets, notes, and small files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path

from sails import chat, data, models, retention, sessions, system
from sails.chat import feedback
from sails.data import Register
from sails.doctor.finding import Finding, set_aside
from sails.errors import SailsError
from sails.jobs import watch
from sails.models import Workspace
from sails.sessions import Session, SessionRecord, TrainSpec
from sails.system import count

Lock = Callable[[Workspace], AbstractContextManager[None]]
SILENT_SECONDS = 1800.0  # in which a training ought to say how far it is
FROM_BACKUP = "Put it back from a backup, if there is one."
SET_ASIDE = "The file is set aside, not deleted."

# --- sessions -------------------------------------------------------------------------------------


def all_sessions(workspace: Workspace, *, thorough: bool) -> Iterator[Finding]:
    """Sessions and jobs whose files are lost or damaged, or say what is not so."""
    history = sessions.read_history(workspace)
    for session in _folders(workspace.sessions) if thorough else _suspects(workspace, history):
        yield from _damage(workspace, session)
    for record in history:
        session = record.session
        if session.may_be_published(record.status) and record.status.verdict == "published":
            yield Finding(
                "session",
                "wrong",
                f"The model of {session.id} was published, and its file still says that it waits.",
                session.folder / "status.json",
                "What is so is written down.",
                session=session.id,
                mend=partial(sessions.write_down_verdicts, workspace),
            )
        if thorough:
            yield from _rows(record)
    for job in _folders(workspace.jobs):
        if (job.folder / "spec.json").exists() and sessions.damaged_files(job):
            sentence = f"The note of the work {job.id} in the background is damaged."
            repair, mend = "Its folder is set aside.", set_aside(workspace, job.folder)
            yield Finding("job", "wrong", sentence, job.folder, repair, mend=mend)


def _suspects(workspace: Workspace, history: Sequence[SessionRecord]) -> Iterator[Session]:
    """The sessions that the history does not know, or of which it says that something is lost."""
    known = {record.session.id for record in history if not sessions.tells_of_damage(record.status)}
    with suppress(OSError):
        for name in sorted(set(os.listdir(workspace.sessions)) - known):
            if name[0] != "." and (workspace.sessions / name).is_dir():
                yield Session(workspace.sessions / name)


def _folders(parent: Path) -> list[Session]:
    try:
        found = sorted(path for path in parent.iterdir() if path.name[0] != "." and path.is_dir())
    except OSError:
        return []
    return [Session(folder) for folder in found]


def _damage(workspace: Workspace, session: Session) -> Iterator[Finding]:
    damaged = sessions.damaged_files(session)
    holds = {path.name for path in session.folder.iterdir()} - {"status.json", "lock", "labels.json"}
    if damaged and not holds:
        if sessions.may_be_starting(session.folder.stat().st_mtime):  # its maker is about to write the rest
            return
        yield Finding(
            "session",
            "wrong",
            f"The folder {session.id} was made for a session that never began.",
            session.folder,
            "The folder is set aside.",
            mend=set_aside(workspace, session.folder),
        )
        return
    if damaged:
        lost = {
            "spec.json": "what was asked of it",
            "status.json": "what was measured and decided",
            "labels.json": "its tags and its note",
        }
        yield Finding(
            "session",
            "wrong",
            f"Of the session {session.id}, {system.listed([lost[name] for name in damaged])} cannot be read.",
            session.folder,
            f"{system.listed(damaged)} {'is' if len(damaged) == 1 else 'are'} set aside, and written anew "
            "from what its other files tell.",
            session=session.id if (session.folder / "spec.json").exists() else None,
            mend=partial(sessions.repair_session, workspace, session),
        )
    try:
        retention.read_retention(session)
    except SailsError:
        sentence = f"What the session {session.id} measured of earlier lessons cannot be read."
        path = session.folder / retention.RETENTION_FILE
        mend = set_aside(workspace, path)
        yield Finding("session", "wrong", sentence, path, SET_ASIDE, session=session.id, mend=mend)


def _rows(record: SessionRecord) -> Iterator[Finding]:
    session = record.session
    for name, what in (("train", "was taught"), ("heldout", "was tested with"), ("replay", "repeated")):
        path = session.data / f"{name}.jsonl"
        try:
            rows = len(data.read_jsonl(path)) if path.exists() else 0
        except SailsError:
            sentence = f"The rows that the session {session.id} {what} cannot be read."
            yield Finding("session", "wrong", sentence, path, remedy=FROM_BACKUP, session=session.id)
            continue
        if name == "train" and not rows and record.status.results.rows_taught:
            sentence = f"The rows that the session {session.id} was taught are gone, so none can be repeated."
            yield Finding("session", "wrong", sentence, path, remedy=FROM_BACKUP, session=session.id)


def queue(workspace: Workspace) -> Iterator[Finding]:
    """A queue that cannot be read, waits for nobody, or has lost somebody."""
    if sessions.queue_is_damaged(workspace):
        yield Finding(
            "queue",
            "wrong",
            "The queue cannot be read, so no training that waits would ever begin.",
            workspace.queue,
            "The file is set aside, and every session that waits is put into a new queue.",
            mend=partial(_new_queue, workspace),
        )
        return
    waiting = [entry.id for entry in sessions.waiting(workspace)]
    records = {record.session.id: record for record in sessions.read_history(workspace)}
    for identity in waiting:
        status = records[identity].status if identity in records else None
        if status is None or status.state in ("succeeded", "failed", "stopped"):
            why = "is not there" if status is None else f"has ended: it is {status.state}"
            sentence = f"The queue waits for the session {identity}, which {why}."
            mend = partial(sessions.dequeue, workspace, identity)
            yield Finding("queue", "wrong", sentence, workspace.queue, "It leaves the queue.", mend=mend)
    for identity in _lost_in_no_queue(workspace, waiting):
        yield Finding(
            "queue",
            "wrong",
            f"The session {identity} waits, but stands in no queue, so it would never begin.",
            workspace.queue,
            "It goes to the end of the queue.",
            session=identity,
            mend=partial(sessions.enqueue, workspace, Session(workspace.sessions / identity)),
        )


def _lost_in_no_queue(workspace: Workspace, waiting: list[str]) -> Iterator[str]:
    for record in sessions.read_history(workspace):
        status, session = record.status, record.session
        is_new = status.queued is not None and sessions.may_be_starting(status.queued)
        is_lost = status.state == "queued" and session.id not in waiting and not is_new
        if is_lost and not sessions.damaged_files(session) and not system.is_held(session.lock):
            yield session.id


def _new_queue(workspace: Workspace) -> None:
    system.require_changes()
    if sessions.queue_is_damaged(workspace):
        with sessions.queue_at_rest(workspace):
            models.put_aside(workspace, workspace.queue, keep=True)
            workspace.queue.unlink(missing_ok=True)
    waits = [record for record in sessions.read_history(workspace) if record.status.state == "queued"]
    for record in sorted(waits, key=lambda record: str(record.status.queued)):
        if not system.is_held(record.session.lock):
            sessions.enqueue(workspace, record.session)


# --- datasets and the register --------------------------------------------------------------------


def datasets(workspace: Workspace, *, thorough: bool) -> Iterator[Finding]:
    """Datasets that no list shows, and with `thorough` those whose rows are not what was added."""
    unlisted = data.unlisted(workspace)
    names = [*unlisted, *(report.name for report in data.reports(workspace) if thorough)]
    for name in names:
        folder = workspace.datasets / name
        if problem := data.problem_of(workspace, name):
            sentence = f"The rows of the dataset {name} {problem}."
            remedy = "Put its folder back from a backup, or add its file again under another name."
            yield Finding("dataset", "wrong", sentence, folder, remedy=remedy)
        elif name in unlisted:
            sentence = f"The dataset {name} stands in no list, because its report is lost or damaged."
            mend = partial(_new_report, workspace, name)
            repair = "The report is made anew from its rows."
            yield Finding("dataset", "wrong", sentence, folder, repair, mend=mend)


def _new_report(workspace: Workspace, name: str) -> None:
    report = workspace.datasets / name / "report.json"
    if report.exists():
        models.put_aside(workspace, report, keep=True)
    data.write_report_anew(workspace, name)


def register(workspace: Workspace, *, thorough: bool) -> Iterator[Finding]:
    """What sessions were tested with and taught must stand in the register, or it may be taught or tested."""
    lines = _lines(workspace.register)
    wrong = [
        line for line in lines if line.strip() and not data.is_register_line(line.decode("utf-8", "replace"))
    ]
    if wrong:
        yield Finding(
            "register",
            "wrong",
            f"{count(len(wrong), 'line')} of the note of what is set aside for testing cannot be read.",
            workspace.register,
            "A copy is set aside, and what cannot be read is left out.",
            mend=partial(_without, workspace, workspace.register, _says_which, []),
        )
    if thorough and (missing := _not_registered(workspace)):
        number = sum(map(len, missing.values()))
        yield Finding(
            "register",
            "wrong",
            f"{count(number, 'question')} that sessions taught or tested with stand in no note, so that what "
            "tests the model might be taught.",
            workspace.register,
            "They are written down, as the sessions used them.",
            mend=partial(_register_all, workspace),
        )


def _says_which(line: bytes) -> bool:
    return data.is_register_line(line.decode("utf-8", "replace"))


def _not_registered(workspace: Workspace) -> dict[tuple[str, str], set[str]]:
    """By session and word, what the register does not know of its rows."""
    noted = Register.load(workspace.register)
    known = noted.held | noted.taught
    missing: dict[tuple[str, str], set[str]] = {}
    for record in sessions.read_history(workspace):
        if not isinstance(record.spec, TrainSpec):
            continue
        for word, name in (("held", "heldout"), ("taught", "train")):
            try:
                rows = data.read_jsonl(record.session.data / f"{name}.jsonl")
            except SailsError:
                continue
            if new := {row.input_fingerprint for row in rows} - known:
                missing[record.session.id, word] = new
    return missing


def _register_all(workspace: Workspace) -> None:
    noted = Register.load(workspace.register)
    for (identity, word), questions in _not_registered(workspace).items():
        held, taught = (questions, ()) if word == "held" else ((), questions)
        noted.record(held=held, taught=taught, session=identity)


# --- notes that only grow -------------------------------------------------------------------------


def logs(workspace: Workspace) -> Iterator[Finding]:
    """Lines that cannot be read: of corrections, and of who rolled back and deleted."""
    locks_of_acts: list[Lock] = [models.exclusive_training, sessions.queue_at_rest]
    kept: list[tuple[Path, str, list[Lock]]] = [
        (feedback.log_file(workspace), "corrections", [feedback.log_lock]),
        (workspace.root / models.ACTS, "who rolled back and deleted", locks_of_acts),
    ]
    for path, what, locks in kept:
        wrong = [line for line in _lines(path) if line.strip() and not _is_object(line)]
        if wrong:
            sentence = f"{count(len(wrong), 'line')} of the note of {what} cannot be read."
            repair = "A copy is set aside, and what cannot be read is left out."
            mend = partial(_without, workspace, path, _is_object, locks)
            yield Finding("log", "wrong", sentence, path, repair, mend=mend)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except OSError:
        return []


def _without(workspace: Workspace, path: Path, is_well: Callable[[bytes], bool], locks: list[Lock]) -> None:
    """Leave out what cannot be read of a file, having set aside the whole of it."""
    system.require_changes()
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(lock(workspace))
        models.put_aside(workspace, path, keep=True)
        well = [line + b"\n" for line in _lines(path) if line.strip() and is_well(line)]
        system.write_atomic(path, b"".join(well))


# --- small files ----------------------------------------------------------------------------------


def small_files(workspace: Workspace) -> Iterator[Finding]:
    """Conversations, saved questions and the watch's own file that cannot be read."""
    for name in chat.conversations(workspace).damaged:
        path = workspace.root / chat.CONVERSATIONS / name
        sentence = f"The conversation in {name} is damaged, so it cannot be shown."
        mend = set_aside(workspace, path)
        yield Finding("conversation", "wrong", sentence, path, SET_ASIDE, mend=mend)
    try:
        chat.prompts(workspace)
    except SailsError:
        path = workspace.root / chat.PROMPTS
        sentence = "The list of saved questions is damaged."
        mend = set_aside(workspace, path)
        yield Finding("setting", "wrong", sentence, path, f"{SET_ASIDE} The list is empty then.", mend=mend)
    try:
        state = watch.watch_state(workspace)
    except (SailsError, OSError):
        path = watch.path_of(workspace)
        repair = f"{SET_ASIDE} Automatic training is switched off then, and begins anew."
        sentence = "Nobody knows which rows automatic training has taught already: its file is damaged."
        mend = set_aside(workspace, path)
        yield Finding("setting", "wrong", sentence, path, repair, mend=mend)
    else:
        if state.on and not watch.is_alive(workspace) and not watch.is_starting(workspace):
            sentence = "Automatic training is switched on, but its process has ended."
            remedy = "Switch it on again on the page Home."
            yield Finding("setting", "note", sentence, watch.path_of(workspace), remedy=remedy)


def misplaced(workspace: Workspace, *, thorough: bool) -> Iterator[Finding]:
    """What stands where a lock or a small file belongs and is none."""
    ours = ("training", "queue", "datasets", "sessions", "corrections", "watch", "watch.json")
    places = [workspace.root / f"{name}.lock" for name in ours]
    if thorough:
        places += [session.lock for session in (*_folders(workspace.sessions), *_folders(workspace.jobs))]
    files = [workspace.register, workspace.queue, watch.path_of(workspace), feedback.log_file(workspace)]
    files += [workspace.root / name for name in (chat.PROMPTS, models.ACTS)]
    for path in (*places, *files):
        if path.is_dir() or (path in places and path.is_symlink()):
            name = path.relative_to(workspace.root)
            sentence = f"Where a {'lock' if path in places else 'file'} belongs, {name} is something else."
            mend = set_aside(workspace, path)
            yield Finding("lock", "wrong", sentence, path, "It is set aside.", mend=mend)


def silence(workspace: Workspace) -> Iterator[Finding]:
    """A training that runs and says nothing any more."""
    training = workspace.training_lock
    if training.is_file() and (record := sessions.running(workspace)):
        beat = record.status.heartbeat
        if beat and time.time() - beat.timestamp() > SILENT_SECONDS:
            silent = system.duration(time.time() - beat.timestamp())
            sentence = f"The session that trains has not said a word for {silent}."
            remedy = "Stop it on the page Train; it can be resumed."
            yield Finding("lock", "note", sentence, training, remedy=remedy)
