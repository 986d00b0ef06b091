"""The log of what happened to corrections, one event a line, and what the events add up to.

    WORKSPACE/corrections/feedback.jsonl

Nothing in it is ever changed: it grows, under a short lock. A line that is damaged, or only half written,
loses itself and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from sails import system
from sails.chat.feedback.correction import SOMEBODY, Correction, Kind, State
from sails.errors import RequestError
from sails.models import Workspace
from sails.system import Stamp, stamp_or_none

# --- what is read of an event ---------------------------------------------------------------------

_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)  # of what does not say when


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return _UNKNOWN
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _messages(value: Any) -> tuple[Mapping[str, str], ...]:
    """The turns of a context: an optional system turn, then whole pairs; anything else counts as none."""
    if not isinstance(value, list):
        return ()
    turns = [m for m in value if isinstance(m, dict) and isinstance(m.get("content"), str)]
    roles = [m.get("role") for m in turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if len(turns) != len(value) or spoken != ["user", "assistant"] * (len(spoken) // 2):
        return ()
    return tuple({"role": m["role"], "content": m["content"]} for m in turns)


# What is not needed to understand an event counts as not said where it is not what it should be.
Word = Annotated[str | None, BeforeValidator(lambda value: value if isinstance(value, str) else None)]


class AnsweredBy(BaseModel):
    """The model that gave an answer."""

    title: Word = None
    fingerprint: Word = None
    session: Word = None
    variant: Word = None


class Given(BaseModel):
    """Somebody judged an answer; `input` and `output` are the question and the answer of the model."""

    event: Literal["given"]
    id: str = Field(min_length=1)
    input: str = ""
    output: str = ""
    kind: Kind
    correction: str = ""
    who: str = ""
    timestamp: Annotated[datetime, BeforeValidator(_moment)] = _UNKNOWN
    version: Annotated[
        AnsweredBy, BeforeValidator(lambda value: value if isinstance(value, dict) else {})
    ] = AnsweredBy()
    context: Annotated[tuple[Mapping[str, str], ...], BeforeValidator(_messages)] = ()
    confirmed: Annotated[bool, BeforeValidator(bool)] = False


class Decided(BaseModel):
    event: Literal["withdrawn", "approved", "rejected", "reopened"]
    id: str
    who: Word = None


class Edited(BaseModel):
    """`input` and `correction` are the question and the answer to teach as they are from then on."""

    event: Literal["edited"]
    id: str
    input: str
    correction: str
    who: Word = None


class IntoDataset(BaseModel):
    event: Literal["dataset"]
    ids: list[Any]
    dataset: str


Event = Annotated[Given | Decided | Edited | IntoDataset, Field(discriminator="event")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)

# --- what there is --------------------------------------------------------------------------------


def corrections(workspace: Workspace) -> list[Correction]:
    """Return all corrections that were given and not taken back, the oldest first."""
    return list(corrections_by_id(workspace).values())


def find(workspace: Workspace, identity: str) -> Correction:
    """Return a correction by its id; raises `RequestError` when there is none."""
    correction = corrections_by_id(workspace).get(identity)
    if correction is None:
        raise RequestError(
            f"There is no correction {identity[:40]!r} in {workspace.root}.", "See `sails corrections list`."
        )
    return correction


# --- the file -------------------------------------------------------------------------------------


def log_file(workspace: Workspace) -> Path:
    """Return the path of the log."""
    return workspace.root / "corrections" / "feedback.jsonl"


def log_lock(workspace: Workspace) -> Any:
    """Return the short lock under which the log is read, judged and written; raises `ViewOnlyError`."""
    system.require_changes()
    return system.short_lock(workspace.root / "corrections.lock")


def write(workspace: Workspace, events: Sequence[Mapping[str, Any]]) -> None:
    """Append events, whole or not at all as far as a reader can tell; the caller holds the lock."""
    if not events:
        return
    path = log_file(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    system.append_lines(path, lines.encode("utf-8", "backslashreplace"))


def events(workspace: Workspace) -> list[Event]:
    """Return all events that can be read, in their order; empty where nobody gave anything yet."""
    try:
        content = log_file(workspace).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [event for line in content.split(b"\n") if line.strip() and (event := _parsed(line))]


def _parsed(line: bytes) -> Event | None:
    """The event in a line; None for a damaged one, and for one that does not say enough."""
    try:
        return EVENT.validate_python(json.loads(line.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        return None


def corrections_by_id(workspace: Workspace) -> Mapping[str, Correction]:
    """Return all corrections that were given and not taken back by their ids, the oldest first."""
    now = stamp_or_none(log_file(workspace))
    return _folded(workspace, now) if now else {}


@lru_cache(maxsize=8)  # a log that did not grow is not read again
def _folded(workspace: Workspace, file: Stamp) -> Mapping[str, Correction]:  # noqa: ARG001
    """What the events add up to; one about a correction that is not there is passed over."""
    corrections: dict[str, Correction] = {}
    for event in events(workspace):
        match event:
            case Given():
                corrections.setdefault(event.id, correction_from(event))
            case IntoDataset():
                for identity in event.ids:
                    if isinstance(identity, str) and identity in corrections:
                        corrections[identity] = replace(corrections[identity], dataset=event.dataset)
            case Decided(event="withdrawn"):
                corrections.pop(event.id, None)
            case Decided() | Edited() if event.id in corrections:
                corrections[event.id] = _changed(corrections[event.id], event)
    return corrections


# --- what the events add up to --------------------------------------------------------------------


def correction_from(event: Given) -> Correction:
    """Return the correction as it was given, which nobody has decided about."""
    version = event.version
    return Correction(
        id=event.id,
        question=event.input,
        answer=event.output,
        kind=event.kind,
        correction=event.correction,
        who=event.who or SOMEBODY,
        when=event.timestamp,
        title=version.title or "",
        fingerprint=version.fingerprint,
        session=version.session,
        variant=version.variant,
        context=event.context,
        confirmed=event.confirmed,
    )


def _changed(correction: Correction, event: Decided | Edited) -> Correction:
    """A correction after one more event."""
    if isinstance(event, Decided):
        state, confirmed = _STATES[event.event], correction.confirmed or event.event == "approved"
        return replace(correction, state=state, reviewer=event.who or "", confirmed=confirmed)
    kind = correction.kind
    if kind == "good" and event.correction != correction.answer:
        kind = "corrected"
    return replace(
        correction,
        question=event.input,
        correction="" if kind == "good" else event.correction,
        kind=kind,
        state="waiting",
        reviewer=event.who or "",
        confirmed=True,
        dataset=None,
    )


_STATES: Mapping[str, State] = {"approved": "approved", "rejected": "rejected", "reopened": "waiting"}


def utc_now() -> str:
    """Return the time, UTC to the second, in ISO form."""
    return datetime.now(UTC).isoformat(timespec="seconds")
