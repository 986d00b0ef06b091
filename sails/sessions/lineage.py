"""Which model came from which, and which sessions a model that is still here goes back to.

A session that made a model knows the fingerprint of the model that it continued, so the sessions form a tree;
the fingerprints of the models that are here now say where on it they stand. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sails import models
from sails.models import ModelState, Version, Workspace, inspect_model, resolve
from sails.sessions.history import SessionRecord, read_history, titles
from sails.sessions.spec import TrainSpec

Fate = Literal["current", "version", "held", "discarded", "gone"]
Place = Literal["current", "grown", "held", "discarded", "rolled back", "aside"]
Origin = Literal["base", "unknown", "session"]
Kinship = Literal["earlier", "later", "other"]


@dataclass(frozen=True)
class Branch:
    """One line of the tree: it grew from the line above it, or, when it is deeper, branched off there.

    `place` says how it stands to the current model: *grown*: the current one grew from it; *rolled back*:
    somebody went back from it; *aside*: it was current once, and the line went on without it.
    """

    record: SessionRecord
    depth: int
    origin: Origin  # of the first line of a branch that starts anew
    fate: Fate
    version: Version | None = None
    parent: str | None = None  # the id of the session whose model it continued
    place: Place = "aside"


def tree(workspace: Workspace, records: Sequence[SessionRecord]) -> list[Branch]:
    """Return the sessions that made a model, each below the one that it continued.

    Of several that continued the same one, the last leads on at the same depth and the others stand deeper
    before it; the one that leads to the current model is last. So a long chain is a straight line.
    """
    makers = [record for record in records if record.status.fingerprint]
    parents = _parents(makers)
    children: dict[str, list[SessionRecord]] = {}
    roots = [record for record in makers if record.session.id not in parents]
    for record in makers:
        if parent := parents.get(record.session.id):
            children.setdefault(parent.session.id, []).append(record)
    homes = _homes(workspace, makers)
    main = set()  # the line that leads to the current model
    identity = next((i for i, (fate, _) in homes.items() if fate == "current"), None)
    while identity is not None:
        main.add(identity)
        identity = parents[identity].session.id if identity in parents else None

    went_back_from = {act.left for act in models.list_acts(workspace) if act.act == "roll back"}
    lines: list[Branch] = []
    left = [(record, 0) for record in _main_last(roots, main)[::-1]]
    while left:
        record, depth = left.pop()
        verdict = record.status.verdict
        lost: Fate = verdict if verdict in ("held", "discarded") else "gone"
        fate, version = homes.get(record.session.id) or (lost, None)
        origin: Origin = "session" if record.session.id in parents else "unknown"
        place: Place = "rolled back" if record.status.fingerprint in went_back_from else "aside"
        if record.session.id in main:
            place = "current" if fate == "current" else "grown"
        elif verdict in ("held", "discarded"):
            place = verdict
        parent = parents.get(record.session.id)
        begins = origin if record.status.parent else "base"
        continued = parent.session.id if parent else None
        lines.append(Branch(record, depth, begins, fate, version, continued, place))
        grown = _main_last(children.get(record.session.id, []), main)
        left += [(child, depth) for child in grown[-1:]]
        left += [(child, depth + 1) for child in grown[-2::-1]]
    return lines


def _parents(makers: Sequence[SessionRecord]) -> dict[str, SessionRecord]:
    """By the id of a session, the one whose model it continued: of two that made one, the last."""
    made: dict[str, SessionRecord] = {}
    parents: dict[str, SessionRecord] = {}
    for record in makers:
        parent = made.get(record.status.parent or "")
        if parent is not None:
            parents[record.session.id] = parent
        made[record.status.fingerprint or ""] = record
    return parents


def _main_last(records: Sequence[SessionRecord], main: set[str]) -> list[SessionRecord]:
    return sorted(records, key=lambda record: (record.session.id in main, record.session.id))


def _homes(workspace: Workspace, makers: Sequence[SessionRecord]) -> dict[str, tuple[Fate, Version | None]]:
    """By the id of the session that made it, where a model that is still here lies."""
    last = {record.status.fingerprint: record.session.id for record in makers}
    ids = {record.session.id for record in makers}
    homes: dict[str, tuple[Fate, Version | None]] = {}
    for version in models.list_versions(workspace):
        made = models.provenance_of(workspace.versions / version.id)
        session = made.session if made and made.session in ids else last.get(version.fingerprint)
        if session is not None:
            homes[session] = ("version", version)
    if (maker := maker_of(workspace.situation().trained, makers)) is not None:
        homes[maker] = ("current", None)
    return homes


def maker_of(model: ModelState, records: Sequence[SessionRecord]) -> str | None:
    """The id of the session that made a model: as it is recorded, else the last that made one like it."""
    if model.fingerprint is None:
        return None
    makers = [r.session.id for r in records if r.status.fingerprint == model.fingerprint]
    return model.session if model.session in makers else next(reversed(makers), None)


@dataclass(frozen=True)
class NeededFor:
    """The model that is still here and goes back to a session, which must therefore stay."""

    model: str  # as a sentence names it: the current model, the version "before summer"
    itself: bool  # whether the session made that very model, or one that it grew from


def needed(workspace: Workspace, records: Sequence[SessionRecord]) -> dict[str, NeededFor]:
    """Tell why a session must not be deleted, by the id of each one of which that is true.

    What a model was taught lies in the sessions of its whole line: which rows are new to it, what it is asked
    to see what it still remembers. So a session stays as long as a model that grew from it is, or can become,
    the current one.
    """
    by_fingerprint = {r.status.fingerprint: r for r in records if r.status.fingerprint}
    needs: dict[str, NeededFor] = {}
    walked: set[str | None] = set()
    called = titles(records)
    for model in _models(workspace, records, called):
        if model.session is not None:
            needs.setdefault(model.session, NeededFor(model.name, itself=True))
        fingerprint = model.fingerprint
        while fingerprint is not None and fingerprint in by_fingerprint and fingerprint not in walked:
            walked.add(fingerprint)
            record = by_fingerprint[fingerprint]
            itself = model.here and fingerprint == model.fingerprint
            needs.setdefault(record.session.id, NeededFor(model.name, itself))
            for lesson in record.status.lessons or ():  # some may have been taught again from base
                needs.setdefault(lesson, NeededFor(model.name, itself=False))
            fingerprint = record.status.parent
    for record in filter(_can_come, records):
        for lesson in record.status.lessons or ():
            needs.setdefault(lesson, NeededFor(f"the session {called[record.session.id]}", itself=False))
    return needs


def _can_come(record: SessionRecord) -> bool:
    """Whether the session may still make a model, or has made one that may be published."""
    may_be_published = record.status.verdict in ("held", "discarded")
    return may_be_published or record.status.resumable or record.status.state in ("queued", "running")


@dataclass(frozen=True)
class _KnownModel:
    """A model that is the current one or can become it; not `here`: the one that it will have grown from."""

    name: str
    fingerprint: str | None
    session: str | None = None
    here: bool = True


def _models(
    workspace: Workspace, records: Sequence[SessionRecord], called: Mapping[str, str]
) -> Iterator[_KnownModel]:
    folders = {r.spec.trained_model for r in records if isinstance(r.spec, TrainSpec)}
    for folder in (workspace.trained_model, *sorted(folders - {workspace.trained_model})):
        model = inspect_model(resolve(folder))
        name = "the current model" if folder == workspace.trained_model else f"the model in {folder}"
        yield _KnownModel(name, model.fingerprint, model.session)
    for version in models.list_versions(workspace):
        made = models.provenance_of(workspace.versions / version.id)
        session = made.session if made else None
        name = f"the version {version.name or called.get(session or version.id, version.id)}"
        yield _KnownModel(name, version.fingerprint, session)
    for record in filter(_can_come, records):  # its candidate goes with it, so only its parents count
        yield _KnownModel(f"the session {called[record.session.id]}", record.status.parent, here=False)


def why_needed(need: NeededFor) -> str:
    """One sentence on why a session cannot be deleted."""
    if need.itself:
        return f"This session made {need.model}."
    grew = f"{need.model} grew from what this session taught"
    return f"{grew[0].upper()}{grew[1:]}; without it, nobody could tell any more what was taught."


def ancestors(workspace: Workspace, fingerprint: str | None) -> list[SessionRecord]:
    """Return the sessions that made the model with this fingerprint, oldest first.

    Follows parents, not the calendar, so a model that was rolled back has the lineage that it had.
    """
    by_fingerprint = {r.status.fingerprint: r for r in read_history(workspace) if r.status.fingerprint}
    return chain(by_fingerprint, fingerprint)


def chain(by_fingerprint: Mapping[str, SessionRecord], fingerprint: str | None) -> list[SessionRecord]:
    """`ancestors`, among sessions that were read already and are known by the fingerprint of their model."""
    line: dict[str, SessionRecord] = {}
    while fingerprint is not None and fingerprint in by_fingerprint and fingerprint not in line:
        line[fingerprint] = by_fingerprint[fingerprint]
        fingerprint = line[fingerprint].status.parent
    return list(line.values())[::-1]


def kinship(workspace: Workspace, fingerprint: str | None, current: str | None) -> Kinship:
    """Tell how a model stands to the current one, both named by their fingerprints.

    *earlier*: the current one grew from it; *later*: it grew from the current one; *other*: neither, as far
    as is known.
    """
    by_fingerprint = {r.status.fingerprint: r for r in read_history(workspace) if r.status.fingerprint}

    def grew_from(one: str | None, another: str | None) -> bool:
        return another is not None and another in {r.status.parent for r in chain(by_fingerprint, one)}

    if grew_from(current, fingerprint):
        return "earlier"
    return "later" if grew_from(fingerprint, current) else "other"
