"""`sails watch`, also called `sails daemon`: teach by itself what was approved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sails.cli import options
from sails.cli.options import with_options
from sails.cli.output import EXIT_FAILED, say, say_json
from sails.errors import RequestError
from sails.jobs import watch as watching
from sails.models import Workspace
from sails.sessions import Settings


@with_options("preset", "learning_rate", "replay_share")
def watch(
    settings: Settings,
    corrections: Annotated[
        bool, typer.Option("--corrections", help="Watch the approved corrections of the chat. The default.")
    ] = False,
    data_file: Annotated[
        Path | None,
        typer.Option(
            help="Watch a file of conversations instead. Where its rows say `accepted`, only true counts."
        ),
    ] = None,
    at_least: Annotated[int, typer.Option(help="Train as soon as so many examples have come together.")] = 10,
    every: Annotated[float, typer.Option(help="How often it checks, in seconds.")] = 30.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, follow the session that comes of it, and end.")
    ] = False,
    show_status: Annotated[
        bool, typer.Option("--status", help="Say how the watch stands, and change nothing.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the watch of this workspace, wherever it runs.")
    ] = False,
    folder: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    onnx_output: options.OnnxOutput = None,
    as_json: options.AsJson = False,
) -> None:
    """Teach by itself: when enough approved examples have come together, train, judge, publish and export.

    Each example is taught in one session only. What the gate holds back is never published: you decide.
    Five failures in a row end the watch. Ctrl-C ends it, too; a session that runs goes on by itself.
    """
    workspace = Workspace.open(folder, output_dir=output_dir, onnx_output=onnx_output)
    if show_status:
        _say_status(workspace, as_json)
    elif stop:
        if not watching.watch_state(workspace).on:
            say("The watch is not switched on.")
            return
        watching.switch_off(workspace)
        say(f"⏹️ The watch is switched off. {_goes_on(workspace)}".rstrip())
    elif corrections and data_file:
        raise RequestError("--corrections and --data-file exclude each other.", "Leave out one of the two.")
    elif once and data_file and not data_file.exists():
        raise RequestError(f"There is no file {data_file}.", "Check the name and the folder.")
    else:
        order = watching.order_of(file=data_file, at_least=at_least, every=every, settings=settings)
        _watch(workspace, order, once)


def _watch(workspace: Workspace, order: watching.Order, once: bool) -> None:
    try:
        end = watching.run_watch(workspace, order, once=once, say=say, wait=time.sleep)
    except KeyboardInterrupt:
        watching.switch_off(workspace)
        say(f"⏹️ The watch has ended. {_goes_on(workspace)}".rstrip())
        return
    if end.stopped or end.failures:
        raise typer.Exit(EXIT_FAILED)


def _goes_on(workspace: Workspace) -> str:
    batch = watching.watch_state(workspace).open_batch
    if batch is None or batch.session is None:
        return ""
    return f"Session {batch.session} goes on by itself: see it with `sails status`."


def _say_status(workspace: Workspace, as_json: bool) -> None:
    now = watching.watch_state(workspace)
    alive = watching.is_alive(workspace)
    stands, sentence = watching.standing(now, alive=alive, starting=watching.is_starting(workspace))
    if as_json:
        said = {"standing": stands, "sentence": sentence, "alive": alive}
        say_json({**said, **now.model_dump(mode="json")})
        return
    say(f"{'Watch':14} {sentence}")
    if now.on and alive:
        say(f"{'Process':14} {now.pid} on {now.host}")
    for note in now.notes if now.on else ():
        say(f"{'':14} {note}")
    for reason in now.failures:
        say(f"{'Failed':14} {reason}")
    for number, batch, record in watching.latest_lesson(workspace):
        sign, words = watching.what_became(batch, record)
        say(f"{f'Batch {number}':14} {sign} {words} {f'({batch.session})' if batch.session else ''}".rstrip())
