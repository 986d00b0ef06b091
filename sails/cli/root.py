"""What stands before every command: the program's help, and its version."""

from __future__ import annotations

from typing import Annotated

import typer

from sails import __version__
from sails.cli.output import say


def application() -> typer.Typer:
    """An application without commands yet."""
    app = typer.Typer(
        help="Teach a small language model from your own conversations, session after session.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        say(f"MTN Sails {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass
