"""What a command that must start at once says and how it ends: nothing here takes time to load."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sails import system
from sails.errors import WorkspaceError
from sails.models import check_output

EXIT_FAILED, EXIT_WRONG = 1, 2
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", help="Folder that holds everything. Default: $SAILS_WORKSPACE, else ./workspace."
    ),
]


def say(text: str = "") -> None:
    """Print one line on standard output."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print one line on standard error."""
    print(text, file=sys.stderr, flush=True)


def write_file(path: Path, text: str) -> None:
    """Write a text to a file that a person named; raises `WorkspaceError` when it cannot be written."""
    system.require_changes()
    check_output(path)
    try:
        # Without a translation of line ends: CSV brings its own.
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        what = f"{path} cannot be written: {error.strerror}."
        raise WorkspaceError(what, "Choose another file.") from error


def say_json(value: Any) -> None:
    """Print a value as JSON; what JSON does not know becomes its text."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
