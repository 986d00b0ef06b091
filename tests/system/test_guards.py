"""What a page can reach and that writes asks first whether it may: found by reading the code.

Pages reach the rooms below through their doors alone. Each function behind a door is followed through the
functions that it names; a way ends at one that is marked `@changes`, or asks for itself. One that comes to a
write before that is a hole, unless it stands in `MAY` with the reason.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sails

Key = tuple[str, str]  # a module, and what it defines; nothing: the module itself

PACKAGE = Path(sails.__file__).parent
ROOMS = ("chat", "data", "doctor", "jobs", "models", "onnx", "retention", "sessions")
DOORS = (*ROOMS, "chat.feedback", "jobs.watch")
ASKS = {"require_changes", "acting", "view_only"}
# Whose methods only a worker calls, or the functions beside them.
WORKERS = ("sails.sessions.reporter", "sails.sessions.metrics", "sails.data.split", "sails.system.locks")
WORKERS += ("sails.models.export_record", "sails.models.journal")
# What writes: functions of sails.system.files, of the standard library, and methods of a path.
FILES = {"write_atomic", "append_lines", "rename", "move_folder", "copy_folder", "remove", "remove_at_once"}
STANDARD = {
    "os": {"replace", "rename", "remove", "unlink", "mkdir", "makedirs", "rmdir", "chmod", "link", "symlink"},
    "shutil": {"rmtree", "copytree", "move", "copyfile", "copy", "copy2"},
}
METHODS = {"write_text", "write_bytes", "unlink", "mkdir", "rmdir", "touch", "symlink_to"}
MAY = {
    "sails.system.locks.short_lock": "a lock is no change",
    "sails.models.journal.write_lock": "a lock; whoever reads finishes what a dead process began",
    "sails.models.acts.note_act": "says what was done, after who does it was asked",
    "sails.system.access.require_look": "notes in the audit log that a look was refused",
    "sails.models.cache.ensure_base_model": "the base models that all workspaces share",
    "sails.models.onnx_store.writing": "the same for an ONNX model",
    "sails.onnx.export.export_model": "in the worker",
    "sails.onnx.quantize.quantize_model": "in the worker",
    "sails.sessions.reporter.live": "the worker's own life",
    "sails.data.conversation.write_jsonl": "a file that a command was told to write",
}
# Some acts of each kind: by a path, by a function of ours, by a method of ours.
ACTS = {
    ("data", "rename"),
    ("sessions", "resume"),
    ("sessions", "stop"),
    ("models", "roll_back"),
    ("chat.feedback", "approve"),
    ("doctor", "restore"),
}


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(("sails", *path.relative_to(PACKAGE).with_suffix("").parts))
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


@cache
def definitions() -> dict[Key, ast.FunctionDef]:
    """All functions, and the methods of all classes."""
    found = {}
    for module, tree in modules().items():
        for node in tree.body:
            is_class = isinstance(node, ast.ClassDef)
            for part in node.body if is_class else [node]:
                if isinstance(part, ast.FunctionDef):
                    found[module, f"{node.name}.{part.name}" if is_class else part.name] = part
    return found


@cache
def imports(module: str) -> dict[str, Key]:
    nodes = (node for node in ast.walk(modules()[module]) if isinstance(node, ast.ImportFrom))
    return {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in nodes
        if str(node.module).startswith("sails")
        for alias in node.names
    }


def resolve(module: str, name: str) -> Key | None:
    """What a name stands for in a module of ours."""
    if (module, name) in definitions():
        return module, name
    if name not in imports(module):
        return None
    home, there = imports(module)[name]
    return (f"{home}.{there}", "") if f"{home}.{there}" in modules() else resolve(home, there)


@cache
def writers() -> dict[str, set[Key]]:
    """The methods that write by themselves, by their names, but for those of what only a worker has."""
    found = defaultdict(set)
    for (module, name), node in definitions().items():
        if "." in name and module not in WORKERS and not asks(node) and any(map(writes, steps(module, node))):
            found[name.rpartition(".")[2]].add((module, name))
    return found


def writes(step: Key | None) -> bool:
    return step is None or (step[0] == "sails.system.files" and step[1] in FILES)


def asks(node: ast.FunctionDef) -> bool:
    """Whether a function is marked, or asks for itself."""
    called = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    names = {part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "") for part in called}
    marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
    return bool(names & ASKS) or any(ast.unparse(mark).endswith("changes") for mark in marks)


def steps(module: str, node: ast.FunctionDef) -> Iterator[Key | None]:
    """What a function of a module names of ours, and None for each write of its own."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and ast.unparse(part.func) == "open":
            modes = [*part.args[1:2], *(word.value for word in part.keywords if word.arg == "mode")]
            if any(set(str(getattr(mode, "value", ""))) & set("wax+") for mode in modes):
                yield None
        elif isinstance(part, ast.Attribute):
            whose = getattr(part.value, "id", "")
            if part.attr in STANDARD.get(whose, METHODS):
                yield None
            elif (home := resolve(module, whose)) and not home[1]:
                yield from filter(None, [resolve(home[0], part.attr)])
        elif isinstance(part, ast.Name) and (found := resolve(module, part.id)) and found[1]:
            yield found


def way_to_a_write(start: Key) -> list[str]:
    """The functions from this one to a write that nobody asked about; empty where there is none."""
    ways, waiting = {start: [".".join(start)]}, [start]
    while waiting:
        module, name = key = waiting.pop(0)
        node = definitions()[key]
        if asks(node) or f"{module}.{name}" in MAY:
            continue
        called = {part.func for part in ast.walk(node) if isinstance(part, ast.Call)}
        methods = [part.attr for part in called if isinstance(part, ast.Attribute)]
        of_ours = [key for method in methods for key in writers().get(method, ())]
        for step in (*steps(module, node), *of_ours):
            if writes(step):
                return ways[key]
            if step in definitions() and step not in ways and step[0] != "sails.system.files":
                ways[step] = [*ways[key], ".".join(step)]
                waiting.append(step)
    return []


@pytest.mark.parametrize("door", DOORS)
def test_what_a_page_can_reach_asks_before_it_writes(door):
    behind = [resolve(f"sails.{door}", name) for name in sorted(imports(f"sails.{door}"))]
    functions = [key for key in behind if key in definitions()]
    holes = [way for key in functions if (way := way_to_a_write(key))]
    assert holes == []
    assert functions


def test_what_writes_is_found_and_what_may_is_still_there(monkeypatch):
    """Positive control: without its mark, or what it asks, an act is a hole."""
    names = {".".join(key) for key in definitions()}
    assert {name for name in MAY if name not in names} == set()
    monkeypatch.setattr(sys.modules[__name__], "asks", lambda _: False)
    found = {(door, name) for door, name in ACTS if way_to_a_write(resolve(f"sails.{door}", name))}
    assert found == ACTS
