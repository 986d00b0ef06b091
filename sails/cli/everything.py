"""All commands in one application. Loading them takes most of a second, so a chat does without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from sails.cli import (
    chat,
    corrections,
    data,
    export,
    handing_over,
    options,
    root,
    sessions,
    status,
    train,
    watch,
)
from sails.cli.output import say
from sails.errors import WorkspaceError
from sails.models.workspace import Workspace
from sails.sessions import demo

app = root.application()
for command in (
    train.train,
    export.convert,
    chat.chat,
    train.pipeline,
    data.validate,
    export.baseline,
    handing_over.bundle,
    status.reset,
    status.status,
):
    app.command()(command)
app.command()(watch.watch)
app.command("daemon", help="Another name for `sails watch`.")(watch.watch)
app.add_typer(data.datasets_app, name="datasets")
app.add_typer(corrections.corrections_app, name="corrections")
app.add_typer(sessions.sessions_app, name="sessions")
app.add_typer(export.base_app, name="base")


@app.command()
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
    command = [sys.executable, "-m", "streamlit", "run", str(page), f"--server.port={port}"]
    command.append(f"--server.headless={'true' if headless else 'false'}")
    raise typer.Exit(subprocess.call(command, env=environment, cwd=page.parent))


@app.command("demo")
def make_demo(workspace: options.WorkspaceOption = None) -> None:
    """Make a workspace full of recorded sessions, to look at and to replay in the dashboard."""
    place = Workspace.open(workspace)
    demo.make_demo(place)
    say(f"✅ The demo workspace is {place.root}. Open it with: sails serve --workspace {place.root}")
