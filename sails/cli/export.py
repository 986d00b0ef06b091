"""`sails convert`, `baseline`, `bundle` and `base`: models to export, compare with, hand over, start from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from sails import jobs, models
from sails.cli import options
from sails.cli.chat import answer_once
from sails.cli.follow import follow, print_table, progress_bar, say_certificates
from sails.cli.output import say, say_json, warn
from sails.errors import JobError, ModelLoadError, RequestError
from sails.models import VARIANT_TITLES, VARIANTS, Variant, Workspace
from sails.onnx import about, choose_for_bundle, make_bundle, make_bundle_folder
from sails.retention import UNRELATED
from sails.sessions import Session
from sails.system import gigabytes, megabytes

base_app = typer.Typer(help="The base models that training can start from.", no_args_is_help=True)


def convert(
    model_path: Annotated[
        Path | None, typer.Option(help="The trained model. Default: the workspace's.")
    ] = None,
    folder: options.WorkspaceOption = None,
    onnx_output: options.OnnxOutput = None,
    opset_version: options.Opset = None,
    variant: options.VariantOption = "all",
    verify: options.Verify = False,
    keep_failed: Annotated[
        Variant | None,
        typer.Option(help="Make nothing; use this variant, whose certificate failed, all the same."),
    ] = None,
) -> None:
    """Export the trained model to ONNX, and with --verify prove that it answers the same."""
    workspace = Workspace.open(folder, output_dir=model_path, onnx_output=onnx_output)
    if keep_failed is not None:
        models.keep_failed(workspace.onnx_model, keep_failed)
        where = models.variant_folder(workspace.onnx_model, keep_failed)
        say(f"⚠️ The {VARIANT_TITLES[keep_failed]} model lies in {where} now.")
        say("   It does not answer like the original; its certificate says so.")
        return
    variants = options.variants_of(variant)
    follow_export(jobs.export_current(workspace, verify=verify, opset=opset_version, variants=variants))
    say(f"✅ ONNX model written to {models.variant_folder(workspace.onnx_model, variants[0])}")


def baseline(
    model_name: Annotated[
        str, typer.Option(help="The base model to export (see `sails base list`).")
    ] = models.DEFAULT_BASE_MODEL,
    baseline_output: Annotated[Path, typer.Option(help="Where to write it.")] = Path("baseline_onnx"),
    folder: options.WorkspaceOption = None,
    variant: options.VariantOption = "all",
    verify: options.VerifyUnlessNot = True,
    test: Annotated[bool, typer.Option("--test", help="Ask it one question afterwards.")] = False,
) -> None:
    """Export a base model untrained, to compare the trained one with."""
    target = baseline_output.expanduser().resolve()
    variants = options.variants_of(variant)
    workspace = Workspace.open(folder)
    follow_export(jobs.export_base(workspace, model_name, target, verify=verify, variants=variants))
    say(f"✅ The untrained {model_name} lies in {target}")
    if test:
        answer_once(target, UNRELATED, 64)


def follow_export(job: Session) -> None:
    """Follow an export job to its end; raises `JobError` unless it succeeded."""
    status = follow(job)
    say_certificates(status.results.certificates)
    if status.state != "succeeded":
        failure = status.failure
        reason = failure.message if failure else f"it was {status.state}"
        raise JobError(f"The export failed: {reason}", failure.remedy if failure else "Run it again.")


# --- handing over ---------------------------------------------------------------------------------


def bundle(
    variant: Annotated[
        Variant | None, typer.Option(help=f"{' or '.join(VARIANTS)}. Default: the one that the chat prefers.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The file or folder to write. Default: model-VARIANT.zip here.")
    ] = None,
    shape: Annotated[
        Literal["zip", "folder"],
        typer.Option("--format", help="zip runs by itself; folder is what ORTModelForCausalLM loads."),
    ] = "zip",
    allow_uncertified: Annotated[
        bool, typer.Option("--allow-uncertified", help="Also a model whose certificate failed or is missing.")
    ] = False,
    model_path: Annotated[Path | None, typer.Option(help="The ONNX model. Default: the workspace's.")] = None,
    folder: options.WorkspaceOption = None,
) -> None:
    """Pack a model to hand over, with all that answering needs and a card that says what it is."""
    workspace = Workspace.open(folder)
    onnx = model_path.expanduser().resolve() if model_path else workspace.onnx_model
    trained = workspace.situation().trained.fingerprint
    preferred = models.preferred_variant(models.inspect_variants(onnx, trained))
    wanted = variant or preferred or next(iter(models.inspect_failed_variants(onnx, trained)), None)
    if wanted is None:
        raise RequestError(f"There is no ONNX model in {onnx}.", "Make one first: sails convert --verify")
    target = (output or Path(f"model-{wanted}{'.zip' if shape == 'zip' else ''}")).expanduser().absolute()
    models.check_output(target)
    chosen = choose_for_bundle(onnx, wanted, allow_failed=allow_uncertified)
    if model_path is None and trained is not None and chosen.fingerprint != trained:
        freshness = jobs.freshness_of(workspace, chosen, workspace.situation().trained)
        warn(models.refresh_advice(freshness, f"{VARIANT_TITLES[wanted]} model"))
    make = make_bundle if shape == "zip" else make_bundle_folder
    with progress_bar() as report:
        known = about(workspace, chosen.fingerprint)
        made = make(onnx, wanted, target, known=known, allow_failed=allow_uncertified, progress=report)
    proven = "certified" if made.certified else "⚠️ not certified"
    say(f"✅ {made.path} ({megabytes(made.size)}): the {VARIANT_TITLES[wanted]} model, {proven}.")
    if shape == "zip":
        say("Whoever gets it unpacks it and reads README.md; it needs Python, and no part of MTN Sails.")


# --- base models ---------------------------------------------------------------------------------


@base_app.command("list")
def base_list(as_json: options.AsJson = False) -> None:
    """The base models known by name, and which are here already."""
    known = [(model, models.base_model_path(model)) for model in models.base_models()]
    if as_json:
        say_json([{**asdict(model), "here": path is not None, "path": path} for model, path in known])
        return
    rows = [
        (
            model.name,
            f"{model.parameters / 1e6:.0f}M",
            megabytes(model.download_bytes),
            gigabytes(model.training_memory_bytes),
            model.licence,
            "yes" if path else "no",
            model.note,
        )
        for model, path in known
    ]
    columns = ("name", "size", "download", "memory to train", "licence", "here", "what it can do")
    print_table("Base models (any other Hugging Face name or local folder works too)", columns, rows)


@base_app.command("fetch")
def base_fetch(
    name: Annotated[
        str, typer.Argument(help="A name from `sails base list`, a hub name, or a folder.")
    ] = models.DEFAULT_BASE_MODEL,
) -> None:
    """Fetch a base model now, so that training later needs no network."""
    model = models.find_base_model(name)
    if models.base_model_path(model):
        say(f"✅ {model.name} is here already.")
        return
    with progress_bar() as report:
        path = models.ensure_base_model(name, report)
    if not models.inspect_model(path).complete:
        raise ModelLoadError(f"{name} was fetched but is not complete.", "Fetch it again.")
    say(f"✅ {model.name} is ready.")
