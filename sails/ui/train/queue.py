"""What runs now and what waits."""

from __future__ import annotations

import contextlib

import streamlit as st

from sails import jobs, sessions
from sails.errors import SailsError
from sails.models import Workspace
from sails.sessions import Session
from sails.ui import text
from sails.ui.frame import link, show_errors, stop_on_error
from sails.ui.text import code, plain
from sails.ui.widgets import change_button

REFRESH_SECONDS = 1.0


def queue_position(workspace: Workspace, session: Session) -> str:
    """Say how many trainings are before it."""
    ids = [entry.id for entry in sessions.waiting(workspace)]
    if session.id not in ids:
        return "It is about to start."
    ahead = ids.index(session.id) + (sessions.running(workspace) is not None)
    if ahead == 0:
        return "It is about to start."
    return f"It waits for its turn: {ahead} {'training is' if ahead == 1 else 'trainings are'} before it."


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
                st.markdown(f"▶️ **{plain(running.spec.name)}** is running.")
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
    for session_id in others:
        session = Session(workspace.sessions / session_id)
        name = session.id
        with contextlib.suppress(SailsError):
            name = session.spec().name
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{waiting.index(session_id) + 1}. ⏳ {code(name)}", width="stretch")
            if change_button("Cancel", key=f"cancel_{session_id}"):
                with show_errors():
                    jobs.launcher_for(session).stop(workspace, session)
                st.rerun()
