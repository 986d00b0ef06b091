"""`sails status` and `sails reset`: what is here now, and starting afresh."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from sails import jobs, models, sessions
from sails.chat import feedback
from sails.cli import options
from sails.cli.follow import refresh_hint
from sails.cli.output import say, say_json
from sails.errors import RequestError
from sails.models import CERTIFIED, FRESHNESS, VARIANT_TITLES, ModelState, VariantState, Workspace
from sails.sessions import describe_plan, format_rate
from sails.system import megabytes
from sails.training.plan import expect, plan_training


def status(
    folder: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    onnx_output: options.OnnxOutput = None,
    as_json: options.AsJson = False,
) -> None:
    """What the workspace holds, and what the next training will do."""
    workspace = Workspace.open(folder, output_dir=output_dir, onnx_output=onnx_output)
    if workspace.root.exists():
        jobs.dispatch(workspace)
    situation = workspace.situation()
    trained = situation.trained
    variants = models.inspect_variants(workspace.onnx_model, trained.fingerprint, trained.tokenizer)
    failed = models.inspect_failed_variants(workspace.onnx_model, situation.trained.fingerprint)
    plan = plan_training(workspace, expected=expect(workspace))
    running = sessions.running(workspace)
    queue = [entry.id for entry in sessions.waiting(workspace)]
    corrections = feedback.counts(workspace)
    if as_json:
        trained, onnx = situation.trained, situation.onnx
        say_json(
            {
                "workspace": workspace.root,
                "trained": {
                    "path": trained.path,
                    "state": trained.state,
                    "reason": trained.reason,
                    "fingerprint": trained.fingerprint,
                    "base": trained.base,
                    "session": trained.session,
                },
                "onnx": {
                    "path": onnx.path,
                    "state": onnx.state,
                    "stale": onnx.stale,
                    "fingerprint": onnx.fingerprint,
                    "freshness": jobs.freshness(workspace, situation),
                    "variants": {v: _variant(workspace, state, trained) for v, state in variants.items()},
                    "kept_apart": {v: _variant(workspace, state, trained) for v, state in failed.items()},
                    "preferred": models.preferred_variant(variants),
                },
                "plan": plan.model_dump(),
                "running": running.brief() if running else None,
                "queue": queue,
                "corrections": asdict(corrections),
            }
        )
        return
    say(f"Workspace      {workspace.root}")
    reason = f": {situation.trained.reason}" if situation.trained.reason else ""
    say(f"Trained model  {situation.trained.state}{reason}")
    say(f"ONNX model     {FRESHNESS[jobs.freshness(workspace, situation)].phrase}")
    for variant, state in variants.items():
        if state.present:
            words = FRESHNESS[jobs.freshness_of(workspace, state, trained)].phrase
            size = megabytes(state.size)
            proven = CERTIFIED[state.certified].phrase
            say(f"               {VARIANT_TITLES[variant]}: {words}, {proven}, {size}")
    for variant, state in failed.items():
        title = VARIANT_TITLES[variant]
        say(f"               {title}: ❌ kept apart because its certificate failed: {state.path}")
    if hint := refresh_hint(workspace):
        say(f"               {hint}")
    say(f"Next training  {describe_plan(plan)}")
    say(f"               from {plan.model}, learning rate {format_rate(plan.learning_rate)}")
    if running:
        say(f"Running        {running.spec.id}: {running.status.phase} {running.status.message}")
    if queue:
        say(f"Waiting        {', '.join(queue)}")
    if corrections.waiting or corrections.approved:
        say(
            f"Corrections    {corrections.waiting} wait for a review, "
            f"{corrections.approved} approved and not taught"
        )


def _variant(workspace: Workspace, state: VariantState, trained: ModelState) -> dict[str, object]:
    return {
        "path": state.path,
        "present": state.present,
        "freshness": jobs.freshness_of(workspace, state, trained),
        "certified": state.certified,
        "fingerprint": state.fingerprint,
        "bytes": state.size,
    }


def reset(
    folder: options.WorkspaceOption = None,
    output_dir: options.OutputDir = None,
    onnx_output: options.OnnxOutput = None,
    force: Annotated[bool, typer.Option("--force", help="Do not ask.")] = False,
) -> None:
    """Start afresh: the trained model becomes a version that can be rolled back to; its ONNX export goes."""
    workspace = Workspace.open(folder, output_dir=output_dir, onnx_output=onnx_output)
    situation = workspace.situation()
    if situation.trained.state == "missing" and not situation.onnx.present:
        say("There is nothing to reset.")
        return
    if not force:
        if not sys.stdin.isatty():
            raise RequestError("A reset must be confirmed.", "Add --force.")
        say(f"{workspace.trained_model} is put away as a version, and {workspace.onnx_model} is deleted.")
        if not typer.confirm("Go on?"):
            return
    kept = models.unpublish(workspace)
    say("✅ Ready to train from base." + (f" The model was kept as {kept.name}." if kept else ""))
