"""Whether the ONNX model still fits the trained one, in words, and one click that makes it again.

The bridge, the versions, a session and the ONNX export page say it alike, all from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import streamlit as st

from sails import jobs, models, sessions, system
from sails.models import VARIANT_TITLES, VARIANTS, Situation, Variant, VariantState, Workspace
from sails.sessions import SessionRecord, TrainSpec
from sails.ui.frame import go, show_errors, stop_on_error
from sails.ui.text import symbol
from sails.ui.widgets import change_button

REFRESH_SECONDS = 3


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
        f"{freshness_label(jobs.freshness_of(workspace, state, situation.trained))}. "
        f"{certificate_label(state.certified)}."
        for variant, state in variant_states(workspace, situation).items()
        if state.present
    ]


def freshness_label(freshness: models.Freshness) -> str:
    """Say how it stands to the trained model, in a sign and a word or two."""
    return f"{symbol(models.FRESHNESS[freshness].sign)} {models.FRESHNESS[freshness].title}"


def certificate_label(certified: bool | None) -> str:
    """Say whether it is proven, in a sign and a few words."""
    return f"{symbol(models.CERTIFIED[certified].sign)} {models.CERTIFIED[certified].title}"


def making_onnx(workspace: Workspace) -> SessionRecord | None:
    """Return the job that makes the ONNX model right now, or the training that is about it at its end."""
    if job := jobs.running_export(workspace, workspace.onnx_model):
        return job
    training = sessions.running(workspace)
    if training is None or training.status.phase != "export" or not isinstance(training.spec, TrainSpec):
        return None
    return training if training.spec.onnx_model == workspace.onnx_model else None


def redraw_when_models_change(workspace: Workspace) -> None:
    """Draw the page anew as soon as a training begins or ends, or as other models are here or being made."""
    st.fragment(_redraw_if_changed, run_every=REFRESH_SECONDS)(workspace, _models(workspace))


def _redraw_if_changed(workspace: Workspace, before: tuple[object, ...]) -> None:
    with stop_on_error():
        if _models(workspace) != before:
            st.rerun()


def _models(workspace: Workspace) -> tuple[object, ...]:
    situation, making = workspace.situation(), making_onnx(workspace) is not None
    onnx = situation.onnx
    training = system.is_held(workspace.training_lock)
    return training, making, situation.trained.fingerprint, onnx.present, onnx.fingerprint, onnx.stale


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
    if making_onnx(workspace):
        sentence = "The ONNX model of it is being made."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(sentence, width="content")
        export_button(workspace, variants, label, key)


def export_button(
    workspace: Workspace, variants: tuple[Variant, ...], label: str, key: str, *, primary: bool = False
) -> None:
    """Draw the button that makes these variants, verified, or leads to where they are being made."""
    if record := making_onnx(workspace):
        if st.button("See how far it is", key=key, icon=":material/visibility:"):
            _watch(record)
        return
    if change_button(label, "refresh", key, type="primary" if primary else "secondary"):
        start_export(workspace, variants)


def start_export(workspace: Workspace, variants: tuple[Variant, ...] = VARIANTS) -> None:
    """Start making these variants, verified, and go where that can be watched, also if it goes on already."""
    if record := making_onnx(workspace):
        _watch(record)
    with show_errors() as failed:
        job = jobs.export_current(workspace, variants=variants)
    if not failed:
        go("ONNX export", job=job.id)


def _watch(record: SessionRecord) -> NoReturn:
    if isinstance(record.spec, TrainSpec):
        go("Train", session=record.session.id)
    go("ONNX export")
