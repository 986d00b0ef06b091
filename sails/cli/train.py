"""`sails train` and `sails pipeline`: read, judge, announce, submit, follow.

Not here: what happens inside a session; that is `sails.jobs.train`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sails import data, jobs, retention
from sails.cli import options
from sails.cli.chat import answer_once
from sails.cli.data import column_mapping, say_problems, say_reading
from sails.cli.follow import announce, conclude, follow, say_certificates, table, to_refresh
from sails.cli.output import say, warn
from sails.data import ColumnMapping, assess, read
from sails.errors import JobError, QualityError, RequestError
from sails.models import Workspace
from sails.sessions import Advice, Plan, Settings, Start, format_rate
from sails.training import plan
from sails.training.plan import Choices, plan_training


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
    replay_share: options.ReplayShare = 0.5,
    teach_again: options.TeachAgain = False,
    publish: options.PublishOption = "gate",
    advise: options.Advise = False,
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
        replay_share=replay_share,
        teach_again=teach_again,
        publish=publish,
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
        advise=advise,
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
    replay_share: options.ReplayShare = 0.5,
    teach_again: options.TeachAgain = False,
    publish: options.PublishOption = "gate",
    advise: options.Advise = False,
    name: options.Name = None,
    question_column: options.QuestionColumn = None,
    answer_column: options.AnswerColumn = None,
    force: options.Force = False,
    opset_version: options.Opset = None,
    variant: options.VariantOption = "all",
    verify: options.VerifyUnlessNot = True,
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
        replay_share=replay_share,
        teach_again=teach_again,
        publish=publish,
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
        advise=advise,
        export=True,
        verify=verify,
        opset=opset_version,
        variants=options.variants_of(variant),
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
    advise: bool = False,
    detach: bool = False,
    **export: Any,
) -> bool:
    """Read, judge, announce, submit and follow one training session; whether its model was published."""
    if advise and settings.learning_rate is not None:
        raise RequestError(
            "--advise measures the learning rate that --learning-rate says.", "Leave out one of the two."
        )
    plan = plan_training(place, start=start, model_name=model_name, learning_rate=settings.learning_rate)
    _refuse_to_teach_again(place, plan, settings)
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
    dataset = data.add(place, data_file, reading, report, keep_all=force)
    if dataset.left_out:
        say(f"{dataset.left_out} of {len(reading.conversations)} rows are left out (see `sails validate`).")
    choices = Choices((dataset.name,), settings, start=start, model_name=model_name)
    if advise:
        settings = _measured(place, choices)
    advice = jobs.advice_for(place, choices)
    plan = plan_training(
        place, start=start, model_name=model_name, learning_rate=settings.learning_rate, advice=advice
    )
    announce(plan)
    session = jobs.submit_training(
        place,
        dataset.name,
        settings,
        name=name,
        start=start,
        model_name=model_name,
        advice=advice,
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
    say_certificates(status.results.certificates)
    for line in to_refresh(place):
        say(line)
    return status.verdict == "published"


def _refuse_to_teach_again(place: Workspace, plan: Plan, settings: Settings) -> None:
    """Teaching the earlier lessons again is for a model that starts over, and has earlier lessons here."""
    if not settings.teach_again:
        return
    if plan.start_from == "trained":
        raise RequestError(
            "A model that continues was taught its earlier lessons already.",
            "Add --start base to start over, or choose --replay-share.",
        )
    if not retention.taught_to(place, place.situation().trained.fingerprint):
        raise RequestError("There are no earlier lessons to teach again.", "Leave out --teach-again.")


def _measured(place: Workspace, choices: Choices) -> Settings:
    """The settings with the learning rate that is measured now; unchanged where there is none to advise."""
    if refusal := jobs.why_not(plan.foresee(place, choices)):
        say(refusal.sentence)
        return choices.settings
    say("Measuring which learning rate suits this lesson …")
    status = follow(jobs.start_measurement(place, choices))
    if status.failure:
        raise JobError(f"The learning rate was not measured: {status.failure.message}", status.failure.remedy)
    advice = status.results.advice
    if advice is None:
        raise JobError("The learning rate was not measured: it was stopped.", "Start it again.")
    table("", ("learning rate", "steps", "new examples (loss)", "earlier ones (loss)"), _trials(advice))
    say(advice.reason)
    return choices.settings.model_copy(update={"learning_rate": advice.learning_rate})


def _trials(advice: Advice) -> list[tuple[str, ...]]:
    before = ("before", "", f"{advice.new_loss:.3f}", f"{advice.old_loss:.3f}")
    tried = [
        (format_rate(t.learning_rate), str(t.steps), f"{t.new_loss:.3f}", f"{t.old_loss:.3f}")
        for t in advice.trials
    ]
    return [before, *tried]
