"""👍 and 👎 below an answer in the chat: right as it was, what it should have said, or never this.

What is sent goes to the review list on the page Data (`sails.ui.data.review`) and can be taken back from
here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import streamlit as st

from sails.chat import ChatHistory, Reply, feedback
from sails.chat.feedback import REFUSAL, Correction, Kind
from sails.errors import RequestError, SailsError
from sails.models import Workspace
from sails.ui.frame import link, show_error, show_errors
from sails.ui.widgets import WHO, change_button, who_field

CORRECT, NEVER = "corrected", "never"
CHOICES = {CORRECT: "What it should have said", NEVER: "Never to say this again"}
CORRECTION_HELP = {
    CORRECT: "Change the answer as you want to read it.",
    NEVER: "A reviewer can still change this.",
}
SAID = {
    "good": "👍 You called this answer good.",
    "corrected": "👎 You corrected this answer.",
    "never": "👎 You said that it must never say this.",
}
BECOMES = {
    "waiting": "Once somebody has approved it, it can be taught.",
    "approved": "It is approved, and taught with the next training on corrections.",
    "rejected": "It was rejected, so it is not taught.",
    "taught": "It was put into a training.",
}


def feedback_buttons(workspace: Workspace, conversation: ChatHistory, turn: int, index: int) -> None:
    """Draw the two buttons below one answer, the form behind 👎, or what became of what was sent.

    `turn` is the number of the question in the conversation, `index` that of the answer, both from 0.
    """
    asked = conversation.turns[turn]
    reply = asked.replies[index]
    if reply.problem or (not reply.text and reply.stopped_by == "interrupted"):
        return  # there is no answer to judge
    key = f"feedback-{asked.asked}-{turn}-{index}"
    with show_errors():
        identity = st.session_state.get(key)  # of what was sent from here, unless it was taken back
        corrections = feedback.corrections(workspace) if identity else ()
        sent = next((correction for correction in corrections if correction.id == identity), None)
        if sent is not None:
            _what_became(workspace, sent, key)
        elif st.session_state.get(f"{key}-opened"):
            _form(reply, key, partial(_send, workspace, conversation, turn, index, key))
        else:
            _thumbs(reply, key, partial(_send, workspace, conversation, turn, index, key))
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
        who = who_field(f"{key}-who")
        with st.container(horizontal=True):
            if change_button("Send for review", "send", f"{key}-send", type="primary"):
                st.session_state[WHO] = who
                if never and text.strip() == REFUSAL:
                    text = ""  # nobody wrote it, so that a reviewer still has to confirm it
                send(cast(Kind, kind), text)
                st.rerun()
            st.button("Cancel", key=f"{key}-cancel", on_click=partial(_set_open, key, False))


def _send(
    workspace: Workspace, conversation: ChatHistory, turn: int, index: int, key: str, kind: Kind, text: str
) -> None:
    """Take it down; what goes wrong is shown below the answer."""
    asked = conversation.turns[turn]
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
            who=st.session_state.get(WHO, ""),
            origin=reply.origin,
            context=ChatHistory(conversation.turns[: turn + 1]).messages(index)[:-1],
        )
    except SailsError as error:
        st.session_state[f"{key}-problem"] = error.sentence
        return
    st.session_state[key] = given.id
    _set_open(key, False)


# --- afterwards -----------------------------------------------------------------------------------


def _what_became(workspace: Workspace, sent: Correction, key: str) -> None:
    standing = feedback.standing(sent, feedback.sessions_by_dataset(workspace))
    st.markdown(f":small[{SAID[sent.kind]} {BECOMES[standing]}]")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        link("Data", "Review list", icon=":material/rate_review:", corrections=standing)
        if standing != "taught":
            take_back = partial(_take_back, workspace, sent.id, key)
            change_button("Take it back", "undo", f"{key}-back", type="tertiary", on_click=take_back)


def _take_back(workspace: Workspace, identity: str, key: str) -> None:
    with show_errors():
        feedback.withdraw(workspace, identity)
        st.session_state.pop(key, None)
