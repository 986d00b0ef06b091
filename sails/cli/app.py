"""The command line: `sails COMMAND` or `python -m sails COMMAND`.

Does what the pages do, with the original MTN Sails' words. Exit codes: 0 done, 1 the job failed or the
quality is critical, 2 the request was wrong. Errors are one sentence on standard error.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import typer
from typer.exceptions import TyperException

from sails.cli.output import EXIT_FAILED, EXIT_WRONG, warn
from sails.errors import SailsError

if TYPE_CHECKING:
    app: typer.Typer  # all commands; loaded when it is asked for


def everything() -> typer.Typer:
    """All commands. Loading them takes most of a second."""
    from sails.cli.everything import app

    return app


def _chat_alone() -> typer.Typer:
    """The one command whose first word must come soon."""
    from sails.cli import chat as talk
    from sails.cli import root

    app = root.application()
    app.command()(talk.chat)
    return app


def __getattr__(name: str) -> typer.Typer:
    if name == "app":
        return everything()
    raise AttributeError(name)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code and never shows a stack trace for an error of ours."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console may not speak UTF-8, and 🆕 must not end it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    words = sys.argv[1:] if arguments is None else arguments
    try:
        chosen = _chat_alone() if words[:1] == ["chat"] else everything()
        result = typer.main.get_command(chosen)(arguments, prog_name="sails", standalone_mode=False)
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
    except OSError as error:  # of a file that a person named
        what, why = error.filename or "A file", (error.strerror or str(error)).lower()
        warn(f"{what} cannot be used: {why}. Check its name, and whether you may read and write there.")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
