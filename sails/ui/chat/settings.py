"""How the chat answers: length, variety, seed and the system message; and what a model keeps in mind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from sails import chat
from sails.chat import MODEL_CACHE, ChatHistory, ChatModel, GenerationSettings
from sails.errors import SailsError
from sails.onnx import sampling_options
from sails.system import listed
from sails.ui.chat.state import ChatState, remembered
from sails.ui.text import plain


def chat_settings(state: ChatState, chosen: Sequence[ChatModel]) -> GenerationSettings:
    """Ask how to answer; what is out of bounds is said when a question is asked."""
    defaults = GenerationSettings()
    without_system = [model for model in chosen if not _takes_system(model)]
    with st.popover("Settings", icon=":material/tune:"):
        values: dict[str, Any] = {}
        for name, option in sampling_options().items():
            kind: Any = float if option.step else int
            low, high = map(kind, option.offered)
            values[name] = st.number_input(
                option.title,
                low,
                high,
                step=option.step,
                key=remembered(state, f"chat_{name}", getattr(defaults, name)),
                help=option.hint or None,
            )
        values["system"] = st.text_area(
            "What the model is told before the conversation (system message)",
            key=remembered(state, "chat_system", defaults.system),
            placeholder="For example: You answer in one short sentence.",
        )
        if without_system:
            titles = list(dict.fromkeys(plain(model.title) for model in without_system))
            take = "takes" if len(without_system) == 1 else "take"
            who = "This model" if len(chosen) == 1 else listed(titles)
            st.caption(f"{who} {take} no system message, so it stands in the first question, as in training.")
    for name, value in values.items():
        state.chosen[f"chat_{name}"] = value
    return GenerationSettings(**values)


def _takes_system(model: ChatModel) -> bool:
    """Whether a model reads a system message; also true where nobody can tell yet."""
    try:
        return not model.answers or MODEL_CACHE.reader(model.answering).takes_system
    except SailsError:  # said where the answer would stand
        return True


def show_context_usage(
    conversation: ChatHistory, chosen: Sequence[ChatModel], settings: GenerationSettings
) -> None:
    """Say how much of the conversation each model keeps in mind, before the next question."""
    usages = [
        (model, chat.context_usage(conversation, index, model.answering, settings))
        for index, model in enumerate(chosen)
        if model.answers
    ]
    measured = [(model, usage) for model, usage in usages if usage]
    if len({usage for _, usage in measured}) == 1:
        st.caption(measured[0][1].describe("This model" if len(measured) == 1 else "Each of these models"))
        return
    for model, usage in measured:
        st.caption(plain(usage.describe(model.title)))
