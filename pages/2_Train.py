"""Train: choose what to teach and how, start it, and watch it live.

/Train                   the form, and what runs and waits
/Train?dataset=NAME      the form with that dataset chosen
/Train?session=ID        that session (or job) live, or how it ended
"""

import streamlit as st

from sails import sessions
from sails.ui.frame import page_frame
from sails.ui.train import form, live, queue

with page_frame("Train") as workspace:
    wanted = st.query_params.get("session")
    if wanted:
        form.started()
        live.view(workspace, sessions.find(workspace, wanted))
    else:
        queue.now(workspace)
        form.training_form(workspace, st.query_params.get("dataset"))
