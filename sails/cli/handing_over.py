"""`sails bundle`: a model to take away, as one zip file that runs by itself or as a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sails.cli import options
from sails.cli.follow import progress_bar
from sails.cli.output import say, warn
from sails.errors import RequestError
from sails.models import variants
from sails.models.variants import VARIANT_TITLES, Variant
from sails.models.workspace import Workspace
from sails.onnx import bundle as bundling
from sails.onnx import model_card
from sails.onnx.bundle import choose_for_bundle, make_bundle_folder


def bundle(
    variant: Annotated[
        Variant | None, typer.Option(help="fp32 or int8. Default: the one that the chat prefers.")
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
    workspace: options.WorkspaceOption = None,
) -> None:
    """Pack a model to hand over, with all that answering needs and a card that says what it is."""
    place = Workspace.open(workspace)
    onnx = model_path.expanduser().resolve() if model_path else place.onnx_model
    trained = place.situation().trained.fingerprint
    found = variants.preferred_variant(variants.inspect_variants(onnx, trained))
    wanted = variant or found or next(iter(variants.inspect_failed_variants(onnx, trained)), None)
    if wanted is None:
        raise RequestError(f"There is no ONNX model in {onnx}.", "Make one first: sails convert --verify")
    target = (output or Path(f"model-{wanted}{'.zip' if shape == 'zip' else ''}")).expanduser().absolute()
    chosen = choose_for_bundle(onnx, wanted, allow_failed=allow_uncertified)
    if model_path is None and trained is not None and chosen.fingerprint != trained:
        warn(
            f"⚠️ The {VARIANT_TITLES[wanted]} model is older than the trained model; refresh it with: sails convert"
        )
    make = bundling.make_bundle if shape == "zip" else make_bundle_folder
    with progress_bar() as report:
        made = make(
            onnx,
            wanted,
            target,
            known=model_card.about(place, chosen.fingerprint),
            allow_failed=allow_uncertified,
            progress=report,
        )
    proven = "certified" if made.certified else "⚠️ not certified"
    say(f"✅ {made.path} ({made.size / 1e6:,.0f} MB): the {VARIANT_TITLES[wanted]} model, {proven}.")
    if shape == "zip":
        say("Whoever gets it unpacks it and reads README.md; it needs Python, and no part of MTN Sails.")
