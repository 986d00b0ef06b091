"""What was said in a chat, as lines of JSON that can be taught, reviewed or watched later.

    append(Path("conversation_log.jsonl"), question, answer)                    # nobody has judged it yet
    append(Path("feedback.jsonl"), question, answer, accepted=False, correction="…")

A line holds `input`, `output`, `timestamp` (UTC, ISO) and `accepted` (true, false, or null while nobody has
judged the answer); one that was found wrong may also hold `correction` and `kind`. Lines are only appended.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from sails import system
from sails.errors import WorkspaceError

LOG = "conversation_log.jsonl"  # in a workspace, unless another file is named


def append(path: Path, question: str, answer: str, accepted: bool | None = None, **more: str) -> None:
    """Add a line at the end; makes the file and its folder. Raises `WorkspaceError` when that fails."""
    system.require_changes()
    line = {
        "input": question,
        "output": answer,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "accepted": accepted,
        **{name: value for name, value in more.items() if value},
    }
    written = f"{json.dumps(line, ensure_ascii=False)}\n".encode("utf-8", "replace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        system.append_lines(path, written, durable=False)
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror}."
        raise WorkspaceError(problem, "Choose another file.") from error
