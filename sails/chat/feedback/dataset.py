"""Which corrections were taught, which are ready to be, and the dataset that is made of those."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sails import data, sessions, system
from sails.chat.feedback.correction import Correction
from sails.chat.feedback.events import corrections, log_lock, utc_now, write
from sails.data import Conversation, DatasetReport, Register
from sails.errors import BadDataError, SailsError
from sails.models import Workspace
from sails.sessions import SessionRecord, TrainSpec

DATASET = "corrections"


def to_teach(workspace: Workspace) -> list[Correction]:
    """The approved corrections that are in no dataset which a session has taught or still may; oldest first.

    One that was stopped or interrupted can be resumed, so what it teaches is free only once it is deleted.
    """
    used = sessions_by_dataset(workspace)
    return [
        correction
        for correction in corrections(workspace)
        if correction.state == "approved" and correction.dataset not in used
    ]


def sessions_by_dataset(workspace: Workspace) -> dict[str, SessionRecord]:
    """For each dataset of corrections that was taught or will be, a session that did or will.

    A dataset that was combined with others counts as taught with them.
    """
    ours = {correction.dataset for correction in corrections(workspace) if correction.dataset}
    if not ours:
        return {}
    taught = _taught_names(workspace)
    return {name: taught[name] for name in ours if name in taught}


def _taught_names(workspace: Workspace) -> dict[str, SessionRecord]:
    """The names of all datasets that were taught or will be, with a session of each."""
    parts = _parts(workspace)
    sessions_by_name: dict[str, SessionRecord] = {}
    # The first session of each; one that was only stopped or interrupted counts where there is no other.
    for record in sorted(sessions.read_history(workspace), key=lambda record: record.status.resumable):
        if isinstance(record.spec, TrainSpec) and record.status.claims:
            for name in parts.get(record.spec.dataset, {record.spec.dataset}):
                sessions_by_name.setdefault(name, record)
    return sessions_by_name


def _reports(workspace: Workspace) -> dict[str, DatasetReport]:
    """Each dataset's report under every name that it has or had."""
    return {name: one for one in data.reports(workspace) for name in (one.name, *one.formerly)}


def _parts(workspace: Workspace) -> dict[str, set[str]]:
    """For each name that a dataset has or had, the names of all that is in it, its own ones included."""
    reports = _reports(workspace)

    def inside(name: str, seen: frozenset[str]) -> set[str]:
        report = reports.get(name)
        if report is None or report.name in seen:
            return {name}
        names = {report.name, *report.formerly}
        return names.union(*(inside(part, seen | {report.name}) for part in report.combined))

    return {name: inside(name, frozenset()) for name in reports}


@dataclass(frozen=True)
class Counts:
    """How many wait for a review, are approved and not taught, were rejected, and were taught."""

    waiting: int = 0
    approved: int = 0
    rejected: int = 0
    taught: int = 0


def counts(workspace: Workspace) -> Counts:
    """Count where all corrections stand."""
    used = sessions_by_dataset(workspace)
    stands = [standing(correction, used) for correction in corrections(workspace)]
    return Counts(*(stands.count(name) for name in ("waiting", "approved", "rejected", "taught")))


Standing = Literal["waiting", "approved", "rejected", "taught"]


def standing(correction: Correction, used: Mapping[str, SessionRecord]) -> Standing:
    """Tell where a correction stands; `used` as `sessions_by_dataset` gives it. Taught: or about to be."""
    return "taught" if correction.dataset in used else correction.state


@system.changes("make a dataset of corrections")
def as_dataset(workspace: Workspace) -> DatasetReport:
    """Put those that `to_teach` gives into the library, as `corrections`, `corrections-2` and so on.

    Raises `BadDataError` when there is none. Which of them went into it is noted, so that those of a session
    that failed may be put into another one.
    """
    with log_lock(workspace):
        chosen = to_teach(workspace)
        if not chosen:
            raise BadDataError("No approved correction waits to be taught.", "Review some first.")
        rows = tuple(replace(correction.row, row=number) for number, correction in enumerate(chosen, 1))
        # A person approved each of them, whatever the quality check thinks.
        name = _name(workspace, rows)
        report = data.add_rows(workspace, rows, file=f"{DATASET}.jsonl", name=name, keep_all=True)
        # So that none is kept back as an exam: whoever approved it wants it to be learned.
        Register.load(workspace.register).record(
            held=(), taught=[row.input_fingerprint for row in rows], session=report.name
        )
        ids = [correction.id for correction in chosen if correction.dataset != report.name]
        if ids:
            event = {"event": "dataset", "ids": ids, "dataset": report.name, "timestamp": utc_now()}
            write(workspace, [event])
    return report


def _name(workspace: Workspace, rows: Sequence[Conversation]) -> str:
    """The first name that neither other rows have nor a session was taught under, even if they are gone."""
    reports = _reports(workspace)
    taught = _taught_names(workspace)
    wanted = {row.fingerprint for row in rows}
    names = (DATASET if n == 1 else f"{DATASET}-{n}" for n in itertools.count(1))
    return next(
        name
        for name in names
        if name not in taught and (name not in reports or _rows_of(workspace, name) == wanted)
    )


def _rows_of(workspace: Workspace, name: str) -> set[str]:
    """The fingerprints of a dataset's rows; none when they are damaged."""
    try:
        return {row.fingerprint for row in data.rows_of(workspace, name)}
    except SailsError:
        return set()
