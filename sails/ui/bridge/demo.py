"""What stands first in a demo: what it is, a training to watch at once, and the tour."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from sails import jobs, sessions
from sails.models import Workspace
from sails.sessions import SessionRecord
from sails.ui.frame import go
from sails.ui.tour import REPLAY_SECONDS, start_tour
from sails.ui.widgets import change_button


def demo_panel(workspace: Workspace, records: Sequence[SessionRecord]) -> None:
    """Say what a demo workspace is; play a training again from where its answers change; lead to the tour."""
    recorded = {record.session.id: record for record in records if record.status.plan}
    with st.container(border=True, gap="small"):
        st.markdown(
            ":material/movie: **This is a demo.** Its trainings are real and were recorded; the models that "
            "they made are not included. Ask them in the chat what was recorded, or train one of your own."
        )
        with st.container(horizontal=True, gap="small"):
            label = f"Watch a model learn ({REPLAY_SECONDS} s)"
            watch = change_button(
                label, "play_arrow", "demo-watch", type="primary", disabled=not recorded, by_name=False
            )
            tour = st.button("Take the tour (2 minutes)", icon=":material/tour:", key="demo-tour")
        if watch:
            first = next(iter(recorded.values()))
            job = jobs.start_replay(workspace, first.session, REPLAY_SECONDS, from_start=False)
            go("Train", session=job.id)
        if tour:
            start_tour(workspace)
    with st.expander("Replay another training", icon=":material/replay:"):
        called = sessions.titles(records)
        chosen = st.selectbox("A recorded training", list(recorded), 0, called.__getitem__, key="replay")
        seconds = st.number_input("Seconds it takes", 10, 600, 60, key="replay_seconds", width=140)
        from_start = st.toggle("From the start, with all the waiting", key="replay_from_start")
        if change_button("Replay it", "replay", disabled=not recorded, by_name=False) and chosen:
            job = jobs.start_replay(workspace, recorded[chosen].session, seconds, from_start=from_start)
            go("Train", session=job.id)
