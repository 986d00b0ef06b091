"""The demo workspace: real sessions, recorded once with the embedded base model, without their weights.

    sails demo --workspace demo_workspace

The recording lies in `examples/demo`. Its sessions can be looked at, compared and replayed; as no model came
with them, the behavior matrix shows row 1, and training starts from base. The one that was held back can be
discarded, as often as one likes: `reset_demo` holds it back again. Keeping it would take its model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sails import system
from sails.errors import RequestError, WorkspaceError
from sails.models import Workspace
from sails.sessions.session import Session
from sails.system import read_json

RECORDING = Path(__file__).resolve().parents[2] / "examples" / "demo"
MARK = "demo.json"
PARTS = ("sessions", "datasets", "heldout")


def is_demo(workspace: Workspace) -> bool:
    """Tell whether this workspace was made by `make_demo`."""
    return (workspace.root / MARK).exists()


@system.changes("make the demo")
def make_demo(workspace: Workspace) -> None:
    """Put the recorded sessions into an empty workspace; one that is a demo already is left as it is.

    Raises `RequestError` when something else is there, `WorkspaceError` when the recording is missing.
    """
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
    (staged / MARK).write_text(json.dumps({"recorded": True}), encoding="utf-8")
    if root.exists():
        root.rmdir()
    system.rename(staged, root)


def is_recorded_candidate(workspace: Workspace, session: Session) -> bool:
    """Tell whether this is a session of the demo that was held back when it was recorded."""
    return is_demo(workspace) and not session.model.exists() and _recorded_verdict(session) == "held"


@system.changes("discard a held model", what="session")
def discard_recorded(workspace: Workspace, session: Session) -> None:
    """Note that a candidate of the demo is discarded; raises `RequestError` where there is none."""
    status = session.status()
    if not is_recorded_candidate(workspace, session) or status.verdict != "held":
        raise RequestError(f"{session.id} holds no candidate.", "Only what was held back can be discarded.")
    session.write_status(status.model_copy(update={"verdict": "discarded"}))


@system.changes("reset the demo")
def reset_demo(workspace: Workspace) -> None:
    """Hold back again what a visitor of the demo discarded."""
    for folder in workspace.sessions.glob("*/"):
        session = Session(folder)
        if is_recorded_candidate(workspace, session):
            session.write_status(session.status().model_copy(update={"verdict": "held"}))


def _recorded_verdict(session: Session) -> str | None:
    return (read_json(RECORDING / "sessions" / session.id / "status.json") or {}).get("verdict")
