"""The command line: `sails COMMAND` or `python -m sails COMMAND`.

Does what the pages do, with the original MTN Sails' words. Exit codes: 0 done, 1 the job failed or the
quality is critical, 2 the request was wrong. Errors are one sentence on standard error.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from sails import __version__, demo
from sails.commands import corrections, data, handing_over, history, models, options, teach, watch
from sails.commands.terminal import EXIT_FAILED, EXIT_WRONG, say, warn
from sails.errors import SailsError, WorkspaceError
from sails.workspace import Workspace

app = typer.Typer(
    help="Teach a small language model from your own conversations, session after session.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    teach.train,
    models.convert,
    models.chat,
    teach.pipeline,
    data.validate,
    models.baseline,
    handing_over.bundle,
    history.reset,
    history.status,
):
    app.command()(command)
app.command()(watch.watch)
app.command("daemon", help="Another name for `sails watch`.")(watch.watch)
app.add_typer(data.datasets_app, name="datasets")
app.add_typer(corrections.corrections_app, name="corrections")
app.add_typer(history.sessions_app, name="sessions")
app.add_typer(models.base_app, name="base")


@app.command()
def serve(
    workspace: options.WorkspaceOption = None,
    port: Annotated[int, typer.Option(help="Port of the dashboard.")] = 8501,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
) -> None:
    """Open the dashboard in the browser."""
    page = Path(__file__).resolve().parent.parent / "app.py"
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
    demo.make(place)
    say(f"✅ The demo workspace is {place.root}. Open it with: sails serve --workspace {place.root}")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"MTN Sails {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code and never shows a stack trace for an error of ours."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console may not speak UTF-8, and 🆕 must not end it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        result = typer.main.get_command(app)(arguments, prog_name="sails", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SailsError as error:
        warn(error.sentence)
        return error.exit_code
    except TyperException as error:
        if error.format_message().startswith("Usage:"):  # a command group without a command: its help
            warn(error.format_message())
            return EXIT_WRONG
        context = getattr(error, "ctx", None)
        hint = f" See `{context.command_path} --help`." if context else ""
        message = " ".join(error.format_message().split())
        warn(message.rstrip(".") + "." + hint if message else hint.strip())
        return EXIT_WRONG
    except (typer.Abort, KeyboardInterrupt):
        warn("Cancelled.")
        return EXIT_FAILED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
