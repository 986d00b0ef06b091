"""Taking an ONNX model away: a zip file that runs by itself, and the files as they lie here."""

from __future__ import annotations

import io
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from sails import jobs, models, onnx, system
from sails.models import CERTIFIED, FRESHNESS, VARIANT_TITLES, VARIANTS, Variant, VariantState, Workspace
from sails.ui.export.panels import made_from
from sails.ui.frame import show_errors
from sails.ui.text import code, symbol
from sails.ui.widgets import change_button, download_button, progress_bar, table

# --- a zip file that runs by itself ---------------------------------------------------------------


def bundle_panel(workspace: Workspace, states: Mapping[Variant, VariantState]) -> None:
    """Offer a variant as a zip file, made and downloaded here, and say what its receiver does with it."""
    st.markdown(
        "One zip file with the model and all that it needs to answer: it runs on any computer that has "
        "Python, without MTN Sails and without PyTorch. It holds none of your examples."
    )
    state = _choice(states)
    allowed = state.certified is True
    if not allowed:
        why = "failed its certificate" if state.certified is False else "was never verified"
        label = f"Hand the {VARIANT_TITLES[state.variant]} model over although it {why}"
        allowed = st.checkbox(label, key=f"onnx_insist_{state.variant}")
    if state.stale:
        words = FRESHNESS[jobs.freshness_of(workspace, state, workspace.situation().trained)]
        st.markdown(f"{symbol(words.sign)} {words.sentence}")
    with show_errors():
        file = onnx.download_of(workspace, state)
        if not allowed:
            return
        if file.exists():
            _download(file, state.variant)
        elif change_button("Make the zip file", "folder_zip", "onnx_zip"):
            with progress_bar("Packing") as report:
                onnx.make_download(
                    workspace, state.variant, allow_failed=state.certified is not True, progress=report
                )
            st.rerun()
        st.markdown(
            "**What its receiver does:**\n"
            "1. Unpack it, and install Python 3.11 or newer if there is none.\n"
            "2. In a terminal in that folder, once: `python -m pip install -r requirements.txt`\n"
            '3. `python chat.py`, or `python chat.py --prompt "…"` for one answer.'
        )


def _choice(states: Mapping[Variant, VariantState]) -> VariantState:
    """8-bit unless somebody takes full precision, or only that is there."""
    present = [variant for variant in reversed(VARIANTS) if states[variant].present]
    if len(present) == 1:
        st.markdown(f"**{VARIANT_TITLES[present[0]].capitalize()}**, {_facts(states[present[0]])}")
        return states[present[0]]
    best = models.preferred_variant(states)
    chosen = st.radio(
        "Which one?",
        present,
        index=present.index(best) if best else 0,
        format_func=lambda variant: VARIANT_TITLES[variant].capitalize(),
        captions=[_facts(states[variant]) for variant in present],
        key="onnx_zip_variant",
    )
    return states[chosen]


def _facts(state: VariantState) -> str:
    proven = CERTIFIED[state.certified].phrase
    return f"{system.size(state.size)}, {proven}" + (f", {FRESHNESS['stale'].fact}" if state.stale else "")


def _download(file: Path, variant: Variant) -> None:
    size = file.stat().st_size
    with show_errors():
        onnx.check_room_for_sending(size, file)
        label, name = f"Download the zip file ({system.size(size)})", f"model-{variant}.zip"
        download_button(label, lambda: _Mapped(file), name, "application/zip", "onnx_download")
    st.caption(f"On this machine it lies in {code(file)}")


class _Mapped(io.RawIOBase):
    """A file for Streamlit, which keeps what it reads until the page is drawn anew.

    It is mapped instead of read, so that what is kept is the file itself and not a copy of it in memory.
    """

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    # Streamlit goes to the beginning before it reads; `read` gives all, so there is nothing to do.
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: ARG002
        return 0

    def read(self, size: int = -1) -> Any:  # noqa: ARG002
        """Return all of it: whatever is not bytes but may be sliced and sent like bytes."""
        return memoryview(self._content)


# --- files ----------------------------------------------------------------------------------------


def model_files(workspace: Workspace, states: Mapping[Variant, VariantState]) -> None:
    """Say where the model lies and what it consists of, folded away."""
    with st.expander("The files as they lie here", icon=":material/folder_open:"):
        st.markdown(f"They lie in the folder {code(workspace.onnx_model)}.")
        rows = [
            (code(file.name), VARIANT_TITLES[state.variant], system.size(file.size))
            for state in states.values()
            for file in state.files
        ]
        table(["File", "Of", "Size"], rows, "The files of the ONNX model with their sizes")
        made_from(states)
        st.caption("To load it with Hugging Face's classes: `sails bundle --format folder --output DIR`")
