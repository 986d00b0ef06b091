"""The parts of the chat page: who answers, how, what was said, and the answers as they come."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sails import access, chatting, exporting, speakers
from sails.chatting import Conversation, Reply, Settings, Turn
from sails.loaded import MODELS
from sails.sessions import Session
from sails.speakers import BASE, CURRENT, Speaker
from sails.ui import feedback, onnx
from sails.ui.frame import go, link, told
from sails.ui.words import literal, plain
from sails.workspace import Workspace

REDRAWN_SECONDS = 0.05  # an answer that grows is drawn at most so often
LONG_QUESTION = 2000  # characters; of a longer one the beginning is shown, and the rest on demand
LONGEST_ANSWER = 4096  # tokens that the field offers
SIDES = ("Left", "Right")


@dataclass
class Room:
    """What this browser keeps of its chat in one workspace, also while another page is open."""

    conversation: Conversation = field(default_factory=Conversation)
    before: Conversation | None = None  # the one that "New conversation" put away
    chosen: dict[str, Any] = field(default_factory=dict)  # what the fields said last, by key


def room(workspace: Workspace) -> Room:
    key = room_key(workspace)
    if key not in st.session_state:
        st.session_state[key] = Room()
    return st.session_state[key]


def room_key(workspace: Workspace) -> str:
    """Under which name this browser keeps its chat in a workspace."""
    return f"chat in {workspace.root} with {workspace.trained_model}"


def _kept(here: Room, key: str, usual: Any) -> str:
    """The key of a field that keeps its value over other pages, where Streamlit forgets it."""
    if key not in st.session_state:
        st.session_state[key] = here.chosen.get(key, usual)
    return key


# --- who answers, and how -------------------------------------------------------------------------


def choose(here: Room, everybody: list[Speaker]) -> list[Speaker]:
    """One model, or two side by side; at first the current one, and the base against it."""
    both = st.toggle(
        "Two models side by side",
        key=_kept(here, "chat_both", False),
        help="Ask two models the same questions, such as the base model and what you made of it.",
    )
    here.chosen["chat_both"] = both
    if not both:
        return [_pick(here, everybody, "Who answers", "chat_one", st.query_params.get("speaker", CURRENT))]
    usual = (BASE, CURRENT)
    return [
        _pick(here, everybody, f"{side}: who answers", f"chat_{side.lower()}", key, column)
        for side, key, column in zip(SIDES, usual, st.columns(2), strict=True)
    ]


def _pick(here: Room, everybody: list[Speaker], label: str, key: str, usual: str, place: Any = st) -> Speaker:
    keys = [speaker.key for speaker in everybody]
    _kept(here, key, usual)
    if st.session_state[key] not in keys:  # a version that is gone
        st.session_state[key] = CURRENT
    # A title stays the same whatever becomes of the model, or the browser's choice would be lost with it.
    chosen = place.selectbox(
        label, keys, key=key, format_func=lambda wanted: speakers.find(everybody, wanted).title
    )
    here.chosen[key] = chosen
    return speakers.find(everybody, chosen)


def settings(here: Room) -> Settings:
    """How to answer; what is out of bounds is told when a question is asked."""
    usual = Settings()
    with st.expander("Settings", icon=":material/tune:"):
        values: dict[str, Any] = {
            "max_new_tokens": st.number_input(
                "Longest answer, in word pieces (tokens)",
                min_value=1,
                max_value=LONGEST_ANSWER,
                key=_kept(here, "chat_max_new_tokens", usual.max_new_tokens),
            ),
            "temperature": st.number_input(
                "Variety (temperature)",
                min_value=0.0,
                max_value=2.0,
                step=0.1,
                key=_kept(here, "chat_temperature", usual.temperature),
                help="0 always gives the likeliest answer. Higher gives other answers, and more mistakes.",
            ),
            "top_p": st.number_input(
                "Choice of words (top-p)",
                min_value=0.01,
                max_value=1.0,
                step=0.05,
                key=_kept(here, "chat_top_p", usual.top_p),
                help="Below 1, unlikely words are never drawn. It only matters with some variety.",
            ),
            "repetition_penalty": st.number_input(
                "Against repeating itself (repetition penalty)",
                min_value=0.1,
                max_value=2.0,
                step=0.05,
                key=_kept(here, "chat_repetition_penalty", usual.repetition_penalty),
                help="1 is off. A little above, such as 1.1, keeps small models from going round in circles.",
            ),
            "seed": st.number_input(
                "Seed",
                min_value=0,
                max_value=2**32 - 1,
                key=_kept(here, "chat_seed", usual.seed),
                help="The same seed gives the same answer again. It only matters with some variety.",
            ),
            "system": st.text_area(
                "What the model is told before the conversation (system message)",
                key=_kept(here, "chat_system", usual.system),
                placeholder="For example: You answer in one short sentence.",
            ),
        }
    for name, value in values.items():
        here.chosen[f"chat_{name}"] = value
    return Settings(**{one.name: values[one.name] for one in fields(Settings)})


# --- making them ready ----------------------------------------------------------------------------


def ready(workspace: Workspace, chosen: list[Speaker]) -> bool:
    """Whether all that were chosen can answer; draws the one way on for the first that cannot."""
    for speaker in chosen:
        if speaker.key == CURRENT and speaker.readiness == "stale":
            _stale(speaker)
    lacking = [speaker for speaker in chosen if not speaker.answers]
    if lacking:
        with told():
            _way_on(workspace, lacking[0])
    return not lacking


def _stale(speaker: Speaker) -> None:
    if speaker.fingerprint is None:
        st.markdown("❔ Nobody noted which trained model the current ONNX model was made from.")
    else:
        st.markdown("⚠️ The current ONNX model is out of date: it answers without what was taught since.")
    link("ONNX export", "Make it again")


def _way_on(workspace: Workspace, speaker: Speaker) -> None:
    if job := exporting.at_work(workspace, speaker.onnx):
        onnx.follow(workspace, job)
    elif speaker.readiness == "impossible" and speaker.key != CURRENT:
        st.markdown(f"⚠️ {plain(speaker.title)} is not complete or no longer here. Choose another one.")
    elif speaker.readiness == "impossible":
        st.markdown("There is no model yet, so there is nobody to talk with. Teach one first.")
        if st.button("Train a model", type="primary", icon=":material/school:"):
            go("Train")
        st.caption("Or choose the base model above, and hear how it answers untaught.")
    elif speaker.key == CURRENT:
        st.markdown("The current model answers as an ONNX model, and that has not been made yet.")
        if st.button("Make the ONNX model", type="primary", icon=":material/package_2:"):
            go("ONNX export")
    else:
        _last_try(workspace, speaker)
        st.markdown(
            f"{plain(speaker.title)} must be made ready once before it can answer. For a small model that "
            "takes about a minute; afterwards it stays ready."
        )
        if st.button(
            "Make it ready",
            type="primary",
            icon=":material/package_2:",
            key=f"ready_{speaker.key}",
            disabled=access.view_only(),
        ):
            job_folder = exporting.export_for(workspace, speaker).folder
            st.session_state[f"tried_{speaker.key}"] = job_folder
            st.rerun()


def _last_try(workspace: Workspace, speaker: Speaker) -> None:
    """How the job that this person started for the model ended, when it did not succeed."""
    folder: Path | None = st.session_state.get(f"tried_{speaker.key}")
    if folder and folder.parent == workspace.jobs and folder.exists():
        onnx.follow(workspace, exporting.read_job(Session(folder)))


# --- what was said --------------------------------------------------------------------------------


def said(workspace: Workspace, conversation: Conversation) -> None:
    """All questions and answers, exactly as they were written, each answer to be judged."""
    for number, turn in enumerate(conversation.turns):
        _question(turn)
        for side, (place, reply) in enumerate(zip(_places(turn), turn.replies, strict=True)):
            with place:
                if reply.text:
                    st.markdown(literal(reply.text))
                _about(reply, alone=len(turn.replies) == 1)
                feedback.under(workspace, conversation, number, side)


def _question(turn: Turn) -> None:
    with st.chat_message("user", avatar=":material/person:"):
        if len(turn.question) <= LONG_QUESTION:
            st.markdown(literal(turn.question))
        else:
            st.markdown(literal(f"{turn.question[:LONG_QUESTION]}…"))
            with st.expander(f"All {len(turn.question):,} characters"):
                st.markdown(literal(turn.question))


def _places(turn: Turn) -> list[DeltaGenerator]:
    """Where each answer of a turn goes: one below the question, two side by side under their names."""
    if len(turn.replies) == 1:
        return [st.chat_message("assistant", avatar=":material/sailing:")]
    places = []
    for column, reply in zip(st.columns(len(turn.replies)), turn.replies, strict=True):
        with column:
            st.markdown(f"**{plain(reply.origin.title)}**")
            places.append(st.chat_message("assistant", avatar=":material/sailing:"))
    return places


def _about(reply: Reply, alone: bool) -> None:
    """What there is to know about an answer besides its text."""
    if reply.problem:
        st.error(plain(reply.problem), icon=":material/error:")
    for note in chatting.notes(reply):
        st.markdown(f"{'⏹️' if reply.stopped_by == 'interrupted' else 'ℹ️'} {plain(note)}")
    took = f"{reply.seconds:.1f} s" if reply.seconds >= 0.1 else "under 0.1 s"
    whose = chatting.describe(reply.origin) if alone else chatting.details(reply.origin)
    st.caption(" · ".join(filter(None, [plain(whose), took if reply.text else ""])))


# --- asking ---------------------------------------------------------------------------------------


def ask(here: Room, chosen: list[Speaker], how: Settings, possible: bool) -> None:
    """The field for a question; the answers grow above it, and Stop ends them where they are."""
    growing = st.container()
    question = st.chat_input(
        "Ask something" if possible else "Nobody is ready to answer yet",
        key="chat_question",
        disabled=not possible,
        submit_mode="disable",
    )
    if question and possible:
        with told() as failed, growing:
            here.conversation.ask(question, [speaker.origin for speaker in chosen], how)
            _answer(here.conversation, [speaker.answering for speaker in chosen])
        if not failed:
            st.rerun()  # draws the answers in their final form


def _answer(conversation: Conversation, folders: list[Path]) -> None:
    """Draws the newest turn as it grows. Left early, by Stop or another page, what was said stays."""
    turn = conversation.turns[-1]
    _question(turn)
    places = [place.empty() for place in _places(turn)]
    st.button("Stop", key="chat_stop", icon=":material/stop_circle:")  # whatever is pressed ends the answer
    waiting = "Thinking" if all(map(MODELS.holds, folders)) else "Loading the model"
    drawn = [0.0] * len(places)
    with ExitStack() as spinner, closing(chatting.answers(conversation, folders)) as growing:
        spinner.enter_context(st.spinner(f"{waiting}…"))
        for place in growing:
            reply = turn.replies[place]
            if reply.text and time.monotonic() - drawn[place] > REDRAWN_SECONDS:
                spinner.close()
                places[place].markdown(literal(reply.text))
                drawn[place] = time.monotonic()


def keep(here: Room) -> None:
    """Save the conversation, or begin a new one; the old one can be brought back."""
    with st.container(horizontal=True):
        if here.conversation.turns:
            st.button("New conversation", icon=":material/add_comment:", on_click=_begin, args=(here,))
            name = f"conversation-{datetime.now():%Y%m%d-%H%M}"
            st.download_button(
                "Save as text",
                here.conversation.as_text(),
                f"{name}.txt",
                "text/plain",
                icon=":material/download:",
                on_click="ignore",
            )
            st.download_button(
                "Save as JSON",
                here.conversation.as_json(),
                f"{name}.json",
                "application/json",
                icon=":material/download:",
                on_click="ignore",
            )
        elif here.before:
            st.button(
                "Bring back the last conversation", icon=":material/undo:", on_click=_back, args=(here,)
            )


def _begin(here: Room) -> None:
    here.before, here.conversation = here.conversation, Conversation()


def _back(here: Room) -> None:
    if here.before:
        here.conversation, here.before = here.before, None
