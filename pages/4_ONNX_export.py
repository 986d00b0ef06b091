"""ONNX export: make the model that answers, see that it answers like the original, hand it over.

What an export is lies in `sails.jobs.export`, what is handed over in `sails.onnx.bundle`; `sails convert` and
`sails bundle` do the same from the terminal.
"""

import streamlit as st

from sails import models, sessions, ui
from sails.jobs import export_jobs, read_job, running_export
from sails.ui import export, page_frame, show_errors

with page_frame("ONNX export") as workspace:
    ui.tour_card(workspace, "ONNX export")
    situation = workspace.situation()
    recorded = False
    if not situation.onnx.present:
        with show_errors():
            recorded = export.recorded_certificates(workspace)
    if not (situation.onnx.present or recorded):
        st.markdown(
            "Training makes a model that can learn. From it an **ONNX model** is made: the same knowledge in "
            "a form that answers fast on any computer, without the programs that training needs."
        )
    states = ui.variant_states(workspace, situation)
    failed = models.inspect_failed_variants(workspace.onnx_model, situation.trained.fingerprint)
    jobs = export_jobs(workspace)
    running = running_export(workspace, workspace.onnx_model)
    making = ui.making_onnx(workspace)

    if not recorded:
        export.export_state(workspace, situation, states)
    with show_errors():
        named = st.query_params.get("job")
        job = read_job(sessions.find(workspace, named)) if named else running
        if job:
            export.follow_job(workspace, job)
        if running and not (job and running.session == job.session):
            export.follow_job(workspace, running)
        if making and not running:
            export.made_by_training(workspace, making)
    export.next_step(workspace, situation, states, busy=making is not None)
    export.export_variants(workspace, situation, states, failed, busy=making is not None)
    ui.redraw_when_models_change(workspace)
    with show_errors():
        export.failed_variants(workspace, failed)

    if situation.onnx.present:
        with show_errors():
            export.certificate_figures(states)
            export.speed_table(states)
        st.header("Hand it over", anchor=False)
        with show_errors():
            export.bundle_panel(workspace, states)
            export.model_files(workspace, states)

    st.header("Earlier exports", anchor=False)
    export.earlier_exports(jobs)
