"""Home, the bridge of the ship: where the model stands, what the next training will do, and what to do now.

streamlit run app.py        (or `make run`, which sets everything up first)
"""

import streamlit as st

from sails import jobs, sessions, ui
from sails.data import EXAMPLES, add_example, reports
from sails.models import Workspace
from sails.training.plan import expect, plan_training, row_for
from sails.ui import bridge, go, page_frame
from sails.ui.bridge import NextStep, choose_next_step
from sails.ui.data import corrections_on_bridge

LAST = 3  # sessions shown
WHAT_THIS_IS = (
    "Teach a small language model from your own conversations, lesson by lesson, and see what it learned and "
    "what it still remembers."
)


def do(step: NextStep, workspace: Workspace) -> None:
    """Go where the main button leads."""
    match step.kind:
        case "watch" | "wait":
            go("Train", session=step.target)
        case "decide" | "resume":
            go("Sessions", session=step.target)
        case "example":
            go("Train", dataset=add_example(workspace, EXAMPLES[0]).name)
        case "train":
            go("Train", dataset=step.target)
        case "export" | "exporting":
            ui.start_export(workspace)
        case "chat":
            go("Chat")


with page_frame("Home") as workspace:
    ui.tour_card(workspace, "Home")
    situation = workspace.situation()
    row = row_for(situation.trained.state, situation.onnx.state).number
    plan = plan_training(workspace, expected=expect(workspace))
    history = sessions.read_history(workspace)
    ended = [record for record in history if record.ended]
    names = [report.name for report in reports(workspace)]
    step = choose_next_step(
        situation,
        freshness=jobs.freshness(workspace, situation),
        active=sessions.active(workspace),
        training=sessions.running(workspace) is not None,
        datasets=names,
        last=ended[-1] if ended else None,
        exporting=ui.making_onnx(workspace) is not None,
    )

    bridge.health_card(workspace)
    is_demo = sessions.is_demo(workspace) and not situation.trained.complete
    if is_demo:
        bridge.demo_panel(workspace, history)
    elif not names and not history and row == 1:
        st.markdown(WHAT_THIS_IS)
    card, board = st.columns([5, 6], gap="medium")
    with card:
        clicked = bridge.status_card(workspace, situation, None if is_demo else step)
    with board:
        bridge.behavior_board(row)
        bridge.next_training(plan)
    if clicked:
        do(step, workspace)
    corrections_on_bridge(workspace)

    if ended:
        st.header("The last trainings", anchor=False)
        bridge.last_sessions(ended[-LAST:], history, situation.trained)

    with st.container(gap="xsmall"):
        bridge.watch_panel(workspace)
        with st.expander(bridge.ON_DISK, icon=":material/hard_drive:"):
            bridge.found_on_disk(workspace, situation)
            bridge.care_panel(workspace)
        with st.expander("How the next training is decided", icon=":material/table:"):
            bridge.how_decided(plan, situation)
            bridge.behavior_matrix(row)
