"""What runs now and what waits."""

from __future__ import annotations

import streamlit as st

from sails import jobs, sessions, system
from sails.models import Workspace
from sails.sessions import Session
from sails.ui import text
from sails.ui.frame import link, show_errors, stop_on_error
from sails.ui.text import code, plain
from sails.ui.widgets import change_button

REFRESH_SECONDS = 1.0


def queue_position(workspace: Workspace, session: Session) -> str:
    """Say how many trainings are before it, or what else it waits for."""
    ids = [entry.id for entry in sessions.waiting(workspace)]
    ahead = ids.index(session.id) if session.id in ids else 0
    ahead += sessions.running(workspace) is not None
    if ahead == 0:
        return why_waiting(workspace)
    return f"It waits for its turn: {ahead} {'training is' if ahead == 1 else 'trainings are'} before it."


def why_waiting(workspace: Workspace) -> str:
    """Say what the first in the queue waits for while no training runs."""
    first = next((Session(workspace.sessions / entry.id) for entry in sessions.waiting(workspace)), None)
    if first and system.is_held(first.lock):
        return "It is about to start."
    if jobs.running_measurement(workspace):
        return "It starts when the best learning speed is measured."
    if system.is_held(workspace.training_lock):
        return "It starts when the models are free: another program is changing them now."
    if system.view_only():
        return "It starts as soon as somebody looks who may change things."
    return "It is about to start."


def running_and_waiting(workspace: Workspace) -> None:
    """Draw what runs, with a link to it, and what waits; nothing when there is neither."""
    running, queued = sessions.running(workspace), sessions.waiting(workspace)
    if running or queued:
        key = (running.spec.id if running else None, tuple(entry.id for entry in queued))
        st.fragment(_now, run_every=2 * REFRESH_SECONDS)(workspace, key)


def _now(workspace: Workspace, before: tuple[str | None, tuple[str, ...]]) -> None:
    with stop_on_error():
        running, queued = sessions.running(workspace), sessions.waiting(workspace)
        if before != (running.spec.id if running else None, tuple(entry.id for entry in queued)):
            st.rerun()
        if running:
            with st.container(border=True):
                called = plain(sessions.title(workspace, running.session))
                st.markdown(f":material/play_circle: **{called}** is running.")
                st.progress(min(max(running.status.progress, 0.0), 1.0), plain(text.progress(running.status)))
                link("Train", "Watch it live", session=running.spec.id)
        queue(workspace)


def queue(workspace: Workspace, but: str = "") -> None:
    """Draw who waits, in order, each with a button to cancel it."""
    waiting = [entry.id for entry in sessions.waiting(workspace)]
    others = [session_id for session_id in waiting if session_id != but]
    if not others:
        return
    (st.subheader if but else st.header)("What waits", anchor=False)
    is_first_next = sessions.running(workspace) is None
    for session_id in others:
        session = Session(workspace.sessions / session_id)
        name = sessions.title(workspace, session)
        with st.container(horizontal=True, vertical_alignment="center"):
            number = waiting.index(session_id) + 1
            why = f"  \n:small[{why_waiting(workspace)}]" if number == 1 and is_first_next else ""
            st.markdown(f"{number}. :material/hourglass_empty: {code(name)}{why}", width="stretch")
            if change_button("Cancel", key=f"cancel_{session_id}"):
                with show_errors():
                    jobs.launcher_for(session).stop(workspace, session)
                st.rerun()
