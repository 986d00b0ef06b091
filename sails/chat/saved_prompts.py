"""Questions that are asked again and again, to show a model or to compare two: a list in the workspace.

    add(workspace, "What is a variable?", name="Variables")
    for prompt in prompts(workspace): …

`prompts.json` holds the list in its order. It is small, and replaced as a whole.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sails import system
from sails.errors import RequestError, WorkspaceError
from sails.models import Workspace
from sails.system import fit, one_line

FILE = "prompts.json"
MAX_PROMPTS = 200
LONGEST_NAME = 60  # characters
LONGEST_QUESTION = 4000  # characters


@dataclass(frozen=True)
class SavedPrompt:
    """A question and what a person calls it; `name` may be empty."""

    id: str
    question: str
    name: str = ""

    @property
    def title(self) -> str:
        """Its name, else the beginning of the question on one line."""
        return fit(one_line(self.name or self.question), LONGEST_NAME)


def prompts(workspace: Workspace) -> list[SavedPrompt]:
    """The list in its order. Raises `WorkspaceError` when the file cannot be read."""
    path = _file(workspace)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["prompts"]
        listed = [
            SavedPrompt(str(row["id"]), str(row["question"]), str(row.get("name") or "")) for row in rows
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WorkspaceError(
            f"The list of saved questions ({path.name}) is damaged.", "Correct the file, or delete it."
        ) from error
    return list({prompt.id: prompt for prompt in listed}.values())


def add(workspace: Workspace, question: str, name: str = "") -> SavedPrompt:
    """Put a question at the end. Raises `RequestError` when it is empty, too long, or there already."""
    system.require_changes()
    prompt = SavedPrompt(secrets.token_hex(6), _question(question), _name(name))
    with _changing(workspace) as listed:
        if any(other.question == prompt.question for other in listed):
            raise RequestError("This question is in the list already.", "Ask it from there.")
        if len(listed) >= MAX_PROMPTS:
            raise RequestError(f"The list is full: {MAX_PROMPTS:,} questions.", "Delete one first.")
        listed.append(prompt)
    return prompt


def change(workspace: Workspace, identity: str, *, question: str, name: str = "") -> None:
    """Write another question or name in its place; raises `RequestError` as `add`, or when it is gone."""
    system.require_changes()
    written = {"question": _question(question), "name": _name(name)}
    with _changing(workspace) as listed:
        index = _place(listed, identity)
        if any(other.question == written["question"] and other.id != identity for other in listed):
            raise RequestError("This question is in the list already.", "Ask it from there.")
        listed[index] = replace(listed[index], **written)


def delete(workspace: Workspace, identity: str) -> None:
    """Take a question out; one that is gone already is no error."""
    system.require_changes()
    with _changing(workspace) as listed:
        listed[:] = [prompt for prompt in listed if prompt.id != identity]


def move(workspace: Workspace, identity: str, places: int) -> None:
    """Move a question up (negative) or down in the list; it stops at the ends."""
    system.require_changes()
    with _changing(workspace) as listed:
        prompt = listed.pop(index := _place(listed, identity))
        listed.insert(max(0, min(len(listed), index + places)), prompt)


def _place(listed: list[SavedPrompt], identity: str) -> int:
    for index, prompt in enumerate(listed):
        if prompt.id == identity:
            return index
    raise RequestError("This question is no longer in the list.", "Somebody else took it out.")


@contextmanager
def _changing(workspace: Workspace) -> Iterator[list[SavedPrompt]]:
    """The list to change; written when the block ends well. One at a time."""
    workspace.root.mkdir(parents=True, exist_ok=True)
    path = _file(workspace)
    with system.short_lock(path.with_name(f".{FILE}.lock")):
        listed = prompts(workspace)
        yield listed
        content = {"prompts": [asdict(prompt) for prompt in listed]}
        system.write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _file(workspace: Workspace) -> Path:
    return workspace.root / FILE


def _question(text: str) -> str:
    return _checked(text.strip(), "The question", LONGEST_QUESTION, lambda text: not text)


def _name(text: str) -> str:
    return _checked(" ".join(text.split()), "The name", LONGEST_NAME, lambda _: False)


def _checked(text: str, what: str, longest: int, is_wrong: Callable[[str], Any]) -> str:
    text = (
        text.encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip()
    )  # no text: half a character
    if is_wrong(text):
        raise RequestError(f"{what} is empty.", "Write one.")
    if len(text) > longest:
        raise RequestError(f"{what} has {len(text):,} characters.", f"Use at most {longest:,}.")
    return text
