"""Train: choose what to teach and how, start it, and watch it live.

/Train                   the form, and what runs and waits
/Train?dataset=NAME      the form with that dataset chosen
/Train?session=ID        that session (or job) live, or how it ended
"""

import streamlit as st

from sails import sessions
from sails.ui import page_frame, tour_card, train

with page_frame("Train") as workspace:
    tour_card(workspace, "Train")
    wanted = st.query_params.get("session")
    if wanted:
        train.allow_next_start()
        train.live_view(workspace, sessions.find(workspace, wanted))
    else:
        train.running_and_waiting(workspace)
        workspace.check_publishable()
        train.training_form(workspace, st.query_params.get("dataset"))
