"""The command line: `sails COMMAND` or `python -m sails COMMAND`.

Does what the pages do, with the original MTN Sails' words. Exit codes: 0 done, 1 the job failed or the
quality is critical, 2 the request was wrong. Errors are one sentence on standard error;
with --json they are JSON on standard output.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from sails import __version__
from sails.cli.output import EXIT_FAILED, EXIT_WRONG, say, say_json, warn
from sails.errors import SailsError
from sails.system import keep_private


def _version(wanted: bool) -> None:
    if wanted:
        say(f"MTN Sails {__version__}")
        raise typer.Exit


def all_commands() -> typer.Typer:
    """Return the application with every command; loading them takes most of a second."""
    from sails.cli import chat, corrections, dashboard, data, doctor, export, sessions, status, train, watch

    app = _application()
    first = (train.train, export.convert, chat.chat, train.pipeline, data.validate)
    for command in (*first, export.baseline, export.bundle, status.reset, status.status, watch.watch):
        app.command()(command)
    for command in (doctor.doctor, doctor.backup, doctor.restore):
        app.command()(command)
    app.command("daemon", help="Another name for `sails watch`.")(watch.watch)
    app.add_typer(data.datasets_app, name="datasets")
    app.add_typer(corrections.corrections_app, name="corrections")
    app.add_typer(sessions.sessions_app, name="sessions")
    app.add_typer(export.base_app, name="base")
    app.command()(dashboard.serve)
    app.command()(dashboard.demo)
    return app


def _application() -> typer.Typer:
    app = typer.Typer(
        help="Teach a small language model from your own conversations, session after session.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return app


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
    keep_private()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words[:1] == ["chat"]:  # alone, because its first word must come soon
            from sails.cli.chat import chat

            chosen = _application()
            chosen.command()(chat)
        else:
            chosen = all_commands()
        result = typer.main.get_command(chosen)(arguments, prog_name="sails", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SailsError as error:
        if "--json" in words:
            say_json({"error": str(error), "remedy": error.remedy, "kind": error.kind})
        else:
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
    except OSError as error:  # of a file that a person named
        what, why = error.filename or "A file", (error.strerror or str(error)).lower()
        warn(f"{what} cannot be used: {why}. Check its name, and whether you may read and write there.")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
