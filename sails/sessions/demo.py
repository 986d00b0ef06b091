"""The demo workspace: real sessions, recorded once with the embedded base model, without their weights.

    sails demo --workspace demo_workspace

The recording lies in `examples/demo`. Its sessions can be looked at, compared and replayed; as no model came
with them, the behavior matrix shows row 1, and training starts from base.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sails import system
from sails.errors import RequestError, WorkspaceError
from sails.models import Workspace
from sails.system import read_json

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "demo"
MARK = "demo.json"
PARTS = ("sessions", "datasets", "heldout")


def is_demo(workspace: Workspace) -> bool:
    """Tell whether this workspace was made by `make_demo`."""
    return (workspace.root / MARK).exists()


def make_demo(workspace: Workspace) -> None:
    """Put the recorded sessions into an empty workspace; one that is a demo already is left as it is.

    Raises `RequestError` when something else is there, `WorkspaceError` when the recording is missing.
    """
    system.require_changes()
    root = workspace.root
    if is_demo(workspace):
        return
    if root.exists() and any(root.iterdir()):
        raise RequestError(f"{root} is not empty.", "Choose a folder that does not exist yet.")
    if not (RECORDING / "sessions").is_dir():
        raise WorkspaceError("The recorded sessions are not beside this program.", "Run it from a checkout.")
    staged = root.with_name(f".{root.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(RECORDING, staged)
    for spec in staged.glob("sessions/*/spec.json"):
        content = read_json(spec) or {}
        content |= {"trained_model": str(workspace.trained_model), "onnx_model": str(workspace.onnx_model)}
        system.write_atomic(spec, json.dumps(content, indent=1))
    (staged / MARK).write_text(json.dumps({"recorded": True}), encoding="utf-8")
    if root.exists():
        root.rmdir()
    system.rename(staged, root)
