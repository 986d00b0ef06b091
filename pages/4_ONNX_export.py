"""ONNX export: make the model that answers, see that it answers like the original, hand it over.

What an export is lies in `sails.jobs.export`, what is handed over in `sails.onnx.bundle`; `sails convert` and
`sails bundle` do the same from the terminal.
"""

import streamlit as st

from sails import sessions
from sails.jobs import export as exporting
from sails.models import variants
from sails.ui import onnx_status as freshness
from sails.ui.export import certificates
from sails.ui.export import download as handover
from sails.ui.export import panels as onnx
from sails.ui.frame import page_frame, show_errors

with page_frame("ONNX export") as workspace:
    st.markdown(
        "Training makes a model that can learn. From it an **ONNX model** is made: the same knowledge in a "
        "form that answers fast on any computer, without the programs that training needs."
    )
    situation = workspace.situation()
    found = freshness.look(workspace, situation)
    apart = variants.inspect_failed_variants(workspace.onnx_model, situation.trained.fingerprint)
    jobs = exporting.export_jobs(workspace)
    running = exporting.running_export(workspace, workspace.onnx_model)

    onnx.state(workspace, situation, found, apart, busy=running is not None)
    with show_errors():
        named = st.query_params.get("job")
        job = exporting.read_job(sessions.find(workspace, named)) if named else running
        if job:
            onnx.follow(workspace, job)
        if running and not (job and running.session == job.session):
            onnx.follow(workspace, running)
    onnx.make(workspace, situation, found, busy=running is not None)
    with show_errors():
        certificates.kept_apart(workspace, apart)

    if situation.onnx.present:
        st.header("Does it answer like the original?", anchor=False)
        with show_errors():
            certificates.of_all(found)
            certificates.speed(found)
        st.header("Hand it over", anchor=False)
        with show_errors():
            handover.hand_over(workspace, found)
            handover.files(workspace, found)

    st.header("Earlier exports", anchor=False)
    onnx.earlier(jobs)
