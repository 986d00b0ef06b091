"""What is found in a workspace: a plain sentence each, what a repair would do, and how it is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sails import models, system
from sails.errors import BusyError
from sails.models import Workspace

Kind = Literal[
    "model", "onnx", "change", "session", "job", "queue", "dataset", "register", "log", "conversation",
    "setting", "lock", "link", "permission", "leftover", "version", "checkpoint", "bundle", "tokens",
    "export",
]  # fmt: skip

# What a person reads above the findings of a kind; in this order they are mended.
KINDS: dict[Kind, str] = {
    "permission": "Permissions",
    "lock": "Locks and small files",
    "link": "Links",
    "change": "Changes that were cut short",
    "model": "Models",
    "onnx": "ONNX models",
    "session": "Sessions",
    "job": "Work in the background",
    "queue": "The queue",
    "dataset": "Datasets",
    "register": "The note of what is set aside for testing",
    "log": "Notes that only grow",
    "conversation": "Conversations of the chat",
    "setting": "Settings",
    "leftover": "What writers that died left behind",
    "version": "Earlier models that nothing needs",
    "checkpoint": "Checkpoints that nothing resumes from",
    "bundle": "Zip files made for a download",
    "tokens": "Examples cut into word pieces",
    "export": "ONNX models of earlier models",
}
# *wrong*: something is damaged or lost; *note*: good to know; *spare*: it may go to make room.
Weight = Literal["wrong", "note", "spare"]


@dataclass(frozen=True)
class Finding:
    """Something in a workspace that a person should know.

    `repair` says what would be done about it, empty where only a person can do something: then `remedy` says
    what. `size` is what the repair frees, in bytes. `session` is the id of the session
    that it is about, where what is left of that can be saved.
    """

    kind: Kind
    weight: Weight
    sentence: str
    path: Path
    repair: str = ""
    remedy: str = ""
    size: int = 0
    session: str | None = None
    mend: Callable[[], object] | None = field(default=None, repr=False, compare=False)

    @property
    def can_be_repaired(self) -> bool:
        return self.mend is not None


def set_aside(workspace: Workspace, path: Path) -> Callable[[], object]:
    """Return what sets a file or folder aside as it is now: not one that somebody made whole meanwhile."""
    seen = system.stamp_or_none(path)

    def mend() -> None:
        if system.stamp_or_none(path) not in (seen, None):
            raise BusyError("It has changed since it was looked at.", "Look again.")
        models.put_aside(workspace, path)

    return mend
