"""Corrections in files: what `sails chat` wrote comes in, and the whole list goes out in the same form."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sails import system
from sails.chat.feedback.correction import REFUSAL, Correction, checked_name, checked_text
from sails.chat.feedback.events import Given, events, log_lock, write
from sails.data import NO_COLUMN, ColumnMapping, Conversation, read
from sails.errors import ConversationFileError
from sails.models import Workspace

_COLUMNS = ColumnMapping("input", "output", system=NO_COLUMN, history=NO_COLUMN)


@system.changes("import corrections", what="path")
def import_file(workspace: Workspace, path: Path, content: bytes | None = None) -> int:
    """Take the judged answers of a file into the list, where they wait; returns how many had not been there.

    The file is what `sails chat` writes: `input`, `output`, `timestamp`, `accepted`, maybe `correction`,
    `kind` and `who`; with `content`, its bytes, nothing needs to lie at `path`. Rows that nobody judged are
    passed over. Raises `ConversationFileError` when all are.
    """
    system.check_upload(len(content or b""))
    # Answers that are not accepted were judged, too, and what was said before is no part of a question.
    reading = read(path, _COLUMNS, content=content, keep_marked=True)
    imported = [event for row in reading.conversations if (event := _imported(row))]
    if not imported:
        raise ConversationFileError(
            f"{path.name} holds no answer that somebody judged.",
            "Each row needs “accepted”: true for a good answer, false for one that is not.",
        )
    with log_lock(workspace):
        known_ids = {event.id for event in events(workspace) if isinstance(event, Given)}
        fresh = {event["id"]: event for event in imported if event["id"] not in known_ids}
        write(workspace, list(fresh.values()))
    return len(fresh)


def _imported(row: Conversation) -> dict[str, Any] | None:
    """A row of a file as an event, the same row always with the same id; None without a judgement.

    A row that calls tools counts as one without: the chat, where answers are judged, calls none.
    """
    accepted = row.extra.get("accepted")
    if isinstance(accepted, str):
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        accepted = words.get(accepted.strip().casefold())
    if accepted not in (True, False) or row.calls_tools:
        return None
    correction = checked_text(str(row.extra.get("correction") or ""), f"The correction in row {row.row}")
    kind = row.extra.get("kind")
    if accepted:
        kind, correction = "good", ""
    elif kind != "never":
        kind = "corrected"
    version = row.extra.get("version")
    content = {
        "input": checked_text(row.input, f"The question in row {row.row}"),
        "output": checked_text(row.output, f"The answer in row {row.row}"),
        "timestamp": str(row.extra.get("timestamp") or ""),
        "accepted": bool(accepted),
        "kind": kind,
        "correction": correction or (REFUSAL if kind == "never" else ""),
        "who": checked_name(str(row.extra.get("who") or "")),
        "context": [{"role": turn.role, "content": turn.content} for turn in row.turns[:-2]],
    }
    written = json.dumps(content, sort_keys=True).encode("utf-8", "surrogatepass")
    identity = str(row.extra.get("id") or "")
    if not (len(identity) == 16 and identity.isalnum()):
        identity = hashlib.sha256(written).hexdigest()[:16]
    return {
        "event": "given",
        "id": identity,
        **content,
        "version": version if isinstance(version, dict) else {},
        "confirmed": bool(correction),
    }


def as_json(correction: Correction, state: str) -> dict[str, Any]:
    """Write one correction as a line of a file that `import_file` reads again."""
    return {
        "id": correction.id,
        "input": correction.question,
        "output": correction.answer,
        "timestamp": correction.when.isoformat(),
        "accepted": correction.kind == "good",
        "kind": correction.kind,
        "correction": correction.correction,
        "who": correction.who,
        "state": state,
        "reviewer": correction.reviewer,
        "dataset": correction.dataset,
        "version": {
            "title": correction.title,
            "fingerprint": correction.fingerprint,
            "session": correction.session,
            "variant": correction.variant,
        },
        "context": [dict(message) for message in correction.context],
    }
