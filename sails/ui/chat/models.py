"""Who answers in the chat: one model or up to four side by side, each in a size, made ready where needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from sails import chat, jobs, system
from sails.chat import BASE, CURRENT, MAX_MODELS, ChatModel
from sails.models import FULL_PRECISION, PREFERRED_TITLES, VARIANT_TITLES, VARIANTS, Workspace
from sails.sessions import Session
from sails.ui import export
from sails.ui.chat.state import ChatState, remembered
from sails.ui.frame import go, link, show_errors
from sails.ui.text import plain

ONE, LESSON, SIZES, GROWN, ALL, OWN = "one", "lesson", "sizes", "grown", "all", "own"
LABELS = {
    ONE: "One model",
    LESSON: "Before and after the last lesson",
    GROWN: "Base and current",
    SIZES: " and ".join(VARIANT_TITLES.values()).capitalize(),
    ALL: "All side by side",
    OWN: "My own choice",
}
AUTOMATIC = "automatic"
SIZE_LABELS: dict[str, str] = {AUTOMATIC: "Automatic"}
SIZE_LABELS |= {variant: title.capitalize() for variant, title in VARIANT_TITLES.items()}
SIZE_HELP = (
    f"Automatic takes the {PREFERRED_TITLES} model once its certificate says that it answers like the "
    f"original, and {VARIANT_TITLES[FULL_PRECISION]} until then."
)
USUAL = (BASE, CURRENT, CURRENT, CURRENT)


def choose_models(here: ChatState, workspace: Workspace, everybody: Sequence[ChatModel]) -> list[ChatModel]:
    """One model, a choice that is ready made, or two to four of one's own; at first the current one."""
    earlier = chat.previous_chat_model(workspace, everybody)
    ready_made = _ready_made(earlier)
    options = [key for key in LABELS if key in (ONE, OWN) or key in ready_made]
    remembered(here, "chat_choice", ONE)
    if st.session_state["chat_choice"] not in options:
        st.session_state["chat_choice"] = ONE
    choice = st.pills(
        "Who answers",
        options,
        key="chat_choice",
        format_func=LABELS.__getitem__,
        help="Several models answer the same question side by side, and where they differ is marked.",
    )
    here.chosen["chat_choice"] = choice = choice or ONE
    if choice == ONE:
        usual = st.query_params.get("speaker", CURRENT)
        return [_pick(here, everybody, 0, "Which model", "Size", usual, st.columns([3, 2]))]
    if choice == OWN:
        return _own(here, everybody)
    chosen = [chat.find_chat_model(everybody, key) for key in ready_made[choice]]
    st.caption(" · ".join(f"{plain(one.title)}: {plain(_marks(one))}" for one in chosen))
    return chosen


def _ready_made(earlier: ChatModel | None) -> dict[str, list[str]]:
    """Who answers in each choice that is ready made."""
    sizes = [f"{CURRENT}@{variant}" for variant in VARIANTS]
    keys = {GROWN: [BASE, CURRENT], SIZES: sizes[:MAX_MODELS], ALL: [BASE, *sizes][:MAX_MODELS]}
    if earlier:
        keys |= {LESSON: [earlier.key, CURRENT], ALL: [BASE, earlier.key, *sizes][:MAX_MODELS]}
    return keys


def _own(here: ChatState, everybody: Sequence[ChatModel]) -> list[ChatModel]:
    count = st.number_input(
        "How many side by side", min_value=2, max_value=MAX_MODELS, key=remembered(here, "chat_count", 2)
    )
    here.chosen["chat_count"] = count
    chosen = []
    for index, column in enumerate(st.columns(min(max(int(count), 2), MAX_MODELS))):
        number = index + 1
        labels = (f"Model {number}", f"Size of model {number}")
        with column:
            chosen.append(_pick(here, everybody, number, *labels, USUAL[index], (column, column)))
    return chosen


def _pick(
    here: ChatState,
    everybody: Sequence[ChatModel],
    index: int,
    label: str,
    size_label: str,
    usual: str,
    places: Sequence[Any],
) -> ChatModel:
    """A model and its size; `usual` may name both."""
    keys = [speaker.key for speaker in everybody]
    who, size = f"chat_who_{index}", f"chat_size_{index}"
    usual_key, _, usual_size = usual.partition("@")
    remembered(here, who, usual_key)
    if st.session_state[who] not in keys:
        st.session_state[who] = CURRENT
        here.chosen[f"{who}_gone"] = True
    # A title stays the same whatever becomes of the model, or the browser's choice would be lost with it.
    chosen = places[0].selectbox(
        label, keys, key=who, format_func=lambda wanted: chat.find_chat_model(everybody, wanted).title
    )
    remembered(here, size, usual_size or AUTOMATIC)
    if st.session_state[size] not in SIZE_LABELS:
        st.session_state[size] = AUTOMATIC
    wanted = places[1].selectbox(
        size_label, list(SIZE_LABELS), key=size, format_func=SIZE_LABELS.__getitem__, help=SIZE_HELP
    )
    here.chosen |= {who: chosen, size: wanted}
    if chosen != CURRENT:
        here.chosen[f"{who}_gone"] = False
    if here.chosen.get(f"{who}_gone"):
        places[0].caption("⚠️ The model that was chosen is no longer here, so the current one answers.")
    speaker = chat.find_chat_model(everybody, chosen).with_variant(wanted if wanted in VARIANTS else None)
    if marks := _marks(speaker):
        places[1].caption(plain(marks))
    return speaker


def _marks(speaker: ChatModel) -> str:
    """What a person should know of the size that answers."""
    marks = chat.describe_variant(speaker)
    sign = {True: "✅ ", None: "❔ ", False: "⚠️ "}[speaker.certified] if speaker.answers else ""
    return f"{sign}{marks[:1].upper()}{marks[1:]}" if marks else "not made yet"


# --- making them ready ----------------------------------------------------------------------------


def all_ready(workspace: Workspace, chosen: list[ChatModel]) -> bool:
    """Whether all that were chosen can answer; draws the one way on for the first that cannot."""
    for speaker in {one.answering: one for one in chosen}.values():
        if speaker.key.partition("@")[0] == CURRENT and speaker.readiness == "stale":
            _stale(speaker)
    lacking = [speaker for speaker in chosen if not speaker.answers]
    if lacking:
        with show_errors():
            _way_on(workspace, lacking[0])
    return not lacking


def _stale(speaker: ChatModel) -> None:
    if speaker.fingerprint is None:
        st.markdown("❔ Nobody noted which trained model the current ONNX model was made from.")
    else:
        title = VARIANT_TITLES[speaker.variant] if speaker.wanted and speaker.variant else ""
        which = f"current {title} model" if title else "current ONNX model"
        st.markdown(f"⚠️ The {which} is out of date: it answers without what was taught since.")
    link("ONNX export", "Make it again")


def _way_on(workspace: Workspace, speaker: ChatModel) -> None:
    mine = speaker.key.partition("@")[0] == CURRENT
    size = f" in {VARIANT_TITLES[speaker.wanted]}" if speaker.wanted else ""
    if job := jobs.running_export(workspace, speaker.onnx):
        export.follow_job(workspace, job)
    elif speaker.readiness == "impossible" and not mine:
        st.markdown(f"⚠️ {plain(speaker.title)} is not complete or no longer here. Choose another one.")
    elif speaker.readiness == "impossible":
        st.markdown("There is no model yet, so there is nobody to talk with. Teach one first.")
        if st.button("Train a model", type="primary", icon=":material/school:"):
            go("Train")
        st.caption("Or choose the base model above, and hear how it answers untaught.")
    elif speaker.wanted in speaker.quarantined:
        st.markdown(
            f"❌ {plain(speaker.title)}{size} failed its certificate: it does not answer like the original. "
            "It is kept apart and does not chat. Choose another size."
        )
        if mine:
            link("ONNX export", "See what it failed, or use it all the same")
    elif mine:
        st.markdown(f"The current model answers as an ONNX model, and that has not been made yet{size}.")
        if st.button("Make the ONNX model", type="primary", icon=":material/package_2:"):
            go("ONNX export")
    else:
        _last_try(workspace, speaker)
        st.markdown(
            f"{plain(speaker.title)} must be made ready once before it can answer{size}. For a small model "
            "that takes one or two minutes; afterwards it stays ready."
        )
        if st.button(
            "Make it ready",
            type="primary",
            icon=":material/package_2:",
            key=f"ready_{speaker.key}",
            disabled=system.view_only(),
        ):
            job_folder = jobs.export_for(workspace, speaker.with_variant(None)).folder
            st.session_state[f"tried_{speaker.key}"] = job_folder
            st.rerun()


def _last_try(workspace: Workspace, speaker: ChatModel) -> None:
    """How the job that this person started for the model ended, when it did not succeed."""
    folder: Path | None = st.session_state.get(f"tried_{speaker.key}")
    if folder and folder.parent == workspace.jobs and folder.exists():
        export.follow_job(workspace, jobs.read_job(Session(folder)))
