"""`sails convert`, `baseline`, `chat` and `base`: models to export, to talk with, to start from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sails import base_models, exporting
from sails.commands import options
from sails.commands.terminal import follow, progress_bar, say, say_certificates, say_json, table, warn
from sails.errors import JobError, ModelLoadError, RequestError
from sails.questions import UNRELATED
from sails.sessions import Session
from sails.variants import TITLES, Variant, folder_of, look, preferred
from sails.workspace import Workspace, inspect_model, inspect_onnx

base_app = typer.Typer(help="The base models that training can start from.", no_args_is_help=True)


def convert(
    model_path: Annotated[
        Path | None, typer.Option(help="The trained model. Default: the workspace's.")
    ] = None,
    workspace: options.WorkspaceOption = None,
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
    place = Workspace.open(workspace, output_dir=model_path, onnx_output=onnx_output)
    if keep_failed is not None:
        exporting.keep_failed(place, keep_failed)
        say(f"⚠️ The {TITLES[keep_failed]} model lies in {folder_of(place.onnx_model, keep_failed)} now.")
        say("   It does not answer like the original; its certificate says so.")
        return
    variants = options.variants_of(variant)
    _follow(exporting.export_current(place, verify=verify, opset=opset_version, variants=variants))
    say(f"✅ ONNX model written to {place.onnx_model}")


def baseline(
    model_name: Annotated[
        str, typer.Option(help="The base model to export (see `sails base list`).")
    ] = base_models.DEFAULT,
    baseline_output: Annotated[Path, typer.Option(help="Where to write it.")] = Path("baseline_onnx"),
    workspace: options.WorkspaceOption = None,
    variant: options.VariantOption = "all",
    verify: options.VerifyUnlessNot = True,
    test: Annotated[bool, typer.Option("--test", help="Ask it one question afterwards.")] = False,
) -> None:
    """Export a base model untrained, to compare the trained one with."""
    target = baseline_output.expanduser().resolve()
    variants = options.variants_of(variant)
    place = Workspace.open(workspace)
    _follow(exporting.export_base(place, model_name, target, verify=verify, variants=variants))
    say(f"✅ The untrained {model_name} lies in {target}")
    if test:
        answer_once(target, UNRELATED, 64)


def _follow(job: Session) -> None:
    """Follow an export job to its end; raises `JobError` unless it succeeded."""
    status = follow(job)
    say_certificates(status.results.certificates)
    if status.state != "succeeded":
        failure = status.failure
        reason = failure.message if failure else f"it was {status.state}"
        raise JobError(f"The export failed: {reason}", failure.remedy if failure else "Run it again.")


def chat(
    model_path: Annotated[Path | None, typer.Option(help="The ONNX model. Default: the workspace's.")] = None,
    workspace: options.WorkspaceOption = None,
    prompt: options.Prompt = None,
    system: Annotated[
        str | None, typer.Option(help="What the model is told before the conversation.")
    ] = None,
    max_tokens: options.MaxTokens = 256,
    max_length: Annotated[
        int | None,
        typer.Option(help="Longest conversation the model is shown, in tokens. Default: all it can take."),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 always gives the likeliest answer.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Choose among the likeliest words.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(min=0.1, help="Above 1 avoids repeating.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes random answers repeatable.")] = None,
    device: Annotated[Literal["cpu"], typer.Option(help="Chat runs on the processor.")] = "cpu",  # noqa: ARG001
) -> None:
    """Talk with the ONNX model. Needs neither torch nor a GPU; `exit` ends it."""
    place = Workspace.open(workspace)
    folder = (model_path or place.onnx_model).expanduser().resolve()
    generator = _open_generator(folder)
    if folder == place.onnx_model and place.situation().onnx.stale:
        warn("⚠️ The ONNX model is older than the trained model; refresh it with: sails convert")
    settings = {
        "max_new_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": repetition_penalty,
        "seed": seed,
        "max_length": max_length,
    }
    opening = [{"role": "system", "content": system}] if system else []
    if prompt is not None:
        _stream(generator, [*opening, {"role": "user", "content": prompt}], settings)
        return
    say("Type a question and press Enter; `exit` ends the conversation.")
    messages = list(opening)
    while (question := _ask()) is not None:
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": _stream(generator, messages, settings)})


def _open_generator(folder: Path) -> Any:
    from sails.onnx.generate import Generator

    if inspect_onnx(folder, None).state == "missing":
        raise RequestError(f"There is no ONNX model in {folder}.", "Make one first: sails convert")
    return Generator.open(folder)


def _ask() -> str | None:
    """The next question; None when the person is done."""
    while True:
        try:
            question = input("You: ").strip()
        except (EOFError, KeyboardInterrupt):
            return None
        if question.lower() in ("exit", "quit"):
            return None
        if question:
            return question


def _stream(generator: Any, messages: list[dict[str, str]], settings: dict[str, Any]) -> str:
    pieces = []
    try:
        for piece in generator.stream(messages, **settings):
            print(piece, end="", flush=True)
            pieces.append(piece)
    except KeyboardInterrupt:
        pass
    print()
    return "".join(pieces)


def answer_once(onnx: Path, prompt: str, max_tokens: int) -> None:
    """Ask the best variant in an ONNX folder one question."""
    folder = folder_of(onnx, preferred(look(onnx, None)) or "fp32")
    say(f"You: {prompt}")
    _stream(_open_generator(folder), [{"role": "user", "content": prompt}], {"max_new_tokens": max_tokens})


# --- base models ---------------------------------------------------------------------------------


@base_app.command("list")
def base_list(as_json: options.AsJson = False) -> None:
    """The base models known by name, and which are here already."""
    models = [(model, base_models.local_path(model)) for model in base_models.catalogue()]
    if as_json:
        say_json([{**asdict(model), "here": path is not None, "path": path} for model, path in models])
        return
    rows = [
        (
            model.name,
            f"{model.parameters / 1e6:.0f}M",
            f"{model.download_bytes / 1e6:,.0f} MB",
            f"{model.training_memory_bytes / 1e9:.1f} GB",
            model.licence,
            "yes" if path else "no",
            model.note,
        )
        for model, path in models
    ]
    columns = ("name", "size", "download", "memory to train", "licence", "here", "what it can do")
    table("Base models (any other Hugging Face name or local folder works too)", columns, rows)


@base_app.command("fetch")
def base_fetch(
    name: Annotated[
        str, typer.Argument(help="A name from `sails base list`, a hub name, or a folder.")
    ] = base_models.DEFAULT,
) -> None:
    """Fetch a base model now, so that training later needs no network."""
    model = base_models.find(name)
    if base_models.local_path(model):
        say(f"✅ {model.name} is here already.")
        return
    with progress_bar() as report:
        path = base_models.ensure(name, report)
    if not inspect_model(path).complete:
        raise ModelLoadError(f"{name} was fetched but is not complete.", "Fetch it again.")
    say(f"✅ {model.name} is ready.")
