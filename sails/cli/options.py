"""Options that several commands share, each with the sentence that `--help` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sails.models import VARIANTS, Variant
from sails.sessions import Preset, Publishing, Start

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", help="Folder that holds everything. Default: $SAILS_WORKSPACE, else ./workspace."
    ),
]
OutputDir = Annotated[
    Path | None, typer.Option(help="Where the trained model lies. Default: trained_model in the workspace.")
]
OnnxOutput = Annotated[
    Path | None, typer.Option(help="Where the ONNX model lies. Default: onnx_model in the workspace.")
]
DataFile = Annotated[Path, typer.Option(help="Conversations: JSON, JSON Lines, CSV, TSV, Excel or Parquet.")]
QuestionColumn = Annotated[
    str | None, typer.Option(help="The column that holds the questions, when it is not recognised by itself.")
]
AnswerColumn = Annotated[
    str | None, typer.Option(help="The column that holds the answers, when it is not recognised by itself.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]
Epochs = Annotated[
    int | None,
    typer.Option(help="Rounds through the data. Default: the preset chooses from the number of rows."),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Rows in a batch. Default: as many as fit into the preset's token budget.")
]
MaxSteps = Annotated[int | None, typer.Option(help="End after this many steps, whatever the rounds.")]
LearningRate = Annotated[
    float | None,
    typer.Option(help="How big each learning step is. Default: 5e-5 from base, 1e-5 when continuing."),
]
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
PresetOption = Annotated[Preset, typer.Option(help="How thoroughly to learn: quick, balanced or thorough.")]
Seed = Annotated[int, typer.Option(help="The same seed on the same machine gives the same losses.")]
MaxLength = Annotated[int, typer.Option(help="Longest conversation, in tokens; longer ones are shortened.")]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="Where to train; auto takes a GPU if there is one."),
]
EarlyStop = Annotated[
    bool, typer.Option("--early-stop", help="End when rows that were held out no longer get better.")
]
ReplayShare = Annotated[
    float,
    typer.Option(help="How much of each round repeats earlier lessons, as far as there are any: 0 to 0.9."),
]
TeachAgain = Annotated[
    bool,
    typer.Option("--teach-again", help="Starting over from base: teach all rows of earlier lessons again."),
]
PublishOption = Annotated[
    Publishing,
    typer.Option(
        "--publish",
        help="What becomes of the new model: gate publishes it unless it forgot something, always does so in "
        "any case, never holds it until you decide.",
    ),
]
Advise = Annotated[
    bool,
    typer.Option(
        "--advise", help="Measure first which learning rate suits this lesson, about a minute; then use it."
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
Chosen = Literal["fp32", "int8", "all"]
VariantOption = Annotated[
    Chosen,
    typer.Option("--variant", help="fp32 is full precision, int8 the small and fast 8-bit model."),
]
Prompt = Annotated[str | None, typer.Option(help="Ask one question, print the answer and end.")]
MaxTokens = Annotated[int, typer.Option(help="Longest answer, in tokens.")]


def variants_of(chosen: Chosen) -> tuple[Variant, ...]:
    """The variants of the ONNX model that `--variant` asks for."""
    return VARIANTS if chosen == "all" else (chosen,)
