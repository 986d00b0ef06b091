"""`sails chat`: talk with models in a terminal or a pipe, side by side too, and judge what they say.

Only answers go to standard output; who answers, notes and problems go to standard error. Loads nothing that
a chat does not need, so that the first word comes soon.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sails import chat as chatting
from sails.chat import CURRENT, LOG, MAX_MODELS, ChatModel, GenerationSettings
from sails.cli.grouped import group_options
from sails.cli.output import EXIT_FAILED, WorkspaceOption, say, warn, write_file
from sails.cli.repl import ChatRepl, list_conversations, list_prompts
from sails.errors import RequestError
from sails.models import FULL_PRECISION, PREFERRED_TITLES, VARIANT_TITLES, VARIANTS, Variant, Workspace
from sails.onnx import SamplingOptions


@group_options
def chat(
    model_path: Annotated[Path | None, typer.Option(help="The ONNX model. Default: the workspace's.")] = None,
    folder: WorkspaceOption = None,
    prompt: Annotated[str | None, typer.Option(help="Ask one question, print the answer and end.")] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(
            help=f"{' or '.join(f'{name} ({title})' for name, title in VARIANT_TITLES.items())}. "
            f"Default: {PREFERRED_TITLES} once it is certified, else {VARIANT_TITLES[FULL_PRECISION]}."
        ),
    ] = None,
    version: Annotated[
        str, typer.Option("--version", help="Who answers: current, base, or the id of a version.")
    ] = CURRENT,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Answer side by side; once for each model, up to four: current, base, a version's id, "
            f"each maybe with {' or '.join(f'@{name}' for name in VARIANTS)} behind it."
        ),
    ] = None,
    ask_all: Annotated[bool, typer.Option("--ask-all", help="Ask all saved questions and end.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="With --ask-all: write the table to this .csv or .json file.")
    ] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="List the saved questions and end.")] = False,
    conversation: Annotated[
        str | None,
        typer.Option(help="Go on with this conversation, by its title or id, or begin it; it is kept."),
    ] = None,
    conversations: Annotated[
        bool, typer.Option("--conversations", help="List the conversations that are kept and end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --prompts or --conversations: print JSON.")
    ] = False,
    make_ready: Annotated[
        bool, typer.Option("--make-ready", help="Make the ONNX model of a version or base where it lacks.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the conversation.")
    ] = None,
    sampling: SamplingOptions = SamplingOptions(),  # noqa: B008  it is frozen
    max_length: Annotated[
        int | None,
        typer.Option(help="Longest conversation the model is shown, in tokens. Default: all it can take."),
    ] = None,
    log_conversations: Annotated[
        bool, typer.Option("--log-conversations", help="Append every question and answer to the log file.")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(help=f"JSON Lines file of --log-conversations. Default: {LOG} in the workspace."),
    ] = None,
    feedback_file: Annotated[
        Path | None, typer.Option(help="JSON Lines file to which /good, /bad and /never are appended too.")
    ] = None,
    device: Annotated[Literal["cpu"], typer.Option(help="Chat runs on the processor.")] = "cpu",  # noqa: ARG001
) -> None:
    """Talk with the ONNX model. Needs neither torch nor a GPU; `exit` ends it, /help lists what it knows."""
    workspace = Workspace.open(folder)
    if prompts:
        list_prompts(workspace, as_json)
        return
    if conversations:
        list_conversations(workspace, as_json)
        return
    how = GenerationSettings(**asdict(sampling), system=system or "")
    chosen = _chosen_models(workspace, model_path, version, variant, compare or [], make_ready)
    log = log_file or workspace.root / LOG if log_conversations or log_file else None
    talk = ChatRepl(workspace, chosen, how, max_length, log, feedback_file)
    if conversation is not None:
        talk.go_on_with(conversation)
    talk.begin()
    if ask_all:
        _ask_all(talk, output)
    elif prompt is not None:
        talk.ask(prompt)
        talk.raise_problem()
        if talk.interrupted:
            raise typer.Exit(EXIT_FAILED)
    else:
        talk.go_on()


def answer_once(onnx: Path, prompt: str, max_tokens: int) -> None:
    """Ask the best variant in an ONNX folder one question."""
    say(f"You: {prompt}")
    talk = ChatRepl(Workspace.open(None), [_in_folder(onnx)], GenerationSettings(max_new_tokens=max_tokens))
    talk.ask(prompt)
    talk.raise_problem()


# --- who answers ----------------------------------------------------------------------------------


def _chosen_models(
    workspace: Workspace,
    model_path: Path | None,
    version: str,
    variant: Variant | None,
    compare: Sequence[str],
    make_ready: bool,
) -> list[ChatModel]:
    if model_path is not None:
        model = _in_folder(model_path.expanduser().resolve())
        return [model.with_variant(variant) if variant else model]
    keys = [key.strip() for text in compare for key in text.split(",") if key.strip()] or [version]
    if len(keys) > MAX_MODELS:
        raise RequestError(f"{len(keys)} models cannot answer side by side.", f"Name up to {MAX_MODELS}.")
    if all(key.partition("@")[0] == CURRENT for key in keys):
        everybody = [chatting.current_chat_model(workspace)]  # the others take longer to find
    else:
        everybody = chatting.chat_models(workspace)
    chosen = [chatting.find_chat_model(everybody, key) for key in keys]
    if variant:
        chosen = [model if model.wanted else model.with_variant(variant) for model in chosen]
    return [_ready(workspace, model, make_ready) for model in chosen]


def _in_folder(folder: Path) -> ChatModel:
    model = chatting.chat_model_in(folder)
    if not model.answers:
        raise RequestError(f"There is no ONNX model in {folder}.", "Make one first: sails convert")
    return model


def _ready(workspace: Workspace, model: ChatModel, make_ready: bool) -> ChatModel:
    """The model, made ready where that was asked for; raises `RequestError` when it cannot answer."""
    if model.answers:
        return model
    size = f" in {VARIANT_TITLES[model.wanted]}" if model.wanted else ""
    if model.wanted in model.quarantined:
        raise RequestError(
            f"{model.title}{size} failed its certificate, so it is kept apart.",
            "Leave out --variant, or decide about it on the page ONNX export.",
        )
    if model.readiness == "impossible" and not model.key.startswith(CURRENT):
        raise RequestError(f"{model.title} is not complete, so it cannot answer.", "Choose another one.")
    if make_ready:
        from sails import jobs
        from sails.cli.follow import follow

        follow(jobs.export_for(workspace, model.with_variant(None)))
        exported = chatting.find_chat_model(chatting.chat_models(workspace), model.key)
        if exported.answers:
            return exported
    if model.key.startswith(CURRENT):
        raise RequestError(f"There is no ONNX model{size} in {model.onnx}.", "Make one first: sails convert")
    raise RequestError(f"{model.title} has no ONNX model{size} yet.", "Make it with --make-ready")


# --- saved questions ------------------------------------------------------------------------------


def _ask_all(talk: ChatRepl, output: Path | None) -> None:
    """Ask all saved questions of all who answer; ended early, what was answered so far is kept."""
    listed = chatting.prompts(talk.workspace)
    if not listed:
        raise RequestError("There are no saved questions.", "Add some on the page Chat, or with /save.")
    ways = {".csv": chatting.as_csv, ".json": chatting.as_json}
    if output and output.suffix.lower() not in ways:
        raise RequestError(f"{output.name} is neither .csv nor .json.", "Choose one of the two endings.")
    table = chatting.PromptTable([model.origin for model in talk.chosen], talk.how)
    folders = [model.answering for model in talk.chosen]
    begun, stopped = 0, False
    try:
        with closing(chatting.ask_all(table, listed, folders)) as growing:
            for row in growing:
                if len(table.rows) > begun:
                    begun = len(table.rows)
                    warn(f"Question {begun} of {len(listed)}: {row.prompt.title}")
    except KeyboardInterrupt:
        stopped = True
    if output:
        write_file(output, ways[output.suffix.lower()](table))
        warn(f"✅ {len(table.rows)} of {len(listed)} questions and their answers are in {output}")
    else:
        for number, row in enumerate(table.rows, 1):
            say(f"=== {number}. {' '.join(row.prompt.question.split())}")
            for index, name in enumerate(table.names):
                likeness = chatting.describe_likeness(row, index)
                say(f"--- {name}" + (f" ({likeness})" if likeness else ""))
                say(chatting.answer_text(row, index))
            say()
    if stopped:
        raise typer.Exit(EXIT_FAILED)
