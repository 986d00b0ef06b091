"""*Good* and *Correct it* below an answer in the chat: what it should have said, or never this.

What is sent goes to the review list on the page Data (`sails.ui.data.review`) and can be taken back from
here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import streamlit as st

from sails.chat import ChatHistory, ChatTurn, Reply, feedback
from sails.chat.feedback import REFUSAL, Correction, Kind
from sails.errors import RequestError, SailsError
from sails.models import Workspace
from sails.ui.chat.state import ChatState
from sails.ui.frame import link, show_error, show_errors
from sails.ui.widgets import change_button

CORRECT, NEVER = "corrected", "never"
CHOICES = {CORRECT: "What it should have said", NEVER: "Never to say this again"}
CORRECTION_HELP = {
    CORRECT: "Change the answer as you want to read it.",
    NEVER: "A reviewer can still change this.",
}
SAID = {
    "good": ":material/thumb_up: You called this answer good.",
    "corrected": ":material/thumb_down: You corrected this answer.",
    "never": ":material/thumb_down: You said that it must never say this.",
}
BECOMES = {
    "waiting": "Once somebody has approved it, it can be taught.",
    "approved": "It is approved, and taught with the next training on corrections.",
    "rejected": "It was rejected, so it is not taught.",
    "taught": "It was put into a training.",
}


def feedback_buttons(workspace: Workspace, state: ChatState, turn: int, index: int) -> None:
    """Draw the two buttons below one answer, the form behind the second, or what became of what was sent.

    `turn` is the number of the question in the conversation, `index` that of the answer, both from 0.
    """
    asked = state.conversation.turns[turn]
    reply = asked.replies[index]
    if reply.problem or (not reply.text and reply.stopped_by == "interrupted"):
        return  # there is no answer to judge
    key = f"feedback-{asked.id}-{index}"
    with show_errors():
        # What was sent from here, unless it was taken back.
        corrections = feedback.corrections(workspace) if reply.correction else ()
        sent = next((correction for correction in corrections if correction.id == reply.correction), None)
        send = partial(_send, workspace, state, turn, index, key)
        if sent is not None:
            _what_became(workspace, sent, key, partial(_take_back, workspace, state, asked, reply))
        elif st.session_state.get(f"{key}-opened"):
            _form(reply, key, send)
        else:
            _thumbs(reply, key, send)
        if problem := st.session_state.pop(f"{key}-problem", ""):
            show_error(problem)


# --- the buttons ----------------------------------------------------------------------------------


def _thumbs(reply: Reply, key: str, send: Callable[[Kind, str], None]) -> None:
    with st.container(horizontal=True, gap="small"):
        change_button(
            "Good",
            "thumb_up",
            f"{key}-good",
            type="tertiary",
            help="The answer is right as it is. Teaching it again makes it stick.",
            on_click=partial(send, "good", ""),
            disabled=not reply.text,
        )
        change_button(
            "Correct it",
            "thumb_down",
            f"{key}-bad",
            type="tertiary",
            help="Write what it should have said, or that it must never say this.",
            on_click=partial(_set_open, key, True),
        )


def _set_open(key: str, opened: bool) -> None:
    st.session_state[f"{key}-opened"] = opened


# --- the form -------------------------------------------------------------------------------------


def _form(reply: Reply, key: str, send: Callable[[Kind, str], None]) -> None:
    with st.container(border=True):
        kinds = list(CHOICES) if reply.text else [CORRECT]
        kind = st.radio("What do you want to teach it?", kinds, 0, CHOICES.__getitem__, key=f"{key}-kind")
        never = kind == NEVER
        text = st.text_area(
            "What it should say instead" if never else "The right answer",
            value=REFUSAL if never else reply.text[: feedback.LONGEST_TEXT],
            key=f"{key}-{kind}-text",
            max_chars=feedback.LONGEST_TEXT,
            help=CORRECTION_HELP[kind],
        )
        with st.container(horizontal=True):
            if change_button("Send for review", "send", f"{key}-send", type="primary"):
                if never and text.strip() == REFUSAL:
                    text = ""  # nobody wrote it, so that a reviewer still has to confirm it
                send(cast(Kind, kind), text)
                st.rerun()
            st.button("Cancel", key=f"{key}-cancel", on_click=partial(_set_open, key, False))


def _send(
    workspace: Workspace, state: ChatState, turn: int, index: int, key: str, kind: Kind, text: str
) -> None:
    """Take it down; what goes wrong is shown below the answer."""
    asked = state.conversation.turns[turn]
    reply = asked.replies[index]
    try:
        if kind == "corrected" and not text.strip():
            raise RequestError("The right answer is empty.", "Write what it should have said.")
        given = feedback.give(
            workspace,
            question=asked.question,
            answer=reply.text,
            kind=kind,
            correction=text,
            origin=reply.origin,
            context=ChatHistory(state.conversation.turns[: turn + 1]).messages(index)[:-1],
        )
    except SailsError as error:
        st.session_state[f"{key}-problem"] = error.sentence
        return
    reply.correction = given.id
    state.keep(workspace, asked)
    _set_open(key, False)


# --- afterwards -----------------------------------------------------------------------------------


def _what_became(workspace: Workspace, sent: Correction, key: str, take_back: Callable[[], None]) -> None:
    standing = feedback.standing(sent, feedback.sessions_by_dataset(workspace))
    st.markdown(f":small[{SAID[sent.kind]} {BECOMES[standing]}]")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        link("Data", "Review list", icon=":material/rate_review:", corrections=standing)
        if standing != "taught":
            change_button("Take it back", "undo", f"{key}-back", type="tertiary", on_click=take_back)


def _take_back(workspace: Workspace, state: ChatState, turn: ChatTurn, reply: Reply) -> None:
    with show_errors():
        feedback.withdraw(workspace, reply.correction)
        reply.correction = ""
        state.keep(workspace, turn)
