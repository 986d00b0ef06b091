"""The bridge: what the two model folders hold, what the next training will do, and why; what to do now.

streamlit run app.py        (or `make run`, which sets everything up first)
"""

import streamlit as st

from sails import sessions, ui
from sails.data import EXAMPLES, add_example, reports
from sails.models import Workspace
from sails.training.plan import plan_training
from sails.ui import bridge, go, page_frame
from sails.ui.bridge import NextStep, choose_next_step
from sails.ui.data import corrections_on_bridge

LAST = 3  # sessions shown


def do(step: NextStep, workspace: Workspace) -> None:
    """Go where the main button leads."""
    match step.kind:
        case "watch":
            go("Train", session=step.target)
        case "decide" | "resume":
            go("Sessions", session=step.target)
        case "example":
            go("Train", dataset=add_example(workspace, EXAMPLES[0]).name)
        case "train":
            go("Train", dataset=step.target)
        case "export":
            ui.start_export(workspace)
        case "chat":
            go("Chat")


with page_frame("Bridge") as workspace:
    situation = workspace.situation()
    plan = plan_training(workspace)
    history = sessions.read_history(workspace)
    step = choose_next_step(
        situation,
        active=sessions.active(workspace),
        datasets=[report.name for report in reports(workspace)],
        last=history[-1] if history else None,
    )

    if sessions.is_demo(workspace):
        bridge.demo_panel(workspace, history)
    if bridge.main_button(step):
        do(step, workspace)
    corrections_on_bridge(workspace)
    bridge.next_training(plan, situation)
    ui.retention_headline(workspace)

    st.header("What runs now", anchor=False)
    bridge.running_now(workspace)

    st.header("The last trainings", anchor=False)
    bridge.last_sessions(history[-LAST:])

    st.header("Teaching by itself", anchor=False)
    bridge.watch_panel(workspace)

    st.header("What was found on disk", anchor=False)
    bridge.found_on_disk(workspace, situation)

    st.header("How the next training is decided", anchor=False)
    st.markdown(
        "These two decide what a training does: the trained model, which learns, and the ONNX model made "
        "from it, which answers in the chat. This is the whole table; the marked line applies now."
    )
    bridge.behavior_matrix(plan.row)
    bridge.choose_workspace(workspace)
