"""The chat of the demo: recorded questions, answered by what the models answered then, marked as recorded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sails import chat
from sails.chat import MAX_MODELS, Recording
from sails.models import Workspace
from sails.ui.chat.panel import chat_input
from sails.ui.chat.state import ChatState, remembered
from sails.ui.frame import TOUR, show_errors
from sails.ui.text import plain

SUGGESTED = 3  # questions, as long as none was asked
RECORDED, HERE = "Recorded answers", "A model that is here"


def wants_recorded(
    workspace: Workspace, state: ChatState, recordings: Sequence[Recording], row: DeltaGenerator
) -> bool:
    """Ask, in a demo, whether recorded models answer or one that is here; at first the recorded ones."""
    if not recordings:
        return False
    usual = HERE if workspace.situation().trained.complete else RECORDED
    chosen = row.segmented_control(
        "Answers come from",
        [RECORDED, HERE],
        key=remembered(state, "chat_source", usual),
        label_visibility="collapsed",
    )
    state.chosen["chat_source"] = chosen or usual
    return (chosen or usual) == RECORDED


def choose_recorded(
    state: ChatState, recordings: Sequence[Recording], row: DeltaGenerator
) -> list[Recording]:
    """Ask which recorded models answer, up to four side by side."""
    by_title = {recording.title: recording for recording in recordings}
    titles = row.multiselect(
        "Who answers",
        list(by_title),
        key=remembered(state, "chat_recorded", [recordings[-1].title]),
        max_selections=MAX_MODELS,
        width=520,
        placeholder=recordings[-1].title,
    )
    state.chosen["chat_recorded"] = titles
    return [by_title[title] for title in by_title if title in titles] or [recordings[-1]]


def ask_recorded(
    workspace: Workspace, state: ChatState, chosen: Sequence[Recording], below: DeltaGenerator
) -> None:
    """Offer the recorded questions in `below`, and draw the field in which one of them can be typed too."""
    questions = chat.recorded_questions(chosen)
    with below:
        if not state.conversation.turns and TOUR not in st.query_params:  # the tour names a question
            st.markdown("The models are not in this demo, but what they answered is. Ask them one of these.")
            for number, question in enumerate(questions[:SUGGESTED]):
                st.button(
                    plain(question), key=f"recorded-{number}", on_click=partial(state.ask_next, question)
                )
        key = f"recorded-question-{len(state.conversation.turns)}"  # empty again after each question
        picked = st.selectbox(
            f"All {len(questions)} recorded questions",
            questions,
            None,
            key=key,
            placeholder="Choose one, or type a word of it",
        )
    typed = chat_input("Ask one of the recorded questions", possible=True)
    question, state.next_question = typed or state.next_question or picked or "", ""
    if question:
        with below, show_errors() as failed:
            state.keep(workspace, chat.ask_recording(state.conversation, question, chosen))
        if not failed:
            st.rerun()
