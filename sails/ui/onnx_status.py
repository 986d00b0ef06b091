"""Whether the ONNX model still fits the trained one, in words, and one click that makes it again.

The bridge, the versions, a session and the ONNX export page say it alike, all from here.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sails import jobs, models
from sails.models import VARIANT_TITLES, VARIANTS, Situation, Variant, VariantState, Workspace
from sails.ui.frame import go, show_errors
from sails.ui.widgets import change_button


def variant_states(workspace: Workspace, situation: Situation) -> dict[Variant, VariantState]:
    """Return all variants of the workspace's ONNX model as they lie on the disk."""
    trained = situation.trained
    return models.inspect_variants(workspace.onnx_model, trained.fingerprint, trained.tokenizer)


def variant_names(variants: Sequence[Variant]) -> str:
    """Name these variants in a sentence, behind "the": ONNX model, 8-bit ONNX model."""
    return "ONNX model" if len(variants) != 1 else f"{VARIANT_TITLES[variants[0]]} ONNX model"


def describe_variants(workspace: Workspace, situation: Situation) -> list[str]:
    """Return a line for each variant that is there: whether it is fresh, whether it is certified."""
    return [
        f"**{VARIANT_TITLES[variant].capitalize()}:** "
        f"{freshness_label(jobs.freshness_of(state, situation.trained))}. "
        f"{certificate_label(state.certified)}."
        for variant, state in variant_states(workspace, situation).items()
        if state.present
    ]


def freshness_label(freshness: models.Freshness) -> str:
    """Say how it stands to the trained model, in a sign and a word or two."""
    return f"{models.FRESHNESS[freshness].sign} {models.FRESHNESS[freshness].title}"


def certificate_label(certified: bool | None) -> str:
    """Say whether it is proven, in a sign and a few words."""
    return f"{models.CERTIFIED[certified].sign} {models.CERTIFIED[certified].title}"


def offer_refresh(workspace: Workspace, key: str) -> None:
    """Draw what is out of date, and the button that makes it again; nothing when all is fresh.

    Where there is a trained model and no ONNX model at all, it offers to make that.
    """
    situation = workspace.situation()
    states = variant_states(workspace, situation)
    if variants := jobs.to_refresh(situation.trained, states):
        sentence = f"⚠️ The {variant_names(variants)} is not made from the current model."
        label = f"Make the {variant_names(variants)} again"
    elif situation.trained.complete and not any(state.present for state in states.values()):
        variants, sentence, label = VARIANTS, "There is no ONNX model of it yet.", "Make the ONNX model"
    else:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(sentence, width="content")
        export_button(workspace, variants, label, key)


def export_button(
    workspace: Workspace, variants: tuple[Variant, ...], label: str, key: str, *, primary: bool = False
) -> None:
    """Draw the button that makes these variants, verified, or leads to where they are being made."""
    if jobs.running_export(workspace, workspace.onnx_model):
        if st.button("See how far it is", key=key, icon=":material/visibility:"):
            go("ONNX export")
        return
    if change_button(label, "refresh", key, type="primary" if primary else "secondary"):
        start_export(workspace, variants)


def start_export(workspace: Workspace, variants: tuple[Variant, ...] = VARIANTS) -> None:
    """Start making these variants, verified, and go where that can be watched, also if it goes on already."""
    if jobs.running_export(workspace, workspace.onnx_model):
        go("ONNX export")
    with show_errors() as failed:
        job = jobs.export_current(workspace, variants=variants)
    if not failed:
        go("ONNX export", job=job.id)
