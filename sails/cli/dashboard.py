"""`sails serve` and `sails demo`: open the dashboard, and make a workspace to show in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from sails.cli import options
from sails.cli.output import say
from sails.errors import WorkspaceError
from sails.models import Workspace
from sails.sessions import make_demo


def serve(
    workspace: options.WorkspaceOption = None,
    port: Annotated[int, typer.Option(help="Port of the dashboard.")] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
) -> None:
    """Open the dashboard in the browser."""
    page = Path(__file__).resolve().parents[2] / "app.py"
    if not page.exists():
        raise WorkspaceError(
            "The dashboard's app.py is not beside the sails package.", "Run it from a checkout."
        )
    environment = {**os.environ, "SAILS_WORKSPACE": str(Workspace.open(workspace).root)}
    command = [sys.executable, "-m", "sails.ui", "run", str(page), f"--server.port={port}"]
    command.append(f"--server.headless={'true' if headless else 'false'}")
    raise typer.Exit(subprocess.call(command, env=environment, cwd=page.parent))


def demo(workspace: options.WorkspaceOption = None) -> None:
    """Make a workspace full of recorded sessions, to look at and to replay in the dashboard."""
    demo_workspace = Workspace.open(workspace)
    make_demo(demo_workspace)
    root = demo_workspace.root
    say(f"✅ The demo workspace is {root}. Open it with: sails serve --workspace {root}")
