"""Options that several commands share, each with the sentence that `--help` shows.

The options of a training's settings are made from `sails.sessions.settings`: a command takes
`settings: Settings` and is wrapped with `with_options`, which makes an option of each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sails.cli.grouped import as_option, group_options
from sails.cli.output import WorkspaceOption as WorkspaceOption
from sails.data import FORMAT_TITLES
from sails.models import VARIANT_TABLE, VARIANTS, Variant
from sails.onnx import sampling_options
from sails.sessions import Settings, Start, checked_settings, flag, option

OutputDir = Annotated[
    Path | None, typer.Option(help="Where the trained model lies. Default: trained_model in the workspace.")
]
OnnxOutput = Annotated[
    Path | None, typer.Option(help="Where the ONNX model lies. Default: onnx_model in the workspace.")
]
DataFile = Annotated[Path, typer.Option(help=f"Conversations: {FORMAT_TITLES}.")]
QuestionColumn = Annotated[
    str | None, typer.Option(help="The column that holds the questions, when it is not recognised by itself.")
]
AnswerColumn = Annotated[
    str | None, typer.Option(help="The column that holds the answers, when it is not recognised by itself.")
]
SystemColumn = Annotated[
    str | None,
    typer.Option(
        help="The column that holds instructions to the assistant, when it is not recognised by itself."
    ),
]
ContextColumn = Annotated[
    str | None,
    typer.Option(help="A column that belongs to the question, as a passage that it is about; it follows it."),
]
Assistant = Annotated[
    str | None,
    typer.Option(
        help="Who gives the answers in a chat between people, by the name in the file (WhatsApp, …)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]
ModelName = Annotated[
    str | None,
    typer.Option(
        help="Base model to start from (see `sails base list`). Another one than before starts over."
    ),
]
StartOption = Annotated[
    Start,
    typer.Option("--start", help="auto reads the behavior matrix; base starts over; trained continues."),
]
Advise = Annotated[
    bool,
    typer.Option(
        "--advise",
        help="Measure first which learning rate suits this lesson, about two minutes; then use it.",
    ),
]
Name = Annotated[
    str | None, typer.Option(help="A short name for the session. Default: the data file's name.")
]
Force = Annotated[bool, typer.Option("--force", help="Train although the quality of the data is critical.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Return at once with the session's name; training goes on by itself.")
]
Opset = Annotated[
    int | None, typer.Option("--opset-version", help="ONNX opset. Default: what the exporter recommends.")
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Compare the ONNX model's answers with the original's, and fail when they differ."
    ),
]
VerifyUnlessNot = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Compare the ONNX model's answers with the original's.")
]
_FIRST, *_OTHERS = ((name, about.option_help) for name, about in VARIANT_TABLE.items())
_NAMED = ", ".join([" is ".join(_FIRST), *(" ".join(other) for other in _OTHERS)])
if TYPE_CHECKING:
    Chosen = str
else:
    Chosen = Literal[(*VARIANTS, "all")]
VariantOption = Annotated[Chosen, typer.Option("--variant", help=f"{_NAMED}.")]
Prompt = Annotated[str | None, typer.Option(help="Ask one question, print the answer and end.")]
MaxTokens = Annotated[int, typer.Option(help=sampling_options()["max_new_tokens"].help)]


def variants_of(chosen: Chosen) -> tuple[Variant, ...]:
    """The variants of the ONNX model that `--variant` asks for."""
    return VARIANTS if chosen == "all" else (chosen,)


# --- options that belong together -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What `sails train` and `sails pipeline` ask for, beside the settings."""

    data_file: DataFile
    workspace: WorkspaceOption = None
    output_dir: OutputDir = None
    model_name: ModelName = None
    start: StartOption = "auto"
    advise: Advise = False
    name: Name = None
    question_column: QuestionColumn = None
    answer_column: AnswerColumn = None
    system_column: SystemColumn = None
    context_column: ContextColumn = None
    assistant: Assistant = None
    force: Force = False


def with_options(*settings: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each of these settings (all, when none is named) and of each request.

    The command itself takes them together, as `settings: Settings` and as its dataclass of options.
    """
    group = (
        [_of_setting(name) for name in settings or Settings.model_fields],
        partial(checked_settings, flags=True),
    )
    return partial(group_options, groups={Settings: group})


def _of_setting(name: str) -> inspect.Parameter:
    declared, about = Settings.model_fields[name], option(name)
    kind: Any = Literal[tuple(about.choices)] if about.choices else declared.annotation
    flags = (flag(name),) if kind is bool else ()
    return as_option(name, Annotated[kind, typer.Option(*flags, help=about.help)], declared.default)
