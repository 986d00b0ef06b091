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


def chat_settings(here: ChatState, chosen: Sequence[ChatModel]) -> GenerationSettings:
    """How to answer; what is out of bounds is told when a question is asked."""
    usual = GenerationSettings()
    deaf = [speaker for speaker in chosen if not _takes_system(speaker)]
    with st.expander("Settings", icon=":material/tune:"):
        values: dict[str, Any] = {
            "max_new_tokens": st.number_input(
                "Longest answer, in word pieces (tokens)",
                min_value=1,
                max_value=MAX_ANSWER_TOKENS,
                key=remembered(here, "chat_max_new_tokens", usual.max_new_tokens),
            ),
            "temperature": st.number_input(
                "Variety (temperature)",
                min_value=0.0,
                max_value=2.0,
                step=0.1,
                key=remembered(here, "chat_temperature", usual.temperature),
                help="0 always gives the likeliest answer. Higher gives other answers, and more mistakes.",
            ),
            "top_p": st.number_input(
                "Choice of words (top-p)",
                min_value=0.01,
                max_value=1.0,
                step=0.05,
                key=remembered(here, "chat_top_p", usual.top_p),
                help="Below 1, unlikely words are never drawn. It only matters with some variety.",
            ),
            "repetition_penalty": st.number_input(
                "Against repeating itself (repetition penalty)",
                min_value=0.1,
                max_value=2.0,
                step=0.05,
                key=remembered(here, "chat_repetition_penalty", usual.repetition_penalty),
                help="1 is off. A little above, such as 1.1, keeps small models from going round in circles.",
            ),
            "seed": st.number_input(
                "Seed",
                min_value=0,
                max_value=2**32 - 1,
                key=remembered(here, "chat_seed", usual.seed),
                help="The same seed gives the same answer again. It only matters with some variety.",
            ),
            "system": st.text_area(
                "What the model is told before the conversation (system message)",
                key=remembered(here, "chat_system", usual.system),
                placeholder="For example: You answer in one short sentence.",
                disabled=bool(chosen) and len(deaf) == len(chosen),
            ),
        }
        if deaf:
            who = "This model does" if len(chosen) == 1 else f"{_listed(deaf)} do{'es' * (len(deaf) == 1)}"
            st.caption(
                f"{who} not read it: the text that a conversation is turned into (chat template) has no "
                "place for a system message."
            )
    for name, value in values.items():
        here.chosen[f"chat_{name}"] = value
    if deaf and len(deaf) == len(chosen):
        values["system"] = ""
    return GenerationSettings(**{one.name: values[one.name] for one in fields(GenerationSettings)})


def _takes_system(speaker: ChatModel) -> bool:
    """Also where nobody can tell yet."""
    try:
        return not speaker.answers or MODEL_CACHE.reader(speaker.answering).takes_system
    except SailsError:  # told in the place of an answer
        return True


def _listed(found: Sequence[ChatModel]) -> str:
    titles = list(dict.fromkeys(plain(speaker.title) for speaker in found))
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def show_context_usage(
    conversation: ChatHistory, chosen: Sequence[ChatModel], how: GenerationSettings
) -> None:
    """How much of the conversation each model keeps in mind, before the next question."""
    found = [
        (speaker, chat.context_usage(conversation, index, speaker.answering, how))
        for index, speaker in enumerate(chosen)
        if speaker.answers
    ]
    known = [(speaker, state) for speaker, state in found if state]
    if len({state for _, state in known}) == 1:
        st.caption(known[0][1].describe("This model" if len(known) == 1 else "Each of these models"))
        return
    for speaker, state in known:
        st.caption(plain(state.describe(speaker.title)))
