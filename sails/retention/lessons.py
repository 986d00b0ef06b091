"""Which lessons a model was ever taught, and where their rows lie.

A session that made a model has written down the lessons taught before it (`status.lessons`), so the answer
follows the ancestors of a model, not the calendar. Rows whose files are gone are said to be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sails import sessions
from sails.data import ENOUGH_TO_JUDGE, Conversation, read_jsonl
from sails.errors import SailsError
from sails.models import Workspace
from sails.retention.schema import Lesson, Part
from sails.sessions import Session

GONE = "Its examples were deleted."
ELSEWHERE = "The model came from elsewhere: what it was taught there cannot be measured."


def taught_to(workspace: Workspace, fingerprint: str | None) -> tuple[str, ...]:
    """The ids of the sessions whose lessons the model with this fingerprint was taught, oldest first."""
    made_by = sessions.ancestors(workspace, fingerprint)
    if not made_by:
        return ()
    maker = made_by[-1]
    if maker.status.lessons is not None:
        return (*maker.status.lessons, maker.session.id)
    return tuple(record.session.id for record in made_by)


def lessons_of(workspace: Workspace, ids: Sequence[str]) -> tuple[Lesson, ...]:
    """Return each lesson with its name, and why it cannot be measured where that is so."""
    return tuple(_lesson(Session(workspace.sessions / identity)) for identity in ids)


def _lesson(session: Session) -> Lesson:
    try:
        name = session.spec().name
    except SailsError:
        return Lesson(session=session.id, name=session.id, missing=GONE)
    missing = None if (session.data / "train.jsonl").exists() else GONE
    return Lesson(session=session.id, name=name, missing=missing)


def taught_before(workspace: Workspace, fingerprint: str | None) -> set[str]:
    """Return the fingerprints of all rows that the model with this fingerprint was ever taught."""
    ids = taught_to(workspace, fingerprint)
    return {row.fingerprint for identity in ids for row in lesson_rows(workspace, identity).taught}


@dataclass(frozen=True)
class LessonRows:
    """The rows of one lesson, in the order in which they are sampled for measuring."""

    taught: tuple[Conversation, ...] = ()
    held_out: tuple[Conversation, ...] = ()


def lesson_rows(workspace: Workspace, identity: str) -> LessonRows:
    """Return the rows of a lesson, empty where they are gone or damaged."""
    data = Session(workspace.sessions / identity).data
    return in_sample_order(_read(data / "train.jsonl"), _read(data / "heldout.jsonl"))


def in_sample_order(taught: Sequence[Conversation], held_out: Sequence[Conversation]) -> LessonRows:
    """Sort the rows by fingerprint, so that the first so many are a fair sample, always the same."""
    return LessonRows(_sorted(taught), _sorted(held_out))


def _sorted(rows: Sequence[Conversation]) -> tuple[Conversation, ...]:
    return tuple(sorted(rows, key=lambda row: row.fingerprint))


def _read(path: Path) -> Sequence[Conversation]:
    try:
        return read_jsonl(path)
    except SailsError:
        return ()


def all_lesson_rows(
    workspace: Workspace, ids: Sequence[str], newest: Sequence[Conversation] = ()
) -> dict[str, LessonRows]:
    """The rows of the lessons `ids`, without those that a later lesson, or `newest`, answers otherwise."""
    answers = {row.input_fingerprint: row.fingerprint for row in newest}
    rows_by_lesson = {}
    for identity in reversed(ids):
        rows = lesson_rows(workspace, identity)
        latest = [answers.setdefault(row.input_fingerprint, row.fingerprint) for row in rows.taught]
        valid = [row for row, own in zip(rows.taught, latest, strict=True) if row.fingerprint == own]
        rows_by_lesson[identity] = LessonRows(tuple(valid), rows.held_out)
    return {identity: rows_by_lesson[identity] for identity in ids}


ROWS = 256  # shared by all cells of one model
MOST_ROWS = 1024  # likewise, when there are many lessons
RECALL_SHARE = 0.6  # of `ROWS` go to what was taught, the others to what was kept back
RECALL_ROWS = 60  # that a lesson taught, as long as `MOST_ROWS` allow: the gate sees ten points lost on them
MIN_ROWS = ENOUGH_TO_JUDGE  # of a cell's rows: fewer say too little

Sample = dict[tuple[str, Part], tuple[Conversation, ...]]


def sample_rows(lessons_: Mapping[str, LessonRows]) -> Sample:
    """Choose the rows that one model is measured on: of each lesson the first ones.

    They are `ROWS` in all, and more when `RECALL_ROWS` of each lesson take more, up to `MOST_ROWS`. More
    lessons never mean more rows of one, so a later sample of a lesson is the beginning of an earlier one.
    """
    recall = round(ROWS * RECALL_SHARE)
    more = min(max(0, RECALL_ROWS * len(lessons_) - recall), MOST_ROWS - ROWS)
    recall, total = recall + more, ROWS + more
    taught = [rows.taught for rows in lessons_.values()]
    held_out = [rows.held_out for rows in lessons_.values()]
    used = share_out([len(rows) for rows in taught], recall)
    kept = share_out([len(rows) for rows in held_out], total - sum(used))
    if sum(kept) < total - sum(used):  # nobody needs what is left, so recall may have it
        used = share_out([len(rows) for rows in taught], total - sum(kept))
    sample: Sample = {}
    for index, lesson in enumerate(lessons_):
        sample[lesson, "recall"] = taught[index][: used[index]]
        sample[lesson, "held_out"] = held_out[index][: kept[index]]
    return {key: rows for key, rows in sample.items() if rows}


def share_out(sizes: Sequence[int], total: int) -> list[int]:
    """Share at most `total` as evenly as the sizes allow: what one does not need, the others get."""
    shares = [0] * len(sizes)
    for left, index in enumerate(sorted(range(len(sizes)), key=lambda n: sizes[n])):
        shares[index] = min(sizes[index], (total - sum(shares)) // (len(sizes) - left))
    return shares
