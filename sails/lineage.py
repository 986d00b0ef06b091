"""Which model came from which, and which sessions a model that is still here goes back to.

A session that made a model knows the fingerprint of the model that it continued, so the sessions form a tree;
the fingerprints of the models that are here now say where on it they stand. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sails import publishing, sessions
from sails.publishing import Version
from sails.sessions import RESUMABLE, Record, TrainSpec
from sails.workspace import Workspace, inspect_model, resolve

Fate = Literal["current", "version", "held", "discarded", "gone"]
Origin = Literal["base", "unknown", "session"]

# --- the tree -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Branch:
    """One line of the tree: it grew from the line above it, or, when it is deeper, branched off there."""

    record: Record
    depth: int
    origin: Origin  # of the first line of a branch that starts anew
    fate: Fate
    version: Version | None = None


def tree(workspace: Workspace, records: Sequence[Record]) -> list[Branch]:
    """The sessions that made a model, each below the one that it continued.

    Of several that continued the same one, the last leads on at the same depth and the others stand deeper
    before it; the one that leads to the current model is last. So a long chain is a straight line.
    """
    makers = [record for record in records if record.status.fingerprint]
    by_fingerprint = {record.status.fingerprint or "": record for record in makers}
    children: dict[str, list[Record]] = {}
    roots: list[Record] = []
    for record in makers:
        parent = by_fingerprint.get(record.status.parent or "")
        if parent is None or parent is record:
            roots.append(record)
        else:
            children.setdefault(parent.session.id, []).append(record)
    current = workspace.situation().trained.fingerprint
    main = {record.session.id for record in sessions.chain(by_fingerprint, current)}
    versions = {v.fingerprint: v for v in publishing.versions(workspace)}

    lines: list[Branch] = []
    seen: set[str] = set()
    left = [(record, 0) for record in _main_last(roots, main)[::-1]]
    while left:
        record, depth = left.pop()
        if record.session.id in seen:  # models that are each other's parents: damaged by hand
            continue
        seen.add(record.session.id)
        fate, version = _fate(record, current, by_fingerprint, versions)
        lines.append(Branch(record, depth, _origin(record, by_fingerprint), fate, version))
        grown = _main_last(children.get(record.session.id, []), main)
        left += [(child, depth) for child in grown[-1:]]
        left += [(child, depth + 1) for child in grown[-2::-1]]
    return lines


def _main_last(records: Sequence[Record], main: set[str]) -> list[Record]:
    return sorted(records, key=lambda record: (record.session.id in main, record.session.id))


def _origin(record: Record, known: dict[str, Record]) -> Origin:
    if record.status.parent is None:
        return "base"
    return "session" if record.status.parent in known else "unknown"


def _fate(
    record: Record,
    current: str | None,
    by_fingerprint: dict[str, Record],
    versions: dict[str | None, Version],
) -> tuple[Fate, Version | None]:
    """What became of the model that a session made. Of two that made the same one, the later has it."""
    status = record.status
    latest = by_fingerprint.get(status.fingerprint or "") is record
    if latest and status.fingerprint == current:
        return "current", None
    if latest and status.fingerprint in versions:
        return "version", versions[status.fingerprint]
    if status.verdict == "held":
        return "held", None
    return ("discarded" if status.verdict == "discarded" else "gone"), None


# --- who is still needed --------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """Why a session must stay: the model that is still here and goes back to it."""

    model: str  # as a sentence names it: the current model, the version "before summer"
    itself: bool  # whether the session made that very model, or one that it grew from


def needed(workspace: Workspace, records: Sequence[Record]) -> dict[str, Need]:
    """For the id of each session that must not be deleted, why.

    What a model was taught lies in the sessions of its whole line: which rows are new to it, what it is asked
    to see what it still remembers. So a session stays as long as a model that grew from it is, or can become,
    the current one.
    """
    by_fingerprint = {r.status.fingerprint: r for r in records if r.status.fingerprint}
    needs: dict[str, Need] = {}
    walked: set[str | None] = set()
    for model in _models(workspace, records):
        if model.session is not None:
            needs.setdefault(model.session, Need(model.name, itself=True))
        fingerprint = model.fingerprint
        while fingerprint is not None and fingerprint in by_fingerprint and fingerprint not in walked:
            walked.add(fingerprint)
            record = by_fingerprint[fingerprint]
            itself = model.here and fingerprint == model.fingerprint
            needs.setdefault(record.session.id, Need(model.name, itself))
            fingerprint = record.status.parent
    return needs


@dataclass(frozen=True)
class _Model:
    """A model that is the current one or can become it; not `here`: the one that it will have grown from."""

    name: str
    fingerprint: str | None
    session: str | None = None
    here: bool = True


def _models(workspace: Workspace, records: Sequence[Record]) -> Iterator[_Model]:
    folders = {r.spec.trained_model for r in records if isinstance(r.spec, TrainSpec)}
    for folder in (workspace.trained_model, *sorted(folders - {workspace.trained_model})):
        model = inspect_model(resolve(folder))
        name = "the current model" if folder == workspace.trained_model else f"the model in {folder}"
        yield _Model(name, model.fingerprint, model.session)
    for version in publishing.versions(workspace):
        made = publishing.provenance_of(workspace.versions / version.id)
        name = f"the version {version.name or version.id}"
        yield _Model(name, version.fingerprint, made.session if made else None)
    for record in records:  # its candidate goes with it, so for a session itself only its parents count
        if record.status.verdict == "held" or record.status.state in (*RESUMABLE, "queued", "running"):
            yield _Model(f"the session {record.session.id}", record.status.parent, here=False)


def why_needed(need: Need) -> str:
    """One sentence on why a session cannot be deleted."""
    if need.itself:
        return f"This session made {need.model}."
    grew = f"{need.model} grew from what this session taught"
    return f"{grew[0].upper()}{grew[1:]}; without it, nobody could tell any more what was taught."
