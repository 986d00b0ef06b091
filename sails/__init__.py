"""MTN Sails: teach a small language model from your own conversations, session after session."""

import ast
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

__version__ = "0.1.0"

# Libraries that would report their use, or keep a record of it, must hear of this before they are imported.
for _name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_name, "1")


def lazy_exports(package: str) -> tuple[Callable[[str], object], list[str]]:
    """Return `__getattr__` and `__all__` of a package: the names that its `if TYPE_CHECKING:` block imports.

    Each is imported when somebody first asks for it (PEP 562), so a door names everything and loads only what
    is taken from it. Type checkers read the very same lines.
    """
    home: dict[str, str] = {}
    source = Path(sys.modules[package].__file__ or "").read_text(encoding="utf-8")
    for block in ast.parse(source).body:
        for node in block.body if isinstance(block, ast.If) else ():
            if isinstance(node, ast.ImportFrom) and node.module:
                home |= {alias.name: node.module for alias in node.names}

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        loaded = getattr(importlib.import_module(home[name]), name)
        setattr(sys.modules[package], name, loaded)
        return loaded

    return load, sorted(home)
