"""How the chat answers: length, variety, seed and the system message; and what a model keeps in mind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import streamlit as st

from sails import chat
from sails.chat import MODEL_CACHE, ChatHistory, ChatModel, GenerationSettings
from sails.errors import SailsError
from sails.ui.chat.state import ChatState, remembered
from sails.ui.text import plain

MAX_ANSWER_TOKENS = 4096  # tokens that the field offers


def chat_settings(state: ChatState, chosen: Sequence[ChatModel]) -> GenerationSettings:
    """Ask how to answer; what is out of bounds is said when a question is asked."""
    defaults = GenerationSettings()
    without_system = [model for model in chosen if not _takes_system(model)]
    with st.expander("Settings", icon=":material/tune:"):
        values: dict[str, Any] = {
            "max_new_tokens": st.number_input(
                "Longest answer, in word pieces (tokens)",
                min_value=1,
                max_value=MAX_ANSWER_TOKENS,
                key=remembered(state, "chat_max_new_tokens", defaults.max_new_tokens),
            ),
            "temperature": st.number_input(
                "Variety (temperature)",
                min_value=0.0,
                max_value=2.0,
                step=0.1,
                key=remembered(state, "chat_temperature", defaults.temperature),
                help="0 always gives the likeliest answer. Higher gives other answers, and more mistakes.",
            ),
            "top_p": st.number_input(
                "Choice of words (top-p)",
                min_value=0.01,
                max_value=1.0,
                step=0.05,
                key=remembered(state, "chat_top_p", defaults.top_p),
                help="Below 1, unlikely words are never drawn. It only matters with some variety.",
            ),
            "repetition_penalty": st.number_input(
                "Against repeating itself (repetition penalty)",
                min_value=0.1,
                max_value=2.0,
                step=0.05,
                key=remembered(state, "chat_repetition_penalty", defaults.repetition_penalty),
                help="1 is off. A little above, such as 1.1, keeps small models from going round in circles.",
            ),
            "seed": st.number_input(
                "Seed",
                min_value=0,
                max_value=2**32 - 1,
                key=remembered(state, "chat_seed", defaults.seed),
                help="The same seed gives the same answer again. It only matters with some variety.",
            ),
            "system": st.text_area(
                "What the model is told before the conversation (system message)",
                key=remembered(state, "chat_system", defaults.system),
                placeholder="For example: You answer in one short sentence.",
                disabled=bool(chosen) and len(without_system) == len(chosen),
            ),
        }
        if without_system:
            titles = list(dict.fromkeys(plain(model.title) for model in without_system))
            listed = titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
            does = "does" if len(without_system) == 1 else "do"
            who = "This model does" if len(chosen) == 1 else f"{listed} {does}"
            st.caption(
                f"{who} not read it: the text that a conversation is turned into (chat template) has no "
                "place for a system message."
            )
    for name, value in values.items():
        state.chosen[f"chat_{name}"] = value
    if without_system and len(without_system) == len(chosen):
        values["system"] = ""
    return GenerationSettings(**{field.name: values[field.name] for field in fields(GenerationSettings)})


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
