"""ONNX export: make the model that answers, see that it answers like the original, take it away.

What an export is lies in `sails.exporting`; `sails convert` does the same from the terminal.
"""

import streamlit as st

from sails import exporting, sessions
from sails.ui import onnx
from sails.ui.frame import frame, told

with frame("ONNX export") as workspace:
    st.markdown(
        "Training makes a model that can learn. From it an **ONNX model** is made: the same knowledge in a "
        "form that answers fast on any computer, without the programs that training needs."
    )
    situation = workspace.situation()
    jobs = exporting.jobs(workspace)
    running = exporting.at_work(workspace, workspace.onnx_model)

    onnx.state(situation)
    with told():
        named = st.query_params.get("job")
        job = exporting.read_job(sessions.find(workspace, named)) if named else running
        if job:
            onnx.follow(workspace, job)
        if running and not (job and running.session == job.session):
            onnx.follow(workspace, running)
    onnx.make(workspace, situation, busy=running is not None)

    if situation.onnx.present:
        st.header("Does it answer like the original?", anchor=False)
        onnx.certificate(situation.onnx)
        st.header("Files", anchor=False)
        onnx.files(situation.onnx)

    st.header("Earlier exports", anchor=False)
    onnx.earlier(jobs)
    st.caption("Not here yet: a smaller model (8-bit), its speed, and a download that runs by itself.")
