"""`sails train` and `sails pipeline`: read, judge, announce, submit, follow.

Not here: what happens inside a session; that is `sails.worker`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sails import library
from sails.behavior import Start
from sails.commands import options
from sails.commands.data import column_mapping, say_problems, say_reading
from sails.commands.models import answer_once
from sails.commands.terminal import announce, conclude, follow, say, say_certificate, warn
from sails.conversations import ColumnMapping, assess, read
from sails.errors import QualityError, RequestError
from sails.launchers import local
from sails.sessions import Settings
from sails.workspace import Workspace


def train(
    data_file: options.DataFile,
    workspace: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    model_name: options.ModelName = None,
    start: options.StartOption = "auto",
    preset: options.PresetOption = "balanced",
    max_steps: options.MaxSteps = None,
    seed: options.Seed = 42,
    max_length: options.MaxLength = 512,
    device: options.Device = "auto",
    early_stop: options.EarlyStop = False,
    name: options.Name = None,
    question_column: options.QuestionColumn = None,
    answer_column: options.AnswerColumn = None,
    force: options.Force = False,
    detach: options.Detach = False,
) -> None:
    """Teach the model your conversations.

    Whether it starts from a base model or continues, and how fast it learns, follows from what the
    workspace holds; it says so, and why, before it begins. Ctrl-C stops at the next step, and
    `sails sessions resume` goes on from there.
    """
    settings = _settings(
        preset=preset,
        epochs=epochs,
        batch_size=batch_size,
        max_steps=max_steps,
        learning_rate=learning_rate,
        seed=seed,
        max_length=max_length,
        early_stop=early_stop,
        device=device,
    )
    place = Workspace.open(workspace, output_dir=output_dir)
    _train(
        place,
        data_file,
        settings,
        mapping=column_mapping(question_column, answer_column),
        name=name,
        start=start,
        model_name=model_name,
        force=force,
        detach=detach,
    )


def pipeline(
    data_file: options.DataFile,
    workspace: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    onnx_output: options.OnnxOutput = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    learning_rate: options.LearningRate = None,
    model_name: options.ModelName = None,
    start: options.StartOption = "auto",
    preset: options.PresetOption = "balanced",
    max_steps: options.MaxSteps = None,
    seed: options.Seed = 42,
    max_length: options.MaxLength = 512,
    device: options.Device = "auto",
    early_stop: options.EarlyStop = False,
    name: options.Name = None,
    question_column: options.QuestionColumn = None,
    answer_column: options.AnswerColumn = None,
    force: options.Force = False,
    opset_version: options.Opset = None,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Compare the ONNX model's answers with the original's."),
    ] = True,
    prompt: options.Prompt = None,
    max_tokens: options.MaxTokens = 128,
) -> None:
    """Train, export to ONNX, verify and, with --prompt, ask a first question: all in one."""
    settings = _settings(
        preset=preset,
        epochs=epochs,
        batch_size=batch_size,
        max_steps=max_steps,
        learning_rate=learning_rate,
        seed=seed,
        max_length=max_length,
        early_stop=early_stop,
        device=device,
    )
    place = Workspace.open(workspace, output_dir=output_dir, onnx_output=onnx_output)
    published = _train(
        place,
        data_file,
        settings,
        mapping=column_mapping(question_column, answer_column),
        name=name,
        start=start,
        model_name=model_name,
        force=force,
        export=True,
        verify=verify,
        opset=opset_version,
    )
    if prompt and published:
        answer_once(place.onnx_model, prompt, max_tokens)


def _settings(**values: Any) -> Settings:
    """Settings from options, or one sentence naming the first that is out of range."""
    try:
        return Settings(**values)
    except ValueError as error:
        first = error.errors()[0]  # type: ignore[attr-defined]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise RequestError(f"{option} {first['input']} is out of range: {first['msg'].lower()}.") from error


def _train(
    place: Workspace,
    data_file: Path,
    settings: Settings,
    *,
    mapping: ColumnMapping | None,
    name: str | None,
    start: Start,
    model_name: str | None,
    force: bool,
    detach: bool = False,
    **export: Any,
) -> bool:
    """Read, judge, announce, submit and follow one training session; whether its model was published."""
    plan = local.plan_training(
        place, start=start, model_name=model_name, learning_rate=settings.learning_rate
    )
    reading = read(data_file, mapping)
    report = assess(reading.conversations, reading.refused)
    say_reading(reading, report)
    if report.grade == "critical" and not force:
        say_problems(report)
        raise QualityError(
            f"The quality of {data_file.name} is critical ({report.score:.0%}), so nothing was taught.",
            "Improve the rows above or keep only the good ones with `sails validate --filter`; "
            "--force trains all the same.",
        )
    dataset = library.add(place, data_file, reading, report, keep_all=force)
    if dataset.left_out:
        say(f"{dataset.left_out} of {len(reading.conversations)} rows are left out (see `sails validate`).")
    announce(plan)
    session = local.submit(
        place,
        dataset.name,
        settings,
        name=name,
        start=start,
        model_name=model_name,
        **export,
    )
    if detach:
        say(session.id)
        return False
    warn(f"Session {session.id}")
    status = follow(session, place)
    if status.plan and status.plan.reason != plan.reason:  # decided anew when its turn came
        announce(status.plan)
    conclude(session, status)
    if status.results.certificate:
        say_certificate(status.results.certificate)
    if place.situation().onnx.stale:
        say("⚠️ The ONNX model is older than the trained model now; refresh it with: sails convert")
    return status.verdict == "published"
