"""Asking in the chat: the field, the answers as they come, and what becomes of the conversation."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import streamlit as st

from sails import chat
from sails.chat import MODEL_CACHE, ChatHistory, ChatModel, GenerationSettings
from sails.ui.chat import transcript
from sails.ui.chat.settings import show_context_usage
from sails.ui.chat.state import ChatState, remembered
from sails.ui.frame import show_errors
from sails.ui.text import literal
from sails.ui.widgets import download_button

REDRAWN_SECONDS = 0.05  # an answer that grows is drawn at most so often


def mark_differences(state: ChatState, count: int) -> bool:
    """Ask whether differences are to be marked, where several answer or have answered."""
    several = count > 1 or any(len(turn.replies) > 1 for turn in state.conversation.turns)
    if not several:
        return False
    wanted = st.toggle(
        "Mark where answers differ from the first one",
        key=remembered(state, "chat_marking", True),
        help="Words that only the other answer has are bold, words that only the first one has are struck "
        "through.",
    )
    state.chosen["chat_marking"] = wanted
    return wanted


def question_field(
    state: ChatState, chosen: list[ChatModel], settings: GenerationSettings, possible: bool
) -> None:
    """Draw the field for a question; the answers grow above it, and Stop ends them where they are."""
    growing = st.container()
    show_context_usage(state.conversation, chosen, settings)
    label = "Ask something" if possible else "Nobody is ready to answer yet"
    typed = st.chat_input(label, key="chat_question", disabled=not possible, submit_mode="disable")
    question, state.next_question = typed or state.next_question, ""
    if question and possible:
        with show_errors() as failed, growing:
            state.conversation.ask(question, [model.origin for model in chosen], settings)
            _answer(state.conversation, [model.answering for model in chosen])
        if not failed:
            st.rerun()  # draws the answers in their final form


def _answer(conversation: ChatHistory, folders: list[Path]) -> None:
    """Draws the newest turn as it grows. Left early, by Stop or another page, what was said stays."""
    turn = conversation.turns[-1]
    transcript.show_question(turn)
    slots = [slot.empty() for slot in transcript.reply_slots(turn)]
    st.button("Stop", key="chat_stop", icon=":material/stop_circle:")  # whatever is pressed ends the answer
    waiting = "Thinking" if all(map(MODEL_CACHE.holds, folders)) else "Loading the model"
    drawn = [0.0] * len(slots)
    with ExitStack() as spinner, closing(chat.answers(conversation, folders)) as growing:
        spinner.enter_context(st.spinner(f"{waiting}…"))
        for index in growing:
            reply = turn.replies[index]
            if reply.text and time.monotonic() - drawn[index] > REDRAWN_SECONDS:
                spinner.close()
                slots[index].markdown(literal(reply.text))
                drawn[index] = time.monotonic()


def save_or_clear(state: ChatState) -> None:
    """Offer to save the conversation, and to begin a new one; the old one can be brought back."""
    with st.container(horizontal=True):
        if state.conversation.turns:
            st.button("New conversation", icon=":material/add_comment:", on_click=state.begin_anew)
            name = f"conversation-{datetime.now():%Y%m%d-%H%M}"
            download_button("Save as text", state.conversation.as_text(), f"{name}.txt", "text/plain")
            download_button("Save as JSON", state.conversation.as_json(), f"{name}.json", "application/json")
        elif state.before:
            st.button("Bring back the last conversation", icon=":material/undo:", on_click=state.bring_back)
