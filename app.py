"""The bridge: what the two model folders hold, what the next training will do, and why; what to do now.

streamlit run app.py        (or `make run`, which sets everything up first)
"""

import streamlit as st

from sails import sessions
from sails.data import datasets as library
from sails.jobs.launcher import plan_training
from sails.models.workspace import Workspace
from sails.sessions import demo
from sails.ui import onnx_status as freshness
from sails.ui import retention as remembering
from sails.ui.bridge import panels
from sails.ui.bridge import watch as watching
from sails.ui.bridge.next_step import NextStep, next_step
from sails.ui.data import review as reviewing
from sails.ui.frame import frame, go

LAST = 3  # sessions shown


def do(step: NextStep, workspace: Workspace) -> None:
    """Go where the main button leads."""
    match step.kind:
        case "watch":
            go("Train", session=step.target)
        case "decide" | "resume":
            go("Sessions", session=step.target)
        case "example":
            go("Train", dataset=library.add_example(workspace, library.EXAMPLES[0]).name)
        case "train":
            go("Train", dataset=step.target)
        case "export":
            freshness.start(workspace)
        case "chat":
            go("Chat")


with frame("Bridge") as workspace:
    situation = workspace.situation()
    plan = plan_training(workspace)
    history = sessions.history(workspace)
    step = next_step(
        situation,
        active=sessions.active(workspace),
        datasets=[report.name for report in library.reports(workspace)],
        last=history[-1] if history else None,
    )

    if demo.is_demo(workspace):
        panels.demo(workspace, history)
    if panels.main_button(step):
        do(step, workspace)
    reviewing.on_bridge(workspace)
    panels.next_training(plan, situation)
    remembering.headline(workspace)

    st.header("What runs now", anchor=False)
    panels.running_now(workspace)

    st.header("The last trainings", anchor=False)
    panels.last_sessions(history[-LAST:])

    st.header("Teaching by itself", anchor=False)
    watching.panel(workspace)

    st.header("What was found on disk", anchor=False)
    panels.found_on_disk(workspace, situation)

    st.header("How the next training is decided", anchor=False)
    st.markdown(
        "These two decide what a training does: the trained model, which learns, and the ONNX model made "
        "from it, which answers in the chat. This is the whole table; the marked line applies now."
    )
    panels.matrix(plan.row)
    panels.choose_place(workspace)
