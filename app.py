"""The bridge: what the two model folders hold, what the next training will do, and why; what to do now.

streamlit run app.py        (or `make run`, which sets everything up first)
"""

import streamlit as st

from sails import sessions
from sails.data import datasets
from sails.models.workspace import Workspace
from sails.sessions import demo
from sails.training.plan.behavior import plan_training
from sails.ui import onnx_status, retention
from sails.ui.bridge import panels, watch, workspaces
from sails.ui.bridge.next_step import NextStep, choose_next_step
from sails.ui.data import review
from sails.ui.frame import go, page_frame

LAST = 3  # sessions shown


def do(step: NextStep, workspace: Workspace) -> None:
    """Go where the main button leads."""
    match step.kind:
        case "watch":
            go("Train", session=step.target)
        case "decide" | "resume":
            go("Sessions", session=step.target)
        case "example":
            go("Train", dataset=datasets.add_example(workspace, datasets.EXAMPLES[0]).name)
        case "train":
            go("Train", dataset=step.target)
        case "export":
            onnx_status.start(workspace)
        case "chat":
            go("Chat")


with page_frame("Bridge") as workspace:
    situation = workspace.situation()
    plan = plan_training(workspace)
    history = sessions.read_history(workspace)
    step = choose_next_step(
        situation,
        active=sessions.active(workspace),
        datasets=[report.name for report in datasets.reports(workspace)],
        last=history[-1] if history else None,
    )

    if demo.is_demo(workspace):
        workspaces.demo(workspace, history)
    if panels.main_button(step):
        do(step, workspace)
    review.on_bridge(workspace)
    panels.next_training(plan, situation)
    retention.headline(workspace)

    st.header("What runs now", anchor=False)
    panels.running_now(workspace)

    st.header("The last trainings", anchor=False)
    panels.last_sessions(history[-LAST:])

    st.header("Teaching by itself", anchor=False)
    watch.panel(workspace)

    st.header("What was found on disk", anchor=False)
    panels.found_on_disk(workspace, situation)

    st.header("How the next training is decided", anchor=False)
    st.markdown(
        "These two decide what a training does: the trained model, which learns, and the ONNX model made "
        "from it, which answers in the chat. This is the whole table; the marked line applies now."
    )
    panels.matrix(plan.row)
    workspaces.choose_place(workspace)
