"""What was asked and answered in the chat, as the text that it is, and where answers differ."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sails import chat
from sails.chat import ChatTurn, Reply
from sails.models import Workspace
from sails.system import seconds, shorten
from sails.ui.chat import feedback
from sails.ui.chat.state import ChatState
from sails.ui.frame import show_error
from sails.ui.text import exact_model, literal, plain

MAX_QUESTION_LENGTH = 2000  # characters; of a longer one the beginning is shown, and the rest on demand
SIGNS = {"same": "=", "similar": "≈", "other": "≠"}
LEGEND = "**Bold** stands only here, ~~struck through~~ only in the first answer."


def show_conversation(workspace: Workspace, state: ChatState, marking: bool) -> None:
    """Draw all questions and answers, exactly as they were written, each answer to be judged.

    With `marking`, words in which an answer differs from the first one beside it are marked.
    """
    for number, turn in enumerate(state.conversation.turns):
        show_question(turn)
        for side, (slot, reply) in enumerate(zip(reply_slots(turn), turn.replies, strict=True)):
            with slot:
                if reply.text:
                    first = turn.replies[0].text
                    mark = marking and side and first
                    st.markdown(mark_words(first, reply.text) if mark else literal(reply.text))
                    if mark:
                        likeness = chat.likeness(first, reply.text)
                        legend = f" {LEGEND}" if likeness == "similar" else ""
                        st.caption(f"{SIGNS[likeness]} {chat.SENTENCES[likeness]}{legend}")
                _about(reply, alone=len(turn.replies) == 1)
                feedback.feedback_buttons(workspace, state, number, side)


def show_question(turn: ChatTurn) -> None:
    """Draw the question of a turn; a long one is shortened, and unfolds."""
    with st.chat_message("user", avatar=":material/person:"):
        if len(turn.question) <= MAX_QUESTION_LENGTH:
            st.markdown(literal(turn.question))
        else:
            st.markdown(literal(shorten(turn.question, MAX_QUESTION_LENGTH)))
            with st.expander(f"All {len(turn.question):,} characters"):
                st.markdown(literal(turn.question))


def reply_slots(turn: ChatTurn) -> list[DeltaGenerator]:
    """Draw where each answer of a turn goes: one below the question, two side by side under their names."""
    if len(turn.replies) == 1:
        return [st.chat_message("assistant", avatar=":material/sailing:")]
    slots = []
    names = chat.answerer_names([reply.origin for reply in turn.replies])
    for column, name in zip(st.columns(len(turn.replies)), names, strict=True):
        with column:
            st.markdown(f"**{plain(name)}**")
            slots.append(st.chat_message("assistant", avatar=":material/sailing:"))
    return slots


def _about(reply: Reply, alone: bool) -> None:
    """What there is to know about an answer besides its text."""
    if reply.problem:
        show_error(reply.problem)
    for note in chat.notes(reply):
        symbol = "stop_circle" if reply.stopped_by == "interrupted" else "info"
        st.markdown(f":material/{symbol}: {plain(note)}")
    if reply.origin.recorded:
        st.caption(f"{plain(reply.origin.title)} · recorded answer" if alone else "Recorded answer")
        return
    took = seconds(reply.seconds, 1) if reply.seconds >= 0.1 else "under 0.1 s"  # side by side, that of all
    origin = (chat.describe if alone else chat.details)(reply.origin, ids=False)
    said = " · ".join(filter(None, [plain(origin), took if reply.text and alone else ""]))
    st.caption(said, help=exact_model(reply.origin))


# --- differences ----------------------------------------------------------------------------------


def mark_words(first: str, other: str) -> str:
    """Write `other` as Markdown: exactly that text, its own words bold and the first one's struck out."""
    lines = [""]
    for piece in chat.pieces(first, other):
        if piece.kind == "gone":
            lines[-1] = " ".join(filter(None, [lines[-1], f"~~{plain(piece.text)}~~"])) + " "
            continue
        for number, line in enumerate(piece.text.split("\n")):
            if number:
                lines.append("")
            lines[-1] = _joined(lines[-1], line, piece.kind == "added")
    return "  \n".join(line.rstrip() or "\u00a0" for line in lines)


def _joined(before: str, line: str, bold: bool) -> str:
    """The line so far and some more of it, with one blank between the two where there was one."""
    if not line.strip():
        return before if not before else f"{before.rstrip()} "
    if not before:
        text = literal(line)
        indented = text[: len(text) - len(text.lstrip("\u00a0"))]
        return indented + _bold(text[len(indented) :], bold)
    gap = " " if line[:1].isspace() or before.endswith(" ") else ""
    return before.rstrip(" ") + gap + _bold(plain(line), bold) + (" " if line[-1:].isspace() else "")


def _bold(text: str, bold: bool) -> str:
    return f"**{text}**" if bold and text else text
