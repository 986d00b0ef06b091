"""Who answers in the chat: one model or up to four side by side, each in a size, made ready where needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sails import chat, jobs, system
from sails.chat import BASE, CURRENT, MAX_MODELS, ChatModel
from sails.models import FRESHNESS, FULL_PRECISION, PREFERRED_TITLES, VARIANT_TITLES, VARIANTS, Workspace
from sails.sessions import Session
from sails.system import listed
from sails.ui import export
from sails.ui.chat.state import ChatState, remembered
from sails.ui.frame import go, link, show_errors
from sails.ui.onnx_status import export_button, making_onnx
from sails.ui.text import plain, symbol
from sails.ui.widgets import change_button

ONE, LESSON, SIZES, GROWN, ALL, OWN = "one", "lesson", "sizes", "grown", "all", "own"
LABELS = {
    ONE: "One model",
    LESSON: "Before and after the last lesson",
    GROWN: "Base and current",
    SIZES: listed(list(VARIANT_TITLES.values())).capitalize(),
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


def choose_models(
    state: ChatState, workspace: Workspace, chat_models: Sequence[ChatModel], row: DeltaGenerator
) -> list[ChatModel]:
    """Ask for one model, a choice that is ready made, or two to four others; at first the current one.

    What is chosen stands in `row`, what there is to know of it below.
    """
    sizes = [f"{CURRENT}@{variant}" for variant in VARIANTS]
    ready_made = {GROWN: [BASE, CURRENT], SIZES: sizes[:MAX_MODELS], ALL: [BASE, *sizes][:MAX_MODELS]}
    if earlier := chat.previous_chat_model(workspace, chat_models):
        ready_made[LESSON] = [earlier.key, CURRENT]
        ready_made[ALL] = [BASE, earlier.key, *sizes][:MAX_MODELS]
    options = [key for key in LABELS if key in (ONE, OWN) or key in ready_made]
    remembered(state, "chat_choice", ONE)
    if st.session_state["chat_choice"] not in options:
        st.session_state["chat_choice"] = ONE
    with row:
        alone = st.session_state["chat_choice"] == ONE
        slots = (st.container(), st.container(width=150)) if alone else ()
        with st.popover("Compare", icon=":material/compare_arrows:"):
            about = "Several models answer the same question side by side, and where they differ is marked."
            label = LABELS.__getitem__
            choice = st.pills("How many answer", options, key="chat_choice", format_func=label, help=about)
    state.chosen["chat_choice"] = choice = choice or ONE
    if choice == ONE:
        usual = st.query_params.get("speaker", CURRENT)
        return [_pick(state, chat_models, 0, ("Who answers", "Size"), usual, slots)]
    if choice == OWN:
        return _own(state, chat_models)
    chosen = [chat.find_chat_model(chat_models, key) for key in ready_made[choice]]
    st.caption(" · ".join(f"{plain(model.title)}: {_marks(model)}" for model in chosen))
    return chosen


def _own(state: ChatState, chat_models: Sequence[ChatModel]) -> list[ChatModel]:
    count = st.number_input(
        "How many side by side", min_value=2, max_value=MAX_MODELS, key=remembered(state, "chat_count", 2)
    )
    state.chosen["chat_count"] = count
    chosen = []
    for index, column in enumerate(st.columns(min(max(int(count), 2), MAX_MODELS))):
        number = index + 1
        labels = (f"Model {number}", f"Size of model {number}")
        with column:
            slots = (st.container(), st.container())
            chosen.append(_pick(state, chat_models, number, labels, USUAL[index], slots))
    return chosen


def _pick(
    state: ChatState,
    chat_models: Sequence[ChatModel],
    index: int,
    labels: tuple[str, str],
    usual: str,
    slots: Sequence[DeltaGenerator],
) -> ChatModel:
    """A model and its size, asked for in two slots, and below what there is to know of it.

    `usual` may name both.
    """
    keys = [model.key for model in chat_models]
    model_key, size_key = f"chat_who_{index}", f"chat_size_{index}"
    usual_key, _, usual_size = usual.partition("@")
    remembered(state, model_key, usual_key)
    if st.session_state[model_key] not in keys:
        st.session_state[model_key] = CURRENT
        state.chosen[f"{model_key}_gone"] = True
    # A title stays the same whatever becomes of the model, or the browser's choice would be lost with it.
    chosen = slots[0].selectbox(
        labels[0],
        keys,
        key=model_key,
        format_func=lambda wanted: chat.find_chat_model(chat_models, wanted).title,
    )
    remembered(state, size_key, usual_size or AUTOMATIC)
    if st.session_state[size_key] not in SIZE_LABELS:
        st.session_state[size_key] = AUTOMATIC
    wanted = slots[1].selectbox(
        labels[1], list(SIZE_LABELS), key=size_key, format_func=SIZE_LABELS.__getitem__, help=SIZE_HELP
    )
    state.chosen |= {model_key: chosen, size_key: wanted}
    if chosen != CURRENT:
        state.chosen[f"{model_key}_gone"] = False
    if state.chosen.get(f"{model_key}_gone"):
        st.caption("⚠️ The model that was chosen is no longer here, so the current one answers.")
    model = chat.find_chat_model(chat_models, chosen).with_variant(wanted if wanted in VARIANTS else None)
    marks = _marks(model)
    if marks and (model.answers or index):  # what the only one takes to answer is said below
        st.caption(marks[:1].upper() + marks[1:])
    return model


def _marks(model: ChatModel) -> str:
    """What a person should know of the size that answers, as Markdown."""
    marks = chat.describe_variant(model)
    sign = {True: "✅ ", None: ":material/help: ", False: "⚠️ "}[model.certified] if model.answers else ""
    return f"{sign}{plain(marks[:1].upper() + marks[1:])}" if marks else "not made yet"


# --- making them ready ----------------------------------------------------------------------------


def all_ready(workspace: Workspace, chosen: list[ChatModel]) -> bool:
    """Return whether all that were chosen can answer; draws the one way on for the first that cannot."""
    for model in {model.answering: model for model in chosen}.values():
        if model.key.partition("@")[0] == CURRENT and model.readiness == "stale":
            _stale(workspace, model)
    lacking = [model for model in chosen if not model.answers]
    if lacking:
        with show_errors():
            _way_on(workspace, lacking[0])
    return not lacking


def _stale(workspace: Workspace, model: ChatModel) -> None:
    title = f"{VARIANT_TITLES[model.variant]} " if model.wanted and model.variant else ""
    words = FRESHNESS[jobs.answering_freshness(workspace, model)]
    st.markdown(f"{symbol(words.sign)} {words.headline(f'{title}ONNX model')}. {words.sentence}")
    if making_onnx(workspace):
        link("ONNX export", "See how far the new one is")
    else:
        link("ONNX export", "Look at it" if system.view_only() else "Make it again")


def _way_on(workspace: Workspace, model: ChatModel) -> None:
    is_current = model.key.partition("@")[0] == CURRENT
    size = f" in {VARIANT_TITLES[model.wanted]}" if model.wanted else ""
    if job := jobs.running_export(workspace, model.onnx):
        export.follow_job(workspace, job)
    elif model.readiness == "impossible" and not is_current:
        st.markdown(f"⚠️ {plain(model.title)} is not complete or no longer here. Choose another one.")
    elif model.readiness == "impossible":
        st.markdown("There is no model yet, so there is none to chat with. Train one first.")
        if st.button("Train a model", type="primary", icon=":material/school:"):
            go("Train")
        st.caption("Or choose the base model above, and hear how it answers untaught.")
    elif model.wanted in model.quarantined:
        st.markdown(
            f"❌ {plain(model.title)}{size} failed its certificate: it does not answer like the original. "
            "It is kept apart and does not chat. Choose another size."
        )
        if is_current:
            link("ONNX export", "See what it failed, or use it all the same")
    elif is_current:
        is_made = making_onnx(workspace) is not None
        how = "is being made" if is_made else "has not been made yet"
        st.markdown(f"The current model answers as an ONNX model, and that {how}{size}.")
        variants = (model.wanted,) if model.wanted and workspace.situation().onnx.present else VARIANTS
        export_button(workspace, variants, "Make the ONNX model", "chat_make", primary=True)
    else:
        tried: Path | None = st.session_state.get(f"tried_{model.key}")
        if tried and tried.parent == workspace.jobs and tried.exists():
            export.follow_job(workspace, jobs.read_job(Session(tried)))
        st.markdown(
            f"{plain(model.title)} must be made ready once before it can answer{size}. For a small model "
            "that takes one or two minutes; afterwards it stays ready."
        )
        if change_button("Make it ready", "package_2", f"ready_{model.key}", type="primary"):
            st.session_state[f"tried_{model.key}"] = jobs.export_for(
                workspace, model.with_variant(None)
            ).folder
            st.rerun()
