"""Questions that are asked again and again, to show a model or to compare two: a list in the workspace.

    add(workspace, "What is a variable?", name="Variables")
    for prompt in prompts(workspace): …

`prompts.json` holds the list in its order. It is small, and replaced as a whole.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from sails import system
from sails.errors import RequestError, WorkspaceError
from sails.models import Workspace
from sails.system import fit, one_line

PROMPTS = "prompts.json"
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
    """Return the list in its order. Raises `WorkspaceError` when the file cannot be read."""
    path = workspace.root / PROMPTS
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["prompts"]
        listed = [SavedPrompt(str(r["id"]), str(r["question"]), str(r.get("name") or "")) for r in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WorkspaceError(
            f"The list of saved questions ({path.name}) is damaged.", "Correct the file, or delete it."
        ) from error
    return list({prompt.id: prompt for prompt in listed}.values())


@system.changes("save a question")
def add(workspace: Workspace, question: str, name: str = "") -> SavedPrompt:
    """Put a question at the end. Raises `RequestError` when it is empty, too long, or there already."""
    prompt = SavedPrompt(secrets.token_hex(6), _question(question), _name(name))
    with _changing(workspace) as listed:
        _refuse_twice(listed, prompt)
        if len(listed) >= MAX_PROMPTS:
            raise RequestError(f"The list is full: {MAX_PROMPTS:,} questions.", "Delete one first.")
        listed.append(prompt)
    return prompt


@system.changes("change a saved question", what="identity")
def change(workspace: Workspace, identity: str, *, question: str, name: str = "") -> None:
    """Write another question or name in its place; raises `RequestError` as `add`, or when it is gone."""
    changed = SavedPrompt(identity, _question(question), _name(name))
    with _changing(workspace) as listed:
        index = _place(listed, identity)
        _refuse_twice(listed, changed)
        listed[index] = changed


def _refuse_twice(listed: list[SavedPrompt], prompt: SavedPrompt) -> None:
    if any(other.question == prompt.question and other.id != prompt.id for other in listed):
        raise RequestError("This question is in the list already.", "Ask it from there.")


@system.changes("delete a saved question", what="identity")
def delete(workspace: Workspace, identity: str) -> None:
    """Take a question out; one that is gone already is no error."""
    with _changing(workspace) as listed:
        listed[:] = [prompt for prompt in listed if prompt.id != identity]


@system.changes("move a saved question", what="identity")
def move(workspace: Workspace, identity: str, places: int) -> None:
    """Move a question up (negative) or down in the list; it stops at the ends."""
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
    path = workspace.root / PROMPTS
    with system.short_lock(path.with_name(f".{PROMPTS}.lock")):
        listed = prompts(workspace)
        yield listed
        content = {"prompts": [asdict(prompt) for prompt in listed]}
        system.write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _question(text: str) -> str:
    if question := _checked(text, "The question", LONGEST_QUESTION):
        return question
    raise RequestError("The question is empty.", "Write one.")


def _name(text: str) -> str:
    return _checked(one_line(text), "The name", LONGEST_NAME)


def _checked(text: str, what: str, longest: int) -> str:
    # Half a character, of a pair that makes one, is no text and could not be written.
    text = text.strip().encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip()
    if len(text) > longest:
        raise RequestError(f"{what} has {len(text):,} characters.", f"Use at most {longest:,}.")
    return text
