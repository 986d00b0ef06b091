"""`sails train` and `sails pipeline`: read, judge, announce, submit, follow.

Not here: what happens inside a session; that is `sails.jobs.train`.
"""

from __future__ import annotations

from typing import Any

from sails import data, jobs
from sails.cli import options
from sails.cli.chat import answer_once
from sails.cli.data import column_mapping, say_problems, say_reading
from sails.cli.follow import (
    announce,
    conclude,
    follow,
    plan_of,
    print_table,
    progress_bar,
    refresh_hint,
    say_certificates,
)
from sails.cli.options import TrainRequest, with_options
from sails.cli.output import say, warn
from sails.data import read
from sails.errors import JobError, QualityError, RequestError
from sails.models import Workspace
from sails.sessions import Advice, Plan, Settings, Trial, format_rate
from sails.system import count
from sails.training import plan
from sails.training.plan import Choices, expect, lessons_then, plan_training


@with_options()
def train(request: TrainRequest, settings: Settings, detach: options.Detach = False) -> None:
    """Teach the model your conversations.

    Whether it starts from a base model or continues, and how fast it learns, follows from what the
    workspace holds; it says so, and why, before it begins. Ctrl-C stops at the next step, and
    `sails sessions resume` goes on from there.
    """
    _train(Workspace.open(request.workspace, output_dir=request.output_dir), request, settings, detach=detach)


@with_options()
def pipeline(
    request: TrainRequest,
    settings: Settings,
    onnx_output: options.OnnxOutput = None,
    opset_version: options.Opset = None,
    variant: options.VariantOption = "all",
    verify: options.VerifyUnlessNot = True,
    prompt: options.Prompt = None,
    max_tokens: options.MaxTokens = 128,
) -> None:
    """Train, export to ONNX, verify and, with --prompt, ask a first question: all in one."""
    workspace = Workspace.open(request.workspace, output_dir=request.output_dir, onnx_output=onnx_output)
    export: dict[str, Any] = {"export": True, "verify": verify, "opset": opset_version}
    published = _train(workspace, request, settings, variants=options.variants_of(variant), **export)
    if prompt and published:
        answer_once(workspace.onnx_model, prompt, max_tokens)


def _train(
    workspace: Workspace, request: TrainRequest, settings: Settings, *, detach: bool = False, **export: Any
) -> bool:
    """Read, judge, announce, submit and follow one training session; whether its model was published."""
    if request.advise and settings.learning_rate is not None:
        raise RequestError(
            "--advise measures the learning rate that --learning-rate says.", "Leave out one of the two."
        )
    first = plan_training(
        workspace,
        start=request.start,
        model_name=request.model_name,
        learning_rate=settings.learning_rate,
        expected=expect(workspace),
    )
    _refuse_to_teach_again(workspace, first, settings)
    mapping = column_mapping(
        request.question_column, request.answer_column, request.system_column, request.context_column
    )
    with progress_bar() as report_progress:
        reading = read(request.data_file, mapping, assistant=request.assistant, progress=report_progress)
    report = reading.assess()
    say_reading(reading, report)
    if report.grade == "critical" and not request.force:
        say_problems(report)
        raise QualityError(
            f"The quality of {request.data_file.name} is critical ({report.score:.0%}), "
            "so nothing was taught.",
            "Improve the rows above or keep only the good ones with `sails validate --filter`; "
            "--force trains all the same.",
        )
    dataset = data.add(workspace, request.data_file, reading, report, keep_all=request.force)
    if dataset.left_out:
        total = count(len(reading.conversations), "row")
        say(f"Left out: {dataset.left_out} of {total} (see `sails validate`).")
    choices = Choices((dataset.name,), settings, start=request.start, model_name=request.model_name)
    if request.advise:
        settings = _measured(workspace, choices)
    session = jobs.submit_training(
        workspace,
        dataset.name,
        settings,
        name=request.name,
        start=request.start,
        model_name=request.model_name,
        advice=jobs.advice_for(workspace, choices),
        **export,
    )
    plan = plan_of(session)
    announce(plan)
    if detach:
        say(session.id)
        return False
    warn(f"Session {session.id}")
    status = follow(session, workspace)
    if status.plan and status.plan.reason != plan.reason:  # decided anew when its turn came
        announce(status.plan)
    conclude(session, status)
    say_certificates(status.results.certificates)
    if hint := refresh_hint(workspace):
        say(hint)
    return status.verdict == "published"


def _refuse_to_teach_again(workspace: Workspace, plan: Plan, settings: Settings) -> None:
    """Teaching the earlier lessons again is for a model that starts over, and has earlier lessons here."""
    if not settings.teach_again:
        return
    if plan.start_from == "trained":
        raise RequestError(
            "A model that continues was taught its earlier lessons already.",
            "Add --start base to start over, or choose --replay-share.",
        )
    if not lessons_then(workspace, expect(workspace)):
        raise RequestError("There are no earlier lessons to teach again.", "Leave out --teach-again.")


def _measured(workspace: Workspace, choices: Choices) -> Settings:
    """The settings with the learning rate that is measured now; unchanged where there is none to advise."""
    if refusal := jobs.why_not(plan.forecast_training(workspace, choices)):
        say(refusal.sentence)
        return choices.settings
    say("Measuring which learning rate suits this lesson …")
    status = follow(jobs.start_measurement(workspace, choices))
    if status.failure:
        raise JobError(f"The learning rate was not measured: {status.failure.message}", status.failure.remedy)
    advice = status.results.advice
    if advice is None:
        raise JobError("The learning rate was not measured: it was stopped.", "Start it again.")
    rows = [("before", "", *_losses(advice))]
    for trial in advice.trials:
        rows.append((format_rate(trial.learning_rate), str(trial.steps), *_losses(trial)))
    losses_on = ("new examples (loss)", "earlier ones (loss)", "general questions (KL)")
    print_table("", ("learning rate", "steps", *losses_on), rows)
    say(advice.reason)
    if advice.learning_rate is None:
        say("It trains at the automatic learning rate.")
    return choices.settings.model_copy(update={"learning_rate": advice.learning_rate})


def _losses(measured: Advice | Trial) -> tuple[str, ...]:
    losses = (measured.new_loss, measured.old_loss, measured.general_loss)
    return tuple("" if loss is None else f"{loss:.3f}" for loss in losses)
