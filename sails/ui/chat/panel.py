"""Asking in the chat: the field at the bottom of the window, and the answers as they come."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sails import chat
from sails.chat import MODEL_CACHE, ChatModel, GenerationSettings
from sails.models import Workspace
from sails.ui.chat import transcript
from sails.ui.chat.state import ChatState, remembered
from sails.ui.frame import WIDTH, show_errors
from sails.ui.text import literal

REDRAWN_SECONDS = 0.05  # an answer that grows is drawn at most so often
KEPT_SECONDS = 2.0  # and kept at most so often
STYLE = f"""<style>
[data-testid="stBottomBlockContainer"] {{ max-width: calc({WIDTH}px + 2rem); padding-inline: 1rem; }}
</style>"""


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
    workspace: Workspace,
    state: ChatState,
    chosen: list[ChatModel],
    settings: GenerationSettings,
    possible: bool,
    growing: DeltaGenerator,
) -> None:
    """Draw the field for a question at the page's root; the answers grow in `growing`."""
    label = "Ask something" if possible else "No model is ready to answer yet"
    typed = chat_input(label, possible)
    question, state.next_question = typed or state.next_question, ""
    if question and possible:
        with growing, show_errors() as failed:
            state.conversation.ask(question, [model.origin for model in chosen], settings)
            _answer(workspace, state, [model.answering for model in chosen])
        if not failed:
            st.rerun()  # draws the answers in their final form


def chat_input(label: str, possible: bool) -> str | None:
    """Draw the field in which a question is typed. Outside of all containers it stays where it is."""
    st.html(STYLE)
    return st.chat_input(label, key="chat_question", disabled=not possible, submit_mode="disable")


def _answer(workspace: Workspace, state: ChatState, folders: list[Path]) -> None:
    """Draws the newest turn as it grows. Left early, by Stop or another page, what was said stays."""
    turn = state.conversation.turns[-1]
    state.keep(workspace, turn)
    transcript.show_question(turn)
    slots = [slot.empty() for slot in transcript.reply_slots(turn)]
    st.button("Stop", key="chat_stop", icon=":material/stop_circle:")  # whatever is pressed ends the answer
    waiting = "Thinking" if all(map(MODEL_CACHE.holds, folders)) else "Loading the model"
    drawn, kept = [0.0] * len(slots), time.monotonic()
    try:
        with ExitStack() as spinner, closing(chat.answers(state.conversation, folders)) as growing:
            spinner.enter_context(st.spinner(f"{waiting}…"))
            for index in growing:
                reply, now = turn.replies[index], time.monotonic()
                if now - kept > KEPT_SECONDS:
                    state.keep(workspace, turn)
                    kept = now
                if reply.text and now - drawn[index] > REDRAWN_SECONDS:
                    spinner.close()
                    slots[index].markdown(literal(reply.text))
                    drawn[index] = now
    finally:
        state.keep(workspace, turn)
