"""Whether the ONNX model still fits the trained one, in words, and one click that makes it again.

The bridge, the versions, a session and the ONNX export page say it alike, all from here.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sails import jobs, models, system
from sails.models import (
    CERTIFIED,
    FRESHNESS,
    VARIANT_TITLES,
    VARIANTS,
    Freshness,
    Situation,
    Variant,
    VariantState,
    Workspace,
)
from sails.ui.frame import go, show_errors


def look(workspace: Workspace, situation: Situation) -> dict[Variant, VariantState]:
    """Both variants of the workspace's ONNX model."""
    return models.inspect_variants(workspace.onnx_model, situation.trained.fingerprint)


def name(several: Sequence[Variant]) -> str:
    """What to call these variants in a sentence, behind "the": ONNX model, 8-bit ONNX model."""
    return "ONNX model" if len(several) != 1 else f"{VARIANT_TITLES[several[0]]} ONNX model"


def each(workspace: Workspace, situation: Situation) -> list[str]:
    """A line for each variant that is there: whether it is fresh, whether it is certified."""
    return [
        f"**{VARIANT_TITLES[variant].capitalize()}:** "
        f"{sign_of(jobs.freshness_of(state, situation.trained))}. {proof_of(state.certified)}."
        for variant, state in look(workspace, situation).items()
        if state.present
    ]


def sign_of(way: Freshness) -> str:
    """How it stands to the trained model, in a sign and a word or two."""
    return f"{FRESHNESS[way].sign} {FRESHNESS[way].title}"


def proof_of(certified: bool | None) -> str:
    """Whether it is proven, in a sign and a few words."""
    return f"{CERTIFIED[certified].sign} {CERTIFIED[certified].title}"


def make_again(workspace: Workspace, key: str) -> None:
    """What is out of date, and the button that makes it again; draws nothing when all is fresh.

    Where there is a trained model and no ONNX model at all, it offers to make that.
    """
    situation = workspace.situation()
    found = look(workspace, situation)
    wanted = jobs.to_refresh(situation.trained, found)
    if wanted:
        sentence = f"⚠️ The {name(wanted)} is not made from the current model."
        label = f"Make the {name(wanted)} again"
    elif situation.trained.complete and not any(state.present for state in found.values()):
        wanted, sentence, label = VARIANTS, "There is no ONNX model of it yet.", "Make the ONNX model"
    else:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(sentence, width="content")
        button(workspace, wanted, label, key)


def button(
    workspace: Workspace, wanted: tuple[Variant, ...], label: str, key: str, *, primary: bool = False
) -> None:
    """One click that makes these variants, verified, and shows how far it is."""
    running = jobs.running_export(workspace, workspace.onnx_model)
    if running:
        if st.button("See how far it is", key=key, icon=":material/visibility:"):
            go("ONNX export")
        return
    if st.button(
        label,
        key=key,
        type="primary" if primary else "secondary",
        icon=":material/refresh:",
        disabled=system.view_only(),
    ):
        start(workspace, wanted)


def start(workspace: Workspace, wanted: tuple[Variant, ...] = VARIANTS) -> None:
    """Start making these variants, verified, and go where that can be watched, also if it goes on already."""
    if jobs.running_export(workspace, workspace.onnx_model):
        go("ONNX export")
    with show_errors() as failed:
        job = jobs.export_current(workspace, variants=wanted)
    if not failed:
        go("ONNX export", job=job.id)
