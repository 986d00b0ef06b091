"""The bridge: what the two model folders hold, what the next training will do, and why.

    streamlit run app.py        (or `make run`, which sets everything up first)

Reads the workspace's files and changes nothing. Training is started from the terminal for now.
"""

import streamlit as st

from sails import sessions
from sails.launchers.local import plan_training
from sails.ui import panels
from sails.ui.frame import frame

LAST = 3  # sessions shown

with frame("Bridge") as workspace:
    situation = workspace.situation()
    plan = plan_training(workspace)
    history = sessions.history(workspace)

    panels.next_training(plan, situation)
    panels.how_to_train(workspace, expanded=not history and plan.row == 1)

    st.header("What runs now", anchor=False)
    panels.running_now(workspace)

    st.header("How this is decided", anchor=False)
    st.markdown(
        "Two things on the disk decide what a training does: the trained model, which learns, and the "
        "ONNX model made from it, which answers in the chat. This is the whole table:"
    )
    panels.matrix(plan.row)

    st.header("What was found on disk", anchor=False)
    panels.found_on_disk(situation)

    st.header("The last trainings", anchor=False)
    panels.last_sessions(history[-LAST:])
