"""Conversations kept in the workspace: one file each, so that a reload or a restart loses nothing.

    identity = new_conversation()
    keep_turn(workspace, identity, turn, first=True)     # again as the answer grows, and with each question
    for one in conversations(workspace).kept: …
    history = read_conversation(workspace, identity).history

`conversations/ID.json` holds a name, which may be empty, and the turns. A turn has an id, and is put in the
place of the one with the same id: two browser tabs that ask in one conversation lose nothing of each other.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sails import system
from sails.chat.conversation import ChatHistory, ChatTurn, GenerationSettings, Origin, Reply
from sails.errors import RequestError, WorkspaceError
from sails.models import VARIANTS, Workspace
from sails.system import Stamp, fit, one_line, stamp_or_none

CONVERSATIONS = "conversations"
MAX_CONVERSATIONS = 500
MAX_TURNS = 500  # questions in one
MAX_BYTES = 16_000_000  # of one file
LONGEST_CONVERSATION_NAME = 80  # characters
_IDENTITY = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}", re.ASCII)


@dataclass(frozen=True)
class ConversationEntry:
    """What the list says of a conversation. `title`: its name, else the beginning of its first question."""

    id: str
    title: str
    questions: int
    changed: datetime  # when its last question was asked


@dataclass(frozen=True)
class KeptConversation:
    """A conversation as it lies in its file; `name`, which a person gave it, may be empty."""

    entry: ConversationEntry
    name: str
    history: ChatHistory


@dataclass(frozen=True)
class KeptConversations:
    """All that can be read, the one that was asked last first, and the names of the files that cannot."""

    kept: tuple[ConversationEntry, ...]
    damaged: tuple[str, ...]


def new_conversation() -> str:
    """Return an id for a conversation; its file is made with its first question."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def conversations(workspace: Workspace) -> KeptConversations:
    """Return the conversations of a workspace; a damaged file is left out, and named."""
    kept, damaged = [], []
    for path in (workspace.root / CONVERSATIONS).glob("*.json"):
        try:
            kept.append(_entry(_path(workspace, path.stem), stamp_or_none(path)))
        except WorkspaceError:
            if path.exists():  # else somebody deleted it just now
                damaged.append(path.name)
    newest_first = sorted(kept, key=lambda one: (one.changed, one.id), reverse=True)
    return KeptConversations(tuple(newest_first), tuple(sorted(damaged)))


def read_conversation(workspace: Workspace, identity: str) -> KeptConversation:
    """Read one conversation. Raises `WorkspaceError` when it is not there, or damaged."""
    return _parsed(_path(workspace, identity))


def conversation_stamp(workspace: Workspace, identity: str) -> Stamp | None:
    """Tell how a conversation's file looks now, to read it again once it has changed; None without one."""
    return stamp_or_none(_path(workspace, identity)) if _IDENTITY.fullmatch(identity) else None


def find_conversation(workspace: Workspace, wanted: str) -> KeptConversation | None:
    """Read the conversation of this id, else the newest with this title; None where there is none."""
    listed = conversations(workspace).kept
    named = [one for one in listed if one.id == wanted]
    named += [one for one in listed if one.title.casefold() == one_line(wanted).casefold()]
    return read_conversation(workspace, named[0].id) if named else None


@system.changes("keep a question of the chat", what="identity")
def keep_turn(
    workspace: Workspace, identity: str, turn: ChatTurn, *, first: bool = False, name: str = ""
) -> None:
    """Put a turn at the end of a conversation, or in the place of the same turn as it was before.

    `first` begins the file, under `name`. Raises `RequestError` where there are too many, `WorkspaceError`
    when the file was deleted or is damaged.
    """
    path = _path(workspace, identity)
    with system.short_lock(path.parent / ".lock"):
        if first:
            if sum(1 for _ in path.parent.glob("*.json")) >= MAX_CONVERSATIONS:
                problem = f"{MAX_CONVERSATIONS} conversations are kept, and no more fit."
                raise RequestError(problem, "Delete one; until then, a new one lives in this tab only.")
            content: dict[str, Any] = {"name": conversation_name(name), "turns": []}
        else:
            content = _read_now(path)
        turns = content["turns"]
        index = next((i for i, row in enumerate(turns) if row.get("id") == turn.id), len(turns))
        if index >= MAX_TURNS:
            problem = f"This conversation holds {MAX_TURNS} questions, and no more are kept."
            raise RequestError(problem, "Begin a new one.")
        turns[index : index + 1] = [asdict(turn)]
        _write(path, content)


@system.changes("rename a conversation", what="identity")
def rename_conversation(workspace: Workspace, identity: str, name: str) -> None:
    """Give a conversation a name; an empty one leaves it to its first question."""
    name = conversation_name(name)
    path = _path(workspace, identity)
    with system.short_lock(path.parent / ".lock"):
        _write(path, _read_now(path) | {"name": name})


@system.changes("delete a conversation", what="identity")
def delete_conversation(workspace: Workspace, identity: str) -> None:
    """Delete a conversation; one that is gone already is no error."""
    path = _path(workspace, identity)
    with system.short_lock(path.parent / ".lock"):
        path.unlink(missing_ok=True)


def conversation_name(text: str) -> str:
    """Return a name on one line. Raises `RequestError` when it is too long."""
    # Half a character, of a pair that makes one, is no text and could not be written.
    name = one_line(text.encode("utf-8", "replace").decode("utf-8").replace("\0", ""))
    if len(name) > LONGEST_CONVERSATION_NAME:
        problem = f"The name has {len(name):,} characters."
        raise RequestError(problem, f"Use at most {LONGEST_CONVERSATION_NAME}.")
    return name


# --- the file -------------------------------------------------------------------------------------


def _path(workspace: Workspace, identity: str) -> Path:
    """Where a conversation lies; the id stands in an address, so that anybody may have written it."""
    if not _IDENTITY.fullmatch(identity):
        problem = "The address names no conversation."
        raise WorkspaceError(problem, "Choose one from the list, or begin a new one.")
    return workspace.root / CONVERSATIONS / f"{identity}.json"


def _write(path: Path, content: dict[str, Any]) -> None:
    written = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    if len(written) > MAX_BYTES:
        problem = f"This conversation has more than {MAX_BYTES / 1e6:.0f} MB, and no more is kept."
        raise RequestError(problem, "Begin a new one.")
    system.write_atomic(path, written)


def _read_now(path: Path) -> dict[str, Any]:
    """The content as it was written, with what a later release may have added."""
    _parsed(path)  # raises where it is gone or damaged
    return system.read_json(path) or {}


@lru_cache(maxsize=2 * MAX_CONVERSATIONS)
def _entry(path: Path, stamp: Stamp | None) -> ConversationEntry:  # noqa: ARG001 (as the file looks now)
    """What the list says of a file. Kept, for the list is drawn at each look."""
    return _parsed(path).entry


def _parsed(path: Path) -> KeptConversation:
    stamp = stamp_or_none(path)
    if stamp is None:
        problem = "This conversation is not here; it may have been deleted."
        raise WorkspaceError(problem, "Choose another one, or begin a new one.")
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        content = system.read_json(path) if stamp.size <= MAX_BYTES else None
        if content and isinstance(content["name"], str) and content["turns"]:
            turns = [_turn(row) for row in content["turns"]]
            title = fit(one_line(content["name"] or turns[0].question), LONGEST_CONVERSATION_NAME)
            changed = datetime.fromisoformat(turns[-1].asked).astimezone(UTC)
            entry = ConversationEntry(path.stem, title, len(turns), changed)
            return KeptConversation(entry, content["name"], ChatHistory(turns))
    raise WorkspaceError(
        f"The conversation in {path.name} is damaged, so it cannot be shown.",
        f"The file lies in the folder {CONVERSATIONS} of the workspace.",
    )


def _turn(row: dict[str, Any]) -> ChatTurn:
    """A turn out of its file. Raises `TypeError`, `ValueError` or `KeyError` where it is none."""
    replies = [_reply(reply) for reply in row["replies"]]
    if not replies:
        raise ValueError("a question without anybody who was asked")
    settings = _made(GenerationSettings, row["settings"])
    return _made(ChatTurn, row | {"replies": replies, "settings": settings})


def _reply(row: dict[str, Any]) -> Reply:
    origin = _made(Origin, row["origin"])
    if origin.variant not in (None, *VARIANTS):
        raise ValueError("an unknown variant")
    return _made(Reply, row | {"origin": origin})


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "None": (type(None),),
    "Variant": (str,),
    "Origin": (Origin,),
    "GenerationSettings": (GenerationSettings,),
    "list[Reply]": (list,),
}


def _made(kind: type[Any], row: dict[str, Any]) -> Any:
    """One of the dataclasses above, each field of its type; what this release does not know is left out."""
    values = {field.name: row[field.name] for field in fields(kind) if field.name in row}
    for field in fields(kind):
        allowed = tuple(one for name in str(field.type).split(" | ") for one in _KINDS[name])
        if field.name in values and not isinstance(values[field.name], allowed):
            raise TypeError(f"{field.name} is no {field.type}")
    return kind(**values)
