"""Who did what, when and from where, and who was refused: a line for each act in WORKSPACE/audit.jsonl.

The first act of somebody who signed in begins it; from then on it grows by every act, also by those on the
command line. Nothing here ever changes or removes a line. What was taught, asked or answered is not in it.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from sails.system.files import append_lines

AUDIT = "audit.jsonl"
COMMAND_LINE = "the command line"
LONGEST_WHY = 300

log = logging.getLogger(__name__)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class AuditLine:
    """One act: `outcome` is done, failed or refused, and `why` says why it was not done."""

    act: str
    what: str = ""
    who: str = ""
    address: str = ""  # of the computer; empty on the command line
    role: str = ""
    outcome: str = "done"
    why: str = ""
    when: str = field(default_factory=_now)  # UTC, as ISO 8601


def note(root: Path, line: AuditLine, *, begins: bool) -> None:
    """Append a line to the log of the workspace in `root`, where there is one or this `begins` it.

    What was done is not undone where that fails.
    """
    path = root / AUDIT
    try:
        if root.is_dir() and (begins or path.exists()):
            text = json.dumps({key: value[:LONGEST_WHY] for key, value in asdict(line).items() if value})
            append_lines(path, text.encode() + b"\n")
    except OSError as error:
        log.warning("who did this could not be noted: %s", error)


def read_audit(root: Path) -> list[AuditLine]:
    """Return all that was noted, oldest first; a damaged line is left out."""
    try:
        lines = (root / AUDIT).read_bytes().splitlines()
    except OSError:
        return []
    return [line for text in lines if (line := _read(text))]


def _read(text: bytes) -> AuditLine | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("act"), str):
        return None
    known = {one.name for one in fields(AuditLine)}
    return AuditLine(**{key: str(value) for key, value in content.items() if key in known})
