"""The log of what happened to corrections, one event a line, and what the events add up to.

    WORKSPACE/corrections/feedback.jsonl

Nothing in it is ever changed: it grows, under a short lock. A line that is damaged, or only half written,
loses itself and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from sails import system
from sails.chat.feedback.correction import SOMEBODY, Correction, Kind
from sails.errors import RequestError
from sails.models import Workspace
from sails.system import Stamp, stamp_or_none


def corrections(workspace: Workspace) -> list[Correction]:
    """All that were given and not taken back, the oldest first."""
    return list(known(workspace).values())


def find(workspace: Workspace, identity: str) -> Correction:
    """A correction by its id; raises `RequestError` when there is none."""
    found = known(workspace).get(identity)
    if found is None:
        raise RequestError(
            f"There is no correction {identity[:40]!r} in {workspace.root}.", "See `sails corrections list`."
        )
    return found


# --- the file -------------------------------------------------------------------------------------


def log_file(workspace: Workspace) -> Path:
    """Where the events lie."""
    return workspace.root / "corrections" / "feedback.jsonl"


def alone(workspace: Workspace) -> Any:
    """The short lock under which the log is read, judged and written; raises `ViewOnlyError`."""
    system.require_changes()
    return system.short_lock(workspace.root / "corrections.lock")


def write(workspace: Workspace, events: Sequence[Mapping[str, Any]]) -> None:
    """Append events, whole or not at all as far as a reader can tell; the caller holds the lock."""
    if not events:
        return
    path = log_file(workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    with open(path, "a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # of a writer that was killed; the next line must not be lost with it
                lines = "\n" + lines
        file.write(lines.encode("utf-8", "backslashreplace"))
        file.flush()
        os.fsync(file.fileno())


def events(workspace: Workspace) -> list[dict[str, Any]]:
    """All lines that can be read, in their order; empty where nobody gave anything yet."""
    try:
        content = log_file(workspace).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [event for line in content.split(b"\n") if line.strip() and (event := _parsed(line))]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def known(workspace: Workspace) -> Mapping[str, Correction]:
    """All that were given and not taken back by their ids, the oldest first."""
    now = stamp_or_none(log_file(workspace))
    return _folded(workspace, now) if now else {}


@lru_cache(maxsize=8)  # a log that did not grow is not read again
def _folded(workspace: Workspace, file: Stamp) -> Mapping[str, Correction]:  # noqa: ARG001
    """What the events add up to; one that makes no sense is passed over."""
    found: dict[str, Correction] = {}
    for event in events(workspace):
        kind = event.get("event")
        if kind == "given":
            given = correction_of(event)
            if given is not None:
                found.setdefault(given.id, given)
        elif kind == "dataset":
            ids, name = event.get("ids"), event.get("dataset")
            for identity in ids if isinstance(ids, list) and isinstance(name, str) else ():
                if isinstance(identity, str) and identity in found:
                    found[identity] = replace(found[identity], dataset=name)
        elif isinstance(identity := event.get("id"), str) and identity in found:
            changed = _changed(found[identity], event)
            if changed is None:
                del found[identity]
            else:
                found[identity] = changed
    return found


# --- what the events add up to --------------------------------------------------------------------


def correction_of(event: Mapping[str, Any]) -> Correction | None:
    """What was given; None when the event does not say enough."""
    version = event.get("version")
    version = version if isinstance(version, dict) else {}
    texts = [event.get(name, "") for name in ("id", "input", "output", "kind", "correction", "who")]
    if not all(isinstance(text, str) for text in texts) or not texts[0] or texts[3] not in get_args(Kind):
        return None
    identity, question, answer, kind, correction, who = texts
    return Correction(
        id=identity,
        question=question,
        answer=answer,
        kind=kind,
        correction=correction,
        who=who or SOMEBODY,
        when=_moment(event.get("timestamp")),
        title=_word(version, "title") or "",
        fingerprint=_word(version, "fingerprint"),
        session=_word(version, "session"),
        variant=_word(version, "variant"),
        context=_messages(event.get("context")),
        confirmed=bool(event.get("confirmed")),
    )


def _changed(known: Correction, event: Mapping[str, Any]) -> Correction | None:
    """A correction after one more event; None when it was taken back."""
    who = event.get("who")
    who = who if isinstance(who, str) else ""
    match event.get("event"):
        case "withdrawn":
            return None
        case "approved":
            return replace(known, state="approved", reviewer=who, confirmed=True)
        case "rejected":
            return replace(known, state="rejected", reviewer=who)
        case "reopened":
            return replace(known, state="waiting", reviewer=who)
        case "edited":
            question, answer = event.get("input"), event.get("correction")
            if not isinstance(question, str) or not isinstance(answer, str):
                return known
            kind = known.kind
            if kind == "good" and answer != known.answer:
                kind = "corrected"
            return replace(
                known,
                question=question,
                correction="" if kind == "good" else answer,
                kind=kind,
                state="waiting",
                reviewer=who,
                confirmed=True,
                dataset=None,
            )
    return known


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


def _word(version: Mapping[str, Any], name: str) -> str | None:
    value = version.get(name)
    return value if isinstance(value, str) else None


def _moment(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return datetime(1970, 1, 1, tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def now() -> str:
    """UTC to the second, in ISO form."""
    return datetime.now(UTC).isoformat(timespec="seconds")
